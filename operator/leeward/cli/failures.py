"""What can go wrong between a command and the API server, and how it is said."""

from __future__ import annotations

import re

_DENIED = re.compile(
    r"ValidatingAdmissionPolicy '(?P<policy>[^']+)' with binding '[^']+' "
    r"denied request: (?P<why>.*)",
    re.DOTALL,
)
_CODES = {401: "it does not know you; log in again", 403: "you may not do this"}


class Failure(Exception):  # noqa: N818 - it is printed as it is, and the name says what it is
    """Something that ends a command, worded for the person who gave it."""


class Refused(Failure):
    """The API server refused a request."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(readable(status, message))
        self.status = status
        self.message = message

    @property
    def passing(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status in {408, 409, 410, 429} or self.status >= 500


class Unreachable(Failure):
    """The API server did not answer, or not in a way that can be understood."""


def readable(status: int, message: str) -> str:
    """A refusal in the words of the policy that refused, or else of the API server."""
    if denied := _DENIED.search(message):
        why = " ".join(denied["why"].split())
        return f"refused: {why} (policy {denied['policy']})"
    hint = f" ({_CODES[status]})" if status in _CODES else ""
    return f"the API server answered {status}{hint}: {' '.join(message.split())}"

"""What whoever counts them is told of calls to AWS; nothing here knows who that is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError

from leeward_adapters.breaker import NotSentError
from leeward_adapters.errors import THROTTLES, classify

Outcome = Literal[
    "Ok", "Throttled", "NotSent", "Transient", "Quota", "Conflict", "Denied", "Final", "InDoubt"
]
"""`NotSent`: held back by a breaker or a rate limit. `Throttled`: AWS refused it for its rate. The
others are the classes of errors (`leeward_adapters.base.ErrorClass`)."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of one call; botocore may make several of a call that reads."""

    account_id: str
    """AWS account; empty: the operator's own."""
    region: str
    service: str
    """botocore's name of it, such as `drs`."""
    operation: str
    seconds: float
    """Until the answer or the error, without waiting for its turn."""
    outcome: Outcome
    request_id: str = ""
    """AWS's id of it, as in CloudTrail; empty: there was no answer, or it had none."""
    code: str = ""
    """AWS's error code; empty: there was no error, or no answer."""


@dataclass(frozen=True, slots=True)
class Circuit:
    """The circuit breaker of a service in a Region, of one account or of its endpoint."""

    account_id: str
    """Empty: the operator's own, or none."""
    region: str
    service: str
    of_endpoint: bool
    """Whether it is the endpoint's, which holds back the calls of all accounts."""
    is_open: bool
    """Whether calls are held back."""


Observe = Callable[[Attempt], None]
"""Called in the thread of the call; must be quick, and safe to call from many threads."""


def ignore(_: Attempt) -> None:
    """Nobody counts."""


def outcome_of(answer: object, exception: Exception | None, operation: str) -> Outcome:
    """What came of an attempt, as botocore says at `response-received`."""
    if isinstance(exception, NotSentError):
        return "NotSent"
    if isinstance(exception, BotoCoreError):
        return classify(exception).kind.value
    if exception is not None:
        return "InDoubt"
    said: Any = answer if isinstance(answer, dict) else {}
    code = said.get("Error", {}).get("Code")
    if code in THROTTLES:
        return "Throttled"
    status = said.get("ResponseMetadata", {}).get("HTTPStatusCode", 200)
    if code is None and status < 400:
        return "Ok"
    return classify(ClientError(said, operation)).kind.value

"""Which operations Leeward itself used, and through which role, over many sandboxes.

What a role is allowed can so be compared with what a whole test suite asked of it. A process that
has `LEEWARD_SANDBOX_USED` in its environment adds lines of JSON to a file of its own in that
directory, one for each new combination at once, so that nothing is lost when it is killed.
"""

from __future__ import annotations

import itertools
import json
import os
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from leeward_sandbox.aws.record import Entry
from leeward_sandbox.aws.wire import HttpRequest

VARIABLE: Final = "LEEWARD_SANDBOX_USED"
"""Name of the environment variable with the directory; absent: nothing is written."""
OWN: Final = ""
"""The role of callers that came with an access key of an account."""

_AGENT: Final = " leeward"
"""How Leeward's clients end their user agent; those of tests and of people don't."""
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, order=True)
class Use:
    """An operation that Leeward asked for, whatever the answer was."""

    role: str
    """Name of the assumed role, or `OWN`."""
    account: str
    """Of an access key; empty for roles."""
    service: str
    operation: str


class Uses:
    """Notes the uses of one sandbox; safe to share between threads.

    Args:
        directory: where its file is made; None: nothing is noted.
    """

    def __init__(self, directory: str | None) -> None:
        name = f"{os.getpid()}-{next(_numbers)}.jsonl"
        self._file = Path(directory) / name if directory else None
        self._known: set[Use] = set()
        self._lock = threading.Lock()

    @classmethod
    def from_environment(cls) -> Uses:
        """As the environment says."""
        return cls(os.environ.get(VARIABLE))

    def add(self, entry: Entry, request: HttpRequest) -> None:
        """Note who made the request, if that was Leeward."""
        if self._file is None or not _by_leeward(request):
            return
        if entry.principal is None or entry.service is None or entry.operation is None:
            return
        use = _use(entry.principal, entry.account or "", entry.service, entry.operation)
        with self._lock:
            if use in self._known:
                return
            self._known.add(use)
            with self._file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(asdict(use)) + "\n")


def read(directory: Path) -> set[Use]:
    """Everything that was noted there."""
    return {Use(**json.loads(line)) for line in _lines(directory)}


def _lines(directory: Path) -> Iterable[str]:
    for file in sorted(directory.glob("*.jsonl")):
        yield from file.read_text("utf-8").splitlines()


def _by_leeward(request: HttpRequest) -> bool:
    return (request.header("user-agent") or "").endswith(_AGENT)


def _use(principal: str, account: str, service: str, operation: str) -> Use:
    _, _, session = principal.partition(":assumed-role/")
    if session:
        return Use(session.split("/")[0], "", service, operation)
    return Use(OWN, account, service, operation)

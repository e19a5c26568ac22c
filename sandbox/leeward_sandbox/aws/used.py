"""Which operations each part of Leeward used, and through which role, over many sandboxes.

What a part declares can so be compared with what a whole test suite saw it ask. A process that
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

VARIABLE: Final = "LEEWARD_SANDBOX_USED"
"""Name of the environment variable with the directory; absent: nothing is written."""
OWN: Final = ""
"""The role of callers that came with an access key of an account."""

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, order=True)
class Use:
    """An operation that Leeward asked for, whatever the answer was."""

    part: str
    """What of Leeward asked, as `leeward_adapters.attribution` names it; empty: it did not say."""
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

    def add(self, entry: Entry) -> None:
        """Note who made the request, if that was Leeward."""
        if self._file is None or (use := _use(entry)) is None:
            return
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


def _use(entry: Entry) -> Use | None:
    if entry.part is None or not entry.principal or not entry.service or not entry.operation:
        return None
    _, _, session = entry.principal.partition(":assumed-role/")
    role, account = (session.split("/")[0], "") if session else (OWN, entry.account or "")
    return Use(entry.part, role, account, entry.service, entry.operation)

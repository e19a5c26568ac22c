"""What was called: every request to AWS, in order of its answer.

Access keys and tokens are not part of an entry; members that a model marks as sensitive are
replaced, and blobs are given by their size.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from leeward_sandbox.aws.routing import Operation

KEPT = 100_000
"""Entries kept; the oldest are dropped."""

# An operation whose name begins so changes nothing in AWS.
READING_PREFIXES = (
    "AssumeRole",
    "BatchDescribe",
    "BatchGet",
    "Check",
    "Decode",
    "Describe",
    "Detect",
    "Estimate",
    "Evaluate",
    "Filter",
    "Get",
    "Head",
    "List",
    "Lookup",
    "Preview",
    "Query",
    "Scan",
    "Search",
    "Select",
    "Simulate",
    "Test",
    "Validate",
    "Verify",
    "View",
)
# Those that begin so and yet change something.
MUTATING_DESPITE_PREFIX = frozenset(
    {("elasticache", "TestFailover"), ("elasticache", "TestMigration")}
)


@dataclass(slots=True)
class Entry:
    """One request.

    Attributes:
        seq: its number, from 1, in order of the answers.
        at: RFC 3339, the real time at which it came.
        virtual_at: RFC 3339, the virtual time at which it came.
        service, operation: botocore's names; None where the request names none.
        account, region, principal: who called, where.
        part, run: which part of Leeward asked, and for which run (NAMESPACE.EXECUTION), as the
            User-Agent header says; an empty part: Leeward did not say; None: it was not Leeward.
        params: the parsed members.
        status: the HTTP status of the answer; None if the connection was dropped.
        error: the error code, or None.
        fault: the id of the fault rule that took effect, or None.
        mutating: whether the operation changes something (a DryRun does not).
        executed: whether a backend or moto saw it (also true if the answer was lost).
        problem: for a request that breaks the model, how.
    """

    seq: int = 0
    at: str = ""
    virtual_at: str = ""
    service: str | None = None
    operation: str | None = None
    account: str | None = None
    region: str | None = None
    principal: str | None = None
    part: str | None = None
    run: str | None = None
    params: dict[str, Any] | None = None
    status: int | None = None
    error: str | None = None
    fault: str | None = None
    mutating: bool = False
    executed: bool = False
    problem: str | None = None


class Recorder:
    """Keeps the entries; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: deque[Entry] = deque(maxlen=KEPT)
        self._violations: deque[Entry] = deque(maxlen=KEPT)
        self._seq = 0

    def add(self, entry: Entry) -> None:
        """Number the entry and keep it."""
        with self._lock:
            self._seq += 1
            entry.seq = self._seq
            self._calls.append(entry)
            if entry.problem is not None:
                self._violations.append(entry)

    def calls(self, since: int = 0, **wanted: object) -> tuple[list[dict[str, Any]], int]:
        """The entries after number `since` whose fields have the `wanted` values.

        Returns:
            the entries, and the number to ask with next.
        """
        with self._lock:
            kept, last = list(self._calls), self._seq
        return [_as_json(entry) for entry in kept if _wanted(entry, since, wanted)], last

    def violations(self, since: int = 0) -> list[dict[str, Any]]:
        """The entries of requests that broke their service's model."""
        with self._lock:
            kept = list(self._violations)
        return [_as_json(entry) | {"problem": entry.problem} for entry in kept if entry.seq > since]


def is_mutating(service: str, operation: str, params: dict[str, Any]) -> bool:
    """Whether the call changes something in AWS; a DryRun does not."""
    if params.get("DryRun") is True:
        return False
    if (service, operation) in MUTATING_DESPITE_PREFIX:
        return True
    return not operation.startswith(READING_PREFIXES)


def printable(operation: Operation, params: dict[str, Any]) -> dict[str, Any]:
    """`params` as JSON values, without what the model marks as sensitive."""
    shape = operation.model.input_shape
    if shape is None:
        return {}
    return {name: _printable(shape.members[name], value) for name, value in params.items()}


def _printable(shape: Any, value: Any) -> Any:
    if shape.metadata.get("sensitive"):
        return "***"
    if isinstance(value, bytes):
        return {"bytes": len(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict) and shape.type_name == "structure" and shape.members:
        return {name: _printable(shape.members[name], item) for name, item in value.items()}
    if isinstance(value, dict) and shape.type_name == "map":
        return {str(key): _printable(shape.value, item) for key, item in value.items()}
    if isinstance(value, list) and shape.type_name == "list":
        return [_printable(shape.member, item) for item in value]
    return value


def _wanted(entry: Entry, since: int, wanted: dict[str, object]) -> bool:
    return entry.seq > since and all(getattr(entry, k) == v for k, v in wanted.items())


def _as_json(entry: Entry) -> dict[str, Any]:
    fields = asdict(entry)
    del fields["problem"]
    return fields

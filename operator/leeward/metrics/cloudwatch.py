"""The metrics of executions in CloudWatch, where a setting asks for them.

Values are gathered and put once a minute, in the background. CloudWatch counts twice what it gets
twice, so that what may have arrived is dropped, not sent again; dashboards are no record.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from leeward.api.execution import DRExecution
from leeward.metrics.runs import Ended, GateEnded, Happening, Started
from leeward_adapters.base import ErrorClass
from leeward_adapters.calls import Attempt
from leeward_adapters.cloudwatch import MOST, Datum, Statistics, Unit
from leeward_adapters.errors import classify

log = logging.getLogger(__name__)

EVERY: Final = 60.0
"""Seconds between two puts: CloudWatch keeps values by the minute."""
ROOM: Final = 5000
"""Values that wait at most; then the oldest are dropped."""
ACCOUNTS: Final = 200
"""Accounts whose latency is told apart; the rest of a minute's are taken together."""

Put = Callable[[Sequence[Datum]], None]
"""Puts values once, or raises botocore's error; called in a thread."""
Count = Callable[[str, int], None]
"""Is told how many values were Sent, or Dropped."""


class Publisher:
    """Gathers values and puts them.

    Args:
        put: see `Put`.
        hub: identity of the hub, a dimension of every value.
        now: the time.
        count: see `Count`.
    """

    def __init__(self, put: Put, hub: str, now: Callable[[], datetime], count: Count) -> None:
        self._put = put
        self._hub = hub
        self._now = now
        self._count = count
        self._waiting: deque[Datum] = deque()
        self._latency: dict[str, Statistics] = {}
        self._lock = threading.Lock()
        self._said = False

    def happened(self, run: DRExecution, what: Happening) -> None:
        """Something happened to an execution."""
        for name, value in _values(what):
            self._add(name, value, run)

    def _add(self, name: str, value: float, run: DRExecution) -> None:
        whole = {"Hub": self._hub}
        part = whole | {"Namespace": run.metadata.namespace, "Operation": run.spec.operation}
        for dimensions in (whole, part):
            unit: Unit = "None" if name in _MINUTES else "Count"
            self._waiting.append(Datum(name, value, unit, self._now(), dimensions))
        while len(self._waiting) > ROOM:
            self._waiting.popleft()
            self._count("Dropped", 1)

    def aws(self, attempt: Attempt) -> None:
        """An attempt of a call to AWS; safe to call from any thread."""
        if not attempt.account_id or attempt.outcome == "NotSent":
            return
        with self._lock:
            known = attempt.account_id in self._latency or len(self._latency) < ACCOUNTS
            account = attempt.account_id if known else "other"
            before = self._latency.get(account)
            self._latency[account] = _with(before, attempt.seconds)

    async def publish_forever(self) -> None:
        """Put what was gathered, once a minute, without end."""
        while True:
            await asyncio.sleep(EVERY)
            await self.publish()

    async def publish(self) -> None:
        """Put what was gathered; what fails is logged, and no reason to end."""
        self._waiting.extend(self._latencies())
        while self._waiting:
            batch = list(islice(self._waiting, MOST))
            try:
                await asyncio.to_thread(self._put, batch)
            except (ClientError, BotoCoreError) as error:
                fault = classify(error)
                log.warning("CloudWatch took no metrics: %s: %s", fault.code, fault.message)
                if fault.kind is not ErrorClass.TRANSIENT:
                    self._take(len(batch), "Dropped")
                return
            except Exception:
                # Such as botocore's parser meeting a proxy's page: the values may have arrived.
                if not self._said:
                    log.exception(
                        "CloudWatch could not be given metrics; such values are dropped and "
                        "counted, and further errors of this kind are not logged"
                    )
                self._said = True
                self._take(len(batch), "Dropped")
                return
            self._take(len(batch), "Sent")

    def _take(self, number: int, outcome: str) -> None:
        for _ in range(number):
            self._waiting.popleft()
        self._count(outcome, number)

    def _latencies(self) -> Iterator[Datum]:
        with self._lock:
            found, self._latency = self._latency, {}
        for account, value in found.items():
            dimensions = {"Hub": self._hub, "AccountId": account}
            yield Datum("CrossAccountLatency", value, "Seconds", self._now(), dimensions)


_MINUTES: Final = frozenset({"ExecutionDuration"})
"""A unit that CloudWatch does not know."""


def _values(what: Happening) -> Iterator[tuple[str, float]]:
    """Name and value of what CloudWatch is told."""
    match what:
        case Started():
            yield "ExecutionCount", 1
        case GateEnded(outcome, _):
            # Zeros besides, so that the average is the rate.
            yield "ApprovalTimeout", outcome == "TimedOut"
        case Ended():
            yield "ExecutionSuccess", what.state == "Succeeded"
            yield "ExecutionFailure", what.state in {"Failed", "Expired"}
            if what.lasted is not None:
                yield "ExecutionDuration", what.lasted.total_seconds() / 60
                yield "ResourceCount", sum(what.resources.values())
                yield "WaveCount", len(what.waves)


def _with(before: Statistics | None, seconds: float) -> Statistics:
    if before is None:
        return Statistics(1, seconds, seconds, seconds)
    return Statistics(
        before.count + 1, before.total + seconds,
        min(before.least, seconds), max(before.most, seconds),
    )  # fmt: skip

"""When a span is told: as soon as the operator's watch shows that it has ended, and once.

A leader answers for what ends while it leads, by the times on the record. What ended before was
told by whoever led then, unless that one was killed: then some of it is told again, the same
spans with the same ids. An execution that has its verdict is read once more with all its tasks,
and so is what still lives when the process ends: the watch may lag behind what was written.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

from leeward.api.execution import TERMINAL, DRExecution
from leeward.api.plan import RecoveryPlan
from leeward.api.task import DRTask
from leeward.engine.kube import ApiError, ApiUnavailable, Kube
from leeward.engine.lease import Lease
from leeward.engine.objects import EXECUTION_LABEL, label_value, read, read_each
from leeward.planning.runs.waves import ENDED
from leeward.planning.times import parse_time
from leeward.tracing.spans import (
    Reach,
    Span,
    attempt_id,
    of_end,
    of_gates,
    of_task,
    reach,
    traced,
)

log = logging.getLogger(__name__)

UNSURE: Final = timedelta(minutes=1)
"""How long before its last sign of life a process that was killed may have left spans untold."""
REMEMBERED: Final = 100
"""Executions with their verdict of which it is known what was told, beside all that live."""
_LAST_LOOK: Final = 5.0
"""Seconds for a last look when the process ends; what it finds is told by nobody else."""
_PAUSES: Final = (0.5, 1.0, 2.0, 5.0)


@dataclass(slots=True)
class _Known:
    """An execution that was seen."""

    namespace: str
    name: str
    told: set[int] = field(default_factory=set)
    """Ids of its spans that were told."""
    gates: tuple[Any, ...] = ()
    """As they were when they were last looked at."""
    over: bool = False
    """Whether it has its verdict, and all is told or being told, or is gone."""
    done: str = ""
    """When it ended, as on the record; empty: it is not over, or nobody knows."""


class Sight:
    """What the watch shows of executions and tasks.

    Args:
        tell: is told each span, once.
        since: the time; nothing that ended before is told, see `lead`.
    """

    def __init__(self, tell: Callable[[Span], None], since: datetime) -> None:
        self._tell = tell
        self._since = since
        self._until: datetime | None = None
        self._known: OrderedDict[str, _Known] = OrderedDict()
        """By uid, what was seen last at the end."""
        self._forgotten = datetime.min.replace(tzinfo=UTC)
        """When the last execution ended of those that were forgotten."""
        self._kube: Kube | None = None
        self._working: set[asyncio.Task[None]] = set()
        """What reads ended executions, each named by its uid."""

    def lead(self, kube: Kube, lease: Lease) -> None:
        """This process leads from now on: answer for what ends, and for what was left untold."""
        self._kube = kube
        self._since = lease.since
        if lease.left is not None:
            # A clock that was fast put the last one's leave into what is the future of this one.
            self._since = min(lease.left, lease.since) - UNSURE
            self._begin("", partial(self._catch_up, kube))

    def execution(self, body: Any, *, deleted: bool = False) -> None:
        """An execution was seen, in a list or when it changed, or for the last time."""
        metadata, status = body["metadata"], body.get("status") or {}
        if deleted and metadata["uid"] not in self._known:
            return
        known = self._of(metadata["uid"], metadata["namespace"], metadata["name"])
        if deleted or status.get("state") in TERMINAL:
            if self._kube is not None and not known.over and self._ours(status):
                self._tell_rest(self._kube, metadata["uid"], known)
            self._over(known, status.get("completionTime") or "")
            return
        gates = tuple((g["id"], g["state"]) for g in status.get("gates") or ())
        if gates != known.gates:
            known.gates = gates
            self._tell_all(known, of_gates(DRExecution.model_validate(body)))

    def task(self, body: Any) -> None:
        """A task was seen, in a list or when it changed. To be called of none that was deleted."""
        status = body.get("status") or {}
        if status.get("state") not in ENDED or not self._ours(status):
            return
        metadata, owner = body["metadata"], body["spec"]["executionRef"]
        ended = parse_time(status["completionTime"])
        if owner["uid"] not in self._known and ended <= self._forgotten:
            return
        known = self._of(owner["uid"], metadata["namespace"], owner["name"])
        # A list brings all that ended, and to read one takes milliseconds.
        if attempt_id(metadata["uid"], status.get("attempt", 1)) not in known.told:
            self._tell_all(known, _spans(DRTask.model_validate(body)))

    def _ours(self, status: Any) -> bool:
        """Whether it ended while this process leads."""
        done = status.get("completionTime")
        return bool(done) and parse_time(done) >= self._since

    async def close(self, until: datetime) -> None:
        """A last look at what lives, for what ended before this process led no more."""
        self._until = until
        working = {task.get_name() for task in self._working}
        unfinished = [i for i in self._known.items() if not i[1].over or i[0] in working]
        for task in self._working:
            task.cancel()
        if self._kube is None:
            return
        try:
            async with asyncio.timeout(_LAST_LOOK):
                for uid, known in reversed(unfinished):  # what moved last has most to tell
                    await self._tell_of(self._kube, uid, known)
        except (ApiError, ApiUnavailable, TimeoutError) as error:
            log.warning("traces: no last look at what lives: %s", error or "no answer in time")
        except Exception:  # whoever closes has more to close
            log.exception("traces: no last look at what lives")

    def _of(self, uid: str, namespace: str, name: str) -> _Known:
        known = self._known.setdefault(uid, _Known(namespace, name))
        self._known.move_to_end(uid)
        return known

    def _over(self, known: _Known, done: str) -> None:
        """It has its verdict since `done`, or was deleted without: what long has is forgotten."""
        known.over, known.done = True, done
        over = [uid for uid, each in self._known.items() if each.over]
        for uid in over[:-REMEMBERED]:
            if old := self._known.pop(uid).done:
                self._forgotten = max(self._forgotten, parse_time(old))

    def _tell_rest(self, kube: Kube, uid: str, known: _Known) -> None:
        self._begin(uid, partial(self._tell_of, kube, uid, known))

    def _begin(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.create_task(_persist(work), name=name)
        self._working.add(task)
        task.add_done_callback(self._working.discard)

    def _tell_all(self, known: _Known, spans: Iterable[Span]) -> None:
        for span in spans:
            late = self._until is not None and span.known > self._until
            if span.known < self._since or late or span.id in known.told:
                continue
            known.told.add(span.id)
            self._tell(span)

    async def _tell_of(self, kube: Kube, uid: str, known: _Known) -> None:
        """Tell all that the record of an execution says and was not told yet."""
        run = await _execution(kube, uid, known)
        if run is None or not traced(run):
            return
        reached: list[Reach] = []
        failed: list[str] = []
        async for task in _tasks(kube, run):
            self._tell_all(known, _spans(task))
            if (part := reach(task)) is not None:
                reached.append(part)
            if task.status.state == "Failed":
                failed.append(task.metadata.name)
        self._tell_all(known, of_gates(run))
        self._tell_all(known, of_end(run, reached, failed))

    async def _catch_up(self, kube: Kube) -> None:
        """Look for executions that ended and were closed right before a leader was killed."""
        async for plan in read_each(kube, RecoveryPlan, None):
            for entry in plan.model.status.history:
                if parse_time(entry.completion_time) >= self._since:
                    known = self._of(entry.uid, plan.model.metadata.namespace, entry.name)
                    if not known.over:
                        self._over(known, entry.completion_time)
                        self._tell_rest(kube, entry.uid, known)


def _spans(task: DRTask) -> tuple[Span, ...]:
    span = of_task(task)
    return () if span is None else (span,)


async def _persist(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do it, again and again while the API server does not let it."""
    for pause in _forever():
        try:
            await work()
            return
        except (ApiError, ApiUnavailable) as error:
            log.warning("traces: cannot read what ended: %s", error)
        except Exception:
            log.exception("traces: what ended cannot be told")
            return
        await asyncio.sleep(pause)


async def _execution(kube: Kube, uid: str, known: _Known) -> DRExecution | None:
    try:
        run = await read(kube, DRExecution, known.namespace, known.name)
    except ApiError as error:
        if error.status == 404:
            return None
        raise
    return run.model if run.model.metadata.uid == uid else None


async def _tasks(kube: Kube, run: DRExecution) -> AsyncIterator[DRTask]:
    selector = f"{EXECUTION_LABEL}={label_value(run.metadata.name)}"
    async for task in read_each(kube, DRTask, run.metadata.namespace, selector):
        await asyncio.sleep(0)  # thousands may be read, and the Lease is to be kept
        if task.model.spec.execution_ref.uid == run.metadata.uid:
            yield task.model


def _forever() -> Iterator[float]:
    yield from _PAUSES
    while True:
        yield 10.0

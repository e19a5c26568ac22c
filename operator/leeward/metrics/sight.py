"""What the operator's watch shows, kept as long as it is there, for the gauges.

A leader alone sees anything. What happened is the difference between two sights, so that nothing
of an engine that decides and records has to say what is counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from leeward.api.account import TargetAccount
from leeward.api.common import Resource
from leeward.api.execution import TERMINAL, DRExecution, DRExecutionStatus
from leeward.api.plan import RecoveryPlan
from leeward.api.schedule import DRSchedule
from leeward.metrics.estate import Sample, of_account, of_execution, of_plan, of_schedule
from leeward.metrics.runs import Happening, happened

log = logging.getLogger(__name__)
R = TypeVar("R", bound=Resource)


@dataclass(slots=True)
class Shelf(Generic[R]):
    """Objects of one kind as they were last seen, by uid."""

    model: type[R]
    speak: Callable[[R], Iterator[Sample]]
    _new: dict[str, Any] = field(default_factory=dict)
    """Bodies that were not read yet."""
    _samples: dict[str, tuple[Sample, ...]] = field(default_factory=dict)

    def saw(self, body: Any, *, deleted: bool) -> None:
        """An object was seen, or seen to go."""
        uid = body["metadata"]["uid"]
        self._new.pop(uid, None)
        if deleted:
            self._samples.pop(uid, None)
        else:
            self._new[uid] = body

    async def samples(self, alive: Collection[str]) -> list[Sample]:
        """What they say; those that are not `alive` (uids) went without the watch telling.

        An object is read once for each scrape, however often it was written meanwhile. A plan
        takes up to 10 ms: they are read in a thread, all of them, because the Lease is to be kept
        meanwhile, and a scrape that waited for a turn of a busy loop with each would time out.
        """
        new, self._new = self._new, {}
        said = self._samples | (await asyncio.to_thread(self._read, new) if new else {})
        self._samples = {uid: samples for uid, samples in said.items() if uid in alive}
        return [sample for samples in self._samples.values() for sample in samples]

    def _read(self, bodies: Mapping[str, Any]) -> dict[str, tuple[Sample, ...]]:
        return {uid: self._said(body) for uid, body in bodies.items()}

    def _said(self, body: Any) -> tuple[Sample, ...]:
        """What one says; nothing where it cannot be read, so that the others are heard."""
        try:
            return tuple(self.speak(self.model.model_validate(body)))
        except ValueError as error:
            where, name = body["metadata"].get("namespace", ""), body["metadata"].get("name", "")
            log.warning("%s %s/%s has no metrics: %s", self.model.__name__, where, name, error)
            return ()


class Runs:
    """Executions as they were last seen; tells what happened to them.

    Args:
        tell: is told of each happening.
    """

    def __init__(self, tell: Callable[[DRExecution, Happening], None]) -> None:
        self._tell = tell
        self._seen: dict[str, DRExecution] = {}

    def saw(self, body: Any, *, kind: str | None) -> None:
        """An execution was seen. `kind`: ADDED, MODIFIED, DELETED; None: in a list.

        What a list shows for the first time was counted by whoever led before.
        """
        run = DRExecution.model_validate(body)
        before = self._seen.get(run.metadata.uid)
        if before is None and kind is not None:
            before = run.model_copy(update={"status": DRExecutionStatus()})
        if before is not None:
            for what in happened(before, run):
                self._tell(run, what)
        if kind == "DELETED":
            self._seen.pop(run.metadata.uid, None)
        else:
            self._seen[run.metadata.uid] = run

    def samples(self, alive: Collection[str]) -> Iterator[Sample]:
        """What those say that live; of the others, those that ended are forgotten."""
        gone = [
            uid
            for uid, run in self._seen.items()
            if uid not in alive and run.status.state in TERMINAL
        ]
        for uid in gone:
            del self._seen[uid]
        for uid, run in self._seen.items():
            if uid in alive:
                yield from of_execution(run)


class Sight:
    """All that the watch shows.

    Args:
        tell: is told what happens to executions.
        tenant: is told each namespace that has a plan.
    """

    def __init__(
        self, tell: Callable[[DRExecution, Happening], None], tenant: Callable[[str], None]
    ) -> None:
        self._tenant = tenant
        self.runs = Runs(tell)
        self.plans = Shelf(RecoveryPlan, of_plan)
        self.accounts = Shelf(TargetAccount, of_account)
        self.schedules = Shelf(DRSchedule, of_schedule)

    def plan(self, body: Any, *, deleted: bool) -> None:
        """A plan was seen, or seen to go."""
        self._tenant(body["metadata"]["namespace"])
        self.plans.saw(body, deleted=deleted)

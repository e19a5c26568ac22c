"""The end of a run: what remains once its verdict stands. Every step repeats safely."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from leeward.api.common import FINALIZER
from leeward.api.execution import DRExecution, WaveProgress
from leeward.api.plan import RecoveryPlan, RecoveryPlanSpec
from leeward.api.plan_record import HistoryEntry, Location, RecoveryPlanStatus
from leeward.api.task import DRTask
from leeward.engine.context import Context
from leeward.engine.estate import inventories_of
from leeward.engine.follower import Follower
from leeward.engine.kube import ApiError, Object
from leeward.engine.notifier import Notifier
from leeward.engine.objects import (
    ENDED_LABEL,
    EXECUTION_LABEL,
    LIVE_LABEL,
    Held,
    label_value,
    patch_metadata,
    put_status,
    read,
    read_all,
)
from leeward.planning.estate.direction import MOVES_TO
from leeward.planning.estate.location import estate_location
from leeward.planning.plans import drill
from leeward.planning.runs import fencing, left_stopped
from leeward.planning.runs.run_times import remembered, wave_actuals
from leeward.planning.times import render_time

_AT_ONCE = 8
"""Executions that are closed at a time: after a long outage many may wait for it."""
_ENDED = {ENDED_LABEL: "true"}


class Finisher:
    """Closes executions that have their verdict."""

    def __init__(self, context: Context, notifier: Notifier) -> None:
        self._c = context
        self._notifier = notifier
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._follower = Follower(context)

    async def close(self, run: Held[DRExecution]) -> float | None:
        """Release the plan, let the tasks rest, create what follows, tell people, take the
        finalizer off.

        With the finalizer goes the execution itself out of the operator's sight.

        Seconds until the next pass while people are being told, which holds nothing else up; None
        when the run is closed. Needs no AWS.
        """
        async with self._room:
            return await self._close(run)

    async def _close(self, run: Held[DRExecution]) -> float | None:
        if FINALIZER not in run.model.metadata.finalizers:
            if ENDED_LABEL not in run.model.metadata.labels:
                await patch_metadata(self._c.kube, run, {"labels": _ENDED})
            return None
        namespace, name = run.model.metadata.namespace, run.model.metadata.name
        selector = f"{EXECUTION_LABEL}={label_value(name)}"
        tasks = await read_all(self._c.kube, DRTask, namespace, selector)
        await self._release_plan(run.model, [t.model for t in tasks])
        await self._rest_tasks(tasks)
        run = await self._follower.follow(run)
        if (wait := await self._notifier.settle(run, [t.model for t in tasks])) is not None:
            return wait.total_seconds()
        finalizers = [f for f in run.model.metadata.finalizers if f != FINALIZER]
        ended: Object = {"finalizers": finalizers or None, "labels": _ENDED}
        await patch_metadata(self._c.kube, run, ended)
        return None

    async def _release_plan(self, run: DRExecution, tasks: Sequence[DRTask]) -> None:
        namespace, name = run.metadata.namespace, run.spec.plan_ref.name
        try:
            plan = await read(self._c.kube, RecoveryPlan, namespace, name)
        except ApiError as error:
            if error.status == 404:
                return
            raise
        status = plan.model.status
        active = status.active_execution
        if active is not None and active.uid == run.metadata.uid:
            status = status.model_copy(update={"active_execution": None})
        dry = run.spec.dry_run == "Plan"  # it did nothing that could be repeated
        if not dry and all(h.uid != run.metadata.uid for h in status.history):
            status = self._with_history(run, plan.model.spec, status, tasks)
            left = fencing.left_behind(
                status.deferred_fence, tasks, self._c.now(), part=run.spec.resources is not None
            )
            idle = left_stopped.after_run(status.left_stopped, run, tasks, self._c.now())
            status = status.model_copy(update={"deferred_fence": left, "left_stopped": idle})
            if drill.passed_whole(run):
                inventories = [i.model for i in await inventories_of(self._c.kube, plan.model)]
                passed = drill.baseline(run, tasks, inventories, render_time(self._c.now()))
                status = status.model_copy(update={"last_drill": passed})
        await put_status(self._c.kube, plan, status)

    def _with_history(
        self,
        run: DRExecution,
        plan: RecoveryPlanSpec,
        status: RecoveryPlanStatus,
        tasks: Sequence[DRTask],
    ) -> RecoveryPlanStatus:
        entry = HistoryEntry(
            name=run.metadata.name,
            uid=run.metadata.uid,
            operation=run.spec.operation,
            state=run.status.state or "Failed",
            completion_time=run.status.completion_time or render_time(self._c.now()),
            waves=wave_actuals(run.status),
        )
        update: dict[str, object] = {"history": remembered(status.history, entry)[-200:]}
        there = MOVES_TO.get(run.spec.operation)
        if there is not None and run.status.location is not None:
            if run.spec.resources is not None:
                there = "Mixed"  # the rest of the wave stayed where it was
            # What a Failback stopped leaves the wave where a run had moved it.
            out = run.spec.operation == "Failover"
            fenced = {t.spec.wave for t in fencing.stopped(tasks) if out}
            moved = {
                w.name: _where(w, there, fenced=w.name in fenced)
                for w in run.status.waves
                if w.resources.total
            }
            waves = [
                w.model_copy(update={"location": moved.get(w.name) or w.location})
                for w in status.waves
            ]
            update |= {"waves": waves, "location": estate_location(plan.waves, waves)}
        return status.model_copy(update=update)

    async def _rest_tasks(self, tasks: Sequence[Held[DRTask]]) -> None:
        for task in tasks:
            if LIVE_LABEL in task.model.metadata.labels:
                await patch_metadata(self._c.kube, task, {"labels": {LIVE_LABEL: None}})


def _where(wave: WaveProgress, there: Location, *, fenced: bool) -> Location | None:
    """Where a wave serves after a run to that side left it so; None: as before.

    `fenced`: something of it was stopped on the side that was left.
    """
    if wave.state == "Complete" and wave.resources.complete:
        return there
    if wave.state == "Abandoned":
        return "Mixed" if wave.resources.complete or fenced else None
    return None if wave.state in {"NotStarted", "Skipped"} else "Mixed"

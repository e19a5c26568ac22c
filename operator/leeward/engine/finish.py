"""The end of a run: what remains once its verdict stands. Every step repeats safely."""

from __future__ import annotations

from leeward.api.common import FINALIZER
from leeward.api.execution import DRExecution, WaveProgress
from leeward.api.plan import RecoveryPlan
from leeward.api.plan_record import HistoryEntry, Location, RecoveryPlanStatus
from leeward.api.task import DRTask
from leeward.engine.context import Context
from leeward.engine.kube import ApiError
from leeward.engine.objects import (
    EXECUTION_LABEL,
    LIVE_LABEL,
    Held,
    label_value,
    patch_metadata,
    put_status,
    read,
    read_all,
)
from leeward.planning.times import render_time


class Finisher:
    """Closes executions that have their verdict."""

    def __init__(self, context: Context) -> None:
        self._c = context

    async def close(self, run: Held[DRExecution]) -> None:
        """Release the plan, let the tasks rest, take the finalizer off. Needs no AWS."""
        if FINALIZER not in run.model.metadata.finalizers:
            return
        await self._release_plan(run.model)
        await self._rest_tasks(run.model)
        finalizers = [f for f in run.model.metadata.finalizers if f != FINALIZER]
        await patch_metadata(self._c.kube, run, {"finalizers": finalizers or None})

    async def _release_plan(self, run: DRExecution) -> None:
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
        if all(h.uid != run.metadata.uid for h in status.history):
            status = self._with_history(run, status)
        await put_status(self._c.kube, plan, status)

    def _with_history(self, run: DRExecution, status: RecoveryPlanStatus) -> RecoveryPlanStatus:
        entry = HistoryEntry(
            name=run.metadata.name,
            uid=run.metadata.uid,
            operation=run.spec.operation,
            state=run.status.state or "Failed",
            completion_time=run.status.completion_time or render_time(self._c.now()),
        )
        update: dict[str, object] = {"history": [*status.history, entry][-200:]}
        if run.spec.operation == "Failover" and run.status.location is not None:
            moved = {w.name: _where(w) for w in run.status.waves if w.resources.total}
            waves = [
                w.model_copy(update={"location": moved.get(w.name) or w.location})
                for w in status.waves
            ]
            update |= {"waves": waves, "location": run.status.location}
        return status.model_copy(update=update)

    async def _rest_tasks(self, run: DRExecution) -> None:
        namespace, name = run.metadata.namespace, run.metadata.name
        selector = f"{EXECUTION_LABEL}={label_value(name)},{LIVE_LABEL}=true"
        for task in await read_all(self._c.kube, DRTask, namespace, selector):
            await patch_metadata(self._c.kube, task, {"labels": {LIVE_LABEL: None}})


def _where(wave: WaveProgress) -> Location | None:
    """Where a wave serves after a failover left it so; None: as before."""
    if wave.state == "Complete" and wave.resources.complete:
        return "Recovery"
    return None if wave.state in {"NotStarted", "Abandoned", "Skipped"} else "Mixed"

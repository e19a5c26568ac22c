"""Who works on a plan and on its resources: one live run each.

A plan is taken by compare-and-set. A drill never stands in the way of the real thing: a Failover
cancels the Tests that hold its plan or its servers, and does not wait for their clean-up. Nor does
a Reprotect stand in the way of an Unplanned run: what AWS replicates goes on without it. Nor, on
its own plan, does a run that has nothing to lose (`planning/runs/making_way.py`). A run that
continues another one cancels it, and waits until nothing of it is under way.
"""

from __future__ import annotations

from collections.abc import Sequence

from leeward.api.common import PREFIX
from leeward.api.execution import CommandRecord, DRExecution
from leeward.api.plan import RecoveryPlan
from leeward.api.plan_record import ActiveExecution
from leeward.api.task import DRTask, DRTaskSpec, ExecutionRef
from leeward.engine.context import Context
from leeward.engine.kube import ApiError
from leeward.engine.objects import (
    EXECUTION_LABEL,
    LIVE_LABEL,
    Held,
    label_value,
    put_status,
    read,
    read_all,
    read_each,
)
from leeward.planning.runs.commands import remembered
from leeward.planning.runs.holding import Holding, holdings
from leeward.planning.runs.making_way import releases, yields
from leeward.planning.times import render_time

OPERATOR = "leeward"
"""Who cancels a run so that another can start, in the record of commands."""


class Claims:
    """Takes plans and resources for runs."""

    def __init__(self, context: Context) -> None:
        self._c = context

    async def held_elsewhere(
        self, execution: DRExecution, plan: RecoveryPlan
    ) -> dict[Holding, str]:
        """The other live run that holds a resource, in whatever namespace.

        The run that holds the plan itself is left to `take`. One that has its verdict holds
        nothing any more, even if its tasks still have to be laid to rest; nor does a Test that
        this run may cancel.
        """
        active = plan.status.active_execution
        own = {execution.metadata.uid, active.uid if active else ""}
        runs: dict[str, Held[DRExecution] | None] = {}
        held: dict[Holding, str] = {}
        async for task in read_each(self._c.kube, DRTask, None, f"{LIVE_LABEL}=true"):
            holder, namespace = task.model.spec.execution_ref, task.model.metadata.namespace
            if holder.uid in own:
                continue
            if holder.uid not in runs:
                runs[holder.uid] = await self._live(holder, namespace)
            other = runs[holder.uid]
            if other is not None and not yields(other.model, execution):
                name = f"{namespace}/{holder.name}"
                held |= dict.fromkeys(holdings(task.model.spec), name)
        return held

    async def take(self, plan: Held[RecoveryPlan], execution: DRExecution) -> str:
        """Take the plan for this run by compare-and-set; why not, or an empty string."""
        active = plan.model.status.active_execution
        uid, namespace = execution.metadata.uid, execution.metadata.namespace
        if active is not None and active.uid == uid:
            return ""
        other = await self._live(active, namespace) if active is not None else None
        why = ""
        if other is not None:
            selector = f"{EXECUTION_LABEL}={label_value(other.model.metadata.name)}"
            tasks = await read_all(self._c.kube, DRTask, namespace, selector)
            why = releases(other.model, execution, [t.model for t in tasks])
        if other is not None and not why:
            return (
                f"plan {plan.model.metadata.name} is already run by execution "
                f"{other.model.metadata.name}; wait for it, cancel it, or correct it by an "
                "execution with continueFrom"
            )
        if other is not None:
            await self._cancel(other, execution, why)
        mine = ActiveExecution(name=execution.metadata.name, uid=uid)
        status = plan.model.status.model_copy(update={"active_execution": mine})
        await put_status(self._c.kube, plan, status)
        return ""

    async def clear_drills(self, execution: DRExecution, tasks: Sequence[DRTaskSpec]) -> bool:
        """Cancel the Tests that hold what a run that is no Test will hold by its `tasks`.

        Whether there are any, be it that they were cancelled before: they still clean up.
        """
        if execution.spec.operation == "Test":
            return False
        wanted = frozenset[Holding]().union(*map(holdings, tasks))
        found = False
        seen: set[str] = set()
        async for task in read_each(self._c.kube, DRTask, None, f"{LIVE_LABEL}=true"):
            holder = task.model.spec.execution_ref
            drill = task.model.spec.operation == "Test"
            if not drill or holder.uid in seen or wanted.isdisjoint(holdings(task.model.spec)):
                continue
            seen.add(holder.uid)
            if other := await self._live(holder, task.model.metadata.namespace):
                found = True
                await self._cancel(other, execution, "a drill does not stand in its way")
        return found

    async def continued(self, execution: DRExecution) -> DRExecution | None:
        """The run that this one continues; None: there is none of that name, or none is named."""
        previous = execution.spec.continue_from
        if previous is None:
            return None
        other = await self._named(previous.name, execution.metadata.namespace)
        return other.model if other else None

    async def settled(self, execution: DRExecution) -> str:
        """Cancel the run that this one continues; what is still under way of it, or nothing."""
        previous = execution.spec.continue_from
        if previous is None:
            return ""
        other = await self._named(previous.name, execution.metadata.namespace)
        if other is None or other.model.status.completion_time:
            return ""
        await self._cancel(other, execution, "it is continued there")
        name = other.model.metadata.name
        return f"waiting until nothing of {name} is under way: {other.model.status.message or ''}"

    async def _cancel(self, other: Held[DRExecution], execution: DRExecution, why: str) -> None:
        status = other.model.status
        if status.cancelling:
            return
        record = CommandRecord(
            key=f"{PREFIX}cancel",
            user=OPERATOR,
            comment=f"execution {execution.metadata.name} starts; {why}"[:256],
            time=render_time(self._c.now()),
            result="nothing new is started",
        )
        update = {"cancelling": True, "commands": remembered(status.commands, record)}
        written = await put_status(self._c.kube, other, status.model_copy(update=update))
        message = f"{record.key} by {record.user} ({record.comment})"
        await self._c.recorder.emit(written.raw, "Superseded", message, "Warning", record.time)

    async def _live(
        self, holder: ActiveExecution | ExecutionRef, namespace: str
    ) -> Held[DRExecution] | None:
        """That execution, and not a later one of its name, if it has no verdict yet."""
        other = await self._named(holder.name, namespace)
        if other is None or other.model.metadata.uid != holder.uid:
            return None
        return None if other.model.status.completion_time else other

    async def _named(self, name: str, namespace: str) -> Held[DRExecution] | None:
        try:
            return await read(self._c.kube, DRExecution, namespace, name)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

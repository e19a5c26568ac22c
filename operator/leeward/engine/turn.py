"""What one pass over a task works with, and what its decisions are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from leeward.api.execution import DRExecution
from leeward.api.task import DRTask, DRTaskStatus
from leeward.engine import journal
from leeward.engine.context import Context
from leeward.engine.objects import Held
from leeward.engine.targets import settings_of, target_of
from leeward.planning.runs import fencing
from leeward.planning.runs.earlier import NOTHING, Earlier
from leeward.planning.runs.steering import paused_for
from leeward.planning.tasks.barred import barred_for
from leeward.planning.tasks.step import StepInput
from leeward.planning.tasks.step_requests import losses_accepted, relaunched
from leeward.planning.tasks.withdrawn import withdrawn
from leeward.planning.times import parse_time
from leeward_adapters import registry
from leeward_adapters.base import (
    ActionTraits,
    Adapter,
    Observed,
    Phase,
    Scope,
    Step,
    actions_of,
)


@dataclass(frozen=True, slots=True)
class Turn:
    """One pass."""

    run: Held[DRExecution]
    task: Held[DRTask]
    adapter: Adapter
    actions: Mapping[str, ActionTraits]
    scope: Scope
    step: Step
    holding: bool
    stopping: bool

    def as_of(self, since: float) -> Turn:
        """The same with answers of AWS of that moment or later, see `Step.since`."""
        return replace(self, step=replace(self.step, since=since))

    def with_pre_states(self, status: DRTaskStatus) -> Turn:
        """The same with the pre-states that were just written."""
        return replace(self, step=replace(self.step, pre_states=_pre_states(status)))


def turn_of(
    context: Context,
    run: Held[DRExecution],
    task: Held[DRTask],
    before: Earlier = NOTHING,
    *,
    holding: bool,
    stopping: bool,
) -> Turn:
    """A pass over the task, which is told of the phases `before` its own; it looks as of now.

    Raises:
        AdapterError: nothing is known of the task's technology.
    """
    adapter = registry.adapter(task.model.spec.technology)
    actions = actions_of(adapter)
    scope = context.scope_of(task.model.spec, run.model.metadata.namespace)
    step = _step(context, run.model, task.model, actions, before, stopping=stopping)
    return Turn(run, task, adapter, actions, scope, step, holding, stopping)


def given(context: Context, turn: Turn, observed: Observed) -> StepInput:
    """What the decision of a pass is made from."""
    spec = turn.task.model.spec
    account = context.book.entry(spec.account).spec
    return input_of(
        context, turn.run, turn.task, turn.actions, observed,
        holding=turn.holding, stopping=turn.stopping,
        barred=withdrawn(spec, turn.run.model.metadata.namespace, account),
    )  # fmt: skip


def input_of(
    context: Context,
    run: Held[DRExecution],
    task: Held[DRTask],
    actions: Mapping[str, ActionTraits],
    observed: Observed,
    *,
    holding: bool,
    stopping: bool,
    barred: str = "",
) -> StepInput:
    """The same for a task that has no adapter, and so asks nothing of any account."""
    status, now = task.model.status, context.now()
    began = parse_time(status.start_time) if status.start_time else now
    return StepInput(
        spec=task.model.spec,
        status=status,
        observed=observed,
        actions=actions,
        epoch=context.lease.epoch,
        leader_since=context.lease.since,
        now=now,
        rules=context.step_rules(),
        holding=holding,
        stopping=stopping,
        barred=barred,
        held=paused_for(run.model.status.commands, began, now) + barred_for(status, now),
    )


def _step(
    context: Context,
    run: DRExecution,
    task: DRTask,
    actions: Mapping[str, ActionTraits],
    before: Earlier,
    *,
    stopping: bool,
) -> Step:
    spec, status = task.spec, task.status
    return Step(
        token=task.metadata.uid,
        phase=Phase(spec.recovery_phase),
        operation=spec.operation,
        started=_started(status, context.now()),
        source_region=spec.source_region,
        unplanned=fencing.unplanned(run),
        unfenced=before.unfenced,
        fenced=before.fenced,
        accepted=before.accepted | losses_accepted(status),
        targets=tuple(target_of(r) for r in spec.resources),
        calls=journal.calls_of(status, actions),
        pre_states=_pre_states(status),
        relaunch=relaunched(status, stopping=stopping),
        settings=settings_of(spec),
        tags={
            "leeward:hub": context.settings.hub,
            "leeward:namespace": run.metadata.namespace,
            "leeward:plan": spec.plan,
            "leeward:execution": run.metadata.name,
            "leeward:execution-uid": run.metadata.uid,
            "leeward:operation": spec.operation,
            "leeward:phase": spec.recovery_phase,
            "leeward:task": task.metadata.uid,
        },
    )


def _started(status: DRTaskStatus, now: datetime) -> datetime:
    """When this task can first have asked AWS for anything, in whatever attempt."""
    times = [i.time for i in status.journal[:1]]
    times += [status.start_time] if status.start_time else []
    return min(map(parse_time, times), default=now)


def _pre_states(status: DRTaskStatus) -> dict[str, str]:
    return {p.id: p.value for p in status.pre_states}

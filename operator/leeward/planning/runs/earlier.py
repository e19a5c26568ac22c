"""What the earlier phases of its wave leave to a task: what it does without, and what it should
know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from leeward.api.task import DRTask, TaskResourceStatus
from leeward.planning.runs import fencing
from leeward.planning.runs.waves import PHASES
from leeward.planning.tasks.step_types import LOSS_ACCEPTED
from leeward_adapters.base import LOSSES


@dataclass(frozen=True, slots=True)
class Earlier:
    """What a task is told of the phases before its own."""

    left_out: Sequence[TaskResourceStatus] = ()
    """Resources that were left out, as this task has them."""
    unfenced: frozenset[str] = frozenset()
    """Ids of resources on the side that is left that the run could not fence."""
    fenced: frozenset[str] = frozenset()
    """Ids of those there that it saw fenced, by AWS's word and not a person's."""
    accepted: frozenset[str] = frozenset()
    """Ids of resources of which a person accepted that what was made of them is older."""


NOTHING: Final = Earlier()
TOLERATED: Final = "Tolerated"
"""Reason of what a task goes without because it failed before, within the wave's tolerance."""


def earlier(task: DRTask, tasks: Sequence[DRTask]) -> Earlier:
    """What the phases before the task's leave to it."""
    phases = earlier_phases(task)
    before = [t for t in tasks if t.spec.wave == task.spec.wave and t.spec.recovery_phase in phases]
    there = (task.spec.account_id, task.spec.source_region)
    left = [t for t in before if (t.spec.account_id, t.spec.region) == there]
    return Earlier(
        left_out(task, tasks),
        frozenset(r.id for t in left for r in fencing.deferred(t)),
        frozenset(r.id for t in left for r in fencing.proved(t)),
        frozenset(
            r.id
            for t in before
            if alike(t) == alike(task)
            for r in t.status.resources
            if r.reason == LOSS_ACCEPTED
        ),
    )


def left_out(task: DRTask, tasks: Sequence[DRTask]) -> list[TaskResourceStatus]:
    """What an earlier phase of the task's wave left out, as this task has it.

    A server that was not launched cannot be started: leaving it out holds for the rest of its
    wave, and so does a failure within the wave's tolerance (beyond it, this task would not
    begin). A clean-up leaves nothing out.
    """
    earlier = earlier_phases(task)
    gone = {
        resource.id: (resource.state, t.spec.recovery_phase)
        for t in tasks
        if t.spec.recovery_phase in earlier and alike(t) == alike(task)
        for resource in t.status.resources
        if resource.state in {"Skipped", "Failed"}
    }
    mine = [resource.id for resource in task.spec.resources]
    return [_without(rid, *gone[rid]) for rid in sorted(mine) if rid in gone]


def _without(rid: str, state: str, phase: str) -> TaskResourceStatus:
    if state == "Failed":
        message = f"failed in {phase}, within the wave's tolerance"
        return TaskResourceStatus(id=rid, state="Skipped", reason=TOLERATED, message=message)
    message = f"left out of {phase} by people"
    return TaskResourceStatus(id=rid, state="Skipped", reason="LeftOut", message=message)


def gone_without(tasks: Sequence[DRTask]) -> list[str]:
    """Ids of resources that a task went without because an earlier one had failed with them."""
    return [r.id for t in tasks for r in t.status.resources if r.reason == TOLERATED]


def without(
    resources: Sequence[TaskResourceStatus], left_out: Sequence[TaskResourceStatus]
) -> list[TaskResourceStatus]:
    """`resources` of a task that begins, with those left out of it that it has not begun."""
    gone = {r.id: r for r in left_out}
    known = {r.id for r in resources}
    begins = [gone.get(r.id, r) if r.state == "NotStarted" else r for r in resources]
    return [*begins, *(r for r in left_out if r.id not in known)]


def earlier_phases(task: DRTask) -> tuple[str, ...]:
    """Phases of the same wave that come before the task's; none for a clean-up."""
    phases, phase = PHASES.get(task.spec.operation, ()), task.spec.recovery_phase
    return phases[: phases.index(phase)] if phase in phases else ()


def alike(task: DRTask) -> tuple[str, ...]:
    """Within which a resource's id means one resource of one wave."""
    spec = task.spec
    return spec.wave, spec.technology, spec.account_id, spec.region


def older_than_known(task: DRTask) -> list[TaskResourceStatus]:
    """Resources with which the task does not go on unasked, since something newer is known."""
    return [r for r in task.status.resources if r.state == "Failed" and r.reason in LOSSES]


def launched_by(task: DRTask, tasks: Sequence[DRTask]) -> DRTask | None:
    """The task that launched what is older in `task`, and can launch it anew; None: no other."""
    ids = {r.id for r in older_than_known(task)}
    return next(
        (
            t
            for t in tasks
            if t.spec.recovery_phase == "Instantiate"
            and alike(t) == alike(task)
            and ids & {r.id for r in t.spec.resources}
        ),
        None,
    )

"""EC2 Auto Scaling: groups that are emptied on the losing side, and sized on the recovered one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final

from leeward_adapters import autoscaling_groups as groups
from leeward_adapters import ec2_capacity
from leeward_adapters.autoscaling_groups import RESIZING, Group, Sizes
from leeward_adapters.base import (
    ActionTraits,
    Finding,
    Observed,
    Phase,
    PhaseTraits,
    Scope,
    Seen,
    State,
    Step,
    Target,
)
from leeward_adapters.ec2 import place

_CHANGES: Final = frozenset(
    {
        "autoscaling:ResumeProcesses",
        "autoscaling:SuspendProcesses",
        "autoscaling:UpdateAutoScalingGroup",
    }
)
_ABSOLUTE: Final = ActionTraits(repeatable=True, batch=20)
"""Every action sets an absolute state; the batch is small because each group is a call."""


class Autoscaling:
    """Auto Scaling groups, whose instances are made anew rather than moved.

    A target's id is the name of a group, in the account and Region of the scope. `Fence` suspends
    every process that could launch or resize, then sets the minimum and the desired capacity to
    zero, and is done when EC2 has no instance of the group left that could write: **the group
    terminates its instances**. `Activate` resumes those processes and sets the sizes of
    `settings["autoScaling"]`, and is done when as much capacity is in service and healthy. A Test
    is refused: the groups are production's.
    """

    kind: ClassVar[str] = "autoscaling"
    phases: ClassVar[Mapping[Phase, PhaseTraits]] = {
        Phase.FENCE: PhaseTraits(inert=False),
        Phase.ACTIVATE: PhaseTraits(inert=False),
    }
    actions: ClassVar[Mapping[str, ActionTraits]] = dict.fromkeys(
        (groups.SUSPEND, groups.ZERO, groups.RESUME, groups.SCALE), _ABSOLUTE
    )
    permissions: ClassVar[Mapping[str, frozenset[str]]] = {
        "Read": frozenset({"autoscaling:DescribeAutoScalingGroups", "ec2:DescribeInstances"}),
        "Fence": _CHANGES,
        "Activate": _CHANGES
        | {"autoscaling:DescribeScalingActivities", "ec2:DescribeInstanceTypes"},
    }

    def readiness(self, scope: Scope, targets: Sequence[Target]) -> Sequence[Finding]:
        """Blocking for groups that are not in the scope's Region, or are being deleted."""
        found = groups.describe(scope.client("autoscaling"), (t.id for t in targets))
        return [
            Finding("Blocking", "GroupMissing", _missing(t.id, scope), t.id)
            for t in targets
            if t.id not in found or found[t.id].deleting
        ]

    def observe(self, scope: Scope, step: Step) -> Observed:
        """Sizes, suspended processes and instances of each group."""
        if step.drill:
            seen = Seen(
                State.REFUSED,
                reason="NotInATest",
                message="a group of production is neither emptied nor sized in a Test",
            )
            return Observed({t.id: seen for t in step.targets})
        found = groups.describe(scope.client("autoscaling"), (t.id for t in step.targets))
        if step.phase is Phase.FENCE:
            return Observed(_fenced(found, scope, step))
        return Observed({t.id: _sized(t.id, found.get(t.id), scope, step) for t in step.targets})

    def act(self, scope: Scope, step: Step, action: str, call: str, batch: Sequence[Target]) -> str:
        """One call for each group."""
        autoscaling = scope.client("autoscaling")
        found = groups.describe(autoscaling, (t.id for t in batch))
        for target in batch:
            match action:
                case groups.SUSPEND:
                    _processes(autoscaling.suspend_processes, target.id, RESIZING)
                case groups.ZERO:
                    autoscaling.update_auto_scaling_group(
                        AutoScalingGroupName=target.id, MinSize=0, DesiredCapacity=0
                    )
                case groups.RESUME:
                    _processes(autoscaling.resume_processes, target.id, RESIZING)
                case groups.SCALE if target.id in found:
                    _scale(autoscaling, found[target.id], _sizes(step, target.id))
        return ""

    def verify(self, scope: Scope, step: Step) -> Observed:
        """The groups' instances are the proof; observe() has looked at them."""
        return self.observe(scope, step)

    def undo(self, scope: Scope, step: Step, call: str, batch: Sequence[Target]) -> str:
        """Sizes and processes as they were. Instances that were ended are not the same again.

        Of processes, only those are touched that this adapter touches; one that was suspended
        before stays so.
        """
        autoscaling = scope.client("autoscaling")
        for target in batch:
            if not step.pre_states.get(target.id):
                continue
            before = json.loads(step.pre_states[target.id])
            were = RESIZING & frozenset(before["suspended"])
            _processes(autoscaling.suspend_processes, target.id, were)
            autoscaling.update_auto_scaling_group(
                AutoScalingGroupName=target.id,
                MinSize=before["min"],
                MaxSize=before["max"],
                DesiredCapacity=before["desired"],
            )
            _processes(autoscaling.resume_processes, target.id, RESIZING - were)
        return ""


def _fenced(found: Mapping[str, Group], scope: Scope, step: Step) -> dict[str, Seen]:
    seen = {t.id: _emptied(t.id, found.get(t.id), scope, step) for t in step.targets}
    empty = [name for name, shown in seen.items() if shown.state is State.DONE]
    left = groups.alive(scope.client("ec2"), empty) if empty else {}
    return seen | {
        name: groups.ending(found[name], instances, place(scope))
        for name, instances in left.items()
    }


def _emptied(name: str, group: Group | None, scope: Scope, step: Step) -> Seen:
    if group is None:
        return Seen(State.REFUSED, reason="GroupMissing", message=_missing(name, scope))
    return groups.fencing(group, _begun(step, name), place(scope))


def _sized(name: str, group: Group | None, scope: Scope, step: Step) -> Seen:
    if group is None or group.deleting:
        return Seen(State.REFUSED, reason="GroupMissing", message=_missing(name, scope))
    if group.counted_in:
        types = {member.type for member in group.members}
        group = group.measured(ec2_capacity.sizes(scope, types))
    seen = groups.scaling(group, _sizes(step, name), _begun(step, name), place(scope))
    if seen.state is State.RUNNING and (
        why := groups.last_failure(scope.client("autoscaling"), name)
    ):
        return replace(seen, message=f"{seen.message}; its last failure: {why}")
    return seen


def _begun(step: Step, name: str) -> bool:
    """Whether this task changed the group, in whatever attempt."""
    return name in step.calls or bool(step.pre_states.get(name))


def _sizes(step: Step, name: str) -> Sizes:
    given = step.settings["autoScaling"]["groups"]
    return next((Sizes.of(one) for one in given if one["name"] == name), Sizes())


def _scale(autoscaling: Any, group: Group, sizes: Sizes) -> None:
    minimum, maximum, desired = group.wanted(sizes)
    autoscaling.update_auto_scaling_group(
        AutoScalingGroupName=group.name,
        MinSize=minimum,
        MaxSize=maximum,
        DesiredCapacity=max(desired, min(group.desired, maximum)),
    )


def _processes(do: Callable[..., Any], name: str, processes: frozenset[str]) -> None:
    """Suspend or resume; without names Auto Scaling would take all processes."""
    if processes:
        do(AutoScalingGroupName=name, ScalingProcesses=sorted(processes))


def _missing(name: str, scope: Scope) -> str:
    return (
        f"there is no Auto Scaling group {name} in {place(scope)}, or it is being deleted: correct "
        "the task's name of it, or leave it out"
    )

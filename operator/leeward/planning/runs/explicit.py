"""Explicit tasks of a plan: which adapter carries one out, where, and on what."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from leeward.api.account import TargetAccount
from leeward.api.common import Model, RecoveryPhase
from leeward.api.plan import RecoveryPlanSpec, Regions
from leeward.api.plan_record import RecoveryPlanStatus
from leeward.api.task import DRTask, TaskResource
from leeward.api.tasks import BLOCKS, AutomationTask, ExplicitTask, Record, ScalingGroup
from leeward.planning.estate.direction import losing, sides
from leeward.planning.runs.waves import PHASES

TECHNOLOGIES: Final[Mapping[str, str]] = {
    "Route53": "route53",
    "AutoScaling": "autoscaling",
    "Automation": "automation",
    "Manual": "manual",
}
"""By type of a task: the technology of its DRTask."""
FIT: Final[Mapping[str, tuple[str, ...]]] = {
    "Route53": ("Activate",),
    "AutoScaling": ("Fence", "Activate"),
    "Automation": ("Fence", "Instantiate", "Activate"),
    "Manual": ("Fence", "Instantiate", "Activate"),
}
"""By type of a task: the phases that it can belong to."""


RecordedSizes = Mapping[tuple[str, str], Mapping[str, int]]
"""By TargetAccount and name of an Auto Scaling group: `min`, `max` and `desired` before a Failover
emptied it."""
NO_SIZES: Final[RecordedSizes] = {}


@dataclass(frozen=True, slots=True)
class Work:
    """What a DRTask of an explicit task is made from."""

    technology: str
    account: str
    """TargetAccount."""
    region: str
    """Region whose API is asked."""
    resources: tuple[TaskResource, ...]


def tasks(plan: RecoveryPlanSpec) -> Iterator[ExplicitTask]:
    """All explicit tasks, in the order of the waves."""
    return (task for wave in plan.waves for task in wave.tasks)


def known(task: ExplicitTask) -> bool:
    """Whether this version carries out tasks of that type, and the task has its details.

    Another version may have stored one that is not.
    """
    return task.type in BLOCKS and getattr(task, BLOCKS[task.type]) is not None


def operations_of(task: ExplicitTask) -> Collection[str]:
    """Operations in which the plan wants the task.

    What states both sides is exchanged on the way back by itself; a document or a person's
    instructions are about one way, and the plan says so where they are not.
    """
    if task.operations:
        return task.operations
    both_ways = task.type in {"Route53", "AutoScaling"}
    return ("Failover", "Test", "Failback") if both_ways else ("Failover", "Test")


def phase_in(task: ExplicitTask, operation: str) -> RecoveryPhase:
    """The task's phase in a run of that operation.

    A task names the groups of one side: what a Failover empties is what a Failback sizes.
    """
    if operation == "Failback" and task.type == "AutoScaling":
        return "Activate" if task.recovery_phase == "Fence" else "Fence"
    return task.recovery_phase


def runs_in(task: ExplicitTask, operation: str, left: Collection[str] = ()) -> bool:
    """Whether this version carries out the explicit task in a run of that operation.

    `left` are names of tasks whose fencing an earlier run had to leave: Reprotect makes up for
    it.
    """
    if operation == "Reprotect":
        return known(task) and task.recovery_phase == "Fence" and task.name in left
    wanted = operation in operations_of(task)
    return known(task) and wanted and phase_in(task, operation) in PHASES.get(operation, ())


def duties(status: RecoveryPlanStatus) -> set[str]:
    """Names of explicit tasks of which something is still to be fenced."""
    return {duty.task.rpartition("-fence-")[2] for duty in status.deferred_fence}


def dependencies(plan: RecoveryPlanSpec) -> dict[str, list[str]]:
    """By task: the names of those that come first, its `dependsOn` and others' `successors`.

    Names that no task has are left as they are; a rule of plans refuses them.
    """
    found = {task.name: list(task.depends_on) for task in tasks(plan)}
    for task in tasks(plan):
        for name in task.successors:
            found.setdefault(name, []).append(task.name)
    return {name: list(dict.fromkeys(first)) for name, first in found.items()}


def order(plan: RecoveryPlanSpec, operation: str) -> dict[str, list[str]]:
    """`dependencies`, and what every DNS switch waits for besides: the rest of its wave and phase.

    Names must not point at groups that do not serve yet. Other switches are not waited for, nor
    is what waits for the switch itself. Where the operation puts a task before the one that it
    depends on, it does not wait for it.
    """
    places = {
        task.name: (number, PHASES[operation].index(phase))
        for number, wave in enumerate(plan.waves)
        for task in wave.tasks
        if (phase := phase_in(task, operation)) in PHASES[operation]
    }
    edges = {
        name: [b for b in before if name not in places or places.get(b, (-1, 0)) <= places[name]]
        for name, before in dependencies(plan).items()
    }
    for wave in plan.waves:
        for switch in (task for task in wave.tasks if task.type == "Route53"):
            for other in wave.tasks:
                together = phase_in(other, operation) == phase_in(switch, operation)
                beside = together and other.type != "Route53"
                if beside and not _waits(other.name, switch.name, edges):
                    edges[switch.name] = list(dict.fromkeys([*edges[switch.name], other.name]))
    return edges


def _waits(name: str, other: str, edges: Mapping[str, Sequence[str]]) -> bool:
    """Whether the task waits for the other one, directly or not."""
    seen, pending = {name}, [name]
    while pending:
        new = set(edges.get(pending.pop(), ())) - seen
        seen |= new
        pending += sorted(new)
    return other in seen


def account_of(task: ExplicitTask, plan: RecoveryPlanSpec) -> str:
    """TargetAccount of the task; what a person does is booked on the plan's first one."""
    block = task.route53 or task.auto_scaling or task.automation
    return block.account_ref.name if block else plan.accounts[0].name


def run_accounts(plan: RecoveryPlanSpec) -> list[str]:
    """Names of all TargetAccounts that a run of the plan may use, in the plan's order."""
    names = [ref.name for ref in plan.accounts]
    names += [account_of(task, plan) for task in tasks(plan) if known(task)]
    names += [d.account_ref.name for d in plan.dependencies if d.account_ref]
    return list(dict.fromkeys(names))


def resource_ids(task: ExplicitTask) -> list[str]:
    """Ids of what the task works on; one that works on nothing nameable has its own name."""
    if task.route53:
        return [record_id(record) for record in task.route53.records]
    if task.auto_scaling:
        return [group.name for group in task.auto_scaling.groups]
    return [task.name]


def resource_owners(plan: RecoveryPlanSpec) -> dict[tuple[str, str], str]:
    """By TargetAccount and id of each resource that explicit tasks name: the task's name."""
    return {
        (account_of(task, plan), identity): task.name
        for task in tasks(plan)
        if known(task)
        for identity in resource_ids(task)
    }


def block(task: ExplicitTask, operation: str, sizes: RecordedSizes) -> Model:
    """The task's details as a run of the operation carries them out.

    A group that a Failback gives back has the sizes of the plan, else those that it had before.
    """
    details: Model = getattr(task, BLOCKS[task.type])
    scaling = task.auto_scaling
    if scaling is None or (operation, task.recovery_phase) != ("Failback", "Fence"):
        return details
    groups = [_with_sizes(g, sizes.get((scaling.account_ref.name, g.name))) for g in scaling.groups]
    return scaling.model_copy(update={"groups": groups})


def recorded_sizes(tasks: Sequence[DRTask]) -> RecordedSizes:
    """What Auto Scaling groups had before Failovers emptied them, as their tasks kept it.

    Of several tasks the newest counts.
    """
    found: dict[tuple[str, str], Mapping[str, int]] = {}
    emptied = [t for t in tasks if _empties(t)]
    for task in sorted(emptied, key=lambda t: t.status.start_time or ""):
        for before in task.status.pre_states:
            sizes = json.loads(before.value)
            kept = {name: int(sizes[name]) for name in ("min", "max", "desired") if name in sizes}
            found[task.spec.account, before.id] = kept
    return found


def _empties(task: DRTask) -> bool:
    spec = task.spec
    return (spec.operation, spec.recovery_phase, spec.technology) == (
        "Failover", "Fence", "autoscaling"
    )  # fmt: skip


def _with_sizes(group: ScalingGroup, before: Mapping[str, int] | None) -> ScalingGroup:
    if has_size(group) or before is None:
        return group
    return group.model_copy(update=dict(before))


def has_size(group: ScalingGroup) -> bool:
    """Whether the plan says how many instances the group is to have."""
    return group.min is not None or group.desired is not None


def work(
    task: ExplicitTask, plan: RecoveryPlanSpec, account: TargetAccount, operation: str = "Failover"
) -> Work:
    """What carrying out the task means, in its account."""
    region = _region(task, plan.regions, operation)
    arn = _arn(task, region, account)
    attributes = _document(task.automation) if task.automation else {}
    return Work(
        technology=TECHNOLOGIES[task.type],
        account=account.metadata.name,
        region=region,
        resources=tuple(
            TaskResource(id=identity, arn=arn.format(identity), attributes=attributes)
            for identity in resource_ids(task)
        ),
    )


def record_id(record: Record) -> str:
    """`NAME. TYPE`, and ` SETID` where there is one: what names a record set in its zone."""
    name = record.name.rstrip(".").lower()
    suffix = f" {record.set_identifier}" if record.set_identifier else ""
    return f"{name}. {record.type}{suffix}"


def _region(task: ExplicitTask, regions: Regions, operation: str) -> str:
    """Fencing works on the side that is left, everything else on the other one."""
    if task.automation and task.automation.region:
        return regions.primary if task.automation.region == "Primary" else regions.recovery
    fencing = phase_in(task, operation) == "Fence"
    return losing(operation, regions) if fencing else sides(operation, regions)[0]


def _arn(task: ExplicitTask, region: str, account: TargetAccount) -> str:
    """ARN of the task's resources, with `{}` where the id belongs; empty for a person's task."""
    partition, account_id = account.spec.recovery_role_arn.split(":")[1], account.spec.account_id
    if task.route53:
        return f"arn:{partition}:route53:::hostedzone/{task.route53.hosted_zone_id}"
    if task.auto_scaling:
        # An id of the group's own stands where the star is; nothing needs it.
        group = "autoScalingGroup:*:autoScalingGroupName/{}"
        return f"arn:{partition}:autoscaling:{region}:{account_id}:{group}"
    if task.automation:
        name = task.automation.document_name
        shared = name.startswith("arn:")
        return name if shared else f"arn:{partition}:ssm:{region}:{account_id}:document/{name}"
    return ""


def _document(automation: AutomationTask) -> dict[str, str]:
    return {
        "documentName": automation.document_name,
        "documentVersion": automation.document_version,
    }

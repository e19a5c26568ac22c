"""Explicit tasks of a plan: which adapter carries one out, where, and on what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from leeward.api.account import TargetAccount
from leeward.api.plan import RecoveryPlanSpec, Regions
from leeward.api.task import TaskResource
from leeward.api.tasks import BLOCKS, AutomationTask, ExplicitTask, Record
from leeward.planning.waves import PHASES

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


def runs_in(task: ExplicitTask, operation: str) -> bool:
    """Whether this version carries out the explicit task in a run of that operation."""
    return known(task) and task.recovery_phase in PHASES.get(operation, ())


def dependencies(plan: RecoveryPlanSpec) -> dict[str, list[str]]:
    """By task: the names of those that come first, its `dependsOn` and others' `successors`.

    Names that no task has are left as they are; a rule of plans refuses them.
    """
    found = {task.name: list(task.depends_on) for task in tasks(plan)}
    for task in tasks(plan):
        for name in task.successors:
            found.setdefault(name, []).append(task.name)
    return {name: list(dict.fromkeys(first)) for name, first in found.items()}


def order(plan: RecoveryPlanSpec) -> dict[str, list[str]]:
    """`dependencies`, and what every DNS switch waits for besides: the rest of its wave and phase.

    Names must not point at groups that do not serve yet. Other switches are not waited for, nor
    is what waits for the switch itself.
    """
    edges = dependencies(plan)
    for wave in plan.waves:
        for switch in (task for task in wave.tasks if task.type == "Route53"):
            for other in wave.tasks:
                beside = other.recovery_phase == switch.recovery_phase and other.type != "Route53"
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


def work(task: ExplicitTask, plan: RecoveryPlanSpec, account: TargetAccount) -> Work:
    """What carrying out the task means, in its account."""
    region = _region(task, plan.regions)
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


def _region(task: ExplicitTask, regions: Regions) -> str:
    """Fencing works on the side that is left, everything else on the other one."""
    side = "Primary" if task.recovery_phase == "Fence" else "Recovery"
    if task.automation:
        side = task.automation.region or side
    return regions.primary if side == "Primary" else regions.recovery


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

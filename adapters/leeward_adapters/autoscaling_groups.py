"""What EC2 Auto Scaling says of groups, and how far they are on the way to empty or to size."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from leeward_adapters.base import Seen, State

SUSPEND: Final = "suspend"
ZERO: Final = "zero"
RESUME: Final = "resume"
SCALE: Final = "scale"
RESIZING: Final = frozenset(
    {
        "Launch",
        "AZRebalance",
        "AlarmNotification",
        "InstanceRefresh",
        "ReplaceUnhealthy",
        "ScheduledActions",
    }
)
"""Processes that launch instances or change a group's size. `Terminate` is none of them: a group
that is to be empty needs it."""
_NAMES: Final = 50
"""Names that one DescribeAutoScalingGroups takes (API reference, AutoScalingGroupNames)."""
_ENDED: Final = "Terminated"
"""Every other lifecycle state is one in which an instance may write: one that is `Terminating`
is first deregistered from its load balancer and drained (300 s by default), or held by a hook."""
_OF: Final = "aws:autoscaling:groupName"
"""Tag that Auto Scaling puts on every instance of a group and of its warm pool."""
_OF_ONE_FILTER: Final = 200
_ALIVE: Final = ("pending", "running", "shutting-down", "stopping")
_UNITS: Final = {"vcpu": "vCPUs", "memory-mib": "MiB of memory"}
"""What a group's sizes may count (`DesiredCapacityType`), beside units."""


@dataclass(frozen=True, slots=True)
class Member:
    """An instance of a group."""

    id: str
    lifecycle: str
    """`Pending`, `InService`, `Standby`, `Terminating:Wait`, …"""
    healthy: bool = True
    protected: bool = False
    """Whether scaling in leaves it alone."""
    type: str = ""
    """Instance type."""
    counts: int = 1
    """How much of the group's sizes it is: its weight, vCPUs or MiB."""

    @property
    def stays(self) -> bool:
        """Whether a group of size zero keeps it."""
        return self.protected or self.lifecycle in {"EnteringStandby", "Standby"}


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes that a plan gives; None: as the group has it."""

    minimum: int | None = None
    maximum: int | None = None
    desired: int | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Sizes:
        """From a group of the task's block `autoScaling`."""
        return cls(given.get("min"), given.get("max"), given.get("desired"))


@dataclass(frozen=True, slots=True)
class Group:
    """A group as it is."""

    name: str
    minimum: int
    maximum: int
    desired: int
    suspended: frozenset[str] = frozenset()
    members: tuple[Member, ...] = ()
    deleting: bool = False
    counted_in: str = ""
    """What its sizes count, as in `_UNITS`; empty: units, an instance having one or its weight."""
    warm: str = ""
    """State in which its warm pool keeps instances: `Running`, `Stopped`, `Hibernated`. Empty:
    it has none."""

    @property
    def left(self) -> list[Member]:
        """Instances that are not ended yet."""
        return [member for member in self.members if member.lifecycle != _ENDED]

    @property
    def serving(self) -> int:
        """What is in service and healthy, in what the group's sizes count."""
        return sum(m.counts for m in self.members if m.lifecycle == "InService" and m.healthy)

    @property
    def unit(self) -> str:
        """What the group's sizes count, for people."""
        weighted = any(member.counts != 1 for member in self.members)
        return _UNITS.get(self.counted_in, "units of capacity" if weighted else "instances")

    def measured(self, sizes: Mapping[str, tuple[int, int]]) -> Group:
        """The group with its instances counted as its sizes are.

        Args:
            sizes: vCPUs and MiB of memory, by instance type.
        """
        place = list(_UNITS).index(self.counted_in)
        members = (
            replace(member, counts=sizes.get(member.type, (0, 0))[place]) for member in self.members
        )
        return replace(self, members=tuple(members))

    def pre_state(self) -> str:
        """All that undoing needs, as JSON."""
        return json.dumps(
            {
                "min": self.minimum,
                "max": self.maximum,
                "desired": self.desired,
                "suspended": sorted(self.suspended),
            }
        )

    def wanted(self, sizes: Sizes) -> tuple[int, int, int]:
        """Minimum, maximum and desired capacity to set.

        What is not given stays; without a desired capacity the minimum is one.
        """
        minimum = self.minimum if sizes.minimum is None else sizes.minimum
        maximum = self.maximum if sizes.maximum is None else sizes.maximum
        desired = minimum if sizes.desired is None else sizes.desired
        return minimum, maximum, desired


def describe(autoscaling: Any, names: Iterable[str]) -> dict[str, Group]:
    """The groups that exist, by name (DescribeAutoScalingGroups)."""
    wanted = sorted(set(names))
    found: dict[str, Group] = {}
    for start in range(0, len(wanted), _NAMES):
        pages = autoscaling.get_paginator("describe_auto_scaling_groups").paginate(
            AutoScalingGroupNames=wanted[start : start + _NAMES]
        )
        for page in pages:
            for raw in page["AutoScalingGroups"]:
                found[raw["AutoScalingGroupName"]] = _group(raw)
    return found


def alive(ec2: Any, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """State by id of the instances of groups that may write, by group; groups without any are
    left out (DescribeInstances).

    A group forgets an instance before EC2 has ended it, and has none of its warm pool's.
    """
    wanted = sorted(set(names))
    found: dict[str, dict[str, str]] = {}
    for start in range(0, len(wanted), _OF_ONE_FILTER):
        pages = ec2.get_paginator("describe_instances").paginate(
            Filters=[
                {"Name": f"tag:{_OF}", "Values": wanted[start : start + _OF_ONE_FILTER]},
                {"Name": "instance-state-name", "Values": list(_ALIVE)},
            ]
        )
        for raw in (i for page in pages for r in page["Reservations"] for i in r["Instances"]):
            group = next(tag["Value"] for tag in raw["Tags"] if tag["Key"] == _OF)
            found.setdefault(group, {})[raw["InstanceId"]] = raw["State"]["Name"]
    return found


def last_failure(autoscaling: Any, name: str) -> str:
    """What the group's newest failed activity says; empty where none of the last ones failed."""
    answer = autoscaling.describe_scaling_activities(AutoScalingGroupName=name, MaxRecords=5)
    failed = (a for a in answer["Activities"] if a["StatusCode"] == "Failed")
    return next((str(a.get("StatusMessage", a["Cause"])) for a in failed), "")


def fencing(group: Group, begun: bool, where: str) -> Seen:
    """How far a group is on the way to having no instance and making none.

    DONE says only that it has no members any more; what EC2 has of it is to be asked then.

    Args:
        group: the group as it is.
        begun: whether this task changed it before.
        where: account and Region, for the message.
    """
    left = group.left
    if left and "Terminate" in group.suspended:
        return Seen(
            State.REFUSED,
            reason="TerminateSuspended",
            message=f"group {group.name} in {where} has its process Terminate suspended, so its "
            f"{len(left)} instances would go on: resume it (autoscaling resume-processes), then "
            "retry",
        )
    if not group.deleting and not group.suspended >= RESIZING:
        return _needed(group, "can launch instances", action=SUSPEND)
    if not group.deleting and (group.minimum or group.desired):
        return _needed(group, f"is to have {group.desired} instances", action=ZERO)
    if not left:
        adopted = "" if begun else "Adopted"
        message = f"group {group.name} has no instances and makes none"
        return Seen(State.DONE, reason=adopted, message=message)
    if all(member.stays for member in left):
        return Seen(
            State.FAILED,
            reason="InstancesStay",
            message=f"group {group.name} in {where} has size zero, but keeps "
            f"{_named(left)}, protected from scaling in or in standby: take the protection away "
            "(autoscaling set-instance-protection) or terminate them, then retry",
        )
    held = sum(member.lifecycle == "Terminating:Wait" for member in left)
    hooks = f", {held} of them held by a lifecycle hook" if held else ""
    return Seen(State.RUNNING, message=f"group {group.name} is ending {len(left)} instances{hooks}")


def ending(group: Group, instances: Mapping[str, str], where: str) -> Seen:
    """How far a group is that has no members any more, but instances in EC2.

    Args:
        group: the group as it is.
        instances: what EC2 has of it, see `alive`.
        where: account and Region, for the message.
    """
    named = ", ".join(f"{i} ({state})" for i, state in sorted(instances.items())[:5])
    if group.warm == "Running" and "running" in instances.values():
        return Seen(
            State.FAILED,
            reason="WarmPoolRuns",
            message=f"group {group.name} in {where} has size zero, but its warm pool keeps "
            f"{named}: delete the pool (autoscaling delete-warm-pool --force-delete), then retry",
        )
    message = f"group {group.name} is empty; EC2 is ending {len(instances)} instances: {named}"
    return Seen(State.RUNNING, message=message)


def scaling(group: Group, sizes: Sizes, begun: bool, where: str) -> Seen:
    """How far a group is on the way to serving with the given sizes.

    It may have more instances than that: what its own policies add is not taken away.

    Args:
        group: the group as it is.
        sizes: what the plan gives.
        begun: whether this task changed it before.
        where: account and Region, for the message.
    """
    minimum, maximum, desired = group.wanted(sizes)
    if not minimum <= desired <= maximum:
        return Seen(
            State.REFUSED,
            reason="SizesDoNotFit",
            message=f"group {group.name} in {where} would have min {minimum}, desired {desired} "
            f"and max {maximum}, of which the plan gives only some: give all three",
        )
    if suspended := group.suspended & RESIZING:
        return _needed(group, f"has {', '.join(sorted(suspended))} suspended", action=RESUME)
    if (group.minimum, group.maximum) != (minimum, maximum) or group.desired < desired:
        return _needed(group, f"is to get {desired} instances", action=SCALE)
    if group.serving >= desired:
        adopted = "" if begun else "Adopted"
        message = f"group {group.name} has {group.serving} {group.unit} in service"
        return Seen(State.DONE, reason=adopted, message=message)
    so_far = f"{group.serving} of {desired} {group.unit}"
    message = f"group {group.name}: {so_far} in service and healthy"
    return Seen(State.RUNNING, message=message)


def _needed(group: Group, why: str, *, action: str) -> Seen:
    message = f"group {group.name} {why}"
    return Seen(State.NEEDED, action, message=message, pre_state=group.pre_state())


def _named(members: list[Member]) -> str:
    more = f" and {len(members) - 5} more" if len(members) > 5 else ""
    return ", ".join(member.id for member in members[:5]) + more


def _group(raw: Mapping[str, Any]) -> Group:
    pool = raw.get("WarmPoolConfiguration") or {}
    return Group(
        name=raw["AutoScalingGroupName"],
        minimum=raw["MinSize"],
        maximum=raw["MaxSize"],
        desired=raw["DesiredCapacity"],
        suspended=frozenset(p["ProcessName"] for p in raw.get("SuspendedProcesses", [])),
        members=tuple(
            Member(
                m["InstanceId"],
                m["LifecycleState"],
                m["HealthStatus"] == "Healthy",
                m.get("ProtectedFromScaleIn", False),
                m.get("InstanceType", ""),
                int(m.get("WeightedCapacity") or 1),
            )
            for m in raw.get("Instances", [])
        ),
        deleting=bool(raw.get("Status")),
        counted_in=raw["DesiredCapacityType"] if raw.get("DesiredCapacityType") in _UNITS else "",
        warm="" if pool.get("Status") or not pool else pool.get("PoolState", "Stopped"),
    )

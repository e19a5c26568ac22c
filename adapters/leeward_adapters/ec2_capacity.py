"""What an account's Region has room for: subnets, instance types, the On-Demand quota. Read-only.

Every answer is about the whole account and Region, so that one call serves all servers of all plans
there; it is kept for a quarter of an hour, what rarely changes for an hour, or until somebody asks
to look anew. What Leeward itself changed of launch templates is seen at once, and what it launched,
whose instances come and go minutes after the call, within a minute.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from leeward_adapters import quotas
from leeward_adapters.base import Scope
from leeward_adapters.quotas import Known, Quota

PERMISSIONS: Final = frozenset(
    {
        "ec2:DescribeInstanceTypeOfferings",
        "ec2:DescribeInstanceTypes",
        "ec2:DescribeInstances",
        "ec2:DescribeLaunchTemplateVersions",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
    }
    | quotas.PERMISSIONS
)
"""IAM actions of this module."""
STANDARD_VCPUS: Final = Known(
    "ec2", "L-1216C47A", "vCPUs of running On-Demand Standard instances", 5
)
"""Standard are the families A, C, D, H, I, M, R, T and Z. Five is for a new account."""
_STANDARD: Final = re.compile(r"[acdhimrtz]\d[a-z0-9-]*\..+")
_KEPT: Final = 900.0
"""For what others change or use up, unless somebody asks to look anew (`forget`)."""
_FRESH: Final = 60.0
"""For room, while what Leeward launched or ended may not show yet."""
_SETTLES: Final = 3600.0
"""After the last call by which Leeward may have used room up, or freed some."""
_TAKE_ROOM: Final = ("autoscaling", "drs", "ec2")
"""Services by which Leeward does that."""
_SUBNETS: Final = "ec2-subnets"
_GROUPS: Final = "ec2-security-groups"
_RUNNING: Final = "ec2-running"
_VERSIONS: Final = "ec2-default-versions"
_RARE: Final = 3600.0
_FILTER: Final = 200  # values of one filter (EC2 API reference)


@dataclass(frozen=True, slots=True)
class Subnet:
    """A subnet as EC2 shows it."""

    id: str
    zone: str
    vpc: str
    free: int
    """Addresses that instances can still get; the five that AWS reserves are none of them."""
    cidr: str
    tags: Mapping[str, str]


def forget(scope: Scope) -> None:
    """Have everything that others change or use up asked for again."""
    scope.forget([_room(scope, _SUBNETS), _GROUPS, _room(scope, _RUNNING), _versions(scope)])


def _versions(scope: Scope) -> Hashable:
    """What Leeward changes of launch templates makes a new question of it."""
    return (_VERSIONS, scope.settings_changed())


def _room(scope: Scope, question: str) -> Hashable:
    """What Leeward launches or ends makes a new question of what there is room for."""
    return (question, _taken(scope))


def _room_kept(scope: Scope) -> float:
    settled = scope.now() - _taken(scope) > _SETTLES
    return _KEPT if settled else _FRESH


def _taken(scope: Scope) -> float:
    """When Leeward last asked for something that takes room, or frees some."""
    return max(map(scope.changed, _TAKE_ROOM))


def subnets(scope: Scope) -> Mapping[str, Subnet]:
    """All subnets, by id (DescribeSubnets)."""

    def ask() -> dict[str, Subnet]:
        pages = scope.client("ec2").get_paginator("describe_subnets").paginate()
        return {
            raw["SubnetId"]: Subnet(
                raw["SubnetId"],
                raw["AvailabilityZone"],
                raw["VpcId"],
                raw["AvailableIpAddressCount"],
                raw["CidrBlock"],
                {tag["Key"]: tag["Value"] for tag in raw.get("Tags", [])},
            )
            for page in pages
            for raw in page["Subnets"]
        }

    return scope.cached(_room(scope, _SUBNETS), _room_kept(scope), ask)


def security_groups(scope: Scope) -> Mapping[str, str]:
    """The VPC of every security group, by the group's id (DescribeSecurityGroups)."""

    def ask() -> dict[str, str]:
        pages = scope.client("ec2").get_paginator("describe_security_groups").paginate()
        return {g["GroupId"]: g.get("VpcId", "") for page in pages for g in page["SecurityGroups"]}

    return scope.cached(_GROUPS, _KEPT, ask)


def default_versions(scope: Scope) -> Mapping[str, Mapping[str, Any]]:
    """The `$Default` version of every launch template, by the template's id.

    One call per 200 templates (DescribeLaunchTemplateVersions without a template).
    """

    def ask() -> dict[str, Mapping[str, Any]]:
        pages = (
            scope.client("ec2")
            .get_paginator("describe_launch_template_versions")
            .paginate(Versions=["$Default"], PaginationConfig={"PageSize": 200})
        )
        return {v["LaunchTemplateId"]: v for page in pages for v in page["LaunchTemplateVersions"]}

    return scope.cached(_versions(scope), _KEPT, ask)


def offered(scope: Scope, types: Iterable[str]) -> frozenset[tuple[str, str]]:
    """Which of the instance types are offered in which zones (DescribeInstanceTypeOfferings)."""
    wanted = sorted(set(types))

    def ask() -> frozenset[tuple[str, str]]:
        pages = (
            page
            for start in range(0, len(wanted), _FILTER)
            for page in scope.client("ec2")
            .get_paginator("describe_instance_type_offerings")
            .paginate(
                LocationType="availability-zone",
                Filters=[{"Name": "instance-type", "Values": wanted[start : start + _FILTER]}],
            )
        )
        found = (offer for page in pages for offer in page["InstanceTypeOfferings"])
        return frozenset((offer["InstanceType"], offer["Location"]) for offer in found)

    return scope.cached(("ec2-offered", tuple(wanted)), _RARE, ask)


def vcpus(scope: Scope, types: Iterable[str]) -> Mapping[str, int]:
    """Default vCPUs of the instance types that the Region knows."""
    return {kind: cores for kind, (cores, _) in sizes(scope, types).items()}


def sizes(scope: Scope, types: Iterable[str]) -> Mapping[str, tuple[int, int]]:
    """Default vCPUs, and memory in MiB, of the instance types that the Region knows
    (DescribeInstanceTypes)."""
    wanted = sorted(set(types))

    def ask() -> dict[str, tuple[int, int]]:
        pages = (
            page
            for start in range(0, len(wanted), _FILTER)
            for page in scope.client("ec2")
            .get_paginator("describe_instance_types")
            .paginate(
                Filters=[{"Name": "instance-type", "Values": wanted[start : start + _FILTER]}]
            )
        )
        return {
            t["InstanceType"]: (t["VCpuInfo"]["DefaultVCpus"], t["MemoryInfo"]["SizeInMiB"])
            for page in pages
            for t in page["InstanceTypes"]
        }

    return scope.cached(("ec2-sizes", tuple(wanted)), _RARE, ask)


def running(scope: Scope) -> Counter[str]:
    """How many On-Demand instances run, by type (DescribeInstances)."""

    def ask() -> Counter[str]:
        pages = (
            scope.client("ec2")
            .get_paginator("describe_instances")
            .paginate(Filters=[{"Name": "instance-state-name", "Values": ["pending", "running"]}])
        )
        return Counter(
            instance["InstanceType"]
            for page in pages
            for reservation in page["Reservations"]
            for instance in reservation["Instances"]
            if "InstanceLifecycle" not in instance  # Spot and Capacity Blocks have quotas apart
        )

    return scope.cached(_room(scope, _RUNNING), _room_kept(scope), ask)


def standard_vcpus(scope: Scope, types: Mapping[str, int]) -> int:
    """vCPUs that so many instances of these types count against `STANDARD_VCPUS`."""
    counted = {kind: number for kind, number in types.items() if _STANDARD.fullmatch(kind)}
    if not counted:
        return 0
    sizes = vcpus(scope, counted)
    return sum(number * sizes.get(kind, 0) for kind, number in counted.items())


def standard_quota(scope: Scope) -> Quota:
    """How many vCPUs of On-Demand Standard instances may run."""
    return quotas.read(scope, STANDARD_VCPUS)

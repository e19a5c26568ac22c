"""The services' own lists of resources, as the last resort of discovery.

Only lists that carry tags, so that a Region costs a few calls however many resources it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from leeward_adapters.base import Scope
from leeward_adapters.resource_explorer import Resource

PERMISSIONS: Final = frozenset(
    {
        "autoscaling:DescribeAutoScalingGroups",
        "ec2:DescribeInstances",
        "elasticfilesystem:DescribeFileSystems",
        "fsx:DescribeFileSystems",
        "rds:DescribeDBClusters",
        "rds:DescribeDBInstances",
    }
)
SEEN: Final = frozenset(
    {
        "autoscaling:autoScalingGroup",
        "ec2:instance",
        "elasticfilesystem:file-system",
        "fsx:file-system",
        "rds:cluster",
        "rds:db",
    }
)
"""Types that are seen. Of the others AWS tells the tags one resource at a time, or in tens."""


def describe(scope: Scope) -> list[Resource]:
    """Tagged resources of the types `SEEN` in the scope's Region."""
    return [found for look in _LOOKS for found in look(scope)]


def auto_scaling_groups(scope: Scope) -> list[Resource]:
    """Auto Scaling groups with tags (DescribeAutoScalingGroups)."""
    groups = _all(scope, "autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups", 100)
    return _tagged(scope, "autoscaling:autoScalingGroup", groups, "AutoScalingGroupARN", "Tags")


def _instances(scope: Scope) -> list[Resource]:
    reservations = _all(scope, "ec2", "describe_instances", "Reservations", 1000)
    account, region = scope.account_id, scope.region
    instances = [
        one
        | {
            "Arn": f"arn:{scope.partition}:ec2:{region}:{reservation.get('OwnerId', account)}:"
            f"instance/{one['InstanceId']}"
        }
        for reservation in reservations
        for one in reservation.get("Instances", [])
        if one.get("State", {}).get("Name") != "terminated"
    ]
    return _tagged(scope, "ec2:instance", instances, "Arn", "Tags")


def _databases(scope: Scope) -> list[Resource]:
    found = _all(scope, "rds", "describe_db_instances", "DBInstances", 100)
    return _tagged(scope, "rds:db", found, "DBInstanceArn", "TagList")


def _clusters(scope: Scope) -> list[Resource]:
    found = _all(scope, "rds", "describe_db_clusters", "DBClusters", 100)
    return _tagged(scope, "rds:cluster", found, "DBClusterArn", "TagList")


def _elastic_file_systems(scope: Scope) -> list[Resource]:
    found = _all(scope, "efs", "describe_file_systems", "FileSystems", 100)
    return _tagged(scope, "elasticfilesystem:file-system", found, "FileSystemArn", "Tags")


def _fsx_file_systems(scope: Scope) -> list[Resource]:
    found = _all(scope, "fsx", "describe_file_systems", "FileSystems", 1000)
    return _tagged(scope, "fsx:file-system", found, "ResourceARN", "Tags")


_LOOKS: Final[tuple[Callable[[Scope], list[Resource]], ...]] = (
    _instances,
    auto_scaling_groups,
    _databases,
    _clusters,
    _elastic_file_systems,
    _fsx_file_systems,
)


def _all(
    scope: Scope, service: str, operation: str, member: str, size: int
) -> list[Mapping[str, Any]]:
    pages = (
        scope.client(service).get_paginator(operation).paginate(PaginationConfig={"PageSize": size})
    )
    return [item for page in pages for item in page.get(member, [])]


def _tagged(
    scope: Scope, kind: str, items: Iterable[Mapping[str, Any]], arn: str, tags: str
) -> list[Resource]:
    found = [
        Resource(
            item[arn],
            kind,
            scope.region,
            {tag["Key"]: tag.get("Value", "") for tag in item.get(tags) or []},
        )
        for item in items
        if item.get(arn)
    ]
    return [resource for resource in found if resource.tags]

"""AWS Resource Explorer: which resources an account has, with their tags, over all Regions.

Each hit should be verified with its own service before anything is done to it: the index lags
minutes behind, and keeps deleted resources for a while.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from leeward_adapters.base import Scope

PERMISSIONS: Final = frozenset({"resource-explorer-2:GetIndex", "resource-explorer-2:Search"})
"""ListResources has no IAM action of its own: it is authorised as Search."""

TYPES: Final = {
    "autoscaling:autoScalingGroup": "autoscaling",
    "ec2:instance": "ec2",
    "ecs:service": "ecs",
    "elasticache:cluster": "elasticache",
    "elasticache:replicationgroup": "elasticache",
    "elasticfilesystem:file-system": "elasticfilesystem",
    "elasticloadbalancing:loadbalancer/app": "elasticloadbalancing",
    "elasticloadbalancing:loadbalancer/net": "elasticloadbalancing",
    "es:domain": "es",
    "events:rule": "events",
    "fsx:file-system": "fsx",
    "lambda:function": "lambda",
    "memorydb:cluster": "memorydb",
    "rds:cluster": "rds",
    "rds:db": "rds",
    "route53:hostedzone": "route53",
    "s3:bucket": "s3",
}
"""Resource types that a plan may be about, and Leeward's word for their technology."""

_PAGE: Final = 500
"""With 1,000, the most that the API takes, it gives no token for the next page."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource in the index."""

    arn: str
    type: str
    region: str
    """`global` for services without Regions."""
    tags: dict[str, str]


def aggregates(scope: Scope) -> bool:
    """Whether the index of the scope's Region sees the other Regions too (GetIndex)."""
    answer = scope.client("resource-explorer-2").get_index()
    return bool(answer.get("Type") == "AGGREGATOR")


def list_resources(scope: Scope, regions: Sequence[str]) -> list[Resource]:
    """Tagged resources of `TYPES` in those Regions, as the Region's default view shows them.

    Only types and Regions are filtered by the service. Tags are not: keys with a colon, such as
    `dr:wave`, have no documented way to be written in a filter.
    """
    places = ",".join((*regions, "global"))
    query = f"region:{places} resourcetype:{','.join(sorted(TYPES))}"
    pages = (
        scope.client("resource-explorer-2")
        .get_paginator("list_resources")
        .paginate(Filters={"FilterString": query}, PaginationConfig={"PageSize": _PAGE})
    )
    found = (raw for page in pages for raw in page.get("Resources", []))
    resources = [
        Resource(raw["Arn"], raw["ResourceType"], raw.get("Region", ""), _tags(raw))
        for raw in found
    ]
    return [resource for resource in resources if resource.tags]


def _tags(raw: dict[str, object]) -> dict[str, str]:
    """Tags come as the property `tags`, and only from views that include it."""
    properties = raw.get("Properties") or []
    assert isinstance(properties, list)
    return {
        pair["Key"]: pair.get("Value", "")
        for found in properties
        if found.get("Name") == "tags"
        for pair in found.get("Data") or []
    }

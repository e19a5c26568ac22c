"""Resource Groups Tagging API: the tagged resources of one account in one Region.

Unlike Resource Explorer it needs no index and sees a new tag at once, at the price of asking each
Region for itself. Auto Scaling groups are not among what it lists and come from their own service.
"""

from __future__ import annotations

from typing import Final

from leeward_adapters import describing
from leeward_adapters.base import Scope
from leeward_adapters.resource_explorer import TYPES, Resource

PERMISSIONS: Final = frozenset({"autoscaling:DescribeAutoScalingGroups", "tag:GetResources"})

_OWN_SERVICE: Final = "autoscaling:autoScalingGroup"
_PAGE: Final = 100
"""The most that the API gives at once (API reference, GetResources)."""
_BUCKET: Final = "s3:bucket"
"""The only type of which the ARN has no word for the type; it is asked for by its service."""


def get_resources(scope: Scope) -> list[Resource]:
    """Tagged resources of `TYPES` that live in the scope's Region (GetResources).

    Services without Regions, such as Route 53, are listed by us-east-1 alone.
    """
    pages = (
        scope.client("resourcegroupstaggingapi")
        .get_paginator("get_resources")
        .paginate(ResourceTypeFilters=_filters(), PaginationConfig={"PageSize": _PAGE})
    )
    found = []
    for page in pages:
        for raw in page.get("ResourceTagMappingList", []):
            tags = {tag["Key"]: tag["Value"] for tag in raw.get("Tags", [])}
            kind = type_of(raw["ResourceARN"])
            if kind and tags:
                found.append(Resource(raw["ResourceARN"], kind, _region(raw["ResourceARN"]), tags))
    return [*found, *describing.auto_scaling_groups(scope)]


def type_of(arn: str) -> str | None:
    """Resource Explorer's word for the type of the resource, if it is one of `TYPES`."""
    service, _, rest = arn.removeprefix("arn:").partition(":")[2].partition(":")
    resource = rest.split(":", 2)[-1]
    candidates = [t for t in TYPES if t.partition(":")[0] == service]
    for kind in sorted(candidates, key=len, reverse=True):
        word = kind.partition(":")[2]
        if resource.startswith((f"{word}:", f"{word}/")):
            return kind
    return _BUCKET if service == "s3" else None


def _filters() -> list[str]:
    """At most 100, as the API allows. The kinds of load balancers are told apart by their ARNs."""
    asked = TYPES.keys() - {_OWN_SERVICE, _BUCKET}
    return sorted({t.partition("/")[0] for t in asked} | {_BUCKET.partition(":")[0]})


def _region(arn: str) -> str:
    return arn.split(":", 4)[3] or "global"

"""AWS Resource Explorer: which resources an account has, with their tags, over all Regions.

Each hit should be verified with its own service before anything is done to it: the index lags
minutes behind, and keeps deleted resources for a while.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from leeward_adapters.base import Scope
from leeward_adapters.ec2 import place
from leeward_adapters.errors import DENIALS

PERMISSIONS: Final = frozenset({"resource-explorer-2:GetIndex", "resource-explorer-2:Search"})
"""ListResources has no IAM action of its own: it is authorised as Search."""

TYPES: Final = {
    "autoscaling:autoScalingGroup": "autoscaling",
    "dynamodb:table": "dynamodb",
    "ec2:instance": "ec2",
    "ecs:service": "ecs",
    "eks:cluster": "eks",
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


class IncompleteSearchError(BotoCoreError):
    """Search shows its first 1,000 hits only, and the question cannot be made any smaller."""

    fmt = "there are more resources of {kind} in {region} than the 1,000 that Search shows"


def aggregates(scope: Scope) -> bool:
    """Whether the index of the scope's Region sees the other Regions too (GetIndex)."""
    answer = scope.client("resource-explorer-2").get_index()
    return bool(answer.get("Type") == "AGGREGATOR")


def list_resources(scope: Scope, regions: Sequence[str]) -> list[Resource]:
    """Tagged resources of `TYPES` in those Regions, as the Region's default view shows them.

    Only types and Regions are filtered by the service. Tags are not: keys with a colon, such as
    `dr:wave`, have no documented way to be written in a filter. Where policies allow Search
    alone (condition key `resource-explorer-2:Operation`), that is used.

    Raises:
        ClientError: `UnauthorizedException` where there is no default view or no right to it.
        IncompleteSearchError: Search was used, and more than 1,000 resources of one type are in
            one Region.
    """
    try:
        found = list(_listed(scope, regions))
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") not in DENIALS - {"UnauthorizedException"}:
            raise
        found = list(_searched(scope, sorted(TYPES), (*regions, "global")))
    resources = [
        Resource(raw["Arn"], raw["ResourceType"], raw.get("Region", ""), _tags(raw))
        for raw in found
    ]
    return [resource for resource in resources if resource.tags]


def _listed(scope: Scope, regions: Sequence[str]) -> Iterator[dict[str, Any]]:
    query = _query(sorted(TYPES), (*regions, "global"))
    pages = (
        scope.client("resource-explorer-2")
        .get_paginator("list_resources")
        .paginate(Filters={"FilterString": query}, PaginationConfig={"PageSize": _PAGE})
    )
    for page in pages:
        yield from page.get("Resources", [])


def _searched(
    scope: Scope, types: Sequence[str], regions: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """As `_listed`, by questions small enough for the 1,000 hits that Search shows in all."""
    pages = (
        scope.client("resource-explorer-2")
        .get_paginator("search")
        .paginate(QueryString=_query(types, regions), PaginationConfig={"PageSize": _PAGE})
    )
    found: list[dict[str, Any]] = []
    count: dict[str, Any] = {}
    for page in pages:
        count = count or page.get("Count", {})
        found += page.get("Resources", [])
        if not count.get("Complete", True):
            break
    if count.get("Complete", True):
        yield from found
    elif len(types) > 1:
        half = len(types) // 2
        yield from _searched(scope, types[:half], regions)
        yield from _searched(scope, types[half:], regions)
    elif len(regions) > 1:
        for region in regions:
            yield from _searched(scope, types, (region,))
    else:
        where = f"{regions[0]} (asked in {place(scope)})"
        raise IncompleteSearchError(kind=types[0], region=where)


def _query(types: Sequence[str], regions: Sequence[str]) -> str:
    """Filters in a row must all hold; values behind a comma are alternatives."""
    return f"region:{','.join(regions)} resourcetype:{','.join(types)}"


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

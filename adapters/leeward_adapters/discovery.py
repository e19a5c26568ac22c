"""What an account has to recover: Resource Explorer's answer, joined with DRS's source servers.

Nothing is asked of the primary Region unless the recovery Region cannot answer: an inventory must
be possible on the day on which the primary is gone. A whole account costs a handful of calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from leeward_adapters import discovery_back, drs_instances, resource_explorer
from leeward_adapters.base import Scope
from leeward_adapters.drs_instances import RecoveryInstance
from leeward_adapters.drs_reverse import REPLACED_TAG
from leeward_adapters.ec2 import place
from leeward_adapters.resource_explorer import Resource

PERMISSIONS: Final = resource_explorer.PERMISSIONS | {
    "drs:DescribeRecoveryInstances",
    "drs:DescribeSourceServers",
    "ec2:DescribeInstances",
}
"""IAM actions of `discover`; DRS wants the last one for itself."""

STRATEGY_TAG: Final = "dr:recovery-strategy"
_OF_DRS: Final = "AWSElasticDisasterRecovery"
"""How the tags begin that DRS puts on its own instances."""


@dataclass(frozen=True, slots=True)
class FoundResource:
    """A resource that may be worth recovering."""

    id: str
    """As the technology's API wants it."""
    arn: str
    technology: str
    region: str
    """Of a service without Regions: the recovery Region, through which it is reached."""
    name: str
    tags: Mapping[str, str]
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Of a source server: `originInstanceId`, `originRegion`, `replicationState`, `lag` (ISO 8601
    duration), `lastSeen`, `recoveryInstanceId`, `recoveryInstanceDrill` (`true`, `false`),
    `error`, and those of `discovery_back.attributes`; each only where known."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found, and what did not answer."""

    found: list[FoundResource]
    problems: list[str]
    """Sources that did not answer; while there are any, `found` is not the whole."""
    notes: list[str] = field(default_factory=list)
    """What answered, but may not on the day it matters."""


def discover(aws_scope: Callable[[str], Scope], *, regions: Sequence[str]) -> Discovery:
    """All tagged resources of one account that Leeward knows a technology for.

    Whether they belong to a plan is not judged here. An EC2 instance that DRS protects is
    represented by its source server, whose tags are overlaid by the instance's own; one that is
    tagged for DRS without being protected has technology `drs`, its instance id, and the
    attribute `error`. Instances that DRS launched are left out,
    and those that a failback replaced.

    Args:
        aws_scope: the account in a Region, through its read role.
        regions: the primary Region first, the recovery Region last.
    """
    problems: list[str] = []
    notes: list[str] = []
    resources = _explore(aws_scope, regions, problems, notes)
    scope = aws_scope(regions[-1])
    servers, instances = _of_drs(scope, problems)
    tags = {_id(r): r.tags for r in resources if r.type == "ec2:instance"}
    back = discovery_back.attributes(lambda: aws_scope(regions[0]), servers, instances, notes)
    found = [
        _server(s, regions[-1], tags, instances, back.get(s["sourceServerID"], {})) for s in servers
    ]
    protected = {f.attributes.get("originInstanceId", "") for f in found}
    launched = {i.id for group in instances.values() for i in group}
    found += [
        _resource(r, scope)
        for r in resources
        if not (
            r.type == "ec2:instance"
            and (
                _id(r) in protected | launched
                or REPLACED_TAG in r.tags
                or any(k.startswith(_OF_DRS) for k in r.tags)
            )
        )
    ]
    return Discovery(sorted(found, key=lambda one: one.arn), problems, notes)


def _explore(
    aws_scope: Callable[[str], Scope],
    regions: Sequence[str],
    problems: list[str],
    notes: list[str],
) -> list[Resource]:
    """The recovery Region's index if it sees all Regions, else each Region's own."""
    found: dict[str, Resource] = {}
    failed: list[str] = []
    for region in dict.fromkeys(reversed(regions)):
        scope = aws_scope(region)
        try:
            found |= {r.arn: r for r in resource_explorer.list_resources(scope, regions)}
            if resource_explorer.aggregates(scope):
                # Others that failed before this one are seen by this one.
                notes += failed
                return list(found.values())
            notes.append(
                f"the Resource Explorer index in {place(scope)} sees its own Region only: make "
                f"the one in {regions[-1]} the aggregator, or the inventory needs the primary"
            )
        except (ClientError, BotoCoreError) as error:
            failed.append(_silent(scope, error))
    problems += failed
    return list(found.values())


def _of_drs(
    scope: Scope, problems: list[str]
) -> tuple[list[Mapping[str, Any]], dict[str, list[RecoveryInstance]]]:
    """Source servers that replicate away from the primary, and recovery instances by server."""
    drs = scope.client("drs")
    try:
        pages = drs.get_paginator("describe_source_servers").paginate(filters={})
        servers = [server for page in pages for server in page.get("items", [])]
        pages = drs.get_paginator("describe_recovery_instances").paginate(filters={})
        launched = [drs_instances.parse(raw) for page in pages for raw in page.get("items", [])]
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == "UninitializedAccountException":
            # An account without DRS is not silent; readiness says so if it should have it.
            return [], {}
        problems.append(f"DRS in {place(scope)} did not answer: {error}")
        return [], {}
    except BotoCoreError as error:
        problems.append(f"DRS in {place(scope)} did not answer: {error}")
        return [], {}
    instances: dict[str, list[RecoveryInstance]] = {}
    for instance in launched:
        instances.setdefault(instance.server, []).append(instance)
    # Servers outside AWS have no direction.
    away = [s for s in servers if s.get("replicationDirection", "FAILOVER") == "FAILOVER"]
    return away, instances


def _server(
    raw: Mapping[str, Any],
    region: str,
    tags_of: Mapping[str, Mapping[str, str]],
    instances: Mapping[str, Sequence[RecoveryInstance]],
    back: Mapping[str, str],
) -> FoundResource:
    hints = raw.get("sourceProperties", {}).get("identificationHints", {})
    origin = hints.get("awsInstanceID", "")
    tags = {**raw.get("tags", {}), **tags_of.get(origin, {})}
    return FoundResource(
        id=raw["sourceServerID"],
        arn=raw["arn"],
        technology="drs",
        region=region,
        name=tags.get("Name") or hints.get("hostname", ""),
        tags=tags,
        attributes={**_attributes(raw, origin, instances.get(raw["sourceServerID"], ())), **back},
    )


def _attributes(
    raw: Mapping[str, Any], origin: str, instances: Sequence[RecoveryInstance]
) -> dict[str, str]:
    replication = raw.get("dataReplicationInfo", {})
    cloud = raw.get("sourceCloudProperties", {})
    known = {
        "originInstanceId": origin,
        "originRegion": cloud.get("originRegion", ""),
        "originAccountId": cloud.get("originAccountID", ""),
        "replicationState": replication.get("dataReplicationState", ""),
        "lag": replication.get("lagDuration", ""),
        "lastSeen": raw.get("lifeCycle", {}).get("lastSeenByServiceDateTime", ""),
        "error": replication.get("dataReplicationError", {}).get("error", ""),
    }
    live = [i for i in instances if i.live and not i.failed_back]
    # One that is not a drill's matters more.
    for instance in sorted(live, key=lambda one: one.drill)[:1]:
        known["recoveryInstanceId"] = instance.id
        known["recoveryInstanceDrill"] = str(instance.drill).lower()
    return {key: str(value) for key, value in known.items() if value}


def _resource(resource: Resource, scope: Scope) -> FoundResource:
    technology = resource_explorer.TYPES.get(resource.type, resource.type.partition(":")[0])
    attributes: dict[str, str] = {}
    if resource.type == "ec2:instance" and resource.tags.get(STRATEGY_TAG) == "drs":
        technology = "drs"
        attributes = {
            "originInstanceId": _id(resource),
            "originRegion": resource.region,
            "error": f"NoSourceServer: nothing in {place(scope)} protects it",
        }
    return FoundResource(
        id=_id(resource),
        arn=resource.arn,
        technology=technology,
        region=scope.region if resource.region in {"", "global"} else resource.region,
        name=resource.tags.get("Name", ""),
        tags=resource.tags,
        attributes=attributes,
    )


def _id(resource: Resource) -> str:
    """The part of the ARN that the service's own API takes."""
    tail = resource.arn.split(":", 5)[5]
    if resource.type == "autoscaling:autoScalingGroup":
        return tail.rpartition("/")[2]
    for mark in (":", "/"):
        kind, found, rest = tail.partition(mark)
        if found and "/" not in kind:
            return rest
    return tail


def _silent(scope: Scope, error: ClientError | BotoCoreError) -> str:
    code = error.response.get("Error", {}).get("Code") if isinstance(error, ClientError) else ""
    head = f"Resource Explorer in {place(scope)} did not answer: {error}"
    if code in {"UnauthorizedException", "ResourceNotFoundException"}:
        return (
            f"{head}. Make an index and a default view that includes tags in {scope.region} "
            "(resource-explorer-2 create-resource-explorer-setup), and allow "
            "resource-explorer-2:Search on the view to the read role"
        )
    return head

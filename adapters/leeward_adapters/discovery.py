"""What an account has to recover: its tagged resources, joined with DRS's source servers.

Nothing is asked of the primary Region unless the recovery Region cannot answer: an inventory must
be possible on the day on which the primary is gone. A whole account costs a handful of calls, and
a look at one of which nothing has changed costs two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from leeward_adapters import (
    discovery_back,
    drs_instances,
    drs_lists,
    drs_sides,
    drs_snapshot,
    resource_explorer,
)
from leeward_adapters.attribution import asking
from leeward_adapters.base import Scope
from leeward_adapters.drs_instances import RecoveryInstance
from leeward_adapters.drs_reverse import REPLACED_TAG
from leeward_adapters.ec2 import place
from leeward_adapters.errors import classify
from leeward_adapters.providers import PERMISSIONS as _OF_PROVIDERS
from leeward_adapters.providers import PROVIDERS, Explored, explore
from leeward_adapters.resource_explorer import Resource

PERMISSIONS: Final = _OF_PROVIDERS | {
    "drs:DescribeRecoveryInstances",
    "drs:DescribeSourceServers",
    "ec2:DescribeInstances",
}
"""IAM actions of `discover`; DRS wants the last one for itself too."""

STRATEGY_TAG: Final = "dr:recovery-strategy"
_LAUNCHED: Final = ("AWSElasticDisasterRecovery", "aws:autoscaling:groupName")
"""How the tags begin that DRS puts on its own instances, and Auto Scaling on those of a group."""
_ASKED_FOR: Final = 200
"""Source servers that one question may name (DescribeSourceServersRequestFilters)."""


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
    `error`, `sourceAddress` (private IPv4 at the source), and those of
    `discovery_back.attributes`; each only where known."""


@dataclass(frozen=True, slots=True)
class Known:
    """What one look leaves for the next one of the same account; see `discover`."""

    explored: Explored | None = None
    aggregators: frozenset[str] = frozenset()
    servers: frozenset[tuple[str, str]] = frozenset()
    """Source servers and what each was last launched as; None of it changes without a launch."""
    instances: tuple[RecoveryInstance, ...] | None = None

    def without_index(self) -> Known:
        """The same, but tagged resources are asked for again."""
        return replace(self, explored=None)


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found, and what did not answer."""

    found: list[FoundResource]
    problems: list[str]
    """Sources that did not answer; while there are any, `found` is not the whole."""
    notes: list[str] = field(default_factory=list)
    """What answered, but may not on the day it matters, and why others than the first were
    asked."""
    used: tuple[tuple[str, str], ...] = ()
    """Which provider answered, for which Region."""
    known: Known = Known()
    """For the next look."""
    way_back_silent: bool = False
    """Whether the primary Region did not say who protects what was recovered."""


@asking("discovery")
def discover(
    aws_scope: Callable[[str], Scope],
    *,
    regions: Sequence[str],
    providers: Sequence[str] = PROVIDERS,
    known: Known = Known(),
) -> Discovery:
    """All tagged resources of one account that Leeward knows a technology for.

    Whether they belong to a plan is not judged here. An EC2 instance that DRS protects is
    represented by its source server, whose tags are overlaid by the instance's own; one that is
    tagged for DRS without being protected has technology `drs`, its instance id, and the
    attribute `error`. Instances that DRS or an Auto Scaling group launched are left out, and those
    that a failback replaced.

    Args:
        aws_scope: the account in a Region, through its read role.
        regions: the primary Region first, the recovery Region last.
        providers: whom to ask for tagged resources, in order of preference.
        known: what an earlier look left; tagged resources in it are not asked for again, and
            recovery instances only if there were any or a source server was launched since.
    """
    problems: list[str] = []
    explored = known.explored or explore(aws_scope, regions, providers, known.aggregators)
    scope = aws_scope(regions[-1])
    servers, launched, now = _of_drs(scope, known, problems)
    instances = _by_server(launched)
    tags = {_id(r): r.tags for r in explored.resources if r.type == "ec2:instance"}
    silent: list[str] = []
    back = discovery_back.attributes(lambda: aws_scope(regions[0]), servers, instances, silent)
    found = [
        _server(s, regions[-1], tags, instances, back.get(s["sourceServerID"], {})) for s in servers
    ]
    found += _others(explored.resources, found, {i.id for i in launched}, scope)
    return Discovery(
        found=sorted(found, key=lambda one: one.arn),
        problems=[*explored.problems, *problems],
        notes=[*explored.notes, *silent],
        used=explored.used,
        way_back_silent=bool(silent),
        # What did not answer wholly is asked again, whatever its age.
        known=replace(
            now,
            explored=None if explored.problems else explored,
            aggregators=explored.aggregators,
        ),
    )


def _by_server(launched: Sequence[RecoveryInstance]) -> dict[str, list[RecoveryInstance]]:
    found: dict[str, list[RecoveryInstance]] = {}
    for instance in launched:
        found.setdefault(instance.server, []).append(instance)
    return found


@asking("discovery")
def gone(scope: Scope, servers: Sequence[str]) -> frozenset[str]:
    """Which of these source servers DRS says do not exist, asked by their ids.

    A list that lacks a server does not prove that; an answer about that very server does.
    """
    left: set[str] = set()
    drs = scope.client("drs")
    for start in range(0, len(servers), _ASKED_FOR):
        filters = {"sourceServerIDs": list(servers[start : start + _ASKED_FOR])}
        found = drs_lists.items(drs, "describe_source_servers", filters=filters)
        left |= {server["sourceServerID"] for server in found}
    return frozenset(servers) - left


def _of_drs(
    scope: Scope, known: Known, problems: list[str]
) -> tuple[list[Mapping[str, Any]], tuple[RecoveryInstance, ...], Known]:
    """Source servers that replicate away from the primary, and all recovery instances."""
    drs, began = scope.client("drs"), scope.now()
    try:
        servers = drs_sides.listing(drs)
        launches = frozenset((s["sourceServerID"], _launch(s)) for s in servers)
        launched = known.instances
        if launched is None or launched or launches != known.servers:
            listed = drs_lists.items(drs, "describe_recovery_instances", filters={})
            launched = tuple(map(drs_instances.parse, listed))
    except (ClientError, BotoCoreError) as error:
        fault = classify(error)
        # An account without DRS is not silent; readiness says so if it should have it.
        if fault.code != "UninitializedAccountException":
            said = f"{fault.code}: {fault.message}"
            problems.append(f"DRS in {place(scope)} did not answer: {said}")
        return [], (), Known()
    drs_snapshot.note(scope, servers, launched, began)
    # Servers outside AWS have no direction.
    away = [s for s in servers if s.get("replicationDirection", "FAILOVER") == "FAILOVER"]
    return away, launched, Known(servers=launches, instances=launched)


def _launch(server: Mapping[str, Any]) -> str:
    """What changes with every launch of the server: the job, its result, the instance."""
    last = server.get("lifeCycle", {}).get("lastLaunch", {})
    job, status = last.get("initiated", {}).get("jobID", ""), last.get("status", "")
    return f"{job} {status} {server.get('recoveryInstanceId', '')}"


def _others(
    resources: Sequence[Resource],
    servers: Sequence[FoundResource],
    launched: set[str],
    scope: Scope,
) -> list[FoundResource]:
    """Everything but machines that a source server or an Auto Scaling group stands for, and those
    that DRS launched or a failback replaced.
    """
    protected = {server.attributes.get("originInstanceId", "") for server in servers}
    return [
        _resource(r, scope)
        for r in resources
        if not (
            r.type == "ec2:instance"
            and (
                _id(r) in protected | launched
                or REPLACED_TAG in r.tags
                or any(k.startswith(_LAUNCHED) for k in r.tags)
            )
        )
    ]


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
        attributes={
            **_attributes(raw, origin, instances.get(raw["sourceServerID"], ()), back),
            **back,
        },
    )


def _attributes(
    raw: Mapping[str, Any],
    origin: str,
    instances: Sequence[RecoveryInstance],
    back: Mapping[str, str],
) -> dict[str, str]:
    replication = raw.get("dataReplicationInfo", {})
    cloud = raw.get("sourceCloudProperties", {})
    known = {
        "originInstanceId": origin,
        "originRegion": cloud.get("originRegion", ""),
        "originAccountId": cloud.get("originAccountID", ""),
        "replicationState": _replication_state(raw),
        "lag": replication.get("lagDuration", ""),
        "lastSeen": raw.get("lifeCycle", {}).get("lastSeenByServiceDateTime", ""),
        "error": replication.get("dataReplicationError", {}).get("error", ""),
        "sourceAddress": _address(raw),
    }
    live = [i for i in instances if i.live and i.id != back.get("retiredInstanceId")]
    # One that is not a drill's matters more.
    for instance in sorted(live, key=lambda one: one.drill)[:1]:
        known["recoveryInstanceId"] = instance.id
        known["recoveryInstanceDrill"] = str(instance.drill).lower()
    return {key: str(value) for key, value in known.items() if value}


def _replication_state(raw: Mapping[str, Any]) -> str:
    """DRS says CONTINUOUS while a rescan is under way, whose newest point in time is an old one."""
    state = drs_sides.replication_state(raw)
    return "RESCAN" if state == "CONTINUOUS" and drs_sides.rescanning(raw) else state


def _address(raw: Mapping[str, Any]) -> str:
    """The first IPv4 address of the primary network interface at the source."""
    interfaces = raw.get("sourceProperties", {}).get("networkInterfaces", [])
    for interface in sorted(interfaces, key=lambda i: not i.get("isPrimary", False)):
        for address in interface.get("ips", []):
            if ":" not in address:
                return str(address)
    return ""


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

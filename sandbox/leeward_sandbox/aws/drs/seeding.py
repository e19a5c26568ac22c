"""Source servers from an estate, and changes to them while the sandbox runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pydantic import ConfigDict, Field

from leeward_sandbox.aws.drs.replication import DEFAULT_PIT_POLICY, GONE, Progress, progress
from leeward_sandbox.aws.drs.settings import (
    DrsSettings,
    FaultPlan,
    LaunchSettings,
    Replication,
    ReplicationState,
    Setting,
)
from leeward_sandbox.aws.drs.state import Disk, Drs, Region, SourceServer
from leeward_sandbox.aws.drs.timing import hex_id

GIB = 1024**3
# How long a seeded server has been in the service, so that points in time of a week exist.
SEEDED_AGE = timedelta(days=30)


@dataclass(slots=True)
class SourceServerSpec:
    """Everything about a new source server that DRS does not find out by itself.

    `disks` are pairs of device name and bytes. `subnet` and `security_groups` go into version 1
    of the server's launch template, in the account and Region that it replicates into.
    """

    name: str
    tags: dict[str, str]
    instance_id: str
    origin_account: str
    origin_region: str
    subnet: str
    security_groups: list[str]
    origin_zone: str = ""
    os: str = "Amazon Linux 2023"
    instance_type: str = "m5.large"
    private_ip: str = "10.0.0.10"
    disks: list[tuple[str, int]] = field(default_factory=lambda: [("/dev/xvda", 100 * GIB)])
    replication: Replication = field(default_factory=Replication)
    faults: FaultPlan | None = None
    launch: LaunchSettings = field(default_factory=LaunchSettings)
    launch_factor: float = 1.0
    id: str | None = None


def add_source_server(
    drs: Drs, region: Region, spec: SourceServerSpec, now: datetime
) -> SourceServer:
    """Add the source server and its launch template; the id is drawn from the name if not given."""
    server_id = spec.id or hex_id("s-", drs.world.seed, region.account, region.name, spec.name)
    template = drs.ec2(region.account, region.name).create_template(
        server_id, spec.instance_type, spec.subnet, spec.security_groups
    )
    fresh = spec.replication.state in (ReplicationState.INITIATING, ReplicationState.INITIAL_SYNC)
    server = SourceServer(
        id=server_id,
        account=region.account,
        region=region.name,
        tags=dict(spec.tags),
        hostname=spec.name,
        instance_id=spec.instance_id,
        origin_account=spec.origin_account,
        origin_region=spec.origin_region,
        origin_zone=spec.origin_zone or f"{spec.origin_region}a",
        os=spec.os,
        instance_type=spec.instance_type,
        private_ip=spec.private_ip,
        disks=[Disk(name, size, boot=i == 0) for i, (name, size) in enumerate(spec.disks)],
        added=now - (spec.replication.since if fresh else SEEDED_AGE),
        replication=spec.replication,
        replication_since=now - spec.replication.since,
        launch=_launch_configuration(server_id, spec, template),
        replication_configuration={},
        faults=spec.faults,
        launch_factor=spec.launch_factor,
        snapshots_from=now - SEEDED_AGE + timedelta(hours=1),
    )
    server.replication_configuration = _replication_configuration(server, spec.subnet)
    region.servers[server_id] = server
    return server


def _launch_configuration(server_id: str, spec: SourceServerSpec, template: str) -> dict[str, Any]:
    return {
        "sourceServerID": server_id,
        "name": spec.name,
        "ec2LaunchTemplateID": template,
        "launchDisposition": spec.launch.launch_disposition,
        "targetInstanceTypeRightSizingMethod": spec.launch.right_sizing,
        "copyPrivateIp": spec.launch.copy_private_ip,
        "copyTags": spec.launch.copy_tags,
        "licensing": {"osByol": False},
        "postLaunchEnabled": spec.launch.post_launch_enabled,
        "recoveryMode": spec.launch.recovery_mode,
    }


def _replication_configuration(server: SourceServer, subnet: str) -> dict[str, Any]:
    return {
        "sourceServerID": server.id,
        "name": server.hostname,
        "stagingAreaSubnetId": subnet,
        "associateDefaultSecurityGroup": True,
        "replicationServersSecurityGroupsIDs": [],
        "replicationServerInstanceType": "t3.small",
        "useDedicatedReplicationServer": False,
        "defaultLargeStagingDiskType": "GP3",
        "replicatedDisks": [
            {"deviceName": disk.device, "isBootDisk": disk.boot, "stagingDiskType": "AUTO"}
            for disk in server.disks
        ],
        "ebsEncryption": "DEFAULT",
        "bandwidthThrottling": 0,
        "dataPlaneRouting": "PRIVATE_IP",
        "createPublicIP": False,
        "stagingAreaTags": {},
        "pitPolicy": [dict(rule) for rule in DEFAULT_PIT_POLICY],
        "autoReplicateNewDisks": True,
    }


class Change(Setting):
    """A change to source servers or settings at run time (`POST /_leeward/drs`).

    Attributes:
        account: the account that holds the source servers; with `settings` alone not needed.
        region: the Region that they replicate into.
        source_server: one id, several, or "*" for all of the account and Region.
        state: the replication state from now on; `lag`, `error` and `snapshots` go with it.
        fault: the fault plan from now on; null takes it away.
        tags: tags to set on the source servers.
        initialized: whether DRS is initialised there.
        settings: switches of `DrsSettings` to change.
    """

    model_config = ConfigDict(**{**Setting.model_config, "frozen": True})

    account: str | None = None
    region: str | None = None
    source_server: str | list[str] = Field(default_factory=list, alias="sourceServerID")
    state: ReplicationState | None = None
    lag: timedelta | None = None
    error: str | None = None
    snapshots: bool | None = None
    fault: FaultPlan | None = None
    tags: dict[str, str] | None = None
    launch_factor: float | None = None
    initialized: bool | None = None
    settings: dict[str, Any] | None = None


def apply(drs: Drs, body: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Apply a `Change` and return the ids of the servers that it touched.

    Raises:
        ValueError: the body is malformed or names a source server that does not exist.
    """
    change = Change.model_validate(body)
    if change.settings is not None:
        merged = drs.settings.model_dump(by_alias=True) | change.settings
        drs.settings = DrsSettings.model_validate(merged)
    if change.account is None or change.region is None:
        if change.settings is None:
            raise ValueError("account and region are needed")
        return {"changed": []}
    region = drs.region(change.account, change.region)
    if change.initialized is not None:
        region.initialized = change.initialized
    chosen = _chosen(region, change)
    for server in chosen:
        _change(drs, server, change, now)
    return {"changed": [server.id for server in chosen]}


def _chosen(region: Region, change: Change) -> list[SourceServer]:
    if change.source_server == "*":
        return list(region.servers.values())
    wanted = change.source_server
    ids = [wanted] if isinstance(wanted, str) else wanted
    unknown = [server_id for server_id in ids if server_id not in region.servers]
    if unknown:
        raise ValueError(
            f"no source server {', '.join(unknown)} in account {region.account} in {region.name}"
        )
    return [region.servers[server_id] for server_id in ids]


def _change(drs: Drs, server: SourceServer, change: Change, now: datetime) -> None:
    given = change.model_fields_set
    if given & {"state", "lag", "error", "snapshots"}:
        _change_replication(server, change, progress(drs, server, now), now)
    if "fault" in given:
        server.faults = change.fault
        server.faults_hit = 0
    if change.launch_factor is not None:
        server.launch_factor = change.launch_factor
    server.tags.update(change.tags or {})


def _change_replication(
    server: SourceServer, change: Change, seen: Progress, now: datetime
) -> None:
    state = change.state or seen.state
    lag = change.lag if "lag" in change.model_fields_set else seen.lag
    server.sync = server.unseen = None
    server.follows = False
    server.replication = Replication(
        state=state, lag=lag, error=change.error, snapshots=change.snapshots
    )
    server.replication_since = now
    if change.snapshots is False or state in GONE:
        server.snapshots_from = None
    elif server.snapshots_from is None:
        server.snapshots_from = now

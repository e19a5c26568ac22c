"""Replication from its start to its end, in both directions."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from leeward_sandbox.aws.backend import Call
from leeward_sandbox.aws.drs import errors, quotas, views
from leeward_sandbox.aws.drs.jobs import forget_instance
from leeward_sandbox.aws.drs.replication import GONE, progress
from leeward_sandbox.aws.drs.seeding import SourceServerSpec, add_source_server
from leeward_sandbox.aws.drs.settings import Replication, ReplicationState
from leeward_sandbox.aws.drs.state import Drs, RecoveryInstance, Region, SourceServer, Sync
from leeward_sandbox.aws.drs.timing import hex_id


def initialize_service(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """InitializeService, idempotent."""
    region.initialized = True
    return {}


def start_replication(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """StartReplication: only from STOPPED, and it copies everything anew."""
    server = region.server(call.params["sourceServerID"])
    if progress(drs, server, call.now).state is not ReplicationState.STOPPED:
        raise errors.conflict(
            f"Replication of source server {server.id} is not stopped", server.id, "SourceServer"
        )
    _check_replicating(drs, region, call.now)
    _synchronise(drs, server, call.now, full=True)
    return {"sourceServer": views.source_server(drs, server, call.now)}


def stop_replication(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """StopReplication: deletes the server's points in time."""
    server = region.server(call.params["sourceServerID"])
    _check_idle(region, server)
    if progress(drs, server, call.now).state is ReplicationState.DISCONNECTED:
        raise errors.conflict(
            f"Source server {server.id} is disconnected", server.id, "SourceServer"
        )
    _stop(server, call.now)
    return {"sourceServer": views.source_server(drs, server, call.now)}


def disconnect_source_server(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """DisconnectSourceServer: refused while the server has a recovery instance."""
    server = region.server(call.params["sourceServerID"])
    _check_idle(region, server)
    if server.recovery_instance:
        raise errors.conflict(
            "You cannot disconnect a Source Server if it has a Recovery Instance",
            server.id,
            "SourceServer",
        )
    server.become(ReplicationState.DISCONNECTED, call.now)
    server.snapshots_from = None
    return views.source_server(drs, server, call.now)


def delete_source_server(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """DeleteSourceServer: only a DISCONNECTED one."""
    server = region.server(call.params["sourceServerID"])
    if progress(drs, server, call.now).state is not ReplicationState.DISCONNECTED:
        raise errors.conflict(
            f"Source server {server.id} must be disconnected before it is deleted",
            server.id,
            "SourceServer",
        )
    del region.servers[server.id]
    partner = drs.by_arn(server.reversed_arn) if server.reversed_arn else None
    if partner is not None and partner.reversed_arn == server.arn:
        partner.reversed_arn = None
    return {}


def disconnect_recovery_instance(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """DisconnectRecoveryInstance: ends its failback replication for good."""
    instance = region.instance(call.params["recoveryInstanceID"])
    instance.disconnected = True
    protecting = drs.by_arn(instance.reversed_arn) if instance.reversed_arn else None
    if protecting is not None:
        protecting.become(ReplicationState.DISCONNECTED, call.now)
    return {}


def delete_recovery_instance(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """DeleteRecoveryInstance: takes DRS's object away and leaves the EC2 instance alone.

    Accepted once the instance is disconnected, gone from EC2, or, if the settings say so,
    protected the other way round.
    """
    instance = region.instance(call.params["recoveryInstanceID"])
    server = region.servers.get(instance.server_id)
    if server is not None:
        _check_idle(region, server)
    state = drs.ec2(region.account, region.name).state(instance.id)
    free = instance.disconnected or state in ("TERMINATED", "NOT_FOUND")
    if not free and (drs.settings.delete_wants == "Disconnected" or instance.reversed_arn is None):
        raise errors.conflict(
            f"Recovery instance {instance.id} must be disconnected before it is deleted",
            instance.id,
            "RecoveryInstance",
        )
    forget_instance(region, instance)
    return {}


def stop_failback(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """StopFailback: the instance's failback state returns to FAILBACK_NOT_STARTED."""
    instance = region.instance(call.params["recoveryInstanceID"])
    protecting = drs.by_arn(instance.reversed_arn) if instance.reversed_arn else None
    if protecting is not None and progress(drs, protecting, call.now).state not in GONE:
        _stop(protecting, call.now)
    instance.failback_job = None
    instance.failback_drill = None
    if drs.settings.stop_failback_forgets:
        instance.reversed_at = None
    return {}


def reverse_replication(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """ReverseReplication: a source server in the origin Region begins to protect the instance.

    For an instance that was itself launched by failing back, the server that protected the
    original is resumed with a rescan; else a new server copies everything.
    """
    instance = region.instance(call.params["recoveryInstanceID"])
    server = region.server(instance.server_id)
    _check_reversible(drs, instance, call.now)
    _check_source(drs, server)
    previous = drs.by_arn(instance.reversed_arn) if instance.reversed_arn else None
    if previous is not None and progress(drs, previous, call.now).state not in GONE:
        if drs.settings.repeated_reversal == "SameArn":
            return {"reversedDirectionSourceServerArn": previous.arn}
        raise errors.conflict(
            f"Recovery instance {instance.id} is already being replicated by {previous.id}",
            instance.id,
            "RecoveryInstance",
        )
    origin = drs.region(server.origin_account, server.origin_region)
    if not origin.initialized:
        raise errors.uninitialized(origin.account, origin.name)
    protecting = _protecting_server(drs, origin, server, instance, call.now)
    server.reversed_arn = protecting.arn
    protecting.reversed_arn = server.arn
    instance.reversed_arn = protecting.arn
    instance.reversed_at = call.now
    instance.failback_job = instance.failback_drill = None
    return {"reversedDirectionSourceServerArn": protecting.arn}


def _protecting_server(
    drs: Drs, origin: Region, server: SourceServer, instance: RecoveryInstance, now: datetime
) -> SourceServer:
    known = drs.by_arn(server.reversed_arn) if server.reversed_arn else None
    seen = progress(drs, known, now) if known is not None else None
    if known is not None and seen is not None and seen.state is not ReplicationState.DISCONNECTED:
        stopped = seen.state is ReplicationState.STOPPED
        if stopped:
            _check_replicating(drs, origin, now)
        if seen.pit:
            known.snapshots_from, known.replication_since = seen.pit
        known.instance_id = instance.id
        known.follows = True
        _synchronise(drs, known, now, full=stopped)
        return known
    _check_replicating(drs, origin, now)
    created = add_source_server(drs, origin, _reversed_spec(drs, origin, server, instance), now)
    created.direction = "FAILBACK" if server.direction == "FAILOVER" else "FAILOVER"
    created.snapshots_from = None
    created.sync = Sync(now, full=True)
    created.follows = True
    created.source_instance = server.instance_id
    if (into := drs.into_source(created)) is not None:
        created.launch |= {
            "launchIntoInstanceProperties": {"launchIntoEC2InstanceID": into},
            "copyPrivateIp": False,
            "copyTags": False,
        }
    return created


def _reversed_spec(
    drs: Drs, origin: Region, server: SourceServer, instance: RecoveryInstance
) -> SourceServerSpec:
    ec2 = drs.ec2(origin.account, origin.name)
    network = ec2.network(server.instance_id) or ec2.any_network()
    if network is None:
        raise errors.invalid(
            f"Account {origin.account} has no subnet in {origin.name} to fail back into"
        )
    return SourceServerSpec(
        id=hex_id("s-", drs.world.seed, "reversed", instance.id),
        name=server.hostname,
        tags=dict(server.tags),
        instance_id=instance.id,
        origin_account=instance.account,
        origin_region=instance.region,
        origin_zone=f"{instance.region}a",
        os=server.os,
        instance_type=server.instance_type,
        private_ip=server.private_ip,
        disks=[(disk.device, disk.size) for disk in server.disks],
        subnet=network[0],
        security_groups=network[1],
        replication=Replication(state=ReplicationState.INITIATING),
    )


def _check_reversible(drs: Drs, instance: RecoveryInstance, now: datetime) -> None:
    ready = instance.launched is not None and now >= instance.launched + timedelta(
        seconds=drs.settings.reversible_after
    )
    ec2 = drs.ec2(instance.account, instance.region)
    # Without a role, its agent cannot speak to DRS.
    speaks = ec2.state(instance.id) == "RUNNING" and ec2.has_profile(instance.id)
    if not ready or not speaks or instance.disconnected:
        raise errors.conflict(
            "Recovery instance not finished initializing", instance.id, "RecoveryInstance"
        )


def _check_source(drs: Drs, server: SourceServer) -> None:
    origin = drs.region(server.origin_account, server.origin_region)
    if not drs.launches_into_source(origin):
        return
    ec2 = drs.ec2(origin.account, origin.name)
    if ec2.state(server.instance_id) != "NOT_FOUND" and not ec2.may_be_launched_into(
        server.instance_id
    ):
        raise errors.invalid(ec2.tag_problem(server.instance_id), "recoveryInstanceID")


def _check_idle(region: Region, server: SourceServer) -> None:
    if server.id in region.busy_servers():
        raise errors.conflict(errors.IN_A_JOB, server.id, "SourceServer")


def _check_replicating(drs: Drs, region: Region, now: datetime) -> None:
    states = [progress(drs, server, now).state for server in region.servers.values()]
    replicating = sum(state not in GONE for state in states)
    quotas.check_replicating(region, drs.settings.quotas, replicating)


def _stop(server: SourceServer, now: datetime) -> None:
    server.become(ReplicationState.STOPPED, now)
    server.snapshots_from = None


def _synchronise(drs: Drs, server: SourceServer, now: datetime, *, full: bool) -> None:
    server.sync = Sync(now, full=full)
    server.unseen = None
    server.replication = Replication()
    if full:
        server.snapshots_from = None

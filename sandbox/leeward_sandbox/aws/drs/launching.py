"""StartRecovery and TerminateRecoveryInstances: the two calls that make jobs."""

from __future__ import annotations

from typing import Any, NoReturn

from leeward_sandbox.aws.backend import Call
from leeward_sandbox.aws.drs import errors, quotas, views
from leeward_sandbox.aws.drs.jobs import Launch, new_job, terminate
from leeward_sandbox.aws.drs.replication import snapshots
from leeward_sandbox.aws.drs.state import Drs, Participant, Region, SourceServer

MAX_LISTED = 200


def start_recovery(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """StartRecovery: one job for all servers listed, or an error and no effect."""
    listed = call.params["sourceServers"]
    _check_list([entry["sourceServerID"] for entry in listed], "sourceServers")
    servers = [_server(drs, region, entry["sourceServerID"]) for entry in listed]
    for server, entry in zip(servers, listed, strict=True):
        _check_snapshot(drs, server, entry.get("recoverySnapshotID"), call)
    _check_free(region, servers)
    quotas.check_new_job(region, drs.settings.quotas, len(servers))
    job = new_job(
        drs,
        region,
        call.now,
        kind="LAUNCH",
        initiated_by="START_DRILL" if call.params.get("isDrill") else "START_RECOVERY",
        participants=[
            Participant(entry["sourceServerID"], snapshot_id=entry.get("recoverySnapshotID"))
            for entry in listed
        ],
        tags=dict(call.params.get("tags") or {}),
    )
    for server in servers:
        Launch(drs, region, job, server).begin()
    return {"job": views.job(drs, job, call.now)}


def terminate_recovery_instances(drs: Drs, region: Region, call: Call) -> dict[str, Any]:
    """TerminateRecoveryInstances: a TERMINATE job for all instances listed."""
    ids = call.params["recoveryInstanceIDs"]
    _check_list(ids, "recoveryInstanceIDs")
    instances = [region.instance(instance_id) for instance_id in ids]
    busy = region.busy_servers()
    for instance in instances:
        if instance.server_id in busy:
            raise errors.conflict(errors.IN_A_JOB, instance.server_id, "SourceServer")
        if views.failback_state(drs, instance, call.now) in _in_the_way(drs):
            raise errors.conflict(
                "Recovery instances cannot be terminated during failback",
                instance.id,
                "RecoveryInstance",
            )
    quotas.check_new_job(region, drs.settings.quotas, len(instances))
    job = new_job(
        drs,
        region,
        call.now,
        kind="TERMINATE",
        initiated_by="TERMINATE_RECOVERY_INSTANCES",
        participants=[Participant(i.server_id, instance_id=i.id) for i in instances],
        tags={},
    )
    terminate(drs, region, job)
    return {"job": views.job(drs, job, call.now)}


def _in_the_way(drs: Drs) -> frozenset[str]:
    """States of a failback in which its instance is not terminated."""
    wants = drs.settings.terminate_wants
    also = {"FAILBACK_COMPLETED"} if wants == "StoppedFailback" else set()
    return frozenset({"FAILBACK_IN_PROGRESS", *also})


def start_failback_launch(drs: Drs, region: Region, call: Call) -> NoReturn:
    """StartFailbackLaunch: refused, as the sandbox has no on-premises failback client."""
    raise errors.invalid(
        "StartFailbackLaunch launches through the failback client of on-premises servers, which "
        "the sandbox does not have; servers of EC2 fail back by StartRecovery on the reversed "
        "source server",
        reason="unknownOperation",
    )


def _check_list(ids: list[str], field: str) -> None:
    if not 1 <= len(ids) <= MAX_LISTED:
        raise errors.invalid(f"{field} takes 1 to {MAX_LISTED} members, not {len(ids)}", field)
    twice = sorted({i for i in ids if ids.count(i) > 1})
    if twice:
        raise errors.invalid(f"{field} lists {', '.join(twice)} more than once", field)


def _server(drs: Drs, region: Region, server_id: str) -> SourceServer:
    if server_id in region.servers or drs.settings.unknown_server == "ResourceNotFoundException":
        return region.server(server_id)
    raise errors.invalid(
        f"Source server {server_id} does not exist in account {region.account} in {region.name}",
        "sourceServers",
    )


def _check_snapshot(drs: Drs, server: SourceServer, snapshot: str | None, call: Call) -> None:
    if snapshot and all(s.id != snapshot for s in snapshots(drs, server, call.now)):
        raise errors.not_found(snapshot, "RecoverySnapshot", server.account, server.region)


def _check_free(region: Region, servers: list[SourceServer]) -> None:
    busy = region.busy_servers()
    for server in servers:
        if server.id in busy:
            raise errors.conflict(errors.IN_A_JOB, server.id, "SourceServer")

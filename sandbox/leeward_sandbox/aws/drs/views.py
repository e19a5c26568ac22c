"""Wire forms of DRS's objects: members that have no value are left out, never null."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from leeward_sandbox.aws.drs.jobs import action_runs
from leeward_sandbox.aws.drs.replication import (
    LIVE,
    progress,
    replicated_disks,
    replication_info,
)
from leeward_sandbox.aws.drs.settings import ReplicationState
from leeward_sandbox.aws.drs.state import (
    Drs,
    Job,
    LogItem,
    Participant,
    RecoveryInstance,
    SourceServer,
)
from leeward_sandbox.aws.drs.timing import duration, generator, iso

Wire = dict[str, Any]


def _without_none(members: Wire) -> Wire:
    return {name: value for name, value in members.items() if value is not None}


def source_server(drs: Drs, server: SourceServer, now: datetime) -> Wire:
    """A SourceServer."""
    return _without_none(
        {
            "sourceServerID": server.id,
            "arn": server.arn,
            "tags": dict(server.tags),
            "recoveryInstanceId": server.recovery_instance,
            "lastLaunchResult": server.last_result,
            "dataReplicationInfo": replication_info(drs, server, now),
            "lifeCycle": _life_cycle(drs, server, now),
            "sourceProperties": _source_properties(server),
            "stagingArea": _staging_area(server),
            "sourceCloudProperties": {
                "originAccountID": server.origin_account,
                "originRegion": server.origin_region,
                "originAvailabilityZone": server.origin_zone,
            },
            "replicationDirection": server.direction,
            "reversedDirectionSourceServerArn": server.reversed_arn,
            "agentVersion": "5.2.0",
        }
    )


def _life_cycle(drs: Drs, server: SourceServer, now: datetime) -> Wire:
    seen = progress(drs, server, now)
    late = generator(drs.world.seed, "seen", server.id, int(now.timestamp()) // 60).uniform(1, 50)
    last_seen = now - timedelta(seconds=late) if _alive(seen.state) else server.replication_since
    cycle: Wire = {
        "addedToServiceDateTime": iso(server.added),
        "firstByteDateTime": iso(server.added + timedelta(minutes=12)),
        "elapsedReplicationDuration": duration(now - server.added),
        "lastSeenByServiceDateTime": iso(max(last_seen, server.added)),
        "lastLaunch": {"initiated": {}},
    }
    if seen.done == 0.0:
        del cycle["firstByteDateTime"]
    launch = server.last_launch
    if launch is not None:
        cycle["lastLaunch"] = {
            "initiated": {
                "apiCallDateTime": iso(launch.called),
                "jobID": launch.job_id,
                "type": "DRILL" if launch.drill else "RECOVERY",
            },
            "status": launch.status,
        }
    return cycle


def _alive(state: ReplicationState) -> bool:
    return state not in (ReplicationState.STALLED, ReplicationState.DISCONNECTED)


def _source_properties(server: SourceServer) -> Wire:
    return {
        "lastUpdatedDateTime": iso(server.added),
        "recommendedInstanceType": server.instance_type,
        "identificationHints": {
            "fqdn": f"{server.hostname}.internal",
            "hostname": server.hostname,
            "awsInstanceID": server.instance_id,
        },
        "networkInterfaces": [{"ips": [server.private_ip], "isPrimary": True}],
        "disks": [{"deviceName": disk.device, "bytes": disk.size} for disk in server.disks],
        "cpus": [{"cores": 2, "modelName": "Intel(R) Xeon(R) Platinum 8259CL CPU @ 2.50GHz"}],
        "ramBytes": 8 * 1024**3,
        "os": {"fullString": server.os},
        "supportsNitroInstances": True,
        "architecture": "x86_64",
    }


def _staging_area(server: SourceServer) -> Wire:
    if server.staging_arn is None:
        return {"status": "NOT_EXTENDED", "stagingAccountID": server.account}
    return {
        "status": "EXTENDED",
        "stagingAccountID": server.staging_arn.split(":")[4],
        "stagingSourceServerArn": server.staging_arn,
    }


def recovery_instance(drs: Drs, instance: RecoveryInstance, now: datetime) -> Wire:
    """A RecoveryInstance; its EC2 state is read from EC2."""
    server = drs.region(instance.account, instance.region).servers.get(instance.server_id)
    return _without_none(
        {
            "ec2InstanceID": instance.id,
            "ec2InstanceState": drs.ec2(instance.account, instance.region).state(instance.id),
            "jobID": instance.job_id,
            "recoveryInstanceID": instance.id,
            "sourceServerID": instance.server_id,
            "arn": instance.arn,
            "tags": dict(instance.tags),
            "failback": _failback(drs, instance, now),
            "dataReplicationInfo": _instance_replication(drs, instance, now),
            "recoveryInstanceProperties": {
                "lastUpdatedDateTime": iso(instance.created),
                "identificationHints": {
                    "awsInstanceID": instance.id,
                    "hostname": server.hostname if server else instance.id,
                },
            },
            "pointInTimeSnapshotDateTime": (
                iso(instance.point_in_time) if instance.point_in_time else None
            ),
            "isDrill": instance.drill,
            "originEnvironment": instance.origin_environment,
            "originAvailabilityZone": server.origin_zone if server else None,
        }
    )


def failback_state(drs: Drs, instance: RecoveryInstance, now: datetime) -> str:
    """The failback.state that follows from the server that protects the instance."""
    reversed_server = drs.by_arn(instance.reversed_arn) if instance.reversed_arn else None
    if instance.failback_job is not None and not instance.failback_drill:
        return "FAILBACK_COMPLETED"
    if reversed_server is None:
        return "FAILBACK_NOT_STARTED"
    state = progress(drs, reversed_server, now).state
    if state in (ReplicationState.STOPPED, ReplicationState.DISCONNECTED):
        return "FAILBACK_NOT_STARTED"
    if reversed_server.last_result == "FAILED":
        return "FAILBACK_ERROR"
    return "FAILBACK_READY_FOR_LAUNCH" if state in LIVE else "FAILBACK_IN_PROGRESS"


def _failback(drs: Drs, instance: RecoveryInstance, now: datetime) -> Wire:
    drill = instance.failback_drill
    return _without_none(
        {
            "state": failback_state(drs, instance, now),
            "failbackToOriginalServer": False,
            "agentLastSeenByServiceDateTime": _agent_seen(drs, instance, now),
            "failbackInitiationTime": iso(instance.reversed_at) if instance.reversed_at else None,
            "failbackJobID": instance.failback_job,
            "failbackLaunchType": None if drill is None else "DRILL" if drill else "RECOVERY",
        }
    )


def _agent_seen(drs: Drs, instance: RecoveryInstance, now: datetime) -> str | None:
    """When DRS heard of the instance's agent, which needs a role to speak to DRS at all."""
    ec2 = drs.ec2(instance.account, instance.region)
    if instance.launched is None or instance.disconnected or not ec2.has_profile(instance.id):
        return None
    if ec2.state(instance.id) == "RUNNING":
        instance.heard = now
    return iso(instance.heard) if instance.heard else None


def _instance_replication(drs: Drs, instance: RecoveryInstance, now: datetime) -> Wire:
    if instance.disconnected:
        return {"dataReplicationState": "DISCONNECTED"}
    protecting = drs.by_arn(instance.reversed_arn) if instance.reversed_arn else None
    if protecting is None:
        return {"dataReplicationState": "NOT_STARTED"}
    seen = progress(drs, protecting, now)
    return _without_none(
        {
            "dataReplicationState": seen.state.value,
            "replicatedDisks": replicated_disks(protecting, seen),
            "lagDuration": duration(seen.lag) if seen.lag is not None else None,
            "stagingAvailabilityZone": f"{protecting.region}a",
        }
    )


def job(drs: Drs, subject: Job, now: datetime) -> Wire:
    """A Job with its participating servers."""
    return _without_none(
        {
            "jobID": subject.id,
            "arn": subject.arn,
            "type": subject.type,
            "initiatedBy": subject.initiated_by,
            "creationDateTime": iso(subject.created),
            "endDateTime": iso(subject.ended) if subject.ended else None,
            "status": subject.status,
            "participatingServers": [
                _participant(drs, subject, part, now) for part in subject.participants.values()
            ],
            "tags": dict(subject.tags),
            "participatingResources": [],
        }
    )


def _participant(drs: Drs, subject: Job, part: Participant, now: datetime) -> Wire:
    known = drs.settings.instance_id_on_job or subject.type == "TERMINATE"
    return _without_none(
        {
            "sourceServerID": part.server_id,
            "recoveryInstanceID": part.instance_id if known else None,
            "launchStatus": part.launch_status,
            "launchActionsStatus": action_runs(drs, subject, part, now),
        }
    )


def log_item(item: LogItem) -> Wire:
    """A JobLog line."""
    return {"logDateTime": iso(item.at), "event": item.event, "eventData": dict(item.data)}

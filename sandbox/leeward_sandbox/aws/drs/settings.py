"""What an estate may set about the DRS of its accounts, and about single source servers."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Setting(BaseModel):
    """Base of everything that comes from an estate file: camelCase there, no unknown keys."""

    model_config = ConfigDict(
        extra="forbid", alias_generator=to_camel, validate_by_name=True, validate_by_alias=True
    )


class ReplicationState(StrEnum):
    """DataReplicationState of a source server, as botocore's model names it."""

    STOPPED = "STOPPED"
    INITIATING = "INITIATING"
    INITIAL_SYNC = "INITIAL_SYNC"
    BACKLOG = "BACKLOG"
    CREATING_SNAPSHOT = "CREATING_SNAPSHOT"
    CONTINUOUS = "CONTINUOUS"
    PAUSED = "PAUSED"
    RESCAN = "RESCAN"
    STALLED = "STALLED"
    DISCONNECTED = "DISCONNECTED"


class Replication(Setting):
    """How a source server replicates.

    Attributes:
        state: the state that DRS reports.
        lag: lag at the time of seeding; it grows by itself while the state is STALLED.
        error: dataReplicationError.error, e.g. AGENT_NOT_SEEN.
        snapshots: whether points in time exist; None means what the state implies (a server in
            its first synchronisation has none).
        since: how long the server has been in this state at the time of seeding.
    """

    state: ReplicationState = ReplicationState.CONTINUOUS
    lag: timedelta | None = timedelta()
    error: str | None = None
    snapshots: bool | None = None
    since: timedelta = timedelta(minutes=30)


class FaultPlan(Setting):
    """Makes the launch of a server fail.

    Attributes:
        fail_at: the step that fails.
        raw_error: the text that appears as `rawError` in the job log.
        times: how many launches fail before one works; None means all.
    """

    fail_at: Literal["SNAPSHOT", "CONVERSION", "LAUNCH"]
    raw_error: str
    times: int | None = Field(default=None, ge=1)


class LaunchSettings(Setting):
    """A source server's launch configuration at the time of seeding."""

    launch_disposition: Literal["STOPPED", "STARTED"] = "STARTED"
    right_sizing: Literal["NONE", "BASIC", "IN_AWS"] = "NONE"
    copy_private_ip: bool = False
    copy_tags: bool = True
    post_launch_enabled: bool = False
    recovery_mode: Literal["FAST", "OPTIMAL"] = "OPTIMAL"


class Quotas(Setting):
    """Service quotas of DRS per account and Region (codes: `leeward_sandbox.aws.drs.quotas`)."""

    servers_per_job: int = 100
    jobs: int = 20
    servers_in_jobs: int = 500
    replicating_servers: int = 300
    launch_actions: int = 200
    launch_templates: int = 1


class Pages(Setting):
    """Page sizes where the client asks for none; small, so that clients must paginate.

    `most` is what a page has at most, whatever the client asks for.
    """

    jobs: int = 10
    job_log: int = 50
    source_servers: int = 50
    recovery_instances: int = 50
    snapshots: int = 20
    others: int = 20
    most: int = 1000


class DrsSettings(Setting):
    """Switches for what is not documented about DRS, and its quotas.

    Attributes:
        remove_earlier_instance: a launch first removes an earlier recovery instance of the
            server (CLEANUP_START, CLEANUP_END).
        instance_id_on_job: participatingServers carry `recoveryInstanceID`; recorded output of
            the real service mostly lacks it.
        unknown_server: the error for a source server that does not exist.
        repeated_reversal: ReverseReplication of an instance that is already reversed.
        configuration_writes: what UpdateLaunchConfiguration makes of the EC2 launch template:
            nothing, a version like the default, or the same as the new default.
        jobs_visible_after: seconds until DescribeJobs lists a new job.
        reversible_after: seconds from LAUNCH_END until ReverseReplication is accepted.
        jitter: largest relative deviation of a server's launch time from the profile.
        sync_mbit_per_second: throughput of a first synchronisation.
        rescan_mbit_per_second: throughput of a rescan of volumes that are known.
        rescanned_bytes: what `rescannedStorageBytes` counts: what was compared so far, all of it in
            the end and after a first copy too; or what is still to be compared, none in the end
            and never any of a first copy.
        stop_failback_forgets: StopFailback takes `failbackInitiationTime` off as well.
        terminate_wants: whether TerminateRecoveryInstances takes an instance whose failback is
            completed, or only one whose failback was stopped.
        delete_wants: DeleteRecoveryInstance takes an instance that is protected the other way
            round as it is, or only once it is disconnected.
    """

    remove_earlier_instance: bool = True
    instance_id_on_job: bool = False
    unknown_server: Literal["ResourceNotFoundException", "ValidationException"] = (
        "ResourceNotFoundException"
    )
    repeated_reversal: Literal["Conflict", "SameArn"] = "Conflict"
    configuration_writes: Literal["Nothing", "Version", "Default"] = "Nothing"
    jobs_visible_after: float = Field(default=0.0, ge=0)
    reversible_after: float = Field(default=120.0, ge=0)
    jitter: float = Field(default=0.15, ge=0, lt=1)
    sync_mbit_per_second: float = Field(default=500.0, gt=0)
    rescan_mbit_per_second: float = Field(default=4000.0, gt=0)
    rescanned_bytes: Literal["Compared", "Pending"] = "Compared"
    stop_failback_forgets: bool = False
    terminate_wants: Literal["CompletedFailback", "StoppedFailback"] = "CompletedFailback"
    delete_wants: Literal["Reversed", "Disconnected"] = "Reversed"
    quotas: Quotas = Quotas()
    pages: Pages = Pages()

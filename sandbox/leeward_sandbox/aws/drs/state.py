"""What DRS remembers, per account and Region."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from leeward_sandbox.aws.backend import World
from leeward_sandbox.aws.drs import errors
from leeward_sandbox.aws.drs.mirror import Ec2Mirror
from leeward_sandbox.aws.drs.settings import (
    DrsSettings,
    FaultPlan,
    Replication,
    ReplicationState,
)


@dataclass(slots=True)
class Disk:
    """A disk of a source server."""

    device: str
    size: int
    boot: bool = False


@dataclass(slots=True)
class Sync:
    """A running synchronisation: all data, or a rescan of volumes that DRS knows already."""

    started: datetime
    full: bool


@dataclass(slots=True)
class LastLaunch:
    """The last launch of a source server, as its life cycle shows it."""

    job_id: str
    called: datetime
    drill: bool
    status: str


@dataclass(slots=True)
class SourceServer:
    """A source server: `s-…`, kept in the account and Region that it replicates into."""

    id: str
    account: str
    region: str
    tags: dict[str, str]
    hostname: str
    instance_id: str
    origin_account: str
    origin_region: str
    origin_zone: str
    os: str
    instance_type: str
    private_ip: str
    disks: list[Disk]
    added: datetime
    replication: Replication
    replication_since: datetime
    launch: dict[str, Any]
    replication_configuration: dict[str, Any]
    direction: str = "FAILOVER"
    sync: Sync | None = None
    faults: FaultPlan | None = None
    faults_hit: int = 0
    launch_factor: float = 1.0
    last_launch: LastLaunch | None = None
    last_result: str = "NOT_STARTED"
    recovery_instance: str | None = None
    reversed_arn: str | None = None
    source_instance: str | None = None
    """In its own Region, what the instance that it protects was launched from."""
    staging_arn: str | None = None
    snapshots_from: datetime | None = None
    follows: bool = False
    """Whether its agent lives and dies with the instance. An estate's servers replicate as the
    estate says; one that ReverseReplication started does so while its instance runs."""
    unseen: datetime | None = None
    """Since when its agent has not been heard of."""
    actions: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        """The server's ARN."""
        return f"arn:aws:drs:{self.region}:{self.account}:source-server/{self.id}"

    def become(self, state: ReplicationState, now: datetime) -> None:
        """Enter a state that lasts, ending any synchronisation."""
        self.sync = self.unseen = None
        self.replication = Replication(state=state, lag=None)
        self.replication_since = now


@dataclass(slots=True)
class RecoveryInstance:
    """DRS's object about a launched EC2 instance; its id is the instance's."""

    id: str
    account: str
    region: str
    server_id: str
    job_id: str
    drill: bool
    tags: dict[str, str]
    created: datetime
    launched: datetime | None = None
    point_in_time: datetime | None = None
    reversed_arn: str | None = None
    reversed_at: datetime | None = None
    failback_job: str | None = None
    failback_drill: bool | None = None
    disconnected: bool = False
    heard: datetime | None = None
    """When its agent was last heard of."""
    origin_environment: str = "AWS"

    @property
    def arn(self) -> str:
        """The recovery instance's ARN."""
        return f"arn:aws:drs:{self.region}:{self.account}:recovery-instance/{self.id}"


@dataclass(slots=True)
class Participant:
    """One server's part in a job."""

    server_id: str
    launch_status: str = "PENDING"
    instance_id: str | None = None
    snapshot_id: str | None = None
    finished: datetime | None = None
    actions_started: datetime | None = None
    actions: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class LogItem:
    """A line of a job's log."""

    at: datetime
    event: str
    data: dict[str, Any]


@dataclass(slots=True)
class Job:
    """A LAUNCH or TERMINATE job."""

    id: str
    account: str
    region: str
    type: str
    initiated_by: str
    created: datetime
    tags: dict[str, str]
    participants: dict[str, Participant]
    status: str = "PENDING"
    ended: datetime | None = None
    log: list[LogItem] = field(default_factory=list)

    @property
    def arn(self) -> str:
        """The job's ARN."""
        return f"arn:aws:drs:{self.region}:{self.account}:job/{self.id}"

    @property
    def active(self) -> bool:
        """Whether the job still runs and so holds its servers and counts for the quotas."""
        return self.status != "COMPLETED"

    def note(self, at: datetime, event: str, server_id: str | None = None, **data: Any) -> None:
        """Add a line to the log; members that are None are left out."""
        if server_id:
            data["sourceServerID"] = server_id
        self.log.append(LogItem(at, event, {k: v for k, v in data.items() if v is not None}))


@dataclass(slots=True)
class Region:
    """DRS in one account and Region."""

    account: str
    name: str
    initialized: bool = False
    servers: dict[str, SourceServer] = field(default_factory=dict)
    instances: dict[str, RecoveryInstance] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    replication_templates: dict[str, dict[str, Any]] = field(default_factory=dict)
    launch_templates: dict[str, dict[str, Any]] = field(default_factory=dict)
    template_actions: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    extended_to: set[str] = field(default_factory=set)

    def server(self, server_id: str) -> SourceServer:
        """The source server, or ResourceNotFoundException."""
        found = self.servers.get(server_id)
        if found is None:
            raise errors.not_found(server_id, "SourceServer", self.account, self.name)
        return found

    def instance(self, instance_id: str) -> RecoveryInstance:
        """The recovery instance, or ResourceNotFoundException."""
        found = self.instances.get(instance_id)
        if found is None:
            raise errors.not_found(instance_id, "RecoveryInstance", self.account, self.name)
        return found

    def busy_servers(self) -> dict[str, Job]:
        """Servers that a running job holds, with the job."""
        return {
            part.server_id: job
            for job in self.jobs.values()
            if job.active
            for part in job.participants.values()
        }


LaunchListener = Callable[[str, str, str, dict[str, str], datetime], None]


class Drs:
    """The state of all accounts and Regions, and the queue of what will happen in them.

    Nothing runs by itself: `settle` lets happen, in order of time, whatever is due.
    """

    def __init__(self, world: World, settings: DrsSettings) -> None:
        self.world = world
        self.settings = settings
        self.regions: dict[tuple[str, str], Region] = {}
        self.serial = itertools.count(1)
        self.launched: list[LaunchListener] = []
        self.terminated: list[LaunchListener] = []
        self._mirrors: dict[tuple[str, str], Ec2Mirror] = {}
        self._order = itertools.count()
        self._queue: list[tuple[datetime, int, Callable[[datetime], None]]] = []

    def region(self, account: str, name: str) -> Region:
        """DRS of the account in the Region, made at first use."""
        key = (account, name)
        if key not in self.regions:
            self.regions[key] = Region(account, name)
        return self.regions[key]

    def ec2(self, account: str, region: str) -> Ec2Mirror:
        """The EC2 of the account in the Region."""
        key = (account, region)
        if key not in self._mirrors:
            self._mirrors[key] = Ec2Mirror(self.world, account, region)
        return self._mirrors[key]

    def by_arn(self, arn: str) -> SourceServer | None:
        """The source server with that ARN, wherever it is."""
        _, _, _, region, account, resource = arn.split(":", 5)
        return self.region(account, region).servers.get(resource.partition("/")[2])

    def launches_into_source(self, region: Region) -> bool:
        """Whether DRS sets what comes back to the Region to launch into where it came from."""
        return any(t["launchIntoSourceInstance"] for t in region.launch_templates.values())

    def into_source(self, server: SourceServer) -> str | None:
        """The instance that DRS has the server launch into of its own accord, or None."""
        source, region = server.source_instance, self.region(server.account, server.region)
        if source is None or not self.launches_into_source(region):
            return None
        gone = {"NOT_FOUND", "TERMINATED", "SHUTTING-DOWN"}
        return None if self.ec2(server.account, server.region).state(source) in gone else source

    def schedule(self, at: datetime, effect: Callable[[datetime], None]) -> None:
        """Let `effect` happen at the virtual time `at`; it is called with that time."""
        heapq.heappush(self._queue, (at, next(self._order), effect))

    def schedule_in(
        self, start: datetime, seconds: float, effect: Callable[[datetime], None]
    ) -> None:
        """Let `effect` happen `seconds` after `start`."""
        self.schedule(start + timedelta(seconds=seconds), effect)

    def settle(self, now: datetime) -> None:
        """Let everything happen that is due at `now`, each at its own time."""
        while self._queue and self._queue[0][0] <= now:
            at, _, effect = heapq.heappop(self._queue)
            effect(at)

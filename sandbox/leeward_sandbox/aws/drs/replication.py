"""What DRS reports about a server's replication, computed from the time of the question."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from leeward_sandbox.aws.drs.settings import Replication, ReplicationState
from leeward_sandbox.aws.drs.state import Drs, SourceServer, Sync
from leeward_sandbox.aws.drs.timing import INITIATION_STEPS, duration, generator, hex_id, iso

# States in which the newest point in time follows the present, and those in which it stays.
LIVE = frozenset(
    {ReplicationState.CONTINUOUS, ReplicationState.BACKLOG, ReplicationState.CREATING_SNAPSHOT}
)
GONE = frozenset({ReplicationState.STOPPED, ReplicationState.DISCONNECTED})
SNAPSHOT_SECONDS = 60.0
# How long a server's agent may be silent before its replication counts as stalled.
STALLED_AFTER = timedelta(minutes=5)
# A rescanned server says CONTINUOUS before its last blocks are compared.
CONTINUOUS_AT_RESCANNED = 0.8
DEFAULT_PIT_POLICY = (
    {"ruleID": 1, "units": "MINUTE", "interval": 10, "retentionDuration": 60, "enabled": True},
    {"ruleID": 2, "units": "HOUR", "interval": 1, "retentionDuration": 24, "enabled": True},
    {"ruleID": 3, "units": "DAY", "interval": 1, "retentionDuration": 7, "enabled": True},
)
_UNIT_SECONDS = {"MINUTE": 60, "HOUR": 3600, "DAY": 86400}


@dataclass(frozen=True, slots=True)
class Progress:
    """A server's replication at one moment.

    `done` and `rescanned` are the shares of bytes transferred and of `rescannedStorageBytes`,
    `steps_done` counts the initiation steps that have ended, `pit` is the span of time that
    snapshots cover.
    """

    state: ReplicationState
    lag: timedelta | None
    error: str | None
    done: float
    rescanned: float
    steps_done: int
    ends: datetime | None
    pit: tuple[datetime, datetime] | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A point in time that a server can be launched from."""

    id: str
    at: datetime


def progress(drs: Drs, server: SourceServer, now: datetime) -> Progress:
    """The server's replication at `now`; an extended server shows its staging server's."""
    if server.staging_arn:
        staging = drs.by_arn(server.staging_arn)
        if staging is not None:
            return progress(drs, staging, now)
    seen_until = server.unseen or now
    if server.sync:
        known = _syncing(drs, server, server.sync, seen_until)
    else:
        known = _lasting(server, server.replication, seen_until)
    if drs.settings.rescanned_bytes == "Pending":
        # Of a first copy nothing is to be compared.
        compared = known.rescanned if _compares(server) else 1.0
        known = replace(known, rescanned=1.0 - compared)
    return _unseen(known, now - seen_until) if now > seen_until else known


def _compares(server: SourceServer) -> bool:
    if server.sync is not None:
        return not server.sync.full
    return server.replication.state is ReplicationState.RESCAN


def _unseen(known: Progress, silence: timedelta) -> Progress:
    """What DRS says of a server whose agent has been silent since `known`."""
    if known.state in GONE:
        return known
    stalled = silence >= STALLED_AFTER
    return replace(
        known,
        state=ReplicationState.STALLED if stalled else known.state,
        lag=None if known.lag is None else known.lag + silence,
        error="AGENT_NOT_SEEN" if stalled else known.error,
        ends=None if known.ends is None else known.ends + silence,
    )


def follow(drs: Drs, now: datetime) -> None:
    """Let the servers that follow their instance notice that it stopped, or runs again.

    A synchronisation that was under way goes on where it was.
    """
    for server in (s for region in drs.regions.values() for s in region.servers.values()):
        if not server.follows:
            continue
        ec2 = drs.ec2(server.origin_account, server.origin_region)
        running = ec2.state(server.instance_id) == "RUNNING"
        if running and server.unseen is not None:
            if server.sync is not None:
                server.sync.started += now - server.unseen
            server.unseen = None
        elif not running and server.unseen is None:
            server.unseen = now


def total_bytes(server: SourceServer) -> int:
    """Bytes of all disks of the server."""
    return sum(disk.size for disk in server.disks)


def _lasting(server: SourceServer, spec: Replication, now: datetime) -> Progress:
    state, lag = spec.state, spec.lag
    first = spec.state in (ReplicationState.INITIATING, ReplicationState.INITIAL_SYNC)
    snapshots = spec.snapshots if spec.snapshots is not None else not first
    if state is ReplicationState.STALLED:
        lag = (lag or timedelta()) + (now - server.replication_since)
    pit = None
    if snapshots and state not in GONE and server.snapshots_from:
        until = now - (lag or timedelta()) if state in LIVE else server.replication_since
        pit = (min(server.snapshots_from, until), until)
    done = 0.0 if state is ReplicationState.INITIATING else 0.35 if first else 1.0
    return Progress(
        state=state,
        lag=None if first or state in GONE else lag,
        error=spec.error,
        done=done,
        rescanned=0.4 if state is ReplicationState.RESCAN else done,
        steps_done=4 if state is ReplicationState.INITIATING else len(INITIATION_STEPS),
        ends=None,
        pit=pit,
    )


def sync_milestones(drs: Drs, server: SourceServer, full: bool) -> tuple[float, float, float]:
    """Seconds until a synchronisation begins to transfer, has transferred, and has ended."""
    bits = total_bytes(server) * 8
    if not full:
        return 0.0, bits / (drs.settings.rescan_mbit_per_second * 1e6), 0.0
    begin = generator(drs.world.seed, "initiation", server.id).uniform(300.0, 600.0)
    transferred = begin + bits / (drs.settings.sync_mbit_per_second * 1e6)
    return begin, transferred, transferred + SNAPSHOT_SECONDS


def _syncing(drs: Drs, server: SourceServer, sync: Sync, now: datetime) -> Progress:
    begin, transferred, _ = sync_milestones(drs, server, sync.full)
    elapsed = (now - sync.started).total_seconds()
    if not sync.full:
        return _rescanning(server, sync, elapsed / max(transferred, 1.0), transferred, now)
    share = min(1.0, max(0.0, (elapsed - begin) / max(transferred - begin, 1.0)))
    ends = sync.started + timedelta(seconds=transferred + SNAPSHOT_SECONDS)
    if elapsed < begin:
        state, steps = ReplicationState.INITIATING, int(elapsed / begin * len(INITIATION_STEPS))
    elif elapsed < transferred:
        state, steps = ReplicationState.INITIAL_SYNC, len(INITIATION_STEPS)
    elif now < ends:
        state, steps = ReplicationState.CREATING_SNAPSHOT, len(INITIATION_STEPS)
    else:
        state, steps = ReplicationState.CONTINUOUS, len(INITIATION_STEPS)
    synced = state is ReplicationState.CONTINUOUS
    return Progress(
        state=state,
        lag=timedelta() if synced else None,
        error=None,
        done=share,
        rescanned=share,
        steps_done=steps,
        ends=None if synced else ends,
        pit=(ends, now) if synced else None,
    )


def _rescanning(
    server: SourceServer, sync: Sync, share: float, seconds: float, now: datetime
) -> Progress:
    share = min(1.0, share)
    live = share >= CONTINUOUS_AT_RESCANNED
    first = server.snapshots_from
    # Until the rescan ends, nothing newer than what was there before it can be launched.
    until = now if share >= 1.0 else min(server.replication_since, sync.started)
    return Progress(
        state=ReplicationState.CONTINUOUS if live else ReplicationState.RESCAN,
        lag=timedelta() if share >= 1.0 else now - sync.started,
        error=None,
        done=1.0,
        rescanned=share,
        steps_done=len(INITIATION_STEPS),
        ends=None if share >= 1.0 else sync.started + timedelta(seconds=seconds),
        pit=(min(first, until), until) if first else None,
    )


def snapshots(drs: Drs, server: SourceServer, now: datetime) -> list[Snapshot]:
    """The server's points in time by its PIT policy, oldest first.

    Retention counts back from the newest point, so a stalled server keeps its last ones.
    """
    pit = progress(drs, server, now).pit
    if pit is None:
        return []
    first, until = pit
    moments: set[int] = set()
    for rule in server.replication_configuration["pitPolicy"]:
        if rule.get("enabled", True):
            unit = _UNIT_SECONDS[rule["units"]]
            step, keep = rule["interval"] * unit, rule["retentionDuration"] * unit
            newest = int(until.timestamp()) // step * step
            oldest = max(first.timestamp(), until.timestamp() - keep)
            moments.update(range(newest, int(oldest) - 1, -step))
    kept = sorted(m for m in moments if m >= int(first.timestamp()))
    # A server that has just been synchronised has the snapshot that ended the synchronisation.
    kept = kept or [int(first.timestamp())]
    return [
        Snapshot(hex_id("pit-", drs.world.seed, server.id, m), datetime.fromtimestamp(m, UTC))
        for m in kept
    ]


def replication_info(drs: Drs, server: SourceServer, now: datetime) -> dict[str, Any]:
    """The `dataReplicationInfo` member of a source server."""
    seen = progress(drs, server, now)
    info: dict[str, Any] = {
        "dataReplicationState": seen.state.value,
        "replicatedDisks": replicated_disks(server, seen),
        "stagingAvailabilityZone": f"{server.region}a",
    }
    if seen.lag is not None:
        info["lagDuration"] = duration(seen.lag)
    if seen.ends is not None:
        info["etaDateTime"] = iso(seen.ends)
    if seen.error:
        info["dataReplicationError"] = {"error": seen.error}
    if seen.state is ReplicationState.INITIATING:
        started = server.sync.started if server.sync else server.replication_since
        info["dataReplicationInitiation"] = {
            "startDateTime": iso(started),
            "steps": _initiation(seen.steps_done),
        }
    return info


def replicated_disks(server: SourceServer, seen: Progress) -> list[dict[str, Any]]:
    """The `replicatedDisks` of a source server or of the recovery instance it protects."""
    gone = seen.state is ReplicationState.DISCONNECTED
    lagging = seen.lag is not None and seen.lag > timedelta(minutes=1)
    return [
        {
            "deviceName": disk.device,
            "totalStorageBytes": 0 if gone else disk.size,
            "replicatedStorageBytes": 0 if gone else int(disk.size * seen.done),
            "rescannedStorageBytes": 0 if gone else int(disk.size * seen.rescanned),
            "backloggedStorageBytes": disk.size // 100 if lagging and not gone else 0,
        }
        for disk in server.disks
    ]


def _initiation(done: int) -> list[dict[str, str]]:
    def status(index: int) -> str:
        if index < done:
            return "SUCCEEDED"
        return "IN_PROGRESS" if index == done else "NOT_STARTED"

    return [{"name": n, "status": status(i)} for i, n in enumerate(INITIATION_STEPS)]

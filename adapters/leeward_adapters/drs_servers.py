"""Source servers of DRS: what can be launched, and how well it is protected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from botocore.exceptions import ClientError

from leeward_adapters import (
    drs_instances,
    drs_jobs,
    drs_placement,
    drs_sides,
    drs_snapshot,
    drs_sources,
)
from leeward_adapters.base import Finding, Scope, Target
from leeward_adapters.drs_instances import SERVER_ID as SERVER_ID
from leeward_adapters.drs_jobs import Part
from leeward_adapters.ec2 import place

_STOPPED: Final = frozenset({"STOPPED", "DISCONNECTED"})
"""DRS keeps no point in time of these (DRS API reference, StopReplication)."""
_FIRST_SYNC: Final = frozenset({"INITIATING", "INITIAL_SYNC"})
_PROVED: Final = 3600.0
"""Seconds for which it is remembered that a server has a point in time of after a moment."""
_BEHIND: Final = frozenset({"STALLED", "PAUSED", "RESCAN", "BACKLOG"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a source server cannot be launched."""

    reason: str
    message: str


def refusal(scope: Scope, server_id: str, server: Mapping[str, Any] | None) -> Refusal | None:
    """Why DRS could not launch the server now; None if it could, even if from an older point.

    A server that is STALLED, as all are when the primary Region has gone, can be launched.

    Args:
        scope: account and recovery Region.
        server_id: its id.
        server: what DescribeSourceServers says; None: it is not there.
    """
    if not SERVER_ID.fullmatch(server_id):
        return Refusal(
            "NoSourceServer",
            f"no DRS source server in {place(scope)} protects {server_id}: install the "
            "replication agent, or change its tag dr:recovery-strategy",
        )
    if server is None:
        return Refusal(
            "SourceServerMissing",
            f"DRS in {place(scope)} has no source server {server_id}: it was deleted, or never "
            "was there. Install the replication agent on the server, and discover again",
        )
    state = _state(server)
    if state in _STOPPED:
        return Refusal(
            "NotReplicating",
            f"replication of {server_id} in {place(scope)} is {state} and DRS keeps no point in "
            f"time of it{_error(server)}: start replication (DISCONNECTED: install the agent "
            "again) and let the first synchronisation end",
        )
    if state in _FIRST_SYNC and not _has_snapshot(scope, server_id):
        return Refusal(
            "NeverSynchronised",
            f"the first synchronisation of {server_id} in {place(scope)} is not through ({state}"
            f"{_error(server)}), so there is no point in time to launch from: wait for CONTINUOUS",
        )
    return None


def readiness(scope: Scope, targets: Sequence[Target]) -> list[Finding]:
    """Findings for the targets; one for the whole account where DRS is not initialised."""
    drs = scope.client("drs")
    ids = [t.id for t in targets if SERVER_ID.fullmatch(t.id)]
    seen = drs_snapshot.recent(scope)
    try:
        servers = seen.servers if seen else drs_sources.describe(drs, ids)
        recent: Sequence[Part] = ()
        if seen is None or not seen.idle:
            recent = drs_jobs.since(drs, datetime.now(UTC) - drs_jobs.LONGEST_JOB)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "UninitializedAccountException":
            raise
        return [
            Finding(
                "Blocking",
                "DrsUninitialized",
                f"DRS was never initialised in {place(scope)}: run `leeward drs init "
                f"--account {scope.account_id} --region {scope.region}`, then let its servers "
                "replicate",
            )
        ]
    jobs = drs_jobs.newest(part for part in recent if part.active)
    instances = seen.instances if seen else drs_instances.describe(drs, ids)
    found: list[Finding] = []
    for target in targets:
        found += _of_replication(scope, target, servers.get(target.id))
        found += _of_job(scope, target, jobs.get(target.id))
        mine = instances.get(target.id, ())
        found += _of_instances(scope, target, servers.get(target.id), mine)
    return found + drs_placement.readiness(scope, _to_launch(targets, servers, instances, found))


def _to_launch(
    targets: Sequence[Target],
    servers: Mapping[str, Mapping[str, Any]],
    instances: Mapping[str, Sequence[drs_instances.RecoveryInstance]],
    found: Sequence[Finding],
) -> list[Target]:
    """The targets that a Failover would launch: not what it adopts, nor what it cannot launch."""
    blocked = {finding.target for finding in found if finding.severity == "Blocking"}
    return [
        target
        for target in targets
        if target.id in servers
        and target.id not in blocked
        and drs_instances.production(instances.get(target.id, ())) is None
    ]


def _of_replication(
    scope: Scope, target: Target, server: Mapping[str, Any] | None
) -> list[Finding]:
    refused = refusal(scope, target.id, server)
    if refused is not None or server is None:
        reason, message = (refused.reason, refused.message) if refused else ("", "")
        return [Finding("Blocking", reason, message, target.id)]
    state = _state(server)
    if state in _BEHIND:
        lag = server.get("dataReplicationInfo", {}).get("lagDuration", "unknown")
        message = (
            f"replication of {target.id} in {place(scope)} is {state}{_error(server)}, lag {lag}: "
            "it would be launched from its last good point in time. Look at the replication "
            "agent and its network"
        )
        return [Finding("Degraded", f"Replication{state.capitalize()}", message, target.id)]
    return []


def _of_job(scope: Scope, target: Target, part: Part | None) -> list[Finding]:
    if part is None:
        return []
    owner = part.tags.get(drs_jobs.EXECUTION_TAG)
    whose = f"of execution {owner}" if owner else "of somebody else"
    message = (
        f"{target.id} is in the running {part.type} job {part.job} {whose} in {place(scope)}: a "
        "run would wait for its end"
    )
    return [Finding("Warning", "ServerInJob", message, target.id)]


def _of_instances(
    scope: Scope,
    target: Target,
    server: Mapping[str, Any] | None,
    instances: Sequence[drs_instances.RecoveryInstance],
) -> list[Finding]:
    live = drs_instances.production(instances)
    if live is not None and drs_sides.superseded(live, server, target.attributes):
        message = (
            f"recovery instance {live.id} of {target.id} in {place(scope)} is from before the "
            f"failback: a Failover leaves it aside once {target.id} protects what came home, a "
            "Test is refused; a Cleanup retires it"
        )
        return [Finding("Warning", "RecoveryInstanceStale", message, target.id)]
    if live is not None:
        message = (
            f"{target.id} has the live recovery instance {live.id} in {place(scope)}: a Failover "
            "adopts it, a Test is refused"
        )
        return [Finding("Warning", "LiveRecoveryInstance", message, target.id)]
    drill = next((i for i in instances if i.live), None)
    if drill is not None:
        message = (
            f"{target.id} has the drill instance {drill.id} in {place(scope)}: the next launch "
            "removes it"
        )
        return [Finding("Warning", "DrillInstance", message, target.id)]
    return []


def _state(server: Mapping[str, Any]) -> str:
    return str(server.get("dataReplicationInfo", {}).get("dataReplicationState", ""))


def _error(server: Mapping[str, Any]) -> str:
    said = server.get("dataReplicationInfo", {}).get("dataReplicationError", {}).get("error")
    return f" ({said})" if said else ""


def _has_snapshot(scope: Scope, server_id: str) -> bool:
    return newest_point(scope, server_id) is not None


def with_points_since(scope: Scope, servers: Mapping[str, str]) -> set[str]:
    """Which source servers have a point in time that is younger than a moment.

    Until a copy or a rescan has ended DRS makes none. One question for each server, and none where
    it was answered so before.

    Args:
        scope: account and Region of the servers.
        servers: by id, the moment as DRS writes times; empty: any point will do.
    """
    found: set[str] = set()

    def look(server: str) -> bool:
        newest, since = newest_point(scope, server), servers[server]
        return newest is not None and (not since or newest > datetime.fromisoformat(since))

    def ask(server: str) -> None:
        key = ("drs-point-since", server, servers[server])
        if scope.cached(key, _PROVED, lambda: look(server)):
            found.add(server)
        else:
            scope.forget([key])

    scope.each(ask, sorted(servers))
    return found


def newest_point(scope: Scope, server_id: str) -> datetime | None:
    """The newest point in time that the server could be launched from; None: there is none."""
    answer = scope.client("drs").describe_recovery_snapshots(
        sourceServerID=server_id, order="DESC", maxResults=1
    )
    found = [datetime.fromisoformat(item["expectedTimestamp"]) for item in answer.get("items", [])]
    return max(found, default=None)

"""Recovery instances of DRS: finding the right one, starting it, and ending a drill's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from leeward_adapters import drs_drills, drs_jobs, drs_lists, drs_templates, ec2
from leeward_adapters.base import (
    Observed,
    Scope,
    Seen,
    State,
    Step,
    Target,
)
from leeward_adapters.drs_drills import Network
from leeward_adapters.drs_jobs import Part
from leeward_adapters.ec2 import place
from leeward_adapters.ec2_instances import pace

SERVER_ID: Final = re.compile(r"s-[0-9a-zA-Z]{17}")
TERMINATE: Final = "terminate"
RETIRED_TAG: Final = "leeward:retired"
"""Tag of DRS's record of an instance that a Cleanup began to retire; the value is the id of the
instance that serves at home in its place."""
IRREVERSIBLE: Final = (
    "drill instances that were ended are gone, as they were meant to be; run the Test again if "
    "they are needed"
)
_NOT_REPLICATED: Final = frozenset(
    {"NOT_STARTED", "STOPPED", "DISCONNECTED", "REPLICATION_STATE_NOT_AVAILABLE"}
)
_NAMED: Final = 200
"""Source servers that one question names."""
_GONE: Final = frozenset({"SHUTTING-DOWN", "TERMINATED", "NOT_FOUND"})
_KNOWN: Final = 300.0
"""Seconds that the answer may be older than the rest which says which instance of a server is to
be started, as long as EC2 shows that instance alive. Only DRS replaces one by another."""


@dataclass(frozen=True, slots=True)
class RecoveryInstance:
    """What DRS says of an instance that it launched."""

    id: str
    """The EC2 instance id too."""
    server: str
    state: str
    """ec2InstanceState, in capitals."""
    drill: bool
    job: str
    arn: str = ""
    """Of DRS's record of it."""
    point_in_time: str = ""
    """Of the data that it was launched from, as DRS writes times."""
    failed_back: bool = False
    """Whether a failback was launched from it. That alone does not say that its server serves at
    home: the failback may have ended there. StopFailback takes DRS's word for it back."""
    retired: bool = False
    """Whether a Cleanup has begun to retire it: then it was failed back, whatever DRS says."""
    reversed_at: str = ""
    """When its replication to the other Region began, as DRS writes times."""
    replicated: bool = False
    """Whether its own replication, the way back, was begun and not ended."""

    @property
    def live(self) -> bool:
        """Whether there is still an instance behind it. A state that is not known is one."""
        return self.state not in _GONE

    @property
    def left(self) -> bool:
        """Whether it is stopped, or about to be."""
        return self.state in {"STOPPED", "STOPPING"}


def describe(drs: Any, servers: Sequence[str]) -> dict[str, list[RecoveryInstance]]:
    """Recovery instances by source server (DescribeRecoveryInstances)."""
    found: dict[str, list[RecoveryInstance]] = {server: [] for server in servers}
    if not servers:
        return found
    # More than one question can name are found faster among all.
    filters = {"sourceServerIDs": list(servers)} if len(servers) <= _NAMED else {}
    for instance in map(
        parse, drs_lists.items(drs, "describe_recovery_instances", filters=filters)
    ):
        if instance.server in found:
            found[instance.server].append(instance)
    return found


def shared(
    scope: Scope, servers: Sequence[str], as_of: float | None, moved_by: str | None = None
) -> dict[str, list[RecoveryInstance]]:
    """Like `describe`, asked once for all who wait; what is no source server's id has none.

    Args:
        scope: account and recovery Region.
        servers: ids of source servers.
        as_of: how new the answer must be, see `Step.since`.
        moved_by: the one service whose changes make it too old; None: any's do.
    """
    # One malformed id would fail the question of all.
    valid = [s for s in servers if SERVER_ID.fullmatch(s)]
    ask = partial(describe, scope.client("drs"))
    found = scope.views.look_up("drs-instances", valid, as_of, ask, moved_by)
    return {server: found.get(server, []) for server in servers}


def parse(raw: Mapping[str, Any]) -> RecoveryInstance:
    """A RecoveryInstance of DRS's answer."""
    back = raw.get("dataReplicationInfo", {}).get("dataReplicationState", "NOT_STARTED")
    retired = RETIRED_TAG in raw.get("tags", {})
    return RecoveryInstance(
        id=raw.get("recoveryInstanceID") or raw.get("ec2InstanceID", ""),
        server=raw.get("sourceServerID", ""),
        state=raw.get("ec2InstanceState", "UNKNOWN"),
        drill=raw.get("isDrill", False),
        job=raw.get("jobID", ""),
        arn=raw.get("arn", ""),
        point_in_time=raw.get("pointInTimeSnapshotDateTime", ""),
        failed_back=retired or raw.get("failback", {}).get("state") == "FAILBACK_COMPLETED",
        retired=retired,
        reversed_at=raw.get("failback", {}).get("failbackInitiationTime", ""),
        replicated=back not in _NOT_REPLICATED,
    )


def production(instances: Sequence[RecoveryInstance]) -> RecoveryInstance | None:
    """The live instance that is not a drill's: somebody may be working on it."""
    return next((i for i in instances if i.live and not i.drill), None)


def launched(scope: Scope, servers: Sequence[str]) -> dict[str, RecoveryInstance]:
    """What was launched of the servers for real and is there, by source server, asked afresh."""
    found = describe(scope.client("drs"), servers)
    return {s: i for s in servers if (i := production(found[s])) is not None}


def launched_by_run(
    scope: Scope, step: Step, as_of: float | None = None, moved_by: str | None = None
) -> dict[str, list[RecoveryInstance]]:
    """Live drill instances that jobs of this execution launched, by source server."""
    found = shared(scope, [t.id for t in step.targets], as_of, moved_by)
    drills = [i for group in found.values() for i in group if i.live and i.drill]
    uid = step.tags.get(drs_jobs.EXECUTION_UID_TAG)
    ours = {
        part.job
        for part in drs_jobs.shared_with_ids(scope, (i.job for i in drills if i.job), as_of)
        if uid and part.tags.get(drs_jobs.EXECUTION_UID_TAG) == uid
    }
    mine: dict[str, list[RecoveryInstance]] = {t.id: [] for t in step.targets}
    for instance in drills:
        if instance.job in ours:
            mine.setdefault(instance.server, []).append(instance)
    return mine


# -- Activate ---------------------------------------------------------------------------------


def observe_activate(scope: Scope, step: Step) -> Observed:
    """State and status checks of each server's recovery instance."""
    chosen, machines = _machines(scope, step)
    seen = {t.id: _activation(scope, step, t, chosen.get(t.id), machines) for t in step.targets}
    return Observed(seen, pace=pace(machines.values()))


def start(scope: Scope, step: Step, batch: Sequence[Target]) -> str:
    """Start the recovery instances of the batch's servers, as observe() saw them."""
    chosen = _chosen(scope, step, _known_since(scope, step))
    ec2.start(scope, [chosen[t.id].id for t in batch if t.id in chosen])
    return ""


def _machines(
    scope: Scope, step: Step
) -> tuple[dict[str, RecoveryInstance], Mapping[str, ec2.Instance]]:
    """The instance of each server, and what EC2 says of it.

    Which instance it is changes only when a server is launched again, and that ends the old one:
    so DRS is asked again once EC2 does not show it alive.
    """
    for as_of in (_known_since(scope, step), step.since):
        chosen = _chosen(scope, step, as_of)
        machines = ec2.observed(scope, step, [i.id for i in chosen.values()])
        alive = (i.id in machines and machines[i.id].alive for i in chosen.values())
        if len(chosen) == len(step.targets) and all(alive):
            break
    return chosen, machines


def to_start(scope: Scope, step: Step, servers: Iterable[str]) -> dict[str, RecoveryInstance]:
    """What a step that starts instances would start of the servers, as observe() saw them."""
    chosen = _chosen(scope, step, _known_since(scope, step))
    return {server: chosen[server] for server in servers if server in chosen}


def _known_since(scope: Scope, step: Step) -> float:
    return (scope.now() if step.since is None else step.since) - _KNOWN


def _chosen(scope: Scope, step: Step, as_of: float | None) -> dict[str, RecoveryInstance]:
    """The instance of each server that this operation activates."""
    if step.drill:
        mine = launched_by_run(scope, step, as_of, moved_by="drs")
        return {s: group[0] for s, group in mine.items() if group}
    found = shared(scope, [t.id for t in step.targets], as_of, moved_by="drs")
    live = {server: production(group) for server, group in found.items()}
    return {server: instance for server, instance in live.items() if instance is not None}


def _activation(
    scope: Scope,
    step: Step,
    target: Target,
    chosen: RecoveryInstance | None,
    machines: Mapping[str, ec2.Instance],
) -> Seen:
    if chosen is None:
        kind = "drill instance of this execution" if step.drill else "recovery instance"
        return Seen(
            State.REFUSED,
            reason="NoRecoveryInstance",
            message=f"source server {target.id} has no live {kind} in {place(scope)}: "
            "instantiate it first",
        )
    machine = machines.get(chosen.id)
    if machine is None:
        return Seen(
            State.RUNNING,
            message=f"EC2 in {place(scope)} does not list instance {chosen.id} yet",
            reference=chosen.id,
        )
    return ec2.activation(machine, step.calls.get(target.id), datetime.now(UTC), place(scope))


# -- Cleanup ----------------------------------------------------------------------------------


def observe_cleanup(scope: Scope, step: Step) -> Observed:
    """Whether a drill's instances are gone, and the launch templates back to what they were."""
    if not step.drill:
        refused = Seen(
            State.REFUSED,
            reason="NotADrill",
            message="only what a Test launched is cleaned up; a recovered server stays",
        )
        return Observed({t.id: refused for t in step.targets})
    mine = launched_by_run(scope, step, step.since)
    begin = step.started - drs_jobs.LONGEST_JOB
    jobs = drs_jobs.newest(drs_jobs.shared_since(scope, begin, step.since))
    servers = [t.id for t in step.targets]
    drilled = drs_drills.drills(scope, servers, Network.of(step)).current
    return Observed(
        {
            t.id: _cleanup(scope, step, t.id, mine[t.id], jobs.get(t.id), t.id in drilled)
            for t in step.targets
        }
    )


def _cleanup(
    scope: Scope,
    step: Step,
    server: str,
    mine: Sequence[RecoveryInstance],
    part: Part | None,
    drilled: bool,
) -> Seen:
    uid = step.tags.get(drs_jobs.EXECUTION_UID_TAG)
    busy = part is not None and part.active
    ours = part is not None and part.tags.get(drs_jobs.EXECUTION_UID_TAG) == uid
    if part is not None and busy and (mine or ours):
        return Seen(State.RUNNING, message=drs_jobs.describe(part, step), reference=part.job)
    if drilled:
        return drs_templates.restore_needed(server)
    if not mine:
        return Seen(State.DONE, message="no drill instance of this execution is left")
    call = step.calls.get(server)
    if part is not None and call is not None and part.job == call.reference:
        if part.status != "FAILED":
            # The instances may have been listed before the job had ended, and this after it.
            message = f"{drs_jobs.describe(part, step)}; DRS still lists {mine[0].id}"
            return Seen(State.RUNNING, message=message, reference=part.job)
        return Seen(
            State.FAILED,
            reason="TerminateFailed",
            message=f"DRS job {part.job} in {place(scope)} ended with launch status {part.status} "
            f"and left drill instance {mine[0].id}: look at its log, then retry",
            reference=part.job,
        )
    return Seen(
        State.NEEDED,
        action=TERMINATE,
        message=f"drill instance {mine[0].id} is to be ended",
        reference=mine[0].id,
        pre_state=json.dumps({"instanceIds": [i.id for i in mine]}),
    )


def terminate(scope: Scope, step: Step, batch: Sequence[Target]) -> str:
    """End the live drill instances that this execution launched for the batch's servers.

    DRS is asked again which those are, right before: an instance that is not a drill's, or that
    another execution launched, is never among them.
    """
    mine = launched_by_run(scope, step)
    ids = [instance.id for target in batch for instance in mine[target.id]]
    if not ids:
        return ""
    answer = scope.client("drs", once=True).terminate_recovery_instances(recoveryInstanceIDs=ids)
    return str(answer.get("job", {}).get("jobID", ""))

"""Cleanup after a failback: what served in the recovery Region is retired.

In the order of the DRS user guide ("Performing a failback"), each thing only when the one before
is seen to be done: the volumes of the recovery instance are kept in snapshots, the replication of
that instance is stopped, it is terminated, DRS's record of the instance that serves now is taken
off (never the instance), and the reversed source server is disconnected and deleted. All of that
only while the server serves at home and its first source server protects it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from botocore.exceptions import ClientError

from leeward_adapters import (
    drs_instances,
    drs_into,
    drs_jobs,
    drs_keep,
    drs_servers,
    drs_sides,
    drs_sources,
    ec2,
)
from leeward_adapters.base import Call, Observed, Scope, Seen, State, Step, Target
from leeward_adapters.drs_instances import RecoveryInstance
from leeward_adapters.drs_jobs import Part
from leeward_adapters.drs_sides import Raw
from leeward_adapters.ec2 import place

KEEP: Final = "keep"
STOP_REPLICATION: Final = "stop-replication"
RETIRE: Final = "retire"
FORGET: Final = "forget"
DISCONNECT: Final = "disconnect"
DELETE: Final = "delete-server"
ACTIONS: Final = frozenset({KEEP, STOP_REPLICATION, RETIRE, FORGET, DISCONNECT, DELETE})
LAUNCHED_FROM_TAG: Final = "AWSElasticDisasterRecoverySourceServerID"
"""Tag of DRS on every EC2 instance that it launches: the source server's id."""


@dataclass(frozen=True, slots=True)
class _Side:
    """What AWS says of one target, in both Regions."""

    server: Raw | None
    """Its source server, in the recovery Region."""
    back: Raw | None
    """The reversed source server, in the primary Region."""
    old: RecoveryInstance | None
    """The recovery instance that is to be retired; live and no drill's."""
    records: tuple[RecoveryInstance, ...]
    """DRS's records of the reversed server's instances."""
    job: Part | None
    """The newest job of the source server that began since this task did, or that still runs."""
    serving: ec2.Instance | None
    """The instance in the primary Region, if DRS launched it from the reversed server."""
    machine: ec2.Instance | None
    """EC2's word about `old`."""


def observe(scope: Scope, step: Step) -> Observed:
    """How far the retiring of each target is.

    Args:
        scope: the primary Region, which serves.
        step: `source_region` is the recovery Region; targets are its source servers.
    """
    return Observed(_examine(scope, drs_sides.other_side(scope, step), step)[0])


def act(scope: Scope, step: Step, action: str, call: str, batch: Sequence[Target]) -> str:
    """Do one action for those of the batch for which it is still the next one.

    AWS is asked again right before: between a look and an act somebody may have started the
    instance that is to be retired.
    """
    away = drs_sides.other_side(scope, step)
    seen, sides = _examine(scope, away, replace(step, targets=tuple(batch)))
    chosen = {t: side for t, side in sides.items() if seen[t].action == action}
    if action == KEEP:
        return drs_keep.keep(away, step, call, _retired(chosen))
    if action == STOP_REPLICATION:
        return _stop_replication(scope, chosen)
    if action == RETIRE:
        return _retire(away, chosen)
    drs = scope.client("drs")
    for side in chosen.values():
        if action == FORGET:
            for record in side.records:
                drs_sides.remove(drs.delete_recovery_instance, recoveryInstanceID=record.id)
        elif side.back is not None:
            server = side.back["sourceServerID"]
            off = drs.disconnect_source_server if action == DISCONNECT else drs.delete_source_server
            drs_sides.remove(off, sourceServerID=server)
    return f"{len(chosen)} done"


# -- looking ----------------------------------------------------------------------------------


def _examine(scope: Scope, away: Scope, step: Step) -> tuple[dict[str, Seen], dict[str, _Side]]:
    sides = _look(scope, away, step)
    kept = drs_keep.kept(away, step, [s.machine for s in sides.values()])
    seen = {t: _seen(scope, away, step, t, side, kept) for t, side in sides.items()}
    return seen | _unproved(away, seen, sides), sides


def _unproved(away: Scope, seen: Mapping[str, Seen], sides: Mapping[str, _Side]) -> dict[str, Seen]:
    """Of what is about to be retired: whose server has no point in time of what serves at home."""
    since = {t: _since(sides[t]) for t, one in seen.items() if one.action == KEEP}
    proved = drs_servers.with_points_since(away, since) if since else set()
    return {
        t: _refused(
            "NotProtected",
            f"{t} in {place(away)} has no point in time that is younger than its replication from "
            f"home, which began at {since[t]}: wait until DRS has made one, then retry",
        )
        for t in since
        if t not in proved
    }


def _since(side: _Side) -> str:
    """Since when the source server protects what serves at home, as DRS writes times."""
    began = drs_instances.production(side.records) or side.old
    return began.reversed_at if began is not None else ""


def _look(scope: Scope, away: Scope, step: Step) -> dict[str, _Side]:
    ids = [t.id for t in step.targets]
    here, there = scope.client("drs"), away.client("drs")
    servers = drs_sources.describe(there, ids)
    back = drs_sides.reversed_of(drs_sides.listing(here), step.targets)
    launched = drs_instances.describe(there, ids)
    records = drs_instances.describe(here, [b["sourceServerID"] for b in back.values()])
    old = {t: drs_instances.production(launched[t]) for t in ids}
    jobs = drs_jobs.newest(drs_jobs.since(there, step.started - drs_jobs.CLOCK_SKEW))
    before = drs_jobs.since(there, step.started - drs_jobs.LONGEST_JOB)
    jobs |= drs_jobs.newest(part for part in before if part.active)
    machines = ec2.describe(away.client("ec2"), (i.id for i in old.values() if i is not None))
    serving = _serving(scope.client("ec2"), servers, back)
    return {
        t: _Side(
            server=servers.get(t),
            back=back.get(t),
            old=(instance := old[t]),
            records=tuple(records[back[t]["sourceServerID"]]) if t in back else (),
            job=jobs.get(t),
            serving=serving.get(t),
            machine=machines.get(instance.id) if instance is not None else None,
        )
        for t in ids
    }


def _serving(
    ec2_client: Any, servers: Mapping[str, Raw], back: Mapping[str, Raw]
) -> dict[str, ec2.Instance]:
    """By target: the instance that its source server protects, if it came out of a failback."""
    from_server = {str(b["sourceServerID"]): t for t, b in back.items()}
    launched: dict[str, str] = {}
    paginator = ec2_client.get_paginator("describe_instances")
    names = sorted(from_server)
    for start in range(0, len(names), 200):
        tagged = {"Name": f"tag:{LAUNCHED_FROM_TAG}", "Values": names[start : start + 200]}
        for page in paginator.paginate(Filters=[tagged]):
            for reservation in page["Reservations"]:
                for raw in reservation["Instances"]:
                    tags = {tag["Key"]: tag["Value"] for tag in raw.get("Tags", [])}
                    launched[raw["InstanceId"]] = from_server[tags[LAUNCHED_FROM_TAG]]
    machines = ec2.describe(ec2_client, launched)
    return {
        t: machines[i]
        for t, server in servers.items()
        if launched.get(i := drs_sides.protects(server)) == t and i in machines
    }


def _seen(
    scope: Scope,
    away: Scope,
    step: Step,
    target: str,
    side: _Side,
    kept: Mapping[str, frozenset[str]],
) -> Seen:
    if side.old is None and side.back is None:
        return Seen(State.DONE, message="nothing of the failback is left to be retired")
    if side.job is not None and side.job.active:
        message = drs_jobs.describe(side.job, step)
        return Seen(State.RUNNING, message=message, reference=side.job.job)
    if (refusal := _unsafe(scope, away, target, side)) is not None:
        return refusal
    if side.old is not None:
        return _of_old(away, step, target, side.old, side, kept)
    assert side.back is not None  # else _unsafe() refuses
    return _of_back(scope, side.back, side)


def _unsafe(scope: Scope, away: Scope, target: str, side: _Side) -> Seen | None:
    """Why nothing of the target may be retired; None: it serves at home and is protected."""
    if side.machine is not None and side.machine.state in {"running", "pending"}:
        return _refused(
            "InstanceServes",
            f"recovery instance {side.machine.id} of {target} in {place(away)} is "
            f"{side.machine.state}: fail back first; if that was done, stop it",
        )
    serving, home = side.serving, drs_instances.production(side.records)
    # From the second failback on, what the server protects may be the primary before this one.
    if home is not None and not _protects(scope, side.server, serving, home):
        return _refused(
            "NotProtected",
            f"{target} in {place(away)} does not protect {home.id} yet, which was launched by a "
            "failback: let the failback's last phase, Replicate, end, then retry",
        )
    if side.back is None or serving is None or serving.state != "running":
        state = f"{serving.id} is {serving.state}" if serving else "none was launched"
        return _refused(
            "NotFailedBack",
            f"{target} has no running instance in {place(scope)} that came out of a failback "
            f"({state}), so what is to be retired may be the last good copy: fail back first",
        )
    if side.server is None or not drs_sides.in_step(side.server):
        how = drs_sides.progress(side.server) if side.server else "it is missing"
        return _refused(
            "NotProtected",
            f"{target} in {place(away)} does not protect {serving.id} yet ({how}): wait until it "
            "is CONTINUOUS and copied whole, then retry",
        )
    return None


def _protects(
    scope: Scope, server: Raw | None, serving: ec2.Instance | None, home: RecoveryInstance
) -> bool:
    if server is None or serving is None or serving.id != home.id:
        return False
    return drs_into.follows(scope, server, home)


def _refused(reason: str, message: str) -> Seen:
    return Seen(State.REFUSED, reason=reason, message=message)


def _of_old(
    away: Scope,
    step: Step,
    target: str,
    old: RecoveryInstance,
    side: _Side,
    kept: Mapping[str, frozenset[str]],
) -> Seen:
    if side.machine is None or side.machine.state != "stopped":
        state = side.machine.state if side.machine else "not listed by EC2 yet"
        return Seen(State.RUNNING, message=f"instance {old.id} is {state}", reference=old.id)
    volumes = side.machine.volumes
    if missing := [v for v in volumes if not kept.get(v, frozenset()) - {"error"}]:
        if any(kept.get(v) for v in missing) and target in step.calls:
            return _snapshot_failed(away, old, missing)
        return Seen(
            State.NEEDED,
            action=KEEP,
            message=f"{len(missing)} volumes of {old.id} are to be kept",
            reference=old.id,
        )
    done = [v for v in volumes if "completed" in kept[v]]
    if len(done) < len(volumes):
        message = f"{len(done)} of {len(volumes)} volumes of {old.id} are in snapshots"
        return Seen(State.RUNNING, message=message, reference=old.id)
    back = side.back
    if back is not None and _replicating(back):
        server = str(back["sourceServerID"])
        return Seen(
            State.NEEDED,
            action=STOP_REPLICATION,
            message=f"{server} need protect {old.id} no more",
            reference=server,
        )
    if side.job is not None and _retired_in_vain(side.job, step.calls.get(target)):
        return Seen(
            State.FAILED,
            reason="TerminateFailed",
            message=f"DRS job {side.job.job} in {place(away)} ended with launch status "
            f"{side.job.status} and left {old.id}: look at its log, then retry",
            reference=side.job.job,
        )
    return Seen(
        State.NEEDED,
        action=RETIRE,
        message=f"{old.id}, whose volumes are kept, is to be terminated",
        reference=old.id,
    )


def _retired_in_vain(job: Part, call: Call | None) -> bool:
    """Whether the present attempt's termination failed. The journal may speak of the snapshots."""
    asked = call is not None and (call.reference == job.job or call.action == KEEP)
    return asked and job.type == "TERMINATE" and job.status == "FAILED"


def _snapshot_failed(away: Scope, old: RecoveryInstance, volumes: Sequence[str]) -> Seen:
    return Seen(
        State.FAILED,
        reason="SnapshotFailed",
        message=f"the snapshot of {', '.join(volumes)} of {old.id} in {place(away)} failed. "
        "Nothing was retired; retry takes new snapshots",
        reference=old.id,
    )


def _of_back(scope: Scope, back: Raw, side: _Side) -> Seen:
    server = str(back["sourceServerID"])
    if side.records:
        record = side.records[0]
        return Seen(
            State.NEEDED,
            action=FORGET,
            message=f"DRS's record of {record.id} is in the way",
            reference=record.id,
        )
    if drs_sides.replication_state(back) != "DISCONNECTED":
        return Seen(
            State.NEEDED,
            action=DISCONNECT,
            message=f"{server} in {place(scope)} protects nothing any more",
            reference=server,
        )
    return Seen(
        State.NEEDED,
        action=DELETE,
        message=f"{server} in {place(scope)} is disconnected",
        reference=server,
    )


def _replicating(server: Raw) -> bool:
    return drs_sides.replication_state(server) not in drs_sides.NOT_REPLICATING


# -- acting -----------------------------------------------------------------------------------


def _retired(sides: Mapping[str, _Side]) -> dict[str, drs_keep.Retired]:
    return {
        t: drs_keep.Retired(side.old, side.serving.id)
        for t, side in sides.items()
        if side.old is not None and side.serving is not None
    }


def _stop_replication(scope: Scope, sides: Mapping[str, _Side]) -> str:
    """StopReplication alone, as the DRS user guide has it: StopFailback would have DRS forget that
    the instance was failed back.
    """
    drs = scope.client("drs")
    for side in sides.values():
        assert side.back is not None  # it is due
        drs.stop_replication(sourceServerID=side.back["sourceServerID"])
    return f"{len(sides)} stopped"


def _retire(away: Scope, sides: Mapping[str, _Side]) -> str:
    ids = [side.old.id for side in sides.values() if side.old is not None]
    if not ids:
        return ""
    drs = away.client("drs", once=True)
    try:
        answer = drs.terminate_recovery_instances(recoveryInstanceIDs=ids)
    except ClientError as error:
        if not _during_failback(error):
            raise
        for instance in ids:
            _stop_failback(away, instance)
        answer = drs.terminate_recovery_instances(recoveryInstanceIDs=ids)
    return str(answer.get("job", {}).get("jobID", ""))


def _during_failback(error: ClientError) -> bool:
    """Whether DRS refuses to terminate since a failback is under way, as it calls it."""
    told = error.response.get("Error", {})
    return told.get("Code") == "ConflictException" and "failback" in told.get("Message", "").lower()


def _stop_failback(away: Scope, instance: str) -> None:
    """Nothing, where there is none to stop: the termination says whether that was in its way."""
    try:
        away.client("drs").stop_failback(recoveryInstanceID=instance)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") not in _NOTHING_TO_STOP:
            raise


_NOTHING_TO_STOP: Final = frozenset(
    {"ConflictException", "ResourceNotFoundException", "ValidationException"}
)

"""Launching a server anew in place of its recovery instance, whose volumes are kept first.

A launch of DRS ends the recovery instance that the server has (job log events CLEANUP_START and
CLEANUP_END). So it is the last thing that happens here: the server must be launchable, and every
volume of the old instance must be in a completed snapshot, before StartRecovery is called.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from leeward_adapters import (
    drs_instances,
    drs_jobs,
    drs_launch,
    drs_servers,
    drs_settings,
    drs_sources,
    drs_templates,
    ec2,
)
from leeward_adapters.base import Call, Observed, Scope, Seen, State, Step, Target
from leeward_adapters.drs_instances import RecoveryInstance
from leeward_adapters.drs_jobs import CALL_TAG, TASK_TAG, Part
from leeward_adapters.ec2 import place

SNAPSHOT: Final = "snapshot"
RELAUNCH: Final = "relaunch"
SERVER_TAG: Final = "leeward:server"


@dataclass(frozen=True, slots=True)
class _View:
    """What AWS says of the servers that are to be launched anew."""

    ours: Mapping[str, Part]
    """Jobs of the present attempt's relaunch, by server."""
    busy: Mapping[str, Part]
    """Running jobs, by server."""
    servers: Mapping[str, Mapping[str, Any]]
    old: Mapping[str, RecoveryInstance]
    """Live recovery instances that are no drill's, by server."""
    machines: Mapping[str, ec2.Instance]
    """The same in EC2, by instance."""
    capacity: drs_jobs.Capacity


def observe(scope: Scope, step: Step) -> Observed:
    """How far each server of `step.relaunch` is; the others as an ordinary launch sees them."""
    return _with_others(step, _anew(scope, step)[0], partial(drs_launch.observe, scope))


def verify(scope: Scope, step: Step) -> Observed:
    """The proof: a live recovery instance of the relaunch's job, which is not the old one."""
    observed, ours = _anew(scope, step)
    done = [s for s, seen in observed.targets.items() if seen.state is State.DONE]
    found = drs_instances.shared(scope, done, step.since) if done else {}
    new = {s: next((i for i in found[s] if i.job == ours[s].job), None) for s in done}
    proved = {s: _proved(scope, step, s, new[s]) for s in done}
    anew = replace(observed, targets={**observed.targets, **proved})
    return _with_others(step, anew, partial(drs_launch.verify, scope))


def _with_others(step: Step, anew: Observed, look: Callable[[Step], Observed]) -> Observed:
    """`anew` for the servers of `step.relaunch`, and what `look` says of the others."""
    others = tuple(t for t in step.targets if t.id not in step.relaunch)
    if not others:
        return anew
    rest = look(replace(step, targets=others)).targets
    return replace(anew, targets={**rest, **anew.targets})


def _anew(scope: Scope, step: Step) -> tuple[Observed, Mapping[str, Part]]:
    """What became of each server of `step.relaunch`, and the job that says so."""
    view = _look(scope, step)
    explained = drs_jobs.failures(scope, (p for p in view.ours.values() if p.failed))
    seen = {
        t.id: _seen(scope, step, t, view, explained) for t in step.targets if t.id in step.relaunch
    }
    return Observed(seen, view.capacity.servers, view.capacity.reason), view.ours


def snapshot(scope: Scope, step: Step, call: str, batch: Sequence[Target]) -> str:
    """One CreateSnapshots for the one server of the batch; answers the snapshots' ids.

    EC2 takes no client token here: the call is never repeated by botocore, and the snapshots
    carry the id of the batch as a tag, by which observe() finds them again.
    """
    (target,) = batch
    old = json.loads(step.pre_states[target.id])["instanceId"]
    tags = {**step.tags, CALL_TAG: call, SERVER_TAG: target.id}
    answer = scope.client("ec2", once=True).create_snapshots(
        InstanceSpecification={"InstanceId": old},
        Description=f"{target.id} before it was launched anew",
        TagSpecifications=[
            {
                "ResourceType": "snapshot",
                "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
            }
        ],
    )
    return " ".join(s["SnapshotId"] for s in answer["Snapshots"])


def relaunch(scope: Scope, step: Step, call: str, batch: Sequence[Target]) -> str:
    """Set the servers to launch stopped, then one StartRecovery; answers the job's id."""
    drs_templates.prepare(scope, step, call, batch)
    drs_templates.ensure(scope, step, call, batch)
    return drs_launch.start_recovery(scope, step, call, batch)


def _look(scope: Scope, step: Step) -> _View:
    wanted = sorted(step.relaunch)
    calls = [call.at for s in wanted if (call := step.calls.get(s)) is not None]
    begin = min([step.started, *calls]) - drs_jobs.LONGEST_JOB
    parts = drs_jobs.shared_since(scope, begin, step.since)
    live = drs_instances.shared(scope, wanted, step.since)
    old = {s: i for s in wanted if (i := drs_instances.production(live[s])) is not None}
    return _View(
        ours=drs_jobs.newest(
            p for p in parts if p.of(step.token) and drs_jobs.answers(p, step.calls.get(p.server))
        ),
        busy=drs_jobs.newest(p for p in parts if p.active),
        servers=drs_sources.shared(scope, wanted, step.since),
        old=old,
        machines=ec2.describe(scope.client("ec2"), (i.id for i in old.values())),
        capacity=drs_jobs.capacity(scope, parts),
    )


def _seen(
    scope: Scope,
    step: Step,
    target: Target,
    view: _View,
    explained: Mapping[str, tuple[str, str]],
) -> Seen:
    if (part := view.ours.get(target.id)) is not None:
        return _of_job(step, part, explained)
    if (busy := view.busy.get(target.id)) is not None:
        return Seen(State.RUNNING, message=drs_jobs.describe(busy, step), reference=busy.job)
    call = step.calls.get(target.id)
    if call is not None and call.action == RELAUNCH:
        return Seen(State.NEEDED, action=RELAUNCH, message="no job of this task holds it yet")
    refusal = drs_servers.refusal(scope, target.id, view.servers.get(target.id))
    if refusal is not None:
        return Seen(State.REFUSED, reason=refusal.reason, message=refusal.message)
    old = view.old.get(target.id)
    if old is None:
        return Seen(State.NEEDED, action=RELAUNCH, message="there is no instance to be kept")
    if call is None and (into := _overwrites(scope, target, old)) is not None:
        return into
    return _kept(scope, target, old, call, view.machines.get(old.id))


def _of_job(step: Step, part: Part, explained: Mapping[str, tuple[str, str]]) -> Seen:
    if part.failed:
        reason, message = explained[part.server]
        old = _old(step, part.server)
        kept = f". What {old} held is kept in snapshots with the tag {TASK_TAG}={step.token}"
        message += kept if old else ""
        return Seen(State.FAILED, reason=reason, message=message, reference=part.job)
    if part.status == "LAUNCHED":
        return Seen(State.DONE, message=f"launched anew by job {part.job}", reference=part.job)
    return Seen(State.RUNNING, message=drs_jobs.describe(part, step), reference=part.job)


def _overwrites(scope: Scope, target: Target, old: RecoveryInstance) -> Seen | None:
    """A refusal where DRS would write over the very instance that is to be replaced."""
    config = scope.client("drs").get_launch_configuration(sourceServerID=target.id)
    into = drs_settings.launches_into(config)
    if not into:
        return None
    return Seen(
        State.REFUSED,
        reason="LaunchesIntoInstance",
        message=f"{target.id} in {place(scope)} is set to launch into the instance {into}, so "
        f"that a launch overwrites it in place of making a new one. {old.id} stays as it is; take "
        "that setting off to launch the server anew",
        reference=old.id,
    )


def _kept(
    scope: Scope,
    target: Target,
    old: RecoveryInstance,
    call: Call | None,
    machine: ec2.Instance | None,
) -> Seen:
    """How far the snapshots of the old instance's volumes are."""
    if machine is None:
        message = f"EC2 in {place(scope)} does not show the volumes of {old.id} yet"
        return Seen(State.RUNNING, message=message, reference=old.id)
    states = _snapshots(scope, call.id) if call is not None else {}
    if not states:
        return Seen(
            State.NEEDED,
            action=SNAPSHOT,
            message=f"the volumes of {old.id} are to be kept",
            reference=old.id,
            pre_state=json.dumps({"instanceId": old.id}),
        )
    if broken := sorted(v for v, state in states.items() if state == "error"):
        return Seen(
            State.FAILED,
            reason="SnapshotFailed",
            message=f"the snapshot of {', '.join(broken)} of {old.id} in {place(scope)} failed. "
            "Nothing was launched, and the instance is there; relaunch takes new snapshots",
            reference=old.id,
        )
    done = [v for v in machine.volumes if states.get(v) == "completed"]
    if len(done) < len(machine.volumes):
        message = f"{len(done)} of {len(machine.volumes)} volumes of {old.id} are in snapshots"
        return Seen(State.RUNNING, message=message, reference=old.id)
    message = f"all volumes of {old.id} are in snapshots; {target.id} is to be launched anew"
    return Seen(State.NEEDED, action=RELAUNCH, message=message, reference=old.id)


def _snapshots(scope: Scope, call: str) -> dict[str, str]:
    """By volume: state of the snapshot that a call made (`pending`, `completed`, `error`, …)."""
    pages = (
        scope.client("ec2")
        .get_paginator("describe_snapshots")
        .paginate(OwnerIds=["self"], Filters=[{"Name": f"tag:{CALL_TAG}", "Values": [call]}])
    )
    return {s["VolumeId"]: s["State"] for page in pages for s in page["Snapshots"]}


def _proved(scope: Scope, step: Step, server: str, new: RecoveryInstance | None) -> Seen:
    if new is None:
        message = f"DRS in {place(scope)} does not list the new recovery instance of {server} yet"
        return Seen(State.RUNNING, message=message)
    old = _old(step, server)
    if new.id == old:
        return Seen(
            State.FAILED,
            reason="NotReplaced",
            message=f"DRS job {new.job} in {place(scope)} says that it launched {server}, but its "
            f"recovery instance is {old} still: look at the job's log",
            reference=new.id,
        )
    if (not_there := drs_launch.unsettled(scope, new)) is not None:
        return not_there
    where = f", whose volumes are in snapshots with the tag {TASK_TAG}={step.token}" if old else ""
    message = f"recovery instance {new.id} replaces {old or 'what was gone'}{where}"
    return Seen(State.DONE, reason="Relaunched", message=message, reference=new.id)


def _old(step: Step, server: str) -> str:
    """The instance that was there before, if one was."""
    recorded = step.pre_states.get(server)
    return str(json.loads(recorded)["instanceId"]) if recorded else ""

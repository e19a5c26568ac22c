"""How a run ends: its verdict, in words for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from leeward.api.common import PREFIX
from leeward.api.conditions import Reason
from leeward.api.execution import CommandRecord, DRExecution
from leeward.api.task import DRTask
from leeward.planning.runs import gone
from leeward.planning.runs.earlier import TOLERATED, gone_without
from leeward.planning.runs.fencing import deferred, idle_fences
from leeward.planning.runs.record import Outcome, recovered
from leeward.planning.runs.tolerance import failed_ids, tolerated
from leeward.planning.runs.waves import PHASES, ends_run, unfinished
from leeward.planning.tasks.manual import TECHNOLOGY as MANUAL
from leeward.planning.wording import clip, counted, some

_NOT_BY_PEOPLE = frozenset({"NotInATest", Reason.FENCE_DEFERRED, TOLERATED})
"""Reasons of what was left out without anybody's word."""
_DONE: Final[Mapping[str, str]] = {
    "Failover": "recovered",
    "Reprotect": "protected again",
    "Failback": "back in the primary Region and protected again",
    "Test": "rehearsed and cleaned up",
    "Cleanup": "cleaned up",
}
"""By operation: what a run that succeeded did with its resources."""


def verdict(execution: DRExecution, tasks: Sequence[DRTask]) -> Outcome:
    """How a run ends that has nothing left to do.

    It succeeded only if every task that it had is complete or was left out. What people left out
    after it had failed is counted and named, and the reason is not that of a whole success.
    """
    operation, status = execution.spec.operation, execution.status
    if status.cancelling or execution.metadata.deletion_timestamp is not None:
        how = cancelled_by(status.commands) if status.cancelling else "deleted while it ran"
        words = f"{how}; {gone.unknown(execution, tasks)}{_stays(tasks)}"
        return Outcome("Cancelled", Reason.CANCELLED, clip(words, 1024))
    fine = tolerated(status.waves, tasks)
    failed = [t for t in tasks if t.status.state == "Failed" and t.metadata.name not in fine]
    if failed:
        named = "; ".join(f"{t.metadata.name}: {t.status.message}" for t in failed[:3])
        return Outcome(
            "Failed", Reason.FAILED, clip(f"{counted(len(failed), 'task')} failed: {named}", 1024)
        )
    if gate := next((g for g in status.gates if ends_run(operation, g)), None):
        how = "was rejected" if gate.state == "Rejected" else "was not answered in time"
        return Outcome("Failed", "GateNotPassed", f"gate {gate.name} {how}; {_stays(tasks)}")
    if open_ := unfinished(operation, status, tasks):
        names = some([t.metadata.name for t in open_])
        return Outcome("Failed", Reason.FAILED, f"{counted(len(open_), 'task')} not done: {names}")
    what = _DONE[operation]
    done = recovered(execution, tasks)
    resources, waves = counted(done.complete, "resource"), counted(len(status.waves), "wave")
    words = f"{operation}: {resources} {what} in {waves}"
    if duties := [r.id for t in tasks for r in deferred(t)]:
        words += f"; {len(duties)} not fenced, which may still write: {some(duties)}"
    if less := _less_than_whole(operation, tasks):
        return Outcome("Succeeded", Reason.WITHIN_TOLERANCE, clip("; ".join([words, *less]), 1024))
    return Outcome("Succeeded", Reason.SUCCEEDED, clip(words, 1024))


def _less_than_whole(operation: str, tasks: Sequence[DRTask]) -> list[str]:
    """What keeps a success from being a whole one, each counted and named."""
    less = []
    if lost := [*dict.fromkeys([*failed_ids(tasks), *gone_without(tasks)])]:
        less.append(f"{len(lost)} failed within the plan's tolerance: {some(lost)}")
    if left := _given_up(operation, tasks):
        less.append(f"{len(left)} left out by people: {some(left)}")
    if asserted := _asserted(tasks):
        less.append(f"{len(asserted)} done as people say: {some(asserted)}")
    return less


def _asserted(tasks: Sequence[DRTask]) -> list[str]:
    """Ids of resources that are done by people's word alone, but for those of manual tasks."""
    found = (
        r.id
        for t in tasks
        if t.spec.technology != MANUAL
        for r in t.status.resources
        if r.reason == "Asserted" and r.state == "Complete"
    )
    return list(dict.fromkeys(found))


def _given_up(operation: str, tasks: Sequence[DRTask]) -> list[str]:
    """Ids of resources that people left out; a Test leaves production's DNS out by itself."""
    found: dict[str, None] = {}
    for task in (t for t in tasks if t.spec.recovery_phase in PHASES[operation]):
        states = {r.id: r for r in task.status.resources}
        for resource in task.spec.resources:
            known = states.get(resource.id)
            skipped = known.state == "Skipped" if known else task.status.state == "Skipped"
            if skipped and not (known and known.reason in _NOT_BY_PEOPLE):
                found[resource.id] = None
    return list(found)


def said_by(command: CommandRecord) -> str:
    """Who gave a command, with the comment if there is one."""
    return f"{command.user} ({command.comment})" if command.comment else command.user


def cancelled_by(commands: Sequence[CommandRecord]) -> str:
    """`cancelled by` whoever did: a person, or the operator for an execution that it names."""
    given = [c for c in commands if c.key == f"{PREFIX}cancel"]
    return f"cancelled by {said_by(given[-1])}" if given else "cancelled"


def _idle(tasks: Sequence[DRTask]) -> str:
    """What is stopped though nothing serves in its place; empty: nothing."""
    idle = idle_fences(tasks)
    if not idle:
        return ""
    regions = dict.fromkeys(f"{t.spec.region}, account {t.spec.account_id}" for t in idle)
    total = counted(sum(t.status.complete for t in idle), "resource")
    return (
        f". Nothing serves in place of {total} in {some(list(regions))}: start what is stopped "
        "there, unless another execution goes on (undo of Fence would have come before cancel)"
    )


def _stays(tasks: Sequence[DRTask]) -> str:
    """What a run that did not succeed leaves in AWS."""
    fenced, done, started, cleaned = (
        sum(t.status.complete for t in tasks if t.spec.recovery_phase == phase)
        for phase in ("Fence", "Instantiate", "Activate", "Cleanup")
    )
    cleanups = [t for t in tasks if t.spec.recovery_phase == "Cleanup"]
    if not cleanups:
        launched = f"{counted(done, 'resource')} {'was' if done == 1 else 'were'} launched"
        words = f"{launched} and {started} activated, and stay as they are"
        words += f"; {fenced} were fenced, and stay so" if fenced else ""
        if done or fenced:
            words += "; another execution of the plan goes on from there"
        return clip(words + _idle(tasks), 900)
    words = f"{done} resources had been launched, {cleaned} were cleaned up"
    if failed := [t.metadata.name for t in cleanups if t.status.state == "Failed"]:
        words += (
            f"; the clean-up failed, and what the drill launched there stays until somebody ends "
            f"it: {some(failed)}"
        )
    return clip(words, 900)

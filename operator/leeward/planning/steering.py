"""What `retry` and `skip` make of a task and of those after it, and what a pause costs it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from leeward.api.common import PREFIX
from leeward.api.execution import CommandRecord
from leeward.api.task import DRTask, DRTaskStatus, TaskResourceStatus
from leeward.planning.commands import Command
from leeward.planning.times import parse_time
from leeward.planning.waves import PHASES, closes


def steer(status: DRTaskStatus, command: Command) -> tuple[DRTaskStatus, str]:
    """The task's status after a command, and what came of it, for the record.

    Only a failed task can be steered, and of it only failed resources: those that the command
    names, or all. A command that changes nothing gives the status as it was.
    """
    if status.state != "Failed":
        return status, f"nothing to {command.verb}: the task is {status.state}, not Failed"
    named = set(command.resources)
    chosen = {
        r.id for r in status.resources if r.state == "Failed" and (not named or r.id in named)
    }
    if not chosen:
        return status, "none of the named resources has failed"
    return (_skip if command.verb == "skip" else _retry)(status, command, chosen)


def _skip(status: DRTaskStatus, command: Command, chosen: set[str]) -> tuple[DRTaskStatus, str]:
    resources = [_left_out(r, command.user) if r.id in chosen else r for r in status.resources]
    states = {r.state for r in resources}
    state = "Failed" if "Failed" in states else ("Complete" if "Complete" in states else "Skipped")
    update = {
        "resources": resources,
        "state": state,
        "message": f"{len(chosen)} left out by {command.user}",
    }
    return status.model_copy(update=update), f"{len(chosen)} resources left out"


def _left_out(resource: TaskResourceStatus, user: str) -> TaskResourceStatus:
    message = f"left out by {user}; was: {resource.message}"[:1024]
    return resource.model_copy(update={"state": "Skipped", "message": message})


def _retry(status: DRTaskStatus, command: Command, chosen: set[str]) -> tuple[DRTaskStatus, str]:
    again = {"state": "NotStarted", "reason": "", "message": "to be tried again"}
    update = {
        "resources": [
            r.model_copy(update=again) if r.id in chosen else r for r in status.resources
        ],
        "state": "Retry",
        "attempt": status.attempt + 1,
        "start_time": None,
        "message": f"retry of {len(chosen)} by {command.user}",
    }
    return status.model_copy(update=update), f"{len(chosen)} resources are tried again"


def left_out(task: DRTask, tasks: Sequence[DRTask]) -> list[TaskResourceStatus]:
    """What an earlier phase of the task's wave left out, as this task has it.

    A server that was not launched cannot be started: leaving it out holds for the rest of its
    wave, and so does a failure within the wave's tolerance (beyond it, this task would not
    begin). A clean-up leaves nothing out.
    """
    phases = PHASES.get(task.spec.operation, ())
    if task.spec.recovery_phase not in phases:
        return []
    earlier = phases[: phases.index(task.spec.recovery_phase)]
    gone = {
        resource.id: (resource.state, t.spec.recovery_phase)
        for t in tasks
        if t.spec.recovery_phase in earlier and _alike(t) == _alike(task)
        for resource in t.status.resources
        if resource.state in {"Skipped", "Failed"}
    }
    mine = [resource.id for resource in task.spec.resources]
    return [_without(rid, *gone[rid]) for rid in sorted(mine) if rid in gone]


def _without(rid: str, state: str, phase: str) -> TaskResourceStatus:
    if state == "Failed":
        message = f"failed in {phase}, within the wave's tolerance"
        return TaskResourceStatus(id=rid, state="Skipped", reason="Tolerated", message=message)
    message = f"left out of {phase} by people"
    return TaskResourceStatus(id=rid, state="Skipped", reason="LeftOut", message=message)


def _alike(task: DRTask) -> tuple[str, ...]:
    """Within which a resource's id means one resource of one wave."""
    spec = task.spec
    return spec.wave, spec.technology, spec.account_id, spec.region


def abandoned(task: DRTask) -> DRTaskStatus | None:
    """The status of a task that has not begun when its run is cancelled; None: it stays.

    A drill's clean-up is done all the same.
    """
    if task.status.state not in {"NotStarted", "Retry", "PendingApproval"}:
        return None
    if closes(task.spec.recovery_phase):
        return None
    update = {"state": "Abandoned", "message": "not begun: the run was cancelled"}
    return task.status.model_copy(update=update)


def paused_for(records: Sequence[CommandRecord], since: datetime, now: datetime) -> timedelta:
    """How long a run was paused between `since` and `now`, by its record of commands."""
    total, paused_at = timedelta(0), None
    for record in records:
        at = min(max(parse_time(record.time), since), now)
        if record.key == f"{PREFIX}pause" and paused_at is None:
            paused_at = at
        elif record.key == f"{PREFIX}resume" and paused_at is not None:
            total, paused_at = total + (at - paused_at), None
    return total + (now - paused_at if paused_at is not None else timedelta(0))

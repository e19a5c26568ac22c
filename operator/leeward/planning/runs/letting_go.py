"""When a run lets go of fencing, so that it never waits for a Region that is lost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from leeward.api.conditions import Reason
from leeward.api.execution import CommandRecord, DRExecution
from leeward.api.task import DRTask, DRTaskStatus, TaskResourceStatus
from leeward.planning.durations import parse
from leeward.planning.runs.fencing import FENCE, unplanned
from leeward.planning.runs.steering import paused_for
from leeward.planning.times import parse_time
from leeward.planning.wording import clip

_SETTLED: Final = frozenset({"Complete", "Skipped"})
_UNDER_WAY: Final = frozenset({"InProgress", "PendingApproval"})
"""States of a task that is tried, by AWS or by a person."""


def given_up(
    task: DRTask, now: datetime, commands: Sequence[CommandRecord] = ()
) -> DRTaskStatus | None:
    """The status of a task of an Unplanned run that fences no more; None: it goes on as it is.

    What failed is given up at once, what is under way when the task's limit has passed. A pause
    does not count: nothing was tried in it. `commands` are those of the run.
    """
    spec, status = task.spec, task.status
    if spec.recovery_phase != FENCE or status.state not in {*_UNDER_WAY, "Failed"}:
        return None
    if status.state != "Failed" and time_left(task, now, commands) > timedelta(0):
        return None
    known = {r.id: r for r in status.resources}
    resources = [
        _deferred(known.get(r.id) or TaskResourceStatus(id=r.id, state="NotStarted"), task)
        for r in spec.resources
    ]
    left = sum(1 for r in resources if r.reason == Reason.FENCE_DEFERRED)
    update = {
        "state": "Skipped" if all(r.state == "Skipped" for r in resources) else "Complete",
        "resources": resources,
        "message": f"{left} of {len(resources)} not fenced: a duty for when {spec.region} answers",
    }
    return status.model_copy(update=update)


def called_off(task: DRTask, now: datetime) -> DRTaskStatus | None:
    """The status of a fencing task of a cancelled Unplanned run that is followed no more; None: it
    goes on as it is.

    What was asked for is followed as long as AWS shows it. In the dark that ends with the task's
    limit, so that the run that corrects this one does not wait for the side that is left. It is
    no duty: a run that was called off wants nothing stopped.
    """
    spec, status = task.spec, task.status
    unseen = spec.recovery_phase == FENCE and status.unseen_since is not None
    if not unseen or status.state != "InProgress" or time_left(task, now) > timedelta(0):
        return None
    message = clip(f"cancelled; whether all of it stopped is not known: {status.message}", 1024)
    return status.model_copy(update={"state": "Abandoned", "stopped": True, "message": message})


def time_left(task: DRTask, now: datetime, commands: Sequence[CommandRecord] = ()) -> timedelta:
    """How long an Unplanned run still tries to fence; endless for what is no such task.

    So it is for one that people asked to undo, or called done, until that has come to its end.
    Pauses among the `commands` of the run do not count.
    """
    started, limit = task.status.start_time, task.spec.fence_limit
    if task.status.state not in _UNDER_WAY or not started or not limit:
        return timedelta.max
    if any(r.request for r in task.status.resources):
        return timedelta.max
    began = parse_time(started)
    return max(began + parse(limit) + paused_for(commands, began, now) - now, timedelta(0))


def until_let_go(
    execution: DRExecution, tasks: Iterable[DRTask], now: datetime, *, cancelling: bool
) -> timedelta | None:
    """In how long the run lets go of fencing by itself, of the first such task; None: of none.

    A cancelled run follows what AWS shows however long it takes, and only lets go in the dark.
    """
    if not unplanned(execution):
        return None
    commands = [] if cancelling else execution.status.commands
    ends = (time_left(t, now, commands) for t in tasks if not cancelling or t.status.unseen_since)
    return min((d for d in ends if d < timedelta.max), default=None)


def _deferred(resource: TaskResourceStatus, task: DRTask) -> TaskResourceStatus:
    if resource.state in _SETTLED:
        return resource
    why = resource.message or task.status.message or "no answer"
    where = f"account {task.spec.account_id}, {task.spec.region}"
    update = {
        "state": "Skipped",
        "reason": Reason.FENCE_DEFERRED,
        "message": clip(f"may still write in {where}; last seen: {why}", 1024),
    }
    return resource.model_copy(update=update)

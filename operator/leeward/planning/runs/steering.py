"""What commands make of a task and of those after it, and what a pause costs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from leeward.api.common import PREFIX
from leeward.api.execution import CommandRecord
from leeward.api.task import DRTask, DRTaskStatus, ResourceRequest, TaskResourceStatus
from leeward.planning.runs import fencing
from leeward.planning.runs.commands import Command
from leeward.planning.runs.earlier import alike, earlier_phases
from leeward.planning.runs.parallelism import LIVE
from leeward.planning.runs.waves import closes, to_be_followed, unanswered_ahead
from leeward.planning.tasks.manual import TECHNOLOGY as MANUAL
from leeward.planning.times import parse_time, render_time
from leeward.planning.wording import counted, some
from leeward_adapters.base import LOSSES, PhaseTraits

_Update = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Ground:
    """What a command on a task is judged by, beside the task."""

    now: datetime
    """The operator's clock."""
    traits: PhaseTraits | None = None
    """Of the task's phase, as its adapter declares them; None: there is no adapter."""
    cancelling: bool = False
    """Whether the run is being cancelled."""
    activated: Sequence[str] = ()
    """Names of the tasks that put something of the task's wave to work on the other side."""


def steer(task: DRTask, command: Command, ground: Ground) -> tuple[DRTaskStatus, str]:
    """The task's status after a command, and what came of it, for the record.

    It applies to the resources that the command names, or to all that it can apply to. A command
    that changes nothing gives the status as it was, so that one that is taken twice has its
    effect once.
    """
    return _VERBS[command.verb](task, command, ground)


def _nothing(verb: str, state: str, done: str) -> str:
    """That a task in this state has nothing for the command, and when it may have."""
    said = f"nothing to {verb}: the task is {state}"
    if state not in {"InProgress", "Retry"}:
        return said
    return f"{said}; what fails of it can be {done} when all of it has ended"


# -- retry -------------------------------------------------------------------------------------


def _retry(task: DRTask, command: Command, ground: Ground) -> tuple[DRTaskStatus, str]:
    """Failed resources; those that were undone when they are named, or when none has failed."""
    status = task.status
    if status.state not in {"Failed", "Complete", "Skipped"}:
        return status, _nothing("retry", status.state, "tried again")
    failed = {r.id for r in status.resources if r.state == "Failed"}
    undone = {r.id for r in status.resources if r.state == "Skipped" and r.reason == fencing.UNDONE}
    chosen = failed | undone if command.resources else failed or undone
    chosen = _named(command, chosen)
    if not chosen:
        return status, _none(command, task, "has failed or was undone")
    message = f"retry of {len(chosen)} by {command.user}"
    again = _begun_again(status, chosen, message, "to be tried again")
    return again, f"{counted(len(chosen), 'resource')} to be tried again"


def _begun_again(status: DRTaskStatus, chosen: set[str], message: str, why: str) -> DRTaskStatus:
    again: _Update = {
        "state": "NotStarted", "reason": "", "message": why, "request": None, "requested_by": None
    }  # fmt: skip
    return status.model_copy(
        update={
            "resources": _changed(status.resources, chosen, lambda r: again),
            "state": "Retry",
            "attempt": status.attempt + 1,
            "start_time": None,
            "message": message,
        }
    )


# -- skip --------------------------------------------------------------------------------------


def _skip(task: DRTask, command: Command, ground: Ground) -> tuple[DRTaskStatus, str]:
    """What has failed, what waits for a person, and ahead of its time what has not begun.

    Of fencing also what was undone: a Planned run goes on without it by a person's word alone.
    """
    status = task.status
    if status.state == "NotStarted":
        return _skip_ahead(task, command)
    undone = set() if status.state in LIVE else {r.id for r in fencing.undone(task)}
    open_to = {"Failed": {"Failed"}, "PendingApproval": {"InProgress"}}.get(status.state)
    if open_to is None and not undone:
        return status, _nothing("skip", status.state, "left out")
    able = undone | {r.id for r in status.resources if r.state in (open_to or ())}
    chosen = _named(command, able)
    if not chosen:
        return status, _none(command, task, "can be left out")
    fence = task.spec.recovery_phase == fencing.FENCE
    resources = _changed(
        status.resources, chosen, lambda r: _left_out(r, command.user, fence=fence)
    )
    states = {r.state for r in resources}
    state = "Failed" if "Failed" in states else ("Complete" if "Complete" in states else "Skipped")
    update = {
        "resources": resources,
        "state": state,
        "message": f"{len(chosen)} left out by {command.user}",
    }
    return status.model_copy(update=update), f"{counted(len(chosen), 'resource')} left out"


def _skip_ahead(task: DRTask, command: Command) -> tuple[DRTaskStatus, str]:
    status = task.status
    if closes(task.spec.operation, task.spec.recovery_phase):
        return status, (
            "a clean-up is not left out ahead of its time: what the drill launched would stay"
        )
    known = {r.id: r for r in status.resources}
    every = [
        known.get(r.id, TaskResourceStatus(id=r.id, state="NotStarted"))
        for r in task.spec.resources
    ]
    chosen = _named(command, {r.id for r in every if r.state == "NotStarted"})
    if not chosen:
        return status, _none(command, task, "can be left out")
    message = f"left out by {command.user} before it began"
    gone: _Update = {"state": "Skipped", "reason": fencing.LEFT_OUT, "message": message}
    resources = _changed(every, chosen, lambda r: gone)
    whole = all(r.state == "Skipped" for r in resources)
    update = {
        "resources": resources,
        "state": "Skipped" if whole else "NotStarted",
        "message": f"{len(chosen)} left out by {command.user}",
    }
    return status.model_copy(update=update), f"{counted(len(chosen), 'resource')} left out ahead"


def _left_out(resource: TaskResourceStatus, user: str, *, fence: bool) -> _Update:
    """Why it failed stays its reason, but what is not fenced is a duty by whoever's decision."""
    message = f"left out by {user}; was: {resource.message}"[:1024]
    reason = fencing.LEFT_OUT if fence else resource.reason
    return {"state": "Skipped", "reason": reason, "message": message}


# -- mark-done, undo, relaunch, accept-data-loss ------------------------------------------------


def _mark_done(task: DRTask, command: Command, ground: Ground) -> tuple[DRTaskStatus, str]:
    """What has failed or is under way; a pass over the task looks once more and decides.

    Of a cancelled run that is all that has not ended, whatever else was asked for: nothing of it
    begins any more, and whoever knows how things stand must be able to say so, or the run may
    hold its plan for hours.
    """
    status = task.status
    if status.state not in {"Failed", "InProgress", "PendingApproval"}:
        return status, f"nothing to mark done: the task is {status.state}"
    chosen = _named(command, {r.id for r in status.resources if _open(r, ground)})
    if not chosen:
        return status, _none(command, task, "has failed or is under way")
    asked = _asked(status, chosen, "MarkDone", command.user)
    if status.state == "Failed":
        # A new attempt, so that what failed before it is history when AWS is looked at.
        update = {"state": "InProgress", "attempt": status.attempt + 1}
        asked = asked.model_copy(update=update)
    said = f"{counted(len(chosen), 'resource')} marked done"
    if task.spec.technology != MANUAL:
        said += "; AWS is looked at once more"
    return asked, said


def _open(resource: TaskResourceStatus, ground: Ground) -> bool:
    """Whether the resource can be marked done."""
    if ground.cancelling:
        return resource.state not in {"Complete", "Skipped"} and resource.request != "MarkDone"
    return resource.state in {"Failed", "InProgress"} and not resource.request


def _undo(task: DRTask, command: Command, ground: Ground) -> tuple[DRTaskStatus, str]:
    """What is complete or has failed, and of which it is recorded how it was before."""
    status, traits = task.status, ground.traits
    if ground.cancelling:
        return status, "nothing is undone while the run is being cancelled"
    if status.state not in {"Complete", "Failed"}:
        return status, f"nothing to undo: the task is {status.state}, not Complete or Failed"
    if traits is None:
        return status, "Leeward did not do it, so it cannot undo it"
    if traits.irreversible:
        why = traits.instead or "its adapter gives no reason"
        return status, f"{task.spec.recovery_phase} cannot be undone: {why}"
    if task.spec.recovery_phase == fencing.FENCE and ground.activated:
        return status, (
            f"two sides would write: Activate of wave {task.spec.wave} has begun "
            f"({some(list(ground.activated), 2)}); undo that first"
        )
    recorded = {p.id for p in status.pre_states}
    chosen = _named(
        command,
        {r.id for r in status.resources if r.state in _SETTLED and r.id in recorded},
    )
    if not chosen:
        return status, _none(command, task, "was changed by this task")
    asked = _anew(_asked(status, chosen, "Undo", command.user), ground)
    message = f"undo asked for by {command.user}: {counted(len(chosen), 'resource')}"
    return asked.model_copy(update={"message": message}), f"{message[0].upper()}{message[1:]}"


def _relaunch(task: DRTask, command: Command, ground: Ground) -> tuple[DRTaskStatus, str]:
    """Named resources alone: what serves now is replaced, and is gone but for a snapshot."""
    status, traits, name = task.status, ground.traits, task.metadata.name
    if not command.resources:
        return status, (
            "nothing is launched anew unless it is named: kubectl annotate drt "
            f'{name} -n {task.metadata.namespace} {PREFIX}relaunch="YOU: [ID]"'
        )
    if traits is None or not traits.relaunch:
        what = f"{task.spec.recovery_phase} by {task.spec.technology}"
        return status, f"{what} launches nothing that could be launched anew"
    if task.spec.operation == "Test":
        return status, "a Test launches nothing anew: clean up, and run another Test"
    if ground.cancelling:
        return status, "nothing is launched while the run is being cancelled"
    if status.state not in {"Complete", "Failed"}:
        return status, f"nothing to relaunch: the task is {status.state}, not Complete or Failed"
    chosen = _named(command, {r.id for r in status.resources if r.state in _SETTLED})
    if not chosen:
        return status, _none(command, task, "is complete or has failed")
    asked = _anew(_forgotten(_asked(status, chosen, "Relaunch", command.user), chosen), ground)
    message = f"relaunch asked for by {command.user}: {some(sorted(chosen))}"
    return asked.model_copy(update={"message": message[:1024]}), f"{message}; snapshots first"


_SETTLED: Final = frozenset({"Complete", "Failed"})


def _asked(
    status: DRTaskStatus, chosen: set[str], request: ResourceRequest, user: str
) -> DRTaskStatus:
    update: _Update = {
        "state": "InProgress", "reason": "", "request": request, "requested_by": user[:256]
    }  # fmt: skip
    resources = _changed(status.resources, chosen, lambda r: update)
    return status.model_copy(update={"resources": resources})


def _anew(status: DRTaskStatus, ground: Ground) -> DRTaskStatus:
    """A new attempt that begins now: earlier refusals do not count, nor does the time so far."""
    return status.model_copy(
        update={
            "state": "InProgress",
            "attempt": status.attempt + 1,
            "start_time": render_time(ground.now),
        }
    )


def _accept_data_loss(task: DRTask, command: Command, ground: Ground) -> tuple[DRTaskStatus, str]:
    """What is refused because something newer is known; a pass over the task goes on with it."""
    status = task.status
    if ground.cancelling:
        return status, "nothing is started while the run is being cancelled"
    if status.state not in {"Failed", "InProgress"}:
        return status, f"nothing to accept: the task is {status.state}"
    chosen = _named(
        command, {r.id for r in status.resources if r.state == "Failed" and r.reason in LOSSES}
    )
    if not chosen:
        return status, _none(command, task, "asks whether data may be lost")
    asked = _asked(status, chosen, "AcceptDataLoss", command.user)
    if status.state == "Failed":
        asked = _anew(asked, ground)
    return asked, f"the loss of data is accepted for {counted(len(chosen), 'resource')}"


def _forgotten(status: DRTaskStatus, chosen: set[str]) -> DRTaskStatus:
    """Without the pre-states of what is replaced: they speak of what is gone then."""
    kept = [p for p in status.pre_states if p.id not in chosen]
    return status.model_copy(update={"pre_states": kept})


def after_relaunch(task: DRTask, relaunched: DRTask) -> DRTaskStatus:
    """The status of `task` when resources of `relaunched` are to be launched anew.

    Where it is of a later phase of the same wave, what it did to the old ones must be done to
    the new ones: it begins again for those that it had begun, whether it was through with them or
    not. What people left out or had undone stays out.
    """
    status = task.status
    if status.state == "NotStarted" or relaunched.spec.recovery_phase not in earlier_phases(task):
        return status
    anew = {r.id for r in relaunched.status.resources if r.request == "Relaunch"}
    chosen = {
        r.id
        for r in status.resources
        if alike(task) == alike(relaunched)
        and r.id in anew
        and r.request is None
        and r.state in {"InProgress", "Complete", "Failed"}
    }
    if not chosen:
        return status
    message = f"{len(chosen)} to begin again: launched anew in {relaunched.spec.recovery_phase}"
    return _begun_again(_forgotten(status, chosen), chosen, message, message)


_VERBS: Final[dict[str, Callable[[DRTask, Command, Ground], tuple[DRTaskStatus, str]]]] = {
    "retry": _retry,
    "skip": _skip,
    "mark-done": _mark_done,
    "undo": _undo,
    "relaunch": _relaunch,
    "accept-data-loss": _accept_data_loss,
}


def _named(command: Command, able: set[str]) -> set[str]:
    """Those that the command can apply to and names, or all of them when it names none."""
    return able & set(command.resources) if command.resources else able


def _none(command: Command, task: DRTask, able: str) -> str:
    named = f" ({', '.join(command.resources)})" if any(command.resources) else ""
    return f"nothing to {command.verb}: no resource{named} {able}"[:1024]


def _changed(
    resources: Sequence[TaskResourceStatus],
    chosen: set[str],
    update: Callable[[TaskResourceStatus], _Update],
) -> list[TaskResourceStatus]:
    return [r.model_copy(update=update(r)) if r.id in chosen else r for r in resources]


def abandoned(task: DRTask) -> DRTaskStatus | None:
    """The status of a task that has not begun when its run is cancelled; None: it stays.

    A drill's clean-up is done all the same. What was asked for ahead is followed until it cannot
    arrive any more, and what an earlier attempt asked for until AWS is through with it.
    """
    if unanswered_ahead(task) or to_be_followed(task):
        return None
    if task.status.state not in {"NotStarted", "Retry", "PendingApproval"}:
        return None
    if closes(task.spec.operation, task.spec.recovery_phase):
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

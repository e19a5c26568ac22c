"""Which changes of state are legal, for tasks and for their resources, and why each of them is.

The eight states of a task are those of TRS appendix K, where Complete and Skipped let successors
begin, and Failed and Complete can be tried again. A state may always stay as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from leeward.api.execution import TaskState
from leeward.api.task import DRTask, DRTaskStatus, ResourceState, TaskResourceStatus

TASK: Final[Mapping[TaskState, Mapping[TaskState, str]]] = {
    "NotStarted": {
        "InProgress": "its turn has come",
        "Skipped": "people left all of it out in advance, or its gate left out the wave",
        "Abandoned": "the run was cancelled before its turn came",
    },
    "InProgress": {
        "PendingApproval": "it is for a person to do, and they were told",
        "Complete": "every resource is proved, marked done or left out",
        "Failed": "a resource failed, and all others have ended",
        "Skipped": "all of it is left out or undone",
        "Retry": "what it works on is launched anew",
        "Abandoned": "the run was cancelled, and nothing is under way",
    },
    "PendingApproval": {
        "Complete": "a person marked it done",
        "Failed": "nobody marked it done in time",
        "Skipped": "a person left it out, its gate left out the wave, or the run fences no more",
        "Abandoned": "the run was cancelled",
    },
    "Complete": {
        "InProgress": "a person asked to undo or relaunch some of it",
        "Retry": "what was undone is wanted again, or what it works on is launched anew",
    },
    "Failed": {
        "InProgress": "a person marked some of it done, or asked to undo or relaunch it",
        "Retry": "a person has it tried again, or what it works on is launched anew",
        "Complete": "what failed was left out, and something is complete",
        "Skipped": "what failed was left out, and nothing is complete",
    },
    "Skipped": {
        "Retry": "what was undone is wanted again",
    },
    "Retry": {
        "InProgress": "its next attempt begins",
        "Skipped": "its gate left out the wave",
        "Abandoned": "the run was cancelled before the next attempt",
    },
    "Abandoned": {},
}

RESOURCE: Final[Mapping[ResourceState, Mapping[ResourceState, str]]] = {
    "NotStarted": {
        "InProgress": "it is being worked on",
        "Complete": "it was as it should be",
        "Failed": "it cannot be done, or AWS cannot be looked at",
        "Skipped": "it is left out",
    },
    "InProgress": {
        "NotStarted": "what it stands on is launched anew",
        "Complete": "it is proved, or marked done",
        "Failed": "AWS gave up on it, or its time is over",
        "Skipped": "it is undone, or left out",
    },
    "Complete": {
        "InProgress": "a person asked to undo or relaunch it",
        "NotStarted": "what it stands on is launched anew",
    },
    "Failed": {
        "InProgress": "a person marked it done, or asked to undo or relaunch it",
        "NotStarted": "it is tried again",
        "Skipped": "a person left it out",
    },
    "Skipped": {
        "NotStarted": "it was undone, and is wanted again",
    },
}
"""A resource that a status does not name yet is NotStarted."""


class IllegalTransitionError(Exception):
    """A bug: a task was to go from one state to another that nothing leads to."""


def check(task: DRTask, after: DRTaskStatus) -> None:
    """Whether the task may go from the status that it has to `after`.

    Raises:
        IllegalTransitionError: it may not; the message names the task, and both states.
    """
    was, now = task.status.state, after.state
    if was != now and now not in TASK[was]:
        raise IllegalTransitionError(
            f"task {task.metadata.namespace}/{task.metadata.name} cannot go from {was} to {now}; "
            f"it could to {_or(list(TASK[was]))}. {_REPORT}"
        )
    before = _states(task.status.resources)
    for rid, state in _states(after.resources).items():
        old = before.get(rid, "NotStarted")
        if old != state and state not in RESOURCE[old]:
            raise IllegalTransitionError(
                f"resource {rid} of task {task.metadata.namespace}/{task.metadata.name} cannot go "
                f"from {old} to {state}; it could to {_or(list(RESOURCE[old]))}. {_REPORT}"
            )


_REPORT: Final = (
    "Nothing was written. This is an error in Leeward: report it, and cancel the run if it does "
    "not go on"
)


def _states(resources: Sequence[TaskResourceStatus]) -> dict[str, ResourceState]:
    return {r.id: r.state for r in resources}


def _or(states: Sequence[str]) -> str:
    return " or ".join(states) or "no other"

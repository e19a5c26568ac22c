"""What to do for a task while AWS cannot be looked at. Nothing is asked for; it may be given up."""

from __future__ import annotations

from datetime import timedelta

from leeward.api.task import Intent, TaskResourceStatus
from leeward.planning.durations import parse
from leeward.planning.tasks import step_messages as messages
from leeward.planning.tasks import step_requests as requests
from leeward.planning.tasks.step import FINAL_STATES, StepDecision, StepInput, ended
from leeward.planning.tasks.step_sent import may_arrive
from leeward.planning.times import parse_time
from leeward_adapters.base import ErrorClass


def decide_blind(given: StepInput, kind: ErrorClass, code: str, why: str) -> StepDecision:
    """The next thing to do for a task that AWS gave no picture of.

    What a person marks done is done. Else, what no new try can change ends the task at once, so
    that a person learns of it; a denial once it has lasted for the settle time, because IAM is
    eventually consistent; an outage only at the task's time-out, in which pauses do not count.
    A cancelled run does not wait for a picture of what AWS never took, and for one of what only
    an earlier attempt asked for no longer than the settle time: that attempt had its own.

    `given.observed` is not read.
    """
    resources = _resources(given, why)
    if all(r.state in FINAL_STATES for r in resources):
        return StepDecision(resources, *ended(resources))
    if _gives_up(given, kind):
        failed = tuple(r if r.state in FINAL_STATES else _failed(r, code, why) for r in resources)
        return StepDecision(failed, "Failed", why[:1024])
    if given.stopping and not _under_way(given):
        message = f"the run was cancelled; {_not_known(given)}{why}"[:1024]
        return StepDecision(resources, "Abandoned", message)
    message = f"{messages.asked(resources)}{why}; looking again"[:1024]
    return StepDecision(resources, "InProgress", message, delay=given.rules.poll)


def _gives_up(given: StepInput, kind: ErrorClass) -> bool:
    if kind is ErrorClass.FINAL:
        return True
    if kind is ErrorClass.DENIED:
        return _since(given, given.status.unseen_since) > given.rules.settle
    if given.holding:
        return False
    lasted = _since(given, given.status.start_time) - given.held
    return lasted > parse(given.spec.timeout)


def _under_way(given: StepInput) -> bool:
    """Whether AWS may be at work on what it took, or may still take something."""
    if may_arrive(given) > timedelta(0):
        return True
    taken = _taken(given)
    if any(i.attempt == given.status.attempt for i in taken):
        return True
    return bool(taken) and _since(given, given.status.unseen_since) <= given.rules.settle


def _taken(given: StepInput) -> list[Intent]:
    return [i for i in given.status.journal if i.outcome not in {"Refused", "Absent"}]


def _not_known(given: StepInput) -> str:
    """What of the earlier attempts nobody knows; empty: nothing."""
    taken = _taken(given)
    if not taken:
        return ""
    last = taken[-1]
    return f"whether {last.action} of attempt {last.attempt} was done is not known: "


def _since(given: StepInput, time: str | None) -> timedelta:
    return given.now - parse_time(time) if time else timedelta(0)


def _failed(resource: TaskResourceStatus, code: str, why: str) -> TaskResourceStatus:
    again = "undo it again" if resource.request == "Undo" else "retry"
    message = f"{why}. Mend it, then {again}"[:1024]
    return TaskResourceStatus(id=resource.id, state="Failed", reason=code[:63], message=message)


def _resources(given: StepInput, why: str) -> tuple[TaskResourceStatus, ...]:
    known = {r.id: r for r in given.status.resources}
    resources = (
        known.get(r.id, TaskResourceStatus(id=r.id, state="NotStarted"))
        for r in given.spec.resources
    )
    return tuple(
        requests.asserted(r, f"nothing ({why})") if r.request == "MarkDone" else r
        for r in resources
    )

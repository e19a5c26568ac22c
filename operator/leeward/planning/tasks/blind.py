"""What to do for a task while AWS cannot be looked at. Nothing is asked for; it may be given up."""

from __future__ import annotations

from datetime import timedelta

from leeward.api.task import TaskResourceStatus
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
    A cancelled run does not wait for a picture of what AWS never took.

    `given.observed` is not read.
    """
    resources = _resources(given, why)
    if all(r.state in FINAL_STATES for r in resources):
        return StepDecision(resources, *ended(resources))
    if _gives_up(given, kind):
        failed = tuple(r if r.state in FINAL_STATES else _failed(r, code, why) for r in resources)
        return StepDecision(failed, "Failed", why[:1024])
    if given.stopping and not _under_way(given):
        return StepDecision(resources, "Abandoned", f"the run was cancelled; {why}"[:1024])
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
    """Whether AWS took something, or may still take it."""
    taken = any(i.outcome not in {"Refused", "Absent"} for i in given.status.journal)
    return taken or may_arrive(given) > timedelta(0)


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

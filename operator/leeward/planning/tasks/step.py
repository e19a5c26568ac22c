"""What to do next for one DRTask: what AWS shows, and the journal, decide. Same input, same answer.

The rules that nothing may break:

* a batch is asked for only when AWS shows that it is missing and no earlier batch for the same
  resource may still turn up (`step_sent`);
* a batch that AWS refuses because of one of its resources does not fail the others: it is asked
  for again in halves;
* a resource is Complete only when the adapter proved it, or when a person said so, and then the
  record tells the one from the other (`step_requests`);
* while a run is paused or being cancelled nothing new is asked for, but to put something back;
  what AWS is doing already is followed to its end, and what it may still do until it cannot;
* of an account that was taken away nothing at all is asked (`barred`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final, Literal

from leeward.api.task import DRTaskSpec, DRTaskStatus, TaskResourceStatus
from leeward.planning.durations import parse
from leeward.planning.tasks import barred, step_sent
from leeward.planning.tasks import step_messages as messages
from leeward.planning.tasks import step_requests as requests
from leeward.planning.tasks.step_types import (
    FINAL_STATES,
    JOURNAL,
    Batch,
    StepDecision,
    StepInput,
    StepRules,
    Tally,
    failed,
)
from leeward.planning.tasks.withdrawn import ACCOUNT_REFUSED
from leeward.planning.times import parse_time
from leeward_adapters.base import ActionTraits, Seen, State

_OF_PRODUCTION: Final = frozenset({"route53", "autoscaling", "automation"})
"""Technologies whose tasks change what production has, or could."""

__all__ = [
    "FINAL_STATES",
    "JOURNAL",
    "Batch",
    "StepDecision",
    "StepInput",
    "StepRules",
    "decide",
    "ended",
    "needs_no_look",
    "nothing_left_to_ask",
    "out_of_time",
    "timed_out",
]


def decide(given: StepInput) -> StepDecision:
    """The next thing to do for a task that has begun."""
    if needs_no_look(given.spec):
        return _skipped(given, "a Test never touches production")
    tally = Tally()
    before = {r.id: r for r in given.status.resources}
    after = [_resource(given, r.id, before.get(r.id), tally) for r in given.spec.resources]
    if out_of_time(given):
        after = [timed_out(given, r) for r in after]
        tally.wanted.clear()
    if given.stopping and (rest := step_sent.may_arrive(given)) > timedelta(0):
        tally.waits.append(rest)
    batch = _batch(given, tally)
    if batch is not None and given.barred:
        tally.waits.append(given.poll)
        after = barred.resources(after, batch.resources, given.barred)
        return replace(_decision(given, tuple(after), None, tally), barred=True)
    return _decision(given, tuple(after), batch, tally)


def nothing_left_to_ask(status: DRTaskStatus, actions: Mapping[str, ActionTraits]) -> bool:
    """Whether AWS took the newest batch, is busy with it, and nothing else of the task is open."""
    last = status.journal[-1]
    traits = actions.get(last.action)
    if last.outcome != "Sent" or traits is None or not traits.slow:
        return False
    open_ = {r.id for r in status.resources if r.state not in FINAL_STATES}
    return open_ <= set(last.resources)


def needs_no_look(spec: DRTaskSpec) -> bool:
    """Whether the task is left out whatever AWS shows: a Test touches nothing of production."""
    return spec.operation == "Test" and spec.technology in _OF_PRODUCTION


def _skipped(given: StepInput, why: str) -> StepDecision:
    skipped = tuple(
        TaskResourceStatus(id=r.id, state="Skipped", reason="NotInATest", message=why)
        for r in given.spec.resources
    )
    return StepDecision(skipped, "Skipped", why)


def _resource(
    given: StepInput, rid: str, was: TaskResourceStatus | None, tally: Tally
) -> TaskResourceStatus:
    if was is not None and was.state in FINAL_STATES:
        return was
    seen = given.observed.targets.get(rid)
    if was is not None and was.request == "MarkDone":
        return requests.marked_done(was, seen)
    if seen is None:
        if not given.stopping or any(rid in i.resources for i in given.status.journal):
            tally.waits.append(given.poll)
        after = TaskResourceStatus(id=rid, state="InProgress", message=_NO_ANSWER)
    elif was is not None and was.request == "Undo":
        after = requests.undone(given, was, seen, tally)
    else:
        after = requests.accepted(was, _seen(given, rid, seen, was, tally))
    return requests.kept(was, after)


_NO_ANSWER: Final = "AWS has not answered yet"


def _seen(
    given: StepInput, rid: str, seen: Seen, was: TaskResourceStatus | None, tally: Tally
) -> TaskResourceStatus:
    match seen.state:
        case State.DONE:
            return _status(rid, "Complete", seen)
        case State.FAILED | State.REFUSED:
            return _status(rid, "Failed", seen)
        case State.RUNNING:
            # Synchronising takes hours and goes on without us: a cancelled run does not wait.
            if not (given.stopping and given.spec.recovery_phase == "Replicate"):
                tally.waits.append(given.poll)
            return _status(rid, "InProgress", seen)
        case State.NEEDED:
            return step_sent.needed(given, rid, seen, was, tally)


def _status(
    rid: str, state: Literal["InProgress", "Complete", "Failed", "NotStarted"], seen: Seen
) -> TaskResourceStatus:
    return TaskResourceStatus(
        id=rid,
        state=state,
        reason=seen.reason[:63],
        message=seen.message[:1024],
        reference=seen.reference[:256],
    )


def _batch(given: StepInput, tally: Tally) -> Batch | None:
    """The first action, in the adapter's order, that may be asked for now."""
    for action, traits in given.actions.items():
        wanted = tally.wanted.get(action)
        if not wanted or ((given.holding or given.stopping) and not traits.restores):
            continue
        limit = traits.batch
        if not traits.repeatable and given.observed.capacity is not None:
            limit = min(limit, given.observed.capacity)
        if limit > 0:
            return Batch(action, _first(wanted, limit, tally.parts))
        tally.waits.append(given.poll)
    return None


def _first(wanted: Sequence[str], limit: int, parts: Mapping[str, int]) -> tuple[str, ...]:
    """The first resources that may go together: none in a larger batch than it may be part of."""
    for place, rid in enumerate(wanted):
        limit = min(limit, parts[rid])
        if place >= limit:
            return tuple(wanted[:place])
    return tuple(wanted)


def out_of_time(given: StepInput) -> bool:
    """Whether the task has had its time, pauses not counted."""
    started = given.status.start_time
    if started is None or given.holding:
        return False
    return given.now - parse_time(started) - given.held > parse(given.spec.timeout)


def timed_out(given: StepInput, resource: TaskResourceStatus) -> TaskResourceStatus:
    """The resource as it is when the task's time is over."""
    if resource.state in FINAL_STATES:
        return resource
    message = messages.timed_out(given.spec, resource)
    return failed(resource.id, "TimedOut", message, resource.reference)


def ended(
    resources: Sequence[TaskResourceStatus],
) -> tuple[Literal["Complete", "Failed", "Skipped"], str]:
    """What a task comes to whose resources have all ended, and the words for it."""
    if broken := [r for r in resources if r.state == "Failed"]:
        return "Failed", messages.failures(broken, len(resources))
    if all(r.state == "Skipped" for r in resources):
        return "Skipped", messages.done(resources)
    return "Complete", messages.done(resources)


def _decision(
    given: StepInput, after: tuple[TaskResourceStatus, ...], batch: Batch | None, tally: Tally
) -> StepDecision:
    absent = step_sent.absent(given, tally)
    if all(r.state in FINAL_STATES for r in after):
        state, message = ended(after)
        return StepDecision(after, state, message, None, absent)
    idle = batch is None and not tally.waits
    if given.stopping and idle:
        return StepDecision(after, "Abandoned", "the run was cancelled", None, absent)
    delay = min([*tally.waits, given.poll])
    return StepDecision(
        after, "InProgress", _progress(given, after, batch), batch, absent,
        delay=timedelta(0) if batch else max(delay, timedelta(milliseconds=50)),
        settled=step_sent.settled(given),
        forgotten=step_sent.forgotten(given),
    )  # fmt: skip


def _progress(given: StepInput, after: Sequence[TaskResourceStatus], batch: Batch | None) -> str:
    room = given.observed.capacity_reason if given.observed.capacity == 0 else ""
    if given.barred and batch is None and any(r.reason == ACCOUNT_REFUSED for r in after):
        doing = given.barred
    elif batch is not None:
        doing = f"{batch.action} for {len(batch.resources)}"
    elif given.stopping:
        doing = "cancelled, following what AWS is doing"
    elif given.holding:
        doing = "paused"
    elif room:
        doing = f"waiting for room: {room}"
    else:
        words = (r.message for r in after if r.state not in FINAL_STATES and r.message)
        doing = next(words, "in progress")
    return f"{messages.asked(after)}{messages.count(after, FINAL_STATES)}; {doing}"[:1024]

"""What to do next for one DRTask: what AWS shows, and the journal, decide. Same input, same answer.

The rules that nothing may break:

* a batch is asked for only when AWS shows that it is missing and no earlier batch for the same
  resource and action may still turn up (`_may_ask`);
* a resource is Complete only when the adapter proved it;
* while a run is paused or being cancelled nothing new is asked for; what AWS is doing already is
  followed to its end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from leeward.api.task import DRTaskSpec, DRTaskStatus, Intent, TaskResourceStatus
from leeward.planning.durations import parse, render
from leeward.planning.times import parse_time
from leeward_adapters.base import ActionTraits, ErrorClass, Observed, Seen, State

FINAL_STATES = frozenset({"Complete", "Failed", "Skipped"})
_RETRY_CLASSES = frozenset({"Transient", "Quota", "Conflict"})


@dataclass(frozen=True, slots=True)
class StepRules:
    """Figures that the decisions need; all times are the operator's own."""

    settle: timedelta
    """How long AWS may take to show what it was asked for."""
    poll: timedelta
    """How often AWS is asked while it works."""
    attempts: int = 5
    """How often one batch is sent when AWS refuses it with a passing error."""
    backoff: timedelta = timedelta(seconds=5)
    """Pause after the first such refusal; doubled each time."""
    backoff_max: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Batch:
    """Ask AWS for one action on these resources."""

    action: str
    resources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StepDecision:
    """What a pass over a task comes to."""

    resources: tuple[TaskResourceStatus, ...]
    """State of each resource, in the order of the spec."""
    state: Literal["InProgress", "Retry", "Complete", "Failed", "Skipped", "Abandoned"]
    message: str
    batch: Batch | None = None
    """What to ask AWS for now; None: nothing."""
    absent: frozenset[str] = frozenset()
    """Ids of intents that are now proved never to have taken effect."""
    delay: timedelta = timedelta(0)
    """When to look again, if nothing wakes the run before."""


@dataclass(frozen=True, slots=True)
class StepInput:
    """All that the decision depends on."""

    spec: DRTaskSpec
    status: DRTaskStatus
    observed: Observed
    actions: Mapping[str, ActionTraits]
    epoch: int
    leader_since: datetime
    now: datetime
    rules: StepRules
    holding: bool = False
    """Paused: ask for nothing new."""
    stopping: bool = False
    """Cancelled: ask for nothing new, and end when nothing is under way."""


@dataclass(slots=True)
class _Tally:
    """Collects what is to be asked for while the resources are gone through."""

    wanted: dict[str, list[str]] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)
    waits: list[timedelta] = field(default_factory=list)


def decide(given: StepInput) -> StepDecision:
    """The next thing to do for a task that has begun."""
    if given.spec.operation == "Test" and given.spec.technology == "route53":
        return _skipped(given, "a Test never touches production's DNS names")
    tally = _Tally()
    before = {r.id: r for r in given.status.resources}
    after = [_resource(given, r.id, before.get(r.id), tally) for r in given.spec.resources]
    if _timed_out(given):
        after = [_time_out(given, r) for r in after]
        tally.wanted.clear()
    batch = _batch(given, tally)
    return _decision(given, tuple(after), batch, tally)


def _skipped(given: StepInput, why: str) -> StepDecision:
    skipped = tuple(
        TaskResourceStatus(id=r.id, state="Skipped", reason="NotInATest", message=why)
        for r in given.spec.resources
    )
    return StepDecision(skipped, "Skipped", why)


def _resource(
    given: StepInput, rid: str, was: TaskResourceStatus | None, tally: _Tally
) -> TaskResourceStatus:
    if was is not None and was.state in FINAL_STATES:
        return was
    seen = given.observed.targets.get(rid)
    if seen is None:
        tally.waits.append(given.rules.poll)
        return TaskResourceStatus(id=rid, state="InProgress", message="AWS has not answered yet")
    match seen.state:
        case State.DONE:
            return _status(rid, "Complete", seen)
        case State.FAILED | State.REFUSED:
            return _status(rid, "Failed", seen)
        case State.RUNNING:
            tally.waits.append(given.rules.poll)
            return _status(rid, "InProgress", seen)
        case State.NEEDED:
            return _needed(given, rid, seen, was, tally)


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


def _needed(
    given: StepInput, rid: str, seen: Seen, was: TaskResourceStatus | None, tally: _Tally
) -> TaskResourceStatus:
    """An action is missing. Was it asked for before, and may it be asked for now?"""
    sent = [
        i for i in given.status.journal
        if rid in i.resources and i.action == seen.action and i.attempt == given.status.attempt
    ]  # fmt: skip
    last = sent[-1] if sent else None
    if last is not None and last.outcome == "Refused":
        refusals = sum(1 for i in sent if i.outcome == "Refused")
        if last.error_class not in _RETRY_CLASSES or refusals >= given.rules.attempts:
            return TaskResourceStatus(
                id=rid,
                state="Failed",
                reason=(last.code or "Refused")[:63],
                message=_refusal(given, seen.action, last, refusals),
            )
    wait = _may_ask(given, seen.action, last, sent, tally)
    if wait > timedelta(0):
        tally.waits.append(wait)
        message = f"{seen.action} was asked for; waiting for AWS to show it"
        if last is not None and last.outcome == "Refused":
            message = f"AWS refused {seen.action} ({last.code}): trying again in {render(wait)}"
        return TaskResourceStatus(id=rid, state="InProgress", message=message)
    tally.wanted.setdefault(seen.action, []).append(rid)
    state: Literal["InProgress", "NotStarted"] = "InProgress" if sent or was else "NotStarted"
    return TaskResourceStatus(id=rid, state=state, message=seen.message[:1024])


def _refusal(given: StepInput, action: str, last: Intent, refusals: int) -> str:
    times = f" {refusals} times" if refusals > 1 else ""
    spec = given.spec
    return (
        f"AWS refused {action}{times} in account {spec.account_id} ({spec.account}), "
        f"{spec.region}: {last.code}: {last.message}. Mend the cause, then retry the task"
    )[:1024]


def _may_ask(
    given: StepInput, action: str, last: Intent | None, sent: Sequence[Intent], tally: _Tally
) -> timedelta:
    """How long to wait before the action may be asked for; zero: now."""
    if last is None or last.outcome == "Absent":
        return timedelta(0)
    since = parse_time(last.time)
    rules = given.rules
    if last.outcome == "Refused":
        refusals = sum(1 for i in sent if i.outcome == "Refused")
        pause: timedelta = min(rules.backoff * (1 << (refusals - 1)), rules.backoff_max)
        return max(since + pause - given.now, timedelta(0))
    # AWS may have been asked by a leader that has gone: what it sent last can arrive until its
    # own time-outs have passed, which are counted from when this leader took over.
    if last.epoch != given.epoch:
        since = max(since, given.leader_since)
    remaining = since + rules.settle - given.now
    if remaining > timedelta(0):
        return remaining
    if given.actions[action].repeatable:
        return timedelta(0)
    if last.outcome == "Sent":
        # AWS said yes. That nothing shows is AWS's delay, not permission to ask twice.
        return rules.poll
    tally.absent.add(last.id)
    return timedelta(0)


def _batch(given: StepInput, tally: _Tally) -> Batch | None:
    """The first action, in the adapter's order, that may be asked for now."""
    for action, traits in given.actions.items():
        wanted = tally.wanted.get(action)
        if not wanted or ((given.holding or given.stopping) and not traits.restores):
            continue
        limit = traits.batch
        if not traits.repeatable and given.observed.capacity is not None:
            limit = min(limit, given.observed.capacity)
        if limit > 0:
            return Batch(action, tuple(wanted[:limit]))
        tally.waits.append(given.rules.poll)
    return None


def give_up(
    spec: DRTaskSpec, status: DRTaskStatus, kind: ErrorClass, now: datetime, rules: StepRules
) -> bool:
    """Whether a task ends because AWS cannot be looked at.

    What no new try can change ends it at once, so that a person learns of it; a denial after the
    settle time, because IAM is eventually consistent; an outage only at the task's time-out.
    """
    if kind is ErrorClass.FINAL:
        return True
    started = parse_time(status.start_time) if status.start_time else now
    patience = rules.settle if kind is ErrorClass.DENIED else parse(spec.timeout)
    return now - started > patience


def _timed_out(given: StepInput) -> bool:
    started = given.status.start_time
    if started is None:
        return False
    return given.now - parse_time(started) > parse(given.spec.timeout)


def _time_out(given: StepInput, resource: TaskResourceStatus) -> TaskResourceStatus:
    if resource.state in FINAL_STATES:
        return resource
    return resource.model_copy(
        update={
            "state": "Failed",
            "reason": "TimedOut",
            "message": (
                f"not done after {given.spec.timeout} in account {given.spec.account_id}, "
                f"{given.spec.region}; last seen: {resource.message or 'nothing'}. "
                "Retry looks again and repeats only what is missing"
            )[:1024],
        }
    )


def _decision(
    given: StepInput, after: tuple[TaskResourceStatus, ...], batch: Batch | None, tally: _Tally
) -> StepDecision:
    open_ = [r for r in after if r.state not in FINAL_STATES]
    failed = [r for r in after if r.state == "Failed"]
    absent = frozenset(tally.absent)
    if not open_:
        if failed:
            return StepDecision(after, "Failed", _failures(failed, len(after)), None, absent)
        if after and all(r.state == "Skipped" for r in after):
            return StepDecision(after, "Skipped", "left out", None, absent)
        return StepDecision(after, "Complete", _done(after), None, absent)
    idle = batch is None and not tally.waits
    if given.stopping and idle:
        return StepDecision(after, "Abandoned", "the run was cancelled", None, absent)
    delay = min([*tally.waits, given.rules.poll])
    return StepDecision(
        after, "InProgress", _progress(given, open_, batch), batch, absent,
        timedelta(0) if batch else max(delay, timedelta(milliseconds=50)),
    )  # fmt: skip


def _progress(given: StepInput, open_: Sequence[TaskResourceStatus], batch: Batch | None) -> str:
    total = len(given.spec.resources)
    done = total - len(open_)
    if batch is not None:
        return f"{done} of {total} done; {batch.action} for {len(batch.resources)}"
    if given.stopping:
        return f"{done} of {total} done; cancelled, following what AWS is doing"
    if given.holding:
        return f"{done} of {total} done; paused"
    if given.observed.capacity == 0 and given.observed.capacity_reason:
        return f"{done} of {total} done; waiting for room: {given.observed.capacity_reason}"[:1024]
    words = next((r.message for r in open_ if r.message), "in progress")
    return f"{done} of {total} done; {words}"[:1024]


def _done(after: Sequence[TaskResourceStatus]) -> str:
    adopted = sum(1 for r in after if r.reason == "Adopted")
    return f"{len(after)} done" + (
        f", {adopted} of them found as they should be" if adopted else ""
    )


def _failures(failed: Sequence[TaskResourceStatus], total: int) -> str:
    named = "; ".join(f"{r.id}: {r.reason}: {r.message}" for r in failed[:5])
    more = f" and {len(failed) - 5} more" if len(failed) > 5 else ""
    return f"{len(failed)} of {total} failed: {named}{more}"[:1024]

"""What to do next for one DRTask: what AWS shows, and the journal, decide. Same input, same answer.

The rules that nothing may break:

* a batch is asked for only when AWS shows that it is missing and no earlier batch for the same
  resource may still turn up (`_may_turn_up`);
* a batch that AWS refuses because of one of its resources does not fail the others: it is asked
  for again in halves;
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
from leeward.planning import step_messages as messages
from leeward.planning.durations import parse, render
from leeward.planning.times import parse_time
from leeward_adapters.base import ActionTraits, ErrorClass, Observed, Seen, State

FINAL_STATES = frozenset({"Complete", "Failed", "Skipped"})
_RETRY_CLASSES = frozenset({ErrorClass.TRANSIENT, ErrorClass.QUOTA, ErrorClass.CONFLICT})
_ALL_ALIKE = frozenset({ErrorClass.TRANSIENT, ErrorClass.QUOTA, ErrorClass.DENIED})
"""Refusals that smaller batches would meet as well."""
_MOST_REFUSALS = 64
"""Batches of one attempt that may be refused before no smaller ones are tried any more."""
JOURNAL = 200
"""Batches that a task's journal holds, as the API limits it."""
_KEPT_FOR_RESTORING = 20
_OF_PRODUCTION = frozenset({"route53", "autoscaling", "automation"})
"""Technologies whose tasks change what production has, or could."""


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
    held: timedelta = timedelta(0)
    """How long the run was paused since the task began; that does not count as the task's time."""


@dataclass(slots=True)
class _Tally:
    """Collects what is to be asked for while the resources are gone through."""

    wanted: dict[str, list[str]] = field(default_factory=dict)
    parts: dict[str, int] = field(default_factory=dict)
    """By resource: most resources of the next batch that it is part of."""
    missing: dict[str, set[str]] = field(default_factory=dict)
    """By intent in doubt: resources of which AWS shows nothing, though it would by now."""
    waits: list[timedelta] = field(default_factory=list)


def decide(given: StepInput) -> StepDecision:
    """The next thing to do for a task that has begun."""
    if needs_no_look(given.spec):
        return _skipped(given, "a Test never touches production")
    tally = _Tally()
    before = {r.id: r for r in given.status.resources}
    after = [_resource(given, r.id, before.get(r.id), tally) for r in given.spec.resources]
    if _timed_out(given):
        after = [_time_out(given, r) for r in after]
        tally.wanted.clear()
    batch = _batch(given, tally)
    return _decision(given, tuple(after), batch, tally)


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
    given: StepInput, rid: str, was: TaskResourceStatus | None, tally: _Tally
) -> TaskResourceStatus:
    if was is not None and was.state in FINAL_STATES:
        return was
    seen = given.observed.targets.get(rid)
    if seen is None:
        if not given.stopping or any(rid in i.resources for i in given.status.journal):
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
    if seen.action not in given.actions:
        return _failed(rid, "UnknownAction", f"no action {seen.action!r}: correct the adapter")
    sent = [
        i for i in given.status.journal
        if rid in i.resources and i.action == seen.action and i.attempt == given.status.attempt
    ]  # fmt: skip
    last = sent[-1] if sent else None
    refusals = _Refusals.of(given, sent)
    if last is not None and refusals.final:
        times = sum(1 for i in sent if i.outcome == "Refused")
        refusal = messages.refusal(given.spec, seen.action, last, times)
        return _failed(rid, last.code or "Refused", refusal)
    wait = max(_may_turn_up(given, rid, seen.action, tally), _pause(given, last, refusals))
    if wait > timedelta(0):
        tally.waits.append(wait)
        message = f"{seen.action} was asked for; waiting for AWS to show it"
        if last is not None and last.outcome == "Refused":
            message = f"AWS refused {seen.action} ({last.code}): trying again in {render(wait)}"
        return TaskResourceStatus(id=rid, state="InProgress", message=message)
    if _journal_is_full(given, seen.action):
        return _failed(rid, "JournalFull", messages.JOURNAL_FULL)
    tally.wanted.setdefault(seen.action, []).append(rid)
    tally.parts[rid] = refusals.part
    state: Literal["InProgress", "NotStarted"] = "InProgress" if sent or was else "NotStarted"
    return TaskResourceStatus(id=rid, state=state, message=seen.message[:1024])


def _failed(rid: str, reason: str, message: str, reference: str = "") -> TaskResourceStatus:
    return TaskResourceStatus(
        id=rid, state="Failed", reason=reason[:63], message=message[:1024], reference=reference
    )


def _journal_is_full(given: StepInput, action: str) -> bool:
    kept = 0 if given.actions[action].restores else _KEPT_FOR_RESTORING
    return len(given.status.journal) >= JOURNAL - kept


@dataclass(frozen=True, slots=True)
class _Refusals:
    """What AWS's refusals of one action for one resource come to, in the present attempt."""

    tries: int = 0
    """How often in a row the batch was refused as it is."""
    part: int = JOURNAL
    """Most resources of the next batch."""
    final: bool = False

    @classmethod
    def of(cls, given: StepInput, sent: Sequence[Intent]) -> _Refusals:
        """Passing errors: the same again, some times. Else half, until the resource is alone."""
        tries, part = 0, JOURNAL
        for intent in (i for i in sent if i.outcome == "Refused"):
            tries += 1
            if intent.error_class in _RETRY_CLASSES and tries < given.rules.attempts:
                continue
            alone = len(intent.resources) == 1 or intent.error_class in _ALL_ALIKE
            if alone or _refused(given) >= _MOST_REFUSALS:
                return cls(tries, part, final=sent[-1].outcome == "Refused")
            tries, part = 0, len(intent.resources) // 2
        return cls(tries, part)


def _refused(given: StepInput) -> int:
    now = given.status.attempt
    return sum(1 for i in given.status.journal if i.outcome == "Refused" and i.attempt == now)


def _pause(given: StepInput, last: Intent | None, refusals: _Refusals) -> timedelta:
    """How long to wait after the newest batch of the same action; zero: no longer."""
    if last is None or last.outcome == "Absent":
        return timedelta(0)
    rules = given.rules
    if last.outcome == "Refused":
        if refusals.tries == 0:
            return timedelta(0)  # it is asked for in halves
        doubled: timedelta = min(rules.backoff * (1 << (refusals.tries - 1)), rules.backoff_max)
        return _left(given, last, doubled)
    if not given.actions[last.action].repeatable:
        return timedelta(0)  # `_may_turn_up` has judged it
    return _left(given, last, rules.settle)


def _may_turn_up(given: StepInput, rid: str, action: str, tally: _Tally) -> timedelta:
    """How long a batch that must not be sent twice may still turn up; zero: no longer.

    Earlier attempts count as well: what was sent right before a time-out can arrive after the
    retry, and whatever else the step wants now, it waits for that.
    """
    asked = [i for i in given.status.journal if rid in i.resources and not _repeatable(given, i)]
    last = asked[-1] if asked else None
    if last is None or last.outcome in {"Refused", "Absent"}:
        return timedelta(0)
    same = last.attempt == given.status.attempt and last.action == action
    if last.outcome == "Sent" and last.attempt == given.status.attempt and not same:
        return timedelta(0)
    left = _left(given, last, given.rules.settle)
    if left > timedelta(0) or not same:
        return left
    if last.outcome == "Sent":
        # AWS said yes. That nothing shows is AWS's delay, not permission to ask twice.
        return given.rules.poll
    tally.missing.setdefault(last.id, set()).add(rid)
    return timedelta(0)


def _repeatable(given: StepInput, intent: Intent) -> bool:
    traits = given.actions.get(intent.action)
    return traits is not None and traits.repeatable


def _left(given: StepInput, intent: Intent, span: timedelta) -> timedelta:
    """What is left of `span` after a batch was sent, by the clock of the present leader.

    An answer that another leader did not record may be to a call that it sent last: that can
    arrive until its time-outs have passed, counted from when this leader took over. Times by
    another leader's clock say no more than that they lie before.
    """
    since = parse_time(intent.time)
    if intent.epoch != given.epoch:
        in_doubt = intent.outcome in {"Pending", "InDoubt"}
        since = given.leader_since if in_doubt else min(since, given.leader_since)
    return max(since + span - given.now, timedelta(0))


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
            return Batch(action, _first(wanted, limit, tally.parts))
        tally.waits.append(given.rules.poll)
    return None


def _first(wanted: Sequence[str], limit: int, parts: Mapping[str, int]) -> tuple[str, ...]:
    """The first resources that may go together: none in a larger batch than it may be part of."""
    for place, rid in enumerate(wanted):
        limit = min(limit, parts[rid])
        if place >= limit:
            return tuple(wanted[:place])
    return tuple(wanted)


def _absent(given: StepInput, tally: _Tally) -> frozenset[str]:
    """Batches in doubt of which AWS shows nothing for any resource."""
    return frozenset(
        i.id for i in given.status.journal if set(i.resources) == tally.missing.get(i.id)
    )


def _timed_out(given: StepInput) -> bool:
    started = given.status.start_time
    if started is None or given.holding:
        return False
    return given.now - parse_time(started) - given.held > parse(given.spec.timeout)


def _time_out(given: StepInput, resource: TaskResourceStatus) -> TaskResourceStatus:
    if resource.state in FINAL_STATES:
        return resource
    message = messages.timed_out(given.spec, resource.message)
    return _failed(resource.id, "TimedOut", message, resource.reference)


def _decision(
    given: StepInput, after: tuple[TaskResourceStatus, ...], batch: Batch | None, tally: _Tally
) -> StepDecision:
    open_ = [r for r in after if r.state not in FINAL_STATES]
    failed = [r for r in after if r.state == "Failed"]
    absent = _absent(given, tally)
    if not open_:
        if failed:
            return StepDecision(
                after, "Failed", messages.failures(failed, len(after)), None, absent
            )
        if all(r.state == "Skipped" for r in after):
            return StepDecision(after, "Skipped", "left out", None, absent)
        return StepDecision(after, "Complete", messages.done(after), None, absent)
    idle = batch is None and not tally.waits
    if given.stopping and idle:
        return StepDecision(after, "Abandoned", "the run was cancelled", None, absent)
    delay = min([*tally.waits, given.rules.poll])
    return StepDecision(
        after, "InProgress", _progress(given, after, batch), batch, absent,
        timedelta(0) if batch else max(delay, timedelta(milliseconds=50)),
    )  # fmt: skip


def _progress(given: StepInput, after: Sequence[TaskResourceStatus], batch: Batch | None) -> str:
    room = given.observed.capacity_reason if given.observed.capacity == 0 else ""
    if batch is not None:
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
    return f"{messages.count(after, FINAL_STATES)}; {doing}"[:1024]

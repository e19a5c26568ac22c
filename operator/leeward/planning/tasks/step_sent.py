"""An action is missing: was AWS asked for it before, and may it be asked for now?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

from leeward.api.task import Intent, TaskResourceStatus
from leeward.planning.durations import render
from leeward.planning.tasks import step_messages as messages
from leeward.planning.tasks.step_types import JOURNAL, StepInput, Tally, failed
from leeward.planning.times import parse_time
from leeward_adapters.base import ErrorClass, Seen

_RETRY_CLASSES: Final = frozenset({ErrorClass.TRANSIENT, ErrorClass.QUOTA, ErrorClass.CONFLICT})
_MOST_REFUSALS: Final = 64
"""Batches of one attempt that may be refused before no smaller ones are tried any more."""
_MOST_DENIALS: Final = 16
"""The same where AWS denies: one resource in a hundred that a role is kept from is found by then,
and a role that lacks the action fails soon."""
_NOT_SENT: Final = frozenset({"CircuitOpen", "RateLimited"})
"""Codes of batches of which nothing was sent, because this process held it back by itself."""
_PARTLY_SENT: Final = "PartlySent"
_HELD_BY_US: Final = _NOT_SENT | {_PARTLY_SENT}
"""With those that it held back after a part was sent: no refusals of AWS either, so that they do
not count as tries, however long a Region is away."""
_HELD_BACK: Final = 8
"""How many times as long as after AWS's first refusal it is until that is tried again."""
_KEPT_FOR_RESTORING: Final = 20


def needed(
    given: StepInput, rid: str, seen: Seen, was: TaskResourceStatus | None, tally: Tally
) -> TaskResourceStatus:
    """State of a resource for which AWS shows that `seen.action` is missing.

    What may be asked for now is added to `tally`.
    """
    if seen.action not in given.actions:
        return failed(rid, "UnknownAction", f"no action {seen.action!r}: correct the adapter")
    asked = sent(given, rid, seen.action)
    last = asked[-1] if asked else None
    refusals = _Refusals.of(given, asked)
    if last is not None and refusals.final:
        times = sum(map(_by_aws, asked))
        refusal = messages.refusal(given.spec, seen.action, last, times)
        return failed(rid, last.code or "Refused", refusal)
    wait = max(_may_turn_up(given, rid, seen.action, tally), _pause(given, last, refusals))
    if wait > timedelta(0):
        tally.waits.append(wait)
        message = f"{seen.action} was asked for; waiting for AWS to show it"
        if last is not None and last.outcome == "Refused":
            message = _tried(seen.action, last, wait)
        return TaskResourceStatus(id=rid, state="InProgress", message=message)
    if _journal_is_full(given, seen.action):
        return failed(rid, "JournalFull", messages.JOURNAL_FULL)
    tally.wanted.setdefault(seen.action, []).append(rid)
    tally.parts[rid] = refusals.part
    state: Literal["InProgress", "NotStarted"] = "InProgress" if asked or was else "NotStarted"
    return TaskResourceStatus(id=rid, state=state, message=seen.message[:1024])


def _tried(action: str, last: Intent, wait: timedelta) -> str:
    again = f"again in {render(wait)}"
    if not _by_aws(last):
        how = "not sent" if _not_sent(last) else "not all sent"
        return f"{action} {how} yet ({last.code}): {again}"
    if unanswered(last):
        return f"no answer to {action} ({last.code}): asking {again}"
    return f"AWS refused {action} ({last.code}): trying {again}"


def sent(given: StepInput, rid: str, action: str) -> list[Intent]:
    """Batches of an action that the resource was part of in the present attempt, oldest first."""
    return [
        i for i in given.status.journal
        if rid in i.resources and i.action == action and i.attempt == given.status.attempt
    ]  # fmt: skip


def with_intent(
    journal: Sequence[Intent],
    intent: Intent,
    settled: frozenset[str] = frozenset(),
    forgotten: frozenset[str] = frozenset(),
) -> list[Intent]:
    """The journal with one more intent, in place of what of it was not sent before.

    Nothing of that need ever be found in AWS again, and the pause after it is over for the
    resources that are asked for now. Were it kept, an outage would fill the journal. It goes in the
    same write that brings the new intent, so that an intent precedes each call. A batch of which
    a part was sent goes too when it is one of the `settled`, and stays until then. What is
    `forgotten` makes way for whatever comes.
    """
    now = set(intent.resources)
    kept = []
    for one in (i for i in journal if i.id not in forgotten):
        replaced = one.action == intent.action and (_not_sent(one) or one.id in settled)
        if replaced and now & set(one.resources):
            rest = [r for r in one.resources if r not in now]
            if rest:
                kept.append(one.model_copy(update={"resources": rest}))
        else:
            kept.append(one)
    return [*kept, intent]


def settled(given: StepInput) -> frozenset[str]:
    """Ids of batches that were sent in part and of which nothing can arrive any more.

    Only of what may be sent twice: anything else may have to be found in AWS again.
    """
    return frozenset(
        i.id
        for i in given.status.journal
        if _partly_sent(i)
        and _repeatable(given, i)
        and left(given, i, given.rules.settle) == timedelta(0)
    )


def forgotten(given: StepInput) -> frozenset[str]:
    """Ids of batches whose places a new one may take where the journal has none left.

    Those that AWS refused in earlier attempts, of what may be sent twice: they count no more, and
    nothing of them need be found. So a task can be retried however often its batches are halved.
    """
    journal = given.status.journal
    if len(journal) < JOURNAL - _KEPT_FOR_RESTORING:
        return frozenset()
    return frozenset(
        i.id
        for i in journal
        if i.attempt < given.status.attempt
        and _by_aws(i)
        and not i.answer_lost
        and _repeatable(given, i)
    )


def _journal_is_full(given: StepInput, action: str) -> bool:
    kept = 0 if given.actions[action].restores else _KEPT_FOR_RESTORING
    return len(given.status.journal) - len(forgotten(given)) >= JOURNAL - kept


@dataclass(frozen=True, slots=True)
class _Refusals:
    """What AWS's refusals of one action for one resource come to, in the present attempt."""

    tries: int = 0
    """How often in a row the batch was refused as it is."""
    part: int = JOURNAL
    """Most resources of the next batch."""
    final: bool = False

    @classmethod
    def of(cls, given: StepInput, asked: Sequence[Intent]) -> _Refusals:
        """Passing errors: the same again, some times. Else half, until the resource is alone."""
        tries, part = 0, JOURNAL
        for intent in filter(_by_aws, asked):
            tries += 1
            several = len(intent.resources) > 1 and intent.error_class != ErrorClass.TRANSIENT
            # What one zone or type has no room for says nothing of the others, which wait. But
            # each half of what must not be sent twice would be one more job against its limit.
            limit = intent.error_class == ErrorClass.QUOTA
            at_once = several and limit and _repeatable(given, intent)
            passing = intent.error_class in _RETRY_CLASSES and not at_once
            if passing and tries < given.rules.attempts:
                continue
            halved = several and (at_once or not limit)
            if not halved or _refused(given) >= _most_refusals(intent):
                return cls(tries, part, final=_by_aws(asked[-1]))
            tries, part = 0, len(intent.resources) // 2
        return cls(tries, part)


def _most_refusals(intent: Intent) -> int:
    return _MOST_DENIALS if intent.error_class == ErrorClass.DENIED else _MOST_REFUSALS


def _refused(given: StepInput) -> int:
    now = given.status.attempt
    return sum(1 for i in given.status.journal if _by_aws(i) and i.attempt == now)


def _by_aws(intent: Intent) -> bool:
    """Whether AWS refused the batch."""
    return intent.outcome == "Refused" and intent.code not in _HELD_BY_US


def _not_sent(intent: Intent) -> bool:
    """Whether nothing of the batch was sent."""
    return intent.outcome == "Refused" and intent.code in _NOT_SENT


def _partly_sent(intent: Intent) -> bool:
    """Whether AWS took some calls of the batch, and the others were not sent."""
    return intent.outcome == "Refused" and intent.code == _PARTLY_SENT


def _pause(given: StepInput, last: Intent | None, refusals: _Refusals) -> timedelta:
    """How long to wait after the newest batch of the same action; zero: no longer."""
    if last is None or last.outcome == "Absent":
        return timedelta(0)
    rules = given.rules
    if last.outcome == "Refused":
        if not _by_aws(last):
            return left(given, last, min(rules.backoff * _HELD_BACK, rules.backoff_max))
        if refusals.tries == 0:
            return timedelta(0)  # it is asked for in halves
        doubled: timedelta = min(rules.backoff * (1 << (refusals.tries - 1)), rules.backoff_max)
        return left(given, last, doubled)
    if not given.actions[last.action].repeatable:
        return timedelta(0)  # `_may_turn_up` has judged it
    return left(given, last, rules.settle)


def _may_turn_up(given: StepInput, rid: str, action: str, tally: Tally) -> timedelta:
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
    rest = left(given, last, given.rules.settle)
    if rest > timedelta(0) or not same:
        return rest
    if last.outcome == "Sent":
        # AWS said yes. That nothing shows is AWS's delay, not permission to ask twice.
        return given.poll
    tally.missing.setdefault(last.id, set()).add(rid)
    return timedelta(0)


def _repeatable(given: StepInput, intent: Intent) -> bool:
    traits = given.actions.get(intent.action)
    return traits is not None and traits.repeatable


def unanswered(intent: Intent) -> bool:
    """Whether AWS may have done, or may still do, of what it was asked for more than its answer
    says: there is none, or only one to a part."""
    lost = intent.outcome in {"Pending", "InDoubt"} or intent.answer_lost
    return lost or _partly_sent(intent)


def may_arrive(given: StepInput) -> timedelta:
    """How long calls without an answer may still take effect; zero: none can any more.

    Those of batches that were sent in part count among them. Whatever was asked for afterwards: a
    call that others have overtaken can still arrive.
    """
    spans = [left(given, i, given.rules.settle) for i in given.status.journal if unanswered(i)]
    return max(spans, default=timedelta(0))


def left(given: StepInput, intent: Intent, span: timedelta) -> timedelta:
    """What is left of `span` after a batch was sent, by the clock of the present leader.

    Where the answer was given up it counts from then: the calls of a batch can take minutes.

    An answer that another leader did not record may be to a call that it sent last: that can
    arrive until its time-outs have passed, counted from when this leader took over. Times by
    another leader's clock say no more than that they lie before.
    """
    lost = unanswered(intent)
    since = parse_time((lost and intent.answer_time) or intent.time)
    if intent.epoch != given.epoch:
        since = given.leader_since if lost else min(since, given.leader_since)
    return max(since + span - given.now, timedelta(0))


def absent(given: StepInput, tally: Tally) -> frozenset[str]:
    """Batches in doubt of which AWS shows nothing for any resource."""
    return frozenset(
        i.id for i in given.status.journal if set(i.resources) == tally.missing.get(i.id)
    )

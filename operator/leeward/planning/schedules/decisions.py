"""Which of the drills that are due start, and why the others do not.

A drill that is due starts at once or not at all: of several that became due while no operator was
there only the last one can start, and only within the schedule's deadline. So there is never a
burst of drills, and none starts at a time that nobody expects. What it may wait for, within the
deadline, is a look at the accounts after an absence: of what is too old a Test would be refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from leeward.api.plan import RecoveryPlan
from leeward.api.schedule import DRSchedule
from leeward.planning.schedules.drills import author, run_name
from leeward.planning.schedules.occurrences import Calendar
from leeward.planning.times import parse_time, render_time
from leeward.planning.wording import listed

_MINUTE: Final = timedelta(minutes=1)  # cron's
MOST: Final = 1000
"""Drills that are decided on at a time; after a long absence the next pass goes on."""


class Why:
    """Reasons for which a drill is missed."""

    LATE: Final = "DeadlineExceeded"
    BLACKOUT: Final = "Blackout"
    NO_AUTHOR: Final = "AuthorUnknown"
    NO_PLAN: Final = "PlanNotFound"
    AWAY: Final = "PlanNotAtHome"
    BUSY: Final = "PlanBusy"
    NAME_TAKEN: Final = "NameTaken"
    REFUSED: Final = "Refused"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a decision goes by."""

    plan: RecoveryPlan | None
    busy: str
    """Name of an execution of the plan that lives; empty: there is none."""
    made: frozenset[str]
    """Names of the executions that this schedule made."""
    old: tuple[str, ...] = ()
    """TargetAccounts of the plan that were last looked at too long ago."""


@dataclass(frozen=True, slots=True)
class Miss:
    """Drills that do not start, all for one reason."""

    count: int
    last: datetime
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of the drills that are due."""

    until: datetime
    """Everything that was due until then is decided."""
    start: datetime | None = None
    """When the drill was due that starts, or was started before a crash; None: none."""
    missed: tuple[Miss, ...] = ()
    waits: bool = False
    """Whether one is due that waits for a look at the accounts."""


def since(schedule: DRSchedule, edited: datetime | None) -> datetime:
    """The moment after which drills are still to be decided on.

    A schedule that was changed counts from its change (`edited`): what it would have started
    before, had it been so, is neither started nor missed.
    """
    status, metadata = schedule.status, schedule.metadata
    begun = parse_time(status.decided_time or metadata.creation_timestamp or "")
    if status.observed_generation == metadata.generation or edited is None:
        return begun
    return max(begun, edited)


def passed_over(due: Sequence[datetime]) -> Decision:
    """Of a schedule that nobody expects drills of: none starts, and none is missed."""
    return Decision(due[:MOST][-1])


def decide(
    schedule: DRSchedule, calendar: Calendar, due: Sequence[datetime], now: datetime, seen: Seen
) -> Decision:
    """What becomes of the drills that are due.

    Args:
        schedule: the schedule; it is not suspended.
        calendar: its calendar.
        due: when they were due, in order, at least one; more than `MOST` of them: there are more.
        now: the time.
        seen: what else the decision goes by.
    """
    last = due[-1] if len(due) <= MOST else None
    decided = due[:MOST]
    older = [at for at in decided if at != last and run_name(schedule, at) not in seen.made]
    missed = [_late(schedule, older)] if older else []
    if last is None:
        return Decision(decided[-1], None, tuple(missed))
    made = run_name(schedule, last) in seen.made
    refusal = None if made else _refusal(schedule, calendar, last, now, seen)
    if refusal is not None:
        return Decision(last, None, (*missed, refusal))
    if seen.old and not made:
        return Decision(last - _MINUTE, None, tuple(missed), waits=True)
    return Decision(last, last, tuple(missed))


def _refusal(
    schedule: DRSchedule, calendar: Calendar, due: datetime, now: datetime, seen: Seen
) -> Miss | None:
    """Why the last drill that is due does not start; None: it does."""
    spec, plan = schedule.spec, seen.plan
    where = f"plan {spec.plan_ref.name}"
    if blackout := calendar.blackout(due):
        return Miss(1, due, Why.BLACKOUT, f"blackout {blackout} covers that time")
    if now - due > timedelta(seconds=spec.starting_deadline_seconds):
        return _late(schedule, [due], seen.old)
    if not author(schedule):
        return Miss(1, due, Why.NO_AUTHOR, author_unknown(schedule))
    if plan is None:
        return Miss(1, due, Why.NO_PLAN, plan_not_found(schedule))
    if plan.status.location != "Primary":
        message = (
            f"{where} is not known to be at home (status.location {plan.status.location}); drills "
            "start again when it is"
        )
        return Miss(1, due, Why.AWAY, message)
    if seen.busy:
        message = f"execution {seen.busy} of {where} lives, and a drill does not stand in its way"
        return Miss(1, due, Why.BUSY, message)
    return None


def _late(schedule: DRSchedule, due: Sequence[datetime], old: Sequence[str] = ()) -> Miss:
    first, last = render_time(due[0]), due[-1]
    when = f"the drill of {first}" if len(due) == 1 else f"{len(due)} drills since {first}"
    silent = f", or {listed('account', old)} did not answer" if old else ""
    message = (
        f"no operator was there for {when} in time{silent}: only the last one that is due starts "
        "late, and only within startingDeadlineSeconds "
        f"({schedule.spec.starting_deadline_seconds}); start a Test yourself if it is needed"
    )
    return Miss(len(due), last, Why.LATE, message)


def author_unknown(schedule: DRSchedule) -> str:
    """Why a schedule without an author makes no drills, and what to do."""
    name, namespace = schedule.metadata.name, schedule.metadata.namespace
    return (
        f"DRSchedule {name} does not say who wrote it, so that nobody would ask for its drills: "
        f"check that Leeward's admission policies are installed, then annotate it with your own "
        f'user name: kubectl annotate drsched {name} -n {namespace} leeward.dev/requested-by="YOU"'
    )


def plan_not_found(schedule: DRSchedule) -> str:
    """What a schedule without its plan waits for."""
    name, namespace = schedule.spec.plan_ref.name, schedule.metadata.namespace
    return (
        f"there is no RecoveryPlan {name} in namespace {namespace}: create it, or correct "
        "spec.planRef"
    )

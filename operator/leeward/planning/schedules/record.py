"""The status of a DRSchedule."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from leeward.api.common import Condition
from leeward.api.conditions import Reason, Type, drop_condition, set_condition
from leeward.api.execution import DRExecution
from leeward.api.marks import unsupported
from leeward.api.schedule import DRSchedule, DRScheduleStatus, Missed, ScheduledRun
from leeward.planning.schedules.decisions import (
    Decision,
    Miss,
    author_unknown,
    plan_not_found,
)
from leeward.planning.schedules.drills import author
from leeward.planning.schedules.occurrences import Calendar
from leeward.planning.times import render_time
from leeward.planning.wording import clip


@dataclass(frozen=True, slots=True)
class Says:
    """How a schedule is, before its condition has a time."""

    verdict: Literal["Ready", "Reconciling", "Stalled"]
    reason: str
    message: str


def invalid(schedule: DRSchedule, problem: str, now: datetime) -> DRScheduleStatus:
    """Status of a schedule that cannot be read."""
    status = schedule.status.model_copy(update={"next_schedule_time": None})
    return _said(schedule, status, Says("Stalled", Reason.INVALID, problem), now)


def decided(
    schedule: DRSchedule,
    calendar: Calendar,
    decision: Decision,
    now: datetime,
    *,
    plan: bool,
    runs_here: bool,
) -> DRScheduleStatus:
    """Status of a schedule after what was due is decided.

    Args:
        schedule: with the runs in its status as they are now.
        calendar: its calendar.
        decision: what became of the drills that were due.
        now: the time.
        plan: whether its plan is there.
        runs_here: whether this hub starts drills by schedules.
    """
    expected = runs_here and not schedule.spec.suspend
    free = calendar.free(max(now, decision.until)) if expected else None
    status = schedule.status.model_copy(
        update={
            "decided_time": render_time(decision.until),
            "next_schedule_time": render_time(free) if free else None,
            "missed": _missed(schedule.status.missed, decision.missed),
        }
    )
    if decision.start is not None:
        started = {"last_schedule_time": render_time(decision.start)}
        status = status.model_copy(update=started)
    return _said(schedule, status, _says(schedule, free, plan=plan, runs_here=runs_here), now)


def _says(schedule: DRSchedule, free: datetime | None, *, plan: bool, runs_here: bool) -> Says:
    name = schedule.spec.plan_ref.name
    if schedule.spec.suspend:
        return Says(
            "Ready", Reason.SUSPENDED, "suspended: no drill starts until spec.suspend is false"
        )
    if not runs_here:
        message = "no schedule starts drills in this hub (setting LEEWARD_SCHEDULES is Off)"
        return Says("Ready", Reason.OTHER_HUB, message)
    if not author(schedule):
        return Says("Stalled", Reason.AUTHOR_UNKNOWN, author_unknown(schedule))
    if not plan:
        return Says("Reconciling", Reason.PLAN_NOT_FOUND, plan_not_found(schedule))
    if free is None:
        message = "spec.blackouts cover every time that is near: shorten them"
        return Says("Stalled", Reason.INVALID, message)
    return Says(
        "Ready", Reason.SCHEDULED, f"the next drill of plan {name} starts {render_time(free)}"
    )


def _said(
    schedule: DRSchedule, status: DRScheduleStatus, says: Says, now: datetime
) -> DRScheduleStatus:
    message = clip(says.message, 1024)
    ready = Condition(
        type=Type.READY,
        status="True" if says.verdict == "Ready" else "False",
        reason=says.reason,
        message=message,
        last_transition_time=render_time(now),
        observed_generation=schedule.metadata.generation,
    )
    conditions = set_condition(status.conditions, ready)
    for kind in (Type.RECONCILING, Type.STALLED):
        if says.verdict == kind:
            conditions = set_condition(
                conditions, ready.model_copy(update={"type": kind, "status": "True"})
            )
        else:
            conditions = drop_condition(conditions, kind)
    return status.model_copy(
        update={
            "observed_generation": schedule.metadata.generation,
            "conditions": conditions,
            "message": message,
            "unsupported": unsupported(schedule.spec),
        }
    )


def _missed(before: Missed | None, now: tuple[Miss, ...]) -> Missed | None:
    if not now:
        return before
    last = now[-1]
    return Missed(
        count=(before.count if before else 0) + sum(miss.count for miss in now),
        last_time=render_time(last.last),
        reason=last.reason,
        message=clip(last.message, 1024),
    )


def followed(schedule: DRSchedule, run: DRExecution | None) -> DRSchedule:
    """The schedule with its live drill as `run` shows it; None: it is gone."""
    status = schedule.status
    active = status.active
    if active is None or (run is not None and not run.status.completion_time):
        return schedule
    update: dict[str, object] = {"active": None}
    if run is not None:
        update["last_run"] = active.model_copy(update={"state": run.status.state})
        if run.status.state == "Succeeded":
            update["last_successful_time"] = run.status.completion_time
    return schedule.model_copy(update={"status": status.model_copy(update=update)})


def started(schedule: DRSchedule, run: DRExecution, due: datetime) -> DRSchedule:
    """The schedule with the drill that was started for the time `due`."""
    active = ScheduledRun(
        name=run.metadata.name, uid=run.metadata.uid, scheduled_time=render_time(due)
    )
    status = schedule.status.model_copy(update={"active": active})
    return schedule.model_copy(update={"status": status})

"""The executions that a schedule makes: their names, marks and specs. The same whenever asked."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from leeward.api.common import PREFIX
from leeward.api.execution import DRExecution, DRExecutionSpec
from leeward.api.schedule import SCHEDULE_LABEL, SCHEDULE_UID_LABEL, DRSchedule
from leeward.planning.times import render_time
from leeward.planning.wording import clip

AUTHOR: Final = f"{PREFIX}requested-by"
"""Annotation of a schedule: who wrote its spec last. The admission policies keep it true."""
BEGINS_WITHIN: Final = timedelta(minutes=10)
"""How long a drill may take from its start at the latest moment to its begin: it may have to wait
for a look at the accounts."""


def run_name(schedule: DRSchedule, due: datetime) -> str:
    """Name of the execution for the time `due`; a crash cannot lead to a second one of it."""
    return f"{schedule.metadata.name}-{int(due.timestamp()) // 60}"


def author(schedule: DRSchedule) -> str:
    """Who wrote the schedule's spec last; empty: nobody knows."""
    return schedule.metadata.annotations.get(AUTHOR, "")


def metadata(schedule: DRSchedule) -> dict[str, Any]:
    """Labels and annotations of a drill, none of which are the schedule's own.

    Whoever wrote the schedule asks for its drills: where four eyes hold, somebody else approves.
    """
    return {
        "labels": {
            SCHEDULE_LABEL: schedule.metadata.name,
            SCHEDULE_UID_LABEL: schedule.metadata.uid,
        },
        "annotations": {AUTHOR: author(schedule)},
    }


def spec_of(schedule: DRSchedule, due: datetime) -> DRExecutionSpec:
    """Spec of the drill that is due then."""
    spec, template = schedule.spec, schedule.spec.template
    reason = f"schedule {schedule.metadata.name}, due {render_time(due)}"
    latest = due + timedelta(seconds=spec.starting_deadline_seconds) + BEGINS_WITHIN
    return DRExecutionSpec(
        plan_ref=spec.plan_ref,
        operation=template.operation,
        approval_mode=template.approval_mode,
        waves=template.waves,
        resources=template.resources,
        gates=template.gates,
        reason=clip(f"{reason}: {template.reason}" if template.reason else reason, 1024),
        start_before=render_time(latest),
    )


def made_by(schedule: DRSchedule, run: DRExecution) -> bool:
    """Whether the operator made the execution for this very schedule."""
    return run.metadata.labels.get(SCHEDULE_UID_LABEL) == schedule.metadata.uid

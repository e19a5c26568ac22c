"""The record of a run: all of a DRExecution's and DRTask's status is computed here.

`state` is for people and printer columns; nothing reads it but people. Conditions follow kstatus.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from leeward.api.common import Condition
from leeward.api.conditions import Type, drop_condition, find, set_condition
from leeward.api.execution import (
    TERMINAL,
    Counts,
    DRExecution,
    DRExecutionStatus,
    ExecutionState,
    RunEvent,
    TaskState,
    WaveProgress,
)
from leeward.api.plan_record import Location
from leeward.api.task import DRTask, DRTaskStatus
from leeward.planning.estate.direction import MOVES_TO
from leeward.planning.runs import gone, transitions
from leeward.planning.runs.fencing import FENCE
from leeward.planning.runs.run_times import kept
from leeward.planning.runs.tolerance import TOLERANT, within
from leeward.planning.runs.waves import ENDED, PASSED, PHASES, serves_before
from leeward.planning.times import render_time

_WAITING: dict[str, str] = {
    "WaitingForApproval": Type.WAITING_FOR_APPROVAL,
    "WaitingForDecision": Type.WAITING_FOR_DECISION,
    "Paused": Type.PAUSED,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a pass over a run came to."""

    state: ExecutionState
    reason: str
    """CamelCase word."""
    message: str
    wave: str | None = None
    """Wave that the run is at."""
    phase: str | None = None


def compose(
    execution: DRExecution, tasks: Sequence[DRTask], outcome: Outcome, now: datetime
) -> DRExecutionStatus:
    """The status of the run after a pass, conditions included."""
    status = execution.status
    terminal = outcome.state in TERMINAL
    at = render_time(now)
    waves = [_wave(execution, w, tasks, at) for w in status.waves]
    return status.model_copy(
        update={
            "observed_generation": execution.metadata.generation,
            "state": outcome.state,
            "mode": execution.mode,
            "message": outcome.message[:1024],
            "conditions": _conditions(execution, outcome, at),
            "waves": waves,
            "current_wave": outcome.wave,
            "resources": _total([w.resources for w in waves]),
            "mutated": status.mutated or any(t.status.journal for t in tasks),
            "completion_time": (status.completion_time or at) if terminal else None,
            "location": _location(execution, waves, tasks),
            "objectives": kept(status, waves, outcome.state, outcome.wave, now),
            "events": _events(status, outcome, at),
        }
    )


def _conditions(execution: DRExecution, outcome: Outcome, at: str) -> list[Condition]:
    conditions = list(execution.status.conditions)

    def put(kind: str, status: Literal["True", "False", "Unknown"], reason: str) -> None:
        nonlocal conditions
        conditions = set_condition(
            conditions,
            Condition(
                type=kind, status=status, reason=reason, message=outcome.message[:4096],
                last_transition_time=at, observed_generation=execution.metadata.generation,
            ),
        )  # fmt: skip

    terminal, success = outcome.state in TERMINAL, outcome.state == "Succeeded"
    verdict: Literal["True", "False", "Unknown"] = "Unknown"
    if terminal:
        verdict = "True" if success else "False"
    put(Type.SUCCEEDED, verdict, outcome.reason)
    put(Type.READY, "True" if success else "False", outcome.reason)
    for kind, holds in (
        (Type.RECONCILING, not terminal),
        (Type.STALLED, terminal and not success),
    ):
        if holds:
            put(kind, "True", outcome.reason)
        else:
            conditions = drop_condition(conditions, kind)
    for state, kind in _WAITING.items():
        holds = outcome.state == state or (state == "Paused" and execution.status.paused)
        if holds and not terminal:
            put(kind, "True", outcome.reason)
        elif find(conditions, kind) is not None:
            put(kind, "False", outcome.reason)
    return conditions


def _events(status: DRExecutionStatus, outcome: Outcome, at: str) -> list[RunEvent]:
    """The last events, with one more if the run is in another state than before.

    A wave that begins counts as a change; a count that moves does not.
    """
    changed = status.state != outcome.state or status.current_wave != outcome.wave
    if not changed:
        return status.events
    event = RunEvent(time=at, reason=outcome.reason, message=outcome.message[:1024])
    return [*status.events, event][-20:]


def _wave(
    execution: DRExecution, wave: WaveProgress, tasks: Sequence[DRTask], at: str
) -> WaveProgress:
    mine = [t for t in tasks if t.spec.wave == wave.name]
    inside = _of_wave(execution.spec.operation, wave.name, tasks)
    counted = _recovering(execution.spec.operation, wave.name, tasks)
    fine = within(wave, tasks)
    state = _wave_state([_as_wave(t, fine=fine) for t in inside], mine)
    live = [t for t in mine if t.status.state not in ENDED and t.status.state != "NotStarted"]
    started = [t.status.start_time for t in mine if t.status.start_time]
    over = bool(mine) and all(t.status.state in ENDED for t in inside)
    ended = [t.status.completion_time for t in inside if t.status.completion_time]
    return wave.model_copy(
        update={
            "state": state,
            "recovery_phase": live[0].spec.recovery_phase if live else wave.recovery_phase,
            "resources": _wave_counts(counted),
            "start_time": min(started) if started else None,
            "completion_time": max(ended, default=wave.completion_time or at) if over else None,
        }
    )


def _as_wave(task: DRTask, *, fine: bool) -> TaskState:
    """The task's state as its wave sees it: what failed within the tolerance is through."""
    tolerable = fine and task.spec.recovery_phase in TOLERANT
    return "Complete" if task.status.state == "Failed" and tolerable else task.status.state


def _of_wave(operation: str, wave: str, tasks: Sequence[DRTask]) -> list[DRTask]:
    """Tasks inside the wave, without those that follow when it is complete."""
    phases = [p for p in PHASES[operation] if not serves_before(operation, p)]
    return [t for t in tasks if t.spec.wave == wave and t.spec.recovery_phase in phases]


def _recovering(operation: str, wave: str, tasks: Sequence[DRTask]) -> list[DRTask]:
    """Tasks that recover the wave; what is fenced is the same servers on the other side."""
    return [t for t in _of_wave(operation, wave, tasks) if t.spec.recovery_phase != FENCE]


def _wave_state(states: Sequence[str], tasks: Sequence[DRTask]) -> TaskState:
    if not states or all(s == "Skipped" for s in states):
        return "Skipped" if tasks or not states else "NotStarted"
    if all(s in PASSED for s in states):
        return "Complete"
    if any(s in {"InProgress", "Retry", "PendingApproval"} for s in states):
        return "InProgress"
    if "Failed" in states:
        return "Failed"
    if "Abandoned" in states:
        return "Abandoned"
    return "NotStarted" if all(s == "NotStarted" for s in states) else "InProgress"


def _wave_counts(tasks: Sequence[DRTask]) -> Counts:
    """Resources of a wave: each once, complete when it is through all of its phases."""
    by_id: dict[tuple[str, str], list[str]] = {}
    for task in tasks:
        states = {r.id: r.state for r in task.status.resources}
        for resource in task.spec.resources:
            state = states.get(resource.id, "NotStarted")
            if task.status.state == "Skipped":
                state = "Skipped"
            key = (task.spec.technology, resource.arn + resource.id)
            by_id.setdefault(key, []).append(state)
    counts = dict.fromkeys(("complete", "in_progress", "failed", "skipped"), 0)
    for states_of in by_id.values():
        if "Failed" in states_of:
            counts["failed"] += 1
        elif all(s == "Complete" for s in states_of):
            counts["complete"] += 1
        elif all(s in {"Complete", "Skipped"} for s in states_of):
            counts["skipped"] += 1  # what was left out of one phase is not through
        elif any(s != "NotStarted" for s in states_of):
            counts["in_progress"] += 1
    return Counts(total=len(by_id), **counts)


def _total(parts: Sequence[Counts]) -> Counts:
    names = ("total", "complete", "in_progress", "failed", "skipped")
    return Counts(**{n: sum(getattr(p, n) for p in parts) for n in names})


def recovered(execution: DRExecution, tasks: Sequence[DRTask]) -> Counts:
    """The resources of the run's waves, by what became of their recovery."""
    operation, waves = execution.spec.operation, execution.status.waves
    return _total([_wave_counts(_recovering(operation, w.name, tasks)) for w in waves])


def _location(
    execution: DRExecution, waves: Sequence[WaveProgress], tasks: Sequence[DRTask]
) -> Location | None:
    """Where the estate serves as far as this run moved it; a Test moves nothing."""
    there = MOVES_TO.get(execution.spec.operation)
    if there is None or not (tasks or execution.status.tasks):
        return None
    # A wave of which nothing is left, because people left it out or undid it, serves nobody there.
    moved = [w.name for w in waves if w.resources.complete and w.state == "Complete"]
    moving = [t for t in tasks if t.spec.recovery_phase in {FENCE, "Activate"}]
    begun = any(t.status.journal for t in moving)
    whole = execution.spec.resources is None  # else the rest of the waves stayed where it was
    lost = gone.missing(execution, tasks)
    if moved and whole and not lost and len(moved) == sum(1 for w in waves if w.resources.total):
        return there
    here: Location = "Primary" if there == "Recovery" else "Recovery"
    return "Mixed" if moved or begun or lost else here


def compose_task(task: DRTask, status: DRTaskStatus, now: datetime) -> DRTaskStatus:
    """`status` with its counts, times and conditions.

    Raises:
        IllegalTransitionError: nothing leads from the task's state to that of `status`.
    """
    transitions.check(task, status)
    at = render_time(now)
    ended, passed = status.state in ENDED, status.state in PASSED
    conditions: list[Condition] = list(task.status.conditions)

    def put(kind: str, verdict: Literal["True", "False", "Unknown"]) -> None:
        nonlocal conditions
        conditions = set_condition(
            conditions,
            Condition(
                type=kind, status=verdict, reason=status.state,
                message=(status.message or "")[:4096], last_transition_time=at,
                observed_generation=task.metadata.generation,
            ),
        )  # fmt: skip

    put(Type.SUCCEEDED, ("True" if passed else "False") if ended else "Unknown")
    put(Type.READY, "True" if passed else "False")
    for kind, holds in ((Type.RECONCILING, not ended), (Type.STALLED, ended and not passed)):
        if holds:
            put(kind, "True")
        else:
            conditions = drop_condition(conditions, kind)
    states = [r.state for r in status.resources]
    return status.model_copy(
        update={
            "observed_generation": task.metadata.generation,
            "conditions": conditions,
            "complete": sum(1 for s in states if s == "Complete"),
            "failed": sum(1 for s in states if s == "Failed"),
            "total": len(task.spec.resources),
            "completion_time": (status.completion_time or at) if ended else None,
        }
    )

"""The record of a run: all of a DRExecution's and DRTask's status is computed here.

`state` is for people and printer columns; nothing reads it but people. Conditions follow kstatus.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from leeward.api.common import PREFIX, Condition
from leeward.api.conditions import Reason, Type, drop_condition, find, set_condition
from leeward.api.execution import (
    TERMINAL,
    CommandRecord,
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
from leeward.planning.runs import transitions
from leeward.planning.runs.fencing import FENCE, deferred
from leeward.planning.runs.left_stopped import idle
from leeward.planning.runs.run_times import kept
from leeward.planning.runs.tolerance import TOLERANT, failed_ids, tolerated, within
from leeward.planning.runs.waves import ENDED, PASSED, PHASES, ends_run, serves_before, unfinished
from leeward.planning.tasks.manual import TECHNOLOGY as MANUAL
from leeward.planning.times import render_time
from leeward.planning.wording import clip, counted, some

_NOT_BY_PEOPLE = frozenset({"NotInATest", Reason.FENCE_DEFERRED, "Tolerated"})
"""Reasons of what was left out without anybody's word."""
_DONE: Final[Mapping[str, str]] = {
    "Failover": "recovered",
    "Reprotect": "protected again",
    "Failback": "back in the primary Region and protected again",
    "Test": "rehearsed and cleaned up",
    "Cleanup": "cleaned up",
}
"""By operation: what a run that succeeded did with its resources."""
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


def _location(
    execution: DRExecution, waves: Sequence[WaveProgress], tasks: Sequence[DRTask]
) -> Location | None:
    """Where the estate serves as far as this run moved it; a Test moves nothing."""
    there = MOVES_TO.get(execution.spec.operation)
    if there is None or not tasks:
        return None
    # A wave of which nothing is left, because people left it out or undid it, serves nobody there.
    moved = [w.name for w in waves if w.resources.complete and w.state == "Complete"]
    moving = [t for t in tasks if t.spec.recovery_phase in {FENCE, "Activate"}]
    begun = any(t.status.journal for t in moving)
    whole = execution.spec.resources is None  # else the rest of the waves stayed where it was
    if moved and whole and len(moved) == sum(1 for w in waves if w.resources.total):
        return there
    here: Location = "Primary" if there == "Recovery" else "Recovery"
    return "Mixed" if moved or begun else here


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


def verdict(execution: DRExecution, tasks: Sequence[DRTask]) -> Outcome:
    """How a run ends that has nothing left to do.

    It succeeded only if every task that it had is complete or was left out. What people left out
    after it had failed is counted and named, and the reason is not that of a whole success.
    """
    operation, status = execution.spec.operation, execution.status
    if status.cancelling:
        return Outcome(
            "Cancelled", Reason.CANCELLED, f"{cancelled_by(status.commands)}; {_stays(tasks)}"
        )
    if execution.metadata.deletion_timestamp is not None:
        return Outcome("Cancelled", Reason.CANCELLED, f"deleted while it ran; {_stays(tasks)}")
    fine = tolerated(status.waves, tasks)
    failed = [t for t in tasks if t.status.state == "Failed" and t.metadata.name not in fine]
    if failed:
        named = "; ".join(f"{t.metadata.name}: {t.status.message}" for t in failed[:3])
        return Outcome("Failed", Reason.FAILED, clip(f"{len(failed)} tasks failed: {named}", 1024))
    if gate := next((g for g in status.gates if ends_run(operation, g)), None):
        how = "was rejected" if gate.state == "Rejected" else "was not answered in time"
        return Outcome("Failed", "GateNotPassed", f"gate {gate.name} {how}; {_stays(tasks)}")
    if open_ := unfinished(operation, status, tasks):
        names = some([t.metadata.name for t in open_])
        return Outcome("Failed", Reason.FAILED, f"{len(open_)} tasks were not done: {names}")
    what = _DONE[operation]
    done = _total([_wave_counts(_recovering(operation, w.name, tasks)) for w in status.waves])
    words = f"{operation}: {done.complete} resources {what} in {len(status.waves)} waves"
    if duties := [r.id for t in tasks for r in deferred(t)]:
        words += f"; {len(duties)} not fenced, which may still write: {some(duties)}"
    if less := _less_than_whole(operation, tasks):
        return Outcome("Succeeded", Reason.WITHIN_TOLERANCE, clip("; ".join([words, *less]), 1024))
    return Outcome("Succeeded", Reason.SUCCEEDED, clip(words, 1024))


def _less_than_whole(operation: str, tasks: Sequence[DRTask]) -> list[str]:
    """What keeps a success from being a whole one, each counted and named."""
    less = []
    if lost := failed_ids(tasks):
        less.append(f"{len(lost)} failed within the plan's tolerance: {some(lost)}")
    if left := _given_up(operation, tasks):
        less.append(f"{len(left)} left out by people: {some(left)}")
    if asserted := _asserted(tasks):
        less.append(f"{len(asserted)} done as people say: {some(asserted)}")
    return less


def _asserted(tasks: Sequence[DRTask]) -> list[str]:
    """Ids of resources that are done by people's word alone, but for those of manual tasks."""
    found = (
        r.id
        for t in tasks
        if t.spec.technology != MANUAL
        for r in t.status.resources
        if r.reason == "Asserted" and r.state == "Complete"
    )
    return list(dict.fromkeys(found))


def _given_up(operation: str, tasks: Sequence[DRTask]) -> list[str]:
    """Ids of resources that people left out; a Test leaves production's DNS out by itself."""
    found: dict[str, None] = {}
    for task in (t for t in tasks if t.spec.recovery_phase in PHASES[operation]):
        states = {r.id: r for r in task.status.resources}
        for resource in task.spec.resources:
            known = states.get(resource.id)
            skipped = known.state == "Skipped" if known else task.status.state == "Skipped"
            if skipped and not (known and known.reason in _NOT_BY_PEOPLE):
                found[resource.id] = None
    return list(found)


def said_by(command: CommandRecord) -> str:
    """Who gave a command, with the comment if there is one."""
    return f"{command.user} ({command.comment})" if command.comment else command.user


def cancelled_by(commands: Sequence[CommandRecord]) -> str:
    """`cancelled by` whoever did: a person, or the operator for an execution that it names."""
    given = [c for c in commands if c.key == f"{PREFIX}cancel"]
    return f"cancelled by {said_by(given[-1])}" if given else "cancelled"


def _stays(tasks: Sequence[DRTask]) -> str:
    """What a run that did not succeed leaves in AWS."""
    fenced, done, started, cleaned = (
        sum(t.status.complete for t in tasks if t.spec.recovery_phase == phase)
        for phase in ("Fence", "Instantiate", "Activate", "Cleanup")
    )
    cleanups = [t for t in tasks if t.spec.recovery_phase == "Cleanup"]
    if not cleanups:
        launched = f"{counted(done, 'resource')} {'was' if done == 1 else 'were'} launched"
        words = f"{launched} and {started} activated, and stay as they are"
        words += f"; {fenced} were fenced, and stay so" if fenced else ""
        if done or fenced:
            words += "; another execution of the plan goes on from there"
        return clip(words + idle(tasks), 900)
    words = f"{done} resources had been launched, {cleaned} were cleaned up"
    if failed := [t.metadata.name for t in cleanups if t.status.state == "Failed"]:
        words += (
            f"; the clean-up failed, and what the drill launched there stays until somebody ends "
            f"it: {some(failed)}"
        )
    return clip(words, 900)

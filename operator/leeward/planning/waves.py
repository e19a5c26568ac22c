"""Where a run stands and what may begin: waves in order, phases inside a wave, gates before them.

A wave is complete when all its phases are. What a gate stands before does not begin, in any part,
until the gate is passed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from leeward.api.execution import DRExecutionStatus
from leeward.api.gate_record import FrozenGate, GateStatus
from leeward.api.task import DRTask

PHASES: Final[Mapping[str, tuple[str, ...]]] = {
    "Failover": ("Instantiate", "Activate"),
    "Test": ("Instantiate", "Activate"),
}
"""Phases of each operation inside a wave, in order."""
CLOSING: Final[Mapping[str, tuple[str, ...]]] = {"Test": ("Cleanup",)}
"""Phases that follow after the last wave, for the waves in reverse order."""

PASSED: Final = frozenset({"Complete", "Skipped"})
ENDED: Final = frozenset({"Complete", "Skipped", "Failed", "Abandoned"})
GATE_OPEN: Final = frozenset({"Approved", "Automatic"})


@dataclass(frozen=True, slots=True)
class Stage:
    """One phase of one wave: what a gate stands before."""

    wave: str
    ordinal: int
    phase: str
    tasks: tuple[DRTask, ...]


@dataclass(frozen=True, slots=True)
class Cursor:
    """What a run may do now."""

    stage: Stage | None
    """Where the run is; None: past the last stage."""
    work: tuple[DRTask, ...] = ()
    """Tasks to pass over now: begun ones, and those that may begin."""
    ask: FrozenGate | None = None
    """Gate to ask now."""
    waiting: GateStatus | None = None
    """Gate that is asked and not passed."""
    stuck: tuple[DRTask, ...] = ()
    """Failed tasks that hold the run while nothing else can go on."""
    finished: bool = False
    """Nothing is left to do."""


def stages(
    operation: str, waves: Sequence[tuple[str, int]], tasks: Sequence[DRTask]
) -> list[Stage]:
    """All stages with work, in the order in which they run.

    `waves` are names and ordinals in order. A phase of a wave without tasks is no stage, and its
    gate is not asked: there is nothing to approve.
    """
    ordered = [(w, o, p) for w, o in waves for p in PHASES[operation]]
    ordered += [(w, o, p) for w, o in reversed(waves) for p in CLOSING.get(operation, ())]
    found = []
    for wave, ordinal, phase in ordered:
        mine = tuple(t for t in tasks if t.spec.wave == wave and t.spec.recovery_phase == phase)
        if mine:
            found.append(Stage(wave, ordinal, phase, mine))
    return found


def cursor(
    operation: str, status: DRExecutionStatus, tasks: Sequence[DRTask], *, cancelling: bool
) -> Cursor:
    """What the run may do now.

    When it is being cancelled, only what has begun is followed; of a Test the closing stages
    still run, so that a cancelled drill leaves nothing behind. A Test goes on to them too when a
    task failed or a gate says so, and once it is there it begins nothing else.
    """
    waves = [(w.name, w.ordinal) for w in status.waves]
    closes = CLOSING.get(operation, ())
    broken = any(t.spec.recovery_phase in closes and _begun(t) for t in tasks)
    uncleaned: list[Stage] = []
    for stage in stages(operation, waves, tasks):
        closing = stage.phase in closes
        if _over(stage, closing, tasks):
            continue
        if (cancelling or broken) and not closing:
            begun = tuple(t for t in stage.tasks if t.status.state == "InProgress")
            if begun:
                return Cursor(stage, begun)
            continue
        held = None if cancelling else _at_gate(stage, status)
        if held is not None:
            if operation == "Test" and held.waiting is not None and ends_run(held.waiting):
                broken = True
                continue
            return held
        if work := runnable(stage.tasks, tasks):
            return Cursor(stage, work)
        if cancelling:
            continue
        if closing:
            uncleaned.append(stage)
        elif operation == "Test" and any(t.status.state == "Failed" for t in stage.tasks):
            broken = True  # a drill goes on to its clean-up, and then fails
        else:
            return Cursor(stage, stuck=_stuck(stage))
    if uncleaned:
        return Cursor(uncleaned[0], stuck=tuple(t for s in uncleaned for t in _stuck(s)))
    return Cursor(None, finished=True)


def _at_gate(stage: Stage, status: DRExecutionStatus) -> Cursor | None:
    """What the gate before the stage demands; None: there is none, or it is passed."""
    place = (stage.wave, stage.phase)
    gate = next((g for g in status.frozen_gates if (g.wave, g.before) == place), None)
    if gate is None:
        return None
    answer = next((g for g in status.gates if (g.wave, g.before) == place), None)
    if answer is None:
        return Cursor(stage, ask=gate)
    return None if answer.state in GATE_OPEN else Cursor(stage, waiting=answer)


def ends_run(gate: GateStatus) -> bool:
    """Whether a gate that was not passed says that the run fails.

    A gate before a closing phase never does: what a drill launched would stay for ever.
    """
    choices = {"Rejected": gate.on_reject, "TimedOut": gate.on_timeout}
    return choices.get(gate.state) == "Fail" and not closes(gate.before)


def closes(phase: str) -> bool:
    """Whether the phase is one that follows the last wave, in whatever operation."""
    return any(phase in phases for phases in CLOSING.values())


def runnable(candidates: Sequence[DRTask], tasks: Sequence[DRTask]) -> tuple[DRTask, ...]:
    """Those of `candidates` that have begun and not ended, or whose dependencies are complete."""
    passed = {t.metadata.name for t in tasks if t.status.state in PASSED}
    return tuple(
        t
        for t in candidates
        if t.status.state not in ENDED and (_live(t) or all(d in passed for d in t.spec.depends_on))
    )


def unfinished(operation: str, tasks: Sequence[DRTask]) -> list[DRTask]:
    """Tasks that are neither complete nor left out, though the run had something to do for them."""
    return [
        t
        for t in tasks
        if t.status.state not in PASSED
        and not (
            t.spec.recovery_phase in CLOSING.get(operation, ()) and not _touched(t.spec.wave, tasks)
        )
    ]


def _over(stage: Stage, closing: bool, tasks: Sequence[DRTask]) -> bool:
    """Whether the stage is through, or has nothing to close."""
    if closing and not _touched(stage.wave, tasks):
        return True
    return all(t.status.state in PASSED for t in stage.tasks)


def _stuck(stage: Stage) -> tuple[DRTask, ...]:
    failed = tuple(t for t in stage.tasks if t.status.state == "Failed")
    return failed or tuple(t for t in stage.tasks if t.status.state not in PASSED)


def _live(task: DRTask) -> bool:
    return task.status.state in {"InProgress", "Retry"}


def _begun(task: DRTask) -> bool:
    """Whether it was begun in whatever attempt; one that was left out before has not."""
    status = task.status
    return bool(status.start_time or status.journal) or status.state not in {
        "NotStarted",
        "Skipped",
    }


def _touched(wave: str, tasks: Sequence[DRTask]) -> bool:
    """Whether the run ever asked AWS for something in the wave, or is cleaning it up."""
    return any(
        bool(t.status.journal) or (closes(t.spec.recovery_phase) and _live(t))
        for t in tasks
        if t.spec.wave == wave
    )

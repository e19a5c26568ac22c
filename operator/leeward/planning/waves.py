"""Where a run stands and what may begin: waves in order, phases inside a wave, gates before them.

A wave is complete when all its phases are. What a gate stands before does not begin, in any part,
until the gate is passed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from leeward.api.execution import DRExecutionStatus, FrozenGate, GateStatus
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
    still run, so that a cancelled drill leaves nothing behind.
    """
    waves = [(w.name, w.ordinal) for w in status.waves]
    asked: dict[tuple[str, str], GateStatus] = {(g.wave, g.before): g for g in status.gates}
    frozen: dict[tuple[str, str], FrozenGate] = {(g.wave, g.before): g for g in status.frozen_gates}
    broken = False
    for stage in stages(operation, waves, tasks):
        closing = stage.phase in CLOSING.get(operation, ())
        if closing and not any(_touched(t) for t in tasks if t.spec.wave == stage.wave):
            continue
        if all(t.status.state in PASSED for t in stage.tasks):
            continue
        if (cancelling or broken) and not closing:
            begun = tuple(t for t in stage.tasks if _live(t))
            if begun:
                return Cursor(stage, begun)
            continue
        if not cancelling and (gate := frozen.get((stage.wave, stage.phase))):
            answer = asked.get((stage.wave, stage.phase))
            if answer is None:
                return Cursor(stage, ask=gate)
            if answer.state not in GATE_OPEN:
                return Cursor(stage, waiting=answer)
        work = runnable(stage.tasks, tasks)
        if work:
            return Cursor(stage, work)
        failed = tuple(t for t in stage.tasks if t.status.state == "Failed")
        if failed and operation == "Test":
            broken = True  # a drill goes on to its clean-up, and then fails
            continue
        if closing or cancelling:
            continue
        return Cursor(stage, stuck=failed or stage.tasks)
    return Cursor(None, finished=True)


def runnable(candidates: Sequence[DRTask], tasks: Sequence[DRTask]) -> tuple[DRTask, ...]:
    """Those of `candidates` that have begun and not ended, or whose dependencies are complete."""
    passed = {t.metadata.name for t in tasks if t.status.state in PASSED}
    return tuple(
        t
        for t in candidates
        if t.status.state not in ENDED and (_live(t) or all(d in passed for d in t.spec.depends_on))
    )


def _live(task: DRTask) -> bool:
    return task.status.state in {"InProgress", "Retry"}


def _touched(task: DRTask) -> bool:
    return bool(task.status.journal) or (task.spec.recovery_phase == "Cleanup" and _live(task))

"""Where a run stands and what may begin: waves in order, phases inside a wave, gates before them.

A wave is complete when all its phases are. What a gate stands before does not begin, in any part,
until the gate is passed. What has begun is always followed, wherever the run stands.

Four things run beside the rest: the fencing of an Unplanned run, which its launches do not wait
for; replication, which takes hours; what is inert of later waves, where the plan says so; and
whatever people set going again in waves that were through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from leeward.api.execution import DRExecutionStatus
from leeward.api.gate_record import FrozenGate, GateStatus
from leeward.api.task import DRTask
from leeward.planning.runs import fencing
from leeward.planning.runs.begun import begun, untouched
from leeward.planning.runs.parallelism import LIVE, limited
from leeward.planning.runs.tolerance import tolerated
from leeward.planning.tasks.step_sent import unanswered

PHASES: Final[Mapping[str, tuple[str, ...]]] = {
    "Failover": ("Fence", "Instantiate", "Activate"),
    "Reprotect": ("Fence", "Replicate"),
    "Failback": ("Fence", "Instantiate", "Activate", "Replicate"),
    "Test": ("Instantiate", "Activate"),
    "Cleanup": ("Cleanup",),
}
"""Phases of each operation inside a wave, in order."""
TRAILING: Final[Mapping[str, tuple[str, ...]]] = {"Failback": ("Replicate",)}
"""Phases inside a wave that follow when the wave is complete: users are served by then."""
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


Place = tuple[str, str]
"""Wave and phase."""


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
    """Failed tasks that hold the run while nothing else of the stage can go on."""
    finished: bool = False
    """Nothing is left to do."""
    early: tuple[DRTask, ...] = ()
    """Tasks whose turn has not come, of which what is harmless may be done."""


def stages(
    operation: str, waves: Sequence[tuple[str, int]], tasks: Sequence[DRTask]
) -> list[Stage]:
    """All stages with work, in the order in which they run.

    `waves` are names and ordinals in order. A phase of a wave without tasks is no stage.
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
    operation: str,
    status: DRExecutionStatus,
    tasks: Sequence[DRTask],
    *,
    cancelling: bool,
    unplanned: bool = False,
    automatic: bool = False,
) -> Cursor:
    """What the run may do now.

    When it is being cancelled, only what has begun is followed; of a Test the closing stages
    still run, so that a cancelled drill leaves nothing behind. A Test goes on to them too when
    more failed than its waves tolerate or a gate says so, and once it is there it begins nothing
    else. `unplanned`: launches do not wait for the fencing of their wave. `automatic`: gates pass
    by themselves, but for those that ask about lost data.
    """
    course = _Course(operation, status, tasks, cancelling=cancelling, unplanned=unplanned)
    where = course.front()
    at_work = (*course.under_way(), *where.work, *course.ahead(where))
    work = {t.metadata.name: t for t in at_work}
    early = [t for t in course.early(where, automatic=automatic) if t.metadata.name not in work]
    chosen = limited((*work.values(), *early), status.parallelism, unplanned=unplanned)
    return replace(
        where,
        work=tuple(t for t in chosen if t.metadata.name in work),
        early=tuple(t for t in chosen if t.metadata.name not in work),
        finished=where.finished and not work,
    )


class _Course:
    """A run at one moment."""

    def __init__(
        self,
        operation: str,
        status: DRExecutionStatus,
        tasks: Sequence[DRTask],
        *,
        cancelling: bool,
        unplanned: bool,
    ) -> None:
        self._operation = operation
        self._status = status
        self._tasks = tasks
        self._cancelling = cancelling
        self._unplanned = unplanned
        self._closes = CLOSING.get(operation, ())
        self._tolerated = tolerated(status.waves, tasks)
        self._broken = any(t.spec.recovery_phase in self._closes and begun(t) for t in tasks)
        waves = [(w.name, w.ordinal) for w in status.waves]
        self._stages = stages(operation, waves, tasks)

    def under_way(self) -> tuple[DRTask, ...]:
        """What AWS may be at work on, whatever else the run may do."""
        return tuple(t for t in self._tasks if self._busy(t))

    def _busy(self, task: DRTask) -> bool:
        """A cancelled run also follows what was asked for by tasks that are not begun, or are to
        be begun again."""
        asked = unanswered_ahead(task) or to_be_followed(task)
        return task.status.state == "InProgress" or (self._cancelling and asked)

    def front(self) -> Cursor:
        """The first stage that is not through, and what it allows."""
        beside: dict[Place, tuple[DRTask, ...]] = {}
        uncleaned: list[Stage] = []
        trailing: Cursor | None = None
        for stage in self._stages:
            closing = stage.phase in self._closes
            if self._over(stage):
                continue
            if (self._cancelling or self._broken) and not closing:
                if any(map(self._busy, stage.tasks)):
                    return Cursor(stage)
                continue
            if self._cancelling:
                held = None
            elif (held := self._at_gate(stage, beside)) and self._ends_test(held):
                self._broken = True
                continue
            if held is not None:
                if not self._trails(held):
                    return held
                trailing = trailing or held
                continue
            work = self.runnable(stage.tasks)
            if self._runs_beside(stage):
                beside[stage.wave, stage.phase] = work
                continue
            if work:
                return Cursor(stage, (*work, *_all(beside)))
            if self._cancelling:
                continue
            if closing:
                uncleaned.append(stage)
            elif self._operation == "Test" and any(t.status.state == "Failed" for t in stage.tasks):
                self._broken = True  # a drill goes on to its clean-up, and then fails
            else:
                return Cursor(stage, _all(beside), stuck=self._stuck(stage))
        if trailing is not None:
            return replace(trailing, work=_all(beside))
        return self._end(beside, uncleaned)

    def _trails(self, held: Cursor) -> bool:
        """Whether its gate was asked, and stands before what later waves do not wait for."""
        return held.waiting is not None and held.waiting.before in TRAILING.get(self._operation, ())

    def _runs_beside(self, stage: Stage) -> bool:
        """Whether the stages behind it do not wait for it."""
        return stage.phase == "Replicate" or (stage.phase == "Fence" and self._unplanned)

    def _end(
        self, beside: Mapping[Place, tuple[DRTask, ...]], uncleaned: Sequence[Stage]
    ) -> Cursor:
        """Past the last stage: what failed waits for people when nothing beside it is at work."""
        if beside:
            places = {(s.wave, s.phase): s for s in self._stages}
            busy = next((place for place, tasks in beside.items() if tasks), None)
            if busy is not None:
                return Cursor(places[busy], _all(beside))
            first, *_ = held = [places[place] for place in beside]
            return Cursor(first, stuck=tuple(t for s in held for t in self._stuck(s)))
        if uncleaned:
            return Cursor(uncleaned[0], stuck=tuple(t for s in uncleaned for t in self._stuck(s)))
        return Cursor(None, finished=True)

    def _ends_test(self, held: Cursor) -> bool:
        gate = held.waiting
        return self._operation == "Test" and gate is not None and ends_run("Test", gate)

    def _at_gate(self, stage: Stage, beside: Mapping[Place, tuple[DRTask, ...]]) -> Cursor | None:
        """What the gates up to the stage demand; None: there are none, or they are passed.

        A gate before a phase for which a wave has no task stands before the next one that it has.
        An answer to a gate before Activate is given knowing what was fenced, so that one is asked
        when fencing has ended.
        """
        for gate in self._gates(stage):
            place = (gate.wave, gate.before)
            answer = next((g for g in self._status.gates if (g.wave, g.before) == place), None)
            if answer is not None and answer.state in GATE_OPEN:
                continue
            others = tuple(t for tasks in beside.values() for t in tasks)
            if stage.phase == "Activate" and beside.get((stage.wave, "Fence")):
                return Cursor(stage, others)
            if answer is None:
                return Cursor(stage, others, ask=gate)
            return Cursor(stage, others, waiting=answer)
        return None

    def _gates(self, stage: Stage) -> list[FrozenGate]:
        gates = [g for g in self._status.frozen_gates if g.wave == stage.wave]
        if stage.phase in self._closes:
            return [g for g in gates if g.before == stage.phase]
        inside = PHASES[self._operation]
        upto = inside[: inside.index(stage.phase) + 1]
        return sorted((g for g in gates if g.before in upto), key=lambda g: inside.index(g.before))

    def ahead(self, where: Cursor) -> tuple[DRTask, ...]:
        """What may begin before its wave's turn: it is inert, and no gate of its wave forbids it.

        A gate that people rejected, or that nobody answered, stops this too.
        """
        refused = where.waiting is not None and where.waiting.state != "Waiting"
        if where.stage is None or refused or self._cancelling or self._broken:
            return ()
        found: tuple[DRTask, ...] = ()
        for stage in self._stages:
            if stage.ordinal <= where.stage.ordinal or stage.phase != "Instantiate":
                continue
            early = [t for t in stage.tasks if t.spec.start == "Ahead"]
            if early and self._at_gate(stage, {}) is None and self._may_lead(stage):
                found += self.runnable(early)
        return found

    def early(self, where: Cursor, *, automatic: bool) -> tuple[DRTask, ...]:
        """Tasks of the next launches, of which nothing was asked for yet.

        None while people have the word: no gate between here and there waits for them, nothing
        failed, and the run is neither paused nor cancelled.
        """
        held = where.ask or where.waiting or where.stuck or self._cancelling or self._status.paused
        if self._status.prepares != "Ahead" or where.stage is None or held:
            return ()
        if any(t.status.state == "Failed" and not self._passed(t) for t in self._tasks):
            return ()
        here = next(i for i, stage in enumerate(self._stages) if stage is where.stage)
        for stage in self._stages[here:]:
            if not all(self._opens(g, automatic=automatic) for g in self._gates(stage)):
                return ()
            if stage.phase == "Instantiate" and stage is not where.stage and not self._over(stage):
                return tuple(t for t in stage.tasks if untouched(t) and not t.spec.depends_on)
        return ()

    def _opens(self, gate: FrozenGate, *, automatic: bool) -> bool:
        """Whether the gate is passed, or will be without anybody's word."""
        place = (gate.wave, gate.before)
        answer = next((g for g in self._status.gates if (g.wave, g.before) == place), None)
        if answer is None:
            return automatic and asks_nobody(gate)
        return answer.state in GATE_OPEN

    def _may_lead(self, stage: Stage) -> bool:
        """Whether the stage need not wait for the fencing of its wave."""
        fences = [s for s in self._stages if (s.wave, s.phase) == (stage.wave, "Fence")]
        return self._unplanned or all(self._over(s) for s in fences)

    def _over(self, stage: Stage) -> bool:
        """Whether the stage is through, or has nothing to close."""
        if stage.phase in self._closes and not _touched(stage.wave, self._tasks):
            return True
        return all(self._passed(t) for t in stage.tasks)

    def _passed(self, task: DRTask) -> bool:
        """What a Planned run fenced and people undid holds it: nothing is recovered beside it."""
        if not self._unplanned and fencing.undone(task):
            return False
        return task.status.state in PASSED or task.metadata.name in self._tolerated

    def _stuck(self, stage: Stage) -> tuple[DRTask, ...]:
        failed = tuple(t for t in stage.tasks if t.status.state == "Failed")
        return failed or tuple(t for t in stage.tasks if not self._passed(t))

    def runnable(self, candidates: Sequence[DRTask]) -> tuple[DRTask, ...]:
        """Those that have begun and not ended, or whose dependencies are through."""
        passed = {t.metadata.name for t in self._tasks if self._passed(t)}
        return tuple(
            t
            for t in candidates
            if t.status.state not in ENDED
            and (t.status.state in LIVE or all(d in passed for d in t.spec.depends_on))
        )


def _all(beside: Mapping[Place, tuple[DRTask, ...]]) -> tuple[DRTask, ...]:
    return tuple(t for tasks in beside.values() for t in tasks)


def ends_run(operation: str, gate: GateStatus) -> bool:
    """Whether a gate that was not passed says that the run fails.

    A gate before a closing phase never does: what a drill launched would stay for ever.
    """
    choices = {"Rejected": gate.on_reject, "TimedOut": gate.on_timeout}
    return choices.get(gate.state) == "Fail" and not closes(operation, gate.before)


def closes(operation: str, phase: str) -> bool:
    """Whether the phase is one that follows the last wave of the operation."""
    return phase in CLOSING.get(operation, ())


def serves_before(operation: str, phase: str) -> bool:
    """Whether a wave of the operation is complete without the phase."""
    return closes(operation, phase) or phase in TRAILING.get(operation, ())


def unfinished(operation: str, status: DRExecutionStatus, tasks: Sequence[DRTask]) -> list[DRTask]:
    """Tasks that are neither through nor left out, though the run had something to do for them."""
    fine = tolerated(status.waves, tasks)
    return [
        t
        for t in tasks
        if t.status.state not in PASSED
        and t.metadata.name not in fine
        and not (
            t.spec.recovery_phase in CLOSING.get(operation, ()) and not _touched(t.spec.wave, tasks)
        )
    ]


def asks_nobody(gate: FrozenGate) -> bool:
    """Whether automatic approval answers the gate: not whether data may be lost."""
    return gate.data_loss == "None"


def unanswered_ahead(task: DRTask) -> bool:
    """Whether something was asked for before the task's turn, and no answer is recorded."""
    return task.status.state == "NotStarted" and any(map(unanswered, task.status.journal))


def to_be_followed(task: DRTask) -> bool:
    """Whether AWS may be at work on what an attempt asked for that is to be made again.

    A clean-up is not only followed, it is done.
    """
    if task.status.state != "Retry" or closes(task.spec.operation, task.spec.recovery_phase):
        return False
    return any(i.outcome == "Sent" or unanswered(i) for i in task.status.journal)


def _touched(wave: str, tasks: Sequence[DRTask]) -> bool:
    """Whether the run ever asked AWS for something in the wave, or is cleaning it up."""
    return any(
        bool(t.status.journal)
        or (closes(t.spec.operation, t.spec.recovery_phase) and t.status.state in LIVE)
        for t in tasks
        if t.spec.wave == wave
    )

"""What happened to an execution between two sights of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from leeward.api.execution import TERMINAL, Counts, DRExecution
from leeward.api.gate_record import GateStatus
from leeward.planning.durations import parse
from leeward.planning.times import parse_time


@dataclass(frozen=True, slots=True)
class Started:
    """It began."""


@dataclass(frozen=True, slots=True)
class GateAsked:
    """A gate was asked."""


@dataclass(frozen=True, slots=True)
class GateEnded:
    """A gate stopped waiting."""

    outcome: str
    """Approved, Automatic, Rejected or TimedOut."""
    waited: timedelta


@dataclass(frozen=True, slots=True)
class Ended:
    """It has its verdict."""

    state: str
    lasted: timedelta | None
    """None: it never began."""
    waited: timedelta
    """For people, in all."""
    resources: dict[str, int]
    """By result: Complete, Failed, Skipped, Open."""
    waves: tuple[str, ...]
    """States of its waves."""


Happening = Started | GateAsked | GateEnded | Ended


def happened(before: DRExecution, after: DRExecution) -> Iterator[Happening]:
    """What the second sight shows that the first did not, in the order of a run.

    Of a dry run nothing: it does nothing.
    """
    if after.spec.dry_run != "None":
        return
    if after.status.start_time and not before.status.start_time:
        yield Started()
    known = {(gate.name, gate.id): gate for gate in before.status.gates}
    for gate in after.status.gates:
        yield from _of_gate(known.get((gate.name, gate.id)), gate, after)
    if _over(after) and not _over(before):
        yield _ended(after)


def _over(run: DRExecution) -> bool:
    return run.status.state in TERMINAL


def _of_gate(before: GateStatus | None, gate: GateStatus, run: DRExecution) -> Iterator[Happening]:
    if before is None:
        yield GateAsked()
    if gate.state != "Waiting" and (before is None or before.state == "Waiting"):
        yield GateEnded(gate.state, _waited(gate, run))


def _waited(gate: GateStatus, run: DRExecution) -> timedelta:
    """How long the gate waited: until its last answer, its deadline, or the run's end."""
    asked = parse_time(gate.asked_at)
    if gate.state == "Automatic":
        return timedelta()
    if gate.state == "TimedOut":
        until = parse_time(gate.deadline)
    elif gate.answers:
        until = parse_time(gate.answers[-1].time)
    else:
        until = parse_time(run.status.completion_time or gate.deadline)
    return max(until - asked, timedelta())


def _ended(run: DRExecution) -> Ended:
    status = run.status
    began, done = status.start_time, status.completion_time
    waited = status.objectives.waited if status.objectives else "0s"
    return Ended(
        state=status.state or "Failed",
        lasted=parse_time(done) - parse_time(began) if began and done else None,
        waited=parse(waited),
        resources=_by_result(status.resources),
        waves=tuple(wave.state for wave in status.waves),
    )


def _by_result(counts: Counts) -> dict[str, int]:
    settled = counts.complete + counts.failed + counts.skipped
    return {
        "Complete": counts.complete,
        "Failed": counts.failed,
        "Skipped": counts.skipped,
        "Open": max(counts.total - settled, 0),
    }

"""Gates that were asked on fencing which people have undone since."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from leeward.api.execution import DRExecutionStatus
from leeward.api.gate_record import GateStatus
from leeward.api.task import DRTask
from leeward.planning.runs import fencing
from leeward.planning.runs.waves import PHASES
from leeward.planning.times import parse_time

_NOT_BEGUN: Final = frozenset({"NotStarted", "Skipped", "Abandoned"})


def stale(operation: str, status: DRExecutionStatus, tasks: Sequence[DRTask]) -> list[GateStatus]:
    """Gates whose findings say that what writes no more is fenced, though it was started again.

    Those of its wave that were asked before the undo, also ones that are passed, as long as
    nothing behind them has begun. They are to be asked anew when the run gets there.
    """
    phases = PHASES.get(operation, ())
    return [
        gate
        for gate in status.gates
        if gate.before in phases
        and gate.before != fencing.FENCE
        and _undone_since(gate, tasks)
        and not _begun_behind(gate, tasks, phases)
    ]


def _undone_since(gate: GateStatus, tasks: Sequence[DRTask]) -> bool:
    """Whether fencing of the gate's wave was undone, or is to be, by a command after its asking."""
    return any(
        t.spec.wave == gate.wave
        and t.spec.recovery_phase == fencing.FENCE
        and (fencing.undone(t) or any(r.request == "Undo" for r in t.status.resources))
        and t.status.start_time is not None
        and parse_time(t.status.start_time) > parse_time(gate.asked_at)
        for t in tasks
    )


def _begun_behind(gate: GateStatus, tasks: Sequence[DRTask], phases: Sequence[str]) -> bool:
    behind = phases[phases.index(gate.before) :]
    return any(
        t.spec.wave == gate.wave
        and t.spec.recovery_phase in behind
        and t.status.state not in _NOT_BEGUN
        for t in tasks
    )

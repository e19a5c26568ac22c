"""Which live run of a plan makes way for another one, and why."""

from __future__ import annotations

from collections.abc import Sequence

from leeward.api.execution import DRExecution
from leeward.api.task import DRTask
from leeward.planning.runs.fencing import unplanned

_ASKING = frozenset({"WaitingForApproval", "WaitingForDecision", "Paused"})
"""States in which a run begins nothing before a person's answer is in its record."""


_BEGUN = frozenset({"InProgress", "Retry", "Complete", "Failed"})
"""States of a task that has asked AWS for something, or may have."""


def yields(other: DRExecution, execution: DRExecution) -> bool:
    """Whether a live run makes way for this one, on whatever plan it is.

    A drill does for everything that is none, and replication that takes hours does for an outage
    on the side that serves.
    """
    if other.spec.operation == "Reprotect":
        return execution.spec.operation in {"Failback", "Failover"} and unplanned(execution)
    return other.spec.operation == "Test" and execution.spec.operation != "Test"


def releases(other: DRExecution, execution: DRExecution, tasks: Sequence[DRTask]) -> str:
    """Why the live run `other`, whose tasks those are, leaves its plan to this one; empty: it keeps
    it.

    On the day of an outage no run may hold the plan that has nothing to lose: one that waits for
    people and has touched nothing, or a Failback that only replicates since everything is home.
    Nothing that has begun to move the estate is ever given up for another run, and of two runs
    for the same outage the first one keeps the plan.
    """
    if yields(other, execution):
        drill = other.spec.operation == "Test"
        return "a drill does not stand in its way" if drill else "replication can wait"
    if execution.spec.operation != "Failover" or not unplanned(execution):
        return ""
    if other.spec.operation == "Failover" and unplanned(other):
        return ""
    if _untouched(other, tasks):
        return "it had touched nothing"
    return "only replication was left of it" if _all_home(other) else ""


def _untouched(run: DRExecution, tasks: Sequence[DRTask]) -> bool:
    """Its tasks are asked too: what an answer allowed begins before the run's record says so."""
    status = run.status
    begun = status.mutated or any(wave.start_time for wave in status.waves)
    begun = begun or any(t.status.journal or t.status.state in _BEGUN for t in tasks)
    return not begun and status.state in _ASKING


def _all_home(run: DRExecution) -> bool:
    waves = run.status.waves
    through = bool(waves) and all(wave.state in {"Complete", "Skipped"} for wave in waves)
    return run.spec.operation == "Failback" and through

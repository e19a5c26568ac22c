"""Whether something of a task was begun, and whether it stands."""

from __future__ import annotations

from collections.abc import Container, Iterable

from leeward.api.task import DRTask
from leeward.planning.runs.parallelism import LIVE
from leeward.planning.tasks.manual import TECHNOLOGY as MANUAL


def begun(task: DRTask) -> bool:
    """Whether it was begun in whatever attempt; one that was left out before has not."""
    status = task.status
    return bool(status.start_time or status.journal) or status.state not in {
        "NotStarted",
        "Skipped",
    }


def untouched(task: DRTask) -> bool:
    """Whether nothing of it was ever asked of AWS, not even ahead of its turn."""
    return task.status.state == "NotStarted" and not task.status.journal


def stands(task: DRTask) -> bool:
    """Whether the task has done something, or may have, that was not undone since."""
    status = task.status
    if status.state in LIVE or status.state == "Complete":
        return True
    if any(r.state == "Complete" for r in status.resources):
        return True
    return status.state in {"Failed", "Abandoned"} and bool(status.journal)


def activated(wave: str, tasks: Iterable[DRTask], working: Container[str] = ()) -> list[str]:
    """Names of the tasks that put something of the wave to work on the other side.

    What people do follows what Leeward does, and Leeward cannot undo it: it counts where nothing
    else belongs to the phase. `working` are uids of tasks over which a pass goes on, which may
    not have said yet that it began.
    """
    mine = [t for t in tasks if (t.spec.wave, t.spec.recovery_phase) == (wave, "Activate")]
    own = [t for t in mine if t.spec.technology != MANUAL] or mine
    return [t.metadata.name for t in own if stands(t) or t.metadata.uid in working]

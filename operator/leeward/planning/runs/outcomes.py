"""What a run that goes on says of itself: at work, or held by what failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from leeward.api.execution import DRExecution
from leeward.api.task import DRTask
from leeward.planning.runs.record import Outcome
from leeward.planning.runs.waves import Stage

_MOST = 1000
"""Characters of a message, so that the remedy stays within it."""


def at_work(stage: Stage, busy: Sequence[DRTask], *, holding: bool) -> Outcome:
    """A run whose tasks `busy` are under way; `holding`: it is paused."""
    # Fence may go on beside what comes after it, and tasks of one account often say the same.
    phase = busy[0].spec.recovery_phase if busy else stage.phase
    words = [*dict.fromkeys(t.status.message or "not begun" for t in busy)]
    message = f"wave {stage.wave}, {phase}: {'; '.join(words[:2]) or 'done'}"
    if busy and all(t.status.state == "PendingApproval" for t in busy):
        return Outcome("WaitingForDecision", "ManualTask", message, stage.wave, stage.phase)
    state: Literal["Paused", "Running"] = "Paused" if holding else "Running"
    return Outcome(state, state, message, stage.wave, stage.phase)


def stuck(run: DRExecution, stage: Stage, failed: Sequence[DRTask]) -> Outcome:
    """Failed tasks hold the run: a person decides."""
    namespace, first = run.metadata.namespace, failed[0].metadata.name
    named = "; ".join(f"{t.metadata.name}: {t.status.message}" for t in failed[:3])
    more = f" and {len(failed) - 3} more" if len(failed) > 3 else ""
    how = (
        f'kubectl annotate drt {first} -n {namespace} leeward.dev/retry="YOU" (or skip), '
        f'or kubectl annotate drx {run.metadata.name} -n {namespace} leeward.dev/cancel="YOU"'
    )
    if stage.phase == "Fence":
        how += ', or, if the side that is left is lost, leeward.dev/unplanned="YOU"'
    message = f"{named[: _MOST - len(how)]}{more}. Decide: {how}"
    return Outcome("WaitingForDecision", "TasksFailed", message, stage.wave, stage.phase)

"""What a run that goes on says of itself: at work, or held by what failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from leeward.api.common import PREFIX
from leeward.api.execution import DRExecution
from leeward.api.task import DRTask
from leeward.planning.runs.record import Outcome, said_by
from leeward.planning.runs.waves import Stage
from leeward.planning.wording import clip, some

_MOST = 1000
"""Characters of a message, so that the remedy stays within it."""


def at_work(run: DRExecution, stage: Stage, busy: Sequence[DRTask], *, holding: bool) -> Outcome:
    """A run whose tasks `busy` are under way; `holding`: it is paused."""
    # Fence may go on beside what comes after it, and tasks of one account often say the same.
    phase = busy[0].spec.recovery_phase if busy else stage.phase
    begun = [t for t in busy if t.status.state != "NotStarted"]
    words = [*dict.fromkeys(t.status.message or "not begun" for t in begun or busy)]
    more = f" | and {len(words) - 2} more" if len(words) > 2 else ""
    message = f"wave {stage.wave}, {phase}: {' | '.join(words[:2]) or 'done'}{more}"
    if busy and all(t.status.state == "PendingApproval" for t in busy):
        return Outcome("WaitingForDecision", "ManualTask", message, stage.wave, stage.phase)
    if holding:
        message = clip(f"{_paused(run)}. {message}", _MOST)
    state: Literal["Paused", "Running"] = "Paused" if holding else "Running"
    return Outcome(state, state, message, stage.wave, stage.phase)


def _paused(run: DRExecution) -> str:
    """Who paused the run, and how it goes on."""
    pauses = [c for c in run.status.commands if c.key == f"{PREFIX}pause"]
    who = f" by {said_by(pauses[-1])}" if pauses else ""
    name, namespace = run.metadata.name, run.metadata.namespace
    return f'paused{who}; go on: kubectl annotate drx {name} -n {namespace} {PREFIX}resume="YOU"'


def stuck(run: DRExecution, stage: Stage, failed: Sequence[DRTask]) -> Outcome:
    """Failed tasks hold the run: a person decides."""
    namespace, first = run.metadata.namespace, failed[0].metadata.name
    others = [t.metadata.name for t in failed[1:]]
    more = f". {len(others)} more failed: {some(others, 2)}" if others else ""
    how = (
        f'kubectl annotate drt {first} -n {namespace} leeward.dev/retry="YOU" (or skip), '
        f'or kubectl annotate drx {run.metadata.name} -n {namespace} leeward.dev/cancel="YOU"'
    )
    if stage.phase == "Fence":
        how += ', or, if the side that is left is lost, leeward.dev/unplanned="YOU"'
    if run.status.paused:
        how += f'. The run is paused: nothing is sent before {PREFIX}resume="YOU"'
    rest = f"{more}. Decide: {how}"
    message = clip(f"{first}: {failed[0].status.message}", _MOST - len(rest)) + rest
    return Outcome("WaitingForDecision", "TasksFailed", message, stage.wave, stage.phase)

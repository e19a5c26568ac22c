"""What may be done for a task before its turn: one batch of what is harmless, once.

Whatever does not work out ahead is left to the task's turn, which judges it as if nothing had been
tried.
"""

from __future__ import annotations

from datetime import timedelta

from leeward.api.task import DRTaskStatus
from leeward.planning.tasks import step_sent
from leeward.planning.tasks.step_types import FINAL_STATES, Batch, StepDecision, StepInput
from leeward_adapters.base import State


def decide_ahead(given: StepInput) -> StepDecision:
    """The next thing to do for a task whose turn has not come. Its resources stay as they are."""
    status = given.status
    known, words = tuple(status.resources), status.message or ""
    if given.stopping:
        return _stopped(given)
    batch = None if given.holding or given.barred or status.journal else _harmless(given)
    if batch is None:
        return StepDecision(known, "NotStarted", words, delay=given.rules.poll)
    words = f"not begun; {batch.action} ahead of its turn for {len(batch.resources)}"
    return StepDecision(known, "NotStarted", words, batch)


def _harmless(given: StepInput) -> Batch | None:
    over = {r.id for r in given.status.resources if r.state in FINAL_STATES}
    for action, traits in given.actions.items():
        wanted = tuple(
            r.id
            for r in given.spec.resources
            if r.id not in over
            and (seen := given.observed.targets.get(r.id)) is not None
            and (seen.state, seen.action) == (State.NEEDED, action)
        )
        if traits.ahead and wanted:
            return Batch(action, wanted[: traits.batch])
    return None


def _stopped(given: StepInput) -> StepDecision:
    """The run was cancelled: what was asked for and not answered may still arrive."""
    known, journal = tuple(given.status.resources), given.status.journal
    rest = step_sent.may_arrive(given)
    if rest > timedelta(0):
        words = f"cancelled; {journal[-1].action} was asked for, its answer is not known"
        return StepDecision(known, "NotStarted", words, delay=min(rest, given.rules.poll))
    return StepDecision(known, "Abandoned", "not begun: the run was cancelled")


def attempt(status: DRTaskStatus) -> int:
    """Number of the attempt with which a task begins: what was refused ahead does not count."""
    refused = any(i.outcome == "Refused" and i.attempt == status.attempt for i in status.journal)
    ahead = status.state == "NotStarted" and refused
    return status.attempt + 1 if ahead else status.attempt

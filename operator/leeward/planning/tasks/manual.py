"""Manual tasks: a person does something, and says so. AWS is not asked."""

from __future__ import annotations

from leeward.api.task import DRTask, TaskResourceStatus
from leeward.planning.tasks import step_requests as requests
from leeward.planning.tasks.step import (
    FINAL_STATES,
    StepDecision,
    StepInput,
    ended,
    out_of_time,
    timed_out,
)
from leeward.planning.wording import clip

TECHNOLOGY = "manual"


def decide_manual(task: DRTask, given: StepInput) -> StepDecision:
    """The next thing to do for a manual task that has begun. `given.observed` is not read.

    It waits as PendingApproval, saying what is to be done and with which command it ends.
    """
    known = {r.id: r for r in given.status.resources}
    after = tuple(_resource(given, r.id, known.get(r.id)) for r in given.spec.resources)
    if all(r.state in FINAL_STATES for r in after):
        return StepDecision(after, *ended(after))
    if given.stopping:
        return StepDecision(after, "Abandoned", "the run was cancelled")
    return StepDecision(after, "PendingApproval", _instructions(task), delay=given.rules.poll)


def _resource(given: StepInput, rid: str, was: TaskResourceStatus | None) -> TaskResourceStatus:
    if was is not None and was.state in FINAL_STATES:
        return was
    if was is not None and was.request == "MarkDone":
        return requests.asserted(was, "")
    waits = TaskResourceStatus(id=rid, state="InProgress", message="waits for a person")
    return timed_out(given, waits) if out_of_time(given) else waits


def _instructions(task: DRTask) -> str:
    metadata = task.metadata
    how = (
        f"Then: kubectl annotate drt {metadata.name} -n {metadata.namespace} "
        'leeward.dev/mark-done="YOU" (or skip, to go on without it)'
    )
    what = task.spec.manual.instructions if task.spec.manual else "the plan does not say what to do"
    return f"{clip(what.rstrip(), 1023 - len(how))} {how}"

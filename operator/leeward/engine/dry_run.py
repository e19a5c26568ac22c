"""The end of a dry run: what a run would do stands in its status, and nothing was done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from leeward.api.account import TargetAccount
from leeward.api.common import PREFIX
from leeward.api.conditions import Reason
from leeward.api.execution import DRExecution
from leeward.api.inventory import RecoveryInventory
from leeward.api.marks import unsupported
from leeward.api.plan import RecoveryPlan
from leeward.api.preview import Preview
from leeward.engine.context import Context
from leeward.engine.events import Level
from leeward.engine.leading import leading
from leeward.engine.objects import Held, put_status
from leeward.planning.outlook.preview import preview
from leeward.planning.outlook.preview_size import fitted
from leeward.planning.problem import Problem
from leeward.planning.runs.explicit import RecordedSizes
from leeward.planning.runs.holding import Holding
from leeward.planning.runs.record import Outcome, compose
from leeward.planning.wording import clip, counted
from leeward_adapters import registry


async def end_dry_run(
    context: Context,
    run: Held[DRExecution],
    plan: RecoveryPlan,
    accounts: Mapping[str, TargetAccount],
    inventories: Sequence[RecoveryInventory],
    live_elsewhere: Mapping[Holding, str],
    previous: DRExecution | None,
    sizes: RecordedSizes,
) -> Held[DRExecution]:
    """The run with its preview and its verdict. The plan is not taken, no task written.

    `live_elsewhere` gives the other live run that holds a resource; `previous` is the
    run that this one would continue; `sizes` are those of groups that Failovers emptied.
    """
    execution, now = run.model, context.now()
    try:
        whole, verdict = preview(
            execution, plan, accounts, inventories,
            now=now, live_elsewhere=live_elsewhere, previous=previous,
            permissions=lambda technology: registry.adapter(technology).permissions,
            leading=leading(execution), sizes=sizes,
        )  # fmt: skip
        outcome = _outcome(execution, whole, verdict.refusals)
    except registry.AdapterError as error:
        whole, outcome = Preview(refusals=[clip(f"NoAdapter: {error}", 1024)]), _no_adapter(error)
    status = execution.status.model_copy(
        update={
            "requested_by": execution.metadata.annotations.get(f"{PREFIX}requested-by"),
            "plan_generation": plan.metadata.generation,
            "preview": fitted(whole),
            "findings": [clip(f, 1024) for f in whole.findings[:30]],
            "unsupported": unsupported(execution),
        }
    )
    composed = compose(execution.model_copy(update={"status": status}), [], outcome, now)
    run = await put_status(context.kube, run, composed)
    level: Level = "Warning" if whole.refusals else "Normal"
    last = composed.events[-1]
    await context.recorder.emit(run.raw, last.reason, last.message, level, last.time)
    return run


def _no_adapter(error: registry.AdapterError) -> Outcome:
    message = f"dry run: {error}; repair the operator's installation"
    return Outcome("Failed", "NoAdapter", clip(message, 1024))


def _outcome(execution: DRExecution, whole: Preview, refusals: Sequence[Problem]) -> Outcome:
    what = f"{execution.spec.operation} of plan {execution.spec.plan_ref.name}"
    if refusals:
        first = refusals[0].reason
        why = "; ".join(problem.message for problem in refusals)
        message = f"dry run: {what} would be refused: {why}"
        return Outcome("Expired" if first == "Expired" else "Failed", first, clip(message, 1024))
    waves = len({stage.wave for stage in whole.stages})
    return Outcome(
        "Succeeded",
        Reason.DRY_RUN,
        f"dry run: {what} would work on {counted(whole.resources, 'resource')} in "
        f"{counted(waves, 'wave')} by {counted(whole.tasks, 'task')}, and ask "
        f"{counted(len(whole.gates), 'gate')}; about {whole.duration} without waiting for people. "
        "Nothing was changed; status.preview has it all",
    )

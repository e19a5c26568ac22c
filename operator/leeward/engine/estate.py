"""What a plan refers to, as it is now: its TargetAccounts and what discovery found."""

from __future__ import annotations

from leeward.api.account import TargetAccount
from leeward.api.execution import DRExecution
from leeward.api.inventory import RecoveryInventory
from leeward.api.plan import RecoveryPlan
from leeward.api.task import DRTask
from leeward.engine.kube import Kube
from leeward.engine.objects import PLAN_LABEL, Held, label_value, read_all
from leeward.planning.runs.explicit import RecordedSizes, recorded_sizes, run_accounts


async def accounts_of(kube: Kube, plan: RecoveryPlan) -> dict[str, TargetAccount]:
    """By name: the TargetAccounts that a run of the plan would use, those that exist."""
    wanted = set(run_accounts(plan.spec))
    held = await read_all(kube, TargetAccount, None)
    return {h.model.metadata.name: h.model for h in held if h.model.metadata.name in wanted}


async def sizes_of(kube: Kube, plan: RecoveryPlan, execution: DRExecution) -> RecordedSizes:
    """For a Failback: sizes of Auto Scaling groups before the plan's Failovers emptied them."""
    if execution.spec.operation != "Failback":
        return {}
    selector = f"{PLAN_LABEL}={label_value(plan.metadata.name)}"
    held = await read_all(kube, DRTask, plan.metadata.namespace, selector)
    return recorded_sizes([h.model for h in held if h.model.spec.plan == plan.metadata.name])


async def inventories_of(kube: Kube, plan: RecoveryPlan) -> list[Held[RecoveryInventory]]:
    """All parts of the plan's inventory."""
    selector = f"{PLAN_LABEL}={label_value(plan.metadata.name)}"
    return await read_all(kube, RecoveryInventory, plan.metadata.namespace, selector)

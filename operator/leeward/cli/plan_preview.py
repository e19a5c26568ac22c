"""`kubectl leeward plan preview`: what a run would do, from what the API server has."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import yaml

from leeward.api.account import TargetAccount
from leeward.api.execution import DRExecution
from leeward.api.inventory import RecoveryInventory
from leeward.api.plan import RecoveryPlan
from leeward.api.preview import Preview
from leeward.api.task import DRTask
from leeward.cli import preview_view
from leeward.cli.failures import Failure, Refused
from leeward.cli.kinds import ACCOUNT, INVENTORY, PLAN, TASK
from leeward.engine.leading import leading
from leeward.planning.outlook.preview import preview
from leeward.planning.runs.explicit import RecordedSizes, recorded_sizes, run_accounts
from leeward.planning.runs.holding import Holding, holdings
from leeward_adapters import registry

if TYPE_CHECKING:
    from leeward.cli.connect import Api


def look(api: Api, name: str, operation: str, mode: str) -> Preview:
    """The preview of a run of the plan, made here. Nothing is created, AWS is not asked.

    Live runs of other namespaces are not seen; the run itself would be refused for their sake.

    Raises:
        Failure: there is no such plan, or something may not be read.

    """
    plan = RecoveryPlan.model_validate(api.get(PLAN.path(api.namespace, name)))
    execution = DRExecution.model_validate(
        {
            "metadata": {"name": f"{name}-preview", "namespace": api.namespace},
            "spec": {"planRef": {"name": name}, "operation": operation, "mode": mode},
        }
    )
    found, _ = api.list(INVENTORY.path(api.namespace))
    inventories = [RecoveryInventory.model_validate(part) for part in found]
    try:
        shown, _ = preview(
            execution, plan, _accounts(api, plan), inventories,
            now=datetime.now(UTC), live_elsewhere=_live_elsewhere(api, plan),
            permissions=lambda technology: registry.adapter(technology).permissions,
            leading=leading(execution), sizes=_sizes(api, plan),
        )  # fmt: skip
    except registry.AdapterError as error:
        raise Failure(f"{error}; install here what the operator has") from error
    return shown


def _accounts(api: Api, plan: RecoveryPlan) -> dict[str, TargetAccount]:
    """Those TargetAccounts of the plan that exist.

    Raises:
        Failure: the caller may not read them. They belong to the cluster, not to the tenant.

    """
    found = {}
    for name in run_accounts(plan.spec):
        try:
            found[name] = TargetAccount.model_validate(api.get(ACCOUNT.path("", name)))
        except Refused as refused:
            if refused.status == 403:
                raise Failure(
                    f"{refused}; a dry run shows the same without that right: create a DRExecution "
                    f"of plan {plan.metadata.name} with dryRun: Plan, then kubectl leeward get drx "
                    "shows it"
                ) from refused
            if refused.status != 404:
                raise
    return found


def _sizes(api: Api, plan: RecoveryPlan) -> RecordedSizes:
    """Sizes of Auto Scaling groups before the plan's Failovers emptied them."""
    found, _ = api.list(TASK.path(api.namespace))
    tasks = [DRTask.model_validate(task) for task in found]
    return recorded_sizes([task for task in tasks if task.spec.plan == plan.metadata.name])


def _live_elsewhere(api: Api, plan: RecoveryPlan) -> dict[Holding, str]:
    """The live run of another plan in this namespace that holds the resource."""
    found, _ = api.list(TASK.path(api.namespace), {"labelSelector": "leeward.dev/live=true"})
    tasks = [DRTask.model_validate(task) for task in found]
    return {
        held: f"{api.namespace}/{task.spec.execution_ref.name}"
        for task in tasks
        if task.spec.plan != plan.metadata.name
        for held in holdings(task.spec)
    }


def drawn(shown: Preview, plan: str, operation: str, mode: str, width: int, *, color: bool) -> str:
    """The preview for people."""
    return preview_view.text(shown.to_api(), plan, operation, mode, width, color=color)


def written(shown: Preview, output: str) -> str:
    """The preview as `json` or `yaml`, without a final newline."""
    if output == "json":
        return json.dumps(shown.to_api(), indent=2, ensure_ascii=False)
    return yaml.safe_dump(shown.to_api(), sort_keys=False, allow_unicode=True).rstrip("\n")

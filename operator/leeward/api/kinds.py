"""The kinds of the group, by name."""

from __future__ import annotations

from typing import TypeAlias

from leeward.api.account import TargetAccount
from leeward.api.execution import DRExecution
from leeward.api.inventory import RecoveryInventory
from leeward.api.plan import RecoveryPlan
from leeward.api.schedule import DRSchedule
from leeward.api.task import DRTask

Kind: TypeAlias = (
    RecoveryPlan | DRExecution | DRTask | RecoveryInventory | TargetAccount | DRSchedule
)
"""An object of any of our kinds."""

KINDS: dict[str, type[Kind]] = {
    kind.KIND: kind
    for kind in (RecoveryPlan, DRExecution, DRTask, RecoveryInventory, TargetAccount, DRSchedule)
}
"""The models, by the `kind` of their objects."""

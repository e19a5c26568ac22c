"""What a plan's status says of each account: what was found there, when, and by whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from leeward.api.account import TargetAccount
from leeward.api.inventory import RecoveryInventory
from leeward.api.plan import RecoveryPlan
from leeward.api.plan_record import AccountStatus
from leeward.planning.times import parse_time

_MOST_TECHNOLOGIES: Final = 60


def accounts(
    plan: RecoveryPlan,
    known: Mapping[str, TargetAccount],
    inventories: Sequence[RecoveryInventory],
) -> list[AccountStatus]:
    """The plan's accounts in its order; `known` are the TargetAccounts that exist."""
    result = []
    for ref in plan.spec.accounts:
        parts = [i for i in inventories if i.spec.account == ref.name]
        heard = [i.status.discovered_at for i in parts if i.status.discovered_at]
        silent = [i.status.problem or "no answer" for i in parts if not i.status.current]
        target = known.get(ref.name)
        account_id = target.spec.account_id if target else ""
        result.append(
            AccountStatus(
                name=ref.name,
                account_id=account_id or next((i.spec.account_id for i in parts), ""),
                resources=sum(len(i.status.resources) for i in parts),
                technologies=sorted(
                    {
                        r.technology
                        for i in parts
                        for r in i.status.resources
                        if r.verdict == "Selected"
                    }
                )[:_MOST_TECHNOLOGIES],
                discovered_at=min(heard, key=parse_time, default=None),
                problem=silent[0] if silent else None,
                provider=next((i.status.provider for i in parts), None),
                provider_reason=next((i.status.provider_reason for i in parts), None),
                missing=sum(bool(r.missing_since) for i in parts for r in i.status.resources),
            )
        )
    return result

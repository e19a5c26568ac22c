"""Which run takes a plan that another live run holds, and what becomes of that one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from surroundings import NAMESPACE, execution, plan, surroundings

from leeward.api.execution import DRExecution
from leeward.api.plan import RecoveryPlan
from leeward.engine.claims import Claims
from leeward.engine.objects import read

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("kinds")]
Connect = Any  # conftest.Connect


@pytest.mark.parametrize(
    ("operation", "status", "taken"),
    [
        ("Failback", {"state": "WaitingForApproval"}, True),
        ("Failover", {"state": "WaitingForApproval", "mutated": True}, False),
    ],
    ids=["waits and touched nothing", "moves the estate"],
)
def test_an_outage_cancels_what_has_nothing_to_lose_and_nothing_else(
    connect: Connect, name: str, operation: str, status: dict[str, Any], taken: bool
) -> None:
    async def take() -> None:
        async with connect() as kube:
            planned = {"operation": operation, "mode": "Planned"}
            holder = await execution(kube, f"{name}-0", planned, status)
            held = await plan(kube, name, holder)
            unplanned = {"operation": "Failover", "mode": "Unplanned"}
            outage = (await execution(kube, f"{name}-1", unplanned)).model
            busy = await Claims(surroundings(kube)).take(held, outage)
            assert bool(busy) is not taken
            after = (await read(kube, DRExecution, NAMESPACE, f"{name}-0")).model.status
            assert after.cancelling is taken
            assert [c.comment for c in after.commands] == (
                [f"execution {name}-1 starts; it had touched nothing"] if taken else []
            )
            active = (await read(kube, RecoveryPlan, NAMESPACE, name)).model.status.active_execution
            assert active is not None
            assert active.name == f"{name}-{int(taken)}"

    asyncio.run(take())

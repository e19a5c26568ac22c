"""Which run takes a plan that another live run holds, and what becomes of that one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from surroundings import NAMESPACE, execution, live_task, plan, surroundings

from leeward.api.execution import DRExecution
from leeward.api.plan import RecoveryPlan
from leeward.api.task import DRTaskSpec, ExecutionRef
from leeward.engine.claims import Claims
from leeward.engine.objects import read

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("served")]
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


SERVER = "arn:aws:drs:us-east-2:111111111111:source-server/s-00000000000000001"
OTHERS = "222222222222"


def spec_of(holder: ExecutionRef, technology: str, **fields: Any) -> DRTaskSpec:
    body = {
        "executionRef": holder.to_api(), "plan": "orders", "operation": "Test",
        "mode": "Planned", "wave": "data", "waveOrdinal": 1, "recoveryPhase": "Activate",
        "technology": technology, "account": "prod", "accountId": "111111111111",
        "region": "us-east-2", "sourceRegion": "us-east-1", "resources": [],
    }  # fmt: skip
    return DRTaskSpec.model_validate(body | fields)


PERSON = ("manual", [{"id": "call", "arn": ""}])
ZONE = ("route53", [{"id": "one.example.com. A", "arn": "arn:aws:route53:::hostedzone/Z1"}])
DOCUMENT = ("automation", [{"id": "run", "arn": "arn:aws:ssm:us-east-2:333333333333:document/D"}])
DRILLED = ("drs", [{"id": "s-1", "arn": SERVER}])


@pytest.mark.parametrize(
    ("drill", "mine", "cleared"),
    [
        ((*PERSON, {}), PERSON, False),
        ((*ZONE, {}), ZONE, False),
        ((*DOCUMENT, {}), DOCUMENT, False),
        ((*DRILLED, {"accountId": OTHERS}), DRILLED, False),
        ((*DRILLED, {}), DRILLED, True),
        ((*DRILLED, {"operation": "Failover"}), DRILLED, False),
    ],
    ids=["a person's", "a zone", "a document", "another account's", "its servers", "no drill"],
)
def test_only_drills_that_hold_its_servers_are_cancelled(
    connect: Connect, name: str, drill: Any, mine: Any, cleared: bool
) -> None:
    async def clear() -> None:
        async with connect() as kube:
            asked = {"operation": drill[2].get("operation", "Test")}
            holder = (await execution(kube, f"{name}-drill", asked)).model.metadata
            ref = ExecutionRef(name=holder.name, uid=holder.uid)
            technology, resources, fields = drill
            theirs = spec_of(ref, technology, **{"resources": resources} | fields)
            task = await live_task(kube, f"{name}-task", theirs)
            run = (await execution(kube, name, {"operation": "Failover"})).model
            technology, resources = mine
            wanted = spec_of(ref, technology, operation="Failover", resources=resources)
            claims = Claims(surroundings(kube))
            elsewhere = await claims.held_elsewhere(run, (await plan(kube, name, None)).model)
            assert elsewhere == (
                {("111111111111", SERVER): f"{NAMESPACE}/{holder.name}"}
                if fields.get("operation") == "Failover" and drill[0] == "drs"
                else {}
            )
            assert await claims.clear_drills(run, [wanted]) is cleared
            after = (await read(kube, DRExecution, NAMESPACE, holder.name)).model.status
            assert after.cancelling is cleared
            await kube.delete(task.path, uid=task.model.metadata.uid)

    asyncio.run(clear())

"""Which run takes a plan that another live run holds, and what becomes of that one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from leeward.api.execution import DRExecution
from leeward.api.plan import RecoveryPlan
from leeward.engine.claims import Claims
from leeward.engine.context import Context
from leeward.engine.events import Recorder
from leeward.engine.kube import Kube, path_of
from leeward.engine.objects import Held, read
from leeward_sandbox.cluster import Cluster

pytestmark = pytest.mark.cluster
CRDS = Path(__file__).parents[2] / "crds"
NAMESPACE = "default"
Connect = Any  # conftest.Connect


@pytest.fixture(scope="module", autouse=True)
def _kinds(cluster: Cluster) -> None:
    cluster.apply(CRDS)


def claims(kube: Kube) -> Claims:
    now = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
    surroundings = SimpleNamespace(
        kube=kube,
        lease=SimpleNamespace(assert_valid=lambda: None),
        recorder=Recorder(kube, "test"),
        now=lambda: now,
    )
    return Claims(cast(Context, surroundings))


async def run(kube: Kube, name: str, operation: str, mode: str, **status: Any) -> Held[DRExecution]:
    body: dict[str, Any] = {
        "apiVersion": "leeward.dev/v1alpha1",
        "kind": "DRExecution",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"planRef": {"name": "orders"}, "operation": operation, "mode": mode},
    }
    made = await kube.create(path_of("drexecutions", NAMESPACE), body)
    if status:
        made["status"] = status
        await kube.replace(f"{path_of('drexecutions', NAMESPACE, name)}/status", made)
    return await read(kube, DRExecution, NAMESPACE, name)


async def held_plan(kube: Kube, name: str, holder: Held[DRExecution]) -> Held[RecoveryPlan]:
    body: dict[str, Any] = {
        "apiVersion": "leeward.dev/v1alpha1",
        "kind": "RecoveryPlan",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "customer": "acme",
            "environment": "production",
            "regions": {"primary": "us-east-1", "recovery": "us-east-2"},
            "accounts": [{"name": "prod"}],
            "waves": [{"name": "data"}],
        },
    }
    made = await kube.create(path_of("recoveryplans", NAMESPACE), body)
    metadata = holder.model.metadata
    made["status"] = {"activeExecution": {"name": metadata.name, "uid": metadata.uid}}
    await kube.replace(f"{path_of('recoveryplans', NAMESPACE, name)}/status", made)
    return await read(kube, RecoveryPlan, NAMESPACE, name)


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
            holder = await run(kube, f"{name}-0", operation, "Planned", **status)
            plan = await held_plan(kube, name, holder)
            outage = (await run(kube, f"{name}-1", "Failover", "Unplanned")).model
            busy = await claims(kube).take(plan, outage)
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

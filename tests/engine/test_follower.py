"""The next execution of a chain is created once, whatever comes between creating and recording."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from leeward.api.execution import DRExecution
from leeward.engine.context import Context
from leeward.engine.events import Recorder
from leeward.engine.follower import Follower
from leeward.engine.kube import ApiError, Kube, path_of
from leeward.engine.objects import Held, patch_metadata, read
from leeward_sandbox.cluster import Cluster

pytestmark = pytest.mark.cluster
CRDS = Path(__file__).parents[2] / "crds"
NAMESPACE = "default"
Connect = Any  # conftest.Connect


@pytest.fixture(scope="module", autouse=True)
def _kinds(cluster: Cluster) -> None:
    cluster.apply(CRDS)


def follower(kube: Kube) -> Follower:
    """One with a leader's Lease."""
    leading = SimpleNamespace(assert_valid=lambda: None)
    now = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
    surroundings = SimpleNamespace(
        kube=kube, lease=leading, recorder=Recorder(kube, "test"), now=lambda: now
    )
    return Follower(cast(Context, surroundings))


async def ended(kube: Kube, name: str) -> Held[DRExecution]:
    """A Failover that has succeeded and wants a Reprotect after it."""
    body: dict[str, Any] = {
        "apiVersion": "leeward.dev/v1alpha1",
        "kind": "DRExecution",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "planRef": {"name": "orders"},
            "operation": "Failover",
            "then": [{"operation": "Reprotect"}],
        },
    }
    made = await kube.create(path_of("drexecutions", NAMESPACE), body)
    condition = {
        "type": "Succeeded",
        "status": "True",
        "reason": "Succeeded",
        "lastTransitionTime": "2026-03-01T02:00:00Z",
    }
    made["status"] = {
        "state": "Succeeded",
        "conditions": [condition],
        "requestedBy": "ann@example.com",
        "completionTime": "2026-03-01T02:00:00Z",
    }
    await kube.replace(f"{path_of('drexecutions', NAMESPACE, name)}/status", made)
    return await read(kube, DRExecution, NAMESPACE, name)


def test_what_was_created_before_a_crash_is_found_again(connect: Connect, name: str) -> None:
    async def crash_and_go_on() -> None:
        async with connect() as kube:
            stale = await ended(kube, name)
            await patch_metadata(kube, stale, {"annotations": {"note": "moved on"}})
            with pytest.raises(ApiError, match="409"):
                await follower(kube).follow(stale)  # created, and not recorded
            made = await read(kube, DRExecution, NAMESPACE, f"{name}-reprotect")
            run = await follower(kube).follow(await read(kube, DRExecution, NAMESPACE, name))
            recorded = run.model.status.next
            assert recorded is not None
            assert (recorded.uid, recorded.message) == (made.model.metadata.uid, "")
            assert made.model.metadata.annotations["leeward.dev/requested-by"] == "ann@example.com"
            again = await follower(kube).follow(run)
            assert again.version == run.version

    asyncio.run(crash_and_go_on())


def test_another_execution_of_the_name_is_not_taken_for_the_next(
    connect: Connect, name: str
) -> None:
    async def meet_another() -> None:
        async with connect() as kube:
            run = await ended(kube, name)
            await ended(kube, f"{name}-reprotect")
            after = await follower(kube).follow(run)
            recorded = after.model.status.next
            assert recorded is not None
            assert recorded.uid == ""
            assert "another execution named" in recorded.message

    asyncio.run(meet_another())

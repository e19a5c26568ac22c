"""The next execution of a chain is created once, whatever comes between creating and recording."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from surroundings import NAMESPACE, execution, surroundings

from leeward.api.execution import DRExecution
from leeward.engine.follower import Follower
from leeward.engine.kube import ApiError, Kube
from leeward.engine.objects import Held, patch_metadata, read

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("kinds")]
Connect = Any  # conftest.Connect


def follower(kube: Kube) -> Follower:
    return Follower(surroundings(kube))


async def ended(kube: Kube, name: str) -> Held[DRExecution]:
    """A Failover that has succeeded and wants a Reprotect after it."""
    at = "2026-03-01T02:00:00Z"
    condition = {
        "type": "Succeeded", "status": "True", "reason": "Succeeded", "lastTransitionTime": at
    }  # fmt: skip
    return await execution(
        kube, name, {"operation": "Failover", "then": [{"operation": "Reprotect"}]},
        {
            "state": "Succeeded", "conditions": [condition],
            "requestedBy": "ann@example.com", "completionTime": at,
        },
    )  # fmt: skip


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

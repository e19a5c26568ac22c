"""What becomes of a run that may not begin."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from surroundings import NAMESPACE, execution, surroundings

from leeward.api.execution import DRExecution
from leeward.engine.begin import Beginner
from leeward.engine.objects import read
from leeward.planning.outlook.run_checks import SETTLING
from leeward.planning.problem import Problem

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("served")]
WHY = Problem("AccountNotReady", "TargetAccount prod (111111111111) is not usable")


@pytest.mark.parametrize(
    ("settles", "over", "state", "reason"),
    [
        (False, False, "Failed", "AccountNotReady"),
        (True, False, "Preflight", SETTLING),
        (True, True, "WaitingForDecision", SETTLING),
    ],
    ids=["by itself", "while the run before it ends", "in the place of one that ended"],
)
def test_a_run_that_has_cancelled_another_waits_in_its_place_and_is_not_refused(
    connect: Any, name: str, settles: bool, over: bool, state: str, reason: str
) -> None:
    async def play() -> None:
        async with connect() as kube:
            ended = {"completionTime": "2026-03-01T01:59:00.000000Z"} if over else {}
            before = (await execution(kube, f"{name}-0", {"operation": "Failover"}, ended)).model
            spec = {"operation": "Failover", "continueFrom": {"name": f"{name}-0"}}
            run = await execution(kube, f"{name}-1", spec)
            beginner = Beginner(surroundings(kube))
            if settles:
                run = await beginner._wait(run, SETTLING, "waiting for the run before it")
            await beginner._refused(run, [WHY], before)
            status = (await read(kube, DRExecution, NAMESPACE, f"{name}-1")).model.status
            assert status.state == state
            assert WHY.message in (status.message or "")
            verdict = {c.type: (c.status, c.reason) for c in status.conditions}
            assert verdict["Succeeded"] == ("Unknown" if settles else "False", reason)
            if settles:
                annotate = f"kubectl annotate drx {name}-1 -n {NAMESPACE}"
                assert f'{annotate} leeward.dev/cancel="YOU"' in (status.message or "")

    asyncio.run(play())

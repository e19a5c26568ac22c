"""Passes over tasks that may outlast the pass over their run."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from leeward.api.task import DRTask
from leeward.engine.objects import Held, hold
from leeward.engine.passes import Result, TaskPasses


def task(name: str) -> Held[DRTask]:
    spec = {
        "executionRef": {"name": "shop-1", "uid": "u-1"},
        "plan": "shop",
        "operation": "Failover",
        "mode": "Planned",
        "wave": "w1",
        "waveOrdinal": 1,
        "recoveryPhase": "Fence",
        "technology": "ec2",
        "account": "prod",
        "accountId": "111111111111",
        "region": "us-east-1",
        "sourceRegion": "us-east-1",
    }
    return hold(DRTask, {"metadata": {"name": name, "uid": name}, "spec": spec})


class Account:
    """An account whose passes end when the test lets them."""

    def __init__(self, name: str, error: Exception | None = None) -> None:
        self.name, self.error = name, error
        self.answers = asyncio.Event()
        self.begun = 0

    async def go(self) -> Result:
        self.begun += 1
        await self.answers.wait()
        if self.error is not None:
            raise self.error
        return task(self.name), timedelta(seconds=5)


def names(found: Any) -> list[str]:
    return [held.model.metadata.name for held in found]


def test_an_account_that_hangs_holds_up_no_other() -> None:
    async def run() -> None:
        passes, quick, slow = TaskPasses(0.01), Account("quick"), Account("slow")
        quick.answers.set()
        came = await passes.advance({"quick": quick.go, "slow": slow.go})
        assert (names(t for t, _ in came.results), came.pending) == (["quick"], 1)
        again = await passes.advance({"quick": quick.go, "slow": slow.go})
        assert names(t for t, _ in again.results) == ["quick"]
        assert (quick.begun, slow.begun) == (2, 1), "one pass over a task at a time"
        slow.answers.set()
        await passes.settle(60)
        late = await passes.advance({"slow": slow.go})
        assert (names(late.late), late.results, late.pending) == (["slow"], [], 0)

    asyncio.run(run())


def test_an_error_is_raised_when_the_others_have_ended_and_then_forgotten() -> None:
    async def run() -> None:
        passes = TaskPasses(60)
        broken, other = Account("broken", ValueError("conflict")), Account("other")
        broken.answers.set()
        other.answers.set()
        with pytest.raises(ValueError, match="conflict"):
            await passes.advance({"broken": broken.go, "other": other.go})
        broken.error = None
        came = await passes.advance({"broken": broken.go})
        assert names(t for t, _ in came.results) == ["broken"]

    asyncio.run(run())


def test_a_run_with_nothing_to_do_waits_for_nothing() -> None:
    async def run() -> None:
        came = await TaskPasses(60).advance({})
        assert (came.results, came.late, came.pending) == ([], [], 0)

    asyncio.run(run())


def test_a_pass_whose_task_has_ended_meanwhile_is_taken_all_the_same() -> None:
    async def run() -> None:
        passes, slow = TaskPasses(0.01), Account("slow")
        assert (await passes.advance({"slow": slow.go})).pending == 1
        assert (await passes.advance({}, ["slow", "never begun"])).pending == 1
        assert passes.working == {"slow"}
        slow.answers.set()
        came = await passes.advance({}, ["slow"])
        assert passes.working == frozenset()
        assert (names(came.late), came.pending, slow.begun) == (["slow"], 0, 1)

    asyncio.run(run())


def test_what_is_done_ahead_of_its_turn_holds_up_nothing_that_is_in_its_turn() -> None:
    async def run() -> None:
        passes, turn, ahead = TaskPasses(60), Account("turn"), Account("ahead")
        assert passes.begin({"ahead": ahead.go}) == {"ahead"}
        assert passes.begin({"ahead": ahead.go}) == set(), "one pass over a task at a time"
        turn.answers.set()
        came = await passes.advance({"turn": turn.go}, ["turn", "ahead"])
        assert (names(t for t, _ in came.results), came.pending) == (["turn"], 0)
        ahead.answers.set()
        await passes.settle(60)
        came = await passes.advance({"turn": turn.go}, ["turn", "ahead"])
        assert (names(came.late), ahead.begun, passes.closing) == (["ahead"], 1, True)

    asyncio.run(run())

"""What waits its turn in an account and Region."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from leeward.api.task import DRTask
from leeward.engine.account_book import AccountBook
from leeward.engine.pool import Pool
from leeward.engine.tasks import TaskRunner
from leeward.engine.turn import Turn
from leeward.planning.tasks.step import StepDecision, StepRules
from leeward_adapters.base import ActionTraits, Observed, Phase, Seen, State, Step

NOW = datetime(2026, 11, 26, 8, tzinfo=UTC)
ACTIONS = {
    "prepare": ActionTraits(repeatable=True),
    "restore": ActionTraits(repeatable=True, restores=True),
    "launch": ActionTraits(repeatable=False),
}
PLACE = ("111111111111", "us-east-2")


def task(operation: str) -> DRTask:
    spec = {
        "executionRef": {"name": "shop-1", "uid": "u-1"}, "plan": "shop", "operation": operation,
        "mode": "Planned", "wave": "data", "waveOrdinal": 1, "recoveryPhase": "Instantiate",
        "technology": "drs", "account": "prod", "accountId": PLACE[0], "region": PLACE[1],
        "sourceRegion": "us-east-1", "resources": [{"id": "s-1", "arn": "arn:aws:drs:::s-1"}],
    }  # fmt: skip
    return DRTask.model_validate({"spec": spec, "status": {"state": "InProgress", "attempt": 1}})


ROLE = f"arn:aws:iam::{PLACE[0]}:role/leeward"
ACCOUNT = {
    "metadata": {"name": "prod", "uid": "u-2"},
    "spec": {
        "accountId": PLACE[0], "readRoleArn": ROLE, "recoveryRoleArn": ROLE,
        "allow": {"namespaces": ["n"]},
    },
}  # fmt: skip


class Runner(TaskRunner):
    """Says of what it would send whether others could act there meanwhile."""

    def __init__(self, pool: Pool) -> None:
        rules = StepRules(settle=timedelta(seconds=1), poll=timedelta(seconds=1))
        book = AccountBook("leeward-system")
        book.saw(ACCOUNT)
        context: Any = SimpleNamespace(
            pool=pool,
            book=book,
            aws=SimpleNamespace(now=lambda: 0.0),
            lease=SimpleNamespace(epoch=1, since=NOW),
            now=lambda: NOW,
            step_rules=lambda: rules,
        )
        super().__init__(context)
        self.pool = pool
        self.alone: list[bool] = []

    async def _observe(self, turn: Turn) -> Observed:
        return await turn.adapter.observe(None, None)  # type: ignore[misc]

    async def _carried_out(self, turn: Any, observed: Observed, decision: StepDecision) -> Any:
        assert decision.batch is not None
        self.alone.append(self.pool.queue(*PLACE).locked())
        return turn.task, timedelta(0)


@pytest.mark.parametrize(
    ("operation", "action", "alone"),
    [
        ("Failover", "launch", True),
        ("Test", "launch", True),
        ("Failover", "prepare", False),
        # What a drill changes for a while, real launches use as well.
        ("Test", "prepare", True),
        ("Test", "restore", True),
    ],
)
def test_what_others_count_on_changes_while_none_of_them_acts(
    operation: str, action: str, alone: bool
) -> None:
    seen = Observed({"s-1": Seen(State.NEEDED, action=action)})

    async def look(*_: Any) -> Observed:
        return seen

    async def go() -> list[bool]:
        pool = Pool(1)
        runner = Runner(pool)
        step = Step("u", Phase.INSTANTIATE, operation, NOW, "us-east-1", ())
        held: Any = SimpleNamespace(model=task(operation), behind=None)
        model = {"status": SimpleNamespace(commands=[]), "metadata": SimpleNamespace(namespace="n")}
        run: Any = SimpleNamespace(model=SimpleNamespace(**model))
        adapter: Any = SimpleNamespace(observe=look)
        nothing: Any = None
        turn = Turn(run, held, adapter, ACTIONS, nothing, replace(step), False, False)
        await runner._pass(turn, asyncio.ensure_future(look()))
        pool.close()
        return runner.alone

    assert asyncio.run(go()) == [alone]

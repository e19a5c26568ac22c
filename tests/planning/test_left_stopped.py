"""What runs stopped and left so, though nothing serves in its place."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from leeward.api.execution import DRExecution
from leeward.api.task import DRTask
from leeward.planning.runs import left_stopped
from leeward_adapters.base import Seen, State

NOW = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)


def fence(wave: str = "data", run: str = "shop-1", **fields: Any) -> DRTask:
    """A task that stopped `i-1` and not `i-2`."""
    spec = {
        "executionRef": {"name": run, "uid": "u-1"}, "plan": "shop", "operation": "Failover",
        "mode": "Planned", "wave": wave, "waveOrdinal": 1, "recoveryPhase": "Fence",
        "technology": "ec2", "account": "prod", "accountId": "111111111111",
        "region": "us-east-1", "sourceRegion": "us-east-1",
        "resources": [{"id": "i-1", "arn": "i-1"}, {"id": "i-2", "arn": "i-2"}], **fields,
    }  # fmt: skip
    resources = [{"id": "i-1", "state": "Complete"}, {"id": "i-2", "state": "Failed"}]
    status = {
        "state": "Failed", "resources": resources, "completionTime": "2026-03-01T01:30:00Z"
    }  # fmt: skip
    return DRTask.model_validate(
        {"metadata": {"name": f"{run}-{wave}-fence"}, "spec": spec, "status": status}
    )


def run(operation: str = "Failover", part: bool = False, **waves: tuple[str, int, int]) -> Any:
    """An execution that has ended; of each wave its state, what is complete, and how many."""
    body: dict[str, Any] = {
        "spec": {"planRef": {"name": "shop"}, "operation": operation},
        "status": {
            "waves": [
                {"name": n, "ordinal": o, "state": s, "resources": {"total": total, "complete": c}}
                for o, (n, (s, c, total)) in enumerate(waves.items(), 1)
            ]
        },
    }
    if part:
        body["spec"]["resources"] = {"include": ["s-1"]}
    return DRExecution.model_validate(body)


CANCELLED = run(data=("Abandoned", 0, 2))


def test_a_run_that_ended_after_fencing_leaves_what_it_stopped_to_the_plan() -> None:
    (left,) = left_stopped.after_run([], CANCELLED, [fence()], NOW)
    assert (left.task, left.execution, left.wave) == ("shop-1-data-fence", "shop-1", "data")
    assert (left.account_id, left.region, left.count) == ("111111111111", "us-east-1", 1)
    assert (left.examples, left.since) == (["i-1"], "2026-03-01T01:30:00Z")


@pytest.mark.parametrize(
    ("ended", "tasks", "left"),
    [
        (run(data=("Complete", 2, 2)), [fence()], []),
        (run(data=("Complete", 0, 2)), [fence()], ["shop-1"]),
        (run(data=("Complete", 0, 0)), [fence()], []),
        (run(data=("Failed", 1, 2)), [fence()], ["shop-1"]),
        (run(data=("NotStarted", 0, 2)), [], []),
        (run("Test", data=("Abandoned", 0, 2)), [fence()], []),
        (CANCELLED, [fence(technology="manual")], []),
        (CANCELLED, [fence(technology="automation")], []),
        (CANCELLED, [fence(recoveryPhase="Activate")], []),
    ],
)
def test_what_serves_instead_or_was_not_stopped_is_not_left(
    ended: DRExecution, tasks: list[DRTask], left: list[str]
) -> None:
    assert [s.execution for s in left_stopped.after_run([], ended, tasks, NOW)] == left


@pytest.mark.parametrize(
    ("ended", "tasks", "kept"),
    [
        (run(data=("Complete", 2, 2)), [], []),
        (run(data=("Complete", 2, 2)), [fence(run="shop-2")], []),
        (run("Failback", data=("Complete", 2, 2)), [], []),
        (run("Reprotect", data=("Complete", 2, 2)), [], ["shop-1"]),
        (run("Test", data=("Complete", 2, 2)), [], ["shop-1"]),
        (run(part=True, data=("Complete", 1, 1)), [], ["shop-1"]),
        (run(data=("NotStarted", 0, 2)), [], ["shop-1"]),
        (run(app=("Complete", 2, 2)), [], ["shop-1"]),
        (CANCELLED, [fence(run="shop-2")], ["shop-2"]),
        (run(app=("Abandoned", 0, 2)), [fence("app", "shop-2")], ["shop-1", "shop-2"]),
    ],
)
def test_it_stays_on_the_plan_until_a_run_moved_the_wave(
    ended: DRExecution, tasks: list[DRTask], kept: list[str]
) -> None:
    before = left_stopped.after_run([], CANCELLED, [fence()], NOW)
    after = left_stopped.after_run(before, ended, tasks, NOW)
    assert [s.execution for s in after] == kept


@pytest.mark.parametrize(
    ("states", "left"),
    [
        ({"i-1": State.DONE, "i-2": State.DONE}, ["i-1", "i-2"]),
        ({"i-1": State.NEEDED, "i-2": State.DONE}, ["i-2"]),
        ({"i-1": State.NEEDED, "i-2": State.RUNNING}, []),
    ],
)
def test_what_runs_again_is_left_stopped_no_more(states: dict[str, State], left: list[str]) -> None:
    (source,) = left_stopped.after_run([], CANCELLED, [fence()], NOW)
    after = left_stopped.looked_at(source, {i: Seen(s) for i, s in states.items()})
    assert (after.examples if after else []) == left
    assert after is None or after.count == len(left)

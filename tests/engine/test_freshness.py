"""How new an answer of AWS must be for a look at a task."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from leeward.api.task import DRTask, TaskResourceStatus
from leeward.engine.objects import Held, hold
from leeward.engine.tasks import TaskRunner

NOW, POLL = 5000.0, 15.0


def task(state: str = "InProgress", *outcomes: str) -> Held[DRTask]:
    spec = {
        "executionRef": {"name": "shop-1", "uid": "u-1"},
        "plan": "shop",
        "operation": "Failover",
        "mode": "Planned",
        "wave": "w1",
        "waveOrdinal": 1,
        "recoveryPhase": "Instantiate",
        "technology": "drs",
        "account": "prod",
        "accountId": "111111111111",
        "region": "us-east-2",
        "sourceRegion": "us-east-1",
    }
    journal = [
        {
            "id": f"call-{number}",
            "action": "launch",
            "resources": ["s-1"],
            "epoch": 1,
            "time": "2026-01-01T12:00:00Z",
            "outcome": outcome,
        }
        for number, outcome in enumerate(outcomes)
    ]
    metadata = {"name": "t", "uid": "t"}
    status = {"state": state, "journal": journal}
    return hold(DRTask, {"metadata": metadata, "spec": spec, "status": status})


@pytest.fixture
def runner() -> TaskRunner:
    context: Any = SimpleNamespace(
        aws=SimpleNamespace(now=lambda: NOW), settings=SimpleNamespace(poll_interval=POLL)
    )
    return TaskRunner(context)


def test_the_first_look_of_a_process_is_as_of_now(runner: TaskRunner) -> None:
    assert runner._since(task().model) == NOW


@pytest.mark.parametrize(
    ("delay", "oldest"),
    [
        pytest.param(15.0, NOW - 12, id="the usual interval"),
        pytest.param(6.0, NOW - 4.8, id="near the end"),
        pytest.param(30.0, NOW - 24, id="far from the end"),
        pytest.param(0.0, NOW - 12, id="after a batch"),
    ],
)
def test_later_looks_may_use_what_others_were_told_within_the_interval(
    runner: TaskRunner, delay: float, oldest: float
) -> None:
    runner._note(task(), timedelta(seconds=delay))

    assert runner._since(task("InProgress", "Sent", "Refused", "Absent").model) == oldest


@pytest.mark.parametrize("outcome", ["Pending", "InDoubt"])
def test_what_may_have_been_done_unseen_is_looked_for_as_of_now(
    runner: TaskRunner, outcome: str
) -> None:
    runner._note(task(), timedelta(seconds=15))

    assert runner._since(task("InProgress", "Sent", outcome).model) == NOW


def test_what_a_person_asks_for_is_decided_by_a_look_as_of_now(runner: TaskRunner) -> None:
    runner._note(task(), timedelta(seconds=15))
    asked = task().model
    asked.status.resources.append(
        TaskResourceStatus(id="s-1", state="InProgress", request="MarkDone")
    )

    assert runner._since(asked) == NOW


def test_a_task_that_begins_again_is_looked_at_as_of_now(runner: TaskRunner) -> None:
    runner._note(task(), timedelta(seconds=15))
    runner._note(task("Failed"), timedelta(0))

    assert runner._since(task().model) == NOW

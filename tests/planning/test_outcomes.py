"""What a run at work says of itself."""

from __future__ import annotations

from typing import Any

from leeward.api.task import DRTask
from leeward.planning.runs.outcomes import at_work
from leeward.planning.runs.waves import Stage

STAGE = Stage("data", 1, "Activate", ())


def task(phase: str, message: str) -> DRTask:
    spec: dict[str, Any] = {
        "executionRef": {"name": "shop-1", "uid": "u-1"}, "plan": "shop", "operation": "Failover",
        "mode": "Unplanned", "wave": "data", "waveOrdinal": 1, "recoveryPhase": phase,
        "technology": "ec2", "account": "prod", "accountId": "111111111111",
        "region": "us-east-1", "sourceRegion": "us-east-1",
    }  # fmt: skip
    status = {"state": "InProgress", "message": message}
    return DRTask.model_validate({"metadata": {"name": "t"}, "spec": spec, "status": status})


def test_the_phase_is_that_of_the_tasks_at_work() -> None:
    fencing = [task("Fence", "1 of 2 fenced")]
    assert at_work(STAGE, fencing, holding=False).message == "wave data, Fence: 1 of 2 fenced"
    assert at_work(STAGE, [], holding=False).message == "wave data, Activate: done"


def test_what_many_tasks_say_is_said_once() -> None:
    silent = [task("Fence", "cannot look at account 111111111111")] * 3
    busy = [*silent, task("Activate", "0 of 2 started")]
    assert at_work(STAGE, busy, holding=False).message == (
        "wave data, Fence: cannot look at account 111111111111; 0 of 2 started"
    )

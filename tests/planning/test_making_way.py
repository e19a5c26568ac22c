"""Which live run leaves its plan to another one."""

from __future__ import annotations

from typing import Any

import pytest
from tests.planning.conftest import Build

from leeward.api.execution import DRExecution
from leeward.api.task import DRTask
from leeward.planning.runs.making_way import releases, yields

ASKED = "WaitingForApproval"


def live(build: Build, operation: str, *waves: str, **status: Any) -> DRExecution:
    """A live run with waves in these states; `mode` is its own, the rest its status."""
    mode = status.pop("mode", "Planned")
    execution = build.execution(name="shop-0", operation=operation, mode=mode)
    began = None if status.pop("untouched", False) else "2026-03-01T01:00:00Z"
    progress = [
        {"name": f"w{n}", "ordinal": n, "state": state, "startTime": began}
        for n, state in enumerate(waves, start=1)
    ]
    known = {"state": "Running", **status, "waves": progress}
    return DRExecution.model_validate({**execution.to_api(), "status": known})


def untouched(build: Build, operation: str, state: str = ASKED, **fields: Any) -> DRExecution:
    """One that has begun nothing."""
    return live(build, operation, "NotStarted", state=state, untouched=True, **fields)


@pytest.mark.parametrize(
    ("operation", "mode", "expected"),
    [
        ("Failover", "Unplanned", "it had touched nothing"),
        ("Failover", "Planned", ""),
        ("Failback", "Unplanned", ""),
        ("Reprotect", "Unplanned", ""),
        ("Test", "Planned", ""),
    ],
)
@pytest.mark.parametrize("held_by", ["Failback", "Cleanup", "Failover"])
def test_what_waits_and_has_touched_nothing_makes_way_for_an_outage_alone(
    build: Build, operation: str, mode: str, expected: str, held_by: str
) -> None:
    execution = build.execution(operation=operation, mode=mode)
    assert releases(untouched(build, held_by), execution, []) == expected


@pytest.mark.parametrize("state", ["WaitingForApproval", "WaitingForDecision", "Paused"])
def test_it_makes_way_wherever_it_waits_for_people(build: Build, state: str) -> None:
    outage = build.execution(mode="Unplanned")
    assert releases(untouched(build, "Failback", state), outage, [])


@pytest.mark.parametrize(
    "held_by",
    [
        ("Failover", ["InProgress"], {"mutated": True}),
        ("Failover", ["Complete", "NotStarted"], {"mutated": True, "state": ASKED}),
        ("Failover", ["Complete"], {"mutated": True}),
        ("Failover", ["InProgress"], {"state": ASKED}),
        ("Failover", ["NotStarted"], {"mutated": True, "state": ASKED, "untouched": True}),
        ("Failover", ["NotStarted"], {"state": "Running", "untouched": True}),
        ("Failover", ["NotStarted"], {"mode": "Unplanned", "state": ASKED, "untouched": True}),
        ("Failover", ["NotStarted"], {"unplanned": True, "state": ASKED, "untouched": True}),
        ("Failback", ["Complete", "InProgress"], {"mutated": True}),
        ("Failback", ["Complete", "Failed"], {"mutated": True, "state": "WaitingForDecision"}),
        ("Failback", [], {"mutated": True}),
        ("Cleanup", ["Complete"], {"mutated": True}),
    ],
    ids=[
        "a failover", "one at its second gate", "one that ends now", "one with a task under way",
        "one that changed something", "one that may begin at this moment", "one for the outage",
        "one that became one for the outage", "a failback", "one that is half-way",
        "one without waves", "a clean-up",
    ],
)  # fmt: skip
def test_what_moves_the_estate_is_never_given_up_for_another_run(
    build: Build, held_by: tuple[str, list[str], dict[str, Any]]
) -> None:
    operation, waves, status = held_by
    other = live(build, operation, *waves, **status)
    assert releases(other, build.execution(mode="Unplanned"), []) == ""


def test_a_failback_that_only_replicates_makes_way_for_an_outage(build: Build) -> None:
    home = live(build, "Failback", "Complete", "Skipped", mutated=True)
    assert (
        releases(home, build.execution(mode="Unplanned"), []) == "only replication was left of it"
    )
    assert releases(home, build.execution(mode="Planned"), []) == ""
    assert releases(home, build.execution(operation="Reprotect"), []) == ""


@pytest.mark.parametrize(
    ("held_by", "operation", "mode", "expected"),
    [
        ("Test", "Failover", "Planned", True),
        ("Test", "Cleanup", "Planned", True),
        ("Test", "Test", "Planned", False),
        ("Reprotect", "Failover", "Unplanned", True),
        ("Reprotect", "Failback", "Unplanned", True),
        ("Reprotect", "Failback", "Planned", False),
        ("Reprotect", "Cleanup", "Unplanned", False),
    ],
)
def test_drills_and_replication_make_way_at_any_time(
    build: Build, held_by: str, operation: str, mode: str, expected: bool
) -> None:
    other = live(build, held_by, "InProgress", mutated=True)
    execution = build.execution(operation=operation, mode=mode)
    assert yields(other, execution) is expected
    assert bool(releases(other, execution, [])) is expected


def test_servers_of_another_plan_s_run_are_not_taken_over_since_that_is_not_cancelled(
    build: Build,
) -> None:
    assert not yields(untouched(build, "Failback"), build.execution(mode="Unplanned"))


@pytest.mark.parametrize(
    ("status", "free"),
    [
        ({"state": "NotStarted"}, True),
        ({"state": "Skipped"}, True),
        ({"state": "InProgress"}, False),
        ({"state": "NotStarted", "journal": [{
            "id": "1", "action": "fence", "resources": ["a"], "epoch": 1,
            "time": "2026-03-01T02:00:00Z",
        }]}, False),
    ],
)  # fmt: skip
def test_what_has_begun_makes_no_way_though_its_record_does_not_say_so_yet(
    build: Build, status: dict[str, Any], free: bool
) -> None:
    spec = {
        "executionRef": {"name": "shop-0", "uid": "u-0"}, "plan": "shop", "operation": "Failover",
        "mode": "Planned", "wave": "w1", "waveOrdinal": 1, "recoveryPhase": "Fence",
        "technology": "ec2", "account": "prod", "accountId": "111111111111",
        "region": "us-east-1", "sourceRegion": "us-east-1",
    }  # fmt: skip
    task = DRTask.model_validate({"metadata": {"name": "t"}, "spec": spec, "status": status})
    other, outage = untouched(build, "Failover"), build.execution(mode="Unplanned")
    assert bool(releases(other, outage, [task])) is free

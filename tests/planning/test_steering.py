from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leeward.api.execution import CommandRecord
from leeward.api.task import DRTask, DRTaskStatus
from leeward.planning.commands import Command
from leeward.planning.steering import left_out, paused_for, steer
from leeward.planning.times import render_time

NOW = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)


def status(state: str = "Failed", **states: str) -> DRTaskStatus:
    body: dict[str, Any] = {
        "state": state,
        "startTime": "2026-03-01T01:00:00Z",
        "resources": [
            {"id": i, "state": s, "reason": "NoRoom" if s == "Failed" else "", "message": "said"}
            for i, s in states.items()
        ],
    }
    return DRTaskStatus.model_validate(body)


def command(verb: str, *ids: str) -> Command:
    return Command(f"leeward.dev/{verb}", "ann", verb, "", "ann", "", ids)


def states(after: DRTaskStatus) -> dict[str, str]:
    return {r.id: r.state for r in after.resources}


@pytest.mark.parametrize("verb", ["retry", "skip"])
@pytest.mark.parametrize(
    "state", ["NotStarted", "InProgress", "Complete", "Skipped", "Retry", "Abandoned"]
)
def test_a_task_that_has_not_failed_is_not_steered(state: str, verb: str) -> None:
    before = status(state, a="InProgress")
    after, said = steer(before, command(verb))
    assert after == before
    assert state in said


@pytest.mark.parametrize("ids", [("b",), ("nowhere",), ("",)])
@pytest.mark.parametrize("verb", ["retry", "skip"])
def test_a_command_for_resources_that_have_not_failed_changes_nothing(
    verb: str, ids: tuple[str, ...]
) -> None:
    before = status(a="Failed", b="Complete")
    assert steer(before, command(verb, *ids))[0] == before


def test_a_retry_begins_a_new_attempt_of_the_failed_resources_alone() -> None:
    after, _ = steer(status(a="Failed", b="Complete", c="Skipped"), command("retry"))
    assert states(after) == {"a": "NotStarted", "b": "Complete", "c": "Skipped"}
    assert (after.state, after.attempt, after.start_time) == ("Retry", 2, None)


def test_a_retry_of_one_resource_leaves_the_others_failed() -> None:
    after, _ = steer(status(a="Failed", b="Failed"), command("retry", "b"))
    assert states(after) == {"a": "Failed", "b": "NotStarted"}


def test_a_command_taken_twice_has_its_effect_once() -> None:
    for verb in ("retry", "skip"):
        once, _ = steer(status(a="Failed"), command(verb))
        assert steer(once, command(verb))[0] == once


@pytest.mark.parametrize(
    ("states_before", "ids", "state"),
    [
        ({"a": "Failed", "b": "Complete"}, (), "Complete"),
        ({"a": "Failed", "b": "Failed"}, (), "Skipped"),
        ({"a": "Failed", "b": "Failed", "c": "Complete"}, ("a",), "Failed"),
        ({"a": "Failed", "b": "Skipped"}, ("a",), "Skipped"),
    ],
)
def test_what_a_skip_makes_of_a_task(
    states_before: dict[str, str], ids: tuple[str, ...], state: str
) -> None:
    after, _ = steer(status(**states_before), command("skip", *ids))
    assert after.state == state


def test_a_skipped_resource_keeps_why_it_failed_and_names_who_left_it_out() -> None:
    after, _ = steer(status(a="Failed"), command("skip"))
    (resource,) = after.resources
    assert resource.reason == "NoRoom"
    assert "left out by ann" in resource.message
    assert "said" in resource.message


def record(verb: str, minutes: float) -> CommandRecord:
    at = render_time(NOW + timedelta(minutes=minutes))
    return CommandRecord(key=f"leeward.dev/{verb}", user="ann", time=at)


@pytest.mark.parametrize(
    ("records", "minutes"),
    [
        ([], 0),
        ([record("pause", -30), record("resume", -20)], 10),
        ([record("pause", -30), record("pause", -25), record("resume", -20)], 10),
        ([record("pause", -90), record("resume", -50)], 10),
        ([record("pause", -90), record("resume", -80)], 0),
        ([record("pause", -30), record("resume", -20), record("pause", -5)], 15),
        ([record("resume", -30), record("approve-x", -20)], 0),
    ],
)
def test_only_pauses_since_the_task_began_count(
    records: list[CommandRecord], minutes: float
) -> None:
    assert paused_for(records, NOW - timedelta(hours=1), NOW) == timedelta(minutes=minutes)


def task(phase: str, after: DRTaskStatus | None = None, **fields: Any) -> DRTask:
    spec = {
        "executionRef": {"name": "shop-1", "uid": "u-1"},
        "plan": "shop",
        "operation": "Failover",
        "mode": "Unplanned",
        "wave": "data",
        "waveOrdinal": 1,
        "recoveryPhase": phase,
        "technology": "drs",
        "account": "prod",
        "accountId": "111111111111",
        "region": "us-east-2",
        "sourceRegion": "us-east-1",
        "resources": [{"id": "a", "arn": "arn:a"}, {"id": "b", "arn": "arn:b"}],
        **fields,
    }
    body = DRTask.model_validate({"metadata": {"name": phase.lower()}, "spec": spec})
    return body.model_copy(update={"status": after or DRTaskStatus()})


SKIPPED = status("Complete", a="Skipped", b="Complete")


def test_what_was_left_out_of_one_phase_is_left_out_of_the_next() -> None:
    before, next_ = task("Instantiate", SKIPPED), task("Activate")
    (resource,) = left_out(next_, [before, next_])
    assert (resource.id, resource.state) == ("a", "Skipped")
    assert "Instantiate" in resource.message


@pytest.mark.parametrize(
    "other",
    [
        {"wave": "web"},
        {"technology": "rds"},
        {"accountId": "222222222222"},
        {"resources": [{"id": "b", "arn": "arn:b"}]},
        {"recoveryPhase": "Instantiate"},
        {"operation": "Test", "recoveryPhase": "Cleanup"},
    ],
)
def test_what_was_left_out_elsewhere_is_not_left_out_here(other: dict[str, Any]) -> None:
    before, after = task("Instantiate", SKIPPED), task("Activate", **other)
    assert left_out(after, [before, after]) == []

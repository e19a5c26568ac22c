"""Manual tasks: they wait for a person, and end by their word."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leeward.api.task import DRTask
from leeward.planning.runs.commands import Command
from leeward.planning.runs.steering import Ground, steer
from leeward.planning.tasks.manual import decide_manual
from leeward.planning.tasks.step import StepDecision, StepInput, StepRules
from leeward.planning.times import render_time
from leeward_adapters.base import Observed

NOW = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
RULES = StepRules(settle=timedelta(minutes=2), poll=timedelta(seconds=15))


def manual(state: str = "InProgress", instructions: str = "Call the bank.") -> DRTask:
    spec = {
        "executionRef": {"name": "shop-1", "uid": "u-1"}, "plan": "shop", "operation": "Failover",
        "mode": "Unplanned", "wave": "data", "waveOrdinal": 1, "recoveryPhase": "Activate",
        "technology": "manual", "task": "bank", "account": "prod", "accountId": "111111111111",
        "region": "us-east-2", "sourceRegion": "us-east-1", "timeout": "1h",
        "manual": {"instructions": instructions},
        "resources": [{"id": "bank", "arn": "bank"}],
    }  # fmt: skip
    status = {
        "state": state,
        "startTime": render_time(NOW),
        "resources": [{"id": "bank", "state": "InProgress"}],
    }
    metadata = {"name": "shop-1-bank", "namespace": "acme"}
    return DRTask.model_validate({"metadata": metadata, "spec": spec, "status": status})


def look(task: DRTask, lasted: timedelta = timedelta(0), **fields: Any) -> StepDecision:
    given = StepInput(
        spec=task.spec, status=task.status, observed=Observed({}), actions={}, epoch=1,
        leader_since=NOW, now=NOW + lasted, rules=RULES, **fields,
    )  # fmt: skip
    return decide_manual(task, given)


def steered(task: DRTask, verb: str) -> DRTask:
    said = Command(f"leeward.dev/{verb}", "ann", verb, "", "ann", "")
    return task.model_copy(update={"status": steer(task, said, Ground(NOW))[0]})


def test_it_waits_with_its_instructions_and_the_command_that_ends_it() -> None:
    decision = look(manual())
    assert (decision.state, decision.batch) == ("PendingApproval", None)
    command = 'kubectl annotate drt shop-1-bank -n acme leeward.dev/mark-done="YOU"'
    assert decision.message.startswith("Call the bank. Then: ")
    assert command in decision.message


def test_long_instructions_leave_room_for_the_command() -> None:
    message = look(manual(instructions="x" * 1024)).message
    assert len(message) <= 1024
    assert 'mark-done="YOU"' in message


def test_it_ends_by_the_word_of_a_person() -> None:
    decision = look(steered(manual("PendingApproval"), "mark-done"), timedelta(hours=9))
    assert decision.state == "Complete"
    (resource,) = decision.resources
    assert (resource.reason, resource.message) == ("Asserted", "done as ann says")
    assert resource.request is None


def test_it_can_be_left_out() -> None:
    assert steered(manual("PendingApproval"), "skip").status.state == "Skipped"


@pytest.mark.parametrize("verb", ["undo", "relaunch"])
def test_it_cannot_be_undone_or_launched(verb: str) -> None:
    done = look(steered(manual("PendingApproval"), "mark-done"))
    status = manual().status.model_copy(
        update={"state": "Complete", "resources": list(done.resources)}
    )
    task = manual().model_copy(update={"status": status})
    assert steered(task, verb) == task


def test_its_time_ends_it_but_for_pauses() -> None:
    late = timedelta(minutes=61)
    assert look(manual("PendingApproval"), late).state == "Failed"
    assert look(manual("PendingApproval"), late).resources[0].reason == "TimedOut"
    held: dict[str, Any] = {"held": timedelta(minutes=30)}
    assert look(manual("PendingApproval"), late, **held).state == "PendingApproval"


def test_a_cancelled_run_does_not_wait_for_it() -> None:
    assert look(manual("PendingApproval"), stopping=True).state == "Abandoned"

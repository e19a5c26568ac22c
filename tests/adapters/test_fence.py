"""Fence: instances are stopped where the estate is left, and stay so."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leeward_adapters.base import Call, Phase, State
from leeward_adapters.ec2 import Instance, fencing

PRIMARY = "us-east-1"
GONE = "i-0123456789abcdef0"


def instances(sandbox: Any) -> dict[str, dict[str, Any]]:
    """The instances of the primary Region, by id."""
    answer = sandbox.client("ec2", PRIMARY).describe_instances()
    return {i["InstanceId"]: i for r in answer["Reservations"] for i in r["Instances"]}


def states(sandbox: Any) -> set[str]:
    return {instance["State"]["Name"] for instance in instances(sandbox).values()}


def fence(make_task: Any, sandbox: Any, *ids: str, **more: Any) -> Any:
    given = {"kind": "ec2", "phase": Phase.FENCE, "region": PRIMARY, "settings": {}} | more
    return make_task(sandbox, ids or sorted(instances(sandbox)), **given)


@pytest.mark.aws
def test_instances_are_stopped_and_undo_starts_them_again(sandbox: Any, make_task: Any) -> None:
    first, second = sorted(instances(sandbox))
    ec2 = sandbox.client("ec2", PRIMARY)
    ec2.stop_instances(InstanceIds=[second])
    sandbox.control.advance(60)
    task = fence(make_task, sandbox, first, second, GONE)

    task.advance_once()
    assert task.sent == [("stop", [first])]
    assert task.seen(first).state is State.RUNNING
    proof = task.run()

    assert {seen.state for seen in proof.values()} == {State.DONE}
    reasons = {target: seen.reason for target, seen in proof.items()}
    assert reasons == {first: "", second: "Adopted", GONE: "InstanceGone"}
    assert states(sandbox) == {"stopped"}
    assert len(task.sent) == 1
    task.undo()
    sandbox.control.advance(60)
    assert task.seen(first).pre_state == task.pre_states[first]
    found = instances(sandbox)
    assert [found[i]["State"]["Name"] for i in (first, second)] == ["running", "stopped"]


@pytest.mark.aws
def test_a_terminated_instance_cannot_write(sandbox: Any, make_task: Any) -> None:
    first, _ = sorted(instances(sandbox))
    sandbox.client("ec2", PRIMARY).terminate_instances(InstanceIds=[first])

    seen = fence(make_task, sandbox, first).run()[first]

    assert (seen.state, seen.reason) == (State.DONE, "InstanceGone")


@pytest.mark.aws
def test_an_instance_that_is_starting_is_stopped_once_it_runs(sandbox: Any, make_task: Any) -> None:
    first, _ = sorted(instances(sandbox))
    ec2 = sandbox.client("ec2", PRIMARY)
    ec2.stop_instances(InstanceIds=[first])
    sandbox.control.advance(60)
    ec2.start_instances(InstanceIds=[first])
    task = fence(make_task, sandbox, first)

    assert task.seen(first).state is State.RUNNING
    assert task.run()[first].state is State.DONE


@pytest.mark.aws
def test_an_instance_that_somebody_starts_again_is_told(sandbox: Any, make_task: Any) -> None:
    first, second = sorted(instances(sandbox))
    task = fence(make_task, sandbox, first, second)
    task.advance_once()
    sandbox.control.advance(60)
    sandbox.client("ec2", PRIMARY).start_instances(InstanceIds=[first])
    sandbox.control.advance(60)

    proof = task.run()

    assert proof[second].state is State.DONE
    assert (proof[first].state, proof[first].reason) == (State.FAILED, "Restarted")
    assert first in proof[first].message
    assert f"account {sandbox.account}, {PRIMARY}" in proof[first].message
    task.next_attempt()
    assert task.run()[first].state is State.DONE


@pytest.mark.aws
def test_a_lost_answer_changes_nothing(sandbox: Any, make_task: Any) -> None:
    task = fence(make_task, sandbox)
    sandbox.control.add_fault(
        service="ec2", operation="StopInstances", action="drop", when="after", times=1
    )

    assert {seen.state for seen in task.run().values()} == {State.DONE}


@pytest.mark.aws
def test_a_test_stops_nothing(sandbox: Any, make_task: Any) -> None:
    proof = fence(make_task, sandbox, operation="Test").run()

    assert {(seen.state, seen.reason) for seen in proof.values()} == {(State.REFUSED, "NotInATest")}
    assert states(sandbox) == {"running"}


NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
BEFORE, AFTER = NOW - timedelta(days=9), NOW + timedelta(minutes=3)
STOPPED = Call("call-1", "stop", NOW, in_doubt=False)
LOST = Call("call-1", "stop", NOW, in_doubt=True)
TAKEN_BACK = Call("call-2", "undo", NOW, in_doubt=False)
NOTED = json.dumps({"instanceId": "i-1", "state": "running"})


@pytest.mark.parametrize(
    ("instance", "call", "noted", "state", "reason"),
    [
        (None, None, "", State.DONE, "InstanceGone"),
        (Instance("i-1", "terminated"), STOPPED, NOTED, State.DONE, "InstanceGone"),
        (Instance("i-1", "shutting-down"), STOPPED, NOTED, State.RUNNING, ""),
        (Instance("i-1", "stopping"), STOPPED, NOTED, State.RUNNING, ""),
        (Instance("i-1", "pending"), None, "", State.RUNNING, ""),
        (Instance("i-1", "brand-new"), STOPPED, NOTED, State.RUNNING, ""),
        (Instance("i-1", "stopped"), None, "", State.DONE, "Adopted"),
        (Instance("i-1", "stopped"), STOPPED, NOTED, State.DONE, ""),
        (Instance("i-1", "stopped"), None, NOTED, State.DONE, ""),
        (Instance("i-1", "running", launched=BEFORE), None, "", State.NEEDED, ""),
        (Instance("i-1", "running", launched=BEFORE), STOPPED, NOTED, State.NEEDED, ""),
        (Instance("i-1", "running", launched=AFTER), STOPPED, NOTED, State.FAILED, "Restarted"),
        (Instance("i-1", "running", launched=AFTER), LOST, NOTED, State.NEEDED, ""),
        (Instance("i-1", "running", launched=AFTER), None, NOTED, State.NEEDED, ""),
        (Instance("i-1", "running", launched=AFTER), TAKEN_BACK, NOTED, State.NEEDED, ""),
        (Instance("i-1", "running"), STOPPED, NOTED, State.NEEDED, ""),
    ],
)
def test_states_of_an_instance_that_is_fenced(
    instance: Instance | None, call: Call | None, noted: str, state: State, reason: str
) -> None:
    seen = fencing("i-1", instance, call, noted, "account 111111111111, us-east-1")

    assert (seen.state, seen.reason) == (state, reason)
    assert bool(seen.pre_state) == (state is State.NEEDED)

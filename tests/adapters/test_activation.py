"""Activate: instances are started, and EC2's status checks are the proof."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leeward_adapters.base import Call, Phase, State
from leeward_adapters.ec2 import Instance, activation
from leeward_adapters.ec2_instances import parsed


@pytest.mark.aws
@pytest.mark.parametrize("operation", ["Failover", "Test"])
def test_recovery_instances_are_started_and_checked(
    sandbox: Any, make_task: Any, operation: str
) -> None:
    servers = sandbox.servers()
    launched = make_task(sandbox, servers, operation=operation).run()
    task = make_task(sandbox, servers, operation=operation, phase=Phase.ACTIVATE)

    task.advance_once()
    assert {seen.state for seen in task.observe().targets.values()} == {State.RUNNING}
    proof = task.run()

    assert {seen.state for seen in proof.values()} == {State.DONE}
    assert {s: seen.reference for s, seen in proof.items()} == {
        s: seen.reference for s, seen in launched.items()
    }
    statuses = sandbox.client("ec2").describe_instance_status(
        InstanceIds=[seen.reference for seen in proof.values()]
    )["InstanceStatuses"]
    assert {s["InstanceStatus"]["Status"] for s in statuses} == {"ok"}


@pytest.mark.aws
@pytest.mark.parametrize("operation", ["Failover", "Test"])
def test_undo_stops_what_was_stopped_before_and_that_can_be_seen(
    sandbox: Any, make_task: Any, operation: str
) -> None:
    first, second = sandbox.servers()
    launched = make_task(sandbox, [first, second], operation=operation).run()
    task = make_task(sandbox, [first, second], operation=operation, phase=Phase.ACTIVATE)
    task.run()
    assert not task.is_back(first)

    task.undo([first])
    assert task.seen(first).state is State.RUNNING
    sandbox.control.advance(120)

    assert task.is_back(first)
    assert not task.is_back(second)
    ids = {server: seen.reference for server, seen in launched.items()}
    answer = sandbox.client("ec2").describe_instances(InstanceIds=list(ids.values()))
    machines = [i for r in answer["Reservations"] for i in r["Instances"]]
    states = {i["InstanceId"]: i["State"]["Name"] for i in machines}
    assert states == {ids[first]: "stopped", ids[second]: "running"}


@pytest.mark.aws
def test_what_was_undone_is_started_again_by_a_new_attempt(sandbox: Any, make_task: Any) -> None:
    servers = sandbox.servers()
    make_task(sandbox, servers).run()
    task = make_task(sandbox, servers, phase=Phase.ACTIVATE)
    task.run()
    task.undo()
    sandbox.control.advance(120)
    task.next_attempt()

    assert {seen.state for seen in task.run().values()} == {State.DONE}


@pytest.mark.aws
def test_a_server_without_recovery_instance_is_refused(sandbox: Any, make_task: Any) -> None:
    server, _ = sandbox.servers()

    seen = make_task(sandbox, [server], phase=Phase.ACTIVATE).run()[server]

    assert (seen.state, seen.reason) == (State.REFUSED, "NoRecoveryInstance")


@pytest.mark.aws
def test_a_test_starts_no_instance_but_its_own(sandbox: Any, make_task: Any) -> None:
    first, second = sandbox.servers()
    make_task(sandbox, [first]).run()
    make_task(sandbox, [second], operation="Test", execution="orders-2").run()

    task = make_task(sandbox, [first, second], operation="Test", phase=Phase.ACTIVATE)
    proof = task.run()

    assert {seen.reason for seen in proof.values()} == {"NoRecoveryInstance"}
    assert sandbox.calls("StartInstances") == []


@pytest.mark.aws
def test_standby_instances_are_started_by_the_ec2_adapter(sandbox: Any, make_task: Any) -> None:
    ec2 = sandbox.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    made = ec2.run_instances(
        ImageId="ami-12c6146b", InstanceType="t3.micro", MinCount=1, MaxCount=1, SubnetId=subnet
    )
    standby = made["Instances"][0]["InstanceId"]
    sandbox.control.advance(300)
    ec2.stop_instances(InstanceIds=[standby])
    sandbox.control.advance(300)
    absent = "i-0123456789abcdef0"
    task = make_task(sandbox, [standby, absent], kind="ec2", phase=Phase.ACTIVATE)
    drill = make_task(
        sandbox, [standby], kind="ec2", phase=Phase.ACTIVATE, operation="Test", settings={}
    )
    findings = task.adapter.readiness(sandbox.scope(), task.targets)

    assert [(f.severity, f.target) for f in findings] == [("Blocking", absent)]
    assert drill.run()[standby].reason == "NotInATest"
    proof = task.run()
    assert proof[standby].state is State.DONE
    assert (proof[absent].state, proof[absent].reason) == (State.REFUSED, "InstanceMissing")
    task.undo()
    assert sandbox.calls("StopInstances")[-1]["params"]["InstanceIds"] == [standby]


NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATELY, LONG_AGO = NOW - timedelta(minutes=9), NOW - timedelta(minutes=10)
_STARTED = Call("call-1", "start", NOW, in_doubt=False)
IMPAIRED = Instance("i-1", "running", checks=("ok", "impaired"))


@pytest.mark.parametrize(
    ("instance", "call", "state", "reason"),
    [
        (Instance("i-1", "running", checks=("ok", "ok")), None, State.DONE, ""),
        (Instance("i-1", "running", checks=("ok", "initializing")), None, State.RUNNING, ""),
        (Instance("i-1", "running", checks=("ok", "brand-new")), None, State.RUNNING, ""),
        (Instance("i-1", "running"), None, State.RUNNING, ""),
        (replace(IMPAIRED, impaired=LATELY), None, State.RUNNING, ""),
        (replace(IMPAIRED, impaired=LONG_AGO), None, State.FAILED, "StatusChecksImpaired"),
        (replace(IMPAIRED, impaired=LATELY, launched=LONG_AGO), None, State.RUNNING, ""),
        (replace(IMPAIRED, launched=LATELY), None, State.RUNNING, ""),
        (replace(IMPAIRED, launched=LONG_AGO), None, State.FAILED, "StatusChecksImpaired"),
        (IMPAIRED, _STARTED, State.RUNNING, ""),
        (IMPAIRED, None, State.FAILED, "StatusChecksImpaired"),
        (Instance("i-1", "stopped"), None, State.NEEDED, ""),
        (
            Instance("i-1", "stopped", reason_code="Client.UserInitiatedShutdown"),
            _STARTED,
            State.NEEDED,
            "",
        ),
        (
            Instance("i-1", "stopped", reason_code="Client.InternalError"),
            _STARTED,
            State.FAILED,
            "StartFailed",
        ),
        (Instance("i-1", "stopping"), None, State.RUNNING, ""),
        (Instance("i-1", "brand-new"), None, State.RUNNING, ""),
        (Instance("i-1", "terminated"), None, State.FAILED, "InstanceTerminated"),
    ],
)
def test_states_of_an_instance(
    instance: Instance, call: Call | None, state: State, reason: str
) -> None:
    seen = activation(instance, call, NOW, "account 111111111111, us-east-2")

    assert (seen.state, seen.reason) == (state, reason)


def test_since_when_a_check_fails_is_read_from_either() -> None:
    fails = {"Status": "impaired", "Details": [{"Name": "reachability", "ImpairedSince": LATELY}]}
    longer = {"Status": "impaired", "Details": [{"Status": "failed", "ImpairedSince": LONG_AGO}]}
    fine = {"Status": "ok", "Details": [{"Name": "reachability", "Status": "passed"}]}

    def since(system: object, instance: object) -> datetime | None:
        raw = {"InstanceId": "i-1", "InstanceState": {"Name": "running"}}
        checks = {"SystemStatus": system, "InstanceStatus": instance}
        return parsed({"InstanceStatuses": [raw | checks]})["i-1"].impaired

    assert [since(fine, fails), since(longer, fails), since(fine, fine)] == [LATELY, LONG_AGO, None]

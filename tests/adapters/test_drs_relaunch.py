"""Relaunch by DRS: nothing is replaced before it is kept, and the new one is proved to be new."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError

from leeward_adapters import drs_relaunch
from leeward_adapters.base import Phase, State, Traceable
from leeward_adapters.drs_instances import RecoveryInstance
from leeward_adapters.ec2 import Instance
from leeward_adapters.registry import adapter

pytestmark = pytest.mark.aws


@pytest.fixture
def launched(sandbox: Any, make_task: Any) -> Any:
    """A Failover's task of both servers, through."""
    task = make_task(sandbox, sandbox.servers())
    task.run()
    task.sent.clear()
    return task


def instances(sandbox: Any) -> dict[str, str]:
    """Live recovery instances by server."""
    found = sandbox.client("drs").describe_recovery_instances(filters={})["items"]
    return {i["sourceServerID"]: i["ec2InstanceID"] for i in found}


def volumes(sandbox: Any, instance: str) -> set[str]:
    """EBS volumes of an instance."""
    answer = sandbox.client("ec2").describe_instances(InstanceIds=[instance])
    (machine,) = answer["Reservations"][0]["Instances"]
    return {m["Ebs"]["VolumeId"] for m in machine["BlockDeviceMappings"]}


def snapshots(sandbox: Any, **tags: str) -> list[dict[str, Any]]:
    """Snapshots of the account that carry the tags."""
    filters = [{"Name": f"tag:leeward:{k}", "Values": [v]} for k, v in tags.items()]
    found: list[dict[str, Any]] = sandbox.client("ec2").describe_snapshots(
        OwnerIds=["self"], Filters=filters
    )["Snapshots"]
    return found


def test_a_server_is_launched_anew_after_its_volumes_were_kept(sandbox: Any, launched: Any) -> None:
    first, second = sandbox.servers()
    before = instances(sandbox)
    kept = volumes(sandbox, before[first])
    assert kept
    launched.launch_anew(first)

    proof = launched.run()

    assert [action for action, _ in launched.sent] == ["snapshot", "relaunch"]
    after = instances(sandbox)
    assert after[first] != before[first]
    assert after[second] == before[second]
    assert (proof[first].state, proof[first].reason) == (State.DONE, "Relaunched")
    assert proof[first].reference == after[first]
    assert before[first] in proof[first].message
    assert proof[second].reference == before[second]
    made = snapshots(sandbox, task=launched.token, server=first)
    assert {s["VolumeId"] for s in made} == kept
    calls = [c["operation"] for c in sandbox.control.calls(mutating=True)]
    assert calls.index("CreateSnapshots") < len(calls) - calls[::-1].index("StartRecovery") - 1
    last = sandbox.calls("StartRecovery")[-1]["params"]
    assert last["sourceServers"] == [{"sourceServerID": first}]
    assert last["isDrill"] is False
    found = sandbox.client("drs").describe_recovery_instances(filters={"sourceServerIDs": [first]})[
        "items"
    ]
    assert [i["ec2InstanceState"] for i in found] == ["STOPPED"]


def test_each_server_s_snapshots_are_a_batch_of_their_own(sandbox: Any, launched: Any) -> None:
    first, second = sandbox.servers()
    launched.launch_anew(first, second)

    launched.run()

    assert launched.sent == [
        ("snapshot", [first]), ("snapshot", [second]), ("relaunch", [first, second])
    ]  # fmt: skip


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_answer_makes_no_second_set_of_snapshots(
    sandbox: Any, launched: Any, when: str
) -> None:
    first, _ = sandbox.servers()
    launched.launch_anew(first)
    launched.pre_states[first] = launched.seen(first).pre_state
    sandbox.control.add_fault(
        service="ec2", operation="CreateSnapshots", action="drop", when=when, times=1
    )

    with pytest.raises(BotoCoreError):
        launched.act("snapshot", [first])

    assert len(sandbox.calls("CreateSnapshots")) == 1  # botocore did not repeat it
    seen = launched.seen(first)
    assert seen.action == ("relaunch" if when == "after" else "snapshot")
    launched.run()
    made = snapshots(sandbox, server=first)
    assert len({s["VolumeId"] for s in made}) == len(made) >= 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_answer_makes_no_second_launch(sandbox: Any, launched: Any, when: str) -> None:
    first, _ = sandbox.servers()
    launched.launch_anew(first)
    launched.advance_once()
    sandbox.control.add_fault(
        service="drs", operation="StartRecovery", action="drop", when=when, times=1
    )
    with pytest.raises(BotoCoreError):
        launched.act("relaunch", [first])

    seen = launched.seen(first)
    assert seen.state is (State.RUNNING if when == "after" else State.NEEDED)
    assert seen.action == ("" if when == "after" else "relaunch")
    before = instances(sandbox)[first]
    launched.run()

    assert instances(sandbox)[first] != before
    done = [c for c in sandbox.calls("StartRecovery") if c["executed"]]
    assert len(done) == 2  # the first launch, and one relaunch


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"state": "DISCONNECTED"}, "NotReplicating"), ({"state": "STOPPED"}, "NotReplicating")],
)
def test_what_could_not_be_launched_is_not_replaced(
    sandbox: Any, launched: Any, change: dict[str, Any], reason: str
) -> None:
    first, _ = sandbox.servers()
    before = instances(sandbox)
    sandbox.change(first, **change)
    launched.launch_anew(first)

    proof = launched.run()

    assert (proof[first].state, proof[first].reason) == (State.REFUSED, reason)
    assert (launched.sent, instances(sandbox)) == ([], before)


def test_an_instance_that_a_launch_would_write_over_is_left_alone(
    sandbox: Any, launched: Any
) -> None:
    first, _ = sandbox.servers()
    old = instances(sandbox)[first]
    ec2, drs = sandbox.client("ec2"), sandbox.client("drs")
    ec2.create_tags(
        Resources=[old], Tags=[{"Key": "AWSDRS", "Value": "AllowLaunchingIntoThisInstance"}]
    )
    into = {"launchIntoEC2InstanceID": old}
    drs.update_launch_configuration(
        sourceServerID=first, copyTags=False, launchIntoInstanceProperties=into
    )
    launched.launch_anew(first)

    proof = launched.run()

    assert (proof[first].state, proof[first].reason) == (State.REFUSED, "LaunchesIntoInstance")
    assert old in proof[first].message
    assert launched.sent == []


def test_a_relaunch_that_fails_names_the_cause_and_where_the_old_is_kept(
    sandbox: Any, launched: Any
) -> None:
    first, _ = sandbox.servers()
    old = instances(sandbox)[first]
    sandbox.change(first, fault={"failAt": "LAUNCH", "rawError": "VcpuLimitExceeded", "times": 1})
    launched.launch_anew(first)

    seen = launched.run()[first]

    assert (seen.state, seen.reason) == (State.FAILED, "VcpuLimitExceeded")
    assert f"What {old} held is kept in snapshots" in seen.message
    assert launched.token in seen.message


def test_where_nothing_is_left_there_is_nothing_to_keep(sandbox: Any, launched: Any) -> None:
    first, _ = sandbox.servers()
    drs = sandbox.client("drs")
    drs.terminate_recovery_instances(recoveryInstanceIDs=[instances(sandbox)[first]])
    sandbox.control.advance(600)
    launched.launch_anew(first)

    proof = launched.run()

    assert [action for action, _ in launched.sent] == ["relaunch"]
    assert "what was gone" in proof[first].message
    assert instances(sandbox)[first] == proof[first].reference


def test_a_job_of_somebody_else_is_waited_for(sandbox: Any, launched: Any) -> None:
    first, _ = sandbox.servers()
    sandbox.launch_by_hand([first])
    launched.launch_anew(first)

    seen = launched.seen(first)

    assert seen.state is State.RUNNING
    assert "of somebody else" in seen.message


def test_a_second_relaunch_keeps_the_second_instance_too(sandbox: Any, launched: Any) -> None:
    first, _ = sandbox.servers()
    launched.launch_anew(first)
    second = launched.run()[first].reference
    kept = volumes(sandbox, second)
    launched.launch_anew(first)

    third = launched.run()[first].reference

    assert third not in {second, ""}
    made = {s["VolumeId"] for s in snapshots(sandbox, server=first)}
    assert kept < made


def test_a_relaunch_needs_only_what_instantiate_declares(sandbox: Any, launched: Any) -> None:
    first, _ = sandbox.servers()
    launched.launch_anew(first)
    last = sandbox.control.last_seq()
    launched.run()

    prefixes = {"service-quotas": "servicequotas"}
    used = {
        f"{prefixes.get(c['service'], c['service'])}:{c['operation']}"
        for c in sandbox.control.calls(since=last)
        if c["service"] != "sts"
    }
    permissions = adapter("drs").permissions
    assert used <= permissions["Read"] | permissions["Instantiate"]


# -- what one look says, without AWS ----------------------------------------------------------


@pytest.mark.parametrize(
    ("states", "state", "action", "said"),
    [
        ({}, State.NEEDED, "snapshot", "are to be kept"),
        ({"vol-1": "pending", "vol-2": "completed"}, State.RUNNING, "", "1 of 2 volumes"),
        ({"vol-1": "completed"}, State.RUNNING, "", "1 of 2 volumes"),
        ({"vol-1": "brand-new", "vol-2": "completed"}, State.RUNNING, "", "1 of 2 volumes"),
        ({"vol-1": "error", "vol-2": "completed"}, State.FAILED, "", "snapshot of vol-1"),
        ({"vol-1": "completed", "vol-2": "completed"}, State.NEEDED, "relaunch", "all volumes"),
    ],
)
def test_nothing_is_launched_before_every_volume_is_in_a_completed_snapshot(
    sandbox: Any,
    launched: Any,
    monkeypatch: pytest.MonkeyPatch,
    states: dict[str, str],
    state: State,
    action: str,
    said: str,
) -> None:
    monkeypatch.setattr(drs_relaunch, "_snapshots", lambda scope, call: states)
    target = launched.targets[0]
    launched.launch_anew(target.id)
    launched.pre_states[target.id] = json.dumps({"instanceId": "i-1"})
    launched.act("prepare", [target.id])
    call = launched.calls[target.id]
    old = RecoveryInstance("i-1", target.id, "STOPPED", drill=False, job="drsjob-1")
    machine = Instance("i-1", "stopped", volumes=("vol-1", "vol-2"))

    seen = drs_relaunch._kept(sandbox.scope(), target, old, call, machine)

    assert (seen.state, seen.action) == (state, action)
    assert said in seen.message


# -- earlier runs -----------------------------------------------------------------------------


def test_jobs_of_a_run_of_the_same_name_are_found(sandbox: Any, make_task: Any) -> None:
    first, second = sandbox.servers()
    make_task(sandbox, [first]).run()
    make_task(sandbox, [second], execution="orders-2").run()
    make_task(sandbox, [first], operation="Test", namespace="other", phase=Phase.ACTIVATE)
    drs = adapter("drs")
    assert isinstance(drs, Traceable)

    def earlier(*, hub: str = "sandbox", namespace: str = "orders", uid: str = "new") -> Any:
        return drs.earlier(sandbox.scope(), hub, namespace, "orders-1", uid)

    (found,) = earlier()
    (job,) = [
        j for j in sandbox.client("drs").describe_jobs(filters={})["items"]
        if j["tags"]["leeward:execution"] == "orders-1"
    ]  # fmt: skip
    assert (found.reference, found.uid) == (job["jobID"], "uid-of-orders-1")
    assert (found.targets, found.at) == ((first,), job["creationDateTime"])
    assert earlier(uid="uid-of-orders-1") == []
    assert earlier(namespace="other") == []
    assert earlier(hub="another") == []


def test_services_that_tag_nothing_need_not_know() -> None:
    assert not isinstance(adapter("route53"), Traceable)

"""Instantiate by DRS: each server is launched once, whatever happens, and proved by itself."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from leeward_adapters.base import ErrorClass, IrreversibleError, Observed, Phase, State
from leeward_adapters.errors import classify

pytestmark = pytest.mark.aws


def _states(observed: Observed) -> dict[str, State]:
    return {target: seen.state for target, seen in observed.targets.items()}


def test_a_failover_launches_each_server_stopped_by_one_job(sandbox: Any, make_task: Any) -> None:
    servers = sandbox.servers()
    task = make_task(sandbox, servers)

    proof = task.run()

    assert {seen.state for seen in proof.values()} == {State.DONE}
    assert [action for action, _ in task.sent] == ["prepare", "launch"]
    found = sandbox.client("drs").describe_recovery_instances(filters={})["items"]
    assert {i["sourceServerID"]: i["ec2InstanceID"] for i in found} == {
        server: seen.reference for server, seen in proof.items()
    }
    assert {i["ec2InstanceState"] for i in found} == {"STOPPED"}
    assert {i["isDrill"] for i in found} == {False}


def test_the_job_carries_the_run_and_the_batch_as_tags(sandbox: Any, make_task: Any) -> None:
    task = make_task(sandbox, sandbox.servers())
    task.run()

    (job,) = sandbox.client("drs").describe_jobs(filters={})["items"]

    assert job["tags"]["leeward:task"] == task.token
    assert job["tags"]["leeward:execution-uid"] == "uid-of-orders-1"
    assert job["tags"]["leeward:call"] in {call.id for call in task.calls.values()}


def test_a_completed_job_with_a_failed_server_is_a_partial_failure(
    sandbox: Any, make_task: Any
) -> None:
    first, second = sandbox.servers()
    raw = "InsufficientInstanceCapacity: no m5.large in us-east-2a"
    sandbox.change(second, fault={"failAt": "LAUNCH", "rawError": raw, "times": 1})
    task = make_task(sandbox, [first, second])

    proof = task.run()

    (job,) = sandbox.client("drs").describe_jobs(filters={})["items"]
    assert job["status"] == "COMPLETED"
    assert proof[first].state is State.DONE
    assert proof[second].state is State.FAILED
    assert proof[second].reason == "InsufficientInstanceCapacity"
    assert raw in proof[second].message
    assert "another type or subnet" in proof[second].message
    assert sandbox.account in proof[second].message
    assert "us-east-2" in proof[second].message


def test_a_new_attempt_launches_only_the_server_that_failed(sandbox: Any, make_task: Any) -> None:
    first, second = sandbox.servers()
    sandbox.change(second, fault={"failAt": "LAUNCH", "rawError": "VcpuLimitExceeded", "times": 1})
    task = make_task(sandbox, [first, second])
    before = task.run()
    task.next_attempt()

    after = task.run()

    assert after[second].state is State.DONE
    assert after[first].reference == before[first].reference
    launches = sandbox.calls("StartRecovery")
    assert launches[-1]["params"]["sourceServers"] == [{"sourceServerID": second}]
    assert len(launches) == 2


@pytest.mark.parametrize(
    ("fail_at", "raw", "reason"),
    [
        ("LAUNCH", "VcpuLimitExceeded: more vCPU than your limit", "VcpuLimitExceeded"),
        ("LAUNCH", "UnauthorizedOperation: not authorized", "UnauthorizedOperation"),
        ("LAUNCH", "InvalidSubnetID.NotFound: subnet-1", "InvalidNetwork"),
        ("LAUNCH", "something new", "LaunchFailed"),
        ("CONVERSION", "the converter stopped", "ConversionFailed"),
    ],
)
def test_the_reason_of_a_failure_comes_from_the_job_log(
    sandbox: Any, make_task: Any, fail_at: str, raw: str, reason: str
) -> None:
    server, _ = sandbox.servers()
    sandbox.change(server, fault={"failAt": fail_at, "rawError": raw})

    proof = make_task(sandbox, [server]).run()

    assert proof[server].reason == reason
    assert raw in proof[server].message


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_answer_is_looked_up_and_the_server_launched_once(
    sandbox: Any, make_task: Any, when: str
) -> None:
    servers = sandbox.servers()
    task = make_task(sandbox, servers)
    task.advance_once()
    sandbox.control.add_fault(
        service="drs", operation="StartRecovery", action="drop", when=when, times=1
    )

    with pytest.raises(BotoCoreError) as lost:
        task.act("launch")

    assert classify(lost.value).kind is ErrorClass.IN_DOUBT
    assert len(sandbox.calls("StartRecovery")) == 1  # botocore did not repeat it
    expected = State.RUNNING if when == "after" else State.NEEDED
    assert set(_states(task.observe()).values()) == {expected}
    assert {s.state for s in task.run().values()} == {State.DONE}
    assert len(sandbox.client("drs").describe_jobs(filters={})["items"]) == 1


def test_a_server_in_the_job_of_somebody_else_is_waited_for(sandbox: Any, make_task: Any) -> None:
    first, second = sandbox.servers()
    job = sandbox.launch_by_hand([first], drill=True)
    task = make_task(sandbox, [first, second])

    seen = task.seen(first)

    assert seen.state is State.RUNNING
    assert f"{job} of somebody else" in seen.message
    task.act("prepare", [first])
    with pytest.raises(ClientError) as refused:
        task.act("launch", [first])
    assert classify(refused.value).kind is ErrorClass.CONFLICT
    assert task.seen(first).state is State.RUNNING
    assert task.run()[first].state is State.DONE


def test_a_job_of_the_same_task_that_was_thought_lost_is_adopted(
    sandbox: Any, make_task: Any
) -> None:
    servers = sandbox.servers()
    task = make_task(sandbox, servers)
    task.advance_once()
    task.act("launch")
    task.next_attempt()
    task.act("prepare")

    assert set(_states(task.observe()).values()) == {State.RUNNING}


def test_a_failover_adopts_a_live_recovery_instance_and_never_launches_over_it(
    sandbox: Any, make_task: Any
) -> None:
    first, second = sandbox.servers()
    sandbox.launch_by_hand([first])
    sandbox.control.advance(3600)
    (before,) = sandbox.client("drs").describe_recovery_instances(filters={})["items"]
    task = make_task(sandbox, [first, second])

    proof = task.run()

    assert proof[first].state is State.DONE
    assert proof[first].reason == "Adopted"
    assert proof[first].reference == before["ec2InstanceID"]
    assert proof[second].reason == ""
    launched = [c["params"]["sourceServers"] for c in sandbox.calls("StartRecovery")[1:]]
    assert launched == [[{"sourceServerID": second}]]


def test_a_failover_launches_over_a_drill_instance(sandbox: Any, make_task: Any) -> None:
    server, _ = sandbox.servers()
    sandbox.launch_by_hand([server], drill=True)
    sandbox.control.advance(3600)

    proof = make_task(sandbox, [server]).run()

    assert proof[server].state is State.DONE
    (instance,) = sandbox.client("drs").describe_recovery_instances(filters={})["items"]
    assert instance["isDrill"] is False
    assert instance["ec2InstanceID"] == proof[server].reference


def test_a_test_over_a_live_recovery_instance_is_refused(sandbox: Any, make_task: Any) -> None:
    server, _ = sandbox.servers()
    sandbox.launch_by_hand([server])
    sandbox.control.advance(3600)

    seen = make_task(sandbox, [server], operation="Test").run()[server]

    assert (seen.state, seen.reason) == (State.REFUSED, "LiveRecoveryInstance")
    assert len(sandbox.calls("StartRecovery")) == 1
    assert sandbox.calls("UpdateLaunchConfiguration") == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"state": "DISCONNECTED"}, "NotReplicating"),
        ({"state": "STOPPED"}, "NotReplicating"),
        ({"state": "INITIAL_SYNC", "snapshots": False}, "NeverSynchronised"),
    ],
)
def test_a_server_without_a_point_in_time_is_refused_with_a_remedy(
    sandbox: Any, make_task: Any, change: dict[str, Any], reason: str
) -> None:
    server, other = sandbox.servers()
    sandbox.change(server, **change)
    task = make_task(sandbox, [server, other])

    proof = task.run()

    assert (proof[server].state, proof[server].reason) == (State.REFUSED, reason)
    assert "replication" in proof[server].message or "CONTINUOUS" in proof[server].message
    assert proof[other].state is State.DONE


@pytest.mark.parametrize(
    "change",
    [
        {"state": "STALLED", "error": "AGENT_NOT_SEEN", "lag": "PT3H"},
        {"state": "BACKLOG", "lag": "PT20M"},
        {"state": "RESCAN"},
        {"state": "PAUSED"},
        {"state": "INITIAL_SYNC", "snapshots": True},
    ],
)
def test_a_server_that_lags_is_launched_all_the_same(
    sandbox: Any, make_task: Any, change: dict[str, Any]
) -> None:
    server, _ = sandbox.servers()
    sandbox.change(server, **change)

    assert make_task(sandbox, [server]).run()[server].state is State.DONE


def test_a_server_that_drs_does_not_know_is_refused_and_holds_up_no_other(
    sandbox: Any, make_task: Any
) -> None:
    server, _ = sandbox.servers()
    unknown, instance = "s-00000000000000000", "i-0123456789abcdef0"

    proof = make_task(sandbox, [server, unknown, instance]).run()

    assert proof[server].state is State.DONE
    assert (proof[unknown].state, proof[unknown].reason) == (State.REFUSED, "SourceServerMissing")
    assert (proof[instance].state, proof[instance].reason) == (State.REFUSED, "NoSourceServer")


def test_capacity_is_what_both_quotas_leave(make_sandbox: Any, make_task: Any) -> None:
    sandbox = make_sandbox(3, drs={"quotas": {"jobs": 3, "serversInJobs": 2}})
    first, second, third = sandbox.servers()
    task = make_task(sandbox, [second, third])
    assert task.observe().capacity == 2
    sandbox.launch_by_hand([first])

    observed = task.observe()

    assert observed.capacity == 1
    assert "1 of at most 3 jobs with 1 of at most 2 servers" in observed.capacity_reason
    assert sandbox.account in observed.capacity_reason


def test_a_terminate_job_counts_for_the_quota(make_sandbox: Any, make_task: Any) -> None:
    sandbox = make_sandbox(2, drs={"quotas": {"jobs": 1}})
    first, second = sandbox.servers()
    sandbox.launch_by_hand([first], drill=True)
    sandbox.control.advance(3600)
    drs = sandbox.client("drs")
    (instance,) = drs.describe_recovery_instances(filters={})["items"]
    drs.terminate_recovery_instances(recoveryInstanceIDs=[instance["recoveryInstanceID"]])

    assert make_task(sandbox, [second]).observe().capacity == 0


def test_quotas_that_cannot_be_read_fall_back_to_the_documented_ones(
    sandbox: Any, make_task: Any
) -> None:
    sandbox.control.add_fault(
        service="service-quotas", action="error", code="AccessDeniedException", status=403
    )

    observed = make_task(sandbox, sandbox.servers()).observe()

    assert observed.capacity == 500
    assert "0 of at most 20 jobs" in observed.capacity_reason


def test_quotas_are_asked_for_once_an_hour(sandbox: Any, make_task: Any) -> None:
    task = make_task(sandbox, sandbox.servers())
    for _ in range(3):
        task.observe()

    assert len(sandbox.calls("GetServiceQuota")) == 2


def test_while_all_servers_are_in_jobs_a_pass_costs_one_call(sandbox: Any, make_task: Any) -> None:
    task = make_task(sandbox, sandbox.servers())
    task.advance_once()
    task.advance_once()
    last = sandbox.control.last_seq()

    task.observe()

    assert {c["operation"] for c in sandbox.control.calls(since=last)} == {"DescribeJobs"}


def test_an_instance_that_vanished_is_launched_again_by_a_new_attempt(
    sandbox: Any, make_task: Any
) -> None:
    server, _ = sandbox.servers()
    task = make_task(sandbox, [server])
    first = task.run()[server].reference
    drs = sandbox.client("drs")
    drs.terminate_recovery_instances(recoveryInstanceIDs=[first])
    sandbox.control.advance(600)
    task.next_attempt()

    proof = task.run()

    assert proof[server].state is State.DONE
    assert proof[server].reference != first


@pytest.mark.parametrize("operation", ["Failover", "Test"])
def test_undoing_a_launch_is_refused_with_what_a_person_can_do(
    sandbox: Any, make_task: Any, operation: str
) -> None:
    task = make_task(sandbox, sandbox.servers(), operation=operation)
    task.run()

    with pytest.raises(IrreversibleError, match="TerminateRecoveryInstances") as refused:
        task.undo()
    assert classify(refused.value).kind is ErrorClass.FINAL
    assert task.adapter.phases[Phase.INSTANTIATE].instead in str(refused.value)
    assert sandbox.calls("TerminateRecoveryInstances") == []


def test_a_phase_that_drs_lacks_is_an_error(sandbox: Any, make_task: Any) -> None:
    task = make_task(sandbox, sandbox.servers(), phase=Phase.FENCE)

    with pytest.raises(ValueError, match="Fence"):
        task.observe()

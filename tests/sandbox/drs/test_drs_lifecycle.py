"""Replication both ways: reversing, failing back, stopping, disconnecting."""

from __future__ import annotations

from typing import Any

import pytest

from leeward_sandbox.aws.backend import AwsError

P, R = "us-east-1", "us-east-2"
SETTLED = 200.0  # after a launch, longer than ReverseReplication waits
SYNCHRONISED = 3 * 3600.0


def refused(lab: Any, operation: str, region: str = R, **params: Any) -> AwsError:
    with pytest.raises(AwsError) as caught:
        lab.call(operation, region, **params)
    return caught.value


def reversed_lab(make_lab: Any, settings: dict[str, Any] | None = None) -> tuple[Any, str, str]:
    """A lab whose server is launched in R and replicated back: lab, B2's id, A2's id."""
    lab = make_lab(1, settings)
    lab.launch()
    lab.wait(SETTLED)
    b2 = lab.instance()["recoveryInstanceID"]
    arn = lab.call("ReverseReplication", recoveryInstanceID=b2)["reversedDirectionSourceServerArn"]
    return lab, b2, arn.partition("/")[2]


def replication(lab: Any, server: str, region: str) -> str:
    info = lab.described(server, region)["dataReplicationInfo"]
    return str(info["dataReplicationState"])


def test_reversing_makes_a_failback_server_in_the_origin_region(make_lab: Any) -> None:
    lab, b2, a2 = reversed_lab(make_lab)
    server = lab.described(a2, P)
    assert server["replicationDirection"] == "FAILBACK"
    assert server["sourceProperties"]["identificationHints"]["awsInstanceID"] == b2
    assert server["sourceCloudProperties"]["originRegion"] == R
    assert server["reversedDirectionSourceServerArn"] == lab.described()["arn"]
    assert lab.described()["reversedDirectionSourceServerArn"] == server["arn"]


def test_the_reversed_server_synchronises_before_it_is_continuous(make_lab: Any) -> None:
    lab, _, a2 = reversed_lab(make_lab)
    seen: list[str] = []
    for _ in range(120):
        state = replication(lab, a2, P)
        if not seen or seen[-1] != state:
            seen.append(state)
        lab.wait(30)
    assert seen == ["INITIATING", "INITIAL_SYNC", "CREATING_SNAPSHOT", "CONTINUOUS"]
    assert lab.described(a2, P)["dataReplicationInfo"]["lagDuration"] == "P0D"


def test_initiation_steps_succeed_one_after_the_other(make_lab: Any) -> None:
    lab, _, a2 = reversed_lab(make_lab)
    lab.wait(100)
    steps = lab.described(a2, P)["dataReplicationInfo"]["dataReplicationInitiation"]["steps"]
    status = [step["status"] for step in steps]
    assert len(status) == 11
    assert status == sorted(status, key=["SUCCEEDED", "IN_PROGRESS", "NOT_STARTED"].index)
    assert status.count("IN_PROGRESS") == 1


def test_failback_states_follow_the_reversed_server(make_lab: Any) -> None:
    lab, b2, a2 = reversed_lab(make_lab)

    def state() -> str:
        return str(lab.instance()["failback"]["state"])

    assert state() == "FAILBACK_IN_PROGRESS"
    error = refused(lab, "TerminateRecoveryInstances", recoveryInstanceIDs=[b2])
    assert (error.code, error.message) == (
        "ConflictException",
        "Recovery instances cannot be terminated during failback",
    )
    lab.wait(SYNCHRONISED)
    assert state() == "FAILBACK_READY_FOR_LAUNCH"
    lab.launch(a2, region=P, isDrill=True)
    assert state() == "FAILBACK_READY_FOR_LAUNCH"
    lab.launch(a2, region=P)
    assert state() == "FAILBACK_COMPLETED"
    assert lab.instance()["failback"]["failbackLaunchType"] == "RECOVERY"


def test_reversing_needs_a_running_instance_that_has_settled(make_lab: Any) -> None:
    lab = make_lab(1)
    lab.launch()
    instance = lab.instance()["recoveryInstanceID"]
    lab.world.moto("ec2", lab.account, R).stop_instances([instance])
    error = refused(lab, "ReverseReplication", recoveryInstanceID=instance)
    assert error.message == "Recovery instance not finished initializing"


def test_reversing_too_early_is_a_conflict(make_lab: Any) -> None:
    lab = make_lab(1, {"reversibleAfter": 1000})
    lab.launch()
    instance = lab.instance()["recoveryInstanceID"]
    assert refused(lab, "ReverseReplication", recoveryInstanceID=instance).status == 409
    lab.wait(1000)
    lab.call("ReverseReplication", recoveryInstanceID=instance)


def test_reversing_twice_is_a_conflict_or_the_same_server(make_lab: Any) -> None:
    lab, b2, a2 = reversed_lab(make_lab)
    assert refused(lab, "ReverseReplication", recoveryInstanceID=b2).status == 409
    lab.drs.control({"settings": {"repeatedReversal": "SameArn"}})
    again = lab.call("ReverseReplication", recoveryInstanceID=b2)
    assert again["reversedDirectionSourceServerArn"].endswith(a2)


def test_reversing_into_an_uninitialised_region_is_refused(make_lab: Any) -> None:
    lab = make_lab(1)
    lab.launch()
    lab.wait(SETTLED)
    lab.drs.control({"account": lab.account, "region": P, "initialized": False})
    instance = lab.instance()["recoveryInstanceID"]
    error = refused(lab, "ReverseReplication", recoveryInstanceID=instance)
    assert error.code == "UninitializedAccountException"


def test_replicating_servers_are_limited_in_the_origin_region_too(make_lab: Any) -> None:
    lab = make_lab(1, {"quotas": {"replicatingServers": 1}})
    lab.launch()
    lab.wait(SETTLED)
    lab.drs.control({"settings": {"quotas": {"replicatingServers": 0}}})
    instance = lab.instance()["recoveryInstanceID"]
    error = refused(lab, "ReverseReplication", recoveryInstanceID=instance)
    assert error.members["quotaCode"] == "L-C1D14A2B"


def test_failing_back_resumes_the_original_protection_by_a_rescan(make_lab: Any) -> None:
    lab, _, a2 = reversed_lab(make_lab, {"rescanMbitPerSecond": 500})
    b1 = lab.server()
    lab.wait(SYNCHRONISED)
    lab.launch(a2, region=P)
    lab.wait(SETTLED)
    a3 = lab.instance(a2, P)
    assert a3["dataReplicationInfo"]["dataReplicationState"] == "NOT_STARTED"
    answer = lab.call("ReverseReplication", P, recoveryInstanceID=a3["recoveryInstanceID"])
    assert answer["reversedDirectionSourceServerArn"].endswith(b1)
    assert replication(lab, b1, R) == "RESCAN"
    hints = lab.described(b1)["sourceProperties"]["identificationHints"]
    assert hints["awsInstanceID"] == a3["recoveryInstanceID"]
    unfinished = False
    for _ in range(60):
        lab.wait(60)
        info = lab.described(b1)["dataReplicationInfo"]
        disk = info["replicatedDisks"][0]
        whole = disk["rescannedStorageBytes"] == disk["totalStorageBytes"]
        unfinished |= info["dataReplicationState"] == "CONTINUOUS" and not whole
    # Says CONTINUOUS before the rescan has ended: both must be looked at.
    assert unfinished
    assert whole
    assert info["lagDuration"] == "P0D"


def test_cleaning_up_after_a_failback_leaves_the_live_instance_alone(make_lab: Any) -> None:
    lab, b2, a2 = reversed_lab(make_lab)
    lab.wait(SYNCHRONISED)
    lab.launch(a2, region=P)
    lab.wait(SETTLED)
    a3 = lab.instance(a2, P)["recoveryInstanceID"]
    assert refused(lab, "DeleteRecoveryInstance", P, recoveryInstanceID=a3).status == 409
    lab.call("ReverseReplication", P, recoveryInstanceID=a3)
    lab.call("StopReplication", P, sourceServerID=a2)
    lab.call("StopFailback", recoveryInstanceID=b2)
    lab.call("TerminateRecoveryInstances", recoveryInstanceIDs=[b2])
    lab.wait(150)
    error = refused(lab, "DisconnectSourceServer", P, sourceServerID=a2)
    assert "if it has a Recovery Instance" in error.message
    lab.call("DeleteRecoveryInstance", P, recoveryInstanceID=a3)
    lab.call("DisconnectSourceServer", P, sourceServerID=a2)
    lab.call("DeleteSourceServer", P, sourceServerID=a2)
    assert lab.ec2(a3, P).state == "running"
    assert lab.ec2(b2, R).state == "terminated"
    assert lab.call("DescribeSourceServers", P)["items"] == []
    assert "reversedDirectionSourceServerArn" not in lab.described()


@pytest.mark.parametrize("counts", ["Compared", "Pending"])
def test_rescanned_bytes_are_counted_up_or_down(make_lab: Any, counts: str) -> None:
    settings = {"rescanMbitPerSecond": 500, "rescannedBytes": counts}
    lab, _, a2 = reversed_lab(make_lab, settings)
    b1 = lab.server()

    def disk(server: str, region: str) -> tuple[int, int]:
        (one, *_) = lab.described(server, region)["dataReplicationInfo"]["replicatedDisks"]
        return one["rescannedStorageBytes"], one["totalStorageBytes"]

    lab.wait(SYNCHRONISED)
    told, total = disk(a2, P)
    assert told == (total if counts == "Compared" else 0)
    lab.launch(a2, region=P)
    lab.wait(SETTLED)
    lab.call("ReverseReplication", P, recoveryInstanceID=lab.instance(a2, P)["recoveryInstanceID"])
    shares = []
    for _ in range(60):
        told, total = disk(b1, R)
        shares.append(told / total)
        lab.wait(60)
    assert shares == sorted(shares, reverse=counts == "Pending")
    assert (shares[0], shares[-1]) == ((0.0, 1.0) if counts == "Compared" else (1.0, 0.0))
    assert any(0 < share < 1 for share in shares)


@pytest.mark.parametrize("forgets", [False, True])
def test_a_failback_that_is_stopped_counts_as_not_started(make_lab: Any, forgets: bool) -> None:
    settings = {"stopFailbackForgets": forgets, "terminateWants": "StoppedFailback"}
    lab, b2, a2 = reversed_lab(make_lab, settings)
    lab.wait(SYNCHRONISED)
    lab.launch(a2, region=P)
    assert lab.instance()["failback"]["state"] == "FAILBACK_COMPLETED"
    refusal = refused(lab, "TerminateRecoveryInstances", recoveryInstanceIDs=[b2])
    assert refusal.message == "Recovery instances cannot be terminated during failback"
    lab.call("StopFailback", recoveryInstanceID=b2)
    failback = lab.instance()["failback"]
    assert failback["state"] == "FAILBACK_NOT_STARTED"
    assert ("failbackInitiationTime" in failback) is not forgets
    lab.call("TerminateRecoveryInstances", recoveryInstanceIDs=[b2])


def test_an_instance_is_forgotten_once_it_is_disconnected(make_lab: Any) -> None:
    lab, b2, a2 = reversed_lab(make_lab, {"deleteWants": "Disconnected"})
    assert refused(lab, "DeleteRecoveryInstance", recoveryInstanceID=b2).status == 409
    lab.call("DisconnectRecoveryInstance", recoveryInstanceID=b2)
    assert replication(lab, a2, P) == "DISCONNECTED"
    lab.call("DeleteRecoveryInstance", recoveryInstanceID=b2)


def test_what_comes_back_is_launched_into_its_source_where_the_account_says_so(
    make_lab: Any,
) -> None:
    lab = make_lab(1)
    lab.call("CreateLaunchConfigurationTemplate", P, launchIntoSourceInstance=True)
    a1 = lab.described()["sourceProperties"]["identificationHints"]["awsInstanceID"]
    lab.launch()
    lab.wait(SETTLED)
    b2 = lab.instance()["recoveryInstanceID"]
    refusal = refused(lab, "ReverseReplication", recoveryInstanceID=b2)
    assert (refusal.code, "AWSDRS" in refusal.message) == ("ValidationException", True)
    ec2 = lab.world.moto("ec2", lab.account, P)
    ec2.create_tags([a1], {"AWSDRS": "AllowLaunchingIntoThisInstance"})
    ec2.stop_instances([a1])
    arn = lab.call("ReverseReplication", recoveryInstanceID=b2)["reversedDirectionSourceServerArn"]
    a2 = arn.partition("/")[2]
    config = lab.call("GetLaunchConfiguration", P, sourceServerID=a2)
    assert config["launchIntoInstanceProperties"] == {"launchIntoEC2InstanceID": a1}
    off = {"launchIntoInstanceProperties": {"launchIntoEC2InstanceID": ""}}
    lab.call("UpdateLaunchConfiguration", P, sourceServerID=a2, **off)
    lab.wait(SYNCHRONISED)
    lab.launch(a2, region=P)  # the account's setting stands
    assert lab.instance(a2, P)["ec2InstanceID"] == a1


def test_stopping_deletes_the_points_in_time_and_starting_copies_anew(make_lab: Any) -> None:
    lab = make_lab(1)
    server = {"sourceServerID": lab.server()}
    assert refused(lab, "StartReplication", **server).status == 409
    stopped = lab.call("StopReplication", **server)["sourceServer"]
    assert stopped["dataReplicationInfo"]["dataReplicationState"] == "STOPPED"
    assert lab.call("DescribeRecoverySnapshots", **server)["items"] == []
    lab.call("StartReplication", **server)
    assert replication(lab, lab.server(), R) == "INITIATING"
    lab.wait(SYNCHRONISED)
    assert replication(lab, lab.server(), R) == "CONTINUOUS"
    assert lab.call("DescribeRecoverySnapshots", **server)["items"]


def test_a_disconnected_server_has_no_storage_and_can_be_deleted(make_lab: Any) -> None:
    lab = make_lab(1)
    server = {"sourceServerID": lab.server()}
    assert refused(lab, "DeleteSourceServer", **server).status == 409
    info = lab.call("DisconnectSourceServer", **server)["dataReplicationInfo"]
    assert info["dataReplicationState"] == "DISCONNECTED"
    assert [d["totalStorageBytes"] for d in info["replicatedDisks"]] == [0]
    assert "lagDuration" not in info
    lab.call("DeleteSourceServer", **server)
    assert refused(lab, "DeleteSourceServer", **server).status == 404


def test_a_server_in_a_job_is_neither_stopped_nor_disconnected(make_lab: Any) -> None:
    lab = make_lab(1)
    lab.start()
    for operation in ("StopReplication", "DisconnectSourceServer"):
        error = refused(lab, operation, sourceServerID=lab.server())
        assert "currently being processed by a Job" in error.message


def test_a_disconnected_instance_can_be_deleted_and_keeps_running(make_lab: Any) -> None:
    lab = make_lab(1)
    lab.launch()
    instance = lab.instance()["recoveryInstanceID"]
    lab.call("DisconnectRecoveryInstance", recoveryInstanceID=instance)
    lab.call("DeleteRecoveryInstance", recoveryInstanceID=instance)
    assert lab.call("DescribeRecoveryInstances")["items"] == []
    assert lab.ec2(instance).state == "running"


def test_the_failback_client_of_on_premises_servers_is_refused(make_lab: Any) -> None:
    lab = make_lab(1)
    error = refused(lab, "StartFailbackLaunch", recoveryInstanceIDs=["i-00000000000000000"])
    assert "StartRecovery on the reversed source server" in error.message


def test_a_reversed_server_is_stalled_while_its_instance_is_stopped(make_lab: Any) -> None:
    lab, b2, a2 = reversed_lab(make_lab)
    lab.wait(SYNCHRONISED)
    assert replication(lab, a2, P) == "CONTINUOUS"
    lab.ec2(b2).stop()
    lab.drs.settle(lab.world.clock.now())
    lab.wait(600)
    info = lab.described(a2, P)["dataReplicationInfo"]
    assert (info["dataReplicationState"], info["lagDuration"]) == ("STALLED", "PT10M")
    assert info["dataReplicationError"] == {"error": "AGENT_NOT_SEEN"}
    points = lab.call("DescribeRecoverySnapshots", P, sourceServerID=a2)["items"]
    assert points
    lab.ec2(b2).start()
    assert replication(lab, a2, P) == "CONTINUOUS"


def test_a_copy_goes_on_where_it_was_when_its_instance_runs_again(make_lab: Any) -> None:
    lab, b2, a2 = reversed_lab(make_lab)
    lab.wait(900)

    def copied() -> int:
        disks = lab.described(a2, P)["dataReplicationInfo"]["replicatedDisks"]
        return int(disks[0]["replicatedStorageBytes"])

    before = copied()
    assert before > 0
    lab.ec2(b2).stop()
    lab.drs.settle(lab.world.clock.now())
    lab.wait(3600)
    assert copied() == before
    assert replication(lab, a2, P) == "STALLED"
    lab.ec2(b2).start()
    assert (copied(), replication(lab, a2, P)) == (before, "INITIAL_SYNC")


def test_an_agent_without_a_role_is_not_heard_of_and_cannot_be_reversed(make_lab: Any) -> None:
    lab = make_lab(1)
    lab.launch()
    lab.wait(SETTLED)
    instance = lab.instance()["recoveryInstanceID"]
    assert "agentLastSeenByServiceDateTime" in lab.instance()["failback"]
    ec2 = lab.world.moto("ec2", lab.account, R)
    profile = ec2.iam_instance_profile_associations[instance]
    assert profile.iam_instance_profile.name == "AWSElasticDisasterRecoveryRecoveryInstanceRole"
    ec2.disassociate_iam_instance_profile(profile.association_id)
    error = refused(lab, "ReverseReplication", recoveryInstanceID=instance)
    assert error.message == "Recovery instance not finished initializing"


def test_the_launch_template_names_the_instance_profile(make_lab: Any) -> None:
    lab = make_lab(1)
    ec2 = lab.world.moto("ec2", lab.account, R)
    template = lab.call("GetLaunchConfiguration", sourceServerID=lab.server())
    known = ec2.get_launch_template(template["ec2LaunchTemplateID"])
    known.default_version().data["IamInstanceProfile"] = {"Name": "app"}
    job = lab.launch()
    assert "Invalid IAM Instance Profile name" in str(lab.log(job["jobID"]))
    iam = lab.world.moto("iam", lab.account, R)
    iam.create_instance_profile("app", "/", [])
    lab.launch()
    instance = lab.instance()["recoveryInstanceID"]
    assert ec2.iam_instance_profile_associations[instance].iam_instance_profile.name == "app"

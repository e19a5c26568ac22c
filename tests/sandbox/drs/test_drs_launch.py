"""Launch and terminate jobs: times, states, quotas, faults, EC2."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from leeward_sandbox.aws.backend import AwsError

R = "us-east-2"
PROFILE = {
    "SNAPSHOT_START": 0.8,
    "SNAPSHOT_END": 1.0,
    "CONVERSION_START": 53.0,
    "CONVERSION_END": 250.0,
    "LAUNCH_START": 250.6,
    "LAUNCH_END": 529.0,
}


def statuses(job: Any) -> set[str]:
    return {part["launchStatus"] for part in job["participatingServers"]}


def refused(lab: Any, operation: str, **params: Any) -> AwsError:
    with pytest.raises(AwsError) as caught:
        lab.call(operation, **params)
    return caught.value


def test_a_launch_follows_the_measured_profile_within_its_jitter(lab: Any) -> None:
    job = lab.launch()
    created = datetime.fromisoformat(job["creationDateTime"])
    for item in lab.log(job["jobID"]):
        if item["event"] in PROFILE:
            after = (datetime.fromisoformat(item["logDateTime"]) - created).total_seconds()
            wanted = PROFILE[item["event"]]
            assert 0.85 * (wanted - 0.4) <= after - 0.4 <= 1.15 * (wanted - 0.4) + 0.001
    ended = datetime.fromisoformat(job["endDateTime"])
    last = max(i["logDateTime"] for i in lab.log(job["jobID"]) if i["event"] == "LAUNCH_END")
    assert (ended - datetime.fromisoformat(last)).total_seconds() == pytest.approx(4.0)


def test_servers_of_a_job_take_different_times(lab: Any) -> None:
    job = lab.launch()
    ends = [i["logDateTime"] for i in lab.log(job["jobID"]) if i["event"] == "LAUNCH_END"]
    assert len(set(ends)) == 3


def test_a_job_passes_through_its_states(lab: Any) -> None:
    job = lab.start()
    assert job["status"] == "PENDING"
    seen = []
    for seconds in (0.3, 60.0, 250.0, 300.0):
        lab.wait(seconds)
        job = lab.job(job["jobID"])
        seen.append((job["status"], statuses(job)))
    assert seen == [
        ("PENDING", {"PENDING"}),
        ("STARTED", {"PENDING"}),
        ("STARTED", {"IN_PROGRESS"}),
        ("COMPLETED", {"LAUNCHED"}),
    ]


def test_the_log_of_one_server_has_the_recorded_events_in_order(make_lab: Any) -> None:
    lab = make_lab(1)
    job = lab.launch()
    assert lab.events(job["jobID"]) == ["JOB_START", *PROFILE, "JOB_END"]
    end = next(i for i in lab.log(job["jobID"]) if i["event"] == "LAUNCH_END")
    assert end["eventData"]["targetInstanceID"] == lab.instance()["ec2InstanceID"]


def test_one_jump_of_the_clock_gives_the_same_log_as_many_steps(make_lab: Any) -> None:
    lab = make_lab(1)

    def offsets(steps: int) -> list[tuple[str, float]]:
        started = lab.world.clock.now()
        job = lab.start()
        for _ in range(steps):
            lab.wait(700 / steps)
            lab.job(job["jobID"])
        times = [
            (i["event"], datetime.fromisoformat(i["logDateTime"])) for i in lab.log(job["jobID"])
        ]
        return [(event, round((at - started).total_seconds(), 3)) for event, at in times]

    jumped = offsets(1)
    lab.call("TerminateRecoveryInstances", recoveryInstanceIDs=[lab.instance()["ec2InstanceID"]])
    lab.wait(200)
    assert offsets(70) == jumped


def test_the_recovery_instance_appears_near_the_end_and_is_pending_first(make_lab: Any) -> None:
    lab = make_lab(1)
    job = lab.start()
    lab.wait(300)
    assert lab.call("DescribeRecoveryInstances")["items"] == []
    states: list[str] = []
    for _ in range(70):
        lab.wait(5)
        found = lab.call("DescribeRecoveryInstances")["items"]
        states.extend(i["ec2InstanceState"] for i in found)
    assert states[0] == "PENDING"
    assert states[-1] == "RUNNING"
    assert lab.instance()["jobID"] == job["jobID"]


def test_the_ec2_instance_carries_the_tags_of_drs_and_of_the_server(lab: Any) -> None:
    lab.launch(lab.server())
    instance = lab.ec2(lab.instance()["ec2InstanceID"])
    tags = {tag["key"]: tag["value"] for tag in instance.get_tags()}
    assert tags["AWSElasticDisasterRecoverySourceServerID"] == lab.server()
    assert tags["AWSElasticDisasterRecoveryManaged"] == "drs.amazonaws.com"
    assert (tags["Name"], tags["dr:wave"], tags["Customer"]) == ("app-01", "1", "CustomerA")
    assert instance.state == "running"


def test_without_copy_tags_the_ec2_instance_has_only_the_tags_of_drs(lab: Any) -> None:
    lab.call("UpdateLaunchConfiguration", sourceServerID=lab.server(), copyTags=False)
    lab.launch(lab.server())
    tags = {tag["key"] for tag in lab.ec2(lab.instance()["ec2InstanceID"]).get_tags()}
    assert tags == {
        "AWSElasticDisasterRecoveryManaged",
        "AWSElasticDisasterRecoverySourceServerID",
        "Name",
    }


def test_a_stopped_disposition_leaves_a_stopped_instance(lab: Any) -> None:
    lab.call("UpdateLaunchConfiguration", sourceServerID=lab.server(), launchDisposition="STOPPED")
    lab.launch(lab.server())
    assert lab.instance()["ec2InstanceState"] == "STOPPED"
    assert lab.ec2(lab.instance()["ec2InstanceID"]).state == "stopped"


def test_the_template_counts_as_it_is_when_the_launch_starts(lab: Any) -> None:
    ec2 = lab.world.moto("ec2", lab.account, R)
    drill = lab.seeded.networks[lab.account].drill
    template = ec2.get_launch_template(
        lab.call("GetLaunchConfiguration", sourceServerID=lab.server())["ec2LaunchTemplateID"]
    )
    network = {"DeviceIndex": 0, "SubnetId": drill.subnets["drill-a"]}
    template.create_version({"NetworkInterfaces": [network]}, "drill")
    job = lab.start(lab.server(), isDrill=True)
    lab.wait(100)
    lab.drs.settle(lab.world.clock.now())
    template.default_version_number = 2  # before the launch starts: counts
    lab.wait(230)
    lab.drs.settle(lab.world.clock.now())
    template.default_version_number = 1  # after it started: does not
    lab.wait(400)
    assert lab.job(job["jobID"])["status"] == "COMPLETED"
    assert lab.ec2(lab.instance()["ec2InstanceID"]).subnet_id == drill.subnets["drill-a"]


def test_a_template_with_a_missing_subnet_fails_the_launch_with_ec2s_words(lab: Any) -> None:
    ec2 = lab.world.moto("ec2", lab.account, R)
    configuration = lab.call("GetLaunchConfiguration", sourceServerID=lab.server())
    template = ec2.get_launch_template(configuration["ec2LaunchTemplateID"])
    network = {"DeviceIndex": 0, "SubnetId": "subnet-00000000000000000"}
    template.create_version({"NetworkInterfaces": [network]}, "wrong")
    template.default_version_number = 2
    job = lab.launch(lab.server())
    assert (job["status"], statuses(job)) == ("COMPLETED", {"FAILED"})
    failed = next(i for i in lab.log(job["jobID"]) if i["event"] == "LAUNCH_FAILED")
    assert "InvalidSubnetID.NotFound" in failed["eventData"]["rawError"]


def test_a_private_ip_of_another_network_cannot_be_copied(lab: Any) -> None:
    lab.call("UpdateLaunchConfiguration", sourceServerID=lab.server(), copyPrivateIp=True)
    job = lab.launch(lab.server())
    failed = next(i for i in lab.log(job["jobID"]) if i["event"] == "LAUNCH_FAILED")
    assert "does not fall within the subnet" in failed["eventData"]["rawError"]


def test_the_job_does_not_name_its_instances_unless_told_to(make_lab: Any) -> None:
    lab = make_lab(1)
    assert "recoveryInstanceID" not in lab.launch()["participatingServers"][0]
    other = make_lab(1, {"instanceIdOnJob": True})
    part = other.launch()["participatingServers"][0]
    assert part["recoveryInstanceID"] == other.instance()["recoveryInstanceID"]


def test_the_source_server_shows_its_last_launch(lab: Any) -> None:
    assert lab.described()["lifeCycle"]["lastLaunch"] == {"initiated": {}}
    job = lab.start(lab.server(), isDrill=True)
    running = lab.described()
    assert running["lastLaunchResult"] == "PENDING"
    initiated = running["lifeCycle"]["lastLaunch"]["initiated"]
    assert (initiated["jobID"], initiated["type"]) == (job["jobID"], "DRILL")
    lab.wait(700)
    done = lab.described()
    assert done["lastLaunchResult"] == "SUCCEEDED"
    assert done["lifeCycle"]["lastLaunch"]["status"] == "LAUNCHED"
    assert done["recoveryInstanceId"] == lab.instance()["recoveryInstanceID"]
    assert lab.instance()["isDrill"] is True


def test_a_new_launch_first_removes_the_earlier_instance(lab: Any) -> None:
    lab.launch(lab.server())
    first = lab.instance()["ec2InstanceID"]
    job = lab.launch(lab.server())
    assert lab.events(job["jobID"])[1:3] == ["CLEANUP_START", "CLEANUP_END"]
    assert lab.ec2(first).state == "terminated"
    assert lab.instance()["ec2InstanceID"] != first


def test_the_removal_of_the_earlier_instance_can_be_switched_off(make_lab: Any) -> None:
    lab = make_lab(1, {"removeEarlierInstance": False})
    lab.launch()
    first = lab.instance()["ec2InstanceID"]
    job = lab.launch()
    assert "CLEANUP_START" not in lab.events(job["jobID"])
    assert lab.ec2(first).state == "running"


def test_a_fast_recovery_has_no_conversion_and_ends_earlier(make_lab: Any) -> None:
    lab = make_lab(1)
    slow = lab.launch()
    lab.call("UpdateLaunchConfiguration", sourceServerID=lab.server(), recoveryMode="FAST")
    fast = lab.launch()
    assert not {"CONVERSION_START", "CONVERSION_END"} & set(lab.events(fast["jobID"]))

    def length(job: Any) -> float:
        begin, end = job["creationDateTime"], job["endDateTime"]
        return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()

    assert length(fast) < length(slow) - 120


@pytest.mark.parametrize(
    ("step", "event"),
    [("SNAPSHOT", "SNAPSHOT_FAIL"), ("CONVERSION", "CONVERSION_FAIL"), ("LAUNCH", "LAUNCH_FAILED")],
)
def test_a_planned_fault_fails_one_server_and_the_job_completes(
    lab: Any, step: str, event: str
) -> None:
    raw = "InsufficientInstanceCapacity: no m5.large in us-east-2a"
    lab.change(fault={"failAt": step, "rawError": raw})
    job = lab.launch()
    by_server = {p["sourceServerID"]: p["launchStatus"] for p in job["participatingServers"]}
    assert job["status"] == "COMPLETED"
    assert by_server.pop(lab.server()) == "FAILED"
    assert set(by_server.values()) == {"LAUNCHED"}
    failed = [i for i in lab.log(job["jobID"]) if i["event"] == event]
    assert [i["eventData"]["rawError"] for i in failed] == [raw]
    assert lab.described()["lastLaunchResult"] == "FAILED"
    assert "recoveryInstanceId" not in lab.described()


def test_a_fault_for_one_time_lets_the_second_launch_work(make_lab: Any) -> None:
    lab = make_lab(1)
    lab.change(fault={"failAt": "LAUNCH", "rawError": "VcpuLimitExceeded", "times": 1})
    assert [statuses(lab.launch()), statuses(lab.launch())] == [{"FAILED"}, {"LAUNCHED"}]


def test_a_stalled_server_launches_from_its_previous_snapshot(make_lab: Any) -> None:
    lab = make_lab(1)
    lab.change(state="STALLED", error="AGENT_NOT_SEEN")
    stalled_at = lab.world.clock.now()
    lab.wait(7200)
    job = lab.launch()
    assert statuses(job) == {"LAUNCHED"}
    events = lab.events(job["jobID"])
    assert events[2:4] == ["SNAPSHOT_FAIL", "USING_PREVIOUS_SNAPSHOT"]
    taken = datetime.fromisoformat(lab.instance()["pointInTimeSnapshotDateTime"])
    assert 0 <= (stalled_at - taken).total_seconds() <= 600


@pytest.mark.parametrize("state", ["STOPPED", "DISCONNECTED", "INITIAL_SYNC"])
def test_a_server_without_snapshots_fails_and_the_job_completes(make_lab: Any, state: str) -> None:
    lab = make_lab(1)
    lab.change(state=state)
    job = lab.launch()
    assert (job["status"], statuses(job)) == ("COMPLETED", {"FAILED"})
    assert lab.events(job["jobID"])[2:4] == ["SNAPSHOT_FAIL", "USING_PREVIOUS_SNAPSHOT_FAILED"]


def test_a_chosen_point_in_time_is_the_one_launched(make_lab: Any) -> None:
    lab = make_lab(1)
    found = lab.call("DescribeRecoverySnapshots", sourceServerID=lab.server(), order="DESC")
    chosen = found["items"][2]
    listed = [{"sourceServerID": lab.server(), "recoverySnapshotID": chosen["snapshotID"]}]
    lab.call("StartRecovery", sourceServers=listed)
    lab.wait(700)
    assert lab.instance()["pointInTimeSnapshotDateTime"] == chosen["timestamp"]


def test_a_server_in_an_active_job_is_refused(lab: Any) -> None:
    lab.start(lab.server())
    error = refused(lab, "StartRecovery", sourceServers=[{"sourceServerID": lab.server()}])
    assert (error.code, error.status) == ("ConflictException", 409)
    assert "currently being processed by a Job" in error.message
    assert error.members["resourceId"] == lab.server()


def test_an_instance_of_a_server_in_an_active_job_is_not_terminated(lab: Any) -> None:
    lab.launch(lab.server())
    instance = lab.instance()["recoveryInstanceID"]
    lab.start(lab.server())
    error = refused(lab, "TerminateRecoveryInstances", recoveryInstanceIDs=[instance])
    assert error.code == "ConflictException"


@pytest.mark.parametrize(
    ("quotas", "code"),
    [
        ({"serversPerJob": 1}, "L-B827C881"),
        ({"jobs": 1}, "L-D88FAC3A"),
        ({"serversInJobs": 2}, "L-05AFA8C6"),
    ],
)
def test_a_job_over_a_quota_is_refused_with_the_quotas_code(
    make_lab: Any, quotas: dict[str, int], code: str
) -> None:
    lab = make_lab(3, {"quotas": quotas})
    lab.start(lab.server("app-01"))
    rest = [{"sourceServerID": lab.server(n)} for n in ("app-02", "app-03")]
    error = refused(lab, "StartRecovery", sourceServers=rest)
    assert (error.code, error.status) == ("ServiceQuotaExceededException", 402)
    assert (error.members["quotaCode"], error.members["serviceCode"]) == (code, "drs")


def test_a_refused_job_leaves_no_trace(lab: Any) -> None:
    listed = [{"sourceServerID": lab.server()}, {"sourceServerID": "s-00000000000000000"}]
    error = refused(lab, "StartRecovery", sourceServers=listed)
    assert (error.code, error.status) == ("ResourceNotFoundException", 404)
    assert lab.call("DescribeJobs")["items"] == []
    assert lab.described()["lastLaunchResult"] == "NOT_STARTED"


def test_a_server_listed_twice_is_refused(lab: Any) -> None:
    listed = [{"sourceServerID": lab.server()}] * 2
    error = refused(lab, "StartRecovery", sourceServers=listed)
    assert (error.code, error.members["reason"]) == (
        "ValidationException",
        "fieldValidationFailed",
    )


def test_a_terminate_job_removes_instance_and_ec2(lab: Any) -> None:
    lab.launch(lab.server())
    instance = lab.instance()["recoveryInstanceID"]
    job = lab.call("TerminateRecoveryInstances", recoveryInstanceIDs=[instance])["job"]
    assert (job["type"], job["initiatedBy"]) == ("TERMINATE", "TERMINATE_RECOVERY_INSTANCES")
    lab.wait(25)
    assert statuses(lab.job(job["jobID"])) == {"PENDING"}
    lab.wait(125)
    done = lab.job(job["jobID"])
    assert (done["status"], statuses(done)) == ("COMPLETED", {"TERMINATED"})
    assert lab.call("DescribeRecoveryInstances")["items"] == []
    assert "recoveryInstanceId" not in lab.described()
    assert lab.ec2(instance).state == "terminated"


def test_an_instance_that_ec2_terminated_is_still_described_as_terminated(lab: Any) -> None:
    lab.launch(lab.server())
    instance = lab.instance()["recoveryInstanceID"]
    lab.world.moto("ec2", lab.account, R).terminate_instances([instance])
    assert lab.instance()["ec2InstanceState"] == "TERMINATED"


def test_launching_into_an_instance_needs_a_stopped_one_with_the_tag(lab: Any) -> None:
    lab.call("UpdateLaunchConfiguration", sourceServerID=lab.server(), copyTags=False)
    lab.launch(lab.server("app-02"))
    target = lab.instance(lab.server("app-02"))["ec2InstanceID"]
    into = {"launchIntoEC2InstanceID": target}
    change = {"sourceServerID": lab.server(), "launchIntoInstanceProperties": into}
    assert "stopped state" in refused(lab, "UpdateLaunchConfiguration", **change).message
    ec2 = lab.world.moto("ec2", lab.account, R)
    ec2.stop_instances([target])
    assert "AWSDRS" in refused(lab, "UpdateLaunchConfiguration", **change).message
    ec2.create_tags([target], {"AWSDRS": "AllowLaunchingIntoThisInstance"})
    lab.call("UpdateLaunchConfiguration", **change)
    lab.launch(lab.server())
    assert lab.instance()["ec2InstanceID"] == target
    assert lab.ec2(target).state == "running"
    ec2.stop_instances([target])
    lab.launch(lab.server())  # into it once more: the clean-up before must not end it
    assert lab.ec2(target).state == "running"


def test_launch_actions_run_after_the_launch(make_lab: Any) -> None:
    lab = make_lab(1)
    lab.call("UpdateLaunchConfiguration", sourceServerID=lab.server(), postLaunchEnabled=True)
    lab.call(
        "PutLaunchAction",
        resourceId=lab.server(),
        actionId="11111111-1111-4111-8111-111111111111",
        actionCode="AWS-RunShellScript",
        actionVersion="1",
        order=10,
        optional=False,
        active=True,
        name="check",
        category="VALIDATION",
        description="checks",
    )
    job = lab.launch()
    seen: list[str] = []
    for _ in range(3):
        actions = lab.job(job["jobID"])["participatingServers"][0]["launchActionsStatus"]
        seen.extend(run["status"] for run in actions["runs"])
        lab.wait(45)
    assert seen[-1] == "SUCCEEDED"

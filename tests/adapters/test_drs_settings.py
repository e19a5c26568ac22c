"""Launch settings of servers: set before a launch, once; compared; proved; put back by a drill."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError, HTTPClientError

from leeward_adapters.base import ErrorClass, State, Target
from leeward_adapters.errors import classify

pytestmark = pytest.mark.aws

CHANGING = {"UpdateLaunchConfiguration", "CreateLaunchTemplateVersion", "ModifyLaunchTemplate"}


def _subnets(sandbox: Any) -> dict[str, Any]:
    """Subnets of the recovery VPC by name."""
    wanted = [{"Name": "tag:Purpose", "Values": ["Recovery"]}]
    found = sandbox.client("ec2").describe_subnets(Filters=wanted)["Subnets"]
    return {
        next(t["Value"] for t in s["Tags"] if t["Key"] == "Name").split("-", 1)[1]: s
        for s in sorted(found, key=lambda s: s["SubnetId"])
    }


def _elsewhere(sandbox: Any, server: str) -> dict[str, Any]:
    """A subnet of the recovery VPC that the server's template does not name."""
    here = _interface(_template(sandbox, server))["SubnetId"]
    return next(s for s in _subnets(sandbox).values() if s["SubnetId"] != here)


def _config(sandbox: Any, server: str) -> dict[str, Any]:
    found: dict[str, Any] = sandbox.client("drs").get_launch_configuration(sourceServerID=server)
    del found["ResponseMetadata"]
    return found


def _template(sandbox: Any, server: str) -> dict[str, Any]:
    found: dict[str, Any] = sandbox.client("ec2").describe_launch_template_versions(
        LaunchTemplateId=_config(sandbox, server)["ec2LaunchTemplateID"], Versions=["$Default"]
    )["LaunchTemplateVersions"][0]
    return found


def _interface(version: dict[str, Any]) -> dict[str, Any]:
    first: dict[str, Any] = version["LaunchTemplateData"]["NetworkInterfaces"][0]
    return first


def _wanting(task: Any, settings: dict[str, Any]) -> Any:
    task.targets = tuple(replace(target, settings=settings) for target in task.targets)
    return task


def _changes(sandbox: Any, since: int = 0) -> list[str]:
    calls = sandbox.control.calls(since=since)
    return [c["operation"] for c in calls if c["operation"] in CHANGING and c["executed"]]


def _settings(sandbox: Any, server: str, **more: Any) -> dict[str, Any]:
    """Settings of every kind, none of which the server has."""
    sandbox.client("iam").create_instance_profile(InstanceProfileName="recovered")
    subnet = _elsewhere(sandbox, server)
    return {
        "copyPrivateIp": False,
        "copyTags": False,
        "osByol": True,
        "targetInstanceTypeRightSizingMethod": "NONE",
        "recoveryMode": "FAST",
        "instanceType": "c5.xlarge",
        "iamInstanceProfile": "recovered",
        "subnetId": subnet["SubnetId"],
        "privateIpAddress": subnet["CidrBlock"].rsplit(".", 1)[0] + ".77",
        "associatePublicIpAddress": False,
        **more,
    }


def test_a_server_is_launched_with_its_settings(sandbox: Any, make_task: Any) -> None:
    server, other = sandbox.servers()
    settings = _settings(sandbox, server)
    plain = _template(sandbox, other)

    task = make_task(sandbox, [server, other])
    task.targets = (replace(task.targets[0], settings=settings), task.targets[1])
    proof = task.run()

    assert {seen.state for seen in proof.values()} == {State.DONE}
    answer = sandbox.client("ec2").describe_instances(InstanceIds=[proof[server].reference])
    machine = answer["Reservations"][0]["Instances"][0]
    assert machine["SubnetId"] == settings["subnetId"]
    assert machine["InstanceType"] == "c5.xlarge"
    assert machine["PrivateIpAddress"] == settings["privateIpAddress"]
    config = _config(sandbox, server)
    assert config["licensing"] == {"osByol": True}
    assert (config["launchDisposition"], config["recoveryMode"]) == ("STOPPED", "FAST")
    assert config["copyTags"] is False
    assert _template(sandbox, other) == plain  # who has no settings keeps its template


def test_a_second_time_changes_nothing(sandbox: Any, make_task: Any) -> None:
    servers = sandbox.servers()
    task = _wanting(make_task(sandbox, servers), _settings(sandbox, servers[0]))
    task.act("prepare")
    first = _changes(sandbox)
    since = sandbox.control.last_seq()

    again = _wanting(make_task(sandbox, servers, execution="orders-2"), task.targets[0].settings)
    again.act("prepare")

    assert {name: first.count(name) for name in CHANGING} == dict.fromkeys(CHANGING, 2)
    assert _changes(sandbox, since) == []


def test_a_new_version_keeps_what_the_settings_do_not_name(sandbox: Any, make_task: Any) -> None:
    server, _ = sandbox.servers()
    ec2, before = sandbox.client("ec2"), _template(sandbox, server)
    interface = _interface(before)
    ec2.create_launch_template_version(
        LaunchTemplateId=before["LaunchTemplateId"],
        LaunchTemplateData={
            "InstanceType": "r5.large",
            "KeyName": "operations",
            "Placement": {"AvailabilityZone": "us-east-2c", "Tenancy": "default"},
            "NetworkInterfaces": [
                interface | {"DeviceIndex": 0, "PrivateIpAddress": "10.1.0.77"},
                {"DeviceIndex": 1, "SubnetId": interface["SubnetId"]},
            ],
        },
    )
    ec2.modify_launch_template(LaunchTemplateId=before["LaunchTemplateId"], DefaultVersion="2")
    subnet = _elsewhere(sandbox, server)["SubnetId"]

    _wanting(make_task(sandbox, [server]), {"subnetId": subnet}).act("prepare")

    data = _template(sandbox, server)["LaunchTemplateData"]
    first, second = data["NetworkInterfaces"]
    assert (data["InstanceType"], data["KeyName"]) == ("r5.large", "operations")
    assert data["Placement"] == {"Tenancy": "default"}  # the zone was that of the old subnet
    assert (first["SubnetId"], first["Groups"]) == (subnet, interface["Groups"])
    assert "PrivateIpAddress" not in first  # nor is the address one of the new subnet
    assert second["SubnetId"] == interface["SubnetId"]


@pytest.mark.parametrize("operation", sorted(CHANGING))
def test_settings_whose_answer_was_lost_are_not_set_twice(
    sandbox: Any, make_task: Any, operation: str
) -> None:
    server, _ = sandbox.servers()
    settings = _settings(sandbox, server)
    task = _wanting(make_task(sandbox, [server]), settings)
    service = "drs" if operation == "UpdateLaunchConfiguration" else "ec2"
    sandbox.control.add_fault(
        service=service, operation=operation, action="drop", when="after", times=3
    )
    with pytest.raises(HTTPClientError):
        task.act("prepare")

    assert task.run()[server].state is State.DONE

    assert _template(sandbox, server)["VersionNumber"] == 2
    assert _config(sandbox, server)["licensing"] == {"osByol": True}


def test_a_version_that_was_made_and_never_became_the_default_is_used(
    sandbox: Any, make_task: Any
) -> None:
    server, _ = sandbox.servers()
    task = _wanting(make_task(sandbox, [server]), _settings(sandbox, server))
    sandbox.control.add_fault(
        service="ec2", operation="ModifyLaunchTemplate", action="error",
        code="RequestLimitExceeded", times=3,
    )  # fmt: skip
    with pytest.raises(ClientError):
        task.act("prepare")

    task.act("prepare")

    assert _changes(sandbox).count("CreateLaunchTemplateVersion") == 1
    assert _template(sandbox, server)["VersionNumber"] == 2


def test_settings_that_somebody_changed_after_preparing_are_set_again_before_the_launch(
    sandbox: Any, make_task: Any
) -> None:
    server, _ = sandbox.servers()
    settings = _settings(sandbox, server)
    task = _wanting(make_task(sandbox, [server]), settings)
    task.advance_once()
    template = _template(sandbox, server)["LaunchTemplateId"]
    sandbox.client("ec2").modify_launch_template(LaunchTemplateId=template, DefaultVersion="1")

    proof = task.run()

    assert proof[server].state is State.DONE
    assert _interface(_template(sandbox, server))["SubnetId"] == settings["subnetId"]


def test_an_instance_that_was_launched_otherwise_fails_the_proof(
    sandbox: Any, make_task: Any
) -> None:
    server, _ = sandbox.servers()
    task = _wanting(make_task(sandbox, [server]), {})
    task.advance_once()
    task.act("launch")
    _wanting(task, {"instanceType": "c5.xlarge"})

    seen = task.run()[server]

    assert (seen.state, seen.reason) == (State.FAILED, "WrongSettings")
    assert "wanted c5.xlarge" in seen.message


def test_an_instance_that_is_adopted_is_taken_as_it_is(sandbox: Any, make_task: Any) -> None:
    server, _ = sandbox.servers()
    make_task(sandbox, [server]).run()

    task = _wanting(
        make_task(sandbox, [server], execution="orders-2"), {"instanceType": "c5.xlarge"}
    )

    assert task.run()[server].reason == "Adopted"


def test_a_drill_has_the_settings_but_for_the_network_and_puts_all_back(
    sandbox: Any, make_task: Any
) -> None:
    server, _ = sandbox.servers()
    before = _config(sandbox, server), _template(sandbox, server)
    settings = _settings(sandbox, server)
    task = _wanting(make_task(sandbox, [server], operation="Test"), settings)
    task.advance_once()
    config, data = _config(sandbox, server), _template(sandbox, server)["LaunchTemplateData"]

    proof = task.run()

    network = task.settings["drillNetwork"]
    assert (config["licensing"], config["recoveryMode"]) == ({"osByol": True}, "FAST")
    assert data["InstanceType"] == "c5.xlarge"
    assert data["IamInstanceProfile"] == {"Name": "recovered"}
    assert data["NetworkInterfaces"][0]["SubnetId"] == network["subnetId"]
    assert "PrivateIpAddress" not in data["NetworkInterfaces"][0]
    assert proof[server].state is State.DONE
    assert (_config(sandbox, server), _template(sandbox, server)) == before


def test_a_drill_with_other_settings_does_not_use_the_version_of_the_last_one(
    sandbox: Any, make_task: Any
) -> None:
    server, _ = sandbox.servers()
    for number, kind in enumerate(("c5.xlarge", "c5.large")):
        name = f"orders-{number}"
        task = make_task(sandbox, [server], operation="Test", execution=name)
        proof = _wanting(task, {"instanceType": kind}).run()
        answer = sandbox.client("ec2").describe_instances(InstanceIds=[proof[server].reference])
        assert answer["Reservations"][0]["Instances"][0]["InstanceType"] == kind


def test_a_failover_in_mid_drill_has_its_own_settings(sandbox: Any, make_task: Any) -> None:
    server, _ = sandbox.servers()
    drs = sandbox.client("drs")
    drs.update_launch_configuration(sourceServerID=server, copyTags=True, copyPrivateIp=False)
    drill = make_task(sandbox, [server], operation="Test")
    _wanting(drill, {"copyTags": False, "recoveryMode": "FAST"}).advance_once()
    subnet = _elsewhere(sandbox, server)["SubnetId"]

    task = make_task(sandbox, [server], execution="orders-2")
    proof = _wanting(task, {"subnetId": subnet}).run()

    answer = sandbox.client("ec2").describe_instances(InstanceIds=[proof[server].reference])
    assert answer["Reservations"][0]["Instances"][0]["SubnetId"] == subnet
    config = _config(sandbox, server)
    assert (config["copyTags"], config["recoveryMode"]) == (True, "OPTIMAL")
    assert config["launchDisposition"] == "STOPPED"


def test_a_failover_in_mid_drill_copies_the_address_again(sandbox: Any, make_task: Any) -> None:
    server, _ = sandbox.servers()
    drs = sandbox.client("drs")
    drs.update_launch_configuration(sourceServerID=server, copyPrivateIp=True)
    make_task(sandbox, [server], operation="Test").advance_once()
    assert _config(sandbox, server)["copyPrivateIp"] is False

    make_task(sandbox, [server], execution="orders-2").run()

    assert _config(sandbox, server)["copyPrivateIp"] is True


def test_readiness_says_what_aws_has_otherwise(sandbox: Any, make_task: Any) -> None:
    server, other = sandbox.servers()
    task = make_task(sandbox, [server, other])
    settings = _settings(sandbox, server)
    targets = [replace(task.targets[0], settings=settings), task.targets[1]]

    (found,) = task.adapter.readiness(sandbox.scope(), targets)

    assert (found.severity, found.reason) == ("Warning", "LaunchSettingsDiffer")
    assert found.target == server
    for part in ("instanceType is m5.large, wanted c5.xlarge", "licensing is false, wanted true"):
        assert part in found.message


def test_readiness_says_whose_post_launch_actions_never_run(sandbox: Any, make_task: Any) -> None:
    server, other = sandbox.servers()
    sandbox.client("drs").update_launch_configuration(sourceServerID=server, postLaunchEnabled=True)
    task = _wanting(make_task(sandbox, [server, other]), {"copyTags": True})

    (found,) = task.adapter.readiness(sandbox.scope(), task.targets)

    assert (found.severity, found.reason) == ("Warning", "PostLaunchActionsSkipped")
    assert found.target == server
    for part in (server, sandbox.account, "us-east-2", "type Automation"):
        assert part in found.message
    assert len(sandbox.calls("GetLaunchConfiguration")) == 2  # the settings are read anyway


def test_a_drill_says_whose_post_launch_actions_did_not_run(sandbox: Any, make_task: Any) -> None:
    server, other = sandbox.servers()
    sandbox.client("drs").update_launch_configuration(sourceServerID=server, postLaunchEnabled=True)

    proof = make_task(sandbox, [server, other], operation="Test").run()

    assert {seen.state for seen in proof.values()} == {State.DONE}
    words = "post-launch actions are on and did not run"
    told = {s: words in one.message for s, one in proof.items()}
    assert told == {server: True, other: False}


def test_readiness_is_silent_once_the_settings_are_there(sandbox: Any, make_task: Any) -> None:
    server, _ = sandbox.servers()
    task = _wanting(make_task(sandbox, [server]), _settings(sandbox, server))
    task.act("prepare")

    assert task.adapter.readiness(sandbox.scope(), task.targets) == []


def test_readiness_does_not_take_a_drill_for_a_difference(sandbox: Any, make_task: Any) -> None:
    server, _ = sandbox.servers()
    home = _interface(_template(sandbox, server))["SubnetId"]
    make_task(sandbox, [server], operation="Test").advance_once()
    target = Target(server, "arn", settings={"subnetId": home})

    assert make_task(sandbox, [server]).adapter.readiness(sandbox.scope(), [target]) == []


def test_a_profile_is_the_same_by_name_and_by_arn(sandbox: Any, make_task: Any) -> None:
    server, _ = sandbox.servers()
    _wanting(make_task(sandbox, [server]), {"iamInstanceProfile": "recovered"}).act("prepare")
    since = sandbox.control.last_seq()
    arn = f"arn:aws:iam::{sandbox.account}:instance-profile/dr/recovered"

    _wanting(make_task(sandbox, [server]), {"iamInstanceProfile": arn}).act("prepare")

    assert _changes(sandbox, since) == []


def test_a_server_is_launched_into_the_instance_that_is_named(sandbox: Any, make_task: Any) -> None:
    server, _ = sandbox.servers()
    ec2 = sandbox.client("ec2")
    template = {"LaunchTemplateId": _config(sandbox, server)["ec2LaunchTemplateID"]}
    instance = ec2.run_instances(MinCount=1, MaxCount=1, LaunchTemplate=template)["Instances"][0][
        "InstanceId"
    ]
    sandbox.control.advance(300)
    ec2.stop_instances(InstanceIds=[instance])
    ec2.create_tags(
        Resources=[instance], Tags=[{"Key": "AWSDRS", "Value": "AllowLaunchingIntoThisInstance"}]
    )
    sandbox.control.advance(300)
    ec2.describe_instances(InstanceIds=[instance])  # the sandbox's EC2 moves when it is asked
    settings = {"launchIntoInstance": instance, "copyPrivateIp": False, "copyTags": False}

    proof = _wanting(make_task(sandbox, [server]), settings).run()

    assert (proof[server].state, proof[server].reference) == (State.DONE, instance)


@pytest.mark.parametrize(
    ("fault", "launched"),
    [
        pytest.param({"operation": "UpdateLaunchConfiguration"}, False, id="setting"),
        pytest.param({"operation": "DescribeLaunchTemplateVersions"}, False, id="reading after it"),
        pytest.param({"operation": "StartRecovery"}, True, id="launching"),
    ],
)
def test_of_a_launch_only_the_call_that_launches_leaves_what_must_not_be_sent_twice(
    sandbox: Any, make_task: Any, fault: dict[str, Any], launched: bool
) -> None:
    server, _ = sandbox.servers()
    task = _wanting(make_task(sandbox, [server]), {"copyPrivateIp": True})
    task.act("prepare")
    config = sandbox.client("drs").update_launch_configuration(
        sourceServerID=server, copyPrivateIp=False
    )
    if fault["operation"] == "DescribeLaunchTemplateVersions":
        fault = {**fault, "params": {"LaunchTemplateId": config["ec2LaunchTemplateID"]}}
    sandbox.control.add_fault(action="drop", when="after", **fault)

    with pytest.raises(HTTPClientError) as lost, sandbox.aws.recording() as record:
        task.act("launch")

    assert (record.sent, record.once) == (True, launched)
    assert classify(lost.value).kind is ErrorClass.IN_DOUBT
    assert len(sandbox.calls("StartRecovery")) == launched

"""Drills: the drill's network by a template version, which never outlives the launch."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from leeward_adapters import drs_instances, drs_jobs
from leeward_adapters.base import Call, Phase, State, Step
from leeward_adapters.drs_drills import DrillVersion, Network

pytestmark = pytest.mark.aws


def _template(sandbox: Any, server: str) -> str:
    config = sandbox.client("drs").get_launch_configuration(sourceServerID=server)
    return str(config["ec2LaunchTemplateID"])


def _versions(sandbox: Any, server: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sandbox.client("ec2").describe_launch_template_versions(
        LaunchTemplateId=_template(sandbox, server)
    )["LaunchTemplateVersions"]
    return sorted(found, key=lambda version: version["VersionNumber"])


def _default(sandbox: Any, server: str) -> dict[str, Any]:
    return next(v for v in _versions(sandbox, server) if v["DefaultVersion"])


def _subnet_of(sandbox: Any, instance: str) -> str:
    answer = sandbox.client("ec2").describe_instances(InstanceIds=[instance])
    return str(answer["Reservations"][0]["Instances"][0]["SubnetId"])


def test_a_test_launches_into_the_drill_network_and_puts_the_template_back(
    sandbox: Any, make_task: Any
) -> None:
    servers = sandbox.servers()
    before = {server: _default(sandbox, server) for server in servers}
    task = make_task(sandbox, servers, operation="Test")

    proof = task.run()

    network = task.settings["drillNetwork"]
    assert {seen.state for seen in proof.values()} == {State.DONE}
    assert {_subnet_of(sandbox, seen.reference) for seen in proof.values()} == {network["subnetId"]}
    assert {server: _default(sandbox, server) for server in servers} == before
    assert [action for action, _ in task.sent][:2] == ["prepare", "launch"]
    assert {action for action, _ in task.sent[2:]} == {"restore"}
    instances = sandbox.client("drs").describe_recovery_instances(filters={})["items"]
    assert {i["isDrill"] for i in instances} == {True}


def test_the_launch_configuration_is_put_back_too(sandbox: Any, make_task: Any) -> None:
    server, _ = sandbox.servers()
    drs = sandbox.client("drs")
    drs.update_launch_configuration(
        sourceServerID=server, launchDisposition="STARTED", copyPrivateIp=True
    )
    task = make_task(sandbox, [server], operation="Test")
    task.advance_once()
    during = drs.get_launch_configuration(sourceServerID=server)

    task.run()

    after = drs.get_launch_configuration(sourceServerID=server)
    assert (during["launchDisposition"], during["copyPrivateIp"]) == ("STOPPED", False)
    assert (after["launchDisposition"], after["copyPrivateIp"]) == ("STARTED", True)


def test_the_template_is_put_back_when_the_launch_fails(sandbox: Any, make_task: Any) -> None:
    server, _ = sandbox.servers()
    before = _default(sandbox, server)
    sandbox.change(server, fault={"failAt": "LAUNCH", "rawError": "VcpuLimitExceeded"})

    proof = make_task(sandbox, [server], operation="Test").run()

    assert (proof[server].state, proof[server].reason) == (State.FAILED, "VcpuLimitExceeded")
    assert _default(sandbox, server) == before


def test_the_drill_version_keeps_all_else_and_leaves_productions_addresses(
    sandbox: Any, make_task: Any
) -> None:
    server, _ = sandbox.servers()
    ec2, template = sandbox.client("ec2"), _template(sandbox, server)
    source = _default(sandbox, server)["LaunchTemplateData"]
    interface = source["NetworkInterfaces"][0]
    second = {"DeviceIndex": 1, "SubnetId": interface["SubnetId"]}
    made = ec2.create_launch_template_version(
        LaunchTemplateId=template,
        LaunchTemplateData={
            "InstanceType": "r5.large",
            "KeyName": "operations",
            "Placement": {"AvailabilityZone": "us-east-2c", "Tenancy": "default"},
            "NetworkInterfaces": [
                interface | {"DeviceIndex": 0, "PrivateIpAddress": "10.1.0.77"},
                second,
            ],
        },
    )["LaunchTemplateVersion"]["VersionNumber"]
    ec2.modify_launch_template(LaunchTemplateId=template, DefaultVersion=str(made))
    task = make_task(sandbox, [server], operation="Test")

    task.advance_once()

    version = _default(sandbox, server)
    data, network = version["LaunchTemplateData"], task.settings["drillNetwork"]
    assert version["VersionNumber"] == made + 1
    assert data["InstanceType"] == "r5.large"
    assert data["KeyName"] == "operations"
    assert data["Placement"] == {"Tenancy": "default"}
    (only,) = data["NetworkInterfaces"]
    assert only["SubnetId"] == network["subnetId"]
    assert only["Groups"] == network["securityGroupIds"]
    assert only["AssociatePublicIpAddress"] is False
    assert "PrivateIpAddress" not in only


def test_a_second_drill_uses_the_version_of_the_first(sandbox: Any, make_task: Any) -> None:
    server, _ = sandbox.servers()
    make_task(sandbox, [server], operation="Test").run()
    versions = len(_versions(sandbox, server))

    proof = make_task(sandbox, [server], operation="Test", execution="orders-2").run()

    assert proof[server].state is State.DONE
    assert len(_versions(sandbox, server)) == versions


def test_preparing_that_broke_off_is_done_again_without_a_second_version(
    sandbox: Any, make_task: Any
) -> None:
    server, _ = sandbox.servers()
    before = _default(sandbox, server)
    task = make_task(sandbox, [server], operation="Test")
    sandbox.control.add_fault(
        service="ec2",
        operation="ModifyLaunchTemplate",
        action="error",
        code="RequestLimitExceeded",
        times=3,
    )
    with pytest.raises(ClientError):
        task.advance_once()
    assert task.seen(server).action == "prepare"

    task.run()

    assert len(_versions(sandbox, server)) == 2
    after = sandbox.client("drs").get_launch_configuration(sourceServerID=server)
    assert after["launchDisposition"] == "STARTED"
    assert _default(sandbox, server) == before


def test_a_failover_in_mid_drill_launches_into_productions_network(
    sandbox: Any, make_task: Any
) -> None:
    server, _ = sandbox.servers()
    home = _default(sandbox, server)["LaunchTemplateData"]["NetworkInterfaces"][0]["SubnetId"]
    drill = make_task(sandbox, [server], operation="Test")
    drill.advance_once()  # prepared, and cancelled before it launched
    assert _default(sandbox, server)["VersionDescription"].startswith("leeward-drill ")

    proof = make_task(sandbox, [server], execution="orders-2").run()

    assert proof[server].state is State.DONE
    assert _subnet_of(sandbox, proof[server].reference) == home
    assert not _default(sandbox, server).get("VersionDescription", "").startswith("leeward-drill")


@pytest.mark.parametrize("operation", ["Failover", "Test"])
def test_a_template_that_changed_after_preparing_is_put_right_before_the_launch(
    sandbox: Any, make_task: Any, operation: str
) -> None:
    server, _ = sandbox.servers()
    home = _default(sandbox, server)["LaunchTemplateData"]["NetworkInterfaces"][0]["SubnetId"]
    other = "Failover" if operation == "Test" else "Test"
    task = make_task(sandbox, [server], operation=operation)
    task.advance_once()
    make_task(sandbox, [server], operation=other, execution="orders-2").act("prepare")

    proof = task.run()

    wanted = task.settings["drillNetwork"]["subnetId"] if operation == "Test" else home
    assert _subnet_of(sandbox, proof[server].reference) == wanted


@pytest.mark.parametrize("order", ["drill first", "drill second", "own settings"])
def test_a_drill_that_is_put_back_after_preparing_lets_no_recovery_launch_started(
    sandbox: Any, make_task: Any, order: str
) -> None:
    server, _ = sandbox.servers()
    drs = sandbox.client("drs")
    drill = make_task(sandbox, [server], operation="Test")
    failover = make_task(sandbox, [server], execution="orders-2")
    if order == "own settings":
        settings = {"instanceType": "c5.large"}
        failover.targets = tuple(replace(t, settings=settings) for t in failover.targets)
    if order == "drill second":
        failover.act("prepare")
        drill.advance_once()
    else:
        drill.advance_once()
        failover.act("prepare")
    where = {"sourceServerID": server}
    drill.adapter.act(sandbox.scope(), drill.step, "restore", "call-1", drill.targets)
    drs.update_launch_configuration(**where, launchDisposition="STARTED")  # as it was before

    proof = failover.run()

    assert proof[server].state is State.DONE
    assert drs.get_launch_configuration(**where)["launchDisposition"] == "STOPPED"
    (instance,) = drs.describe_recovery_instances(filters={})["items"]
    assert instance["ec2InstanceState"] == "STOPPED"


def test_of_servers_that_no_drill_was_made_of_nothing_is_set_twice(
    sandbox: Any, make_task: Any
) -> None:
    make_task(sandbox, sandbox.servers()).run()
    assert len(sandbox.calls("UpdateLaunchConfiguration")) == 2


def test_an_instance_outside_the_drill_network_fails_the_proof(
    sandbox: Any, make_task: Any
) -> None:
    server, _ = sandbox.servers()
    task = make_task(sandbox, [server], operation="Test")
    task.advance_once()
    task.act("launch")
    sandbox.client("ec2").modify_launch_template(
        LaunchTemplateId=_template(sandbox, server), DefaultVersion="1"
    )

    seen = task.run()[server]

    assert (seen.state, seen.reason) == (State.FAILED, "WrongNetwork")
    assert task.settings["drillNetwork"]["subnetId"] in seen.message


def test_a_test_without_a_drill_network_is_refused(sandbox: Any, make_task: Any) -> None:
    server, _ = sandbox.servers()

    seen = make_task(sandbox, [server], operation="Test", settings={}).run()[server]

    assert (seen.state, seen.reason) == (State.REFUSED, "NoDrillNetwork")


def test_a_test_never_launches_into_an_existing_instance(sandbox: Any, make_task: Any) -> None:
    server, _ = sandbox.servers()
    ec2 = sandbox.client("ec2")
    template = {"LaunchTemplateId": _template(sandbox, server)}
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
    sandbox.client("drs").update_launch_configuration(
        sourceServerID=server,
        copyTags=False,
        launchIntoInstanceProperties={"launchIntoEC2InstanceID": instance},
    )

    seen = make_task(sandbox, [server], operation="Test").run()[server]

    assert (seen.state, seen.reason) == (State.REFUSED, "LaunchesIntoInstance")
    assert instance in seen.message


def test_cleanup_ends_the_drills_instances(sandbox: Any, make_task: Any) -> None:
    servers = sandbox.servers()
    make_task(sandbox, servers, operation="Test").run()

    proof = make_task(sandbox, servers, operation="Test", phase=Phase.CLEANUP).run()

    assert {seen.state for seen in proof.values()} == {State.DONE}
    assert sandbox.client("drs").describe_recovery_instances(filters={})["items"] == []


def test_cleanup_leaves_the_instances_of_other_executions_and_of_people(
    sandbox: Any, make_task: Any
) -> None:
    first, second = sandbox.servers()
    make_task(sandbox, [first], operation="Test", execution="orders-2").run()
    sandbox.launch_by_hand([second], drill=True)
    sandbox.control.advance(3600)
    task = make_task(sandbox, [first, second], operation="Test", phase=Phase.CLEANUP)

    proof = task.run()

    assert {seen.state for seen in proof.values()} == {State.DONE}
    assert sandbox.calls("TerminateRecoveryInstances") == []
    # Not even when it is told to: what belongs to the run is looked up again.
    assert task.act("terminate") == ""
    assert sandbox.calls("TerminateRecoveryInstances") == []


def test_cleanup_never_ends_an_instance_that_is_not_a_drills(sandbox: Any, make_task: Any) -> None:
    server, _ = sandbox.servers()
    make_task(sandbox, [server]).run()  # the same execution, but for real
    drill = make_task(sandbox, [server], operation="Test", phase=Phase.CLEANUP)
    failover = make_task(sandbox, [server], phase=Phase.CLEANUP)

    assert drill.run()[server].state is State.DONE
    assert failover.run()[server].reason == "NotADrill"
    assert drill.act("terminate") == ""
    assert sandbox.calls("TerminateRecoveryInstances") == []


def test_cleanup_waits_for_a_launch_that_is_under_way_and_then_ends_it(
    sandbox: Any, make_task: Any
) -> None:
    server, _ = sandbox.servers()
    test = make_task(sandbox, [server], operation="Test")
    test.advance_once()
    test.act("launch")
    task = make_task(sandbox, [server], operation="Test", phase=Phase.CLEANUP)
    assert task.seen(server).state is State.RUNNING

    proof = task.run()

    assert proof[server].state is State.DONE
    assert sandbox.client("drs").describe_recovery_instances(filters={})["items"] == []
    assert not _default(sandbox, server).get("VersionDescription", "").startswith("leeward-drill")


def test_cleanup_puts_back_the_template_of_a_drill_that_never_launched(
    sandbox: Any, make_task: Any
) -> None:
    server, _ = sandbox.servers()
    before = _default(sandbox, server)
    make_task(sandbox, [server], operation="Test").advance_once()

    task = make_task(sandbox, [server], operation="Test", phase=Phase.CLEANUP)
    proof = task.run()

    assert proof[server].state is State.DONE
    assert [action for action, _ in task.sent] == ["restore"]
    assert _default(sandbox, server) == before


@pytest.mark.parametrize(
    ("status", "state"),
    [
        # DRS listed the instance before the job had ended, and the job after it.
        ("TERMINATED", State.RUNNING),
        ("FAILED", State.FAILED),
    ],
)
def test_an_instance_is_left_behind_when_its_end_failed_and_not_while_it_is_still_listed(
    status: str, state: State
) -> None:
    server, at = "s-" + "1" * 17, datetime(2026, 11, 26, tzinfo=UTC)
    ended = Call("c-1", "terminate", at, in_doubt=False, reference="drsjob-1")
    step = Step("u", Phase.CLEANUP, "Test", at, "us-east-1", (), calls={server: ended})
    part = drs_jobs.Part("drsjob-1", "TERMINATE", False, status, {}, server)
    instance = drs_instances.RecoveryInstance("i-1", server, "RUNNING", True, "drsjob-0")
    place: Any = SimpleNamespace(account_id="111111111111", region="us-east-2")

    seen = drs_instances._cleanup(place, step, server, [instance], part, drilled=False)

    assert (seen.state, seen.reference) == (state, "drsjob-1")
    assert "i-1" in seen.message


def test_the_description_of_a_drill_version_fits_and_says_everything() -> None:
    network = Network("subnet-" + "0" * 17, tuple(f"sg-{n:017x}" for n in range(5)))
    version = DrillVersion("s-" + "A" * 17, "10000", "STOPPED", True, network)

    described = {
        "VersionDescription": version.description,
        "LaunchTemplateId": "lt-1",
        "VersionNumber": 7,
    }

    assert len(version.description) <= 255
    assert version.same_as(DrillVersion.parse(described))
    assert DrillVersion.parse(described | {"VersionDescription": "made by hand"}) is None


def test_a_drill_whose_instance_a_recovery_replaced_does_not_wait_for_it(
    sandbox: Any, make_task: Any
) -> None:
    server, _ = sandbox.servers()
    drill = make_task(sandbox, [server], operation="Test")
    drill.run()
    real = make_task(sandbox, [server]).run()[server]
    seen = drill.adapter.verify(sandbox.scope(), drill.step).targets[server]
    assert (seen.state, seen.reason) == (State.FAILED, "Replaced")
    assert server in seen.message
    assert real.reference in seen.message


# --- DRS may write template versions of its own -------------------------------------------------


@pytest.fixture(params=["Version", "Default"])
def writing(request: pytest.FixtureRequest, sandbox: Any) -> str:
    """UpdateLaunchConfiguration writes a version like the default, which it may become."""
    sandbox.control.backend("drs", {"settings": {"configurationWrites": request.param}})
    return str(request.param)


def _network(sandbox: Any, server: str) -> str:
    return str(_default(sandbox, server)["LaunchTemplateData"]["NetworkInterfaces"][0]["SubnetId"])


@pytest.mark.usefixtures("writing")
def test_a_drill_and_the_recovery_after_it_launch_where_they_should_whatever_drs_writes(
    sandbox: Any, make_task: Any
) -> None:
    server, _ = sandbox.servers()
    home = _network(sandbox, server)
    drill = make_task(sandbox, [server], operation="Test")

    seen = drill.run()[server]

    assert _subnet_of(sandbox, seen.reference) == drill.settings["drillNetwork"]["subnetId"]
    assert _network(sandbox, server) == home
    real = make_task(sandbox, [server], execution="orders-2").run()[server]
    assert _subnet_of(sandbox, real.reference) == home


@pytest.mark.usefixtures("writing")
@pytest.mark.parametrize("settings", [{}, {"instanceType": "c5.large"}])
def test_a_failover_in_mid_drill_launches_at_home_whatever_drs_writes(
    sandbox: Any, make_task: Any, settings: dict[str, Any]
) -> None:
    server, _ = sandbox.servers()
    home = _network(sandbox, server)
    make_task(sandbox, [server], operation="Test").advance_once()
    failover = make_task(sandbox, [server], execution="orders-2")
    failover.targets = tuple(replace(t, settings=settings) for t in failover.targets)

    proof = failover.run()

    assert _subnet_of(sandbox, proof[server].reference) == home


@pytest.mark.usefixtures("writing")
def test_a_drill_that_is_prepared_twice_is_put_back_to_what_was_before_both(
    sandbox: Any, make_task: Any
) -> None:
    server, _ = sandbox.servers()
    home = _network(sandbox, server)
    task = make_task(sandbox, [server], operation="Test")
    task.advance_once()
    sandbox.control.advance(600)
    task.act("prepare")

    task.run()

    assert _network(sandbox, server) == home


@pytest.mark.usefixtures("writing")
def test_a_template_is_put_back_though_putting_it_back_broke_off_when_drs_had_written_it(
    sandbox: Any, make_task: Any
) -> None:
    server, _ = sandbox.servers()
    home = _network(sandbox, server)
    task = make_task(sandbox, [server], operation="Test")
    task.advance_once()
    task.act("launch")
    sandbox.control.add_fault(
        service="ec2", operation="ModifyLaunchTemplate", action="error",
        code="RequestLimitExceeded", times=3,
    )  # fmt: skip
    with pytest.raises(ClientError):
        task.act("restore")

    task.run()

    assert _network(sandbox, server) == home
    after = sandbox.client("drs").get_launch_configuration(sourceServerID=server)
    assert after["launchDisposition"] == "STARTED"


@pytest.mark.usefixtures("writing")
def test_a_drill_whose_version_is_not_the_newest_any_more_lets_no_recovery_launch_started(
    sandbox: Any, make_task: Any
) -> None:
    server, _ = sandbox.servers()
    drs, where = sandbox.client("drs"), {"sourceServerID": server}
    drill = make_task(sandbox, [server], operation="Test")
    failover = make_task(sandbox, [server], execution="orders-2")
    drill.advance_once()
    failover.act("prepare")
    drill.adapter.act(sandbox.scope(), drill.step, "restore", "call-1", drill.targets)
    drs.update_launch_configuration(**where, launchDisposition="STARTED")  # as it was before

    failover.run()

    assert drs.get_launch_configuration(**where)["launchDisposition"] == "STOPPED"

"""DRS's answers against botocore's model, and DRS through the gateway."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from leeward_sandbox.aws.backend import World
from leeward_sandbox.aws.clock import Clock
from leeward_sandbox.aws.control import Control
from leeward_sandbox.aws.estates import tiny
from leeward_sandbox.aws.registry import gateway
from leeward_sandbox.aws.server import SandboxServer

P, R = "us-east-1", "us-east-2"
# Recorded output of the real service differs from its model in these.
BEYOND_THE_MODEL = {"LAUNCH_END"}
TIMES = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00$")


def faults(shape: Any, value: Any, path: str) -> Iterator[str]:
    """What in `value` is not as the model's shape says."""
    kinds: dict[str, Any] = {
        "structure": dict,
        "map": dict,
        "list": list,
        "string": str,
        "boolean": bool,
        "integer": int,
        "long": int,
    }
    if not isinstance(value, kinds[shape.type_name]):
        yield f"{path}: {value!r} is no {shape.type_name}"
    elif shape.type_name == "structure":
        yield from (f"{path}.{n}: unknown" for n in value if n not in shape.members)
        yield from (f"{path}.{n}: missing" for n in shape.required_members if n not in value)
        for name, member in shape.members.items():
            if name in value:
                yield from faults(member, value[name], f"{path}.{name}")
    elif shape.type_name == "list":
        for index, item in enumerate(value):
            yield from faults(shape.member, item, f"{path}[{index}]")
    elif shape.type_name == "string":
        if shape.enum and value not in {*shape.enum, *BEYOND_THE_MODEL}:
            yield f"{path}: {value!r} is none of {shape.enum}"
        pattern = shape.metadata.get("pattern")
        if shape.name == "ISO8601DatetimeString" and "Date" in path and not TIMES.match(value):
            yield f"{path}: {value!r} is not written as DRS writes times"
        elif pattern and shape.name != "ISO8601DatetimeString" and not re.match(pattern, value):
            yield f"{path}: {value!r} does not match {pattern}"


def a_whole_life(lab: Any) -> None:
    """Failover, reversal, failback and clean-up, reading everything between."""

    def read(region: str) -> None:
        for server in lab.call("DescribeSourceServers", region)["items"]:
            identity = {"sourceServerID": server["sourceServerID"]}
            lab.call("GetLaunchConfiguration", region, **identity)
            lab.call("GetReplicationConfiguration", region, **identity)
            lab.call("DescribeRecoverySnapshots", region, **identity)
        lab.call("DescribeRecoveryInstances", region)
        for job in lab.call("DescribeJobs", region)["items"]:
            lab.call("DescribeJobLogItems", region, jobID=job["jobID"])

    lab.change(lab.server("app-02"), fault={"failAt": "LAUNCH", "rawError": "no capacity"})
    lab.start(tags={"a": "b"})
    for _ in range(14):
        lab.wait(50)
        read(R)
    b2 = lab.instance()["recoveryInstanceID"]
    lab.wait(200)
    arn = lab.call("ReverseReplication", recoveryInstanceID=b2)["reversedDirectionSourceServerArn"]
    for _ in range(30):
        lab.wait(100)
        read(P)
        read(R)
    lab.launch(arn.partition("/")[2], region=P)
    lab.call("StopReplication", P, sourceServerID=arn.partition("/")[2])
    lab.call("StopFailback", recoveryInstanceID=b2)
    lab.call("TerminateRecoveryInstances", recoveryInstanceIDs=[b2])
    lab.wait(200)
    read(P)
    read(R)
    lab.call("StartReplication", P, sourceServerID=arn.partition("/")[2])
    lab.call("DisconnectSourceServer", sourceServerID=lab.server())
    read(R)


def test_every_answer_is_as_the_model_says(lab: Any) -> None:
    a_whole_life(lab)
    model = botocore.session.get_session().get_service_model("drs")
    found = [
        fault
        for operation, answer in lab.answers
        for shape in [model.operation_model(operation).output_shape]
        if shape is not None
        for fault in faults(shape, answer, operation)
    ]
    assert found == []
    assert len({operation for operation, _ in lab.answers}) >= 14


class Served:
    """A tiny estate behind the gateway, with clients for its account in R."""

    def __init__(self, server: SandboxServer, account: str) -> None:
        self.control = Control(server.endpoint)
        self.account = account
        self._endpoint = server.endpoint

    def client(self, service: str) -> Any:
        make: Any = boto3.client
        return make(
            service,
            endpoint_url=self._endpoint,
            region_name=R,
            aws_access_key_id=f"SANDBOX{self.account}",
            aws_secret_access_key="sandbox",
            config=Config(retries={"total_max_attempts": 1}),
        )


@pytest.fixture
def served(new_account: Callable[[], str]) -> Iterator[Served]:
    account = new_account()
    world = World(Clock(scale=0))
    with SandboxServer(gateway(world, tiny(2, account=account))) as server:
        yield Served(server, account)


@pytest.mark.aws
def test_a_drill_through_boto3_and_the_gateway(served: Served) -> None:
    drs, ec2 = served.client("drs"), served.client("ec2")
    servers = [s["sourceServerID"] for s in drs.describe_source_servers()["items"]]
    job = drs.start_recovery(
        sourceServers=[{"sourceServerID": s} for s in servers], isDrill=True, tags={"a": "b"}
    )["job"]
    with pytest.raises(ClientError) as caught:
        drs.start_recovery(sourceServers=[{"sourceServerID": servers[0]}])
    response: Any = caught.value.response
    assert response["Error"]["Code"] == "ConflictException"
    assert response["resourceId"] == servers[0]
    served.control.advance(700)
    # EC2 is asked first: the launch has happened there although nobody asked DRS.
    found = ec2.describe_instances(
        Filters=[{"Name": "tag:AWSElasticDisasterRecoverySourceServerID", "Values": servers}]
    )
    launched = [i for r in found["Reservations"] for i in r["Instances"]]
    assert [i["State"]["Name"] for i in launched] == ["running", "running"]
    done = drs.describe_jobs(filters={"jobIDs": [job["jobID"]]})["items"][0]
    assert (done["status"], done["tags"]) == ("COMPLETED", {"a": "b"})
    instances = drs.get_paginator("describe_recovery_instances").paginate().build_full_result()
    assert {i["ec2InstanceID"] for i in instances["items"]} == {i["InstanceId"] for i in launched}
    assert served.control.violations() == []


@pytest.mark.aws
def test_the_subnet_of_a_new_default_template_version_is_used(served: Served) -> None:
    drs, ec2 = served.client("drs"), served.client("ec2")
    drill = [{"Name": "tag:Purpose", "Values": ["Drill"]}]
    subnet = ec2.describe_subnets(Filters=drill)["Subnets"][0]["SubnetId"]
    group = ec2.describe_security_groups(Filters=drill)["SecurityGroups"][0]["GroupId"]
    server = drs.describe_source_servers()["items"][0]["sourceServerID"]
    template = drs.get_launch_configuration(sourceServerID=server)["ec2LaunchTemplateID"]
    network = {"DeviceIndex": 0, "SubnetId": subnet, "Groups": [group]}
    version = ec2.create_launch_template_version(
        LaunchTemplateId=template,
        SourceVersion="$Default",
        LaunchTemplateData={"NetworkInterfaces": [network]},
    )["LaunchTemplateVersion"]["VersionNumber"]
    ec2.modify_launch_template(LaunchTemplateId=template, DefaultVersion=str(version))
    drs.start_recovery(sourceServers=[{"sourceServerID": server}], isDrill=True)
    served.control.advance(700)
    instance = drs.describe_recovery_instances()["items"][0]["ec2InstanceID"]
    found = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    assert found["SubnetId"] == subnet
    assert [g["GroupId"] for g in found["SecurityGroups"]] == [group]


@pytest.mark.aws
def test_a_server_can_be_made_to_stall_through_the_control_api(served: Served) -> None:
    body = {"account": served.account, "region": R, "sourceServerID": "*", "state": "STALLED"}
    assert len(served.control.backend("drs", body)["changed"]) == 2
    for server in served.client("drs").describe_source_servers()["items"]:
        assert server["dataReplicationInfo"]["dataReplicationState"] == "STALLED"


@pytest.mark.aws
def test_a_malformed_id_is_refused_before_drs_sees_it(served: Served) -> None:
    with pytest.raises(ClientError) as caught:
        served.client("drs").start_recovery(sourceServers=[{"sourceServerID": "i" * 19}])
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert len(served.control.violations()) == 1

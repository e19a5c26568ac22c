"""The services that moto lacks, through the gateway: DRS and what it does to EC2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from leeward_sandbox.aws.control import ControlError
from leeward_sandbox.aws.estates import tiny

pytestmark = pytest.mark.aws

RECOVERY = "us-east-2"


@pytest.fixture
def estate(serve: Callable[..., Any], new_account: Callable[[], str]) -> Any:
    """An AWS with one protected server in an account of the test's own."""
    account = new_account()
    return serve(account, tiny(account=account))


def only_server(drs: Any) -> dict[str, str]:
    (server,) = drs.describe_source_servers(filters={})["items"]
    return {"sourceServerID": server["sourceServerID"]}


def test_a_recovery_is_accepted_with_202_and_its_instance_comes_up_in_ec2(estate: Any) -> None:
    drs, ec2 = (estate.client(service, region=RECOVERY) for service in ("drs", "ec2"))
    before = {one["InstanceId"] for one in _instances(ec2)}
    started = drs.start_recovery(isDrill=True, sourceServers=[only_server(drs)])
    assert started["ResponseMetadata"]["HTTPStatusCode"] == 202
    for _ in range(120):
        estate.control.advance(60)
        new = [one for one in _instances(ec2) if one["Tags"] and one["InstanceId"] not in before]
        recovered = [one for one in new if _tag(one, "AWSElasticDisasterRecoverySourceServerID")]
        if any(one["State"]["Name"] == "running" for one in recovered):
            break
    (instance,) = recovered
    statuses = ec2.describe_instance_status(InstanceIds=[instance["InstanceId"]])
    (status,) = statuses["InstanceStatuses"]
    assert status["SystemStatus"]["Status"] in ("initializing", "ok")
    estate.control.advance(600)
    (job,) = drs.describe_jobs(filters={"jobIDs": [started["job"]["jobID"]]})["items"]
    assert job["status"] == "COMPLETED"


def test_a_recovery_whose_answer_is_lost_has_made_its_job(estate: Any) -> None:
    drs = estate.client("drs", region=RECOVERY)
    server = only_server(drs)
    estate.control.add_fault(
        service="drs",
        operation="StartRecovery",
        params={"sourceServers.sourceServerID": server["sourceServerID"]},
        action="drop",
        when="after",
        nth=1,
    )
    with pytest.raises(ConnectionClosedError):
        drs.start_recovery(sourceServers=[server])
    (job,) = drs.describe_jobs(filters={})["items"]
    assert job["participatingServers"][0]["sourceServerID"] == server["sourceServerID"]
    with pytest.raises(ClientError) as refused:
        drs.start_recovery(sourceServers=[server])
    response: Any = refused.value.response
    assert response["Error"]["Code"] == "ConflictException"
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 409
    assert response["resourceType"]


def test_a_source_server_is_changed_through_the_control_api(estate: Any) -> None:
    drs = estate.client("drs", region=RECOVERY)
    body = {"account": estate.account, "region": RECOVERY, **only_server(drs)}
    estate.control.backend("drs", body | {"state": "STALLED"})
    (server,) = drs.describe_source_servers(filters={})["items"]
    assert server["dataReplicationInfo"]["dataReplicationState"] == "STALLED"
    with pytest.raises(ControlError):
        estate.control.backend("drs", body | {"state": "ON FIRE"})


def test_service_quotas_tells_what_the_estates_drs_enforces(
    serve: Callable[..., Any], new_account: Callable[[], str]
) -> None:
    account = new_account()
    estate = tiny(account=account, drs={"quotas": {"serversPerJob": 7}})
    quotas = serve(account, estate).client("service-quotas", region=RECOVERY)
    asked = {"ServiceCode": "drs", "QuotaCode": "L-B827C881"}
    assert quotas.get_service_quota(**asked)["Quota"]["Value"] == 7
    assert quotas.get_aws_default_service_quota(**asked)["Quota"]["Value"] == 100


def test_a_launch_template_version_is_made_once_for_a_client_token(estate: Any) -> None:
    drs, ec2 = (estate.client(service, region=RECOVERY) for service in ("drs", "ec2"))
    template = drs.get_launch_configuration(**only_server(drs))["ec2LaunchTemplateID"]

    def make(instance_type: str = "m5.large") -> int:
        made = ec2.create_launch_template_version(
            LaunchTemplateId=template,
            SourceVersion="1",
            ClientToken="token",
            LaunchTemplateData={"InstanceType": instance_type},
        )
        return int(made["LaunchTemplateVersion"]["VersionNumber"])

    assert (make(), make()) == (2, 2)
    with pytest.raises(ClientError, match="IdempotentParameterMismatch"):
        make("m5.xlarge")
    versions = ec2.describe_launch_template_versions(LaunchTemplateId=template)
    assert len(versions["LaunchTemplateVersions"]) == 2


def _instances(ec2: Any) -> list[dict[str, Any]]:
    pages = ec2.get_paginator("describe_instances").paginate()
    return [one for page in pages for group in page["Reservations"] for one in group["Instances"]]


def _tag(instance: dict[str, Any], key: str) -> str | None:
    tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
    return tags.get(key)

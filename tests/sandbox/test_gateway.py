"""Requests of boto3 through the gateway: protocols, accounts, the clock, the record."""

from __future__ import annotations

import io
import json
import socket
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

pytestmark = pytest.mark.aws

LAUNCH = {"ImageId": "ami-12c6146b", "MinCount": 1, "MaxCount": 1, "InstanceType": "t3.micro"}


def test_an_instance_keeps_its_tags_through_the_ec2_protocol(aws: Any) -> None:
    ec2 = aws.client("ec2")
    tags = [{"Key": "dr:wave", "Value": "web & <1>"}]
    ec2.run_instances(**LAUNCH, TagSpecifications=[{"ResourceType": "instance", "Tags": tags}])
    found = ec2.describe_instances(Filters=[{"Name": "tag:dr:wave", "Values": ["web & <1>"]}])
    assert found["Reservations"][0]["Instances"][0]["Tags"] == tags


def test_a_group_keeps_its_capacity_through_the_query_protocol(aws: Any) -> None:
    autoscaling = aws.client("autoscaling")
    autoscaling.create_launch_configuration(
        LaunchConfigurationName="web", ImageId="ami-12c6146b", InstanceType="t3.micro"
    )
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName="web",
        LaunchConfigurationName="web",
        MinSize=0,
        MaxSize=4,
        DesiredCapacity=0,
        AvailabilityZones=["us-east-1a"],
    )
    autoscaling.update_auto_scaling_group(AutoScalingGroupName="web", MaxSize=7)
    groups = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=["web"])
    assert [group["MaxSize"] for group in groups["AutoScalingGroups"]] == [7]


def test_a_parameter_keeps_its_value_through_the_json_protocol(aws: Any) -> None:
    ssm = aws.client("ssm")
    ssm.put_parameter(Name="/orders/région", Value="us-east-2 ü", Type="String")
    assert ssm.get_parameter(Name="/orders/région")["Parameter"]["Value"] == "us-east-2 ü"


def test_a_service_keeps_its_count_through_the_json_protocol(aws: Any) -> None:
    ecs = aws.client("ecs")
    ecs.create_cluster(clusterName="orders")
    ecs.register_task_definition(
        family="web", containerDefinitions=[{"name": "web", "image": "web", "memory": 64}]
    )
    ecs.create_service(cluster="orders", serviceName="web", taskDefinition="web", desiredCount=0)
    ecs.update_service(cluster="orders", service="web", desiredCount=3)
    described = ecs.describe_services(cluster="orders", services=["web"])
    assert described["services"][0]["desiredCount"] == 3


def test_a_function_keeps_its_concurrency_through_the_rest_json_protocol(aws: Any) -> None:
    role = aws.client("iam").create_role(RoleName="fn", AssumeRolePolicyDocument="{}")
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("main.py", "def handler(event, context): return 1")
    functions = aws.client("lambda")
    functions.create_function(
        FunctionName="orders",
        Runtime="python3.12",
        Role=role["Role"]["Arn"],
        Handler="main.handler",
        Code={"ZipFile": code.getvalue()},
    )
    functions.put_function_concurrency(FunctionName="orders", ReservedConcurrentExecutions=5)
    kept = functions.get_function_concurrency(FunctionName="orders")
    assert kept["ReservedConcurrentExecutions"] == 5
    (call,) = aws.control.calls(operation="CreateFunction")
    assert call["params"]["Code"]["ZipFile"] == "***"


def test_an_object_keeps_its_bytes_and_metadata_through_s3(aws: Any) -> None:
    s3, bucket = aws.client("s3"), f"manifests-{aws.account}"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="a b/ü", Body=b"\x00\xff", Metadata={"my_key": "v"})
    found = s3.get_object(Bucket=bucket, Key="a b/ü")
    assert (found["Body"].read(), found["Metadata"]) == (b"\x00\xff", {"my_key": "v"})
    assert s3.head_object(Bucket=bucket, Key="a b/ü")["ContentLength"] == 2
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="a b/ü", Body=b"", IfNoneMatch="*")
    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.get_object(Bucket=bucket, Key="absent")


def test_a_streamed_upload_with_a_trailing_checksum_arrives_whole(aws: Any) -> None:
    s3, bucket = aws.client("s3"), f"uploads-{aws.account}"
    s3.create_bucket(Bucket=bucket)
    s3.upload_fileobj(io.BytesIO(b"x" * 200_000), bucket, "large")
    assert s3.head_object(Bucket=bucket, Key="large")["ContentLength"] == 200_000


def test_a_record_keeps_its_weight_through_the_rest_xml_protocol(aws: Any) -> None:
    route53 = aws.client("route53")
    zone = route53.create_hosted_zone(Name="orders.example", CallerReference="1")["HostedZone"]
    route53.change_resource_record_sets(HostedZoneId=zone["Id"], ChangeBatch=_batch(weight=17))
    records = route53.list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]
    assert [record["Weight"] for record in records if "Weight" in record] == [17]


def test_accounts_and_regions_have_state_of_their_own(
    aws: Any, new_account: Callable[[], str]
) -> None:
    aws.client("ec2").run_instances(**LAUNCH)
    assert _instances(aws.client("ec2")) == 1
    assert _instances(aws.client("ec2", region="us-east-2")) == 0
    assert _instances(aws.client("ec2", account=new_account())) == 0


def test_a_client_cannot_choose_the_account_by_motos_header(
    aws: Any, new_account: Callable[[], str]
) -> None:
    aws.client("ec2").run_instances(**LAUNCH)
    other = aws.client("ec2", account=new_account())

    def claim(request: Any, **_: Any) -> None:
        request.headers["x-moto-account-id"] = aws.account

    other.meta.events.register("before-send", claim)
    assert _instances(other) == 0


def test_what_neither_moto_nor_the_sandbox_has_is_said_plainly(aws: Any) -> None:
    with pytest.raises(ClientError, match=r"NotImplemented.*no ssm DescribeInventoryDeletions"):
        aws.client("ssm").describe_inventory_deletions()
    with pytest.raises(ClientError, match=r"NotImplemented.*no route53-recovery-cluster"):
        aws.client("route53-recovery-cluster").list_routing_controls()


def test_thirty_two_clients_at_once_are_all_answered(aws: Any) -> None:
    clients = [aws.client("ssm") for _ in range(32)]

    def put(number: int) -> None:
        clients[number % 32].put_parameter(Name=f"/p/{number}", Value=str(number), Type="String")

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(put, range(128)))
    names = {f"/p/{number}" for number in range(128)}
    pages = aws.client("ssm").get_paginator("get_parameters_by_path").paginate(Path="/p")
    assert {one["Name"] for page in pages for one in page["Parameters"]} == names
    calls = aws.control.calls(operation="PutParameter")
    assert len(calls) == 128
    assert [call["seq"] for call in calls] == sorted({call["seq"] for call in calls})


def test_the_clock_moves_by_advances_and_scale_only(aws: Any) -> None:
    begun = aws.control.now()
    assert aws.control.now() == begun
    aws.control.advance(90)
    assert aws.control.now() == begun + timedelta(seconds=90)
    aws.control.scale(1_000_000)
    first = aws.control.now()
    deadline = time.monotonic() + 30
    while aws.control.now() <= first:
        assert time.monotonic() < deadline, "the clock stands still"


def test_a_dns_change_is_pending_until_thirty_virtual_seconds_have_passed(aws: Any) -> None:
    route53 = aws.client("route53")
    zone = route53.create_hosted_zone(Name="orders.example", CallerReference="1")["HostedZone"]
    change = route53.change_resource_record_sets(
        HostedZoneId=zone["Id"], ChangeBatch=_batch(weight=1)
    )["ChangeInfo"]
    assert (change["Status"], change["Comment"]) == ("PENDING", "switch")
    aws.control.advance(29)
    assert route53.get_change(Id=change["Id"])["ChangeInfo"]["Status"] == "PENDING"
    aws.control.advance(1)
    assert route53.get_change(Id=change["Id"])["ChangeInfo"]["Status"] == "INSYNC"
    with pytest.raises(ClientError, match="NoSuchChange"):
        route53.get_change(Id="C0")


def test_an_instance_takes_its_time_to_start_and_to_be_checked(aws: Any) -> None:
    ec2 = aws.client("ec2")
    identifier = ec2.run_instances(**LAUNCH)["Instances"][0]["InstanceId"]

    def status() -> tuple[str, str]:
        one = ec2.describe_instance_status(InstanceIds=[identifier], IncludeAllInstances=True)
        (found,) = one["InstanceStatuses"]
        assert found["InstanceStatus"]["Status"] == found["SystemStatus"]["Status"]
        return found["InstanceState"]["Name"], found["SystemStatus"]["Status"]

    assert status() == ("pending", "not-applicable")
    with pytest.raises(ClientError, match="IncorrectInstanceState"):
        ec2.stop_instances(InstanceIds=[identifier])
    aws.control.advance(20)
    assert status() == ("running", "initializing")
    aws.control.advance(120)
    assert status() == ("running", "ok")
    again = ec2.start_instances(InstanceIds=[identifier])["StartingInstances"][0]
    assert again["PreviousState"]["Name"] == again["CurrentState"]["Name"] == "running"
    ec2.stop_instances(InstanceIds=[identifier])
    assert status() == ("stopping", "not-applicable")
    with pytest.raises(ClientError, match="IncorrectInstanceState"):
        ec2.start_instances(InstanceIds=[identifier])
    aws.control.advance(30)
    assert status() == ("stopped", "not-applicable")


def test_service_quotas_tells_the_quotas_of_drs(aws: Any) -> None:
    quotas = aws.client("service-quotas")
    pages = quotas.get_paginator("list_service_quotas").paginate(
        ServiceCode="drs", PaginationConfig={"PageSize": 4}
    )
    values = {one["QuotaCode"]: one["Value"] for page in pages for one in page["Quotas"]}
    assert values["L-D88FAC3A"] == 20
    one = quotas.get_service_quota(ServiceCode="drs", QuotaCode="L-C1D14A2B")["Quota"]
    assert (one["Value"], one["Adjustable"]) == (300, False)
    with pytest.raises(ClientError, match="NoSuchResourceException"):
        quotas.get_service_quota(ServiceCode="drs", QuotaCode="L-00000000")


def test_the_record_tells_who_called_what_and_hides_secrets(aws: Any) -> None:
    ssm = aws.client("ssm", region="us-east-2")
    ssm.put_parameter(Name="/key", Value="hunter2", Type="SecureString")
    ssm.get_parameter(Name="/key")
    with pytest.raises(ClientError):
        ssm.get_parameter(Name="/absent")
    put, got, absent = aws.control.calls(service="ssm")
    assert (put["operation"], put["mutating"], put["executed"]) == ("PutParameter", True, True)
    assert (put["account"], put["region"]) == (aws.account, "us-east-2")
    assert put["principal"] == f"arn:aws:iam::{aws.account}:root"
    assert put["params"] == {"Name": "/key", "Value": "***", "Type": "SecureString"}
    assert (got["mutating"], got["status"], got["error"]) == (False, 200, None)
    assert (absent["status"], absent["error"]) == (400, "ParameterNotFound")
    assert aws.control.calls(since=got["seq"], service="ssm") == [absent]
    assert aws.control.calls(service="ssm", mutating=True) == [put]
    assert "hunter2" not in json.dumps(aws.control.calls())


def test_a_request_whose_caller_dies_in_it_is_none(aws: Any) -> None:
    place = urlsplit(aws.endpoint)
    since = aws.control.last_seq()
    with socket.create_connection((place.hostname, place.port), timeout=60) as connection:
        connection.sendall(
            b"POST /StartRecovery HTTP/1.1\r\nHost: drs\r\nContent-Length: 100\r\n"
            b"Authorization: AWS4-HMAC-SHA256 Credential=SANDBOX111111111111/20260301/us-east-2/"
            b"drs/aws4_request, SignedHeaders=host, Signature=0\r\n\r\n"
            b'{"sourceServers": [{"sour'
        )
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    assert aws.control.last_seq() == since
    assert aws.control.violations() == []


def test_a_dry_run_is_not_recorded_as_mutating(aws: Any) -> None:
    with pytest.raises(ClientError, match="DryRunOperation"):
        aws.client("ec2").run_instances(**LAUNCH, DryRun=True)
    (call,) = aws.control.calls(operation="RunInstances")
    assert call["mutating"] is False


def _instances(ec2: Any) -> int:
    return sum(len(one["Instances"]) for one in ec2.describe_instances()["Reservations"])


def _batch(weight: int) -> dict[str, Any]:
    record = {
        "Name": "www.orders.example",
        "Type": "A",
        "SetIdentifier": "primary",
        "Weight": weight,
        "TTL": 60,
        "ResourceRecords": [{"Value": "192.0.2.1"}],
    }
    changes = [{"Action": "UPSERT", "ResourceRecordSet": record}]
    return {"Comment": "switch", "Changes": changes}

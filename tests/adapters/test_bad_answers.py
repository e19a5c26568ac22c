"""What is not AWS's answer is no answer, whatever botocore would read from it."""

from __future__ import annotations

from typing import Any, Final

import pytest
from botocore.exceptions import ClientError

from leeward_adapters import breaker as limits
from leeward_adapters import discovery
from leeward_adapters.aws import Aws, AwsScope
from leeward_adapters.bad_answers import BadAnswerError
from leeward_adapters.base import ErrorClass, State
from leeward_adapters.breaker import CircuitOpenError
from leeward_adapters.calls import Attempt
from leeward_adapters.errors import classify

pytestmark = pytest.mark.aws

WITH_ID: Final = {"Content-Type": "application/json", "x-amzn-RequestId": "r-1"}
READS: Final = [
    pytest.param("drs", "describe_jobs", {}, id="rest-json"),
    pytest.param("resourcegroupstaggingapi", "get_resources", {}, id="json"),
    pytest.param("ec2", "describe_instances", {}, id="ec2"),
    pytest.param("sts", "get_caller_identity", {}, id="query"),
    pytest.param("route53", "list_resource_record_sets", {"HostedZoneId": "Z1"}, id="rest-xml"),
]
BODIES: Final = [
    pytest.param("<!doctype html><html><body>Sign in", id="html"),
    pytest.param("<html><body>Sign in</body></html>", id="well-formed html"),
    pytest.param("", id="empty"),
    pytest.param('{"items": []}', id="json of another"),
    pytest.param('["Sign in"]', id="a list"),
]


@pytest.fixture
def told() -> list[Attempt]:
    return []


@pytest.fixture
def aws(sandbox: Any, told: list[Attempt]) -> Aws:
    """One whose breakers nobody else has moved."""
    return Aws("us-east-2", endpoint_url=sandbox.endpoint, observe=told.append)


@pytest.fixture
def reader(sandbox: Any, aws: Aws) -> AwsScope:
    return aws.scope(sandbox.reached(), "us-east-2")


@pytest.fixture
def scope(sandbox: Any, aws: Aws) -> AwsScope:
    return aws.scope(sandbox.reached(), "us-east-2", recovery=True)


def _update(sandbox: Any, scope: AwsScope) -> None:
    server = sandbox.servers()[0]
    scope.client("drs").update_launch_configuration(sourceServerID=server, copyPrivateIp=True)


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize(("service", "operation", "arguments"), READS)
def test_what_has_no_request_id_of_aws_is_a_bad_answer_that_passes(
    sandbox: Any, reader: AwsScope, service: str, operation: str, arguments: Any, body: str
) -> None:
    client = reader.client(service)
    sandbox.control.add_fault(
        service=service, operation=client.meta.method_to_api_mapping[operation],
        action="page", body=body,
    )  # fmt: skip

    with pytest.raises(BadAnswerError) as found:
        getattr(client, operation)(**arguments)

    fault = classify(found.value)
    assert (fault.kind, fault.code) == (ErrorClass.TRANSIENT, "BadAnswer")
    for said in (service, sandbox.account, "us-east-2", sandbox.endpoint, "HTTP 200", "proxy"):
        assert said in fault.message
    assert "Sign in" not in fault.message


@pytest.mark.parametrize("status", [302, 403, 407])
@pytest.mark.parametrize(("service", "operation", "arguments"), READS)
def test_a_refusal_that_is_not_aws_s_is_a_bad_answer_too(
    sandbox: Any, reader: AwsScope, service: str, operation: str, arguments: Any, status: int
) -> None:
    client = reader.client(service)
    name = client.meta.method_to_api_mapping[operation]
    sandbox.control.add_fault(service=service, operation=name, action="page", status=status)

    with pytest.raises(BadAnswerError, match=f"HTTP {status}"):
        getattr(client, operation)(**arguments)


@pytest.mark.parametrize(("service", "operation", "arguments"), [READS[0], READS[2]])
def test_a_page_that_says_itself_that_it_failed_is_tried_again_like_aws_s_own(
    sandbox: Any, reader: AwsScope, service: str, operation: str, arguments: Any
) -> None:
    client = reader.client(service)
    name = client.meta.method_to_api_mapping[operation]
    sandbox.control.add_fault(
        service=service, operation=name, action="page", status=503, body="<html></html>", times=2
    )

    getattr(client, operation)(**arguments)


@pytest.mark.parametrize("body", ["<html>Sign in</html>", '{"items": [{"jobID"', "[]", "\xff"])
def test_an_answer_that_was_changed_on_its_way_is_a_bad_answer_though_it_has_its_id(
    sandbox: Any, scope: AwsScope, body: str
) -> None:
    sandbox.control.add_fault(operation="DescribeJobs", action="page", body=body, headers=WITH_ID)

    with pytest.raises(BadAnswerError):
        scope.client("drs").describe_jobs(filters={})


@pytest.mark.parametrize(("service", "operation", "arguments"), READS[2:])
def test_what_the_parser_cannot_read_is_a_bad_answer(
    sandbox: Any, reader: AwsScope, service: str, operation: str, arguments: Any
) -> None:
    client = reader.client(service)
    name = client.meta.method_to_api_mapping[operation]
    body = "<?xml version='1.0'?><Answer><SecretAccessKey>s3cr3t"
    sandbox.control.add_fault(
        service=service, operation=name, action="page", headers=WITH_ID, body=body
    )

    with pytest.raises(BadAnswerError, match="cannot be read \\(ResponseParserError") as found:
        getattr(client, operation)(**arguments)

    assert classify(found.value).kind is ErrorClass.TRANSIENT
    assert "s3cr3t" not in str(found.value)


@pytest.mark.parametrize(
    ("service", "operation", "arguments", "answer"),
    [
        pytest.param(
            "ec2",
            "describe_instances",
            {},
            {"headers": {}, "body": "<A><requestId>r-1</requestId><reservationSet/></A>"},
            id="in the body",
        ),
        pytest.param(
            "route53",
            "list_resource_record_sets",
            {"HostedZoneId": "Z1"},
            {"headers": {"x-amz-request-id": "r-1"}, "body": "<A/>"},
            id="as S3 says it",
        ),
        pytest.param(
            "drs",
            "tag_resource",
            {"resourceArn": "arn:aws:drs:us-east-2:111111111111:source-server/s-1", "tags": {}},
            {"headers": {"x-amzn-requestid": "r-1"}, "body": "", "status": 204},
            id="without a body",
        ),
    ],
)
def test_an_answer_with_its_id_is_aws_s_however_short(
    sandbox: Any,
    scope: AwsScope,
    service: str,
    operation: str,
    arguments: dict[str, Any],
    answer: dict[str, Any],
) -> None:
    client = scope.client(service)
    name = client.meta.method_to_api_mapping[operation]
    sandbox.control.add_fault(service=service, operation=name, action="page", **answer)

    getattr(client, operation)(**arguments)


@pytest.mark.parametrize("headers", [{"Content-Type": "text/html"}, WITH_ID])
def test_a_change_that_gets_a_bad_answer_is_in_doubt(
    sandbox: Any, aws: Aws, scope: AwsScope, told: list[Attempt], headers: Any
) -> None:
    sandbox.control.add_fault(
        operation="UpdateLaunchConfiguration", action="page", headers=headers, when="after"
    )

    with pytest.raises(BadAnswerError) as found, aws.recording() as record:
        _update(sandbox, scope)

    fault = classify(found.value)
    assert (fault.kind, fault.code) == (ErrorClass.IN_DOUBT, "BadAnswer")
    assert (record.sent, record.requests) == (True, [])
    assert len(sandbox.calls("UpdateLaunchConfiguration")) == 1
    assert [a.outcome for a in told if a.service == "drs"] == ["InDoubt"]


def test_a_change_to_ec2_whose_answer_cannot_be_read_is_in_doubt(
    sandbox: Any, aws: Aws, scope: AwsScope
) -> None:
    sandbox.control.add_fault(
        operation="CreateTags", action="page", body="<A>", headers=WITH_ID, when="after"
    )
    instance = sandbox.client("ec2", "us-east-2").describe_subnets()["Subnets"][0]["SubnetId"]

    with pytest.raises(BadAnswerError) as found, aws.recording() as record:
        scope.client("ec2").create_tags(Resources=[instance], Tags=[{"Key": "a", "Value": "b"}])

    assert classify(found.value).kind is ErrorClass.IN_DOUBT
    assert record.sent


def test_bad_answers_hold_back_the_calls_of_that_account_alone(
    sandbox: Any, aws: Aws, scope: AwsScope, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FAILURES", 2)
    rule = sandbox.control.add_fault(operation="DescribeJobs", action="page")
    for _ in range(2):
        with pytest.raises(BadAnswerError):
            scope.client("drs").describe_jobs(filters={})

    with pytest.raises(CircuitOpenError, match="BadAnswerError"):
        scope.client("drs").describe_jobs(filters={})
    sandbox.control.remove_fault(rule)

    assert [c.of_endpoint for c in aws.circuits() if c.is_open] == [False]


def test_a_bad_answer_of_sts_keeps_the_account_s_calls_from_being_sent(
    sandbox: Any, aws: Aws, scope: AwsScope
) -> None:
    sandbox.control.add_fault(service="sts", operation="AssumeRole", action="page")

    with pytest.raises(BadAnswerError, match="sts AssumeRole") as found, aws.recording() as record:
        _update(sandbox, scope)

    assert classify(found.value).kind is ErrorClass.TRANSIENT
    assert not record.sent


def test_a_launch_without_answer_is_not_sent_again_because_a_portal_shows_no_job(
    sandbox: Any, make_task: Any
) -> None:
    task = make_task(sandbox, sandbox.servers())
    task.advance_once()
    sandbox.control.add_fault(operation="StartRecovery", action="page", when="after", times=1)
    with pytest.raises(BadAnswerError) as lost:
        task.act("launch")
    assert classify(lost.value).kind is ErrorClass.IN_DOUBT
    rule = sandbox.control.add_fault(operation="DescribeJobs", action="page")

    with pytest.raises(BadAnswerError):
        task.observe()
    sandbox.control.remove_fault(rule)

    assert {s.state for s in task.observe().targets.values()} == {State.RUNNING}
    assert len(sandbox.calls("StartRecovery")) == 1


@pytest.mark.parametrize("operation", ["DescribeSourceServers", "ListResources"])
def test_a_portal_is_a_problem_of_discovery_and_not_an_empty_estate(
    sandbox: Any, operation: str
) -> None:
    sandbox.control.add_fault(operation=operation, action="page")

    found = discovery.discover(
        lambda region: sandbox.aws.scope(sandbox.reached(), region),
        regions=["us-east-1", "us-east-2"],
    )

    said = [*found.problems, *found.notes]
    assert any("BadAnswer" in one for one in said)


def test_aws_s_own_error_codes_are_read_as_before(sandbox: Any, scope: AwsScope) -> None:
    sandbox.control.add_fault(operation="DescribeJobs", action="error", code="AccessDenied")

    with pytest.raises(ClientError) as refused:
        scope.client("drs").describe_jobs(filters={})

    assert classify(refused.value).kind is ErrorClass.DENIED

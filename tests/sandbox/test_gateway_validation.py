"""Requests that break AWS's model are refused, although boto3 would send them."""

from __future__ import annotations

import re
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError

from leeward_sandbox.aws.patterns import matcher, matches

pytestmark = pytest.mark.aws

SERVER = {"sourceServerID": "s-1234567890abcdef0"}


def refusal(aws: Any, service: str, operation: str, **params: Any) -> dict[str, Any]:
    client = aws.client(service, parameter_validation=False)
    with pytest.raises(ClientError) as refused:
        getattr(client, operation)(**params)
    return dict(refused.value.response)


@pytest.mark.parametrize(
    ("operation", "params", "problem"),
    [
        (
            "describe_jobs",
            {"filters": {"fromDate": "2026-01-01T00:00:00+00:00"}},
            "at 'filters.fromDate' .* regular expression pattern",
        ),
        (
            "start_recovery",
            {"sourceServers": [SERVER] * 201},
            "at 'sourceServers' .* length less than or equal to 200",
        ),
        ("start_recovery", {"sourceServers": []}, "at 'sourceServers' .* greater than or equal"),
        ("start_recovery", {}, "at 'sourceServers' .* must not be null"),
        (
            "start_recovery",
            {"sourceServers": [{"sourceServerID": "i-1234567890abcdef0"}]},
            "'i-1234567890abcdef0' at 'sourceServers.1.member.sourceServerID'",
        ),
        (
            "start_recovery",
            {"sourceServers": [SERVER], "isDrill": "yes"},
            "Value 'yes' at 'isDrill' .* of type boolean",
        ),
        (
            "update_launch_configuration",
            {"launchDisposition": "PAUSED", **SERVER},
            r"Value 'PAUSED' at 'launchDisposition' .* enum value set: \[STOPPED, STARTED\]",
        ),
        (
            "start_recovery",
            {"sourceServers": [SERVER], "tags": {"k" * 257: "v"}},
            r"at 'tags.k+\.key' .* length less than or equal to 256",
        ),
        ("describe_jobs", {"maxResults": 0}, "'0' at 'maxResults' .* greater than or equal to 1"),
        ("describe_jobs", {"maxResults": "9"}, "'9' at 'maxResults' .* of type integer"),
    ],
)
def test_a_request_to_drs_that_breaks_the_model_is_refused_and_recorded(
    aws: Any, operation: str, params: dict[str, Any], problem: str
) -> None:
    response = refusal(aws, "drs", operation, **params)
    assert response["Error"]["Code"] == "ValidationException"
    assert response["reason"] == "fieldValidationFailed"
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert re.search(problem, response["Error"]["Message"])
    (violation,) = aws.control.violations()
    assert re.search(problem, violation["problem"])
    assert (violation["service"], violation["executed"]) == ("drs", False)
    assert aws.control.calls(service="drs")[0]["seq"] == violation["seq"]


@pytest.mark.parametrize(
    ("service", "operation", "params", "code"),
    [
        ("ec2", "start_instances", {}, "MissingParameter"),
        ("ec2", "describe_instances", {"MaxResults": "many"}, "InvalidParameterValue"),
        ("ec2", "run_instances", {"MinCount": 1, "MaxCount": "x"}, "InvalidParameterValue"),
        ("sts", "assume_role", {"RoleArn": "x", "RoleSessionName": "a b"}, "ValidationError"),
        ("autoscaling", "describe_auto_scaling_groups", {"MaxRecords": "x"}, "ValidationError"),
        ("ssm", "put_parameter", {"Name": "/a", "Value": "1", "Type": "Text"}, "ValidationExc"),
        ("ecs", "list_clusters", {"maxResults": "2"}, "ValidationException"),
        ("lambda", "get_function", {"FunctionName": "a b"}, "ValidationException"),
        (
            "s3",
            "put_bucket_versioning",
            {"Bucket": "b", "VersioningConfiguration": {"Status": "On"}},
            "InvalidArgument",
        ),
        ("route53", "get_change", {"Id": "C" * 7000}, "InvalidInput"),
    ],
)
def test_each_protocol_refuses_in_its_own_words(
    aws: Any, service: str, operation: str, params: dict[str, Any], code: str
) -> None:
    assert refusal(aws, service, operation, **params)["Error"]["Code"].startswith(code)
    assert len(aws.control.violations()) == 1


def test_a_body_that_is_no_json_is_refused(aws: Any) -> None:
    client = aws.client("ssm")

    def spoil(request: Any, **_: Any) -> None:
        request.body = b"!" + request.body[1:]  # of the same length, as Content-Length is set

    client.meta.events.register("before-send", spoil)
    with pytest.raises(ClientError, match="SerializationException"):
        client.describe_parameters()


def test_all_problems_of_a_request_are_told_at_once(aws: Any) -> None:
    message = refusal(aws, "drs", "start_recovery", sourceServers=[], isDrill=1)["Error"]["Message"]
    assert message.startswith("2 validation errors detected: ")


def test_a_value_that_the_model_calls_sensitive_is_not_repeated(aws: Any) -> None:
    response = refusal(
        aws, "ssm", "put_parameter", Name="/a", Value={"hunter2": "x"}, Type="SecureString"
    )
    assert "at 'Value'" in response["Error"]["Message"]
    assert "hunter2" not in response["Error"]["Message"]
    assert "hunter2" not in str(aws.control.violations())


@pytest.mark.parametrize(
    ("pattern", "value", "accepted"),
    [
        (r"[\w+=,.@-]*", "leeward", True),
        (r"[\w+=,.@-]*", "a b", False),
        (r"[\w+=,.@-]*", "é", False),
        (r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", "dr:wave é 1", True),
        (r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", "a;b", False),
        (r"\p{Print}+", "a b~", True),
        (r"\p{Print}+", "a\n", False),
        (r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\r\n\t]*", "a \U0001f600", True),
        (r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\r\n\t]*", "\x00", False),
        (r"^arn:[\w-\/.@+=,]{1,9}$", "arn:a-b/c", True),
        (r"^(?i)(true|false)$", "TRUE", True),
        (r"\S", "two words", True),
        (r"^[0-9A-Za-z][A-Za-z0-9\-_]*", "eks cluster", True),
    ],
)
def test_patterns_mean_what_they_mean_to_aws(pattern: str, value: str, accepted: bool) -> None:
    assert matches(pattern, value) is accepted


@pytest.mark.parametrize(
    "service", ["autoscaling", "drs", "ds", "ec2", "ecs", "iam", "lambda", "route53", "ssm", "sts"]
)
def test_every_pattern_of_a_service_can_be_checked(service: str) -> None:
    model = botocore.session.get_session().get_service_model(service)
    shapes = [model.shape_for(name) for name in model.shape_names]
    patterns = {one.metadata["pattern"] for one in shapes if "pattern" in one.metadata}
    assert [pattern for pattern in patterns if matcher(pattern) is None] == []

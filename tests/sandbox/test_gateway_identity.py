"""Who a caller is, and which roles it may assume."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from leeward_sandbox.aws.backend import AwsError
from leeward_sandbox.aws.identity import Identities, Scope
from leeward_sandbox.aws.trust import Principal, allows
from leeward_sandbox.aws.wire import HttpRequest

pytestmark = pytest.mark.aws

HUB = "999999999999"
EXTERNAL_ID = "leeward/sandbox/orders"


@pytest.fixture
def role(aws: Any) -> Callable[..., str]:
    """Makes a role in the test's account that trusts the hub and returns its ARN."""

    def make(*, actions: Any = "sts:AssumeRole", longest: int = 3600, **statement: Any) -> str:
        trusting = {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{HUB}:root"},
            "Action": actions,
            "Condition": {"StringEquals": {"sts:ExternalId": EXTERNAL_ID}},
        } | statement
        document = {"Version": "2012-10-17", "Statement": [trusting]}
        created = aws.client("iam").create_role(
            RoleName="LeewardRead",
            AssumeRolePolicyDocument=json.dumps(document),
            MaxSessionDuration=longest,
        )
        return str(created["Role"]["Arn"])

    return make


def assume(aws: Any, arn: str, *, hub: Any = None, **options: Any) -> dict[str, Any]:
    options = {"ExternalId": EXTERNAL_ID, "RoleSessionName": "leeward"} | options
    sts = hub or aws.client("sts", account=HUB, region="us-east-2")
    return dict(sts.assume_role(RoleArn=arn, **options))


def test_a_session_acts_in_the_account_of_its_role(aws: Any, role: Callable[..., str]) -> None:
    answer = assume(aws, role())
    session = answer["Credentials"]
    identity = aws.client("sts", credentials=session).get_caller_identity()
    arn = f"arn:aws:sts::{aws.account}:assumed-role/LeewardRead/leeward"
    assert (identity["Account"], identity["Arn"]) == (aws.account, arn)
    assert identity["UserId"] == answer["AssumedRoleUser"]["AssumedRoleId"]
    aws.client("ssm", credentials=session).put_parameter(Name="/a", Value="1", Type="String")
    assert aws.client("ssm").get_parameter(Name="/a")["Parameter"]["Value"] == "1"
    assert aws.control.calls(operation="PutParameter")[0]["principal"] == arn


@pytest.mark.parametrize("given", [{"ExternalId": "leeward/other/orders"}, {"ExternalId": None}])
def test_a_wrong_or_absent_external_id_is_refused(
    aws: Any, role: Callable[..., str], given: dict[str, Any]
) -> None:
    arn = role()
    options = {"RoleArn": arn, "RoleSessionName": "leeward"}
    options |= {name: value for name, value in given.items() if value is not None}
    with pytest.raises(ClientError) as refused:
        aws.client("sts", account=HUB).assume_role(**options)
    error = refused.value.response["Error"]
    assert error["Code"] == "AccessDenied"
    assert error["Message"] == (
        f"User: arn:aws:iam::{HUB}:root is not authorized to perform: sts:AssumeRole"
        f" on resource: {arn}"
    )
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_a_role_that_does_not_exist_is_refused_like_one_that_does_not_trust(
    aws: Any, role: Callable[..., str], new_account: Callable[[], str]
) -> None:
    arn = role()
    with pytest.raises(ClientError, match="AccessDenied"):
        assume(aws, arn.replace("LeewardRead", "LeewardReads"))
    stranger = aws.client("sts", account=new_account())
    with pytest.raises(ClientError, match="AccessDenied"):
        assume(aws, arn, hub=stranger)


def test_session_tags_need_the_right_to_tag_sessions(aws: Any, role: Callable[..., str]) -> None:
    arn = role()
    tags = [{"Key": "leeward:operation", "Value": "test"}]
    with pytest.raises(ClientError, match="not authorized to perform: sts:TagSession"):
        assume(aws, arn, Tags=tags)
    aws.client("iam").delete_role(RoleName="LeewardRead")
    assert assume(aws, role(actions=["sts:AssumeRole", "sts:TagSession"]), Tags=tags)


def test_a_chained_session_lasts_one_hour_at_most(aws: Any, role: Callable[..., str]) -> None:
    first = role(longest=7200, Condition={}, Principal={"AWS": "*"})
    session = assume(aws, first, DurationSeconds=7200)["Credentials"]
    chained = aws.client("sts", credentials=session)
    with pytest.raises(ClientError, match=r"ValidationError.*1 hour session limit"):
        assume(aws, first, hub=chained, DurationSeconds=3601)
    assert assume(aws, first, hub=chained, DurationSeconds=3600)
    with pytest.raises(ClientError, match=r"ValidationError.*MaxSessionDuration"):
        assume(aws, first, DurationSeconds=7201)


def test_a_role_may_trust_another_role_only(aws: Any, role: Callable[..., str]) -> None:
    hub_role = "arn:aws:iam::{}:role/Operator"
    iam = aws.client("iam")
    iam.create_role(
        RoleName="Operator",
        AssumeRolePolicyDocument=json.dumps(
            {"Statement": {"Effect": "Allow", "Principal": "*", "Action": "sts:*"}}
        ),
    )
    operator = hub_role.format(aws.account)
    session = assume(aws, operator)["Credentials"]
    arn = role(Principal={"AWS": [operator]})
    with pytest.raises(ClientError, match="AccessDenied"):
        assume(aws, arn)
    assert assume(aws, arn, hub=aws.client("sts", credentials=session))


@pytest.mark.parametrize(
    ("service", "call", "code", "status"),
    [
        ("sts", "get_caller_identity", "InvalidClientTokenId", 403),
        ("ssm", "describe_parameters", "UnrecognizedClientException", 403),
        ("drs", "describe_source_servers", "UnrecognizedClientException", 403),
        ("ec2", "describe_vpcs", "AuthFailure", 401),
        ("s3", "list_buckets", "InvalidAccessKeyId", 403),
        ("route53", "list_hosted_zones", "InvalidClientTokenId", 403),
    ],
)
def test_an_unknown_access_key_is_refused_in_each_protocol(
    aws: Any, service: str, call: str, code: str, status: int
) -> None:
    keys = {"AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": "x"}
    with pytest.raises(ClientError) as refused:
        getattr(aws.client(service, credentials=keys), call)()
    response = refused.value.response
    assert response["Error"]["Code"] == code
    assert response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert "AKIA" not in json.dumps(aws.control.calls())


def test_a_token_of_another_session_is_refused(aws: Any, role: Callable[..., str]) -> None:
    arn = role()
    one, other = assume(aws, arn)["Credentials"], assume(aws, arn)["Credentials"]
    mixed = one | {"SessionToken": other["SessionToken"]}
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        aws.client("sts", credentials=mixed).get_caller_identity()


def test_a_session_ends_by_the_real_clock() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    identities = Identities(now=lambda: now)
    session = identities.issue("arn:aws:iam::111111111111:role/a/R", "AROA1", "me", 900)
    scope = Scope(session.access_key, "us-east-1", "drs")
    request = HttpRequest("POST", "/", (("X-Amz-Security-Token", session.token),))
    assert identities.resolve(scope, request, "rest-json").account == "111111111111"
    now += timedelta(seconds=900)
    with pytest.raises(AwsError, match="ExpiredTokenException"):
        identities.resolve(scope, request, "rest-json")
    assert session.access_key not in repr(scope)
    assert session.token not in repr(session)


ALLOW = {"Effect": "Allow", "Principal": {"AWS": HUB}, "Action": "sts:AssumeRole"}


@pytest.mark.parametrize(
    ("statements", "allowed"),
    [
        ([ALLOW], True),
        ([ALLOW | {"Principal": {"AWS": "111111111111"}}], False),
        ([ALLOW | {"Principal": {"Service": "ec2.amazonaws.com"}}], False),
        ([ALLOW | {"Action": "sts:TagSession"}], False),
        ([ALLOW | {"Action": ["sts:Assume*"]}], True),
        ([ALLOW, ALLOW | {"Effect": "Deny"}], False),
        ([ALLOW | {"Condition": {"StringLike": {"sts:ExternalId": "leeward/*/orders"}}}], True),
        ([ALLOW | {"Condition": {"StringNotEquals": {"sts:ExternalId": "x"}}}], True),
        ([ALLOW | {"Condition": {"Null": {"sts:ExternalId": "true"}}}], False),
        ([ALLOW | {"Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}}], False),
        ([ALLOW | {"Condition": {"StringEqualsIfExists": {"aws:PrincipalOrgID": "o"}}}], True),
        ([ALLOW | {"Condition": {"NoSuchOperator": {"sts:ExternalId": "x"}}}], False),
    ],
)
def test_trust_policies_are_evaluated_as_iam_does(statements: list[Any], allowed: bool) -> None:
    caller = Principal(HUB, frozenset({f"arn:aws:iam::{HUB}:root"}))
    context = {"sts:externalid": [EXTERNAL_ID]}
    document = json.dumps({"Statement": statements})
    assert allows(document, "sts:AssumeRole", caller, context) is allowed


def test_a_trust_policy_that_is_no_policy_allows_nobody() -> None:
    caller = Principal(HUB, frozenset())
    assert not allows("{}", "sts:AssumeRole", caller, {})
    assert not allows("no JSON", "sts:AssumeRole", caller, {})

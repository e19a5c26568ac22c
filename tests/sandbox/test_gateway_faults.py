"""Faults by rule: what a client sees, and what has happened behind its back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from leeward_sandbox.aws.control import ControlError

pytestmark = pytest.mark.aws


def put(ssm: Any, name: str = "/a") -> Any:
    return ssm.put_parameter(Name=name, Value="1", Type="String")


def names(ssm: Any) -> list[str]:
    return sorted(one["Name"] for one in ssm.describe_parameters()["Parameters"])


def test_an_error_before_the_effect_leaves_nothing_behind(aws: Any) -> None:
    ssm = aws.client("ssm")
    rule = aws.control.add_fault(
        operation="PutParameter", action="error", code="ThrottlingException", message="slow down"
    )
    with pytest.raises(ClientError, match=r"ThrottlingException.*slow down"):
        put(ssm)
    assert names(ssm) == []
    (call,) = aws.control.calls(operation="PutParameter")
    assert (call["fault"], call["error"], call["executed"]) == (rule, "ThrottlingException", False)
    aws.control.remove_fault(rule)
    put(ssm)
    assert names(ssm) == ["/a"]


def test_a_storm_hits_every_second_call_until_it_is_over(aws: Any) -> None:
    ssm = aws.client("ssm")
    aws.control.add_fault(
        operation="PutParameter", action="error", code="ThrottlingException", every=2, times=2
    )
    refused = []
    for number in range(1, 8):
        try:
            put(ssm, f"/{number}")
        except ClientError:
            refused.append(number)
    assert refused == [2, 4]


def test_an_error_after_the_effect_was_committed_all_the_same(aws: Any) -> None:
    ssm = aws.client("ssm")
    aws.control.add_fault(
        operation="PutParameter", action="error", when="after", code="InternalFailure"
    )
    with pytest.raises(ClientError) as failed:
        put(ssm)
    assert failed.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    assert names(ssm) == ["/a"]
    (call,) = aws.control.calls(operation="PutParameter")
    assert (call["status"], call["executed"]) == (500, True)


@pytest.mark.parametrize(("when", "left"), [("before", []), ("after", ["/a"])])
def test_a_lost_answer_says_nothing_about_the_effect(aws: Any, when: str, left: list[str]) -> None:
    ssm = aws.client("ssm")
    rule = aws.control.add_fault(operation="PutParameter", action="drop", when=when, nth=1)
    with pytest.raises(ConnectionClosedError):
        put(ssm)
    assert names(ssm) == left
    (call,) = aws.control.calls(operation="PutParameter")
    assert (call["status"], call["fault"], call["executed"]) == (None, rule, when == "after")


def test_a_held_call_has_its_effect_only_when_released(aws: Any) -> None:
    ssm, other = aws.client("ssm"), aws.client("ssm")
    rule = aws.control.add_fault(operation="PutParameter", action="hold")
    with ThreadPoolExecutor(2) as pool:
        held = pool.submit(put, ssm)
        assert aws.control.wait_held(rule) == 1
        assert names(other) == []
        assert aws.control.calls(operation="PutParameter") == []
        assert aws.control.release(rule) == 1
        assert held.result(timeout=30)["Version"] == 1
        assert names(other) == ["/a"]
        again = pool.submit(put, ssm, "/b")
        aws.control.wait_held(rule)
        aws.control.remove_fault(rule)
        assert again.result(timeout=30)["Version"] == 1


def test_an_answer_that_is_held_after_the_effect_has_had_it(aws: Any) -> None:
    ssm, other = aws.client("ssm"), aws.client("ssm")
    rule = aws.control.add_fault(operation="PutParameter", action="hold", when="after")
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(put, ssm)
        aws.control.wait_held(rule)
        assert names(other) == ["/a"]
        assert not held.done()
        aws.control.release(rule)
        held.result(timeout=30)


def test_a_delay_lasts_as_long_as_the_virtual_clock_says(aws: Any) -> None:
    ssm = aws.client("ssm")
    rule = aws.control.add_fault(operation="PutParameter", action="delay", seconds=600, times=1)
    with ThreadPoolExecutor(1) as pool:
        delayed = pool.submit(put, ssm)
        aws.control.wait_held(rule)
        aws.control.advance(599)
        assert names(aws.client("ssm")) == []
        aws.control.advance(1)
        delayed.result(timeout=30)
    put(ssm, "/b")
    assert names(ssm) == ["/a", "/b"]


def test_a_dying_region_takes_its_own_calls_only(aws: Any) -> None:
    aws.control.add_fault(region="us-east-1", action="error", code="ServiceUnavailable")
    for service, operation in (("ec2", "describe_vpcs"), ("drs", "describe_jobs")):
        with pytest.raises(ClientError) as failed:
            getattr(aws.client(service), operation)()
        assert failed.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    with pytest.raises(ClientError, match="ServiceUnavailable"):
        aws.client("route53").list_hosted_zones()
    assert aws.client("ec2", region="us-east-2").describe_vpcs()["Vpcs"]


def test_nth_and_times_count_the_matching_calls(aws: Any) -> None:
    ssm = aws.client("ssm")
    third = aws.control.add_fault(operation="PutParameter", action="error", code="Third", nth=3)
    outcomes = []
    for number in range(4):
        try:
            put(ssm, f"/{number}")
            outcomes.append("done")
        except ClientError as error:
            outcomes.append(error.response["Error"]["Code"])
    assert outcomes == ["done", "done", "Third", "done"]
    (rule,) = aws.control.faults()
    assert (rule["id"], rule["seen"], rule["hits"], rule["holding"]) == (third, 4, 1, 0)
    aws.control.add_fault(operation="GetParameter", action="error", code="Twice", times=2)
    for _ in range(2):
        with pytest.raises(ClientError, match="Twice"):
            ssm.get_parameter(Name="/0")
    assert ssm.get_parameter(Name="/0")["Parameter"]["Value"] == "1"


def test_a_rule_may_ask_for_members_deep_in_a_request(aws: Any) -> None:
    ec2 = aws.client("ec2")
    aws.control.add_fault(
        service="ec2",
        account=aws.account,
        params={"Filters.Name": "tag:a", "MaxResults": 5},
        action="error",
        code="RequestLimitExceeded",
    )
    tagged, other = [{"Name": name, "Values": ["1"]} for name in ("tag:a", "tag:b")]
    with pytest.raises(ClientError, match="RequestLimitExceeded"):
        ec2.describe_instances(Filters=[other, tagged], MaxResults=5)
    assert ec2.describe_instances(Filters=[other], MaxResults=5)["Reservations"] == []
    assert ec2.describe_instances(Filters=[tagged], MaxResults=6)["Reservations"] == []


@pytest.mark.parametrize(
    "rule",
    [
        {"action": "explode"},
        {"action": "error", "oparation": "PutParameter"},
        {"action": "error", "nth": 1, "times": 1},
        {"action": "delay"},
        {"action": "error", "nth": 0},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(aws: Any, rule: dict[str, Any]) -> None:
    with pytest.raises(ControlError, match="not a fault rule"):
        aws.control.add_fault(**rule)


def test_the_control_api_says_what_it_does_not_know(aws: Any) -> None:
    with pytest.raises(ControlError, match="no fault rule fault-9"):
        aws.control.release("fault-9")
    with pytest.raises(ControlError, match="no control for ec2"):
        aws.control.backend("ec2", {})
    with pytest.raises(ControlError, match="only moves forward"):
        aws.control.advance(-1)


@pytest.mark.parametrize(("when", "left"), [("before", []), ("after", ["/a"])])
def test_something_between_answers_in_aws_s_place(aws: Any, when: str, left: list[str]) -> None:
    ssm = aws.client("ssm")
    rule = aws.control.add_fault(operation="PutParameter", action="page", when=when, nth=1)

    metadata = put(ssm)["ResponseMetadata"]

    assert (metadata["HTTPStatusCode"], "RequestId" in metadata) == (200, False)
    assert metadata["HTTPHeaders"]["content-type"] == "text/html"
    assert names(ssm) == left
    (call,) = aws.control.calls(operation="PutParameter")
    assert (call["status"], call["fault"], call["executed"]) == (200, rule, when == "after")


def test_what_answers_in_aws_s_place_is_the_rule_s_to_say(aws: Any) -> None:
    aws.control.add_fault(
        operation="PutParameter", action="page", status=403, body="no", headers={"Via": "a proxy"}
    )

    with pytest.raises(ClientError) as refused:
        put(aws.client("ssm"))

    metadata = refused.value.response["ResponseMetadata"]
    assert (metadata["HTTPStatusCode"], metadata["HTTPHeaders"]["via"]) == (403, "a proxy")


def test_an_error_is_no_success(aws: Any) -> None:
    with pytest.raises(ControlError, match="an error's status is 400 or more"):
        aws.control.add_fault(action="error", status=200)

"""SNS and EventBridge, as notices go through them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from leeward_adapters import eventbridge, sns
from leeward_adapters.aws import Account, Aws
from leeward_adapters.base import ErrorClass
from leeward_adapters.errors import classify
from leeward_adapters.eventbridge import Event

pytestmark = pytest.mark.aws
AT = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
MESSAGE: dict[str, Any] = {
    "subject": "[Leeward] approval needed: wave-web, orders/orders-1",
    "text": "Gate wave-web waits.\nÉtat: prêt",
    "attributes": {"id": "n-1", "type": "ApprovalNeeded", "count": "2", "incident": ""},
    "group": "run-1",
    "deduplication_id": "n-1",
}


class Inbox:
    """A queue in the sandbox, and what came into it."""

    def __init__(self, sandbox: Any, name: str, **attributes: str) -> None:
        self._sqs = sandbox.client("sqs")
        self.url = self._sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        answer = self._sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])
        self.arn = answer["Attributes"]["QueueArn"]

    def messages(self) -> list[Any]:
        found = self._sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10)
        return [json.loads(m["Body"]) for m in found.get("Messages", [])]


def topic(sandbox: Any, name: str = "ops", **attributes: str) -> str:
    answer = sandbox.client("sns").create_topic(Name=name, Attributes=attributes)
    return str(answer["TopicArn"])


def bus(sandbox: Any, inbox: Inbox | None = None) -> str:
    """A bus whose approvals go to the inbox."""
    events = sandbox.client("events")
    arn = str(events.create_event_bus(Name="dr-orchestration-events")["EventBusArn"])
    if inbox is not None:
        pattern = {
            "source": ["dr.orchestration"],
            "detail-type": ["TaskManualApprovalNeeded"],
        }
        rule = {"Name": "approvals", "EventBusName": "dr-orchestration-events"}
        events.put_rule(**rule, EventPattern=json.dumps(pattern))
        target = [{"Id": "inbox", "Arn": inbox.arn}]
        events.put_targets(Rule="approvals", EventBusName=rule["EventBusName"], Targets=target)
    return arn


def event(detail_type: str = "TaskManualApprovalNeeded", **detail: Any) -> Event:
    return Event("dr.orchestration", detail_type, {"executionId": "orders-1", **detail}, AT)


# --- SNS


def test_a_message_arrives_with_subject_text_and_attributes(sandbox: Any) -> None:
    arn, inbox = topic(sandbox), Inbox(sandbox, "mail")
    sandbox.client("sns").subscribe(TopicArn=arn, Protocol="sqs", Endpoint=inbox.arn)
    sent = sns.publish(sandbox.scope(), arn, **MESSAGE)
    (came,) = inbox.messages()
    assert (came["MessageId"], came["TopicArn"]) == (sent, arn)
    assert (came["Subject"], came["Message"]) == (MESSAGE["subject"], MESSAGE["text"])
    values = {name: a["Value"] for name, a in came["MessageAttributes"].items()}
    assert values == {"id": "n-1", "type": "ApprovalNeeded", "count": "2"}
    (call,) = sandbox.calls("Publish")
    assert {f"{call['service']}:{call['operation']}"} == sns.PERMISSIONS
    assert call["params"]["Message"] == MESSAGE["text"]
    assert call["principal"].endswith("assumed-role/LeewardRecovery/leeward")


def test_a_fifo_topic_gets_its_group_and_knows_a_double_by_the_id(sandbox: Any) -> None:
    arn = topic(sandbox, "ops.fifo", FifoTopic="true")
    sns.publish(sandbox.scope(), arn, **MESSAGE)
    params = sandbox.calls("Publish")[-1]["params"]
    assert (params["MessageGroupId"], params["MessageDeduplicationId"]) == ("run-1", "n-1")
    sns.publish(sandbox.scope(), topic(sandbox), **MESSAGE)
    assert "MessageGroupId" not in sandbox.calls("Publish")[-1]["params"]


def test_the_operators_own_credentials_serve_an_account_without_a_role(sandbox: Any) -> None:
    own = sandbox.aws.scope(Account(id="999999999999"), "us-east-2", recovery=True)
    hub = sandbox.client("sns", account="999999999999")
    arn = hub.create_topic(Name=f"hub-{sandbox.account}")["TopicArn"]
    sns.publish(own, arn, **MESSAGE)
    assert sandbox.calls("Publish")[-1]["account"] == "999999999999"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"code": "AuthorizationError", "status": 403}, ErrorClass.FINAL),
        ({"code": "AccessDenied"}, ErrorClass.DENIED),
        ({"code": "Throttled", "status": 429}, ErrorClass.TRANSIENT),
        ({"code": "KMSThrottling", "status": 400}, ErrorClass.TRANSIENT),
        ({"code": "InternalError"}, ErrorClass.IN_DOUBT),
    ],
    ids=lambda value: value["code"] if isinstance(value, dict) else "",
)
def test_an_error_of_a_topic_says_where_and_is_classified_and_sent_once(
    sandbox: Any, fault: dict[str, Any], kind: ErrorClass
) -> None:
    arn = topic(sandbox)
    sandbox.control.add_fault(service="sns", operation="Publish", action="error", **fault)
    with pytest.raises(ClientError) as refused:
        sns.publish(sandbox.scope(), arn, **MESSAGE)
    found = classify(refused.value)
    assert (found.kind, found.code) == (kind, fault["code"])
    assert f"account {sandbox.account} (tiny), us-east-2" in found.message
    assert len(sandbox.calls("Publish")) == 1


def test_a_topic_that_is_gone_is_final(sandbox: Any) -> None:
    arn = topic(sandbox)
    sandbox.client("sns").delete_topic(TopicArn=arn)
    with pytest.raises(ClientError) as refused:
        sns.publish(sandbox.scope(), arn, **MESSAGE)
    assert classify(refused.value).code == "NotFound"
    assert classify(refused.value).kind is ErrorClass.FINAL


def test_a_call_that_hangs_ends_with_its_time_out(sandbox: Any) -> None:
    arn = topic(sandbox)
    rule = sandbox.control.add_fault(service="sns", operation="Publish", action="hold")
    hasty = Aws("us-east-2", endpoint_url=sandbox.endpoint, read_timeout=1)
    try:
        with pytest.raises(ReadTimeoutError):
            sns.publish(hasty.scope(sandbox.reached(), "us-east-2", recovery=True), arn, **MESSAGE)
    finally:
        sandbox.control.release(rule)


@pytest.mark.parametrize(
    "wrong",
    [
        {"subject": "two\nlines"},
        {"subject": "x" * 101},
        {"subject": "prêt"},
        {"text": "x" * 262_145},
    ],
    ids=["line-break", "long", "not-ascii", "too-much"],
)
def test_the_sandbox_refuses_what_sns_refuses(sandbox: Any, wrong: dict[str, str]) -> None:
    arn = topic(sandbox)
    with pytest.raises(ClientError) as refused:
        sns.publish(sandbox.scope(), arn, **{**MESSAGE, **wrong})
    assert classify(refused.value).code == "InvalidParameter"


def test_a_topic_is_published_to_in_its_own_region(sandbox: Any) -> None:
    arn = topic(sandbox)
    with pytest.raises(ClientError) as refused:
        sns.publish(sandbox.scope("us-east-1"), arn, **MESSAGE)
    assert classify(refused.value).code == "InvalidParameter"


# --- EventBridge


def test_an_event_reaches_the_rules_that_match_it(sandbox: Any) -> None:
    inbox = Inbox(sandbox, "approvals")
    arn = bus(sandbox, inbox)
    eventbridge.put(sandbox.scope(), arn, event(taskId="wave-web"))
    eventbridge.put(sandbox.scope(), arn, event("TaskFailed"))
    used = {f"{call['service']}:{call['operation']}" for call in sandbox.calls("PutEvents")}
    assert used == eventbridge.PERMISSIONS
    (came,) = inbox.messages()
    assert (came["source"], came["detail-type"]) == (
        "dr.orchestration", "TaskManualApprovalNeeded",
    )  # fmt: skip
    assert came["detail"] == {"executionId": "orders-1", "taskId": "wave-web"}
    assert came["time"].startswith("2026-03-01T02:00:00")


def test_an_entry_that_was_not_taken_is_an_error_though_the_answer_is_200(sandbox: Any) -> None:
    forged = Event("aws.drs", "DRS Source Server Launch Result", {}, AT)
    with pytest.raises(ClientError) as refused:
        eventbridge.put(sandbox.scope(), bus(sandbox), forged)
    found = classify(refused.value)
    assert (found.kind, found.code) == (ErrorClass.FINAL, "NotAuthorizedForSource")
    assert f"[account {sandbox.account}, us-east-2]" in found.message
    (call,) = sandbox.calls("PutEvents")
    assert (call["status"], call["error"]) == (200, None)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("ThrottlingException", ErrorClass.TRANSIENT),
        ("InternalFailure", ErrorClass.IN_DOUBT),
        ("MalformedDetail", ErrorClass.FINAL),
    ],
)
def test_whether_an_entry_is_tried_again_follows_from_its_code(
    sandbox: Any, code: str, kind: ErrorClass
) -> None:
    entry = {"ErrorCode": code, "ErrorMessage": "why"}
    assert classify(eventbridge._refusal(entry, sandbox.scope())).kind is kind


def test_a_bus_that_throttles_is_classified_and_asked_once(sandbox: Any) -> None:
    arn = bus(sandbox)
    throttled = {"code": "ThrottlingException", "status": 400}
    sandbox.control.add_fault(service="events", action="error", **throttled)
    with pytest.raises(ClientError) as refused:
        eventbridge.put(sandbox.scope(), arn, event())
    assert classify(refused.value).kind is ErrorClass.TRANSIENT
    assert len(sandbox.calls("PutEvents")) == 1


def test_an_event_above_256_kb_is_refused(sandbox: Any) -> None:
    with pytest.raises(ClientError) as refused:
        eventbridge.put(sandbox.scope(), bus(sandbox), event(message="x" * 262_144))
    assert classify(refused.value).kind is ErrorClass.FINAL

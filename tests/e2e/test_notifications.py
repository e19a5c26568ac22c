"""People are told: what arrives, how it is answered, and that nothing waits for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

ACCOUNT, HUB = "111111111111", "999999999999"
REGION = "us-east-2"
SCALE = 240.0
ONE_WAVE: dict[str, Any] = {"accounts": [{"name": "east-a"}], "waves": [{"name": "data"}]}


class Inbox:
    """A topic of the test's own and a queue that is subscribed to it."""

    def __init__(self, lab: Any, name: str = "ops") -> None:
        label = f"{lab.application}-{name}"
        sns, self._sqs = lab.client("sns", ACCOUNT), lab.client("sqs", ACCOUNT)
        self.topic = str(sns.create_topic(Name=label)["TopicArn"])
        self._queue = self._sqs.create_queue(QueueName=label)["QueueUrl"]
        queue_arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{label}"
        sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=queue_arn)
        self._came: list[Any] = []

    def came(self, kind: str = "") -> list[Any]:
        """Messages of that type that have come so far, the oldest first."""
        while found := self._sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10).get(
            "Messages"
        ):
            for message in found:
                self._came.append(json.loads(message["Body"]))
                self._sqs.delete_message(
                    QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"]
                )
        return [m for m in self._came if kind in ("", value(m, "type"))]


def value(message: Any, name: str) -> str:
    """An attribute of a message."""
    return str(message["MessageAttributes"][name]["Value"])


def command(message: Any, start: str) -> str:
    """The one command in the message that begins so, exactly as printed."""
    (found,) = [
        line.strip() for line in message["Message"].splitlines() if line.strip().startswith(start)
    ]
    return str(found)


def run_as(lab: Any, user: str, line: str) -> None:
    """What a person does who copies the line into a shell of their own."""
    environment = {
        **os.environ,
        **lab.stack.environment(),
        "KUBECONFIG": str(lab.stack.cluster.kubeconfig(user)),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        ["bash", "-c", line], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def reasons(lab: Any, name: str) -> Counter[str]:
    """Kubernetes events about an object, by reason."""
    rows = lab.kubectl(
        *("get", "events", "--field-selector", f"involvedObject.name={name}"),
        *("-o", 'jsonpath={range .items[*]}{.reason}{"\\n"}{end}'),
    ).stdout.split()
    return Counter(rows)


def records(lab: Any, name: str) -> dict[str, Any]:
    """What the run's status says of notices, by type."""
    found = lab.get("drx", name)["status"].get("notifications", [])
    return {record["type"]: record for record in found}


def closed(lab: Any, name: str) -> Any:
    """The run once it has ended, people were told and nothing is left to be done for it."""

    def look() -> Any:
        run = lab.get("drx", name)
        return run if not run["metadata"].get("finalizers") else None

    return lab.until(f"{name} is closed", look)


@pytest.mark.parametrize(
    "start", ["kubectl annotate drx", "kubectl leeward approve"], ids=["kubectl", "plugin"]
)
def test_people_are_asked_again_until_one_runs_the_command_that_the_message_has(
    lab: Any, start: str
) -> None:
    inbox = Inbox(lab)
    gated = {"name": "data", "gates": [{"before": "Instantiate"}]}
    told = {"snsTopicArns": [inbox.topic], "reminderInterval": "2s"}
    lab.ready_plan(**{**ONE_WAVE, "waves": [gated]}, notifications=told)
    name = lab.start(mode="Unplanned", incident="INC7")
    lab.until("people were asked three times", lambda: len(inbox.came("ApprovalNeeded")) >= 3)
    first, second, *_ = inbox.came("ApprovalNeeded")
    assert [value(m, "count") for m in (first, second)] == ["1", "2"]
    assert value(first, "id") != value(second, "id")
    assert first["Subject"] == f"[Leeward] approval needed: wave-data, orders/{name}"
    assert second["Subject"].startswith("[Leeward] Reminder 1: ")
    for part in ("Failover, Unplanned", "CustomerA", "INC7", "0 of 1 given", "Deadline:"):
        assert part in first["Message"]
    assert reasons(lab, name)["GateWaiting"] == 1
    lines = [line.strip() for line in first["Message"].splitlines()]
    answer = next(line for line in lines if line.startswith(start))
    run_as(lab, "approver-a", answer)
    run = lab.until_condition("drx", name, "Succeeded")
    assert run["status"]["gates"][0]["answers"][0]["user"] == "approver-a@example.com"
    closed(lab, name)
    lab.until("the end is told", lambda: inbox.came("ExecutionComplete"))
    asked = len(inbox.came("ApprovalNeeded"))
    kinds = Counter(value(m, "type") for m in inbox.came())
    assert kinds == {"ExecutionStarted": 1, "ApprovalNeeded": asked, "ExecutionComplete": 1}
    kept = records(lab, name)
    assert {kind: r["count"] for kind, r in kept.items()} == dict(kinds)
    assert {r["failed"] for r in kept.values()} == {0}


def test_a_failure_is_told_to_its_people_and_settled_by_the_command_in_the_message(
    lab: Any,
) -> None:
    everybody, owners = Inbox(lab), Inbox(lab, "owners")
    events = lab.client("events", HUB)
    bus = events.create_event_bus(Name=f"{lab.application}-dr")["EventBusArn"]
    own = {"name": "data", "topics": [owners.topic], "mode": "Override", "note": "page the owner"}
    told = {"snsTopicArns": [everybody.topic], "eventBusArn": bus, "tasks": [own]}
    bad, _ = lab.servers(1)
    raw = "InsufficientInstanceCapacity: We currently do not have sufficient m5.large capacity."
    where = {"account": ACCOUNT, "region": REGION, "sourceServerID": bad}
    lab.control.backend("drs", {**where, "fault": {"failAt": "LAUNCH", "rawError": raw}})
    lab.ready_plan(**ONE_WAVE, notifications=told)
    name = lab.start()
    lab.until("a decision is asked for", lambda: owners.came("DecisionNeeded"))
    (asked,) = owners.came("DecisionNeeded")
    for part in (bad, ACCOUNT, REGION, "m5.large", "page the owner"):
        assert part in asked["Message"]
    (failed,) = owners.came("TaskFailed")
    assert "m5.large" in failed["Message"]
    (task,) = [t for t in lab.tasks(name) if reasons(lab, t)["TaskFailed"]]
    assert reasons(lab, task)["TaskFailed"] == 1
    assert reasons(lab, name)["TasksFailed"] == 1
    run_as(lab, "admin", command(asked, "kubectl leeward skip drt"))
    lab.until_condition("drx", name, "Succeeded")
    closed(lab, name)
    lab.until("the end is told", lambda: everybody.came("ExecutionComplete"))
    assert Counter(value(m, "type") for m in everybody.came()) == {
        "ExecutionStarted": 1,
        "ExecutionComplete": 1,
    }
    calls = [
        call
        for call in lab.control.calls(service="events", operation="PutEvents")
        if call["account"] == HUB and call["params"]["Entries"][0]["EventBusName"] == bus
    ]
    assert {(c["part"], c["run"]) for c in calls} == {("notifications", f"orders.{name}")}
    entries = [entry for call in calls for entry in call["params"]["Entries"]]
    assert Counter(e["DetailType"] for e in entries) == {
        "ExecutionStarted": 1,
        "TaskFailed": 1,
        "DecisionNeeded": 1,
        "ExecutionComplete": 1,
    }
    assert {e["Source"] for e in entries} == {"dr.orchestration"}
    assert {json.loads(e["Detail"])["executionId"] for e in entries} == {name}
    mine = [t for t in lab.tasks(name) if reasons(lab, t)["TaskComplete"]]
    assert {reasons(lab, t)["TaskComplete"] for t in mine} == {1}


def test_topics_that_are_gone_deny_or_throttle_do_not_stop_the_run(lab: Any) -> None:
    good, denied, slow = (Inbox(lab, name) for name in ("good", "denied", "slow"))
    gone = f"arn:aws:sns:{REGION}:{ACCOUNT}:{lab.application}-gone"

    def fault(topic: str, **what: Any) -> None:
        lab.control.add_fault(
            service="sns", operation="Publish", action="error", params={"TopicArn": topic}, **what
        )

    fault(denied.topic, code="AuthorizationError", status=403)
    fault(slow.topic, code="Throttled", status=429, times=2)
    topics = [good.topic, denied.topic, slow.topic, gone]
    lab.ready_plan(**ONE_WAVE, notifications={"snsTopicArns": topics})
    name = lab.start()
    lab.until_condition("drx", name, "Succeeded")
    closed(lab, name)
    for kind in ("ExecutionStarted", "ExecutionComplete"):
        record = records(lab, name)[kind]
        assert (record["count"], record["delivered"], record["failed"]) == (1, 2, 2)
        for part in (gone, "NotFound", denied.topic, "AuthorizationError", ACCOUNT, REGION):
            assert part in record["message"]
        assert len(good.came(kind)) == len(slow.came(kind)) == 1
        assert denied.came(kind) == []
    assert reasons(lab, name)["NotificationFailed"] == 2


def test_a_service_that_hangs_holds_neither_the_run_nor_its_plan(lab: Any) -> None:
    inbox = Inbox(lab)
    rule = lab.control.add_fault(service="sns", operation="Publish", action="hold")
    lab.ready_plan(**ONE_WAVE, notifications={"snsTopicArns": [inbox.topic]})
    name = lab.start()
    lab.control.wait_held(rule)
    lab.until_condition("drx", name, "Succeeded")
    lab.until(
        "the plan is free for another run",
        lambda: "activeExecution" not in lab.get("rp", lab.application)["status"],
    )
    assert records(lab, name) == {}
    lab.control.remove_fault(rule)
    closed(lab, name)
    assert {r["delivered"] for r in records(lab, name).values()} == {1}
    told = {value(m, "type") for m in inbox.came()}
    assert told == {"ExecutionStarted", "ExecutionComplete"}


@pytest.mark.parametrize("arrived", [True, False], ids=["it-arrived", "it-was-lost"])
def test_a_notice_survives_an_operator_that_dies_before_recording_it(
    lab: Any, arrived: bool
) -> None:
    inbox = Inbox(lab)
    mine = {"service": "sns", "operation": "Publish", "params": {"TopicArn": inbox.topic}}
    when = "after" if arrived else "before"
    rule = lab.control.add_fault(**mine, action="hold", when=when, nth=1)
    if not arrived:
        lab.control.add_fault(**mine, action="drop", when=when, nth=1)
    lab.ready_plan(**ONE_WAVE, notifications={"snsTopicArns": [inbox.topic]})
    lab.control.scale(0)  # so that the run stays where it is
    name = lab.start()
    lab.control.wait_held(rule)
    lab.stack.kill_operator()
    lab.control.release(rule)
    assert records(lab, name) == {}
    lab.stack.start_operator()
    lab.until("what was told is recorded", lambda: records(lab, name))
    record = records(lab, name)["ExecutionStarted"]
    assert (record["count"], record["delivered"]) == (1, 1)
    came = inbox.came("ExecutionStarted")
    assert [value(m, "id") for m in came] == [record["id"]] * (2 if arrived else 1)
    lab.annotate("drx", name, "cancel", "admin", user="admin")
    lab.control.scale(SCALE)
    closed(lab, name)
    assert len(inbox.came("ExecutionFailed")) == 1
    assert len(inbox.came("ExecutionStarted")) == len(came)

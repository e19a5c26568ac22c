"""Which notices are due, for whom, how they read, and what the record keeps of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from leeward.api.execution import DRExecution
from leeward.api.notifications import NotificationRecord
from leeward.api.plan import RecoveryPlan
from leeward.api.task import DRTask
from leeward.planning.notifications.notice_text import _fitted, fit
from leeward.planning.notifications.notices import Delivery, Due, Notice, due, recorded
from leeward.planning.plans.readiness import readiness
from leeward.planning.times import render_time

TOPIC, OTHER, DBA = (f"arn:aws:sns:us-east-2:111111111111:{n}" for n in ("ops", "boss", "dba"))
BUS = "arn:aws:events:us-east-2:111111111111:event-bus/dr"
NOW = datetime.fromisoformat("2026-03-01T02:00:00+00:00")
START = "2026-03-01T01:50:00Z"
GATE: dict[str, Any] = {
    "name": "wave-web", "id": "gate-1", "wave": "web", "before": "Activate", "state": "Waiting",
    "required": 2, "askedAt": "2026-03-01T01:59:00Z", "deadline": "2026-03-01T02:29:00Z",
    "approvers": {"users": ["ann@example.com"], "groups": ["approvers"]},
    "findings": ["LagAboveObjective: srv-1 lags by 40m"],
}  # fmt: skip


def after(**span: float) -> datetime:
    return NOW + timedelta(**span)


def condition(kind: str, status: str, reason: str, at: str = START) -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "lastTransitionTime": at}


class Story:
    """A plan, a run and its tasks, and everything that was sent of it."""

    def __init__(self, build: Any, *, notifications: Any = None, **spec: Any) -> None:
        told = {"snsTopicArns": [TOPIC]} if notifications is None else notifications
        self.plan: RecoveryPlan = build.plan(notifications=told)
        spec = {"mode": "Unplanned", "incident": "INC1", **spec}
        self.run: DRExecution = build.execution(**spec)
        self.tasks: list[DRTask] = []
        self.sent: list[Notice] = []
        self.status(startTime=START, currentWave="web", waves=[_wave("data"), _wave("web", 2)])

    def status(self, **fields: Any) -> Story:
        """Change the status of the run."""
        body = {**self.run.status.to_api(), **fields}
        self.run = DRExecution.model_validate({**self.run.to_api(), "status": body})
        return self

    def waits(self, gate: dict[str, Any] = GATE, **changes: Any) -> Story:
        return self.status(gates=[{**gate, **changes}], state="WaitingForApproval")

    def decides(self, reason: str = "TasksFailed", at: str = START) -> Story:
        return self.status(conditions=[condition("WaitingForDecision", "True", reason, at)])

    def ends(self, state: str = "Succeeded") -> Story:
        verdict = condition("Succeeded", "True" if state == "Succeeded" else "False", state)
        return self.status(conditions=[verdict], state=state, message="why", completionTime=START)

    def task(self, state: str, name: str = "t", **fields: Any) -> Story:
        status = {"state": state, "message": "no capacity", "completionTime": START}
        own = ("attempt", "completionTime", "resources")
        status |= {k: fields.pop(k) for k in own if k in fields}
        spec = {
            "executionRef": {"name": "shop-1", "uid": "u"}, "plan": "shop", "wave": "web",
            "operation": "Failover", "mode": "Unplanned", "waveOrdinal": 2, "technology": "drs",
            "recoveryPhase": "Instantiate", "account": "prod", "accountId": "111111111111",
            "region": "us-east-2", "sourceRegion": "us-east-1", **fields,
        }  # fmt: skip
        body = {"metadata": {"name": name, "uid": f"uid-{name}"}, "spec": spec, "status": status}
        self.tasks = [t for t in self.tasks if t.metadata.name != name]
        self.tasks.append(DRTask.model_validate(body))
        return self

    def due(self, now: datetime = NOW) -> Due:
        return due(self.run, self.tasks, self.plan, now)

    def types(self, now: datetime = NOW) -> list[str]:
        return [n.matter.type for n in self.due(now).notices]

    def one(self, kind: str, now: datetime = NOW) -> Notice:
        """The only due notice of that type."""
        (found,) = [n for n in self.due(now).notices if n.matter.type == kind]
        return found

    def send(self, now: datetime = NOW, delivered: int = 1, failures: Sequence[str] = ()) -> Story:
        """Send all that is due, and record it."""
        for notice in self.due(now).notices:
            self.sent.append(notice)
            self.record(Delivery(notice, now, delivered, tuple(failures)))
        return self

    def record(self, delivery: Delivery) -> None:
        records = recorded(self.run.status.notifications, delivery)
        self.status(notifications=[r.to_api() for r in records])

    def records(self, kind: str) -> list[NotificationRecord]:
        return [r for r in self.run.status.notifications if r.type == kind]


def _wave(name: str, ordinal: int = 1) -> dict[str, Any]:
    return {"name": name, "ordinal": ordinal, "state": "NotStarted"}


@pytest.fixture
def story(build: Any) -> Story:
    """A run that began, which people were told."""
    return Story(build).send()


# --- what is due, and when


def test_that_a_run_began_is_told_once(build: Any) -> None:
    story = Story(build)
    assert story.types() == ["ExecutionStarted"]
    assert story.send().types(after(days=3)) == []


def test_a_run_that_never_began_is_told_as_failed_alone(build: Any) -> None:
    story = Story(build).ends("Failed")
    story.status(startTime=None)
    assert story.types() == ["ExecutionFailed"]


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("Succeeded", "ExecutionComplete"),
        ("Failed", "ExecutionFailed"),
        ("Cancelled", "ExecutionFailed"),
        ("Expired", "ExecutionFailed"),
    ],
)
def test_how_a_run_ended_is_told_once(story: Story, state: str, kind: str) -> None:
    assert story.ends(state).types() == [kind]
    assert state.lower() in story.one(kind).message.subject
    assert story.send().types(after(days=3)) == []


def test_a_dry_run_is_nobodys_news(build: Any) -> None:
    assert Story(build, dryRun="Plan").ends().due() == Due()


def test_a_plan_that_tells_nobody_has_nothing_due(build: Any) -> None:
    assert Story(build, notifications={"reminderInterval": "1m"}).waits().due() == Due()
    story = Story(build).waits()
    spec = story.plan.spec.model_copy(update={"notifications": None})
    story.plan = story.plan.model_copy(update={"spec": spec})
    assert story.due() == Due()


@pytest.mark.parametrize("kind", ["ApprovalNeeded", "DecisionNeeded"])
def test_people_are_told_again_while_a_run_waits_for_them(story: Story, kind: str) -> None:
    _ = story.waits() if kind == "ApprovalNeeded" else story.decides()
    assert (story.types(), story.one(kind).count) == ([kind], 1)
    story.send()
    assert story.due(after(minutes=4)) == Due(later=timedelta(minutes=6))
    assert story.one(kind, after(minutes=10)).count == 2
    story.send(after(minutes=10))
    assert story.one(kind, after(minutes=25)).count == 3
    (record,) = story.records(kind)
    assert (record.count, record.first_time, record.last_time) == (
        2, render_time(NOW), render_time(after(minutes=10)),
    )  # fmt: skip


def test_the_interval_of_reminders_is_the_plans(build: Any) -> None:
    often = {"snsTopicArns": [TOPIC], "reminderInterval": "90s"}
    story = Story(build, notifications=often).waits().send()
    assert story.due(after(seconds=80)).later == timedelta(seconds=10)
    assert story.types(after(seconds=90)) == ["ApprovalNeeded"]


@pytest.mark.parametrize("state", ["Approved", "Rejected", "TimedOut", "Automatic"])
def test_an_answered_gate_is_not_asked_for_again(story: Story, state: str) -> None:
    story.waits().send().waits(state=state)
    assert story.due(after(hours=1)) == Due()


def test_nobody_is_asked_for_an_answer_to_a_run_that_is_being_cancelled(story: Story) -> None:
    assert story.waits().decides().status(cancelling=True).types() == []


def test_a_gate_that_is_asked_anew_is_told_at_once_and_from_the_beginning(story: Story) -> None:
    first = story.waits().one("ApprovalNeeded")
    story.send().waits(askedAt="2026-03-01T02:00:01Z")
    again = story.one("ApprovalNeeded", after(seconds=2))
    assert (again.count, again.id != first.id) == (1, True)
    story.send(after(seconds=2))
    (record,) = story.records("ApprovalNeeded")
    assert (record.count, record.first_time) == (1, render_time(after(seconds=2)))


def test_another_decision_is_told_at_once(story: Story) -> None:
    story.decides().send()
    assert story.types(after(seconds=5)) == []
    assert story.decides(at="2026-03-01T02:00:03Z").types(after(seconds=5)) == ["DecisionNeeded"]
    story.send(after(seconds=5))
    assert story.decides("GateRejected").types(after(seconds=6)) == ["DecisionNeeded"]


def test_failed_tasks_are_told_together_and_each_once(story: Story) -> None:
    story.task("Failed", "a").task("Failed", "b").task("InProgress", "c")
    notice = story.one("TaskFailed")
    assert "2 tasks failed" in notice.message.subject
    assert story.send().types(after(days=1)) == []
    story.task("Failed", "c")
    notice = story.one("TaskFailed", after(seconds=1))
    assert notice.message.detail["tasks"] == ["c"]
    assert "1 task failed" in notice.message.subject
    story.send(after(seconds=1))
    assert [r.count for r in story.records("TaskFailed")] == [2]


def test_a_task_that_fails_again_after_a_retry_is_told_again(story: Story) -> None:
    story.task("Failed", "a").send().task("Retry", "a", attempt=2)
    assert story.types() == []
    story.task("Failed", "a", attempt=2, completionTime="2026-03-01T01:58:00Z")
    assert story.types() == ["TaskFailed"]


def test_a_decision_about_newer_data_is_told_with_the_command_that_gives_it_up(
    story: Story,
) -> None:
    older = {"id": "s-1", "state": "Failed", "reason": "FailbackOutdated", "message": "it is old"}
    story.task("Failed", "start", resources=[older]).task("Failed", "b")
    story.status(conditions=[condition("WaitingForDecision", "True", "NewerData")])
    text = story.one("DecisionNeeded").message.text
    assert "kubectl annotate drt start -n acme leeward.dev/accept-data-loss=" in text
    assert "kubectl annotate drt b -n acme leeward.dev/accept-data-loss=" not in text
    assert "or to accept the loss of data, with the verb approve-destructive" in text


def test_a_decision_about_fencing_that_was_undone_names_the_tasks_and_the_ways_on(
    story: Story,
) -> None:
    undone = {"id": "i-1", "state": "Skipped", "reason": "Undone", "message": "runs again"}
    fence = {"recoveryPhase": "Fence", "resources": [undone]}
    story.task("Skipped", "f", **fence).task("Skipped", "elsewhere", wave="data", **fence)
    story.status(conditions=[condition("WaitingForDecision", "True", "FenceUndone")])
    assert story.types() == ["DecisionNeeded"]
    text = story.one("DecisionNeeded").message.text
    assert "fencing by 1 task was undone" in text
    for verb in ("retry", "skip"):
        assert f"kubectl annotate drt f -n acme leeward.dev/{verb}=" in text
    assert "elsewhere" not in text


def test_a_failure_is_told_though_another_task_was_left_out_meanwhile(story: Story) -> None:
    story.task("Failed", "a").send().task("Skipped", "a").task("Failed", "b")
    assert story.one("TaskFailed").message.detail["tasks"] == ["b"]


def test_a_complete_task_is_told_only_where_the_plan_names_it(build: Any) -> None:
    story = Story(build).send().task("Complete", "a", task="switch-dns")
    assert story.types() == []
    named = {"snsTopicArns": [TOPIC], "tasks": [{"name": "switch-dns", "note": "tell sales"}]}
    story = Story(build, notifications=named).send()
    story.task("Complete", "a", task="switch-dns").task("Complete", "b")
    notice = story.one("TaskComplete")
    assert notice.message.detail["tasks"] == ["a"]
    assert "task complete: switch-dns" in notice.message.subject
    assert "tell sales" in notice.message.text
    assert story.send().types(after(days=1)) == []


def test_what_people_must_do_themselves_is_told_again_until_it_is_done(story: Story) -> None:
    story.task("PendingApproval", "call-bank", task="call-bank").task("InProgress", "b")
    message = story.one("ApprovalNeeded").message
    assert message.subject == "[Leeward] 1 task for people to do: acme/shop-1"
    for verb in ("mark-done", "skip"):
        assert f"kubectl annotate drt call-bank -n acme leeward.dev/{verb}=" in message.text
    assert message.detail_type == "TaskManualApprovalNeeded"
    assert (message.detail["taskId"], message.detail["approvalRequired"]) == ("call-bank", True)
    story.send()
    story.status(conditions=[condition("WaitingForDecision", "True", "ManualTask")])
    assert story.due(after(minutes=3)) == Due(later=timedelta(minutes=7))
    assert story.one("ApprovalNeeded", after(minutes=10)).count == 2
    story.task("PendingApproval", "call-shop", task="call-shop")
    assert "2 tasks" in story.one("ApprovalNeeded", after(minutes=3)).message.subject
    story.task("Complete", "call-bank").task("Complete", "call-shop")
    assert story.types(after(hours=1)) == []


def test_what_could_not_be_fenced_is_told_once(story: Story) -> None:
    left = {"id": "i-1", "state": "Skipped", "reason": "FenceDeferred", "message": "silent"}
    done = {"id": "i-2", "state": "Complete"}
    story.task("Complete", "f", recoveryPhase="Fence", resources=[left, done])
    message = story.one("FenceDeferred").message
    assert message.subject == "[Leeward] 1 resource not fenced: acme/shop-1"
    assert message.detail_type == "FenceDeferred"
    assert message.detail["tasks"] == ["f"]
    assert "leeward.dev/retry" not in message.text
    assert story.send().types(after(days=1)) == []


# --- for whom


@pytest.mark.parametrize(
    ("settings", "topics"),
    [
        ([], [TOPIC]),
        ([{"name": "web", "topics": [DBA]}], [TOPIC, DBA]),
        ([{"name": "wave-web", "topics": [DBA], "mode": "Override"}], [DBA]),
        ([{"name": "data", "topics": [DBA], "mode": "Override"}], [TOPIC]),
        (
            [
                {"name": "wave-web", "topics": [OTHER]},
                {"name": "web", "topics": [DBA], "mode": "Override"},
            ],
            [DBA, OTHER],
        ),
        ([{"name": "web", "topics": [TOPIC, DBA]}], [TOPIC, DBA]),
    ],
    ids=["defaults", "add", "override", "another", "wave-then-gate", "no-doubles"],
)
def test_who_is_told_of_a_gate(build: Any, settings: Any, topics: list[str]) -> None:
    told = {"snsTopicArns": [TOPIC], "eventBusArn": BUS, "tasks": settings}
    to = Story(build, notifications=told).waits().one("ApprovalNeeded").to
    assert list(to.topics) == topics
    assert to.arns[-1] == BUS


def test_failed_tasks_with_people_of_their_own_are_told_apart(build: Any) -> None:
    override = {"name": "db", "topics": [DBA], "mode": "Override", "note": "see the run book"}
    story = Story(build, notifications={"snsTopicArns": [TOPIC], "tasks": [override]}).send()
    story.task("Failed", "a").task("Failed", "b", task="db").task("Failed", "c")
    told = {
        n.to.topics: n.message.detail["tasks"]
        for n in story.due().notices
        if n.matter.type == "TaskFailed"
    }
    assert told == {(TOPIC,): ["a", "c"], (DBA,): ["b"]}
    story.send()
    assert story.types(after(days=1)) == []
    assert sorted(r.about for r in story.records("TaskFailed")) == ["", "db"]


def test_a_decision_about_failed_tasks_goes_to_the_people_of_those_tasks(build: Any) -> None:
    add = {"name": "db", "topics": [DBA]}
    story = Story(build, notifications={"snsTopicArns": [TOPIC], "tasks": [add]}).send()
    story.task("Failed", "b", task="db").decides()
    assert story.one("DecisionNeeded").to.topics == (TOPIC, DBA)
    assert story.one("TaskFailed").to.topics == (TOPIC, DBA)


# --- crashes and failures


def test_what_was_sent_and_not_recorded_is_sent_again_under_the_same_id(story: Story) -> None:
    story.waits().task("Failed", "a")
    ids = [n.id for n in story.due().notices]
    assert len(set(ids)) == 2
    assert [n.id for n in story.due(after(minutes=3)).notices] == ids


def test_each_reminder_has_an_id_of_its_own(story: Story) -> None:
    story.sent.clear()
    for minutes in range(0, 50, 10):
        story.waits().send(after(minutes=minutes))
    assert len({n.id for n in story.sent}) == 5


def test_what_nobody_took_is_due_again_after_the_interval(build: Any) -> None:
    story = Story(build).ends("Failed").send(delivered=0, failures=["topic: NotFound: gone"])
    assert story.due(after(minutes=9)).later == timedelta(minutes=1)
    assert set(story.types(after(minutes=10))) == {"ExecutionStarted", "ExecutionFailed"}
    (record,) = story.records("ExecutionFailed")
    assert (record.count, record.delivered, record.failed) == (0, 0, 1)
    assert record.message == "topic: NotFound: gone"
    story.send(after(minutes=10))
    assert story.types(after(days=1)) == []
    assert [r.failed for r in story.run.status.notifications] == [0, 0]


def test_what_some_took_is_not_sent_again(story: Story) -> None:
    story.task("Failed", "a").send(delivered=1, failures=["x: Throttled: slow down"])
    assert story.types(after(days=1)) == []
    assert story.task("Failed", "b").types() == ["TaskFailed"]


def test_a_failure_that_nobody_took_is_not_forgotten_when_another_follows(story: Story) -> None:
    story.task("Failed", "a").send(delivered=0, failures=["x: InternalError: no"])
    story.task("Failed", "b")
    assert story.one("TaskFailed", after(minutes=10)).message.detail["tasks"] == ["a", "b"]


def test_a_late_delivery_does_not_hide_what_was_told_since(story: Story) -> None:
    old = story.decides().one("DecisionNeeded")
    story.decides(at="2026-03-01T02:01:00Z").send(after(minutes=2))
    before = story.run.status.notifications
    story.record(Delivery(old, NOW, 1))
    assert story.run.status.notifications == before
    first = story.task("Failed", "a").one("TaskFailed")
    second = story.task("Failed", "b").one("TaskFailed")
    story.record(Delivery(second, NOW, 1))
    story.record(Delivery(first, NOW, 1))
    assert "TaskFailed" not in story.types(after(hours=1))


def test_the_record_stays_small_and_keeps_what_would_be_told_again(story: Story) -> None:
    for number in range(70):
        story.waits(GATE, name=f"gate-{number}", id=f"g-{number}").send(after(seconds=number))
    story.task("Failed", "a").send(after(minutes=2))
    assert len(story.run.status.notifications) == 50
    assert story.due(after(minutes=2)).notices == ()
    assert [r.about for r in story.records("ApprovalNeeded")][-1] == "gate-69"
    assert story.records("ExecutionStarted")


# --- how it reads


def test_an_approval_notice_says_all_that_is_needed_to_answer_it(story: Story) -> None:
    answer = {"user": "bob", "verdict": "Approve", "time": START}
    story.status(requestedBy="ann@example.com").waits(answers=[answer], fourEyes="Required")
    message = story.one("ApprovalNeeded").message
    assert message.subject == "[Leeward] approval needed: wave-web, acme/shop-1"
    for part in (
        "Gate wave-web waits for approval before Activate of wave web: 1 of 2 given.",
        "shop, namespace acme", "Failover, Unplanned", "acme, environment production", "INC1",
        "us-east-1, us-east-2", "2026-03-01T02:29:00Z, then Hold", "LagAboveObjective: srv-1",
        "ann@example.com or groups approvers with the verb approve on plan shop",
        "not ann@example.com, who asked for the run",
        "kubectl annotate drx shop-1 -n acme leeward.dev/approve-wave-web=",
        "kubectl annotate drx shop-1 -n acme leeward.dev/reject-wave-web=",
        "kubectl leeward approve drx shop-1 wave-web -n acme",
        "kubectl leeward get drx shop-1 -n acme",
    ):  # fmt: skip
        assert part in message.text


def test_a_reminder_says_that_it_is_one(story: Story) -> None:
    story.waits().send().send(after(minutes=10))
    message = story.one("ApprovalNeeded", after(minutes=20)).message
    assert message.subject == "[Leeward] Reminder 2: approval needed: wave-web, acme/shop-1"
    assert message.attributes["count"] == "3"


def test_a_drill_is_not_mistaken_for_a_disaster(build: Any) -> None:
    subject = Story(build, operation="Test").one("ExecutionStarted").message.subject
    assert subject == "[Leeward drill] test started: acme/shop-1"


def test_a_decision_about_tasks_names_them_and_the_commands(story: Story) -> None:
    message = story.task("Failed", "a").decides().one("DecisionNeeded").message
    for part in (
        "a (Instantiate, account 111111111111 (prod), us-east-2): no capacity",
        "kubectl annotate drt a -n acme leeward.dev/retry=",
        "kubectl annotate drt a -n acme leeward.dev/skip=",
        "kubectl leeward retry drt -l leeward.dev/execution=shop-1 -n acme",
        "kubectl annotate drx shop-1 -n acme leeward.dev/cancel=",
        "whoever has the verb operate on plan shop",
    ):
        assert part in message.text


@pytest.mark.parametrize(
    ("gate", "why"),
    [
        ({"state": "TimedOut"}, "gate wave-web was not answered by 2026-03-01T02:29:00Z"),
        (
            {
                "state": "Rejected",
                "answers": [{"user": "bob", "verdict": "Reject", "comment": "lag", "time": START}],
            },
            "gate wave-web was rejected by bob (lag)",
        ),
    ],
)
def test_a_decision_about_a_gate_says_why(story: Story, gate: Any, why: str) -> None:
    story.waits(**gate).decides("GateTimedOut" if gate["state"] == "TimedOut" else "GateRejected")
    text = story.one("DecisionNeeded").message.text
    assert why in text
    assert "Approve after all" in text
    assert "leeward.dev/reject" not in text


def test_a_guard_that_is_not_active_is_said_where_answers_would_not_count(story: Story) -> None:
    guard = condition("GuardActive", "False", "PolicyMissing") | {"message": "binding is gone"}
    text = story.waits().status(conditions=[guard]).one("ApprovalNeeded").message.text
    assert "not active, see to it first: binding is gone" in text


@pytest.mark.parametrize(("required", "approve"), [(1, True), (0, False)])
def test_a_gate_that_loses_data_says_how_that_is_accepted(
    story: Story, required: int, approve: bool
) -> None:
    text = story.waits(dataLoss="Question", required=required).one("ApprovalNeeded").message.text
    assert "somebody must accept the loss of their data" in text
    assert "leeward.dev/accept-data-loss-wave-web=" in text
    assert "kubectl leeward accept-data-loss drx shop-1 wave-web -n acme" in text
    assert ("leeward.dev/approve-wave-web=" in text) is approve


def test_a_run_that_was_switched_to_unplanned_is_called_so(build: Any) -> None:
    story = Story(build, mode="Planned").status(unplanned=True)
    assert story.one("ExecutionStarted").message.attributes["mode"] == "Unplanned"


def test_after_the_end_no_command_is_offered_that_would_be_refused(story: Story) -> None:
    message = story.task("Failed", "a").ends("Failed").one("TaskFailed").message
    assert "leeward.dev/retry" not in message.text
    assert message.detail["retryable"] is False


def test_the_event_has_the_names_that_existing_rules_match_on(story: Story) -> None:
    story.waits().task("Failed", "a", task="db")
    approval, failed = story.one("ApprovalNeeded").message, story.one("TaskFailed").message
    assert approval.detail_type == "TaskManualApprovalNeeded"
    assert failed.detail_type == "TaskFailed"
    assert approval.detail["executionId"] == failed.detail["executionId"] == "shop-1"
    assert (failed.detail["taskId"], failed.detail["taskName"]) == ("a", "db")
    assert (failed.detail["errorMessage"], failed.detail["retryable"]) == ("no capacity", True)
    assert (approval.detail["taskId"], approval.detail["approvalRequired"]) == ("wave-web", True)
    assert approval.detail["timestamp"] == render_time(NOW)
    assert approval.attributes["id"] == approval.detail["id"]


@pytest.mark.parametrize("letter", ["\u20ac", '"', "x"])
def test_messages_keep_within_awss_limits(build: Any, letter: str) -> None:
    tasks = [{"name": n, "note": letter * 1024} for n in ("web", *(f"n{i}" for i in range(19)))]
    name = "x" * 60
    story = Story(build, notifications={"snsTopicArns": [TOPIC], "tasks": tasks}, name=name)
    users = [f"{i}" + letter * 250 for i in range(50)]
    approvers = {"users": users, "groups": users}
    story.waits(GATE, name="g" * 40, approvers=approvers, findings=[letter * 256] * 20)
    for number in range(200):
        story.task("Failed", f"task-{number}-{'y' * 70}", task=f"n{number}")
    notices = story.decides().due().notices
    assert len(notices) == 23
    for notice in notices:
        message = notice.message
        assert len(message.subject) <= 100
        assert message.subject.isascii()
        attributes = sum(len(k) + len(v) + 6 for k, v in message.attributes.items())
        assert len(message.attributes) <= 10
        assert len(message.text.encode()) + len(message.subject) + attributes <= 262_144
        assert len(json.dumps(message.detail, ensure_ascii=False).encode()) <= 240_000
    assert any("and 161 more" in notice.message.text for notice in notices)


def test_a_detail_that_json_makes_too_long_loses_the_end_of_its_text() -> None:
    detail = _fitted({"id": "1", "message": '"' * 200_000}, "kubectl get x")
    assert len(json.dumps(detail).encode()) <= 240_000
    assert detail["message"].endswith("left out; see: kubectl get x")
    assert _fitted({"message": "short"}, "x") == {"message": "short"}


def test_what_does_not_fit_is_said_to_be_left_out() -> None:
    text = fit("\u20ac" * 100, 120, "kubectl get x")
    assert len(text.encode()) <= 120
    assert text.endswith("left out; see: kubectl get x")
    assert fit("short\x00\n", 120, "x") == "short\n"


# --- readiness


@pytest.mark.parametrize(
    ("notifications", "found"),
    [
        ({"snsTopicArns": [TOPIC]}, {}),
        ({}, {"NobodyNotified": "Degraded"}),
        (
            {"snsTopicArns": [TOPIC.replace("us-east-2", "us-east-1")]},
            {"TopicInPrimaryRegion": "Degraded"},
        ),
        (
            {"snsTopicArns": [TOPIC], "eventBusArn": BUS.replace("us-east-2", "us-east-1")},
            {"TopicInPrimaryRegion": "Warning"},
        ),
        (
            {"snsTopicArns": [TOPIC], "tasks": [{"name": "wbe", "topics": [DBA]}]},
            {"UnknownNotificationSubject": "Degraded"},
        ),
        (
            {
                "snsTopicArns": [TOPIC],
                "tasks": [{"name": "web"}, {"name": "wave-web"}, {"name": "switch"}],
            },
            {},
        ),
    ],
)
def test_readiness_says_what_would_not_reach_people(
    build: Any, notifications: Any, found: dict[str, str]
) -> None:
    waves = [{"name": "data"}, {"name": "web", "tasks": [build.dns_task()]}]
    plan = build.plan(notifications=notifications, waves=waves)
    problems = readiness(plan.spec, [], [])
    assert {p.reason: p.severity for p in problems} == found
    assert all(p.examples and p.message for p in problems)

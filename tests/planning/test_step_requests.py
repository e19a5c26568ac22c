"""What becomes of marks, undos and relaunches that people asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leeward.api.task import DRTaskSpec, DRTaskStatus, Intent
from leeward.planning.tasks.blind import decide_blind
from leeward.planning.tasks.step import StepDecision, StepInput, StepRules, decide
from leeward.planning.tasks.step_requests import losses_accepted, relaunched
from leeward.planning.times import render_time
from leeward_adapters.base import UNDO, ActionTraits, ErrorClass, Observed, Seen, State

NOW = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
RULES = StepRules(settle=timedelta(minutes=2), poll=timedelta(seconds=15))
ACTIONS = {
    UNDO: ActionTraits(repeatable=True, restores=True),
    "start": ActionTraits(repeatable=True),
    "snapshot": ActionTraits(repeatable=False, batch=1),
}
BEFORE = '{"id": "i-1", "state": "stopped"}'
BACK = Seen(State.NEEDED, action="start", pre_state='{"state": "stopped", "id": "i-1"}')
OTHER = Seen(State.NEEDED, action="start", pre_state='{"id": "i-2", "state": "stopped"}')
RUNS = Seen(State.DONE, message="instance i-1 runs", reference="i-1")
STOPPING = Seen(State.RUNNING, message="instance i-1 is stopping")
BROKEN = Seen(State.FAILED, reason="StatusChecksImpaired", message="it fails")


def sent(outcome: str = "Sent", action: str = UNDO, attempt: int = 2, **fields: Any) -> Intent:
    body = {
        "id": action, "action": action, "resources": ["a"], "epoch": 1, "outcome": outcome,
        "time": render_time(NOW - fields.pop("ago", timedelta(seconds=30))), "attempt": attempt,
    }  # fmt: skip
    return Intent.model_validate(body | fields)


def given(
    request: str | None, seen: Seen | None, *journal: Intent, state: str = "InProgress", **over: Any
) -> StepInput:
    """A task of the resources a (with a request, and a pre-state) and b (complete)."""
    spec = DRTaskSpec.model_validate(
        {
            "executionRef": {"name": "run", "uid": "u"}, "plan": "plan", "operation": "Failover",
            "mode": "Planned", "wave": "data", "waveOrdinal": 1, "recoveryPhase": "Activate",
            "technology": "drs", "account": "prod", "accountId": "111111111111",
            "region": "us-east-2", "sourceRegion": "us-east-1", "timeout": "1h",
            "resources": [{"id": "a", "arn": "arn:a"}, {"id": "b", "arn": "arn:b"}],
        }
    )  # fmt: skip
    status = DRTaskStatus.model_validate(
        {
            "state": "InProgress", "attempt": 2, "startTime": render_time(NOW),
            "resources": [
                {"id": "a", "state": state, "request": request, "requestedBy": "ann"},
                {"id": "b", "state": "Complete"},
            ],
            "preStates": [{"id": "a", "value": BEFORE}],
        }
    )  # fmt: skip
    base: dict[str, Any] = {
        "spec": spec, "status": status.model_copy(update={"journal": list(journal)}),
        "observed": Observed({"b": RUNS} | ({"a": seen} if seen else {})),
        "actions": ACTIONS, "epoch": 1, "leader_since": NOW - timedelta(hours=1), "now": NOW,
        "rules": RULES,
    }  # fmt: skip
    return StepInput(**(base | over))


def asked(*args: Any, **over: Any) -> StepDecision:
    return decide(given(*args, **over))


def first(decision: StepDecision) -> tuple[str, str, str | None]:
    resource = decision.resources[0]
    return resource.state, resource.reason, resource.request


# --- mark-done


def test_what_aws_shows_as_done_is_done_by_proof() -> None:
    decision = asked("MarkDone", RUNS)
    assert first(decision) == ("Complete", "", None)
    assert decision.resources[0].message == "instance i-1 runs"
    assert decision.state == "Complete"


@pytest.mark.parametrize(
    ("seen", "shows"),
    [
        (BACK, "AWS shows: Needed"),
        (STOPPING, "AWS shows: Running: instance i-1 is stopping"),
        (BROKEN, "AWS shows: Failed: it fails"),
        (None, "AWS shows: nothing"),
    ],
)
@pytest.mark.parametrize("flag", ["holding", "stopping", ""])
def test_else_it_is_done_by_a_word_that_the_record_names(
    seen: Seen | None, shows: str, flag: str
) -> None:
    decision = asked("MarkDone", seen, **({flag: True} if flag else {}))
    assert first(decision) == ("Complete", "Asserted", None)
    assert decision.resources[0].message.startswith(f"done as ann says; {shows}")
    assert (decision.state, decision.batch) == ("Complete", None)
    assert "1 of them as people say" in decision.message


def test_a_mark_counts_though_the_time_of_the_task_is_over() -> None:
    late = asked("MarkDone", BACK, now=NOW + timedelta(hours=2))
    assert first(late)[:2] == ("Complete", "Asserted")


@pytest.mark.parametrize("kind", [ErrorClass.TRANSIENT, ErrorClass.FINAL, ErrorClass.DENIED])
def test_a_mark_counts_though_aws_cannot_be_looked_at(kind: ErrorClass) -> None:
    decision = decide_blind(given("MarkDone", None), kind, "Code", "cannot look at account 1")
    assert first(decision) == ("Complete", "Asserted", None)
    assert "AWS shows: nothing (cannot look at account 1)" in decision.resources[0].message
    assert decision.state == "Complete"


# --- undo


@pytest.mark.parametrize("flag", ["holding", "stopping", ""])
@pytest.mark.parametrize("seen", [RUNS, BROKEN, STOPPING, OTHER])
def test_an_undo_is_sent_whatever_aws_shows_unless_it_is_back(seen: Seen, flag: str) -> None:
    decision = asked("Undo", seen, **({flag: True} if flag else {}))
    assert decision.batch is not None
    assert (decision.batch.action, decision.batch.resources) == (UNDO, ("a",))
    assert first(decision) == ("InProgress", "", "Undo")
    assert decision.message.startswith("undo asked for by ann: ")


@pytest.mark.parametrize("journal", [(), (sent(),), (sent("Refused", error_class="Transient"),)])
def test_what_is_as_it_was_recorded_is_undone(journal: tuple[Intent, ...]) -> None:
    decision = asked("Undo", BACK, *journal)
    assert first(decision) == ("Skipped", "Undone", None)
    assert "undone by ann" in decision.resources[0].message
    assert (decision.state, decision.message) == ("Complete", "1 done, 1 undone")


def test_an_undo_whose_answer_nobody_recorded_is_sent_again() -> None:
    pending = sent("Pending", epoch=1, ago=timedelta(minutes=3))
    decision = asked("Undo", BACK, pending, epoch=2, leader_since=NOW - timedelta(minutes=3))
    assert decision.batch is not None
    early = asked("Undo", BACK, pending, epoch=2, leader_since=NOW)
    assert (early.batch, first(early)[2]) == (None, "Undo")


@pytest.mark.parametrize("seen", [STOPPING, RUNS, BROKEN, OTHER])
def test_an_undo_that_was_sent_is_followed_and_not_repeated_at_once(seen: Seen) -> None:
    decision = asked("Undo", seen, sent())
    assert (decision.batch, first(decision)) == (None, ("InProgress", "", "Undo"))


def test_an_undo_that_aws_does_not_show_in_its_time_is_sent_again() -> None:
    assert asked("Undo", RUNS, sent(ago=timedelta(minutes=2))).batch is not None


def test_what_cannot_be_brought_back_fails_with_the_reason() -> None:
    decision = asked("Undo", BROKEN, sent(ago=timedelta(minutes=2)))
    assert first(decision) == ("Failed", "StatusChecksImpaired", None)
    assert "it cannot be brought back: it fails" in decision.resources[0].message


def test_an_undo_that_aws_refuses_for_good_fails_and_says_how_to_go_on() -> None:
    decision = asked("Undo", RUNS, sent("Refused", errorClass="Denied", code="AccessDenied"))
    assert first(decision) == ("Failed", "AccessDenied", None)
    assert "then undo it again" in decision.resources[0].message


def test_refusals_of_earlier_undos_do_not_count() -> None:
    old = sent("Refused", errorClass="Denied", code="AccessDenied", attempt=1)
    assert asked("Undo", RUNS, old).batch is not None


def test_an_undo_ends_with_the_task_s_time() -> None:
    decision = asked("Undo", RUNS, sent(), now=NOW + timedelta(hours=2))
    assert first(decision) == ("Failed", "TimedOut", None)
    assert "Undo looks again" in decision.resources[0].message


def test_an_undo_outlives_that_aws_cannot_be_looked_at() -> None:
    decision = decide_blind(given("Undo", None), ErrorClass.TRANSIENT, "Code", "cannot look")
    assert first(decision)[2] == "Undo"
    assert decision.message == "undo asked for by ann: cannot look; looking again"


# --- accept-data-loss


def test_what_was_accepted_goes_on_and_says_by_whose_word() -> None:
    newer = Seen(State.REFUSED, reason="FailbackOutdated", message="the other side serves")
    wanted = asked("AcceptDataLoss", BACK)
    assert wanted.batch is not None
    assert wanted.batch.action == "start"
    assert first(wanted) == ("InProgress", "", "AcceptDataLoss")
    assert wanted.message.startswith("accept-data-loss asked for by ann: ")
    assert first(asked("AcceptDataLoss", STOPPING)) == ("InProgress", "", "AcceptDataLoss")
    done = asked("AcceptDataLoss", RUNS)
    assert first(done) == ("Complete", "LossAccepted", None)
    said = "the loss of newer data was accepted by ann; instance i-1 runs"
    assert done.resources[0].message == said
    # A word is good for one attempt: whoever retries is asked again.
    assert first(asked("AcceptDataLoss", BROKEN)) == ("Failed", "StatusChecksImpaired", None)
    assert first(asked(None, newer)) == ("Failed", "FailbackOutdated", None)


def test_the_adapter_is_told_for_which_resources_it_was_accepted() -> None:
    assert losses_accepted(given("AcceptDataLoss", None).status) == {"a"}
    assert losses_accepted(given("Relaunch", None).status) == frozenset()


# --- relaunch


def test_a_relaunch_keeps_who_asked_for_it_until_it_is_proved() -> None:
    needed = Seen(State.NEEDED, action="snapshot")
    decision = asked("Relaunch", needed)
    assert decision.batch is not None
    assert first(decision) == ("InProgress", "", "Relaunch")
    assert decision.message.startswith("relaunch asked for by ann: ")
    assert first(asked("Relaunch", STOPPING)) == ("InProgress", "", "Relaunch")
    assert first(asked("Relaunch", RUNS)) == ("Complete", "", None)
    assert first(asked("Relaunch", BROKEN)) == ("Failed", "StatusChecksImpaired", None)


def test_a_paused_run_launches_nothing_anew() -> None:
    assert asked("Relaunch", Seen(State.NEEDED, action="snapshot"), holding=True).batch is None


@pytest.mark.parametrize(
    ("journal", "stopping", "after"),
    [
        ((), False, {"a"}),
        ((), True, set()),
        ((sent(action="snapshot", attempt=1),), True, set()),
        ((sent(action="snapshot"),), True, {"a"}),
    ],
)
def test_a_relaunch_that_has_not_begun_is_dropped_when_the_run_is_cancelled(
    journal: tuple[Intent, ...], stopping: bool, after: set[str]
) -> None:
    status = given("Relaunch", None, *journal).status
    assert relaunched(status, stopping=stopping) == after

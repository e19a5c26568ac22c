"""What to do for a task while AWS cannot be looked at."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leeward.api.task import DRTaskSpec, DRTaskStatus
from leeward.planning.tasks import step_messages as messages
from leeward.planning.tasks.blind import decide_blind
from leeward.planning.tasks.step import StepInput, StepRules
from leeward.planning.times import render_time
from leeward_adapters.base import ErrorClass, Observed

NOW = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
RULES = StepRules(settle=timedelta(minutes=2), poll=timedelta(seconds=15))
INTENT = {"id": "c", "action": "launch", "resources": ["a"], "epoch": 1, "time": render_time(NOW)}


def given(*, lasted: timedelta = timedelta(0), **fields: Any) -> StepInput:
    """A task that began long ago and has seen nothing of AWS for `lasted`."""
    spec = DRTaskSpec.model_validate(
        {
            "executionRef": {"name": "run", "uid": "u"}, "plan": "plan", "operation": "Failover",
            "mode": "Planned", "wave": "data", "waveOrdinal": 1, "recoveryPhase": "Instantiate",
            "technology": "drs", "account": "a", "accountId": "111111111111",
            "region": "us-east-2", "sourceRegion": "us-east-1", "timeout": "1h",
            "resources": [{"id": "a", "arn": "arn:a"}, {"id": "b", "arn": "arn:b"}],
        }
    )  # fmt: skip
    status = {
        "state": "InProgress",
        "attempt": fields.pop("attempt", 1),
        "startTime": render_time(NOW - max(lasted, fields.pop("began", timedelta(0)))),
        "unseenSince": render_time(NOW - lasted) if lasted else None,
        "resources": [{"id": "a", "state": "Complete"}],
        "journal": fields.pop("journal", [INTENT]),
    }
    return StepInput(
        spec=spec, status=DRTaskStatus.model_validate(status), observed=Observed({}), actions={},
        epoch=1, leader_since=NOW, now=NOW, rules=RULES, **fields,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "lasted", "state"),
    [
        (ErrorClass.FINAL, timedelta(0), "Failed"),
        (ErrorClass.DENIED, timedelta(0), "InProgress"),
        (ErrorClass.DENIED, timedelta(minutes=1), "InProgress"),
        (ErrorClass.DENIED, timedelta(minutes=3), "Failed"),
        (ErrorClass.TRANSIENT, timedelta(minutes=59), "InProgress"),
        (ErrorClass.IN_DOUBT, timedelta(minutes=61), "Failed"),
    ],
)
def test_a_task_is_given_up_when_looking_again_is_of_no_use(
    kind: ErrorClass, lasted: timedelta, state: str
) -> None:
    decision = decide_blind(given(lasted=lasted), kind, "Code", "cannot look")
    assert decision.state == state
    assert decision.batch is None


def test_what_is_complete_stays_complete_when_a_task_is_given_up() -> None:
    decision = decide_blind(given(), ErrorClass.FINAL, "NoSuchHostedZone", "no zone")
    assert [(r.id, r.state) for r in decision.resources] == [("a", "Complete"), ("b", "Failed")]
    assert decision.resources[1].reason == "NoSuchHostedZone"
    assert "no zone" in decision.resources[1].message


def test_a_denial_counts_from_when_it_began_not_from_the_task() -> None:
    late = given(began=timedelta(minutes=50), lasted=timedelta(seconds=10))
    assert decide_blind(late, ErrorClass.DENIED, "AccessDenied", "no").state == "InProgress"


def test_a_cancelled_task_that_asked_for_nothing_is_abandoned_unseen() -> None:
    unasked = given(stopping=True, journal=[])
    assert decide_blind(unasked, ErrorClass.TRANSIENT, "C", "w").state == "Abandoned"
    asked = given(stopping=True)
    assert decide_blind(asked, ErrorClass.TRANSIENT, "C", "w").state == "InProgress"


@pytest.mark.parametrize(
    ("answer", "ago", "state"),
    [
        ({"outcome": "Refused", "errorClass": "Transient"}, timedelta(0), "Abandoned"),
        ({"outcome": "Refused", "answerLost": True}, timedelta(minutes=1), "InProgress"),
        ({"outcome": "Refused", "answerLost": True}, timedelta(minutes=3), "Abandoned"),
        ({"outcome": "Refused", "code": "CircuitOpen"}, timedelta(0), "Abandoned"),
        ({"outcome": "Refused", "code": "PartlySent"}, timedelta(minutes=1), "InProgress"),
        ({"outcome": "Refused", "code": "PartlySent"}, timedelta(minutes=3), "Abandoned"),
        ({"outcome": "Absent"}, timedelta(0), "Abandoned"),
        ({"outcome": "Sent"}, timedelta(minutes=3), "InProgress"),
        ({"outcome": "InDoubt"}, timedelta(minutes=3), "InProgress"),
    ],
)
def test_a_cancelled_task_in_the_dark_waits_for_what_aws_may_have_taken_and_for_nothing_else(
    answer: dict[str, str], ago: timedelta, state: str
) -> None:
    journal = [INTENT | answer | {"time": render_time(NOW - ago)}]
    dark = given(stopping=True, journal=journal)
    decision = decide_blind(dark, ErrorClass.TRANSIENT, "CircuitOpen", "cannot look at us-east-1")
    assert decision.state == state
    assert "cannot look at us-east-1" in decision.message


@pytest.mark.parametrize(
    ("lasted", "state"),
    [
        (timedelta(0), "InProgress"),
        (RULES.settle, "InProgress"),
        (RULES.settle + timedelta(seconds=1), "Abandoned"),
    ],
)
@pytest.mark.parametrize("outcome", ["Sent", "InDoubt"])
def test_a_cancelled_task_in_the_dark_does_not_wait_long_for_what_an_earlier_attempt_asked_for(
    outcome: str, lasted: timedelta, state: str
) -> None:
    earlier = INTENT | {"outcome": outcome, "time": render_time(NOW - timedelta(days=1))}
    dark = given(stopping=True, journal=[earlier], attempt=2, lasted=lasted)
    decision = decide_blind(dark, ErrorClass.TRANSIENT, "CircuitOpen", "cannot look at us-east-1")
    assert decision.state == state
    assert "cannot look at us-east-1" in decision.message
    unknown = "whether launch of attempt 1 was done is not known" in decision.message
    assert unknown == (state == "Abandoned")
    arrives = [earlier, INTENT | {"outcome": "Pending", "time": render_time(NOW)}]
    late = given(stopping=True, journal=arrives, attempt=2, lasted=lasted)
    assert decide_blind(late, ErrorClass.TRANSIENT, "C", "w").state == "InProgress"


def test_pauses_do_not_use_up_the_task_s_time() -> None:
    held = given(lasted=timedelta(minutes=80), held=timedelta(minutes=30))
    assert decide_blind(held, ErrorClass.TRANSIENT, "C", "w").state == "InProgress"
    paused = given(lasted=timedelta(hours=9), holding=True)
    assert decide_blind(paused, ErrorClass.TRANSIENT, "C", "w").state == "InProgress"


@pytest.mark.parametrize(
    ("said", "phase", "planned", "region"),
    [
        ("down [account 111111111111 (a), us-east-1, role]", "Instantiate", True, "us-east-1"),
        ("down [account 111111111111 (a), us-east-1, role]", "Activate", True, "us-east-1"),
        ("down [account 111111111111 (a), us-east-2, role]", "Activate", True, "us-east-2"),
        ("down [account 111111111111 (a), us-east-1, role]", "Activate", False, "us-east-2"),
        ("down [account 111111111111 (a), us-east-1, role]", "Replicate", True, "us-east-2"),
    ],
)
def test_a_planned_run_that_waits_for_the_side_that_is_left_says_how_it_goes_on_without(
    said: str, phase: str, planned: bool, region: str
) -> None:
    spec = given().spec.model_copy(update={"recovery_phase": phase})
    why = messages.unseen(spec, "shop", "ServiceUnavailable", said, planned=planned)
    assert why.startswith(f"cannot look at account 111111111111 (a), {region}: ServiceUnavailable")
    way_on = 'us-east-1 is lost: kubectl annotate drx run -n shop leeward.dev/unplanned="YOU"'
    assert (way_on in why) == (region == "us-east-1")

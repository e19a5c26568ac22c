"""What may be done for a task before its turn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leeward.api.task import DRTask, DRTaskSpec, DRTaskStatus
from leeward.planning.runs.steering import abandoned
from leeward.planning.tasks.step_ahead import attempt, decide_ahead
from leeward.planning.tasks.step_types import StepDecision, StepInput, StepRules
from leeward.planning.times import render_time
from leeward_adapters.base import ActionTraits, Observed, Seen, State

NOW = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
RULES = StepRules(settle=timedelta(minutes=2), poll=timedelta(seconds=15))
ACTIONS = {
    "release": ActionTraits(repeatable=True),
    "prepare": ActionTraits(repeatable=True, ahead=True),
    "launch": ActionTraits(repeatable=False),
}
PREPARE = Seen(State.NEEDED, action="prepare")


def spec(ids: str) -> DRTaskSpec:
    return DRTaskSpec.model_validate(
        {
            "executionRef": {"name": "shop-1", "uid": "u-1"},
            "plan": "shop",
            "operation": "Failover",
            "mode": "Planned",
            "wave": "app",
            "waveOrdinal": 2,
            "recoveryPhase": "Instantiate",
            "technology": "drs",
            "account": "prod",
            "accountId": "111111111111",
            "region": "us-east-2",
            "sourceRegion": "us-east-1",
            "resources": [{"id": i, "arn": f"arn:{i}"} for i in ids],
        }
    )


def asked(outcome: str, ago: timedelta = timedelta(seconds=30), **fields: Any) -> dict[str, Any]:
    return {
        "id": "1",
        "action": "prepare",
        "resources": ["a"],
        "epoch": 1,
        "time": render_time(NOW - ago),
        "outcome": outcome,
        **fields,
    }


def lost(ago: timedelta, answered: timedelta) -> dict[str, Any]:
    """Asked for `ago`; that no answer came was recorded `answered` before now."""
    given_up = {"answerLost": True, "answerTime": render_time(NOW - answered)}
    return asked("Refused", ago, code="ReadTimeoutError", **given_up)


LONG = timedelta(minutes=3)
"""Longer than what AWS took can stay unseen."""


def status(*journal: dict[str, Any], **fields: Any) -> DRTaskStatus:
    return DRTaskStatus.model_validate({"journal": journal, **fields})


def ask(seen: dict[str, Seen], was: DRTaskStatus | None = None, **fields: Any) -> StepDecision:
    given: dict[str, Any] = {
        "spec": spec("".join(seen) or "a"),
        "status": was or status(),
        "observed": Observed(seen),
        "actions": ACTIONS,
        "epoch": 1,
        "leader_since": NOW - timedelta(hours=1),
        "now": NOW,
        "rules": RULES,
    }
    return decide_ahead(StepInput(**(given | fields)))


def test_what_is_harmless_is_asked_for_and_the_task_has_not_begun_for_that() -> None:
    decision = ask({"a": PREPARE, "b": PREPARE})
    assert decision.batch is not None
    assert (decision.batch.action, decision.batch.resources) == ("prepare", ("a", "b"))
    assert (decision.state, decision.resources) == ("NotStarted", ())
    assert decision.message == "not begun; prepare ahead of its turn for 2"


@pytest.mark.parametrize(
    "seen",
    [
        Seen(State.NEEDED, action="launch"),
        Seen(State.NEEDED, action="release"),
        Seen(State.RUNNING),
        Seen(State.DONE),
        Seen(State.FAILED, reason="LaunchFailed"),
        Seen(State.REFUSED, reason="NotReplicating"),
    ],
)
def test_nothing_else_is_done_or_judged_before_the_turn(seen: Seen) -> None:
    alone = ask({"a": seen})
    assert (alone.state, alone.batch, alone.resources) == ("NotStarted", None, ())
    beside = ask({"a": seen, "b": PREPARE})
    assert beside.batch is not None
    assert beside.batch.resources == ("b",)


def test_what_people_left_out_is_not_prepared() -> None:
    left = status(resources=[{"id": "a", "state": "Skipped", "reason": "LeftOut"}])
    decision = ask({"a": PREPARE, "b": PREPARE}, left)
    assert decision.batch is not None
    assert decision.batch.resources == ("b",)
    assert list(decision.resources) == left.resources


@pytest.mark.parametrize("outcome", ["Pending", "Sent", "Refused"])
def test_it_is_asked_for_once_whatever_came_of_it(outcome: str) -> None:
    assert ask({"a": PREPARE}, status(asked(outcome))).batch is None


def test_a_paused_run_asks_for_nothing_ahead() -> None:
    assert ask({"a": PREPARE}, holding=True).batch is None


@pytest.mark.parametrize(
    ("journal", "fields", "state"),
    [
        ([asked("Pending")], {}, "NotStarted"),
        ([asked("Pending", timedelta(minutes=3))], {}, "Abandoned"),
        ([asked("Pending", timedelta(minutes=3))], {"epoch": 2, "leader_since": NOW}, "NotStarted"),
        ([asked("Sent")], {}, "Abandoned"),
        ([lost(LONG, timedelta(seconds=30))], {}, "NotStarted"),
        ([lost(LONG, LONG)], {}, "Abandoned"),
        ([lost(LONG, LONG)], {"epoch": 2, "leader_since": NOW}, "NotStarted"),
        ([asked("Refused", errorClass="Transient")], {}, "Abandoned"),
        ([], {}, "Abandoned"),
    ],
)
def test_a_cancelled_run_gives_it_up_when_no_call_can_arrive_any_more(
    journal: list[dict[str, Any]], fields: dict[str, Any], state: str
) -> None:
    decision = ask({}, status(*journal), stopping=True, **fields)
    assert (decision.state, decision.batch) == (state, None)
    assert decision.delay <= RULES.poll


@pytest.mark.parametrize(
    ("intent", "given_up"),
    [(asked("Pending"), False), (lost(LONG, LONG), False), (asked("Sent"), True)],
)
def test_a_cancelled_run_abandons_what_was_answered_and_no_other(
    intent: dict[str, Any], given_up: bool
) -> None:
    metadata = {"name": "w2"}
    task = DRTask(metadata=metadata, spec=spec("a"), status=status(intent))  # type: ignore[arg-type]
    assert (abandoned(task) is not None) == given_up


def test_a_refusal_ahead_does_not_count_when_the_task_begins() -> None:
    assert attempt(status(asked("Refused"))) == 2
    assert attempt(status(asked("Sent"))) == 1
    assert attempt(status(asked("Refused"), state="Retry", attempt=2)) == 2

"""What of a record can wait, and what must be written when it happens."""

from __future__ import annotations

from typing import Any

import pytest

from leeward.api.execution import DRExecutionStatus
from leeward.api.task import DRTaskStatus
from leeward.planning.runs.progress import only_progress

AT = "2026-11-26T08:00:00.000000Z"


def condition(message: str = "", reason: str = "InProgress") -> dict[str, Any]:
    return {
        "type": "Succeeded", "status": "Unknown", "reason": reason, "message": message,
        "lastTransitionTime": AT,
    }  # fmt: skip


INTENT = {"id": "1", "action": "launch", "resources": ["s-1"], "epoch": 1, "time": AT}
TASK = {
    "state": "InProgress",
    "message": "0 of 2 done; launching",
    "conditions": [condition("0 of 2 done; launching")],
    "resources": [{"id": "s-1", "state": "InProgress", "message": "launching"}],
    "journal": [INTENT],
    "startTime": AT,
}
RUN = {
    "state": "Running",
    "message": "wave data, Instantiate: 0 of 2 done",
    "conditions": [condition("wave data, Instantiate: 0 of 2 done", "InProgress")],
    "waves": [{"name": "data", "ordinal": 1, "state": "InProgress", "resources": {"total": 2}}],
    "resources": {"total": 2, "inProgress": 2},
}


def task(**changes: Any) -> DRTaskStatus:
    return DRTaskStatus.model_validate({**TASK, **changes})


def run(**changes: Any) -> DRExecutionStatus:
    return DRExecutionStatus.model_validate({**RUN, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"message": "0 of 2 done; converting", "conditions": [condition("0 of 2; converting")]},
        {"resources": [{"id": "s-1", "state": "InProgress", "reference": "drsjob-1"}]},
        {"complete": 1},
    ],
    ids=["words", "what AWS calls it", "counts"],
)
def test_of_a_task_words_and_counts_can_wait(changes: dict[str, Any]) -> None:
    assert only_progress(task(), task(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "Complete"},
        {"resources": [{"id": "s-1", "state": "Complete"}]},
        {"resources": [{"id": "s-1", "state": "InProgress", "request": "Undo"}]},
        {"journal": [INTENT, {**INTENT, "id": "2"}]},
        {"journal": [{**INTENT, "outcome": "Sent"}]},
        {"preStates": [{"id": "s-1", "value": "{}"}]},
        {"unseenSince": AT},
        {"attempt": 2},
        {"conditions": [condition(reason="Other")]},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_of_a_task_nothing_else_can(changes: dict[str, Any]) -> None:
    assert not only_progress(task(), task(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"message": "wave data, Instantiate: 1 of 2 done"},
        {"resources": {"total": 2, "complete": 1}},
        {"waves": [{**RUN["waves"][0], "resources": {"total": 2, "complete": 1}}]},
    ],
    ids=["words", "counts", "counts of a wave"],
)
def test_of_a_run_words_and_counts_can_wait(changes: dict[str, Any]) -> None:
    assert only_progress(run(), run(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"waves": [{**RUN["waves"][0], "state": "Complete"}]},
        {"currentWave": "web"},
        {"paused": True},
        {"accepting": {"key": "leeward.dev/pause", "value": "admin"}},
        {"mutated": True},
        {"conditions": [condition(reason="Paused")]},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_of_a_run_nothing_else_can(changes: dict[str, Any]) -> None:
    assert not only_progress(run(), run(**changes))


@pytest.mark.parametrize("state", ["WaitingForApproval", "WaitingForDecision", "Paused", "Failed"])
def test_what_people_are_to_act_on_is_written_word_for_word(state: str) -> None:
    assert not only_progress(run(state=state), run(state=state, message="2 tasks failed"))
    waits = {"state": "PendingApproval"}
    assert not only_progress(task(**waits), task(**waits, message="call the DBA"))

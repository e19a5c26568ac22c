"""Which gates an undo of fencing makes void."""

from __future__ import annotations

from typing import Any

import pytest

from leeward.api.execution import DRExecutionStatus
from leeward.api.task import DRTask
from leeward.planning.runs.stale_gates import stale

ASKED, LATER = "2026-03-01T02:00:00Z", "2026-03-01T02:10:00Z"


def task(phase: str, state: str, wave: str = "data", **status: Any) -> DRTask:
    spec = {
        "executionRef": {"name": "shop-1", "uid": "u-1"}, "plan": "shop", "operation": "Failover",
        "mode": "Planned", "wave": wave, "waveOrdinal": 1, "recoveryPhase": phase,
        "technology": "ec2", "account": "prod", "accountId": "111111111111",
        "region": "us-east-1", "sourceRegion": "us-east-1", "resources": [{"id": "i", "arn": "i"}],
    }  # fmt: skip
    return DRTask.model_validate(
        {"metadata": {"name": phase}, "spec": spec, "status": {"state": state, **status}}
    )


def fence(at: str = LATER, **resource: str) -> DRTask:
    """A task that fenced one server, and whose newest attempt began then."""
    known = {"id": "i", "state": "Skipped", "reason": "Undone", **resource}
    return task("Fence", "Complete", startTime=at, resources=[known])


def gate(before: str = "Activate", state: str = "Waiting", wave: str = "data") -> Any:
    return {
        "name": f"{wave}-{before.lower()}", "id": "1", "wave": wave, "before": before,
        "state": state, "required": 1, "askedAt": ASKED, "deadline": "2026-03-01T02:30:00Z",
    }  # fmt: skip


LAUNCHED = [task("Instantiate", "Complete"), task("Activate", "NotStarted")]
UNDOING = {"state": "InProgress", "reason": "", "request": "Undo"}


@pytest.mark.parametrize(
    ("gates", "tasks", "names"),
    [
        ([gate()], [fence(), *LAUNCHED], ["data-activate"]),
        ([gate()], [fence(**UNDOING), *LAUNCHED], ["data-activate"]),
        ([gate(state="Rejected")], [fence(), *LAUNCHED], ["data-activate"]),
        ([gate(state="Approved")], [fence(), *LAUNCHED], ["data-activate"]),
        ([gate(state="Automatic")], [fence(), *LAUNCHED], ["data-activate"]),
        ([gate()], [fence(ASKED), *LAUNCHED], []),
        ([gate()], [fence("2026-03-01T01:00:00Z"), *LAUNCHED], []),
        ([gate()], [fence(state="Complete", reason=""), *LAUNCHED], []),
        ([gate()], [fence(reason="LeftOut"), *LAUNCHED], []),
        ([gate()], [fence(reason="FenceDeferred"), *LAUNCHED], []),
        ([gate("Fence", "Approved")], [fence(), *LAUNCHED], []),
        ([gate("Instantiate", "Approved")], [fence(), *LAUNCHED], []),
        (
            [gate("Instantiate", "Approved")],
            [fence(), task("Instantiate", "NotStarted")],
            ["data-instantiate"],
        ),
        ([gate(state="Approved")], [fence(), task("Activate", "InProgress")], []),
        ([gate(state="Approved")], [fence(), task("Activate", "Complete")], []),
        ([gate(state="Approved")], [fence(), task("Activate", "Skipped")], ["data-activate"]),
        ([gate(wave="app"), gate()], [fence(), *LAUNCHED], ["data-activate"]),
    ],
)
def test_a_gate_that_was_asked_before_an_undo_and_not_acted_upon_is_asked_anew(
    gates: list[Any], tasks: list[DRTask], names: list[str]
) -> None:
    status = DRExecutionStatus.model_validate({"gates": gates})
    assert [g.name for g in stale("Failover", status, tasks)] == names


def test_an_operation_without_fencing_asks_nothing_anew() -> None:
    status = DRExecutionStatus.model_validate({"gates": [gate("Cleanup")]})
    assert stale("Test", status, [fence(), task("Cleanup", "NotStarted")]) == []

"""What the phases before a task's own leave to it."""

from __future__ import annotations

from typing import Any

from leeward.api.task import DRTask
from leeward.planning.runs.earlier import earlier

HOME, AWAY = "us-east-1", "us-east-2"
LEFT = {"FenceDeferred", "LeftOut", "Undone"}


def task(phase: str, reasons: dict[str, str], **changes: Any) -> DRTask:
    """A task of an Unplanned Failback; each resource is at its end, with a reason."""
    spec: dict[str, Any] = {
        "executionRef": {"name": "shop-1", "uid": "u-1"}, "plan": "shop", "operation": "Failback",
        "mode": "Unplanned", "wave": "data", "waveOrdinal": 1, "recoveryPhase": phase,
        "technology": "drs", "account": "prod", "accountId": "111111111111", "region": HOME,
        "sourceRegion": AWAY, "resources": [{"id": r, "arn": r} for r in reasons],
    }  # fmt: skip
    if phase == "Fence":
        spec |= {"technology": "ec2", "region": AWAY}
    resources = [
        {"id": r, "state": "Skipped" if why in LEFT else "Complete", "reason": why}
        for r, why in reasons.items()
    ]
    return DRTask.model_validate(
        {"metadata": {"name": "t"}, "spec": spec | changes,
         "status": {"state": "Complete", "resources": resources}}
    )  # fmt: skip


def test_it_is_told_what_of_its_wave_could_not_be_fenced_on_the_side_that_is_left() -> None:
    start = task("Activate", {"s-1": ""})
    deferred = {"i-1": "FenceDeferred", "i-2": "", "i-3": "LeftOut", "i-7": "Undone"}
    fences = [
        task("Fence", deferred),
        task("Fence", {"i-4": "FenceDeferred"}, wave="app"),
        task("Fence", {"i-5": "FenceDeferred"}, accountId="222222222222"),
        task("Fence", {"i-6": "FenceDeferred"}, region=HOME),
    ]
    assert earlier(start, [*fences, start]).unfenced == {"i-1", "i-3", "i-7"}


def test_a_loss_that_was_accepted_at_the_launch_is_not_asked_about_again() -> None:
    start = task("Activate", {"s-1": "", "s-2": ""})
    launched = task("Instantiate", {"s-1": "LossAccepted", "s-2": "Adopted"})
    elsewhere = task("Instantiate", {"s-2": "LossAccepted"}, accountId="222222222222")
    before = earlier(start, [launched, elsewhere, start])
    assert before.accepted == {"s-1"}
    assert list(before.left_out) == []
    # The launch itself comes before the start, not after it.
    assert earlier(launched, [launched, start]).accepted == frozenset()

"""Answers that are recorded and do not count, though the admission policies let them through."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from leeward.api.execution import DRExecution, DRExecutionStatus
from leeward.engine import answers
from leeward.engine.answers import CommandTaker
from leeward.engine.guard import Proof
from leeward.engine.objects import Held

NOW = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
ROLE = "arn:aws:sts::111111111111:assumed-role/Oncall"
GATE = {
    "name": "wave-a",
    "id": "1",
    "wave": "a",
    "before": "Activate",
    "state": "Waiting",
    "required": 1,
    "fourEyes": "Required",
    "askedAt": "2026-03-01T01:59:00Z",
    "deadline": "2026-03-01T02:30:00Z",
    "guard": "sha256:1",
}


def held(answer: str, user: str, requested_by: str, **status: Any) -> Held[DRExecution]:
    metadata = {
        "name": "shop-1",
        "namespace": "shop",
        "uid": "u-1",
        "annotations": {f"leeward.dev/{answer}-wave-a": f"{user}: fine"},
    }
    body = {
        "metadata": metadata,
        "spec": {"planRef": {"name": "shop"}, "operation": "Failover"},
        "status": {"gates": [GATE | {"dataLoss": status.pop("loss", "None")}], **status},
        **{"apiVersion": "leeward.dev/v1alpha1", "kind": "DRExecution"},
    }
    body["status"]["requestedBy"] = requested_by
    return Held(body, DRExecution.model_validate(body))


class Desk:
    """Takes commands with a guard that is proved; what is written and told is kept."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told: list[str] = []
        monkeypatch.setattr(answers, "put_status", self._put)
        monkeypatch.setattr(answers, "patch_metadata", self._patch)
        context = SimpleNamespace(
            kube=None, now=lambda: NOW, guard=SimpleNamespace(prove=self._prove),
            recorder=SimpleNamespace(emit=self._emit),
        )  # fmt: skip
        self._taker = CommandTaker(cast("Any", context))

    def take(self, run: Held[DRExecution]) -> DRExecutionStatus:
        return asyncio.run(self._taker.take(run)).model.status

    async def _put(self, _kube: Any, run: Any, status: DRExecutionStatus) -> Any:
        return replace(run, model=run.model.model_copy(update={"status": status}))

    async def _patch(self, _kube: Any, run: Any, _metadata: Any) -> Any:
        return run

    async def _prove(self, _run: DRExecution, _gate: str) -> Proof:
        return Proof(ok=True, reason="Proved", message="", snapshot="sha256:1")

    async def _emit(self, _raw: Any, _reason: str, message: str, *_: Any) -> None:
        self.told.append(message)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(monkeypatch)


@pytest.mark.parametrize("answer", ["approve", "accept-data-loss"])
def test_what_four_eyes_forbid_is_void_and_said_on_the_run(desk: Desk, answer: str) -> None:
    run = held(answer, f"{ROLE}/bob", f"{ROLE}/ann", loss="Question")
    status = desk.take(run)
    (gate,), (command,) = status.gates, status.commands
    assert (gate.state, gate.data_loss, gate.answers) == ("Waiting", "Question", [])
    assert command.result.startswith(f"void: four eyes: {ROLE}/bob asked for the run as {ROLE}/ann")
    assert command.result in desk.told[0]


def test_another_person_s_answer_counts(desk: Desk) -> None:
    (gate,) = desk.take(held("approve", "sso:bob@example.com", "sso:ann@example.com")).gates
    assert (gate.state, gate.answers[0].user) == ("Approved", "sso:bob@example.com")


def test_with_the_glass_broken_the_requester_s_approval_counts(desk: Desk) -> None:
    broken = {"user": "ann", "time": "2026-03-01T01:59:30Z"}
    (gate,) = desk.take(held("approve", "ann", "ann", breakGlass=broken)).gates
    assert gate.state == "Approved"

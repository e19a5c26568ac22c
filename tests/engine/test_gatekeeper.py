"""When people are told of a gate: not before their answers would count."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from leeward.api.execution import DRExecution, DRExecutionStatus
from leeward.api.gate_record import FrozenGate
from leeward.api.task import DRTask
from leeward.engine import gatekeeper
from leeward.engine.gatekeeper import Gatekeeper
from leeward.engine.guard import Proof
from leeward.engine.objects import Held
from leeward.planning.runs.waves import Cursor, Stage

NOW = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
RUN = {
    "metadata": {"name": "shop-1", "namespace": "shop", "uid": "u-1", "generation": 1},
    "spec": {"planRef": {"name": "shop"}, "operation": "Failover"},
}


class Desk:
    """A gatekeeper whose writes are kept, with a guard that gives one proof."""

    def __init__(self, proof: Proof, monkeypatch: pytest.MonkeyPatch) -> None:
        self.written: list[DRExecutionStatus] = []
        self.at_the_proof: list[int] = []
        self.said: list[tuple[str, str]] = []
        self._proof = proof
        monkeypatch.setattr(gatekeeper, "put_status", self._put)
        context = SimpleNamespace(
            kube=None, now=lambda: NOW, guard=SimpleNamespace(prove=self._prove),
            recorder=SimpleNamespace(emit=self._emit),
        )  # fmt: skip
        commands = SimpleNamespace(void=self._void)
        self.gates = Gatekeeper(cast("Any", context), cast("Any", commands))

    async def _put(self, _kube: Any, run: Any, status: DRExecutionStatus) -> Any:
        self.written.append(status)
        return replace(run, model=run.model.model_copy(update={"status": status}))

    async def _prove(self, run: DRExecution, gate: str) -> Proof:
        assert [g.name for g in run.status.gates] == [gate]
        self.at_the_proof.append(len(self.written))
        return self._proof

    async def _emit(self, _raw: Any, reason: str, message: str, *_: Any) -> None:
        self.said.append((reason, message))

    async def _void(self, run: Any, _gate: str, _why: str) -> Any:
        return run


@pytest.mark.parametrize(
    ("ok", "snapshot", "guard"), [(True, "sha256:1", "sha256:1"), (False, "", "")]
)
def test_people_are_asked_when_the_guard_has_been_looked_at(
    ok: bool, snapshot: str, guard: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(Proof(ok, "Proved" if ok else "PolicyMissing", "said", snapshot), monkeypatch)  # type: ignore[arg-type]
    frozen = FrozenGate.model_validate({"name": "wave-a", "wave": "a", "before": "Activate"})
    stage = Stage("a", 1, "Activate", ())
    run = Held({}, DRExecution.model_validate(RUN))
    asked = asyncio.run(desk.gates.ask(run, Cursor(stage, ask=frozen), []))

    assert desk.at_the_proof == [1]
    before, told = desk.written
    kinds = [[c.type for c in status.conditions] for status in (before, told)]
    assert kinds[0] == []
    assert {"WaitingForApproval", "GuardActive"} <= set(kinds[1])
    assert (asked.model.status.state, told.gates[0].guard) == ("WaitingForApproval", guard)


def asked(name: str, wave: str) -> dict[str, Any]:
    return {
        "name": name, "id": name, "wave": wave, "before": "Activate", "state": "Waiting",
        "required": 1, "askedAt": "2026-03-01T01:50:00Z", "deadline": "2026-03-01T02:20:00Z",
    }  # fmt: skip


def undone(wave: str) -> DRTask:
    spec = {
        "executionRef": {"name": "shop-1", "uid": "u-1"}, "plan": "shop", "operation": "Failover",
        "mode": "Planned", "wave": wave, "waveOrdinal": 1, "recoveryPhase": "Fence",
        "technology": "ec2", "account": "prod", "accountId": "111111111111",
        "region": "us-east-1", "sourceRegion": "us-east-1", "resources": [{"id": "i", "arn": "i"}],
    }  # fmt: skip
    resource = {"id": "i", "state": "Skipped", "reason": "Undone"}
    status = {"state": "Skipped", "startTime": "2026-03-01T01:59:00Z", "resources": [resource]}
    return DRTask.model_validate({"metadata": {"name": "f"}, "spec": spec, "status": status})


def test_a_gate_whose_fencing_was_undone_is_taken_back_with_its_answers_and_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk(Proof(True, "Proved", "said", "sha256:1"), monkeypatch)  # type: ignore[arg-type]
    gates = [asked("wave-a", "a"), asked("wave-b", "b")]
    run = Held({}, DRExecution.model_validate(RUN | {"status": {"gates": gates}}))
    after = asyncio.run(desk.gates.withdraw(run, [undone("a")]))
    assert [g.name for g in after.model.status.gates] == ["wave-b"]
    ((reason, message),) = desk.said
    assert (reason, "wave-a: fencing of wave a was undone" in message) == ("GateWithdrawn", True)
    # Nothing is written where nothing is to be taken back.
    assert asyncio.run(desk.gates.withdraw(after, [undone("a")])) is after
    assert len(desk.written) == 1

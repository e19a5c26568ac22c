"""Asks gates and watches their deadlines."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from leeward.api.common import Condition
from leeward.api.conditions import Type, find, set_condition
from leeward.api.execution import DRExecution, DRExecutionStatus
from leeward.api.gate_record import GateStatus
from leeward.api.task import DRTask
from leeward.engine.answers import CommandTaker
from leeward.engine.context import Context
from leeward.engine.guard import OFF
from leeward.engine.objects import Held, put_status
from leeward.planning.runs import gates, stale_gates
from leeward.planning.runs.record import Outcome, compose
from leeward.planning.runs.waves import Cursor
from leeward.planning.times import parse_time, render_time


class Gatekeeper:
    """Writes gates into executions."""

    def __init__(self, context: Context, commands: CommandTaker) -> None:
        self._c = context
        self._commands = commands

    async def ask(
        self, run: Held[DRExecution], where: Cursor, tasks: Sequence[Held[DRTask]]
    ) -> Held[DRExecution]:
        """Ask the gate that the run has reached, and prove the guard once it can be proved.

        The proof needs the gate on the object, since it tries to forge an answer to it; so the
        gate is written first, and no answer counts until a snapshot of the guard stands on it.
        """
        assert where.ask is not None
        assert where.stage is not None
        now = self._c.now()
        gate = gates.ask(run.model, where.ask, where.stage, [t.model for t in tasks], "", now)
        place = gate.wave, gate.before
        if gate.state == "Waiting":
            message = gates.consequence(run.model, gate, []).message
            outcome = Outcome("WaitingForApproval", "GateWaiting", message, *place)
        else:
            message = f"{gate.name} passed: approvalMode is Automatic"
            outcome = Outcome("Running", "GateAutomatic", message, *place)
        status = run.model.status.model_copy(update={"gates": [*run.model.status.gates, gate]})
        execution = run.model.model_copy(update={"status": status})
        composed = compose(execution, [t.model for t in tasks], outcome, now)
        if gate.state == "Waiting":
            # Told together with the proof: who waits for the condition may answer at once.
            run = await put_status(self._c.kube, run, status)
            run = await self.prove(run, gate, composed)
        else:
            run = await put_status(self._c.kube, run, composed)
        last = composed.events[-1]
        await self._c.recorder.emit(run.raw, last.reason, last.message, "Normal", last.time)
        return run

    async def prove(
        self, run: Held[DRExecution], gate: GateStatus, status: DRExecutionStatus | None = None
    ) -> Held[DRExecution]:
        """The run with the proof of the guard on its gate, or with why it could not be had.

        `status` is written with it; without one, that of the run. Answers that were on the object
        before the proof are void: they may be from a time when the policies were away.
        """
        status = status or run.model.status
        proof = await self._c.guard.prove(run.model, gate.name)
        was = find(run.model.status.conditions, Type.GUARD_ACTIVE)
        active = proof.ok and proof.snapshot != OFF
        condition = Condition(
            type=Type.GUARD_ACTIVE,
            status="True" if active else "False",
            reason=proof.reason,
            message=proof.message[:4096],
            last_transition_time=render_time(self._c.now()),
            observed_generation=run.model.metadata.generation,
        )
        snapshot = proof.snapshot if proof.ok else ""
        update = {
            "conditions": set_condition(status.conditions, condition),
            "gates": [
                g.model_copy(update={"guard": snapshot}) if g.name == gate.name else g
                for g in status.gates
            ],
        }
        run = await put_status(self._c.kube, run, status.model_copy(update=update))
        if not active and (was is None or was.reason != proof.reason):
            await self._c.recorder.emit(
                run.raw, proof.reason, proof.message, "Warning", condition.last_transition_time
            )
        if not snapshot:
            return run
        return await self._commands.void(run, gate.name, "given before the guard was proved")

    async def withdraw(self, run: Held[DRExecution], tasks: Sequence[DRTask]) -> Held[DRExecution]:
        """The run without the gates whose findings an undo of fencing made untrue.

        They are asked anew, with what is fenced then; answers so far count no more.
        """
        status = run.model.status
        stale = stale_gates.stale(run.model.spec.operation, status, tasks)
        if not stale:
            return run
        kept = [g for g in status.gates if g not in stale]
        run = await put_status(self._c.kube, run, status.model_copy(update={"gates": kept}))
        for gate in stale:
            message = (
                f"{gate.name}: fencing of wave {gate.wave} was undone since it was asked; its "
                f"answers are void, and it is asked anew when the run gets there"
            )
            at = render_time(self._c.now())
            await self._c.recorder.emit(run.raw, "GateWithdrawn", message, "Warning", at)
        return run

    async def expire(self, run: Held[DRExecution]) -> Held[DRExecution]:
        """The run with gates past their deadline marked, and unproved ones proved again."""
        now = self._c.now()
        after = [gates.timed_out(g, now) for g in run.model.status.gates]
        if after != run.model.status.gates:
            status = run.model.status.model_copy(update={"gates": after})
            run = await put_status(self._c.kube, run, status)
        for gate in run.model.status.gates:
            if gate.state in {"Waiting", "Rejected", "TimedOut"} and not gate.guard:
                run = await self.prove(run, gate)
        return run

    def until_deadline(self, gate: GateStatus, most: timedelta) -> timedelta:
        """How long to wait for an answer before the deadline must be looked at again."""
        left = parse_time(gate.deadline) - self._c.now()
        return min(max(left, timedelta(milliseconds=50)), most)

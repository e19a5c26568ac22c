"""Taking commands off objects: each once, whatever dies in between.

The order is: the command and `accepting` in one conditional write of the status; the annotation
off; `accepting` cleared. While `accepting` names a key, admission refuses to have it written
again, so that a crash between the steps neither loses a command nor takes it twice. The command
counts from the first step on; the others are done beside what it sets going.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Final, Literal

from leeward.api.execution import (
    Accepting,
    BreakGlass,
    CommandRecord,
    DRExecution,
    DRExecutionStatus,
)
from leeward.api.gate_record import ApprovalRecord, GateStatus
from leeward.api.task import DRTask, DRTaskStatus
from leeward.engine import journal
from leeward.engine.context import Context
from leeward.engine.objects import Held, patch_metadata, put_status
from leeward.planning.runs import commands, gates
from leeward.planning.runs.begun import activated
from leeward.planning.runs.commands import Command
from leeward.planning.runs.steering import Ground, after_relaunch, steer
from leeward.planning.runs.waves import GATE_OPEN
from leeward.planning.times import render_time
from leeward_adapters import registry
from leeward_adapters.base import Phase

_VERDICTS: Final[dict[str, Literal["Approve", "Reject", "AcceptDataLoss"]]] = {
    "approve": "Approve",
    "reject": "Reject",
    "accept-data-loss": "AcceptDataLoss",
}
_EARLY = (
    "given before the guard was proved, which takes a moment after a gate is asked; give it again"
)
_CHANGED = (
    "the admission policies were edited or replaced after the gate was asked; earlier answers are "
    "void too and must be given again"
)


class CommandTaker:
    """Reads commands from annotations, records them and takes the annotations off."""

    def __init__(self, context: Context) -> None:
        self._c = context

    async def take(self, run: Held[DRExecution]) -> Held[DRExecution]:
        """The run after all its commands have been recorded, and so count.

        What remains to be done for the last of them is left to `finish`, so that it holds up
        nobody who acts on the command.
        """
        run = await self.finish(run)
        for command in commands.on_execution(run.model.metadata.annotations):
            run = await self._record(run, command, await self._applied(run.model, command))
        return run

    async def void(self, run: Held[DRExecution], gate: str, why: str) -> Held[DRExecution]:
        """The run after every answer to `gate` that is on it now was taken off, uncounted.

        One that is recorded already is only taken off.
        """
        run = await self.finish(run)
        for command in commands.on_execution(run.model.metadata.annotations):
            if command.gate == gate:
                status = self._journalled(run.model.status, command, f"void: {why}", {})
                run = await self._record(run, command, status)
        return await self.finish(run)

    async def _record(
        self, run: Held[DRExecution], command: Command, status: DRExecutionStatus
    ) -> Held[DRExecution]:
        """Record the command as `status` has it, once the one before it is off the object."""
        run = await self.finish(run)
        accepting = Accepting(key=command.key, value=command.value[:512])
        run = await put_status(
            self._c.kube, run, status.model_copy(update={"accepting": accepting})
        )
        await self._emit(run, run.model.status.commands[-1])
        return run

    async def finish(self, run: Held[DRExecution]) -> Held[DRExecution]:
        """The run with the annotation of the command that was recorded last taken off."""
        accepting = run.model.status.accepting
        if accepting is None:
            return run
        value = run.model.metadata.annotations.get(accepting.key)
        if value is not None and value[:512] == accepting.value:
            run = await patch_metadata(self._c.kube, run, {"annotations": {accepting.key: None}})
        status = run.model.status.model_copy(update={"accepting": None})
        return await put_status(self._c.kube, run, status)

    async def _applied(self, run: DRExecution, command: Command) -> DRExecutionStatus:
        match command.verb:
            case "approve" | "reject" | "accept-data-loss":
                return await self._answered(run, command)
            case "break-glass":
                return await self._glass_broken(run, command)
            case "pause" | "resume":
                paused = command.verb == "pause"
                return self._journalled(run.status, command, "done", {"paused": paused})
            case "adopt":
                result = "what AWS shows of the earlier run counts as done"
                return self._journalled(run.status, command, result, {"adopted": True})
            case "unplanned":
                result = "the run no longer waits for the side that is left"
                return self._journalled(run.status, command, result, {"unplanned": True})
            case "cancel":
                return self._journalled(
                    run.status, command, "nothing new is started", {"cancelling": True}
                )
            case _:
                raise AssertionError(command.verb)

    async def _answered(self, run: DRExecution, command: Command) -> DRExecutionStatus:
        """The status with an approval or a rejection counted, or with the reason why it is void."""
        status = run.status
        gate = next((g for g in status.gates if g.name == command.gate), None)
        if gate is None or gate.state in {"Approved", "Automatic"}:
            return self._journalled(status, command, "void: the gate does not wait", {})
        if why := await self._unproved(run, gate):
            # Without its proof the gate counts nothing, until the gatekeeper has proved it anew.
            reopened = gates.reopened(gate, self._c.now())
            return self._journalled(
                status, command, f"void: {why}", {"gates": _with(status, reopened)}
            )
        verdict = _VERDICTS[command.verb]
        record = ApprovalRecord(
            user=command.user,
            verdict=verdict,
            time=render_time(self._c.now()),
            comment=command.comment[:256],
        )
        after = gates.answered(gate, record)
        have = len(gates.standing(after.answers))
        result = {
            "Approve": f"{have} of {after.required} approvals",
            "Reject": "rejected",
            "AcceptDataLoss": "the loss of data is accepted",
        }[verdict]
        return self._journalled(status, command, result, {"gates": _with(status, after)})

    async def _unproved(self, run: DRExecution, gate: GateStatus) -> str:
        """Why an answer to the gate cannot be trusted now; empty: the guard is proved."""
        proof = await self._c.guard.prove(run, gate.name)
        if not proof.ok:
            return proof.message
        if not gate.guard:
            return _EARLY
        return "" if proof.snapshot == gate.guard else _CHANGED

    async def _glass_broken(self, run: DRExecution, command: Command) -> DRExecutionStatus:
        """The status with quorum and four eyes waived, as far as they may be.

        It is proved like an answer, and so counts only while a gate waits for answers.
        """
        gate = next((g for g in run.status.gates if g.state not in GATE_OPEN), None)
        if gate is None:
            why = "no gate waits; break the glass when one does"
        else:
            why = await self._unproved(run, gate)
        if why:
            return self._journalled(run.status, command, f"void: {why}", {})
        record = BreakGlass(
            user=command.user, time=render_time(self._c.now()), comment=command.comment[:256]
        )
        update = {"break_glass": record, "gates": gates.glass_broken(run)}
        result = "one approval is enough for each gate that destroys nothing"
        return self._journalled(run.status, command, result, update)

    def _journalled(
        self, status: DRExecutionStatus, command: Command, result: str, update: dict[str, object]
    ) -> DRExecutionStatus:
        record = CommandRecord(
            key=command.key, user=command.user, comment=command.comment[:256],
            time=render_time(self._c.now()), result=result[:1024],
        )  # fmt: skip
        return status.model_copy(update={**update, "commands": [*status.commands, record][-100:]})

    async def _emit(
        self, run: Held[DRExecution], record: CommandRecord, *, refused: bool = False
    ) -> None:
        comment = f" ({record.comment})" if record.comment else ""
        on = f" on {record.object}" if record.object else ""
        await self._c.recorder.emit(
            run.raw, "CommandRefused" if refused else "CommandTaken",
            f"{record.key}{on} by {record.user}{comment}: {record.result}",
            "Warning" if refused else "Normal", record.time,
        )  # fmt: skip

    async def take_from_tasks(
        self, run: Held[DRExecution], tasks: Sequence[Held[DRTask]], working: Container[str] = ()
    ) -> tuple[Held[DRExecution], list[Held[DRTask]]]:
        """The run and its tasks after all commands on the tasks have been taken.

        `working`: uids of tasks over which a pass goes on.

        A task's command is idempotent by what it changes, so it needs no `accepting`: the effect
        is written first, the annotation taken off after, and a repeat finds nothing to change.
        """
        held = {task.model.metadata.name: task for task in tasks}
        for name in held:
            for command in commands.on_task(held[name].model.metadata.annotations):
                run = await self._take_from_task(run, held, name, command, working)
        return run, list(held.values())

    async def _take_from_task(
        self,
        run: Held[DRExecution],
        held: dict[str, Held[DRTask]],
        name: str,
        command: Command,
        working: Container[str],
    ) -> Held[DRExecution]:
        task = held[name].model
        begun = activated(task.spec.wave, (t.model for t in held.values()), working)
        status, result = steer(task, command, self._ground(run.model, task, begun))
        changed = status != task.status
        if changed and command.verb == "relaunch":
            # First, so that a crash in between leaves the command on the object.
            await self._begin_later_again(held, task.model_copy(update={"status": status}))
        await self._restate(held, name, status)
        record = CommandRecord(
            key=command.key,
            object=name,
            user=command.user,
            comment=command.comment[:256],
            time=render_time(self._c.now()),
            result=result[:1024],
        )
        records = [*run.model.status.commands, record][-100:]
        journal = run.model.status.model_copy(update={"commands": records})
        run = await put_status(self._c.kube, run, journal)
        await self._emit(run, record, refused=not changed)
        held[name] = await patch_metadata(
            self._c.kube, held[name], {"annotations": {command.key: None}}
        )
        return run

    def _ground(self, run: DRExecution, task: DRTask, begun: Sequence[str]) -> Ground:
        """What a command on the task is judged by. A manual task has no adapter."""
        try:
            phases = registry.adapter(task.spec.technology).phases
        except registry.AdapterError:
            phases = {}
        return Ground(
            now=self._c.now(),
            traits=phases.get(Phase(task.spec.recovery_phase)),
            cancelling=run.status.cancelling or run.metadata.deletion_timestamp is not None,
            activated=begun,
        )

    async def _begin_later_again(self, held: dict[str, Held[DRTask]], relaunched: DRTask) -> None:
        for name, task in list(held.items()):
            await self._restate(held, name, after_relaunch(task.model, relaunched))

    async def _restate(
        self, held: dict[str, Held[DRTask]], name: str, status: DRTaskStatus
    ) -> None:
        """Write the task's status, if it is another than it was."""
        task = held[name]
        if status != task.model.status:
            held[name] = await journal.write(self._c, task, status)


def _with(status: DRExecutionStatus, gate: GateStatus) -> list[GateStatus]:
    return [gate if g.name == gate.name else g for g in status.gates]

"""Taking commands off objects: each once, whatever dies in between.

The order is: the command and `accepting` in one conditional write of the status; the annotation
off; `accepting` cleared. While `accepting` names a key, admission refuses to have it written
again, so that a crash between the steps neither loses a command nor takes it twice. The command
counts from the first step on; the others are done beside what it sets going.

No command is trusted without the proof of the guard, made after the command was read: without it
anybody may have written it in anybody's name. What stops a run is taken all the same, but only so
far as it can be taken back: a `cancel` of nobody knows whom pauses.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Final, Literal

from leeward.api.conditions import set_condition
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
from leeward.planning.runs.steering import Ground, after_command, steer
from leeward.planning.runs.waves import GATE_OPEN
from leeward.planning.times import render_time
from leeward_adapters import registry
from leeward_adapters.base import Phase

_VERDICTS: Final[dict[str, Literal["Approve", "Reject", "AcceptDataLoss"]]] = {
    "approve": "Approve",
    "reject": "Reject",
    "accept-data-loss": "AcceptDataLoss",
}
_STOPS: Final = {
    "pause": "paused, though who asked for it is not proved",
    "cancel": "paused and not cancelled, since who asked for it is not proved; give it again",
}
"""What is taken without proof: what became of it."""
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
        given = commands.on_execution(run.model.metadata.annotations)
        doubt = ""
        if any(c.steers for c in given):
            run, doubt = await self._proved(run, run.model)
        for command in given:
            status = await self._applied(run.model, command, doubt)
            run = await self._record(run, command, status)
        return run

    async def _proved(
        self, run: Held[DRExecution], read: DRExecution | DRTask
    ) -> tuple[Held[DRExecution], str]:
        """Why commands that were `read` on the run or a task of it may be anybody's; empty: they
        are not. The run says so with its next write.
        """
        proof = await self._c.guard.prove(read)
        condition = proof.condition(run.model, render_time(self._c.now()))
        conditions = set_condition(run.model.status.conditions, condition)
        run = run.ahead(run.model.status.model_copy(update={"conditions": conditions}))
        return run, "" if proof.ok else proof.message

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

    async def _applied(self, run: DRExecution, command: Command, doubt: str) -> DRExecutionStatus:
        if doubt and command.steers:
            return self._doubted(run.status, command, doubt)
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

    def _doubted(
        self, status: DRExecutionStatus, command: Command, doubt: str
    ) -> DRExecutionStatus:
        """The status after a command of which nobody knows who gave it: it stops, or is void."""
        stopped = _STOPS.get(command.verb)
        update: dict[str, object] = {"paused": True} if stopped else {}
        return self._journalled(status, command, f"{stopped or 'void'}: {doubt}", update)

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
        record = ApprovalRecord(
            user=command.user,
            verdict=_VERDICTS[command.verb],
            time=render_time(self._c.now()),
            comment=command.comment[:256],
        )
        if why := gates.four_eyes(run, gate, record):
            return self._journalled(status, command, f"void: {why}", {})
        after = gates.answered(gate, record)
        have = len(gates.standing(after.answers))
        result = {
            "Approve": f"{have} of {after.required} approvals",
            "Reject": "rejected",
            "AcceptDataLoss": "the loss of data is accepted",
        }[record.verdict]
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
        """The status with the quorum waived, and on record that lists and four eyes are.

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
        result = "one approval is enough for each gate that is not before a clean-up"
        return self._journalled(run.status, command, result, update)

    def _journalled(
        self, status: DRExecutionStatus, command: Command, result: str, update: dict[str, object]
    ) -> DRExecutionStatus:
        record = CommandRecord(
            key=command.key, user=command.user, comment=command.comment[:256],
            time=render_time(self._c.now()), result=result[:1024],
        )  # fmt: skip
        records = commands.remembered(status.commands, record)
        return status.model_copy(update={**update, "commands": records})

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
        given = {n: commands.on_task(t.model.metadata.annotations) for n, t in held.items()}
        asked = next((held[name].model for name, found in given.items() if found), None)
        doubt = ""
        if asked is not None:
            run, doubt = await self._proved(run, asked)
        for name, found in given.items():
            for command in found:
                run = await self._take_from_task(run, held, name, command, doubt, working)
        return run, list(held.values())

    async def _take_from_task(
        self,
        run: Held[DRExecution],
        held: dict[str, Held[DRTask]],
        name: str,
        command: Command,
        doubt: str,
        working: Container[str],
    ) -> Held[DRExecution]:
        task = held[name].model
        status, result = task.status, f"void: {doubt}"
        if not doubt:
            begun = activated(task.spec.wave, (t.model for t in held.values()), working)
            status, result = steer(task, command, self._ground(run.model, task, begun))
        changed = status != task.status
        if changed:
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
        records = commands.remembered(run.model.status.commands, record)
        recorded = run.model.status.model_copy(update={"commands": records})
        run = await put_status(self._c.kube, run, recorded)
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

    async def _begin_later_again(self, held: dict[str, Held[DRTask]], commanded: DRTask) -> None:
        for name, task in list(held.items()):
            await self._restate(held, name, after_command(task.model, commanded))

    async def _restate(
        self, held: dict[str, Held[DRTask]], name: str, status: DRTaskStatus
    ) -> None:
        """Write the task's status, if it is another than it was."""
        task = held[name]
        if status != task.model.status:
            held[name] = await journal.write(self._c, task, status)


def _with(status: DRExecutionStatus, gate: GateStatus) -> list[GateStatus]:
    return [gate if g.name == gate.name else g for g in status.gates]

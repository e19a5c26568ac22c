"""The pass over one execution: read, take commands, see where it stands, let tasks run, record.

A pass keeps nothing in memory that it would need again: whatever it decides on, it reads afresh,
and whatever it decides, it writes by compare-and-set. A 409 anywhere ends the pass; the next one
reads and decides anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from leeward.api.common import FINALIZER
from leeward.api.conditions import Reason, Type, find
from leeward.api.execution import DRExecution
from leeward.api.gate_record import GateStatus
from leeward.api.task import DRTask, DRTaskStatus
from leeward.engine import journal
from leeward.engine.answers import CommandTaker
from leeward.engine.begin import Beginner
from leeward.engine.context import Context
from leeward.engine.duties import Duties
from leeward.engine.finish import Finisher
from leeward.engine.gatekeeper import Gatekeeper
from leeward.engine.kube import ApiError, Object
from leeward.engine.notifier import Notifier
from leeward.engine.objects import (
    ENDED_LABEL,
    INCIDENT_LABEL,
    Held,
    patch_metadata,
    put_status,
    read,
)
from leeward.engine.passes import Result, TaskPasses
from leeward.engine.supervisor import Key
from leeward.engine.task_store import TaskStore
from leeward.engine.tasks import TaskRunner
from leeward.engine.together import both
from leeward.logs import about
from leeward.planning.runs import fencing, gates, letting_go, outcomes
from leeward.planning.runs.earlier import earlier
from leeward.planning.runs.parallelism import LIVE
from leeward.planning.runs.progress import only_progress
from leeward.planning.runs.record import Outcome, cancelled_by, compose, verdict
from leeward.planning.runs.steering import abandoned
from leeward.planning.runs.waves import ENDED, Cursor, closes, cursor, unanswered_ahead
from leeward.planning.tasks.step_ahead import attempt
from leeward.planning.times import render_time
from leeward.work import Work, at_work
from leeward_adapters.attribution import on_behalf_of

WAITING_POLL = timedelta(seconds=30)
"""How often a waiting run looks at the clock; annotations wake it at once."""


def ended(run: DRExecution) -> bool:
    """Whether the run has its verdict: the condition Succeeded is True or False."""
    succeeded = find(run.status.conditions, Type.SUCCEEDED)
    return succeeded is not None and succeeded.status != "Unknown"


def needs_passes(body: Object) -> bool:
    """Whether an execution as a watch shows it needs passes: it lives, or must still be closed."""
    run = DRExecution.model_validate(body)
    closed = FINALIZER not in run.metadata.finalizers and ENDED_LABEL in run.metadata.labels
    return not (ended(run) and closed)


class RunReconciler:
    """Passes over executions."""

    def __init__(self, context: Context) -> None:
        self._c = context
        self._tasks = TaskRunner(context)
        self._passes = TaskPasses()
        self._store = TaskStore(context.kube)
        self._commands = CommandTaker(context)
        self._beginner = Beginner(context)
        self._notifier = Notifier(context)
        self._finisher = Finisher(context, self._notifier)
        self._gates = Gatekeeper(context, self._commands)
        self._duties = Duties(context)

    async def run(self, key: Key) -> float | None:
        """One pass; seconds until the next, or None when the execution needs no more."""
        with at_work(Work(key.namespace, key.uid)), on_behalf_of(key.namespace, key.name):
            return await self._run(key)

    async def _run(self, key: Key) -> float | None:
        try:
            run = await read(self._c.kube, DRExecution, key.namespace, key.name)
        except ApiError as error:
            if error.status == 404:
                self._store.forget(key.uid)
                return None
            raise
        if run.model.metadata.uid != key.uid:
            self._store.forget(key.uid)
            return None
        if ended(run.model):
            self._store.forget(key.uid)
            return await self._finisher.close(run)
        run = await self._adopt(run)
        if not run.model.status.tasks:
            run = await self._commands.finish(await self._commands.take(run))
            if self._cancelling(run.model):
                return await self._never_begun(run)
            run, delay = await self._beginner.begin(run)
            return delay
        return await self._live(run)

    async def _adopt(self, run: Held[DRExecution]) -> Held[DRExecution]:
        """The run with our finalizer, its incident as a label, and our epoch on it."""
        metadata, epoch = run.model.metadata, self._c.lease.epoch
        if FINALIZER not in metadata.finalizers and not metadata.deletion_timestamp:
            ours: Object = {"finalizers": [*metadata.finalizers, FINALIZER]}
            if run.model.spec.incident:
                ours["labels"] = {INCIDENT_LABEL: run.model.spec.incident}
            run = await patch_metadata(self._c.kube, run, ours)
            if run.model.status.epoch == 0:
                return run  # no leader wrote it yet; what one read of it is of the past by now
        if run.model.status.epoch > epoch:
            self._c.lease.fence(f"{metadata.name} belongs to epoch {run.model.status.epoch}")
        if run.model.status.epoch < epoch:
            status = run.model.status.model_copy(update={"epoch": epoch})
            run = await put_status(self._c.kube, run, status)
        return run

    async def _never_begun(self, run: Held[DRExecution]) -> float:
        deleted = run.model.metadata.deletion_timestamp is not None
        how = "deleted" if deleted else cancelled_by(run.model.status.commands)
        message = f"{how} before it began; nothing was touched"
        outcome = Outcome("Cancelled", Reason.CANCELLED, message)
        await self._write(run, [], outcome)
        return 0

    async def _live(self, run: Held[DRExecution]) -> float:
        """A pass over a run whose tasks are frozen."""
        run, tasks = await both(self._commands.take(run), self._own_tasks(run))
        run, tasks = await self._commands.take_from_tasks(run, tasks, self._passes.working)
        run = await self._gates.withdraw(run, [t.model for t in tasks])
        run = await self._gates.expire(run)
        tasks = await self._let_go(run, tasks)
        where = cursor(
            run.model.spec.operation, run.model.status, [t.model for t in tasks],
            cancelling=self._cancelling(run.model), unplanned=fencing.unplanned(run.model),
            automatic=run.model.spec.approval_mode == "Automatic",
        )  # fmt: skip
        if where.ask is not None:
            run = await self._gates.ask(await self._commands.finish(run), where, tasks)
            return 0 if run.model.status.gates[-1].state == "Automatic" else 0.05
        # What a command allows begins as soon as it is recorded.
        before = sum(t.model.status.state in ENDED for t in tasks)
        run, (tasks, delay) = await both(self._commands.finish(run), self._work(run, where, tasks))
        if sum(t.model.status.state in ENDED for t in tasks) > before:
            # What has ended may let others begin: the run's record says both at once.
            self._store.keep(run.model, tasks)
            return 0
        outcome, rest, tasks = await self._stands(run, where, tasks)
        self._store.keep(run.model, tasks)
        run = await self._write(run, tasks, outcome)
        remind = await self._notifier.after_pass(run, tasks)
        let_go = letting_go.until_let_go(
            run.model, [t.model for t in tasks], self._c.now(),
            cancelling=self._cancelling(run.model),
        )  # fmt: skip
        waits = (delay, rest, remind, let_go)
        return min(d for d in waits if d is not None).total_seconds()

    async def settle(self, grace: float) -> None:
        """Let what runs in the background end, for `grace` seconds at most."""
        await self._passes.settle(grace)

    def _cancelling(self, run: DRExecution) -> bool:
        return run.status.cancelling or run.metadata.deletion_timestamp is not None

    async def _own_tasks(self, run: Held[DRExecution]) -> list[Held[DRTask]]:
        """The frozen tasks, adopted: in order, each with the uid and digest that were recorded.

        Our epoch is put on those that are under way: what their leader still wanted to write is
        refused from then on. One that has not begun gets it with the write that begins it, which
        of two leaders only one can make.
        """
        return [await self._owned(task) for task in await self._store.of(run.model)]

    async def _owned(self, task: Held[DRTask]) -> Held[DRTask]:
        status, epoch = task.model.status, self._c.lease.epoch
        if status.epoch > epoch:
            self._c.lease.fence(f"{task.model.metadata.name} belongs to epoch {status.epoch}")
        if status.epoch == epoch or not (status.state in LIVE or unanswered_ahead(task.model)):
            return task
        return await put_status(self._c.kube, task, status.model_copy(update={"epoch": epoch}))

    async def _let_go(
        self, run: Held[DRExecution], tasks: Sequence[Held[DRTask]]
    ) -> list[Held[DRTask]]:
        """What is not begun of a cancelled run, and fencing that an Unplanned run gives up, or no
        longer follows when it is cancelled.

        The duty is on the plan before the task has ended, so that a crash forgets neither.
        """
        found = ((t.model, self._let_go_of(run.model, t.model)) for t in tasks)
        over = {m.metadata.uid: m.model_copy(update={"status": s}) for m, s in found if s}
        if any(map(fencing.given_up_on, over.values())):
            after = [over.get(t.model.metadata.uid, t.model) for t in tasks]
            await self._duties.note(run.model, after)
        return [
            await self._ended(t, over[t.model.metadata.uid].status)
            if t.model.metadata.uid in over
            else t
            for t in tasks
        ]

    def _let_go_of(self, run: DRExecution, task: DRTask) -> DRTaskStatus | None:
        now = self._c.now()
        if self._cancelling(run):
            status = abandoned(task)
            if status is None and fencing.unplanned(run):
                status = letting_go.called_off(task, now)
            return status
        if not fencing.unplanned(run):
            return None
        return letting_go.given_up(task, now, run.status.commands)

    async def _ended(self, task: Held[DRTask], status: DRTaskStatus) -> Held[DRTask]:
        task = await journal.write(self._c, task, status)
        if fencing.given_up_on(task.model):
            now = render_time(self._c.now())
            await self._c.recorder.emit(
                task.raw, Reason.FENCE_DEFERRED, status.message or "", "Warning", now
            )
        return task

    async def _stands(
        self, run: Held[DRExecution], where: Cursor, tasks: list[Held[DRTask]]
    ) -> tuple[Outcome, timedelta, list[Held[DRTask]]]:
        """Where the run stands, when to look again at the latest, and its tasks."""
        models = [t.model for t in tasks]
        if where.finished or where.stage is None:
            return verdict(run.model, models), timedelta(0), tasks
        if where.waiting is not None:
            return await self._wait(run, where.waiting, tasks)
        if where.stuck:
            return outcomes.stuck(run.model, where.stage, where.stuck, models), WAITING_POLL, tasks
        holding = run.model.status.paused and not self._cancelling(run.model)
        working = {t.metadata.name for t in where.work}
        busy = [m for m in models if m.metadata.name in working and m.status.state not in ENDED]
        rest = WAITING_POLL if busy else timedelta(0)
        return outcomes.at_work(run.model, where.stage, busy, holding=holding), rest, tasks

    async def _wait(
        self, run: Held[DRExecution], gate: GateStatus, tasks: list[Held[DRTask]]
    ) -> tuple[Outcome, timedelta, list[Held[DRTask]]]:
        what = gates.consequence(run.model, gate, [t.model for t in tasks])
        wave, phase = gate.wave, gate.before
        if what.kind == "SkipWave":
            skipped = [await self._skip(t, gate.wave, what.message) for t in tasks]
            return Outcome("Running", "WaveSkipped", what.message, wave), timedelta(0), skipped
        if what.kind == "Fail":
            return Outcome("Failed", "GateNotPassed", what.message, wave), timedelta(0), tasks
        if what.kind == "Decide":
            outcome = Outcome("WaitingForDecision", f"Gate{gate.state}", what.message, wave, phase)
            return outcome, WAITING_POLL, tasks
        back = await self._duties.returned(run.model, gate, [t.model for t in tasks])
        outcome = Outcome("WaitingForApproval", "GateWaiting", back + what.message, wave, phase)
        return outcome, self._gates.until_deadline(gate, WAITING_POLL), tasks

    async def _skip(self, task: Held[DRTask], wave: str, why: str) -> Held[DRTask]:
        spec = task.model.spec
        over = task.model.status.state in ENDED
        if spec.wave != wave or closes(spec.operation, spec.recovery_phase) or over:
            return task
        update = {"state": "Skipped", "message": why[:1024]}
        status = task.model.status.model_copy(update=update)
        return await journal.write(self._c, task, status)

    async def _work(
        self, run: Held[DRExecution], where: Cursor, tasks: Sequence[Held[DRTask]]
    ) -> tuple[list[Held[DRTask]], timedelta | None]:
        """A pass over every task that may work now, all at once.

        The tasks as they are then, and when the first of them wants to be looked at again; None:
        none does.
        """
        names = {t.metadata.name for t in where.work}
        models = [t.model for t in tasks]
        chosen = {t.model.metadata.uid: t for t in tasks if t.model.metadata.name in names}
        came = await self._passes.advance(
            {uid: partial(self._pass, run, task, models) for uid, task in chosen.items()},
            (t.model.metadata.uid for t in tasks),
        )
        self._store.keep(run.model, came.late)
        for task in (*came.late, *(t for t, _ in came.results)):
            if task.model.status.state in {"Failed", "Complete"}:
                await self._emit_end(task)
        after = {t.model.metadata.name: t for t, _ in came.results}
        delays = [d for t, d in came.results if t.model.status.state not in ENDED]
        # What has ended may let others begin, and what is late has to be read again.
        if came.pending or came.late or len(delays) < len(came.results):
            delays.append(timedelta(0))
        if timedelta(0) not in delays:
            self._go_ahead(run, where, tasks)
        merged = [after.get(t.model.metadata.name, t) for t in tasks]
        return merged, min(delays, default=None)

    def _go_ahead(
        self, run: Held[DRExecution], where: Cursor, tasks: Sequence[Held[DRTask]]
    ) -> None:
        """While all that is in its turn waits for AWS: begin what may be done before its turn."""
        early = {t.metadata.uid for t in where.early if self._tasks.may_go_ahead(t)}
        ahead = partial(self._tasks.ahead, holding=False, stopping=False)
        self._passes.begin(
            {t.model.metadata.uid: partial(ahead, run, t) for t in tasks
             if t.model.metadata.uid in early}
        )  # fmt: skip

    async def _pass(
        self, run: Held[DRExecution], task: Held[DRTask], tasks: list[DRTask]
    ) -> Result:
        """Passes over a task, one after the other as long as each asks AWS for something."""
        cancelling, spec = self._cancelling(run.model), task.model.spec
        while True:
            asked = len(task.model.status.journal)
            with (
                at_work(_work(run, task)),
                about(task=task.model.metadata.name, account=spec.account, region=spec.region),
            ):
                task, delay = await self._tasks.run(
                    run, task, earlier(task.model, tasks),
                    holding=run.model.status.paused and not cancelling,
                    stopping=cancelling and not closes(spec.operation, spec.recovery_phase),
                )  # fmt: skip
            goes_on = len(task.model.status.journal) > asked and not delay
            if not goes_on or self._passes.closing or task.model.status.state in ENDED:
                return task, delay

    async def _emit_end(self, task: Held[DRTask]) -> None:
        status = task.model.status
        failed = status.state == "Failed"
        await self._c.recorder.emit(
            task.raw, f"Task{status.state}", status.message or status.state.lower(),
            "Warning" if failed else "Normal", status.completion_time or "",
        )  # fmt: skip

    async def _refreshed(self, run: Held[DRExecution]) -> Held[DRExecution]:
        """The run as it is now, if nothing but its metadata moved on since it was read."""
        metadata = run.model.metadata
        fresh = await read(self._c.kube, DRExecution, metadata.namespace, metadata.name)
        if fresh.model.status != run.model.status:
            raise ApiError(409, "Conflict", f"{metadata.name} was written by somebody else")
        return fresh

    async def _write(
        self, run: Held[DRExecution], tasks: Sequence[Held[DRTask]], outcome: Outcome
    ) -> Held[DRExecution]:
        """The run with its status; a change of state becomes a Kubernetes event."""
        before, now = run.model.status.events, self._c.now()
        status = compose(run.model, [t.model for t in tasks], outcome, now)
        uid = run.model.metadata.uid
        if only_progress(run.model.status, status) and not self._c.pace.allows(uid, now):
            return run
        # An action may have taken minutes; commands given meanwhile moved the object on.
        run = await self._refreshed(run)
        written = await put_status(self._c.kube, run, status)
        self._c.pace.wrote(uid, now)
        if status.events != before:
            last = status.events[-1]
            waits = outcome.state in {"WaitingForDecision", "Failed", "Expired"}
            await self._c.recorder.emit(
                written.raw, last.reason, last.message, "Warning" if waits else "Normal", last.time
            )
        return written


def _work(run: Held[DRExecution], task: Held[DRTask]) -> Work:
    """A pass over a task, as whoever observes its calls knows it."""
    metadata, which = run.model.metadata, attempt(task.model.status)
    return Work(metadata.namespace, metadata.uid, task.model.metadata.uid, which)

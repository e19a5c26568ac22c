"""One pass over one DRTask: look, decide, write the intent, act, record.

The decision is `leeward.planning.step`; this module gathers what it needs and carries out what it
says. Nothing is sent to AWS before its intent is on the object, written by a leader that is still
the leader.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from botocore.exceptions import BotoCoreError, ClientError

from leeward.api.execution import DRExecution
from leeward.api.task import DRTask, DRTaskSpec, DRTaskStatus, Intent, TaskResourceStatus
from leeward.api.tasks import BLOCKS
from leeward.engine import journal
from leeward.engine.context import Context
from leeward.engine.objects import Held, read
from leeward.engine.targets import target_of
from leeward.planning import commands, fencing
from leeward.planning.blind import decide_blind
from leeward.planning.manual import TECHNOLOGY as MANUAL
from leeward.planning.manual import decide_manual
from leeward.planning.record import compose_task
from leeward.planning.steering import paused_for, without
from leeward.planning.step import FINAL_STATES, StepDecision, StepInput, decide, needs_no_look
from leeward.planning.step_requests import relaunched
from leeward.planning.step_types import failed
from leeward.planning.times import parse_time, render_time
from leeward_adapters import registry
from leeward_adapters.base import (
    UNDO,
    ActionTraits,
    Adapter,
    IrreversibleError,
    Observed,
    Phase,
    Scope,
    Seen,
    State,
    Step,
    Target,
    actions_of,
)
from leeward_adapters.errors import Fault, classify

log = logging.getLogger(__name__)
_AWS_ERRORS = (ClientError, BotoCoreError)
_BLOCKS = {"drill_network", *BLOCKS.values()}
_ENDED = frozenset({"Complete", "Skipped", "Failed", "Abandoned"})
_IN_DOUBT = frozenset({"Pending", "InDoubt"})
_SHARED = 0.8
"""What part of the interval between two looks an answer may be old: less than all of it, so that
each look brings news, and enough for tasks that look a little apart to share an answer."""
_AT_LEAST_SAID = 2.0
"""Seconds of the first look at AWS after which a task that begins is written without its result."""
_UNPROVED = Seen(State.RUNNING, message="done as AWS shows it; the proof is still missing")


@dataclass(frozen=True, slots=True)
class _Turn:
    """What a pass over a task works with."""

    run: Held[DRExecution]
    task: Held[DRTask]
    adapter: Adapter
    actions: Mapping[str, ActionTraits]
    scope: Scope
    step: Step
    holding: bool
    stopping: bool


class TaskRunner:
    """Passes over tasks."""

    def __init__(self, context: Context) -> None:
        self._c = context
        self._intervals: dict[str, float] = {}
        """By uid of a task that this process has looked at: seconds between its looks."""

    async def run(
        self,
        run: Held[DRExecution],
        task: Held[DRTask],
        left_out: Sequence[TaskResourceStatus],
        *,
        holding: bool,
        stopping: bool,
    ) -> tuple[Held[DRTask], timedelta]:
        """One pass; the task as it is now, and when to look again.

        `left_out` are resources that people left out earlier, which a task that begins now leaves
        out too. `holding`: ask AWS for nothing new. `stopping`: besides, end when nothing is
        under way.
        """
        if task.model.status.state in {"NotStarted", "Retry"}:
            if holding or stopping:
                return task, self._c.settings.seconds("poll_interval")
            task = self._begun(task, left_out)
        spec = task.model.spec
        if spec.technology == MANUAL:
            return await self._manual(run, task, holding=holding, stopping=stopping)
        try:
            adapter = registry.adapter(spec.technology)
        except registry.AdapterError as error:
            return await self._fail_all(task, "NoAdapter", str(error)), timedelta(0)
        scope = self._c.scope_of(spec, run.model.metadata.namespace)
        actions = actions_of(adapter)
        step = self._step(run.model, task.model, actions, stopping=stopping)
        turn = _Turn(run, task, adapter, actions, scope, step, holding, stopping)
        try:
            turn, looking = await self._looking(_as_of(turn, self._since(turn.task.model)))
            after, delay = await self._pass(turn, looking)
        except _AWS_ERRORS as error:
            after, delay = await self._unseen(turn, classify(error))
        self._note(after, delay)
        return after, delay

    def _note(self, task: Held[DRTask], delay: timedelta) -> None:
        uid, poll = task.model.metadata.uid, self._c.settings.poll_interval
        if task.model.status.state in _ENDED:
            self._intervals.pop(uid, None)
        else:
            self._intervals[uid] = delay.total_seconds() or self._intervals.get(uid, poll)

    def _since(self, task: DRTask) -> float:
        """From when on what AWS said to anybody is new enough for a look at the task.

        What was asked for and not answered, or by another process, is looked for afresh, and so
        is what a person has just asked for.
        """
        now, interval = self._c.aws.now(), self._intervals.get(task.metadata.uid)
        doubt = any(i.outcome in _IN_DOUBT for i in task.status.journal)
        if interval is None or doubt or any(r.request for r in task.status.resources):
            return now
        return now - _SHARED * interval

    def _begun(self, task: Held[DRTask], left_out: Sequence[TaskResourceStatus]) -> Held[DRTask]:
        """The task as it begins. That is written together with what comes of the first look."""
        now, status = self._c.now(), task.model.status
        changed = status.model_copy(
            update={
                "state": "InProgress",
                "start_time": render_time(now),
                "message": "looking at AWS",
                "resources": without(status.resources, left_out),
            }
        )
        return task.ahead(compose_task(task.model, changed, now))

    async def _looking(self, turn: _Turn) -> tuple[_Turn, asyncio.Task[Observed]]:
        """A first look. A task that begins says so by itself only if AWS takes its time."""
        looking = asyncio.create_task(self._observe(turn))
        if turn.task.behind is None:
            return turn, looking
        try:
            await asyncio.wait({looking}, timeout=_AT_LEAST_SAID)
            if not looking.done():
                task = await journal.write(self._c, turn.task, turn.task.model.status)
                turn = replace(turn, task=task)
        except BaseException:
            looking.cancel()
            raise
        return turn, looking

    async def _pass(
        self, turn: _Turn, looking: asyncio.Task[Observed]
    ) -> tuple[Held[DRTask], timedelta]:
        """Look, decide, and carry the decision out.

        What is not repeatable counts against quotas: it is looked at once more, afresh, where no
        other task of the account and Region acts between the look and the act. A drill changes for
        a while what real launches use as well, so it does that in none of them.
        """
        observed = await looking
        decision = decide(self._given(turn, observed))
        spec, batch = turn.task.model.spec, decision.batch
        repeatable = batch is None or turn.actions[batch.action].repeatable
        if batch is None or (repeatable and spec.operation != "Test"):
            return await self._carried_out(turn, observed, decision)
        async with self._c.pool.queue(spec.account_id, spec.region):
            if repeatable:
                return await self._carried_out(turn, observed, decision)
            turn = _as_of(turn, self._c.aws.now())
            observed = await self._observe(turn)
            return await self._carried_out(turn, observed, decide(self._given(turn, observed)))

    async def _carried_out(
        self, turn: _Turn, observed: Observed, decision: StepDecision
    ) -> tuple[Held[DRTask], timedelta]:
        if decision.batch is None or await self._steered(turn.run):
            return await self._record(turn.task, decision), decision.delay
        task, intent = await journal.write_intent(
            self._c, turn.task, decision, decision.batch, observed
        )
        # The adapter acts with the pre-states that were written just now.
        step = replace(turn.step, pre_states=_pre_states(task.model.status))
        return await self._act(replace(turn, step=step), task, intent), timedelta(0)

    async def _manual(
        self, run: Held[DRExecution], task: Held[DRTask], *, holding: bool, stopping: bool
    ) -> tuple[Held[DRTask], timedelta]:
        """A pass over a task that a person does."""
        given = self._input(run, task, {}, Observed({}), holding=holding, stopping=stopping)
        decision = decide_manual(task.model, given)
        return await self._record(task, decision), decision.delay

    def _input(
        self,
        run: Held[DRExecution],
        task: Held[DRTask],
        actions: Mapping[str, ActionTraits],
        observed: Observed,
        *,
        holding: bool,
        stopping: bool,
    ) -> StepInput:
        status, now = task.model.status, self._c.now()
        began = parse_time(status.start_time) if status.start_time else now
        return StepInput(
            spec=task.model.spec,
            status=status,
            observed=observed,
            actions=actions,
            epoch=self._c.lease.epoch,
            leader_since=self._c.lease.since,
            now=now,
            rules=self._c.step_rules(),
            holding=holding,
            stopping=stopping,
            held=paused_for(run.model.status.commands, began, now),
        )

    def _given(self, turn: _Turn, observed: Observed) -> StepInput:
        return self._input(
            turn.run, turn.task, turn.actions, observed,
            holding=turn.holding, stopping=turn.stopping,
        )  # fmt: skip

    async def _observe(self, turn: _Turn) -> Observed:
        """What AWS shows of all that is not at its end, with the proof for what it calls done."""
        ended = {r.id for r in turn.task.model.status.resources if r.state in FINAL_STATES}
        targets = tuple(t for t in turn.step.targets if t.id not in ended)
        if needs_no_look(turn.task.model.spec) or not targets:
            return Observed({})
        async with self._c.pool.room(turn.task.model.spec.region):
            return await self._proved(turn, replace(turn.step, targets=targets))

    async def _proved(self, turn: _Turn, step: Step) -> Observed:
        observed = await self._c.pool.run(turn.adapter.observe, turn.scope, step)
        if not any(s.state is State.DONE for s in observed.targets.values()):
            return observed
        proved = await self._c.pool.run(turn.adapter.verify, turn.scope, step)
        merged = {
            target: proved.targets.get(target, _UNPROVED) if seen.state is State.DONE else seen
            for target, seen in observed.targets.items()
        }
        return replace(observed, targets=merged)

    def _step(
        self,
        run: DRExecution,
        task: DRTask,
        actions: Mapping[str, ActionTraits],
        *,
        stopping: bool,
    ) -> Step:
        spec, status = task.spec, task.status
        return Step(
            token=task.metadata.uid,
            phase=Phase(spec.recovery_phase),
            operation=spec.operation,
            started=self._started(status),
            source_region=spec.source_region,
            unplanned=fencing.unplanned(run),
            targets=tuple(target_of(r) for r in spec.resources),
            calls=journal.calls_of(status, actions),
            pre_states=_pre_states(status),
            relaunch=relaunched(status, stopping=stopping),
            settings=_settings(spec),
            tags={
                "leeward:hub": self._c.settings.hub,
                "leeward:namespace": run.metadata.namespace,
                "leeward:plan": spec.plan,
                "leeward:execution": run.metadata.name,
                "leeward:execution-uid": run.metadata.uid,
                "leeward:operation": spec.operation,
                "leeward:phase": spec.recovery_phase,
                "leeward:task": task.metadata.uid,
            },
        )

    def _started(self, status: DRTaskStatus) -> datetime:
        """When this task can first have asked AWS for anything, in whatever attempt."""
        times = [i.time for i in status.journal[:1]]
        times += [status.start_time] if status.start_time else []
        return min(map(parse_time, times), default=self._c.now())

    async def _steered(self, run: Held[DRExecution]) -> bool:
        """Whether somebody paused, cancelled or deleted the run since this pass read it.

        It is asked right before each intent, so that at most the batch whose intent is already
        written goes out after a pause or a cancel.
        """
        metadata = run.model.metadata
        fresh = await read(self._c.kube, DRExecution, metadata.namespace, metadata.name)
        if fresh.model.metadata.uid != metadata.uid:
            return True
        if fresh.model.status.epoch > self._c.lease.epoch:
            self._c.lease.fence(f"{metadata.name} belongs to epoch {fresh.model.status.epoch}")
        if fresh.model.metadata.deletion_timestamp and not metadata.deletion_timestamp:
            return True
        before, now = run.model.status, fresh.model.status
        if (now.paused and not before.paused) or (now.cancelling and not before.cancelling):
            return True
        known = {c.key for c in commands.on_execution(metadata.annotations)}
        return any(
            c.key not in known and c.verb in {"pause", "cancel"}
            for c in commands.on_execution(fresh.model.metadata.annotations)
        )

    async def _act(self, turn: _Turn, task: Held[DRTask], intent: Intent) -> Held[DRTask]:
        """Send the batch whose intent is written, and record AWS's answer."""
        targets = {t.id: t for t in turn.step.targets}
        batch = [targets[r] for r in intent.resources]
        self._c.lease.assert_valid()
        try:
            answer = await self._send(turn, intent, batch)
        except (*_AWS_ERRORS, IrreversibleError) as error:
            fault = classify(error)
            log.warning(
                "%s: %s for %d resources: %s: %s",
                task.model.metadata.name, intent.action, len(batch), fault.code, fault.message,
            )  # fmt: skip
            answer = journal.answer_of(fault, turn.actions[intent.action].repeatable)
        return await journal.write_answer(self._c, task, intent, answer)

    async def _send(self, turn: _Turn, intent: Intent, batch: Sequence[Target]) -> dict[str, str]:
        """Ask AWS for the batch; its answer, for the journal."""
        adapter, scope, step = turn.adapter, turn.scope, turn.step

        def ask() -> tuple[str, list[str]]:
            with self._c.aws.recording() as requests:
                if intent.action == UNDO:
                    return adapter.undo(scope, step, intent.id, batch), requests
                return adapter.act(scope, step, intent.action, intent.id, batch), requests

        reference, requests = await self._c.pool.run(ask)
        return {
            "outcome": "Sent",
            "reference": reference[:256],
            "request_id": requests[-1][:256] if requests else "",
        }

    async def _record(
        self, task: Held[DRTask], decision: StepDecision, unseen_since: str | None = None
    ) -> Held[DRTask]:
        status = journal.decided(task.model.status, decision)
        status = status.model_copy(update={"unseen_since": unseen_since})
        return await journal.write(self._c, task, status)

    async def _unseen(self, turn: _Turn, fault: Fault) -> tuple[Held[DRTask], timedelta]:
        """AWS could not be looked at: the task says so and looks again, or gives up."""
        spec, status = turn.task.model.spec, turn.task.model.status
        why = (
            f"cannot look at account {spec.account_id} ({spec.account}), {spec.region}: "
            f"{fault.code}: {fault.message}"
        )
        decision = decide_blind(self._given(turn, Observed({})), fault.kind, fault.code, why)
        since = status.unseen_since or render_time(self._c.now())
        held = await self._record(turn.task, decision, since)
        return held, max(decision.delay, timedelta(seconds=fault.retry_after or 0))

    async def _fail_all(self, task: Held[DRTask], reason: str, message: str) -> Held[DRTask]:
        known = {r.id: r for r in task.model.status.resources if r.state in FINAL_STATES}
        resources = tuple(
            known.get(r.id) or failed(r.id, reason, message) for r in task.model.spec.resources
        )
        return await self._record(task, StepDecision(resources, "Failed", message[:1024]))


def _as_of(turn: _Turn, since: float) -> _Turn:
    return replace(turn, step=replace(turn.step, since=since))


def _pre_states(status: DRTaskStatus) -> dict[str, str]:
    return {p.id: p.value for p in status.pre_states}


def _settings(spec: DRTaskSpec) -> dict[str, object]:
    """The blocks of the task's spec, camelCase as in the API."""
    return spec.model_dump(mode="json", by_alias=True, exclude_none=True, include=_BLOCKS)

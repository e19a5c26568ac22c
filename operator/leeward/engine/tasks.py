"""One pass over one DRTask: look, decide, write the intent, act, record.

The decision is `leeward.planning.tasks.step`; this module gathers what it needs and carries out
what it says. Nothing is sent to AWS before its intent is on the object, written by a leader that
is still the leader.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from botocore.exceptions import BotoCoreError, ClientError

from leeward.api.execution import DRExecution
from leeward.api.task import DRTask, Intent, TaskResourceStatus
from leeward.engine import journal
from leeward.engine.context import Context
from leeward.engine.kube import ApiError, ApiUnavailable
from leeward.engine.objects import Held
from leeward.engine.steered import steered
from leeward.engine.turn import Turn, given, input_of, turn_of
from leeward.planning.runs.earlier import Earlier, without
from leeward.planning.runs.record import compose_task
from leeward.planning.runs.waves import to_be_followed, unanswered_ahead
from leeward.planning.tasks import step_messages as messages
from leeward.planning.tasks.blind import decide_blind
from leeward.planning.tasks.manual import TECHNOLOGY as MANUAL
from leeward.planning.tasks.manual import decide_manual
from leeward.planning.tasks.step import (
    FINAL_STATES,
    Batch,
    StepDecision,
    decide,
    needs_no_look,
    nothing_left_to_ask,
)
from leeward.planning.tasks.step_ahead import attempt, decide_ahead
from leeward.planning.tasks.step_types import failed
from leeward.planning.tasks.withdrawn import ACCOUNT_REFUSED
from leeward.planning.times import render_time
from leeward_adapters import registry
from leeward_adapters.base import (
    UNDO,
    IrreversibleError,
    Observed,
    Seen,
    State,
    Step,
    Target,
)
from leeward_adapters.errors import Fault, classify, mistake
from leeward_adapters.guards import Record

log = logging.getLogger(__name__)
_AWS_ERRORS = (ClientError, BotoCoreError)
_API_ERRORS = (ApiError, ApiUnavailable)
"""What ends the pass over the run as well: the next one reads and decides anew."""
_ENDED = frozenset({"Complete", "Skipped", "Failed", "Abandoned"})
_IN_DOUBT = frozenset({"Pending", "InDoubt"})
_SHARED = 0.8
"""What part of the interval between two looks an answer may be old: less than all of it, so that
each look brings news, and enough for tasks that look a little apart to share an answer."""
_AT_LEAST_SAID = 2.0
"""Seconds of the first look at AWS after which a task that begins is written without its result."""
_UNPROVED = Seen(State.RUNNING, message="done as AWS shows it; the proof is still missing")


class TaskRunner:
    """Passes over tasks."""

    def __init__(self, context: Context) -> None:
        self._c = context
        self._intervals: dict[str, float] = {}
        """By uid of a task that this process has looked at: seconds between its looks."""
        self._tried: set[str] = set()
        """Uids of tasks for which this process tried what may be done before their turn."""
        self._prepared: set[str] = set()
        """Uids of tasks for which it has just been done in their turn."""

    async def run(
        self,
        run: Held[DRExecution],
        task: Held[DRTask],
        before: Earlier,
        *,
        holding: bool,
        stopping: bool,
    ) -> tuple[Held[DRTask], timedelta]:
        """One pass; the task as it is now, and when to look again.

        `before`: what the phases before leave to the task; what they left out, a task that begins
        now leaves out too. `holding`: ask AWS for nothing new. `stopping`: besides, end when
        nothing is under way; a task then begins only to follow what it asked for before.
        """
        begins = task.model.status.state in {"NotStarted", "Retry"}
        if begins:
            if stopping and unanswered_ahead(task.model):
                return await self.ahead(run, task, holding=holding, stopping=stopping)
            if holding or (stopping and not to_be_followed(task.model)):
                return task, self._c.settings.seconds("poll_interval")
            task = self._begun(task, before.left_out)
        if task.model.spec.technology == MANUAL:
            return await self._manual(run, task, holding=holding, stopping=stopping)
        try:
            turn = turn_of(self._c, run, task, before, holding=holding, stopping=stopping)
        except registry.AdapterError as error:
            return await self._fail_all(task, "NoAdapter", str(error)), timedelta(0)
        try:
            if self._only_launches(turn, begins=begins):
                after, delay = await self._in_queue(turn)
            else:
                turn, looking = await self._looking(turn.as_of(self._since(turn.task.model)))
                after, delay = await self._pass(turn, looking)
        except _AWS_ERRORS as error:
            after, delay = await self._unseen(turn, classify(error))
        except _API_ERRORS:
            raise
        except Exception as error:
            log.exception("%s: a mistake in its pass", task.model.metadata.name)
            after, delay = await self._unseen(turn, mistake(error))
        self._note(after, delay)
        return after, delay

    def may_go_ahead(self, task: DRTask) -> bool:
        """Whether this process has not yet tried what may be done before the task's turn."""
        return task.metadata.uid not in self._tried

    async def ahead(
        self, run: Held[DRExecution], task: Held[DRTask], *, holding: bool, stopping: bool
    ) -> tuple[Held[DRTask], timedelta]:
        """What is harmless of a task whose turn has not come, once; like `run` otherwise.

        What AWS refuses, or does not answer, is left to the task's turn.
        """
        self._tried.add(task.model.metadata.uid)
        rest = self._c.settings.seconds("poll_interval")
        try:
            turn = turn_of(self._c, run, task, holding=holding, stopping=stopping)
        except registry.AdapterError:
            return task, rest
        if not any(traits.ahead for traits in turn.actions.values()):
            return task, rest
        try:
            turn = turn.as_of(self._c.aws.now())
            observed = Observed({}) if stopping else await self._observe(turn)
        except _AWS_ERRORS:
            return task, rest
        except Exception:  # an adapter's mistake is said when it is met again in the task's turn
            log.exception("%s: a mistake before its turn", task.model.metadata.name)
            return task, rest
        decision = decide_ahead(given(self._c, turn, observed))
        if decision.state == "Abandoned":
            return await self._record(task, decision), timedelta(0)
        if decision.batch is None or await steered(self._c, run):
            return task, decision.delay or rest
        return await self._sent(turn, observed, decision, decision.batch), timedelta(0)

    def _only_launches(self, turn: Turn, *, begins: bool) -> bool:
        """Whether all that may go ahead is done, so that what comes next needs a fresh look alone.

        Only right after it was done, or as the task begins: later looks may come to nothing, and
        need not be fresh.
        """
        uid = turn.task.model.metadata.uid
        if not begins and uid not in self._prepared:
            return False
        self._prepared.discard(uid)
        over = {r.id for r in turn.task.model.status.resources if r.state in FINAL_STATES}
        calls = [turn.step.calls.get(t.id) for t in turn.step.targets if t.id not in over]
        ahead = {action for action, traits in turn.actions.items() if traits.ahead}
        answered = (c is not None and c.reference and c.action in ahead for c in calls)
        return bool(calls) and all(answered)

    def _note(self, task: Held[DRTask], delay: timedelta) -> None:
        uid, poll = task.model.metadata.uid, self._c.settings.poll_interval
        if task.model.status.state in _ENDED:
            self._intervals.pop(uid, None)
            self._prepared.discard(uid)
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
        self._tried.discard(task.model.metadata.uid)
        changed = status.model_copy(
            update={
                "state": "InProgress",
                "attempt": attempt(status),
                "start_time": render_time(now),
                "message": "looking at AWS",
                "barred_seconds": 0,
                "resources": without(status.resources, left_out),
            }
        )
        return task.ahead(compose_task(task.model, changed, now))

    async def _looking(self, turn: Turn) -> tuple[Turn, asyncio.Task[Observed]]:
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
        self, turn: Turn, looking: asyncio.Task[Observed]
    ) -> tuple[Held[DRTask], timedelta]:
        """Look, decide, and carry the decision out.

        What is not repeatable counts against quotas: it is looked at once more, afresh, where no
        other task of the account and Region acts between the look and the act. A drill changes for
        a while what real launches use as well, so it does that in none of them.
        """
        observed = await looking
        decision = decide(given(self._c, turn, observed))
        spec, batch = turn.task.model.spec, decision.batch
        repeatable = batch is None or turn.actions[batch.action].repeatable
        if batch is None or (repeatable and spec.operation != "Test"):
            return await self._carried_out(turn, observed, decision)
        if not repeatable:
            return await self._in_queue(turn)
        async with self._c.pool.queue(spec.account_id, spec.region):
            return await self._carried_out(turn, observed, decision)

    async def _in_queue(self, turn: Turn) -> tuple[Held[DRTask], timedelta]:
        """A fresh look, and what comes of it, while nothing else of account and Region acts."""
        spec = turn.task.model.spec
        async with self._c.pool.queue(spec.account_id, spec.region):
            turn, looking = await self._looking(turn.as_of(self._c.aws.now()))
            observed = await looking
            return await self._carried_out(turn, observed, decide(given(self._c, turn, observed)))

    async def _carried_out(
        self, turn: Turn, observed: Observed, decision: StepDecision
    ) -> tuple[Held[DRTask], timedelta]:
        if decision.batch is None or await steered(self._c, turn.run):
            return await self._record(turn.task, decision), decision.delay
        task = await self._sent(turn, observed, decision, decision.batch)
        if turn.actions[decision.batch.action].ahead:
            self._prepared.add(task.model.metadata.uid)
        waits = nothing_left_to_ask(task.model.status, turn.actions)
        return task, self._c.settings.seconds("poll_interval") if waits else timedelta(0)

    async def _sent(
        self, turn: Turn, observed: Observed, decision: StepDecision, batch: Batch
    ) -> Held[DRTask]:
        task, intent = await journal.write_intent(self._c, turn.task, decision, batch, observed)
        return await self._act(turn.with_pre_states(task.model.status), task, intent)

    async def _manual(
        self, run: Held[DRExecution], task: Held[DRTask], *, holding: bool, stopping: bool
    ) -> tuple[Held[DRTask], timedelta]:
        """A pass over a task that a person does."""
        asked = input_of(self._c, run, task, {}, Observed({}), holding=holding, stopping=stopping)
        decision = decide_manual(task.model, asked)
        return await self._record(task, decision), decision.delay

    async def _observe(self, turn: Turn) -> Observed:
        """What AWS shows of all that is not at its end, with the proof for what it calls done."""
        ended = {r.id for r in turn.task.model.status.resources if r.state in FINAL_STATES}
        targets = tuple(t for t in turn.step.targets if t.id not in ended)
        if needs_no_look(turn.task.model.spec) or not targets:
            return Observed({})
        async with self._c.pool.room(turn.task.model.spec.region):
            return await self._proved(turn, replace(turn.step, targets=targets))

    async def _proved(self, turn: Turn, step: Step) -> Observed:
        observed = await self._c.pool.run(turn.adapter.observe, turn.scope, step)
        if not any(s.state is State.DONE for s in observed.targets.values()):
            return observed
        proved = await self._c.pool.run(turn.adapter.verify, turn.scope, step)
        merged = {
            target: proved.targets.get(target, _UNPROVED) if seen.state is State.DONE else seen
            for target, seen in observed.targets.items()
        }
        return replace(observed, targets=merged)

    async def _act(self, turn: Turn, task: Held[DRTask], intent: Intent) -> Held[DRTask]:
        """Send the batch whose intent is written, and record AWS's answer."""
        targets = {t.id: t for t in turn.step.targets}
        batch = [targets[r] for r in intent.resources]
        self._c.lease.assert_valid()
        answer = await self._answer(turn, intent, batch)
        return await journal.write_answer(self._c, task, intent, answer)

    async def _answer(
        self, turn: Turn, intent: Intent, batch: Sequence[Target]
    ) -> dict[str, str | bool]:
        """Ask AWS for the batch; its answer, for the journal.

        What goes before the one call of a batch that must not be sent twice may be: launch
        settings are absolute. So there is doubt only once that call was sent.
        """
        record = Record()
        try:
            reference = await self._send(turn, intent, batch, record)
        except (*_AWS_ERRORS, IrreversibleError) as error:
            fault = classify(error)
            log.warning(
                "%s: %s for %d resources: %s: %s",
                turn.task.model.metadata.name, intent.action, len(batch), fault.code, fault.message,
            )  # fmt: skip
            again = turn.actions[intent.action].repeatable or not record.once
            return journal.answer_of(fault, again)
        return {
            "outcome": "Sent",
            "reference": reference[:256],
            "request_id": record.requests[-1][:256] if record.requests else "",
        }

    async def _send(
        self, turn: Turn, intent: Intent, batch: Sequence[Target], record: Record
    ) -> str:
        """Ask AWS for the batch; its reference. What was sent is noted in `record`."""
        adapter, scope, step = turn.adapter, turn.scope, turn.step

        def ask() -> str:
            with self._c.aws.recording(record):
                if intent.action == UNDO:
                    return adapter.undo(scope, step, intent.id, batch)
                return adapter.act(scope, step, intent.action, intent.id, batch)

        return await self._c.pool.run(ask)

    async def _record(
        self, task: Held[DRTask], decision: StepDecision, unseen_since: str | None = None
    ) -> Held[DRTask]:
        now, before = self._c.now(), task.model.status
        status = journal.decided(before, decision, now)
        status = status.model_copy(update={"unseen_since": unseen_since})
        task = await journal.write(self._c, task, status)
        if status.barred_since and not before.barred_since:
            at = render_time(now)
            await self._c.recorder.emit(
                task.raw, ACCOUNT_REFUSED, status.message or "", "Warning", at
            )
        return task

    async def _unseen(self, turn: Turn, fault: Fault) -> tuple[Held[DRTask], timedelta]:
        """AWS could not be looked at: the task says so and looks again, or gives up."""
        spec, status = turn.task.model.spec, turn.task.model.status
        namespace, planned = turn.run.model.metadata.namespace, not turn.step.unplanned
        why = messages.unseen(spec, namespace, fault.code, fault.message, planned=planned)
        decision = decide_blind(given(self._c, turn, Observed({})), fault.kind, fault.code, why)
        since = status.unseen_since or render_time(self._c.now())
        held = await self._record(turn.task, decision, since)
        return held, max(decision.delay, timedelta(seconds=fault.retry_after or 0))

    async def _fail_all(self, task: Held[DRTask], reason: str, message: str) -> Held[DRTask]:
        known = {r.id: r for r in task.model.status.resources if r.state in FINAL_STATES}
        resources = tuple(
            known.get(r.id) or failed(r.id, reason, message) for r in task.model.spec.resources
        )
        return await self._record(task, StepDecision(resources, "Failed", message[:1024]))

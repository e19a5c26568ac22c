"""One pass over one DRTask: look, decide, write the intent, act, record.

The decision is `leeward.planning.step`; this module gathers what it needs and carries out what it
says. Nothing is sent to AWS before its intent is on the object, written by a leader that is still
the leader.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta

from botocore.exceptions import BotoCoreError, ClientError

from leeward.api.execution import DRExecution
from leeward.api.task import DRTask, DRTaskSpec, DRTaskStatus, Intent, PreState, TaskResourceStatus
from leeward.engine.context import Context
from leeward.engine.kube import ApiError
from leeward.engine.objects import Held, put_status, read
from leeward.planning import commands
from leeward.planning.record import compose_task
from leeward.planning.step import (
    FINAL_STATES,
    Batch,
    StepDecision,
    StepInput,
    decide,
    give_up,
)
from leeward.planning.times import parse_time, render_time
from leeward_adapters import registry
from leeward_adapters.base import (
    ActionTraits,
    Adapter,
    Call,
    ErrorClass,
    Observed,
    Phase,
    Scope,
    State,
    Step,
    Target,
)
from leeward_adapters.errors import Fault, classify

log = logging.getLogger(__name__)
_AWS_ERRORS = (ClientError, BotoCoreError)
_CALLS = uuid.UUID("6f0f2b5e-2c0b-5d0a-9d4e-6b1f5a1c7e10")
"""Namespace of the ids of batches: the same batch has the same id after a crash."""


class TaskRunner:
    """Passes over tasks."""

    def __init__(self, context: Context) -> None:
        self._c = context

    async def run(
        self, run: Held[DRExecution], task: Held[DRTask], *, holding: bool, stopping: bool
    ) -> tuple[Held[DRTask], timedelta]:
        """One pass; the task as it is now, and when to look again."""
        if task.model.status.state in {"NotStarted", "Retry"}:
            if holding or stopping:
                return task, self._c.settings.seconds("poll_interval")
            task = await self._begin(task)
        try:
            adapter = registry.adapter(task.model.spec.technology)
        except registry.AdapterError as error:
            return await self._fail_all(task, "NoAdapter", str(error)), timedelta(0)
        spec = task.model.spec
        async with self._c.pool.queue(spec.account_id, spec.region):
            return await self._pass(run, task, adapter, holding, stopping)

    async def _pass(
        self,
        run: Held[DRExecution],
        task: Held[DRTask],
        adapter: Adapter,
        holding: bool,
        stopping: bool,
    ) -> tuple[Held[DRTask], timedelta]:
        scope = self._c.scope_of(task.model.spec, run.model.metadata.namespace)
        step = self._step(run.model, task.model, adapter)
        try:
            observed = await self._observe(adapter, scope, step)
        except _AWS_ERRORS as error:
            return await self._unseen(task, classify(error))
        decision = decide(
            StepInput(
                spec=task.model.spec, status=task.model.status, observed=observed,
                actions=adapter.actions, epoch=self._c.lease.epoch,
                leader_since=self._c.lease.since, now=self._c.now(), rules=self._c.step_rules(),
                holding=holding, stopping=stopping,
            )
        )  # fmt: skip
        if decision.batch is None:
            return await self._record(task, decision), decision.delay
        if await self._steered(run):
            return await self._record(task, decision), timedelta(0)
        task, intent = await self._write_intent(task, decision, decision.batch, observed)
        return await self._act(adapter, scope, step, task, intent), timedelta(0)

    async def _begin(self, task: Held[DRTask]) -> Held[DRTask]:
        now = self._c.now()
        status = task.model.status.model_copy(
            update={
                "state": "InProgress",
                "start_time": render_time(now),
                "epoch": self._c.lease.epoch,
                "message": "looking at AWS",
            }
        )
        return await put_status(self._c.kube, task, compose_task(task.model, status, now))

    async def _observe(self, adapter: Adapter, scope: Scope, step: Step) -> Observed:
        """What AWS shows, with the proof for everything that it calls done."""
        observed = await self._c.pool.run(adapter.observe, scope, step)
        if not any(s.state is State.DONE for s in observed.targets.values()):
            return observed
        proved = await self._c.pool.run(adapter.verify, scope, step)
        merged = {
            target: proved.targets.get(target, seen) if seen.state is State.DONE else seen
            for target, seen in observed.targets.items()
        }
        return Observed(merged, observed.capacity, observed.capacity_reason)

    def _step(self, run: DRExecution, task: DRTask, adapter: Adapter) -> Step:
        spec, status = task.spec, task.status
        return Step(
            token=task.metadata.uid,
            phase=Phase(spec.recovery_phase),
            operation=spec.operation,
            started=self._started(status),
            source_region=spec.source_region,
            targets=tuple(Target(r.id, r.arn, r.name, dict(r.attributes)) for r in spec.resources),
            calls=_calls(status, adapter.actions),
            pre_states={p.id: p.value for p in status.pre_states},
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
        """Whether somebody gave the run a command, or it moved on, since this pass read it.

        It is asked right before each intent, so that at most the batch whose intent is already
        written goes out after a pause or a cancel.
        """
        metadata = run.model.metadata
        fresh = await read(self._c.kube, DRExecution, metadata.namespace, metadata.name)
        if fresh.model.metadata.uid != metadata.uid or fresh.model.metadata.deletion_timestamp:
            return True
        known = {c.key for c in commands.on_execution(metadata.annotations)}
        return any(
            c.key not in known and c.verb in {"pause", "cancel"}
            for c in commands.on_execution(fresh.model.metadata.annotations)
        )

    async def _write_intent(
        self, task: Held[DRTask], decision: StepDecision, batch: Batch, observed: Observed
    ) -> tuple[Held[DRTask], Intent]:
        """The intent and the pre-states, in one conditional write."""
        now, status = self._c.now(), task.model.status
        journal = _with_absent(status.journal, decision.absent)
        intent = Intent(
            id=uuid.uuid5(
                _CALLS, f"{self._c.settings.hub}/{task.model.metadata.uid}/{len(journal)}"
            ).hex,
            action=batch.action,
            resources=list(batch.resources),
            epoch=self._c.lease.epoch,
            time=render_time(now),
            attempt=status.attempt,
        )
        known = {p.id for p in status.pre_states}
        fresh = [
            PreState(id=r, value=observed.targets[r].pre_state)
            for r in batch.resources
            if r not in known and observed.targets[r].pre_state
        ]
        changed = self._status(task.model, decision).model_copy(
            update={
                "journal": [*journal, intent],
                "pre_states": [*status.pre_states, *fresh],
                "epoch": self._c.lease.epoch,
            }
        )
        written = await put_status(self._c.kube, task, compose_task(task.model, changed, now))
        return written, intent

    async def _act(
        self, adapter: Adapter, scope: Scope, step: Step, task: Held[DRTask], intent: Intent
    ) -> Held[DRTask]:
        targets = {t.id: t for t in step.targets}
        batch = [targets[r] for r in intent.resources]
        self._c.lease.assert_valid()
        try:
            reference = await self._c.pool.run(
                adapter.act, scope, step, intent.action, intent.id, batch
            )
        except _AWS_ERRORS as error:
            fault = classify(error)
            log.warning(
                "%s: %s for %d resources: %s: %s",
                task.model.metadata.name, intent.action, len(batch), fault.code, fault.message,
            )  # fmt: skip
            repeatable = adapter.actions[intent.action].repeatable
            return await self._answer(task, intent, _outcome_of(fault, repeatable))
        return await self._answer(task, intent, {"outcome": "Sent", "reference": reference[:256]})

    async def _answer(
        self, task: Held[DRTask], intent: Intent, update: dict[str, str]
    ) -> Held[DRTask]:
        """Record AWS's answer, whoever annotated the task meanwhile."""
        while True:
            status = task.model.status
            journal = [
                i.model_copy(update=update) if i.id == intent.id else i for i in status.journal
            ]
            try:
                return await put_status(
                    self._c.kube, task, status.model_copy(update={"journal": journal})
                )
            except ApiError as error:
                if error.status != 409:
                    raise
                metadata = task.model.metadata
                task = await read(self._c.kube, DRTask, metadata.namespace, metadata.name)

    async def _record(self, task: Held[DRTask], decision: StepDecision) -> Held[DRTask]:
        status = self._status(task.model, decision)
        return await put_status(self._c.kube, task, compose_task(task.model, status, self._c.now()))

    def _status(self, task: DRTask, decision: StepDecision) -> DRTaskStatus:
        return task.status.model_copy(
            update={
                "state": decision.state,
                "message": decision.message,
                "resources": list(decision.resources),
                "journal": _with_absent(task.status.journal, decision.absent),
                "stopped": decision.state == "Abandoned",
            }
        )

    async def _unseen(self, task: Held[DRTask], fault: Fault) -> tuple[Held[DRTask], timedelta]:
        """AWS could not be looked at: the task says so and looks again, or gives up."""
        spec, status, rules = task.model.spec, task.model.status, self._c.step_rules()
        message = (
            f"cannot look at account {spec.account_id} ({spec.account}), {spec.region}: "
            f"{fault.code}: {fault.message}"
        )
        if give_up(spec, status, fault.kind, self._c.now(), rules):
            resources = tuple(
                r if r.state in FINAL_STATES else _failed(r.id, fault.code, message)
                for r in _all_resources(task.model)
            )
            decision = StepDecision(resources, "Failed", message[:1024])
            return await self._record(task, decision), timedelta(0)
        status = status.model_copy(update={"message": f"{message}; looking again"[:1024]})
        held = await put_status(self._c.kube, task, compose_task(task.model, status, self._c.now()))
        return held, max(rules.poll, timedelta(seconds=fault.retry_after or 0))

    async def _fail_all(self, task: Held[DRTask], reason: str, message: str) -> Held[DRTask]:
        resources = tuple(
            TaskResourceStatus(id=r.id, state="Failed", reason=reason, message=message[:1024])
            for r in task.model.spec.resources
        )
        return await self._record(task, StepDecision(resources, "Failed", message[:1024]))


def _failed(rid: str, code: str, message: str) -> TaskResourceStatus:
    return TaskResourceStatus(
        id=rid, state="Failed", reason=code[:63], message=f"{message}. Mend it, then retry"[:1024]
    )


def _all_resources(task: DRTask) -> list[TaskResourceStatus]:
    known = {r.id: r for r in task.status.resources}
    return [
        known.get(r.id, TaskResourceStatus(id=r.id, state="NotStarted"))
        for r in task.spec.resources
    ]


def _with_absent(journal: list[Intent], absent: frozenset[str]) -> list[Intent]:
    return [i.model_copy(update={"outcome": "Absent"}) if i.id in absent else i for i in journal]


def _calls(status: DRTaskStatus, actions: Mapping[str, ActionTraits]) -> dict[str, Call]:
    """By resource: the batch of this attempt by which AWS can be asked for it.

    That is the newest one that AWS may have taken; one that is not repeatable goes before the
    others, because it alone must be found again.
    """
    calls: dict[str, Call] = {}
    taken = [
        i for i in status.journal
        if i.attempt == status.attempt and i.outcome not in {"Refused", "Absent"}
    ]  # fmt: skip
    for intent in sorted(taken, key=lambda i: not actions[i.action].repeatable):
        call = Call(
            intent.id,
            intent.action,
            parse_time(intent.time),
            intent.outcome in {"Pending", "InDoubt"},
            intent.reference,
        )
        calls.update(dict.fromkeys(intent.resources, call))
    return calls


def _settings(spec: DRTaskSpec) -> dict[str, object]:
    settings: dict[str, object] = {}
    if spec.drill_network is not None:
        settings["drillNetwork"] = spec.drill_network.to_api()
    if spec.route53 is not None:
        settings["route53"] = spec.route53.to_api()
    return settings


def _outcome_of(fault: Fault, repeatable: bool) -> dict[str, str]:
    """What the journal says of a call that did not go through.

    A repeatable call whose answer was lost is simply sent again: that is what makes it so.
    """
    lost = fault.kind is ErrorClass.IN_DOUBT
    return {
        "outcome": "InDoubt" if lost and not repeatable else "Refused",
        "error_class": (ErrorClass.TRANSIENT if lost else fault.kind).value,
        "code": fault.code[:256],
        "message": fault.message[:1024],
    }

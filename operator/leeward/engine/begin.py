"""The beginning of a run: preflight, the plan's claim, the freeze.

Nothing here changes anything in AWS. Until the frozen tasks are recorded in the execution's status,
a crash leaves only DRTasks that no record names; they are removed and the freeze is made anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from leeward.api.common import PREFIX
from leeward.api.execution import DRExecution, DRExecutionStatus, TaskRecord
from leeward.api.marks import unsupported
from leeward.api.plan import RecoveryPlan
from leeward.api.plan_record import DependencyStatus
from leeward.api.task import DRTask
from leeward.engine.claims import Claims
from leeward.engine.context import Context
from leeward.engine.dependencies import Dependencies
from leeward.engine.dry_run import end_dry_run
from leeward.engine.estate import accounts_of, inventories_of, sizes_of
from leeward.engine.events import Level
from leeward.engine.kube import ApiError, path_of
from leeward.engine.launch_layers import digest_now
from leeward.engine.leading import leading
from leeward.engine.objects import (
    EXECUTION_LABEL,
    LIVE_LABEL,
    PLAN_LABEL,
    Held,
    hold,
    label_value,
    new_object,
    put_status,
    read,
    read_all,
)
from leeward.engine.previous import PreviousRuns
from leeward.engine.request_proof import NOT_PROVED, RequestProof
from leeward.engine.together import each
from leeward.planning.digests import digest
from leeward.planning.outlook import run_size
from leeward.planning.outlook.direction_checks import awaits_discovery
from leeward.planning.outlook.preflight import preflight
from leeward.planning.outlook.run_checks import SETTLING, settling
from leeward.planning.plans import region_pairs
from leeward.planning.problem import Problem
from leeward.planning.runs.freeze import Frozen, FrozenTask, freeze
from leeward.planning.runs.record import Outcome, compose
from leeward.planning.runs.run_times import frozen_objectives
from leeward.planning.times import parse_time, render_time
from leeward.planning.wording import clip, counted

_AT_ONCE = 8
"""Tasks that are created side by side. None depends on another before the record names them all."""
DISCOVERY_PATIENCE = timedelta(seconds=60)
"""How long a new run waits for a plan that was never looked at, and an Unplanned one at most."""
REFRESH_PATIENCE = timedelta(minutes=5)
"""How long a Planned run waits for a look that is newer than the run that it builds upon."""


class Beginner:
    """Takes a new execution to the point where its tasks exist and are recorded."""

    def __init__(self, context: Context) -> None:
        self._c = context
        self._claims = Claims(context)
        self._earlier = PreviousRuns(context)
        self._requests = RequestProof(context)
        self._dependencies = Dependencies(context)
        self._beginning = asyncio.Lock()

    async def begin(self, run: Held[DRExecution]) -> tuple[Held[DRExecution], float]:
        """The run after this pass, and the seconds until the next."""
        execution = run.model
        plan = await self._plan(execution)
        if plan is None:
            name = execution.spec.plan_ref.name
            message = (
                f"there is no RecoveryPlan {name} in namespace {execution.metadata.namespace}; "
                "create it, then create another execution"
            )
            return await self._refuse(run, "Failed", "PlanNotFound", message), 0
        if waiting := await self._waits_for(plan.model, execution):
            reason = SETTLING if settling(execution) else "WaitingForDiscovery"
            return await self._wait(run, reason, waiting), 1.0
        run, doubt = await self._requests.of(run)
        if doubt is not None and doubt.final:
            return await self._refuse(run, "Failed", NOT_PROVED, doubt.message), 0
        if doubt is not None:
            return await self._wait(run, NOT_PROVED, doubt.message), 5.0
        # Before the lock: what does not answer takes its time.
        looked = await self._dependencies.look(
            plan.model, await accounts_of(self._c.kube, plan.model)
        )
        # One at a time: of two runs that begin together, the second must see the first's servers.
        async with self._beginning:
            return await self._start(run, plan, looked)

    async def _start(
        self,
        run: Held[DRExecution],
        plan: Held[RecoveryPlan],
        looked: Sequence[DependencyStatus],
    ) -> tuple[Held[DRExecution], float]:
        execution = run.model
        accounts = await accounts_of(self._c.kube, plan.model)
        inventories = await inventories_of(self._c.kube, plan.model)
        elsewhere = await self._claims.held_elsewhere(execution, plan.model)
        previous = await self._claims.continued(execution)
        sizes = await sizes_of(self._c.kube, plan.model, execution)
        for problem in region_pairs.problems(plan.model, self._c.settings.allowed_pairs):
            return await self._refuse(run, "Failed", problem.reason, problem.message), 0
        if execution.spec.dry_run == "Plan":
            models = [i.model for i in inventories]
            ended = await end_dry_run(
                self._c, run, plan.model, accounts, models, elsewhere, previous, sizes
            )
            return ended, 0
        verdict = preflight(
            execution, plan.model, accounts, [i.model for i in inventories],
            now=self._c.now(), live_elsewhere=elsewhere, previous=previous, looked=looked,
            sizes=sizes,
        )  # fmt: skip
        if verdict.refusals:
            return await self._refused(run, verdict.refusals, previous)
        frozen = freeze(
            execution, plan.model, accounts, [i.model for i in inventories],
            leading=leading(execution), sizes=sizes,
        )  # fmt: skip
        if too_large := list(run_size.fits(frozen)):
            return await self._refused(run, too_large, previous)
        if unsettled := await self._claims.settled(execution):
            return await self._wait(run, SETTLING, unsettled), 1.0
        if earlier := await self._earlier.found(execution, accounts, frozen.tasks):
            return await self._ask(run, earlier), 30.0
        if busy := await self._claims.take(plan, execution):
            return await self._refuse(run, "Failed", "PlanBusy", busy), 0
        drilled = await self._claims.clear_drills(execution, [t.spec for t in frozen.tasks])
        prepares = "Ahead" if execution.spec.operation == "Failover" and not drilled else "InTurn"
        run = run.ahead(run.model.status.model_copy(update={"prepares": prepares}))
        tasks = await self._create_tasks(run, frozen)
        return await self._recorded(run, plan.model, frozen, tasks, verdict.findings), 0

    async def _refused(
        self, run: Held[DRExecution], refusals: Sequence[Problem], previous: DRExecution | None
    ) -> tuple[Held[DRExecution], float]:
        """The run that may not start.

        One that has cancelled another waits in that one's place: else nobody would work on what
        the other has moved half.
        """
        message = "; ".join(p.message for p in refusals)
        if settling(run.model):
            return await self._hold(run, message, previous), 10.0
        first = refusals[0].reason
        state = "Expired" if first == "Expired" else "Failed"
        return await self._refuse(run, state, first, message), 0

    async def _hold(
        self, run: Held[DRExecution], why: str, previous: DRExecution | None
    ) -> Held[DRExecution]:
        metadata = run.model.metadata
        cancel = (
            f'kubectl annotate drx {metadata.name} -n {metadata.namespace} {PREFIX}cancel="YOU"'
        )
        message = (
            f"it takes the place of the run that it cancelled, and begins by itself when this is "
            f"mended: {clip(why, 700)}. Or cancel it: {cancel}"
        )
        ended = previous is None or previous.status.completion_time is not None
        return await self._asked(
            run, Outcome("WaitingForDecision" if ended else "Preflight", SETTLING, message)
        )

    async def _ask(self, run: Held[DRExecution], earlier: str) -> Held[DRExecution]:
        """Let people decide whether this is that earlier run again."""
        metadata = run.model.metadata
        annotate = f"kubectl annotate drx {metadata.name} -n {metadata.namespace}"
        message = (
            f"AWS knows an earlier run of this name: {clip(earlier, 500)}. Nothing was touched. If "
            f'this one is to go on from there: {annotate} leeward.dev/adopt="YOU" ; else: '
            f'{annotate} leeward.dev/cancel="YOU"'
        )
        return await self._asked(run, Outcome("WaitingForDecision", "PreviousRunFound", message))

    async def _asked(self, run: Held[DRExecution], outcome: Outcome) -> Held[DRExecution]:
        """The run, which waits for people and has not begun; they are told once."""
        status = compose(run.model, [], outcome, self._c.now())
        before = run.model.status.events
        run = await put_status(self._c.kube, run, status)
        if status.events != before:
            await self._emit(run, status, "Warning")
        return run

    async def _wait(self, run: Held[DRExecution], reason: str, message: str) -> Held[DRExecution]:
        status = compose(run.model, [], Outcome("Preflight", reason, message), self._c.now())
        return await put_status(self._c.kube, run, status)

    async def _plan(self, execution: DRExecution) -> Held[RecoveryPlan] | None:
        try:
            return await read(
                self._c.kube, RecoveryPlan, execution.metadata.namespace,
                execution.spec.plan_ref.name,
            )  # fmt: skip
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def _waits_for(self, plan: RecoveryPlan, execution: DRExecution) -> str:
        """Why the run should wait a little for the plan; empty: it need not."""
        assessed = plan.status.observed_generation == plan.metadata.generation
        known = plan.status.launch
        if assessed and known is not None:
            assessed = await digest_now(self._c.kube, plan) == known.digest
        if assessed and not awaits_discovery(execution, plan):
            return ""
        created = parse_time(execution.metadata.creation_timestamp or render_time(self._c.now()))
        patient = assessed and execution.spec.mode != "Unplanned"
        if self._c.now() - created > (REFRESH_PATIENCE if patient else DISCOVERY_PATIENCE):
            return ""
        return f"waiting for the discovery of plan {plan.metadata.name}"

    async def _create_tasks(
        self, run: Held[DRExecution], frozen: Frozen
    ) -> list[tuple[Held[DRTask], TaskRecord]]:
        """The frozen tasks as objects; what an earlier, unrecorded freeze left is removed."""
        metadata = run.model.metadata
        selector = f"{EXECUTION_LABEL}={label_value(metadata.name)}"
        existing = await read_all(self._c.kube, DRTask, metadata.namespace, selector)

        async def delete(leftover: Held[DRTask]) -> None:
            self._c.lease.assert_valid()
            await self._c.kube.delete(leftover.path, uid=leftover.model.metadata.uid)

        async def create(task: FrozenTask) -> tuple[Held[DRTask], TaskRecord]:
            self._c.lease.assert_valid()
            path = path_of(DRTask.PLURAL, metadata.namespace)
            raw = await self._c.kube.create(path, self._object(run, task))
            # Of what is stored, never of the models: an upgrade must not change it.
            stored = digest(raw["spec"])
            return hold(DRTask, raw), TaskRecord(
                name=task.name, uid=raw["metadata"]["uid"], digest=stored
            )

        await each(delete, existing, at_once=_AT_ONCE)
        return await each(create, frozen.tasks, at_once=_AT_ONCE)

    def _object(self, run: Held[DRExecution], task: FrozenTask) -> dict[str, object]:
        metadata = run.model.metadata
        body = new_object(DRTask, metadata.namespace, task.name, task.spec)
        body["metadata"] |= {
            "labels": {
                EXECUTION_LABEL: label_value(metadata.name),
                PLAN_LABEL: label_value(task.spec.plan),
                f"{PREFIX}wave": task.spec.wave,
                LIVE_LABEL: "true",
            },
            "ownerReferences": [
                {
                    "apiVersion": run.raw["apiVersion"],
                    "kind": DRExecution.KIND,
                    "name": metadata.name,
                    "uid": metadata.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        }
        return body

    async def _recorded(
        self,
        run: Held[DRExecution],
        plan: RecoveryPlan,
        frozen: Frozen,
        tasks: list[tuple[Held[DRTask], TaskRecord]],
        findings: tuple[str, ...],
    ) -> Held[DRExecution]:
        """The run with its frozen plan in its status: from here on it is a live run."""
        now, metadata = self._c.now(), run.model.metadata
        status = run.model.status.model_copy(
            update={
                "epoch": self._c.lease.epoch,
                "requested_by": metadata.annotations.get(f"{PREFIX}requested-by"),
                "plan_generation": plan.metadata.generation,
                "plan_digest": frozen.digest,
                "start_time": render_time(now),
                "tasks": [record for _, record in tasks],
                "waves": list(frozen.waves),
                "parallelism": plan.spec.parallelism,
                "frozen_gates": [g.frozen() for g in frozen.gates],
                "objectives": frozen_objectives(plan, frozen, run.model.spec.operation),
                "findings": [f[:1024] for f in findings[:30]],
            }
        )
        models = [task.model for task, _ in tasks]
        total = sum(len(m.spec.resources) for m in models)
        outcome = Outcome(
            "Running", "Started",
            f"{run.model.spec.operation} of plan {plan.metadata.name}: "
            f"{counted(len(tasks), 'task')}, {counted(total, 'resource step')} in "
            f"{counted(len(frozen.waves), 'wave')}",
        )  # fmt: skip
        execution = run.model.model_copy(update={"status": status})
        composed = compose(execution, models, outcome, now)
        run = await put_status(self._c.kube, run, composed)
        await self._emit(run, composed, "Normal")
        return run

    async def _refuse(
        self, run: Held[DRExecution], state: str, reason: str, message: str
    ) -> Held[DRExecution]:
        """End a run that never began; nothing was changed in AWS."""
        outcome = Outcome("Expired" if state == "Expired" else "Failed", reason, message)
        requester = run.model.metadata.annotations.get(f"{PREFIX}requested-by")
        status = run.model.status.model_copy(
            update={"requested_by": requester, "unsupported": unsupported(run.model)}
        )
        execution = run.model.model_copy(update={"status": status})
        composed = compose(execution, [], outcome, self._c.now())
        run = await put_status(self._c.kube, run, composed)
        await self._emit(run, composed, "Warning")
        return run

    async def _emit(self, run: Held[DRExecution], status: DRExecutionStatus, level: Level) -> None:
        last = status.events[-1]
        await self._c.recorder.emit(run.raw, last.reason, last.message, level, last.time)

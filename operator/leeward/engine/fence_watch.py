"""Watches for what could not be fenced, and for what was and is left so. It starts nothing.

A Region that comes back brings its servers back, and with them writers that nobody wants any
more. The operator says so as soon as AWS answers there; stopping them is for people to decide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from botocore.exceptions import BotoCoreError, ClientError

from leeward.api.account import TargetAccount
from leeward.api.plan import RecoveryPlan
from leeward.api.plan_record import DeferredFence, StoppedSource
from leeward.api.task import DRTask, TaskResourceStatus
from leeward.engine.context import AccountNotAllowedError, Context
from leeward.engine.kube import ApiError
from leeward.engine.objects import read
from leeward.planning.runs import fencing, left_stopped
from leeward.planning.times import parse_time
from leeward_adapters import registry
from leeward_adapters.base import Phase, Seen, Step, Target


class FenceWatch:
    """Looks at the duties that failovers left, and at what they left stopped."""

    def __init__(self, context: Context) -> None:
        self._c = context

    async def look(
        self, plan: RecoveryPlan, accounts: Mapping[str, TargetAccount]
    ) -> list[DeferredFence]:
        """The plan's duties as AWS shows them now; what does not answer stays as it was."""
        seen = [await self._look_at(plan, d, accounts) for d in plan.status.deferred_fence]
        return [duty for duty in seen if duty is not None]

    async def look_at_stopped(
        self, plan: RecoveryPlan, accounts: Mapping[str, TargetAccount]
    ) -> list[StoppedSource]:
        """What runs left stopped, as AWS shows it now; what does not answer stays as it was."""
        result = []
        for source in plan.status.left_stopped:
            shown = await self._shown(plan, source, accounts, fencing.fenced)
            after = source if shown is None else left_stopped.looked_at(source, shown)
            result += [after] if after is not None else []
        return result

    async def _look_at(
        self, plan: RecoveryPlan, duty: DeferredFence, accounts: Mapping[str, TargetAccount]
    ) -> DeferredFence | None:
        shown = await self._shown(plan, duty, accounts, fencing.deferred)
        return duty if shown is None else fencing.looked_at(duty, shown)

    async def _shown(
        self,
        plan: RecoveryPlan,
        record: DeferredFence | StoppedSource,
        accounts: Mapping[str, TargetAccount],
        chosen: Callable[[DRTask], Sequence[TaskResourceStatus]],
    ) -> Mapping[str, Seen] | None:
        """What AWS shows of the `chosen` resources of the record's task; None: nothing."""
        target = accounts.get(record.account)
        task = await self._task(plan, record.task)
        if target is None or task is None:
            return None
        ids = {r.id for r in chosen(task)}
        targets = tuple(
            Target(r.id, r.arn, r.name, dict(r.attributes))
            for r in task.spec.resources
            if r.id in ids
        )
        try:
            return await self._observed(plan, task, target, targets)
        except (ClientError, BotoCoreError, registry.AdapterError, AccountNotAllowedError):
            return None

    async def _observed(
        self,
        plan: RecoveryPlan,
        task: DRTask,
        target: TargetAccount,
        targets: tuple[Target, ...],
    ) -> Mapping[str, Seen]:
        account = self._c.account(target, plan.metadata.namespace)
        step = Step(
            token=task.metadata.uid,
            phase=Phase.FENCE,
            operation=task.spec.operation,
            started=parse_time(task.status.start_time) if task.status.start_time else self._c.now(),
            source_region=task.spec.source_region,
            targets=targets,
        )
        adapter = registry.adapter(task.spec.technology)
        scope = self._c.aws.scope(account, task.spec.region)
        return (await self._c.pool.run(adapter.observe, scope, step)).targets

    async def _task(self, plan: RecoveryPlan, name: str) -> DRTask | None:
        try:
            return (await read(self._c.kube, DRTask, plan.metadata.namespace, name)).model
        except ApiError as error:
            if error.status == 404:
                return None
            raise

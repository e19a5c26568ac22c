"""Watches the side that was left for what could not be fenced there. It starts nothing.

A Region that comes back brings its servers back, and with them writers that nobody wants any
more. The operator says so as soon as AWS answers there; stopping them is for people to decide.
"""

from __future__ import annotations

from collections.abc import Mapping

from botocore.exceptions import BotoCoreError, ClientError

from leeward.api.account import TargetAccount
from leeward.api.plan import RecoveryPlan
from leeward.api.plan_record import DeferredFence
from leeward.api.task import DRTask
from leeward.engine.context import AccountNotAllowedError, Context
from leeward.engine.kube import ApiError
from leeward.engine.objects import read
from leeward.engine.targets import settings_of
from leeward.planning.runs import fencing
from leeward.planning.times import parse_time
from leeward_adapters import registry
from leeward_adapters.base import Phase, Seen, Step, Target


class FenceWatch:
    """Looks at the duties that failovers left."""

    def __init__(self, context: Context) -> None:
        self._c = context

    async def look(
        self, plan: RecoveryPlan, accounts: Mapping[str, TargetAccount]
    ) -> list[DeferredFence]:
        """The plan's duties as AWS shows them now; what does not answer stays as it was."""
        seen = [await self._look_at(plan, d, accounts) for d in plan.status.deferred_fence]
        return [duty for duty in seen if duty is not None]

    async def _look_at(
        self, plan: RecoveryPlan, duty: DeferredFence, accounts: Mapping[str, TargetAccount]
    ) -> DeferredFence | None:
        target = accounts.get(duty.account)
        task = await self._task(plan, duty)
        if target is None or task is None:
            return duty
        left = {r.id for r in fencing.deferred(task)}
        targets = tuple(
            Target(r.id, r.arn, r.name, dict(r.attributes))
            for r in task.spec.resources
            if r.id in left
        )
        try:
            shown = await self._observed(plan, task, target, targets)
        except (ClientError, BotoCoreError, registry.AdapterError, AccountNotAllowedError):
            return duty
        return fencing.looked_at(duty, shown)

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
            settings=settings_of(task.spec),
        )
        adapter = registry.adapter(task.spec.technology)
        scope = self._c.aws.scope(account, task.spec.region)
        return (await self._c.pool.run(adapter.observe, scope, step)).targets

    async def _task(self, plan: RecoveryPlan, duty: DeferredFence) -> DRTask | None:
        try:
            return (await read(self._c.kube, DRTask, plan.metadata.namespace, duty.task)).model
        except ApiError as error:
            if error.status == 404:
                return None
            raise

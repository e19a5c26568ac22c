"""What a live run leaves to be fenced, on its plan as soon as it is known.

The plan's passes look at the side that was left (`fence_watch`), and so notice that it came back
while the run waits for people, who read it at the gate.
"""

from __future__ import annotations

from collections.abc import Sequence

from leeward.api.execution import DRExecution
from leeward.api.gate_record import GateStatus
from leeward.api.plan import RecoveryPlan
from leeward.api.task import DRTask
from leeward.engine.context import Context
from leeward.engine.kube import ApiError
from leeward.engine.objects import Held, put_status, read
from leeward.planning.runs import fencing


class Duties:
    """Writes and reads the duties of runs that live."""

    def __init__(self, context: Context) -> None:
        self._c = context

    async def note(self, run: DRExecution, tasks: Sequence[DRTask]) -> None:
        """Put what the tasks leave on the plan, if there is one and it is still the run's."""
        plan = await self._plan(run)
        active = plan.model.status.active_execution if plan is not None else None
        if plan is None or active is None or active.uid != run.metadata.uid:
            return
        known = plan.model.status.deferred_fence
        part = run.spec.resources is not None
        left = fencing.left_behind(known, tasks, self._c.now(), part=part)
        if left != known:
            status = plan.model.status.model_copy(update={"deferred_fence": left})
            await put_status(self._c.kube, plan, status)

    async def returned(self, run: DRExecution, gate: GateStatus, tasks: Sequence[DRTask]) -> str:
        """What approvers of the gate should know of the side that was left; empty: nothing new."""
        mine = [t for t in tasks if t.spec.wave == gate.wave and fencing.deferred(t)]
        if not mine or gate.before != "Activate":
            return ""
        plan = await self._plan(run)
        if plan is None:
            return ""
        return fencing.returned(plan.model.status.deferred_fence, mine)

    async def _plan(self, run: DRExecution) -> Held[RecoveryPlan] | None:
        """The run's plan; None: it was deleted in mid-run, which must not hold the run up."""
        namespace, name = run.metadata.namespace, run.spec.plan_ref.name
        try:
            return await read(self._c.kube, RecoveryPlan, namespace, name)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

"""Whether people took the wheel since a pass over a run read it."""

from __future__ import annotations

from leeward.api.execution import DRExecution
from leeward.engine.context import Context
from leeward.engine.objects import Held, read
from leeward.planning.runs import commands


async def steered(context: Context, run: Held[DRExecution]) -> bool:
    """Whether somebody paused, cancelled or deleted the run since this pass read it.

    It is asked right before each intent, so that at most the batch whose intent is already
    written goes out after a pause or a cancel.
    """
    metadata = run.model.metadata
    fresh = await read(context.kube, DRExecution, metadata.namespace, metadata.name)
    if fresh.model.metadata.uid != metadata.uid:
        return True
    if fresh.model.status.epoch > context.lease.epoch:
        context.lease.fence(f"{metadata.name} belongs to epoch {fresh.model.status.epoch}")
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

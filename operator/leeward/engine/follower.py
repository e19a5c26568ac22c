"""Creates the execution that follows one that succeeded.

Its name and its spec come from the record of the first run alone, so that a crash between creating
and recording it leads to the same object again; one that already ran is known to the plan's
history, and is not run twice.
"""

from __future__ import annotations

from leeward.api.chain import FollowUp
from leeward.api.execution import DRExecution
from leeward.engine.context import Context
from leeward.engine.kube import ApiError, path_of
from leeward.engine.objects import Held, new_object, put_status, read
from leeward.planning.runs import chain
from leeward.planning.times import render_time
from leeward.planning.wording import clip


class Follower:
    """Goes on with chains of executions."""

    def __init__(self, context: Context) -> None:
        self._c = context

    async def follow(self, run: Held[DRExecution]) -> Held[DRExecution]:
        """The run with the execution that follows it created and recorded. Repeats safely."""
        following = chain.wanted(run.model)
        if following is None:
            return run
        if not following.message:
            following = await self._create(run.model, following)
        status = run.model.status.model_copy(update={"next": following})
        run = await put_status(self._c.kube, run, status)
        await self._tell(run, following)
        return run

    async def _tell(self, run: Held[DRExecution], following: FollowUp) -> None:
        what, at = f"{following.operation} {following.name}", render_time(self._c.now())
        emit = self._c.recorder.emit
        if why := following.message:
            await emit(run.raw, "FollowUpNotCreated", f"{what}: {why}", "Warning", at)
        else:
            await emit(run.raw, "FollowUpCreated", f"{what} was created", "Normal", at)

    async def _create(self, run: DRExecution, following: FollowUp) -> FollowUp:
        namespace = run.metadata.namespace
        body = new_object(DRExecution, namespace, following.name, chain.spec_of(run))
        body["metadata"] |= chain.metadata(run)
        self._c.lease.assert_valid()
        try:
            raw = await self._c.kube.create(path_of(DRExecution.PLURAL, namespace), body)
        except ApiError as error:
            if error.status == 409:
                return await self._known(run, following)
            if error.status in {403, 422}:
                message = clip(f"not created: {error}; create it yourself", 1024)
                return following.model_copy(update={"message": message})
            raise
        return following.model_copy(update={"uid": raw["metadata"]["uid"]})

    async def _known(self, run: DRExecution, following: FollowUp) -> FollowUp:
        """An execution of that name exists: this run's own of before a crash, or another."""
        other = await read(self._c.kube, DRExecution, run.metadata.namespace, following.name)
        if chain.follows(run, other.model):
            return following.model_copy(update={"uid": other.model.metadata.uid})
        message = f"not created: there is another execution named {following.name}"
        return following.model_copy(update={"message": message})

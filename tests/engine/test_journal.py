"""When a task's record is written: at once what must not be lost, at intervals how far it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from leeward.api.task import DRTask
from leeward.engine import journal
from leeward.engine.kube import Kube, path_of
from leeward.engine.objects import Held, hold, read
from leeward.engine.pace import EVERY, Pace
from leeward_sandbox.cluster import Cluster

pytestmark = pytest.mark.cluster
CRDS = Path(__file__).parents[2] / "crds"
SPEC = {
    "executionRef": {"name": "shop-1", "uid": "u-1"},
    "plan": "shop", "operation": "Failover", "mode": "Planned", "wave": "data",
    "waveOrdinal": 1, "recoveryPhase": "Instantiate", "technology": "drs", "account": "prod",
    "accountId": "111111111111", "region": "us-east-2", "sourceRegion": "us-east-1",
}  # fmt: skip


class Desk:
    """A task, and a leader that writes it at the time that the test says."""

    def __init__(self, kube: Kube, name: str) -> None:
        self.now = datetime(2026, 11, 26, 8, tzinfo=UTC)
        self.context: Any = SimpleNamespace(
            kube=kube, lease=SimpleNamespace(epoch=3), pace=Pace(), now=lambda: self.now
        )
        self._name = name

    async def task(self) -> Held[DRTask]:
        metadata = {"name": self._name, "namespace": "default"}
        body = {"apiVersion": "leeward.dev/v1alpha1", "kind": "DRTask", "spec": SPEC}
        path = path_of("drtasks", "default")
        return hold(DRTask, await self.context.kube.create(path, body | {"metadata": metadata}))

    async def write(self, task: Held[DRTask], **update: Any) -> Held[DRTask]:
        status = task.model.status.model_copy(update=update)
        return await journal.write(self.context, task, status)

    async def stored(self) -> DRTask:
        return (await read(self.context.kube, DRTask, "default", self._name)).model


@pytest.fixture
def play(connect: Any, cluster: Cluster, name: str) -> Callable[[Any], None]:
    cluster.apply(CRDS)
    cluster.kubectl("wait", "--for=condition=Established", "crd/drtasks.leeward.dev")

    def played(what: Any) -> None:
        async def go() -> None:
            async with connect() as kube:
                await what(Desk(kube, name))

        asyncio.run(go())

    return played


def test_words_right_after_a_write_wait_and_are_not_forgotten(play: Any) -> None:
    async def scenario(desk: Desk) -> None:
        begun = await desk.write(await desk.task(), state="InProgress", message="launch for 8")
        assert (await desk.stored()).status == begun.model.status
        assert begun.model.status.epoch == 3
        ahead = await desk.write(begun, message="job 1: launching")
        assert ahead.model.status.message == "job 1: launching"
        assert (await desk.stored()).status.message == "launch for 8"
        desk.now += EVERY
        written = await desk.write(ahead, message="job 1: launching")
        assert (await desk.stored()).status == written.model.status
        assert written.model.status.message == "job 1: launching"

    play(scenario)


def test_a_state_is_written_at_once_and_takes_along_what_waited(play: Any) -> None:
    async def scenario(desk: Desk) -> None:
        begun = await desk.write(await desk.task(), state="InProgress", message="launch for 8")
        ahead = await desk.write(begun, message="job 1: launching")
        await desk.write(ahead, unseen_since="2026-11-26T08:00:00Z")
        stored = (await desk.stored()).status
        assert (stored.message, stored.unseen_since) == (
            "job 1: launching", "2026-11-26T08:00:00Z",
        )  # fmt: skip

    play(scenario)


def test_a_beginning_that_only_the_model_knows_is_written_with_whatever_comes_of_it(
    play: Any,
) -> None:
    async def scenario(desk: Desk) -> None:
        task = await desk.task()
        desk.context.pace.wrote(task.model.metadata.uid, desk.now)
        begun = task.ahead(task.model.status.model_copy(update={"state": "InProgress"}))
        assert begun.stored == task.model.status
        await desk.write(begun, message="0 of 0 done")
        stored = (await desk.stored()).status
        assert (stored.state, stored.message) == ("InProgress", "0 of 0 done")

    play(scenario)

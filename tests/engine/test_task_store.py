"""Tasks as a pass sees them: what the API server holds, read again only where it changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from leeward.api.execution import DRExecution
from leeward.api.task import DRTask
from leeward.engine.kube import ApiError, Kube, Object, path_of
from leeward.engine.objects import EXECUTION_LABEL, patch_metadata, put_status, read
from leeward.engine.task_store import TaskStore
from leeward.planning.digests import digest
from leeward_sandbox.cluster import Cluster

pytestmark = pytest.mark.cluster
CRDS = Path(__file__).parents[2] / "crds"
TASKS = path_of("drtasks", "default")


@pytest.fixture(autouse=True)
def kinds(cluster: Cluster) -> None:
    cluster.apply(CRDS)
    cluster.kubectl("wait", "--for=condition=Established", "crd/drtasks.leeward.dev")


class Reads(Kube):
    """Knows which whole tasks it was asked for."""

    def __init__(self, configuration: Any) -> None:
        super().__init__(configuration)
        self.read: list[str] = []

    async def get(self, path: str, *, whole: bool = True) -> Object:
        if whole:
            self.read.append(path.rpartition("/")[2])
        return await super().get(path, whole=whole)

    async def each(self, path: str, **options: Any) -> AsyncIterator[Object]:
        async for body in super().each(path, **options):
            if options.get("whole", True):
                self.read.append(body["metadata"]["name"])
            yield body


def body(run: str, name: str) -> Object:
    spec = {
        "executionRef": {"name": run, "uid": f"uid-{run}"},
        "plan": "shop", "operation": "Failover", "mode": "Planned", "wave": "data",
        "waveOrdinal": 1, "recoveryPhase": "Instantiate", "technology": "drs", "account": "prod",
        "accountId": "111111111111", "region": "us-east-2", "sourceRegion": "us-east-1",
    }  # fmt: skip
    metadata = {"name": f"{run}-{name}", "namespace": "default", "labels": {EXECUTION_LABEL: run}}
    return {
        "apiVersion": "leeward.dev/v1alpha1", "kind": "DRTask", "metadata": metadata, "spec": spec
    }  # fmt: skip


async def frozen(kube: Kube, run: str, *names: str) -> DRExecution:
    """A run with these tasks."""
    made = [await kube.create(TASKS, body(run, name)) for name in names]
    records = [
        {"name": m["metadata"]["name"], "uid": m["metadata"]["uid"], "digest": digest(m["spec"])}
        for m in made
    ]
    return DRExecution.model_validate(
        {
            "metadata": {"name": run, "namespace": "default", "uid": f"uid-{run}"},
            "spec": {"planRef": {"name": "shop"}, "operation": "Failover"},
            "status": {"tasks": records},
        }
    )


@pytest.fixture
def scenario(connect: Any) -> Callable[[Callable[[Reads], Awaitable[None]]], None]:
    def play(what: Callable[[Reads], Awaitable[None]]) -> None:
        async def go() -> None:
            async with connect() as kube:
                reads = Reads(kube.configuration)
                try:
                    await what(reads)
                finally:
                    await reads.close()

        asyncio.run(go())

    return play


def test_a_task_is_read_again_only_when_somebody_else_wrote_it(scenario: Any, name: str) -> None:
    async def play(kube: Reads) -> None:
        run, store = await frozen(kube, name, "a", "b", "c"), TaskStore(kube)
        first = (await store.of(run)).found
        assert [t.model.metadata.name for t in first] == [f"{name}-{n}" for n in "abc"]
        assert kube.read == [f"{name}-{n}" for n in "abc"]
        kube.read.clear()

        begun = first[0].model.status.model_copy(update={"state": "InProgress"})
        store.keep(run, [await put_status(kube, first[0], begun)])
        await kube.patch(f"{TASKS}/{name}-b", {"metadata": {"annotations": {"x": "said"}}})
        again = (await store.of(run)).found
        assert kube.read == [f"{name}-b"]
        assert again[0].model.status == begun
        assert again[1].model.metadata.annotations == {"x": "said"}
        assert again[2] is first[2]

    scenario(play)


def test_a_task_that_is_gone_or_another_is_missed(scenario: Any, name: str) -> None:
    async def play(kube: Reads) -> None:
        run, store = await frozen(kube, name, "a", "b"), TaskStore(kube)
        assert not (await store.of(run)).missing
        await kube.delete(f"{TASKS}/{name}-b")
        assert (await store.of(run)).missing == (f"{name}-b",)
        await kube.create(TASKS, body(name, "b"))
        for fresh in (store, TaskStore(kube)):
            own = await fresh.of(run)
            assert own.missing == (f"{name}-b",)
            assert [t.model.metadata.name for t in own.found] == [f"{name}-a"]

    scenario(play)


def test_what_a_write_gives_is_what_the_server_holds(scenario: Any, name: str) -> None:
    async def play(kube: Reads) -> None:
        await frozen(kube, name, "a")
        task = await read(kube, DRTask, "default", f"{name}-a")
        assert task.model.status.state == "NotStarted"
        status = task.model.status.model_copy(update={"state": "InProgress", "message": "at work"})
        written = await put_status(kube, task, status)
        assert written == await read(kube, DRTask, "default", f"{name}-a")
        assert written.model.spec == task.model.spec
        labelled = await patch_metadata(kube, written, {"labels": {"x": "y"}})
        assert labelled == await read(kube, DRTask, "default", f"{name}-a")
        for stale in (task, written):
            with pytest.raises(ApiError, match="409"):
                await put_status(kube, stale, status.model_copy(update={"message": "too late"}))

    scenario(play)

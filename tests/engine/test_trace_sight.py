"""What is told of runs beyond what the watch showed: read once more at their end, and at ours."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from leeward.engine.kube import Kube, Object, path_of
from leeward.engine.lease import Lease
from leeward.engine.objects import EXECUTION_LABEL
from leeward.planning.times import render_time
from leeward.tracing.sight import UNSURE, Sight
from leeward.tracing.spans import Span, trace_id
from leeward_sandbox.cluster import Cluster

pytestmark = pytest.mark.cluster
CRDS = Path(__file__).parents[2] / "crds"
SINCE = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
LATER = SINCE + timedelta(hours=1)
PATIENCE = 60.0
Scenario = Callable[[Kube, Sight, list[Span]], Awaitable[None]]


def at(minute: int) -> str:
    return render_time(SINCE + timedelta(minutes=minute))


@pytest.fixture(autouse=True)
def kinds(cluster: Cluster) -> None:
    cluster.apply(CRDS)
    for kind in ("drtasks", "drexecutions", "recoveryplans"):
        cluster.kubectl("wait", "--for=condition=Established", f"crd/{kind}.leeward.dev")


@pytest.fixture
def scenario(connect: Any) -> Callable[[Scenario], None]:
    """Runs one against the API server, with a sight of its own."""

    def play(scene: Scenario) -> None:
        async def whole() -> None:
            async with connect() as kube:
                told: list[Span] = []
                await scene(kube, Sight(told.append, LATER), told)

        asyncio.run(whole())

    return play


def lease(kube: Kube, left: datetime | None = None) -> Lease:
    """That of a process that leads since SINCE."""
    made = Lease(kube, "default", "none", "me", duration=15, now=lambda: SINCE)
    made.left = left
    return made


async def stored(kube: Kube, kind: str, plural: str, name: str, **parts: Any) -> Object:
    """An object as it is in the API server, with its status."""
    status = parts.pop("status")
    metadata = {"name": name, "namespace": "default", **parts.pop("metadata", {})}
    body = {"apiVersion": "leeward.dev/v1alpha1", "kind": kind, "metadata": metadata, **parts}
    made = await kube.create(path_of(plural, "default"), body)
    path = f"{path_of(plural, 'default', name)}/status"
    return await kube.replace(path, made | {"status": status})


async def run(kube: Kube, name: str, **status: Any) -> Object:
    spec = {"planRef": {"name": "shop"}, "operation": "Failover"}
    given = {"startTime": at(1), "waves": [{"name": "data", "ordinal": 1, "state": "Complete"}]}
    return await stored(kube, "DRExecution", "drexecutions", name, spec=spec, status=given | status)


async def task(kube: Kube, of: Object, name: str, minute: int) -> None:
    owner = of["metadata"]
    spec = {
        "executionRef": {"name": owner["name"], "uid": owner["uid"]},
        "plan": "shop", "operation": "Failover", "mode": "Planned", "wave": "data",
        "waveOrdinal": 1, "recoveryPhase": "Instantiate", "technology": "drs", "account": "prod",
        "accountId": "111111111111", "region": "us-east-2", "sourceRegion": "us-east-1",
    }  # fmt: skip
    status = {"state": "Complete", "startTime": at(minute - 1), "completionTime": at(minute)}
    await stored(
        kube, "DRTask", "drtasks", f"{owner['name']}-{name}", spec=spec, status=status,
        metadata={"labels": {EXECUTION_LABEL: owner["name"]}},
    )  # fmt: skip


def names(told: list[Span]) -> list[str]:
    return sorted(str(s.attributes.get("leeward.task.name", s.name)) for s in told)


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not what():  # noqa: ASYNC110 - spans are told to a plain function
            await asyncio.sleep(0.05)


def test_a_run_with_its_verdict_is_told_whole_though_no_task_was_seen(
    scenario: Callable[[Scenario], None], name: str
) -> None:
    async def scene(kube: Kube, sight: Sight, told: list[Span]) -> None:
        sight.lead(kube, lease(kube))
        live = await run(kube, name, state="Running")
        await task(kube, live, "seen", 5)
        await task(kube, live, "before", -5)
        sight.execution(live)
        path = path_of("drexecutions", "default", name)
        done = {**live["status"], "state": "Succeeded", "completionTime": at(9)}
        ended = await kube.replace(f"{path}/status", live | {"status": done})
        for _ in range(2):
            sight.execution(ended)
        await until(lambda: len(told) >= 4)
        await sight.close(LATER)
        # What ended before this process led was told by whoever led then.
        assert names(told) == ["Failover", "Instantiate", f"{name}-seen", "wave data"]
        assert {s.trace for s in told} == {trace_id(live["metadata"]["uid"])}

    scenario(scene)


def test_the_end_of_a_process_tells_what_its_last_passes_wrote_and_no_more(
    scenario: Callable[[Scenario], None], name: str
) -> None:
    async def scene(kube: Kube, sight: Sight, told: list[Span]) -> None:
        sight.lead(kube, lease(kube))
        live = await run(kube, name, state="Running")
        sight.execution(live)
        await task(kube, live, "last-pass", 10)
        await task(kube, live, "next-leader", 12)
        assert told == []
        await sight.close(SINCE + timedelta(minutes=11))
        assert names(told) == [f"{name}-last-pass"]

    scenario(scene)


@pytest.mark.parametrize("killed", [True, False])
def test_after_a_leader_was_killed_its_last_minute_is_told_again(
    scenario: Callable[[Scenario], None], name: str, killed: bool
) -> None:
    left = SINCE - timedelta(minutes=10)
    spec = {
        "customer": "C", "environment": "Production", "accounts": [{"name": "prod"}],
        "regions": {"primary": "us-east-1", "recovery": "us-east-2"}, "waves": [{"name": "data"}],
    }  # fmt: skip

    async def scene(kube: Kube, sight: Sight, told: list[Span]) -> None:
        last = render_time(left - UNSURE / 2)
        history = []
        for which, done in (("old", render_time(left - 2 * UNSURE)), ("new", last)):
            ended = await run(kube, f"{name}-{which}", state="Succeeded", completionTime=done)
            history.append(
                {
                    "name": f"{name}-{which}", "uid": ended["metadata"]["uid"],
                    "operation": "Failover", "state": "Succeeded", "completionTime": done,
                }
            )  # fmt: skip
        status = {"history": history}
        await stored(kube, "RecoveryPlan", "recoveryplans", name, spec=spec, status=status)
        sight.lead(kube, lease(kube, left if killed else None))
        if killed:
            await until(lambda: bool(told))
        await sight.close(LATER)
        found = [s.attributes["leeward.execution.name"] for s in told]
        assert found == ([f"{name}-new"] if killed else [])

    scenario(scene)

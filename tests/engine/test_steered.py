"""Steering right before a call, and commands that a crash left half taken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from leeward.api.execution import Accepting, CommandRecord, DRExecution
from leeward.engine.answers import CommandTaker
from leeward.engine.kube import Kube, path_of
from leeward.engine.objects import Held, hold, patch_metadata, put_status, read
from leeward.engine.steered import steered
from leeward_sandbox.cluster import Cluster

pytestmark = pytest.mark.cluster
CRDS = Path(__file__).parents[2] / "crds"
AT = "2026-11-26T08:00:00Z"
KEY, SAID = "leeward.dev/approve-wave-data", "ann@example.com: checked the lag"
COUNTED = CommandRecord(key=KEY, user="ann@example.com", time=AT, result="1 of 2 approvals")


class FencedError(Exception):
    """Where the real Lease ends the process."""


class Desk:
    """A run, and a leader of epoch 3."""

    def __init__(self, kube: Kube, name: str) -> None:
        self.kube = kube
        self.events: list[str] = []
        self.fenced: list[str] = []
        self.context: Any = SimpleNamespace(
            kube=kube,
            lease=SimpleNamespace(epoch=3, fence=self._fence),
            recorder=SimpleNamespace(emit=self._emit),
            now=lambda: datetime(2026, 11, 26, 8, tzinfo=UTC),
        )
        self._name = name

    async def _emit(self, _about: Any, _reason: str, message: str, *_: Any) -> None:
        self.events.append(message)

    def _fence(self, why: str) -> None:
        self.fenced.append(why)
        raise FencedError(why)

    async def run(self, annotations: dict[str, str] | None = None, **status: Any) -> Any:
        metadata = {
            "name": self._name, "namespace": "default", "annotations": annotations or {},
        }  # fmt: skip
        spec = {"planRef": {"name": "shop"}, "operation": "Failover"}
        body = {"apiVersion": "leeward.dev/v1alpha1", "kind": "DRExecution", "spec": spec}
        path = path_of("drexecutions", "default")
        made = hold(DRExecution, await self.kube.create(path, body | {"metadata": metadata}))
        return await put_status(self.kube, made, made.model.status.model_copy(update=status))

    async def stored(self) -> Held[DRExecution]:
        return await read(self.kube, DRExecution, "default", self._name)


@pytest.fixture
def play(connect: Any, cluster: Cluster, name: str) -> Callable[[Any], None]:
    cluster.apply(CRDS)
    cluster.kubectl("wait", "--for=condition=Established", "crd/drexecutions.leeward.dev")

    def played(what: Any) -> None:
        async def go() -> None:
            async with connect() as kube:
                await what(Desk(kube, name))

        asyncio.run(go())

    return played


@pytest.mark.parametrize("taken", [False, True], ids=["new", "recorded before a crash"])
def test_an_answer_that_is_void_is_recorded_once(play: Any, taken: bool) -> None:
    async def scenario(desk: Desk) -> None:
        known = {"accepting": Accepting(key=KEY, value=SAID), "commands": [COUNTED]}
        run = await desk.run({KEY: SAID, "team": "shop"}, **(known if taken else {}))

        run = await CommandTaker(desk.context).void(run, "wave-data", "given too early")
        await CommandTaker(desk.context).void(run, "wave-data", "given too early")

        stored = (await desk.stored()).model
        results = [command.result for command in stored.status.commands]
        assert results == ["1 of 2 approvals" if taken else "void: given too early"]
        assert len(desk.events) == (0 if taken else 1)
        assert stored.status.accepting is None
        assert stored.metadata.annotations == {"team": "shop"}

    play(scenario)


def test_a_run_that_a_later_leader_has_written_ends_the_one_before(play: Any) -> None:
    async def scenario(desk: Desk) -> None:
        run = await desk.run(epoch=3)
        assert not await steered(desk.context, run)
        status = (await desk.stored()).model.status
        await put_status(desk.kube, await desk.stored(), status.model_copy(update={"epoch": 4}))

        with pytest.raises(FencedError):
            await steered(desk.context, run)

        assert "belongs to epoch 4" in desk.fenced[0]

    play(scenario)


@pytest.mark.parametrize("verb", ["pause", "cancel", "approve-wave-data"])
def test_right_before_a_call_a_pause_and_a_cancel_are_seen(play: Any, verb: str) -> None:
    async def scenario(desk: Desk) -> None:
        run = await desk.run()
        said = {f"leeward.dev/{verb}": "ann@example.com"}
        await patch_metadata(desk.kube, await desk.stored(), {"annotations": said})

        assert await steered(desk.context, run) is (verb in {"pause", "cancel"})

    play(scenario)

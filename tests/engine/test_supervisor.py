"""Supervision on a real API server, over ConfigMaps: every object that needs passes gets them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from leeward.engine.kube import ApiError, Kube, Object
from leeward.engine.supervisor import Key, Supervisor, asked, key_of, version

pytestmark = pytest.mark.cluster
PATIENCE = 60.0
PATH = "/api/v1/namespaces/orders/configmaps"
Connect = Callable[[], contextlib.AbstractAsyncContextManager[Kube]]


class Passes:
    """A pass that notes that it ran, and does what the test says."""

    def __init__(self, answer: Callable[[int], Awaitable[float | None]] | None = None) -> None:
        self.keys: list[Key] = []
        self.cancelled: list[Key] = []
        self._answer = answer
        self._ran = asyncio.Event()
        self._cut = asyncio.Event()

    async def run(self, key: Key) -> float | None:
        self.keys.append(key)
        self._ran.set()
        if self._answer is None:
            return 3600
        try:
            return await self._answer(len(self.keys))
        except asyncio.CancelledError:
            self.cancelled.append(key)
            self._cut.set()
            raise

    async def until_cancelled(self) -> None:
        """Once a pass was cut off."""
        async with asyncio.timeout(PATIENCE):
            await self._cut.wait()

    async def until(self, number: int) -> None:
        """Once that many passes have begun."""
        async with asyncio.timeout(PATIENCE):
            while len(self.keys) < number:
                self._ran.clear()
                await self._ran.wait()


def configmap(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


def supervise(kube: Kube, passes: Passes, name: str, resync: float = 0.1) -> Supervisor:
    """A supervisor that cares for the objects whose name begins with `name`."""

    def needs(body: Object) -> bool:
        return bool(body["metadata"]["name"].startswith(name))

    return Supervisor(kube, PATH, passes.run, needs, resync=resync)


@contextlib.asynccontextmanager
async def listing(supervisor: Supervisor) -> AsyncIterator[None]:
    """While the supervisor lists again and again."""
    task = asyncio.create_task(supervisor.resync_forever())
    try:
        yield
    finally:
        task.cancel()
        await supervisor.stop(0)


def test_the_list_finds_what_no_watch_told(connect: Connect, name: str) -> None:
    async def scenario() -> None:
        async with connect() as kube:
            made = await kube.create(PATH, configmap(name))
            await kube.create(PATH, configmap(f"other-{name}"))
            passes = Passes()
            async with listing(supervise(kube, passes, name)):
                await passes.until(1)
                await kube.patch(f"{PATH}/{name}", {"data": {"asked": "something"}})
                await passes.until(2)
            assert set(passes.keys) == {key_of(made)}

    asyncio.run(scenario())


class Lists(Kube):
    """Knows when it was asked for the fifth list."""

    count = 0

    def __init__(self, configuration: Any) -> None:
        super().__init__(configuration)
        self.many = asyncio.Event()

    def each(self, path: str, **options: Any) -> AsyncIterator[Object]:
        self.count += 1
        if self.count == 5:
            self.many.set()
        return super().each(path, **options)


def test_what_is_listed_as_it_was_seen_is_left_alone(connect: Connect, name: str) -> None:
    async def scenario() -> None:
        async with connect() as kube:
            await kube.create(PATH, configmap(name))
            lists, passes = Lists(kube.configuration), Passes()
            async with listing(supervise(lists, passes, name, resync=0.01)):
                async with asyncio.timeout(PATIENCE):
                    await lists.many.wait()
            await lists.close()
            assert len(passes.keys) == 1

    asyncio.run(scenario())


def test_what_needs_nothing_is_looked_at_again_only_when_it_changed(
    connect: Connect, name: str
) -> None:
    asked_of: list[str] = []

    def needs(body: Object) -> bool:
        if body["metadata"]["name"] != name:
            return False
        asked_of.append(body["metadata"]["resourceVersion"])
        return "data" in body

    async def scenario() -> None:
        async with connect() as kube:
            made = await kube.create(PATH, configmap(name))
            lists, passes = Lists(kube.configuration), Passes()
            async with listing(Supervisor(lists, PATH, passes.run, needs, resync=0.01)):
                async with asyncio.timeout(PATIENCE):
                    await lists.many.wait()
                assert asked_of == [made["metadata"]["resourceVersion"]]
                change = {"data": {"asked": "something"}}
                changed = await kube.patch(f"{PATH}/{name}", change)
                await passes.until(1)
            await lists.close()
            assert asked_of[1:] == [changed["metadata"]["resourceVersion"]]

    asyncio.run(scenario())


RUN: Object = {
    "metadata": {"name": "run", "namespace": "n", "uid": "u", "resourceVersion": "1"},
    "status": {"state": "Running"},
}


@pytest.mark.parametrize(
    ("metadata", "woken"),
    [
        ({"resourceVersion": "2", "managedFields": [{"subresource": "status"}]}, False),
        ({"resourceVersion": "2", "annotations": {"leeward.dev/pause": "me"}}, True),
        ({"resourceVersion": "2", "deletionTimestamp": "2026-01-01T00:00:00Z"}, True),
    ],
)
def test_a_run_is_woken_by_what_is_asked_of_it_not_by_its_own_record(
    metadata: Object, woken: bool
) -> None:
    later = {"metadata": {**RUN["metadata"], **metadata}, "status": {"state": "Succeeded"}}
    assert (asked(later) != asked(RUN)) is woken
    assert version(later) != version(RUN)


def test_a_plan_is_woken_by_a_run_of_it_that_ended_not_by_one_that_began() -> None:
    def plan(*history: str, **status: Any) -> Object:
        entries = [{"uid": uid} for uid in history]
        return {"metadata": {"generation": 1}, "status": {"history": entries, **status}}

    assert asked(plan("a")) == asked(plan("a", activeExecution={"uid": "b"}))
    assert asked(plan("a")) != asked(plan("a", "b"))
    assert asked({"metadata": {"generation": 1}}) == asked(plan())


def test_an_object_that_vanished_unseen_gets_no_more_passes(connect: Connect, name: str) -> None:
    async def forever(_: int) -> float:
        await asyncio.Event().wait()
        return 0

    async def scenario() -> None:
        async with connect() as kube:
            made = await kube.create(PATH, configmap(name))
            passes = Passes(forever)
            async with listing(supervise(kube, passes, name)):
                await passes.until(1)
                await kube.delete(f"{PATH}/{name}")
                await passes.until_cancelled()
            assert passes.cancelled == [key_of(made)]

    asyncio.run(scenario())


class LateList(Kube):
    """Something is created, and a watch tells of it, after the server made its list."""

    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def each(self, path: str, **options: Any) -> AsyncIterator[Object]:
        bodies = [body async for body in super().each(path, **options)]
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        for body in bodies:
            yield body


def test_an_object_created_while_the_list_is_under_way_keeps_its_pass(
    connect: Connect, name: str
) -> None:
    finish = asyncio.Event()

    async def wait(_: int) -> None:
        await finish.wait()

    async def scenario() -> None:
        async with connect() as kube:
            late = LateList(kube.configuration)
            passes = Passes(wait)
            supervisor = supervise(late, passes, name, resync=3600)

            async def meanwhile() -> None:
                supervisor.notify(await kube.create(PATH, configmap(name)))
                await passes.until(1)

            late.meanwhile = meanwhile
            listed = asyncio.create_task(supervisor.resync_forever())
            await passes.until(1)
            await asyncio.sleep(0)  # the list that lacks it is gone through
            finish.set()
            await supervisor.stop(PATIENCE)
            listed.cancel()
            await late.close()
            assert passes.cancelled == []

    asyncio.run(scenario())


def test_what_happens_during_a_pass_leads_to_another(connect: Connect, name: str) -> None:
    async def scenario() -> None:
        async with connect() as kube:
            made = await kube.create(PATH, configmap(name))

            async def answer(number: int) -> float:
                if number == 1:
                    change = {"data": {"asked": "something"}}
                    supervisor.notify(await kube.patch(f"{PATH}/{name}", change))
                return 3600

            passes = Passes(answer)
            supervisor = supervise(kube, passes, name)
            supervisor.notify(made)
            await passes.until(2)
            await supervisor.stop(PATIENCE)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "error", [ApiError(409, "Conflict", "moved on"), ValueError("a defect")], ids=["409", "defect"]
)
def test_a_pass_that_fails_is_run_again_and_told_of(
    connect: Connect, name: str, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    async def answer(number: int) -> None:
        if number < 3:
            raise error

    async def scenario() -> None:
        async with connect() as kube:
            passes = Passes(answer)
            supervisor = Supervisor(
                kube, PATH, passes.run, lambda _: True, resync=1,
                told=lambda outcome, _: told.append(outcome),
            )  # fmt: skip
            supervisor.notify(await kube.create(PATH, configmap(name)))
            await passes.until(3)
            await supervisor.stop(PATIENCE)

    asyncio.run(scenario())
    assert told == [*["Error" if isinstance(error, ValueError) else "Conflict"] * 2, "Ok"]
    assert ("a defect" in caplog.text) == isinstance(error, ValueError)


def test_an_object_that_cannot_be_judged_gets_a_pass_and_hides_no_other(
    connect: Connect, name: str
) -> None:
    def needs(body: Any) -> bool:
        if body["metadata"]["name"] == f"{name}-a":
            raise ValueError("it does not fit the model")
        return bool(body["metadata"]["name"].startswith(name))

    async def scenario() -> None:
        async with connect() as kube:
            passes = Passes()
            for suffix in ("-a", "-b"):
                await kube.create(PATH, configmap(name + suffix))
            async with listing(Supervisor(kube, PATH, passes.run, needs, resync=0.1)):
                await passes.until(2)
            assert {key.name for key in passes.keys} >= {f"{name}-a", f"{name}-b"}

    asyncio.run(scenario())


def test_a_supervisor_says_what_it_cares_for_and_how_fresh_its_list_is(
    connect: Connect, name: str
) -> None:
    async def scenario() -> None:
        async with connect() as kube:
            made = await kube.create(PATH, configmap(name))
            passes = Passes()
            supervisor = supervise(kube, passes, name)
            assert supervisor.listed_ago is None
            async with listing(supervisor):
                await passes.until(1)
                assert supervisor.uids == {made["metadata"]["uid"]}
                async with asyncio.timeout(PATIENCE):
                    while supervisor.listed_ago is None:  # noqa: ASYNC110 - it tells nobody
                        await asyncio.sleep(0.01)
                assert 0 <= supervisor.turned_ago < PATIENCE

    asyncio.run(scenario())


def test_stopping_lets_a_running_pass_end_and_begins_none(connect: Connect, name: str) -> None:
    async def scenario() -> None:
        async with connect() as kube:
            finish = asyncio.Event()

            async def answer(number: int) -> float:
                if number == 2:
                    await finish.wait()
                return 3600

            passes = Passes(answer)
            supervisor = supervise(kube, passes, name)
            waiting, running, late = [
                await kube.create(PATH, configmap(f"{name}-{n}")) for n in ("a", "b", "c")
            ]
            supervisor.notify(waiting)
            await passes.until(1)
            supervisor.notify(running)
            await passes.until(2)
            stopping = asyncio.create_task(supervisor.stop(PATIENCE))
            await asyncio.sleep(0)
            supervisor.notify(late)
            finish.set()
            await stopping
            assert passes.keys == [key_of(waiting), key_of(running)]
            assert passes.cancelled == []

    asyncio.run(scenario())


def test_a_pass_that_outlasts_the_grace_is_cut_off(connect: Connect, name: str) -> None:
    async def forever(_: int) -> float:
        await asyncio.Event().wait()
        return 0

    async def scenario() -> None:
        async with connect() as kube:
            passes = Passes(forever)
            supervisor = supervise(kube, passes, name)
            made = await kube.create(PATH, configmap(name))
            supervisor.notify(made)
            await passes.until(1)
            await supervisor.stop(0)
            await passes.until_cancelled()
            assert passes.cancelled == [key_of(made)]

    asyncio.run(scenario())

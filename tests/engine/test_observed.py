"""The engine goes on though whoever counts what it does fails."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from kubernetes.aio import client

from leeward.engine.kube import ApiUnavailable, Kube
from leeward.engine.supervisor import Key, Supervisor

PATIENCE = 60.0
BODY = {"metadata": {"uid": "u-1", "namespace": "orders", "name": "one", "resourceVersion": "1"}}


def _fails(*_: object) -> None:
    raise LookupError("no such label")


def test_an_object_gets_its_next_pass_though_the_last_could_not_be_counted() -> None:
    passes: list[Key] = []
    third = asyncio.Event()

    async def run(key: Key) -> float:
        passes.append(key)
        if len(passes) == 3:
            third.set()
        return 0

    async def scenario() -> None:
        nowhere: Any = None  # nothing is listed here
        supervisor = Supervisor(nowhere, "/x", run, lambda _: True, resync=3600, told=_fails)
        supervisor.notify(BODY)
        async with asyncio.timeout(PATIENCE):
            await third.wait()
        await supervisor.stop(1)

    asyncio.run(scenario())


def test_a_request_keeps_its_own_error_though_it_could_not_be_counted() -> None:
    async def scenario() -> None:
        kube = Kube(client.Configuration(host="http://127.0.0.1:9"), told=_fails)
        try:
            with pytest.raises(ApiUnavailable):
                await kube.get("/api")
        finally:
            await kube.close()

    asyncio.run(scenario())

"""Events are written beside the work that they speak of."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from kubernetes.aio import client

from leeward.engine.events import Recorder
from leeward.engine.kube import Kube, Object

pytestmark = pytest.mark.cluster
AT = "2026-11-26T08:00:00.000000Z"
EVENTS = "/apis/events.k8s.io/v1/namespaces/default/events"


def about(name: str) -> Object:
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}"}
    return {"kind": "DRExecution", "metadata": metadata}


def test_what_was_emitted_is_there_once_it_has_settled_and_only_once(
    connect: Any, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with connect() as kube:
            recorder = Recorder(kube, "leeward-0")
            for reason in ("Started", "Started", "Succeeded"):
                await recorder.emit(about(name), reason, "of plan shop", "Normal", AT)
            await recorder.settle(60)
            found = [e for e in await kube.list(EVENTS) if e["regarding"]["name"] == name]
            assert sorted(e["reason"] for e in found) == ["Started", "Succeeded"]

    asyncio.run(scenario())
    assert not caplog.records


def test_an_api_server_that_is_away_costs_the_event_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        configuration = client.Configuration()
        configuration.host = "http://127.0.0.1:1"
        configuration.retries = None
        kube = Kube(configuration)
        try:
            recorder = Recorder(kube, "leeward-0")
            await recorder.emit(about("shop-1"), "Started", "of plan shop", "Normal", AT)
            await recorder.settle(60)
        finally:
            await kube.close()

    with caplog.at_level(logging.WARNING):
        asyncio.run(scenario())
    assert "event Started about shop-1 not written" in caplog.text

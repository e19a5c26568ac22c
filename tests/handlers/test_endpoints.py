"""What the kubelet and Prometheus are told of a leader, a standby, and one that ends."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from botocore.exceptions import NoCredentialsError

from leeward.engine.clock import SteadyClock
from leeward.handlers.endpoints import Endpoints
from leeward.handlers.health import Health
from leeward.metrics.metering import Metering
from leeward.settings import Settings
from leeward_sandbox.cluster.ports import LOOPBACK, free_ports


@dataclass
class FakeLease:
    epoch: int = 0
    turned_ago: float = 0.5
    answered_ago: float | None = 0.5


@dataclass
class FakeSupervisor:
    turned_ago: float = 1.0
    listed_ago: float | None = 1.0
    uids: frozenset[str] = frozenset()


@dataclass
class FakeAws:
    error: Exception | None = None

    def own_credentials(self) -> None:
        if self.error is not None:
            raise self.error

    def circuits(self) -> list[Any]:
        return []


def supervisors(**changes: Any) -> Any:
    one = FakeSupervisor(**changes)
    kinds = {"DRExecution": one, "RecoveryPlan": one, "TargetAccount": one, "DRSchedule": one}
    return SimpleNamespace(runs=one, plans=one, accounts=one, schedules=one, by_kind=lambda: kinds)


@dataclass
class Replica:
    """A replica that is as the test makes it, with its endpoints open."""

    lease: FakeLease = field(default_factory=FakeLease)
    aws: FakeAws = field(default_factory=FakeAws)

    def __post_init__(self) -> None:
        (self.port,) = free_ports(1)
        settings = Settings(base_region="us-east-2", health_port=self.port, health_address=LOOPBACK)
        self.health = Health(settings, self.lease, self.aws)  # type: ignore[arg-type]
        pool = SimpleNamespace(waiting=3, busy=2)
        now = SteadyClock()
        context: Any = SimpleNamespace(
            settings=settings, lease=self.lease, aws=self.aws, pool=pool, checks=pool, now=now
        )
        self.endpoints = Endpoints(context, self.health, Metering(settings, now))

    async def get(self, *paths: str) -> list[tuple[int, str]]:
        found = []
        await self.endpoints.start()
        await self.health.look_for_credentials()
        try:
            async with aiohttp.ClientSession() as session:
                for path in paths:
                    async with session.get(f"http://{LOOPBACK}:{self.port}{path}") as answer:
                        found.append((answer.status, await answer.text()))
        finally:
            await self.endpoints.stop()
        return found

    def ready(self) -> tuple[int, dict[str, Any]]:
        ((status, body),) = asyncio.run(self.get("/readyz"))
        return status, json.loads(body)


def test_a_standby_is_ready_to_take_over_and_leads_not() -> None:
    replica = Replica()
    (ready, body), (alive, _), (_, metrics) = asyncio.run(
        replica.get("/readyz", "/healthz", "/metrics")
    )
    assert (ready, alive) == (200, 200)
    assert json.loads(body)["role"] == "standby"
    assert "leeward_leader 0.0" in metrics
    assert 'leeward_queue_depth{pool="aws"} 3.0' in metrics
    assert "leeward_supervised_objects{" not in metrics


def test_a_leader_is_ready_once_everything_was_listed() -> None:
    replica = Replica(FakeLease(epoch=7))
    assert replica.ready()[1]["checks"]["caches"] == "taking over"
    replica.health.supervisors = supervisors(listed_ago=None)
    status, body = replica.ready()
    assert status == 503
    assert body["checks"]["caches"] == "DRExecution objects are not listed yet"
    replica.health.supervisors = supervisors()
    status, body = replica.ready()
    assert (status, body["role"], body["epoch"]) == (200, "leader", 7)
    assert set(body["checks"].values()) == {"ok"}
    (_, metrics), *_ = asyncio.run(replica.get("/metrics"))
    assert "leeward_leader 1.0" in metrics
    assert 'leeward_ready{check="caches"} 1.0' in metrics


@pytest.mark.parametrize(
    ("lease", "said"),
    [
        (FakeLease(answered_ago=None), "has not given the Lease yet"),
        (FakeLease(answered_ago=40.0), "has not given the Lease for 40 s"),
    ],
)
def test_a_replica_that_the_api_server_does_not_answer_is_not_ready_but_lives(
    lease: FakeLease, said: str
) -> None:
    replica = Replica(lease)
    (ready, body), (alive, _) = asyncio.run(replica.get("/readyz", "/healthz"))
    assert (ready, alive) == (503, 200)
    assert said in json.loads(body)["checks"]["api"]


def test_a_replica_without_credentials_is_not_ready_and_says_why() -> None:
    status, body = Replica(aws=FakeAws(NoCredentialsError())).ready()
    assert status == 503
    assert "Unable to locate credentials" in body["checks"]["credentials"]


def test_lists_that_are_too_old_make_a_leader_not_ready() -> None:
    replica = Replica(FakeLease(epoch=1))
    replica.health.supervisors = supervisors(listed_ago=900.0)
    status, body = replica.ready()
    assert status == 503
    assert "were not listed for 900 s" in body["checks"]["caches"]


@pytest.mark.parametrize("loop", ["lease", "resync"])
def test_a_loop_that_does_not_turn_any_more_ends_the_process(loop: str) -> None:
    replica = Replica(FakeLease(epoch=1, turned_ago=1000.0 if loop == "lease" else 1.0))
    replica.health.supervisors = supervisors(turned_ago=1000.0 if loop == "resync" else 1.0)
    ((status, body),) = asyncio.run(replica.get("/healthz"))
    assert status == 503
    assert any(line.startswith(loop) for line in json.loads(body)["hanging"])


def test_a_process_that_ends_is_not_ready_at_once_and_is_left_to_end() -> None:
    replica = Replica(FakeLease(epoch=1, turned_ago=1000.0))
    replica.health.supervisors = supervisors()
    replica.health.stopping = True
    (ready, body), (alive, _) = asyncio.run(replica.get("/readyz", "/healthz"))
    assert (ready, alive) == (503, 200)
    assert json.loads(body)["checks"]["running"] == "it is ending"


def test_port_zero_opens_nothing() -> None:
    settings = Settings(base_region="us-east-2", health_port=0)
    context: Any = SimpleNamespace(settings=settings)
    replica = Replica()

    async def scenario() -> None:
        endpoints = Endpoints(context, replica.health, Metering(settings, SteadyClock()))
        await endpoints.start()
        await endpoints.stop()

    asyncio.run(scenario())

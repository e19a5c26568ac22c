"""Looks at accounts, shared by plans, against the sandbox's AWS."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from leeward.api.account import TargetAccount
from leeward.api.plan import RecoveryPlan
from leeward.engine.looks import Look, Looks
from leeward.engine.pool import Pool
from leeward_adapters.aws import Account, Aws
from leeward_sandbox.aws.backend import World
from leeward_sandbox.aws.clock import Clock
from leeward_sandbox.aws.control import Control
from leeward_sandbox.aws.estates import tiny
from leeward_sandbox.aws.registry import gateway
from leeward_sandbox.aws.server import SandboxServer

pytestmark = pytest.mark.aws

ACCOUNTS = (f"7{number:011}" for number in itertools.count(1))
"""One for each test: the process has one AWS."""
INTERVAL = timedelta(minutes=5)


class Place:
    """An AWS, a clock that the test moves, and plans that look at one account."""

    def __init__(self, server: SandboxServer, account: str, namespace: str) -> None:
        self.account = account
        self.control = Control(server.endpoint)
        self.time = datetime(2026, 3, 1, tzinfo=UTC)
        self.pool = Pool(4)
        self._aws = Aws("us-east-2", endpoint_url=server.endpoint)
        self._namespace = namespace
        context: Any = SimpleNamespace(
            aws=self._aws, pool=self.pool, now=lambda: self.time, account=self._account,
            settings=SimpleNamespace(aws_threads=4),
        )  # fmt: skip
        self.looks = Looks(context)

    def _account(self, target: TargetAccount, namespace: str) -> Account:
        return Account(
            id=target.spec.account_id,
            read_role_arn=target.spec.read_role_arn,
            external_id=f"leeward/sandbox/{namespace}",
            session_tags={"leeward:namespace": namespace, "leeward:hub": "sandbox"},
        )

    def plan(self, name: str, **discovery: Any) -> RecoveryPlan:
        spec = {
            "customer": "acme", "environment": "Production",
            "regions": {"primary": "us-east-1", "recovery": "us-east-2"},
            "accounts": [{"name": "prod"}], "waves": [{"name": "data"}], "discovery": discovery,
        }  # fmt: skip
        metadata = {"name": name, "namespace": self._namespace, "uid": name}
        return RecoveryPlan.model_validate({"metadata": metadata, "spec": spec})

    async def look(self, name: str, *, asked: bool = False, **discovery: Any) -> Look:
        role = f"arn:aws:iam::{self.account}:role/LeewardRead"
        spec = {
            "accountId": self.account, "readRoleArn": role, "recoveryRoleArn": role,
            "allow": {"namespaces": [self._namespace]},
        }  # fmt: skip
        target = TargetAccount.model_validate(
            {"metadata": {"name": "prod", "uid": "u"}, "spec": spec}
        )
        return await self.looks.at(self.plan(name, **discovery), target, INTERVAL, asked=asked)

    def asked(self) -> Callable[[], list[str]]:
        """Gives the operations since this call."""
        since = self.control.last_seq()
        calls = lambda: self.control.calls(since=since)  # noqa: E731
        return lambda: [c["operation"] for c in calls() if c["service"] != "sts"]


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "SANDBOX999999999999")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sandbox")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    account = next(ACCOUNTS)
    estate = tiny(2, account=account)
    server = SandboxServer(gateway(World(Clock(scale=0)), estate))
    server.start()
    place = Place(server, account, estate.namespace)
    yield place
    place.pool.close()
    server.close()


def test_plans_of_an_account_share_what_they_find(place: Place) -> None:
    async def scenario() -> None:
        asked = place.asked()
        first = await place.look("one")
        assert len(first.seen.found) == 2
        assert sorted(asked()) == [
            "DescribeRecoveryInstances", "DescribeSourceServers", "GetIndex", "ListResources",
        ]  # fmt: skip
        place.time += timedelta(seconds=59)
        assert await place.look("two") is first
        place.time += timedelta(seconds=2)
        asked = place.asked()
        later = await place.look("two")
        assert later.seen.found == first.seen.found
        assert asked() == ["DescribeSourceServers"]
        place.time += INTERVAL
        asked = place.asked()
        await place.look("one")
        assert sorted(asked()) == ["DescribeSourceServers", "ListResources"]

    asyncio.run(scenario())


def test_who_asks_gets_a_look_that_began_after_the_question(place: Place) -> None:
    async def scenario() -> None:
        await place.look("one")
        place.time += timedelta(seconds=1)
        asked = place.asked()
        fresh = await place.look("two", asked=True)
        assert fresh.at == place.time
        assert sorted(asked()) == [
            "DescribeRecoveryInstances", "DescribeSourceServers", "GetIndex", "ListResources",
        ]  # fmt: skip

    asyncio.run(scenario())


def test_all_who_ask_during_a_look_share_the_next_one(place: Place) -> None:
    async def scenario() -> None:
        held = place.control.add_fault(operation="DescribeSourceServers", action="hold", times=1)
        asked = place.asked()
        running = asyncio.create_task(place.look("one", asked=True))
        await asyncio.to_thread(place.control.wait_held, held)
        place.time += timedelta(seconds=1)
        others = [asyncio.create_task(place.look(f"n{n}", asked=True)) for n in range(5)]
        await asyncio.sleep(0)
        await asyncio.to_thread(place.control.release, held)
        first, *rest = await asyncio.gather(running, *others)
        assert {id(look) for look in rest} == {id(rest[0])} != {id(first)}
        assert asked().count("DescribeSourceServers") == 2

    asyncio.run(scenario())


def test_what_did_not_answer_is_asked_again_however_young(place: Place) -> None:
    async def scenario() -> None:
        fault = place.control.add_fault(
            service="resource-explorer-2", action="error", code="AccessDeniedException", status=403
        )
        silent = await place.look("one", providers=["ResourceExplorer"])
        assert silent.seen.problems
        place.control.remove_fault(fault)
        place.time += timedelta(seconds=61)
        answered = await place.look("one", providers=["ResourceExplorer"])
        assert answered.seen.problems == []

    asyncio.run(scenario())

"""An AWS that refuses every third call for its rate, and an account in it that never answers.

Of the others everything is known, and known in time; the time is that of the operator's clock,
which the pauses of all calls move.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from leeward.api.account import TargetAccount
from leeward.api.inventory import Finding, InventoryResource
from leeward.api.plan import RecoveryPlan
from leeward.engine.looks import Look, Looks
from leeward.engine.plans import AGAIN
from leeward.engine.pool import Pool
from leeward.engine.readiness import answered, check
from leeward_adapters.aws import Account, Aws
from leeward_sandbox.aws.backend import World
from leeward_sandbox.aws.clock import Clock
from leeward_sandbox.aws.control import Control
from leeward_sandbox.aws.estates import tiny
from leeward_sandbox.aws.registry import gateway
from leeward_sandbox.aws.server import SandboxServer

pytestmark = pytest.mark.aws

LIVE = ("710000000001", "710000000002", "710000000003")
DEAD = "710000000009"
INTERVAL = timedelta(minutes=5)
REGIONS = {"primary": "us-east-1", "recovery": "us-east-2"}


class Time:
    """The operator's clock: it stands still but for the pauses that are made by it."""

    def __init__(self) -> None:
        self.now = 0.0
        self._lock = threading.Lock()

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.now += seconds

    def date(self) -> datetime:
        return datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=self.now)


@dataclass
class Operator:
    """What of the operator looks at a plan's accounts."""

    context: Any
    looks: Looks
    plan: RecoveryPlan

    async def look(self, number: str) -> tuple[Look, list[Finding]]:
        """What an account says, and what readiness says of what it said."""
        target = _target(number)
        look = await self.looks.at(self.plan, target, INTERVAL, asked=True)
        resources = [
            InventoryResource(
                id=f.id, arn=f.arn, technology=f.technology, region=f.region, verdict="Selected"
            )
            for f in look.seen.found
        ]
        known = resources or [_server_of_before(number)]
        return look, await check(self.context, self.plan, target, known)


def _target(number: str) -> TargetAccount:
    role = f"arn:aws:iam::{number}:role/LeewardRead"
    spec = {"accountId": number, "readRoleArn": role, "allow": {"namespaces": ["tiny"]}}
    spec["recoveryRoleArn"] = role.replace("Read", "Recovery")
    return TargetAccount.model_validate(
        {"metadata": {"name": f"prod-{number[-1]}", "uid": number}, "spec": spec}
    )


def _server_of_before(number: str) -> InventoryResource:
    server = "s-00000000000000001"
    arn = f"arn:aws:drs:us-east-2:{number}:source-server/{server}"
    return InventoryResource(
        id=server, arn=arn, technology="drs", region="us-east-2", verdict="Selected"
    )


@pytest.fixture
def moment() -> Time:
    return Time()


@pytest.fixture
def control(monkeypatch: pytest.MonkeyPatch, moment: Time) -> Iterator[Control]:
    """An AWS of four accounts with two servers each."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "SANDBOX999999999999")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sandbox")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # botocore's pauses between its attempts are made by the operator's clock too.
    monkeypatch.setattr(
        "botocore.endpoint.time", SimpleNamespace(**{**vars(time), "sleep": moment.sleep})
    )
    accounts = [tiny(2, account=number).accounts[0] for number in (*LIVE, DEAD)]
    estate = tiny(accounts=accounts)
    with SandboxServer(gateway(World(Clock(scale=0)), estate)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
        yield Control(server.endpoint)


@pytest.fixture
def operator(control: Control, moment: Time) -> Iterator[Operator]:
    pool = Pool(16)
    context: Any = SimpleNamespace(
        aws=Aws("us-east-2", clock=lambda: moment.now, sleep=moment.sleep),
        pool=pool, now=moment.date, settings=SimpleNamespace(aws_threads=16),
        account=lambda target, namespace: Account(
            id=target.spec.account_id,
            name=target.metadata.name,
            read_role_arn=target.spec.read_role_arn,
            external_id=f"leeward/sandbox/{namespace}",
            session_tags={"leeward:namespace": namespace, "leeward:hub": "sandbox"},
        ),
    )  # fmt: skip
    spec = {
        "customer": "CustomerA", "environment": "Production", "regions": REGIONS,
        "accounts": [{"name": f"prod-{n[-1]}"} for n in (*LIVE, DEAD)], "waves": [{"name": "all"}],
    }  # fmt: skip
    metadata = {"name": "plan", "namespace": "tiny", "uid": "plan"}
    plan = RecoveryPlan.model_validate({"metadata": metadata, "spec": spec})
    yield Operator(context, Looks(context), plan)
    pool.close()


def _stall_one(control: Control, account: str) -> str:
    """Stall a server behind AWS's back; its id."""
    everything = {"account": account, "region": "us-east-2", "sourceServerID": "*"}
    stalled = min(control.backend("drs", {**everything, "lag": "P0D"})["changed"])
    control.backend(
        "drs",
        {"account": account, "region": "us-east-2", "sourceServerID": stalled,
         "state": "STALLED", "lag": "PT20M", "error": "AGENT_NOT_SEEN"},
    )  # fmt: skip
    return stalled


def test_readiness_of_the_others_is_right_and_timely_and_the_dead_account_is_named(
    control: Control, operator: Operator, moment: Time
) -> None:
    stalled = {account: _stall_one(control, account) for account in LIVE}
    control.add_fault(account=DEAD, action="drop")
    control.add_fault(every=3, action="error", code="ThrottlingException", status=400)
    known: dict[str, list[Finding]] = {}

    async def rounds() -> None:
        """As the passes over a plan: what did not answer is asked again after a pause."""
        while waiting := [number for number in LIVE if number not in known]:
            asked = (*waiting, DEAD)
            answers = await asyncio.gather(*(operator.look(number) for number in asked))
            for number, (look, findings) in zip(asked, answers, strict=True):
                if number == DEAD:
                    _assert_named(look, findings)
                elif not look.seen.problems and answered(findings):
                    assert len(look.seen.found) == 2
                    known[number] = findings
            moment.sleep(AGAIN.total_seconds())

    asyncio.run(rounds())

    refused = [c for c in control.calls() if c["error"] == "ThrottlingException"]
    assert len(refused) >= len(LIVE)
    for number in LIVE:
        found = {(f.reason, f.resource) for f in known[number] if f.severity != "Warning"}
        assert found == {("ReplicationStalled", stalled[number])}
    assert moment.now < INTERVAL.total_seconds()


def _assert_named(look: Look, findings: list[Finding]) -> None:
    assert look.seen.problems
    assert any(DEAD in problem for problem in look.seen.problems)
    (silent,) = findings
    assert (silent.reason, silent.severity) == ("NotChecked", "Blocking")
    assert DEAD in silent.message

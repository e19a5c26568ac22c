"""A real HTTP AWS for the adapters, and an engine in miniature that keeps a journal."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.loaders import create_loader

import rights
from leeward_adapters.attribution import asking
from leeward_adapters.aws import Account, Aws, AwsScope
from leeward_adapters.base import (
    UNDO,
    Adapter,
    Call,
    Observed,
    Phase,
    Seen,
    State,
    Step,
    Target,
    actions_of,
)
from leeward_adapters.registry import adapter
from leeward_sandbox.aws.backend import World
from leeward_sandbox.aws.clock import Clock
from leeward_sandbox.aws.control import Control
from leeward_sandbox.aws.estates import Estate, tiny
from leeward_sandbox.aws.registry import gateway
from leeward_sandbox.aws.server import SandboxServer

PRIMARY, RECOVERY = "us-east-1", "us-east-2"
HUB = "999999999999"
# moto's state belongs to the process, so each test has accounts of its own.
_accounts = itertools.count(500_000_000_001)


@dataclass
class Sandbox:
    """An AWS whose clock stands still, seen through Leeward's own clients."""

    endpoint: str
    control: Control
    aws: Aws
    account: str
    namespace: str
    _clients: dict[tuple[str, str, str], Any] = field(default_factory=dict)

    def reached(self, account: str | None = None, **changes: Any) -> Account:
        """The account with the roles of the estate."""
        number = account or self.account
        known = Account(
            id=number,
            name="tiny",
            read_role_arn=f"arn:aws:iam::{number}:role/LeewardRead",
            recovery_role_arn=f"arn:aws:iam::{number}:role/LeewardRecovery",
            external_id=f"leeward/sandbox/{self.namespace}",
            session_tags={"leeward:namespace": self.namespace, "leeward:hub": "sandbox"},
        )
        return replace(known, **changes)

    def scope(self, region: str = RECOVERY) -> AwsScope:
        """The account through its recovery role."""
        return self.aws.scope(self.reached(), region, recovery=True)

    def client(self, service: str, region: str = RECOVERY, account: str | None = None) -> Any:
        """A plain boto3 client as the account's administrator: what tests do beside Leeward."""
        key = (service, region, account or self.account)
        if key not in self._clients:
            make: Any = boto3.client
            self._clients[key] = make(
                service,
                region_name=region,
                endpoint_url=self.endpoint,
                aws_access_key_id=f"SANDBOX{key[2]}",
                aws_secret_access_key="sandbox",
            )
        return self._clients[key]

    def servers(self) -> list[str]:
        """Ids of the source servers, by name of the server."""
        pages = self.client("drs").get_paginator("describe_source_servers").paginate(filters={})
        found = [server for page in pages for server in page["items"]]
        return [s["sourceServerID"] for s in sorted(found, key=lambda s: s["tags"]["Name"])]

    def server(self, server_id: str) -> dict[str, Any]:
        """What DRS says of a source server."""
        filters = {"sourceServerIDs": [server_id]}
        found: dict[str, Any] = self.client("drs").describe_source_servers(filters=filters)[
            "items"
        ][0]
        return found

    def change(self, servers: str | list[str], **changes: Any) -> None:
        """Change source servers behind AWS's back."""
        where = {"account": self.account, "region": RECOVERY}
        self.control.backend("drs", {**where, "sourceServerID": servers, **changes})

    def drill_network(self) -> dict[str, Any]:
        """A subnet for drills and its security group, as a plan names them."""
        ec2 = self.client("ec2")
        drill = [{"Name": "tag:Purpose", "Values": ["Drill"]}]
        subnet = ec2.describe_subnets(Filters=drill)["Subnets"][0]
        group = ec2.describe_security_groups(Filters=drill)["SecurityGroups"][0]
        return {
            "accountId": self.account,
            "subnetId": subnet["SubnetId"],
            "securityGroupIds": [group["GroupId"]],
        }

    def launch_by_hand(self, servers: Sequence[str], *, drill: bool = False) -> str:
        """What somebody at the console does; answers the job's id."""
        answer = self.client("drs").start_recovery(
            sourceServers=[{"sourceServerID": s} for s in servers], isDrill=drill
        )
        return str(answer["job"]["jobID"])

    def calls(self, operation: str) -> list[dict[str, Any]]:
        """The recorded calls of an operation."""
        return self.control.calls(operation=operation)


@dataclass
class Task:
    """A DRTask in miniature: observes, writes intents, acts, until nothing is left to do."""

    sandbox: Sandbox
    adapter: Adapter
    phase: Phase
    operation: str
    targets: tuple[Target, ...]
    settings: dict[str, Any]
    region: str = RECOVERY
    source_region: str = PRIMARY
    execution: str = "orders-1"
    token: str = field(default_factory=lambda: str(uuid.uuid4()))
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    calls: dict[str, Call] = field(default_factory=dict)
    pre_states: dict[str, str] = field(default_factory=dict)
    sent: list[tuple[str, list[str]]] = field(default_factory=list)
    relaunch: frozenset[str] = frozenset()
    namespace: str = "orders"
    unplanned: bool = False
    unfenced: frozenset[str] = frozenset()
    fenced: frozenset[str] = frozenset()
    accepted: frozenset[str] = frozenset()

    @property
    def step(self) -> Step:
        return Step(
            token=self.token,
            phase=self.phase,
            operation=self.operation,
            started=self.started,
            source_region=self.source_region,
            unplanned=self.unplanned,
            unfenced=self.unfenced,
            fenced=self.fenced,
            accepted=self.accepted,
            targets=self.targets,
            calls=dict(self.calls),
            pre_states=dict(self.pre_states),
            relaunch=self.relaunch,
            settings=self.settings,
            tags={
                "leeward:hub": "sandbox",
                "leeward:namespace": self.namespace,
                "leeward:execution": self.execution,
                "leeward:execution-uid": f"uid-of-{self.execution}",
                "leeward:operation": self.operation,
                "leeward:phase": str(self.phase),
                "leeward:task": self.token,
            },
        )

    def observe(self) -> Observed:
        return self.adapter.observe(self.sandbox.scope(self.region), self.step)

    def seen(self, target: str) -> Seen:
        return self.observe().targets[target]

    def act(self, action: str, ids: Sequence[str] | None = None) -> str:
        """Write the intent, then act; an error leaves the call in doubt."""
        batch = [t for t in self.targets if ids is None or t.id in ids]
        now = self.step
        call = Call(f"call-{uuid.uuid4()}", action, datetime.now(UTC), in_doubt=True)
        self._note(batch, call)
        self.sent.append((action, [t.id for t in batch]))
        reference = self.adapter.act(self.sandbox.scope(self.region), now, action, call.id, batch)
        self._note(batch, replace(call, in_doubt=False, reference=reference))
        return reference

    def _note(self, batch: Sequence[Target], call: Call) -> None:
        """The newest batch, but nothing hides one that is not repeatable."""
        for target in batch:
            known = self.calls.get(target.id)
            traits = actions_of(self.adapter)
            if (
                known is None
                or traits[known.action].repeatable
                or not traits[call.action].repeatable
            ):
                self.calls[target.id] = call

    def advance_once(self) -> Observed:
        """One pass: act for what is missing, else let time go by."""
        observed = self.observe()
        wanted: dict[str, list[str]] = {}
        for target, seen in observed.targets.items():
            if seen.state is State.NEEDED:
                wanted.setdefault(seen.action, []).append(target)
                if seen.pre_state:
                    self.pre_states.setdefault(target, seen.pre_state)
        for action, traits in self.adapter.actions.items():
            if action in wanted:
                self.act(action, wanted[action][: traits.batch])
                return observed
        self.sandbox.control.advance(60)
        return observed

    def run(self, passes: int = 120) -> dict[str, Seen]:
        """Go on until every target is proved, failed or refused."""
        final = {State.FAILED, State.REFUSED}
        for _ in range(passes):
            observed = self.advance_once()
            if all(s.state in final | {State.DONE} for s in observed.targets.values()):
                shown = self.adapter.verify(self.sandbox.scope(self.region), self.step).targets
                # As the engine does: what is not called done needs no proof.
                proof = {
                    t: shown[t] if s.state is State.DONE else s for t, s in observed.targets.items()
                }
                if all(s.state in final | {State.DONE} for s in proof.values()):
                    return proof
        raise AssertionError(f"not through after {passes} passes: {self.observe().targets}")

    def next_attempt(self) -> None:
        """What `retry` does to a task."""
        self.calls.clear()

    def launch_anew(self, *ids: str) -> None:
        """What `relaunch` does to a task."""
        self.next_attempt()
        self.relaunch = frozenset(ids)
        for target in ids:
            self.pre_states.pop(target, None)

    def undo(self, ids: Sequence[str] | None = None) -> None:
        """What `undo` does: undo() as a batch of the journal, then time goes by."""
        self.next_attempt()
        batch = [t for t in self.targets if ids is None or t.id in ids]
        call = Call(f"call-{uuid.uuid4()}", UNDO, datetime.now(UTC), in_doubt=True)
        reference = self.adapter.undo(self.sandbox.scope(self.region), self.step, call.id, batch)
        self._note(batch, replace(call, in_doubt=False, reference=reference))

    def is_back(self, target: str) -> bool:
        """The proof of an undo, as the engine's planning takes it."""
        seen = self.seen(target)
        return seen.state is State.NEEDED and seen.pre_state == self.pre_states[target]


MakeSandbox = Callable[..., Sandbox]
MakeTask = Callable[..., Task]


@pytest.fixture(scope="session", autouse=True)
def _one_loader() -> Iterator[None]:
    """Botocore reads its models once, not for each test's `Aws`; a process of Leeward has one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", cache(create_loader))
        yield


@pytest.fixture
def new_account() -> Callable[[], str]:
    """Makes account ids that no other test has."""
    return lambda: str(next(_accounts))


@pytest.fixture
def make_sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeSandbox]:
    """Makes an AWS with an estate; without one, an account of two servers."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", f"SANDBOX{HUB}")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sandbox")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    running: list[tuple[SandboxServer, Sandbox]] = []

    def make(servers: int = 2, *, estate: Estate | None = None, **changes: Any) -> Sandbox:
        account = str(next(_accounts))
        what = estate or tiny(servers, account=account, **changes)
        server = SandboxServer(gateway(World(Clock(scale=0)), what))
        server.start()
        sandbox = Sandbox(
            endpoint=server.endpoint,
            control=Control(server.endpoint),
            aws=Aws(RECOVERY, endpoint_url=server.endpoint),
            account=what.accounts[0].id,
            namespace=what.namespace,
        )
        running.append((server, sandbox))
        return sandbox

    # What a test asks beside the parts of Leeward, to see how clients behave, is no part's use.
    with asking(rights.TESTS):
        yield make
    for server, sandbox in running:
        violations = sandbox.control.violations()
        server.close()
        assert violations == []


@pytest.fixture
def sandbox(make_sandbox: MakeSandbox) -> Sandbox:
    """An account of two servers, app-01 and app-02."""
    return make_sandbox()


@pytest.fixture
def make_task() -> MakeTask:
    """Makes a task of an adapter."""

    def make(
        sandbox: Sandbox,
        ids: Sequence[str],
        *,
        kind: str = "drs",
        phase: Phase = Phase.INSTANTIATE,
        operation: str = "Failover",
        settings: dict[str, Any] | None = None,
        **more: Any,
    ) -> Task:
        if settings is None:
            drill = operation == "Test"
            settings = {"drillNetwork": sandbox.drill_network()} if drill else {}
        resource = "source-server" if kind == "drs" else "x"
        targets = tuple(
            Target(i, f"arn:aws:{kind}:{RECOVERY}:{sandbox.account}:{resource}/{i}") for i in ids
        )
        return Task(sandbox, adapter(kind), phase, operation, targets, settings, **more)

    return make

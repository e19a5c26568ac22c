"""DRS driven directly, on a clock that only moves when a test moves it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from leeward_sandbox.aws.backend import Call, World
from leeward_sandbox.aws.clock import Clock
from leeward_sandbox.aws.drs import DrsBackend, DrsSettings
from leeward_sandbox.aws.estates import Estate, Seeded, seed, tiny
from leeward_sandbox.aws.resource_explorer import ResourceExplorerBackend

START = datetime(2026, 8, 1, 12, 0, tzinfo=UTC)
P, R = "us-east-1", "us-east-2"
# Longer than any launch, any termination and any synchronisation of a tiny estate.
LAUNCHED, TERMINATED, SYNCHRONISED = 700.0, 150.0, 3 * 3600.0


@dataclass
class Lab:
    """A tiny estate with its DRS."""

    estate: Estate
    world: World
    drs: DrsBackend
    explorer: ResourceExplorerBackend
    seeded: Seeded
    account: str
    answers: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def call(self, operation: str, region: str = R, account: str = "", **params: Any) -> Any:
        """One call to DRS, with boto3's member names."""
        owner = account or self.account
        principal = f"arn:aws:iam::{owner}:root"
        now = self.world.clock.now()
        answer = self.drs.handle(Call("drs", operation, owner, region, params, principal, now))
        self.answers.append((operation, answer))
        return answer

    def wait(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.world.clock.advance(seconds)

    def server(self, name: str = "app-01") -> str:
        """A source server's id."""
        found = self.seeded.servers[name].source_server_id
        assert found is not None
        return found

    def servers(self) -> list[str]:
        """All source servers' ids."""
        return [self.server(name) for name in self.seeded.servers]

    def described(self, server: str = "", region: str = R) -> Any:
        """A source server as DescribeSourceServers shows it."""
        filters = {"sourceServerIDs": [server or self.server()]}
        return self.call("DescribeSourceServers", region, filters=filters)["items"][0]

    def start(self, *servers: str, region: str = R, **params: Any) -> Any:
        """StartRecovery for servers; all of the estate if none are named."""
        listed = [{"sourceServerID": s} for s in servers or self.servers()]
        return self.call("StartRecovery", region, sourceServers=listed, **params)["job"]

    def launch(self, *servers: str, region: str = R, **params: Any) -> Any:
        """Launch, wait for the end, and return the job."""
        job = self.start(*servers, region=region, **params)
        self.wait(LAUNCHED)
        return self.job(job["jobID"], region)

    def job(self, job_id: str, region: str = R) -> Any:
        """A job as DescribeJobs shows it."""
        return self.call("DescribeJobs", region, filters={"jobIDs": [job_id]})["items"][0]

    def log(self, job_id: str, region: str = R) -> list[Any]:
        """A job's whole log."""
        answer = self.call("DescribeJobLogItems", region, jobID=job_id, maxResults=10_000)
        items: list[Any] = answer["items"]
        return items

    def events(self, job_id: str, region: str = R) -> list[str]:
        """The events of a job's log, in order."""
        return [item["event"] for item in self.log(job_id, region)]

    def instance(self, server: str = "", region: str = R) -> Any:
        """A server's recovery instance as DescribeRecoveryInstances shows it."""
        filters = {"sourceServerIDs": [server or self.server()]}
        return self.call("DescribeRecoveryInstances", region, filters=filters)["items"][0]

    def ec2(self, instance_id: str, region: str = R) -> Any:
        """Moto's object of an EC2 instance."""
        return self.world.moto("ec2", self.account, region).get_instance(instance_id)

    def change(self, server: str = "", **body: Any) -> Any:
        """Change a source server through the control handler."""
        chosen = server or self.server()
        base = {"account": self.account, "region": R, "sourceServerID": chosen}
        return self.drs.control(base | body)


@pytest.fixture
def make_lab(new_account: Callable[[], str]) -> Callable[..., Lab]:
    def make(servers: int = 1, settings: dict[str, Any] | None = None, **changes: Any) -> Lab:
        account = new_account()
        drs_settings = DrsSettings.model_validate(settings or {})
        estate = tiny(servers, account=account, drs=drs_settings, **changes)
        world = World(Clock(scale=0, base=START), seed=estate.seed)
        drs = DrsBackend(world, estate.drs)
        explorer = ResourceExplorerBackend(world, estate.resource_explorer)
        seeded = seed(estate, world, [drs, explorer])
        return Lab(estate, world, drs, explorer, seeded, account)

    return make


@pytest.fixture
def lab(make_lab: Callable[..., Lab]) -> Lab:
    return make_lab(3)

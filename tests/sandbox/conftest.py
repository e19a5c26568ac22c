"""Fixtures of the sandbox's tests."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.config import Config

from leeward_sandbox.aws.backend import World
from leeward_sandbox.aws.clock import Clock
from leeward_sandbox.aws.control import Control
from leeward_sandbox.aws.estates import Estate
from leeward_sandbox.aws.registry import gateway
from leeward_sandbox.aws.server import SandboxServer

# moto's state belongs to the process, so each test has accounts of its own.
_accounts = itertools.count(100_000_000_001)


@dataclass(frozen=True)
class Aws:
    """A sandbox AWS with a clock that stands still, and its clients."""

    endpoint: str
    control: Control
    account: str

    def client(
        self,
        service: str,
        *,
        account: str | None = None,
        region: str = "us-east-1",
        credentials: dict[str, Any] | None = None,
        **config: Any,
    ) -> Any:
        """A client without retries, as an account's administrator or with a session."""
        keys = credentials or {
            "AccessKeyId": f"SANDBOX{account or self.account}",
            "SecretAccessKey": "sandbox",
        }
        # A name that is not a literal has no overload in boto3's stubs.
        make: Any = boto3.client
        return make(
            service,
            endpoint_url=self.endpoint,
            region_name=region,
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys.get("SessionToken"),
            config=Config(retries={"total_max_attempts": 1}, read_timeout=30, **config),
        )


@pytest.fixture
def new_account() -> Callable[[], str]:
    """Makes account ids that no other test has."""
    return lambda: str(next(_accounts))


@pytest.fixture
def serve() -> Iterator[Callable[..., Aws]]:
    """Serves an AWS whose clock stands still, with an estate or empty, until the test ends."""
    with ExitStack() as servers:

        def start(account: str, estate: Estate | None = None) -> Aws:
            world = World(Clock(scale=0), seed=estate.seed if estate else 0)
            server = servers.enter_context(SandboxServer(gateway(world, estate)))
            return Aws(server.endpoint, Control(server.endpoint), account)

        yield start


@pytest.fixture
def aws(serve: Callable[..., Aws], new_account: Callable[[], str]) -> Aws:
    """An empty AWS and an account in it."""
    return serve(new_account())

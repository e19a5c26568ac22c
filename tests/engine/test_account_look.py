"""What a look at an account asks, against the sandbox's AWS."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from leeward.api.account import TargetAccount
from leeward.engine.account_look import Looker
from leeward.planning.accounts.account_use import Use
from leeward_adapters.aws import Account, Aws
from leeward_sandbox.aws.backend import World
from leeward_sandbox.aws.clock import Clock
from leeward_sandbox.aws.control import Control
from leeward_sandbox.aws.estates import tiny
from leeward_sandbox.aws.registry import gateway
from leeward_sandbox.aws.server import SandboxServer

pytestmark = pytest.mark.aws

ACCOUNTS = (f"72{number:010}" for number in itertools.count(1))
"""One for each test: the process has one AWS."""
REGION = "us-east-2"


@pytest.fixture
def account() -> str:
    return next(ACCOUNTS)


@pytest.fixture
def control(monkeypatch: pytest.MonkeyPatch, account: str) -> Iterator[Control]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "SANDBOX999999999999")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sandbox")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with SandboxServer(gateway(World(Clock(scale=0)), tiny(2, account=account))) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
        yield Control(server.endpoint)


@pytest.fixture
def looker(control: Control, account: str) -> Looker:
    """Looks at an account of two servers whose plans use DRS."""
    roles = [f"arn:aws:iam::{account}:role/Leeward{name}" for name in ("Read", "Recovery")]
    target = TargetAccount.model_validate(
        {
            "metadata": {"name": "prod", "uid": "u"},
            "spec": {
                "accountId": account, "readRoleArn": roles[0], "recoveryRoleArn": roles[1],
                "allow": {"namespaces": ["tiny"]},
            },
        }
    )  # fmt: skip
    context: Any = SimpleNamespace(
        aws=Aws(REGION),
        settings=SimpleNamespace(base_region=REGION),
        account=lambda target, namespace: Account(
            id=account,
            read_role_arn=roles[0],
            recovery_role_arn=roles[1],
            external_id=f"leeward/sandbox/{namespace}",
            session_tags={"leeward:namespace": namespace, "leeward:hub": "sandbox"},
        ),
    )
    return Looker(context, target, Use((REGION,), ("drs",)))


def test_quotas_that_the_account_has_not_of_its_own_are_awss_defaults(
    looker: Looker, control: Control
) -> None:
    control.add_fault(operation="GetServiceQuota", action="error", code="NoSuchResourceException")

    status = looker.drs(REGION)

    assert (status.drs, status.source_servers, status.replicating_servers) == ("Initialized", 2, 2)
    assert {quota.source for quota in status.quotas} == {"Default"}


def test_whatever_it_asks_is_said_to_be_for_the_account_and_sessions_for_themselves(
    looker: Looker, control: Control
) -> None:
    assert looker.role("Read").assumed == "Yes"
    looker.drs(REGION)

    asked = {(c["part"], c["service"] == "sts") for c in control.calls()}
    assert ("accounts", False) in asked
    sessions = {c["part"] for c in control.calls(operation="AssumeRole")}
    assert sessions == {"sessions"}
    assert {part for part, _ in asked} == {"accounts", "sessions"}

"""What a look at an account asks, against the sandbox's AWS."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from leeward.api.account import TargetAccount
from leeward.engine.account_look import Looker
from leeward.planning.accounts.account_use import Use
from leeward.planning.plans.named import Named
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


def test_what_plans_name_and_the_role_may_not_use_is_shown(
    looker: Looker, control: Control, account: str
) -> None:
    named = Named(("app-servers", "no-such-profile"), ("drain",))
    iam = boto3.client(
        "iam", aws_access_key_id=f"SANDBOX{account}", aws_secret_access_key="sandbox",
        region_name=REGION,
    )  # fmt: skip
    role = iam.create_role(RoleName="app-servers", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    iam.create_instance_profile(InstanceProfileName="app-servers")
    iam.add_role_to_instance_profile(InstanceProfileName="app-servers", RoleName="app-servers")
    deny = {"Effect": "Deny", "Action": ["iam:PassRole", "ssm:*"], "Resource": ["*"]}
    iam.put_role_policy(
        RoleName="LeewardRecovery", PolicyName="deny",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [deny]}),
    )  # fmt: skip
    looker = replace(looker, use=Use((REGION,), ("route53",), named=named))

    status = looker.role("Recovery")

    assert (status.permissions, status.missing) == ("Simulated", [])
    assert [(r.action, r.subject) for r in status.refused] == [
        ("iam:PassRole", "app-servers"),
        ("iam:PassRole", "no-such-profile"),
        ("ssm:StartAutomationExecution", "drain"),
    ]
    assert role in status.refused[0].message
    assert looker.role("Read").refused == []
    asked = control.calls(operation="GetInstanceProfile")
    assert {call["part"] for call in asked} == {"accounts"}

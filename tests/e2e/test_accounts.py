"""Accounts are looked at through their roles, and what is wrong is named where people look."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

ACCOUNT = "111111111111"
HUB = "999999999999"
ISSUED = "leeward/sandbox/orders"
FOREIGN = "acme/their-own-id"
EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}


def trust(external_id: str | None) -> str:
    """A trust policy that demands the external id, or none."""
    allow = {
        "Effect": "Allow",
        "Principal": {"AWS": HUB},
        "Action": ["sts:AssumeRole", "sts:TagSession"],
    }
    condition = {"Condition": {"StringEquals": {"sts:ExternalId": external_id}}}
    return json.dumps(
        {"Version": "2012-10-17", "Statement": [allow | (condition if external_id else {})]}
    )


@pytest.fixture
def add(desk: Any) -> Iterator[Callable[..., str]]:
    """Makes a role with those rights and a TargetAccount of it."""
    made: list[str] = []

    def make(*statements: Any, external_id: str | None = ISSUED, **spec: Any) -> str:
        name = f"{desk.application}-own"
        iam = desk.client("iam", ACCOUNT)
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust(external_id))
        allow(desk, name, *statements)
        arn = f"arn:aws:iam::{ACCOUNT}:role/{name}"
        body = {
            "apiVersion": "leeward.dev/v1alpha1",
            "kind": "TargetAccount",
            "metadata": {"name": name},
            "spec": {
                "accountId": ACCOUNT,
                "readRoleArn": arn,
                "recoveryRoleArn": arn,
                "allow": {"namespaces": ["orders"]},
                **spec,
            },
        }
        made.append(name)
        desk.apply(body)
        return name

    yield make
    for name in made:
        desk.kubectl("delete", "ta", name)


def allow(desk: Any, role: str, *statements: Any) -> None:
    """Give the role these rights and no others."""
    document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    desk.client("iam", ACCOUNT).put_role_policy(
        RoleName=role, PolicyName="all", PolicyDocument=document
    )


def look_again(desk: Any, name: str) -> None:
    """Have the account looked at anew, as a change of its spec does."""
    purpose = f"looked at {desk.control.last_seq()}"
    desk.kubectl(
        "patch", "ta", name, "--type=merge", "-p", json.dumps({"spec": {"purpose": purpose}})
    )


def until_ready(desk: Any, name: str, status: str, reason: str) -> Any:
    """The account once its condition Ready is that, for the spec as it is."""

    def look() -> Any:
        body = desk.get("ta", name)
        seen = body.get("status", {}).get("observedGeneration") == body["metadata"]["generation"]
        same = (desk.condition(body, "Ready"), desk.reason(body, "Ready")) == (status, reason)
        return body if seen and same else None

    return desk.until(f"{name} is Ready={status} ({reason})", look)


def test_an_account_in_use_shows_its_roles_and_what_drs_holds(lab: Any) -> None:
    lab.ready_plan()

    def look() -> Any:
        status = lab.get("ta", "east-a").get("status", {})
        return status if status.get("technologies") and status.get("regions") else None

    status = lab.until("the account is looked at for what the plan uses", look)

    assert lab.reason({"status": status}, "Ready") == "Verified"
    assert status["externalIds"] == [{"namespace": "orders", "externalId": ISSUED}]
    assert "drs" in status["technologies"]
    for role in status["roles"]:
        assert (role["assumed"], role["externalId"]) == ("Yes", "Demanded")
        assert (role["permissions"], role["missing"]) == ("Simulated", [])
    (region,) = status["regions"]
    assert (region["region"], region["drs"]) == ("us-east-2", "Initialized")
    assert region["freeServers"] == 300 - region["replicatingServers"] == 300 - 280
    assert {q["code"]: (q["value"], q["source"]) for q in region["quotas"]}["L-C1D14A2B"] == (
        300,
        "Applied",
    )


def test_sessions_carry_the_namespace_and_the_run(lab: Any) -> None:
    lab.ready_plan(waves=[{"name": "data"}, {"name": "web"}])
    name = lab.start()
    lab.until_condition("drx", name, "Succeeded")

    sessions = lab.control.calls(operation="AssumeRole")
    tags = [
        {t["Key"]: t["Value"] for t in call["params"]["Tags"]}
        for call in sessions
        if call["params"]["RoleSessionName"] == f"leeward-orders-{name}"[:64]
    ]
    assert {"leeward:namespace": "orders", "leeward:hub": "sandbox", "leeward:execution": name} in (
        tags
    )


def test_missing_rights_are_named_and_stop_a_planned_run(desk: Any, add: Any) -> None:
    name = add({"Effect": "Allow", "Action": ["iam:Simulate*", "drs:*", "ec2:*"], "Resource": "*"})
    account = until_ready(desk, name, "False", "PermissionsMissing")
    assert desk.condition(account, "Stalled") == "True"
    (read, _) = account["status"]["roles"]
    assert "resource-explorer-2:Search" in read["missing"]
    assert f"role/{name} lacks " in account["status"]["message"]

    desk.apply(desk.plan_body(accounts=[{"name": name}]))
    desk.until("the plan is assessed", lambda: desk.get("rp", desk.application).get("status"))
    run = desk.start()
    refused = desk.until_condition("drx", run, "Succeeded", "False")
    for part in (f"role/{name} lacks ", "more: allow them, see `leeward iam policy --account"):
        assert part in refused["status"]["message"]

    allow(desk, name, EVERYTHING)
    look_again(desk, name)
    until_ready(desk, name, "True", "Verified")


def test_a_role_that_anybody_may_enter_is_reported(desk: Any, add: Any) -> None:
    name = add(EVERYTHING, external_id=None)

    account = until_ready(desk, name, "True", "Degraded")

    assert {role["externalId"] for role in account["status"]["roles"]} == {"NotDemanded"}
    assert "must demand sts:ExternalId" in account["status"]["message"]


def test_another_external_id_needs_the_word_of_a_platform_administrator(
    desk: Any, add: Any
) -> None:
    secret = f"{desk.application}-id"
    name = add(EVERYTHING, external_id=FOREIGN, externalIdSecretRef={"name": secret})
    account = until_ready(desk, name, "False", "ExternalIdUnknown")
    assert f"Secret leeward-system/{secret} cannot be read" in account["status"]["message"]

    desk.stack.cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": secret, "namespace": "leeward-system"},
            "type": "leeward.dev/external-id",
            "data": {"externalId": base64.b64encode(FOREIGN.encode()).decode()},
        }
    )
    look_again(desk, name)

    account = until_ready(desk, name, "True", "Verified")
    assert not account["status"].get("externalIds")
    assert FOREIGN not in json.dumps(account)

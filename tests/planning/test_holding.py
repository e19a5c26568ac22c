"""What a live run holds: what discovery found in an account, never what a plan merely names."""

from __future__ import annotations

from typing import Any

import pytest

from leeward.api.account import TargetAccount
from leeward.planning.runs.freeze import freeze
from leeward.planning.runs.holding import Holding, holdings

Build = Any  # conftest.Build
SERVER = "arn:aws:drs:us-east-2:111111111111:source-server/s-00000000000000001"
DOCUMENT = "arn:aws:ssm:us-east-2:333333333333:document/Shared"
PERSON = {"name": "call", "type": "Manual", "manual": {"instructions": "call"}}
SCRIPT = {
    "name": "script", "type": "Automation",
    "automation": {
        "accountRef": {"name": "prod"}, "documentName": DOCUMENT, "documentVersion": "1"
    },
}  # fmt: skip
GROUPS = {
    "name": "groups", "type": "AutoScaling",
    "autoScaling": {"accountRef": {"name": "prod"}, "groups": [{"name": "web", "desired": 1}]},
}  # fmt: skip


def held(build: Build, operation: str, *tasks: dict[str, Any], servers: int = 0) -> set[Holding]:
    waves = [{"name": "data", "tasks": [t | {"recoveryPhase": "Activate"} for t in tasks]}]
    found = [build.inventory(*(build.server(n + 1) for n in range(servers)))]
    accounts: dict[str, TargetAccount] = build.accounts()
    frozen = freeze(build.execution(operation=operation), build.plan(waves=waves), accounts, found)
    assert frozen.tasks
    return {holding for task in frozen.tasks for holding in holdings(task.spec)}


@pytest.mark.parametrize("operation", ["Failover", "Test"])
@pytest.mark.parametrize("task", ["person", "switch", "script", "groups"])
def test_a_task_that_a_plan_names_holds_nothing(build: Build, task: str, operation: str) -> None:
    named = {"person": PERSON, "switch": build.dns_task(), "script": SCRIPT, "groups": GROUPS}
    assert held(build, operation, named[task]) == set()


@pytest.mark.parametrize("operation", ["Failover", "Test"])
def test_servers_are_held_with_their_account(build: Build, operation: str) -> None:
    assert held(build, operation, PERSON, servers=1) == {("111111111111", SERVER)}


def test_what_has_no_arn_is_not_held(build: Build) -> None:
    frozen = freeze(
        build.execution(), build.plan(), build.accounts(), [build.inventory(build.server(arn=""))]
    )
    assert [holdings(task.spec) for task in frozen.tasks] == [frozenset()] * len(frozen.tasks)

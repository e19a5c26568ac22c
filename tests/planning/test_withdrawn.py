"""An account that is taken away from a live run: nothing new is asked, what runs is followed."""

from __future__ import annotations

from typing import Any

import pytest

from leeward.api.account import TargetAccountSpec
from leeward.api.task import DRTask, DRTaskSpec
from leeward.planning.runs.outcomes import at_work
from leeward.planning.runs.waves import Stage
from leeward.planning.tasks.withdrawn import withdrawn

Build = Any  # conftest.Build
ROLE = "arn:aws:iam::111111111111:role/leeward"
WHY = "TargetAccount prod is no longer for namespace acme"


def spec(**fields: Any) -> DRTaskSpec:
    body = {
        "executionRef": {"name": "shop-1", "uid": "u-1"},
        "plan": "shop",
        "operation": "Failover",
        "mode": "Unplanned",
        "wave": "data",
        "waveOrdinal": 1,
        "recoveryPhase": "Instantiate",
        "technology": "drs",
        "account": "prod",
        "accountId": "111111111111",
        "region": "us-east-2",
        "sourceRegion": "us-east-1",
        "roleArn": ROLE,
    }
    return DRTaskSpec.model_validate(body | fields)


def account(build: Build, **fields: Any) -> TargetAccountSpec:
    found: TargetAccountSpec = build.account(**fields).spec
    return found


@pytest.mark.parametrize(
    ("fields", "work", "said"),
    [
        ({}, {}, ""),
        ({"allow": {"operations": ["Failover"]}, "regions": ["us-east-2"]}, {}, ""),
        ({"allow": {"namespaces": ["other"]}}, {}, "no longer for namespace acme"),
        ({"allow": {"operations": ["Test"]}}, {}, "no longer allows Failover"),
        ({"regions": ["us-west-2"]}, {}, "no longer for Region us-east-2"),
        ({"recoveryRoleArn": f"{ROLE}-2"}, {}, f"spec.recoveryRoleArn of TargetAccount prod is no "
         f"longer {ROLE}"),
        ({"account_id": "222222222222"}, {}, "is AWS account 222222222222 now"),
        ({}, {"operation": "Cleanup"}, "no longer lets anything be destroyed"),
        ({"allow": {"destructive": "Allowed"}}, {"operation": "Cleanup"}, ""),
        ({}, {"operation": "Test", "recoveryPhase": "Cleanup"}, ""),
    ],
    ids=["as it was", "within", "namespace", "operation", "region", "role", "another account",
         "destructive", "may destroy", "a drill's own"],
)  # fmt: skip
def test_what_an_account_no_longer_allows_is_said(
    build: Build, fields: dict[str, Any], work: dict[str, Any], said: str
) -> None:
    found = withdrawn(spec(**work), "acme", account(build, **fields))
    assert bool(found) is bool(said)
    assert said in found
    assert not found or "account 111111111111 (prod), us-east-2" in found


def test_an_account_that_is_gone_allows_nothing() -> None:
    assert "there is no TargetAccount prod any more" in withdrawn(spec(), "acme", None)


def test_a_run_all_of_whose_work_is_barred_asks_people(build: Build) -> None:
    def task(**status: Any) -> DRTask:
        body = {"metadata": {"name": "t"}, "status": {"state": "InProgress", **status}}
        return DRTask.model_validate({**body, "spec": spec().to_api()})

    busy, barred = task(), task(barredSince="2026-03-01T02:00:00Z", message=WHY)
    stage = Stage("data", 1, "Instantiate", ())
    outcome = at_work(build.execution(), stage, [barred], holding=False)
    assert (outcome.state, outcome.reason) == ("WaitingForDecision", "AccountRefused")
    assert WHY in outcome.message
    assert at_work(build.execution(), stage, [barred, busy], holding=False).state == "Running"
    assert at_work(build.execution(), stage, [barred], holding=True).state == "Paused"

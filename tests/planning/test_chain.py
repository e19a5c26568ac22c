"""Chains of executions: what follows a run, and when nothing does."""

from __future__ import annotations

from typing import Any

import pytest
from tests.planning.conftest import Build

from leeward.api.execution import DRExecution
from leeward.planning.runs import chain
from leeward.planning.runs.freeze import freeze

CHAIN = [{"operation": "Reprotect"}, {"operation": "Failback"}]


def ended(
    build: Build, reason: str = "Succeeded", state: str = "Succeeded", **spec: Any
) -> DRExecution:
    execution = build.execution(**{"then": CHAIN, **spec})
    condition = {
        "type": "Succeeded",
        "status": "True" if state == "Succeeded" else "False",
        "reason": reason,
        "lastTransitionTime": "2026-03-01T02:00:00Z",
    }
    status = {
        "state": state,
        "conditions": [condition],
        "requestedBy": "ann@example.com",
        "completionTime": "2026-03-01T02:00:00Z",
    }
    return DRExecution.model_validate({**execution.to_api(), "status": status})


def test_a_whole_success_is_followed_by_the_next_of_the_chain(build: Build) -> None:
    run = ended(build, waves=["data"], incident="INC1", approvalMode="Automatic", mode="Unplanned")
    following = chain.wanted(run)
    assert following is not None
    assert (following.name, following.message) == ("shop-1-reprotect", "")
    spec = chain.spec_of(run)
    assert (spec.operation, spec.mode, spec.approval_mode) == ("Reprotect", "Planned", "Required")
    assert (spec.waves, spec.incident) == (["data"], "INC1")
    assert [after.operation for after in spec.then] == ["Failback"]
    assert spec.start_before == "2026-03-01T03:00:00.000000Z"
    assert chain.metadata(run) == {
        "labels": {"leeward.dev/follows": "shop-1", "leeward.dev/follows-uid": "uid-shop-1"},
        "annotations": {"leeward.dev/requested-by": "ann@example.com"},
    }


@pytest.mark.parametrize(
    ("reason", "state"),
    [("WithinTolerance", "Succeeded"), ("Failed", "Failed"), ("Cancelled", "Cancelled")],
)
def test_after_anything_less_people_go_on_themselves(build: Build, reason: str, state: str) -> None:
    following = chain.wanted(ended(build, reason, state))
    assert following is not None
    assert f"ended {state} ({reason})" in following.message


def test_what_is_recorded_is_not_created_again(build: Build) -> None:
    run = ended(build)
    following = chain.wanted(run)
    status = run.status.model_copy(update={"next": following})
    assert chain.wanted(run.model_copy(update={"status": status})) is None


@pytest.mark.parametrize("run", ["live", "no chain", "dry"])
def test_nothing_follows(build: Build, run: str) -> None:
    runs = {
        "live": build.execution(then=CHAIN),
        "no chain": ended(build, then=[]),
        "dry": ended(build, dryRun="Plan"),
    }
    assert chain.wanted(runs[run]) is None


def test_names_stay_short_and_different(build: Build) -> None:
    long, other = "x" * 63, "x" * 62 + "y"
    names = {chain.follower_name(name, "Reprotect") for name in (long, other)}
    assert len(names) == 2
    assert {len(name) for name in names} == {63}
    assert chain.follower_name("orders-1", "Failback") == "orders-1-failback"


def test_only_the_run_s_own_follower_is_taken_for_it(build: Build) -> None:
    run, other = ended(build), build.execution(name="shop-1-reprotect")
    assert not chain.follows(run, other)
    metadata = other.metadata.model_copy(update={"labels": chain.metadata(run)["labels"]})
    assert chain.follows(run, other.model_copy(update={"metadata": metadata}))


def test_what_follows_begins_with_a_gate_of_its_own(build: Build) -> None:
    away = {"recoveryInstanceId": "i-b2", "recoveryInstanceDrill": "false"}
    waves = [{"name": "data"}, {"name": "app"}]
    status = {"location": "Recovery", "waves": [{"name": "data", "location": "Recovery"}]}
    plan = build.plan(waves=waves, status=status)
    first = build.execution(operation="Reprotect")
    inventory = build.inventory(build.server(attributes=away))
    assert freeze(first, plan, build.accounts(), [inventory]).gates == ()
    metadata = first.metadata.model_copy(update={"labels": {"leeward.dev/follows": "shop-0"}})
    following = first.model_copy(update={"metadata": metadata})
    (gate,) = freeze(following, plan, build.accounts(), [inventory]).gates
    assert (gate.name, gate.before) == ("begin-data", "Replicate")

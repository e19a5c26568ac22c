"""Discovery: one account in a handful of calls, and no silence taken for emptiness."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from leeward_adapters.discovery import Discovery, discover
from leeward_sandbox.aws.estates import Estate, load

pytestmark = pytest.mark.aws

REGIONS = ("us-east-1", "us-east-2")


def _discover(sandbox: Any, account: str | None = None) -> Discovery:
    reached = sandbox.reached(account)
    return discover(lambda region: sandbox.aws.scope(reached, region), regions=REGIONS)


def _renumbered(name: str, prefix: str) -> Estate:
    """A bundled estate in accounts of this test's own."""
    estate = load(name)
    accounts = [a.model_copy(update={"id": f"{prefix}{a.id[6:]}"}) for a in estate.accounts]
    return estate.model_copy(update={"accounts": accounts})


def test_servers_are_found_by_their_source_servers_with_the_instances_tags(sandbox: Any) -> None:
    first, second = sandbox.servers()
    origin = sandbox.server(first)["sourceProperties"]["identificationHints"]["awsInstanceID"]
    sandbox.client("ec2", "us-east-1").create_tags(
        Resources=[origin], Tags=[{"Key": "dr:wave", "Value": "3"}]
    )
    sandbox.change(second, tags={"OnlyHere": "yes"}, state="STALLED", error="AGENT_NOT_SEEN")
    sandbox.control.advance(600)

    discovery = _discover(sandbox)

    found = {one.id: one for one in discovery.found}
    assert discovery.problems == []
    assert set(found) == {first, second}
    assert {one.technology for one in found.values()} == {"drs"}
    assert found[first].tags["dr:wave"] == "3"
    assert found[first].name == "app-01"
    assert found[first].region == "us-east-2"
    assert found[first].attributes["originInstanceId"] == origin
    assert found[first].attributes["originRegion"] == "us-east-1"
    assert found[first].attributes["replicationState"] == "CONTINUOUS"
    assert found[first].attributes["lag"] == "P0D"
    assert found[second].tags["OnlyHere"] == "yes"
    assert found[second].attributes["error"] == "AGENT_NOT_SEEN"


def test_recovery_instances_are_joined_and_are_no_resources_of_their_own(
    sandbox: Any, make_task: Any
) -> None:
    first, second = sandbox.servers()
    launched = make_task(sandbox, [first]).run()
    make_task(sandbox, [second], operation="Test").run()
    sandbox.control.advance(600)

    found = {one.id: one.attributes for one in _discover(sandbox).found}

    assert set(found) == {first, second}
    assert found[first]["recoveryInstanceId"] == launched[first].reference
    assert found[first]["recoveryInstanceDrill"] == "false"
    assert found[second]["recoveryInstanceDrill"] == "true"


def test_the_small_estate_is_found_whole(make_sandbox: Any) -> None:
    estate = _renumbered("small", "600001")
    sandbox = make_sandbox(estate=estate)
    found: Counter[str] = Counter()

    for account in estate.accounts:
        discovery = _discover(sandbox, account.id)
        assert (discovery.problems, discovery.notes) == ([], [])
        found += Counter(one.technology for one in discovery.found)
        assert {one.tags["Customer"] for one in discovery.found} == {"CustomerA"}

    assert found["drs"] == 44
    assert found["ec2"] == 0
    assert found["route53"] == 1
    assert {"rds", "ecs", "lambda", "autoscaling"} <= set(found)


def test_an_account_of_250_servers_costs_few_calls_and_none_in_the_primary_region(
    make_sandbox: Any,
) -> None:
    sandbox = make_sandbox(250)
    sandbox.control.backend("drs", {"settings": {"pages": {"sourceServers": 200}}})
    sandbox.control.add_fault(region="us-east-1", action="error", status=503)

    discovery = _discover(sandbox)

    assert (len(discovery.found), discovery.problems) == (250, [])
    calls = [c for c in sandbox.control.calls() if c["service"] != "sts"]
    assert len(calls) <= 6
    assert {c["region"] for c in calls} == {"us-east-2"}


def test_an_instance_that_is_tagged_for_drs_and_not_protected_is_shown_as_such(
    make_sandbox: Any,
) -> None:
    estate = _renumbered("broken", "600002")
    sandbox = make_sandbox(estate=estate)

    discovery = _discover(sandbox, estate.accounts[0].id)

    (one,) = [f for f in discovery.found if f.name == "unprotected"]
    assert one.technology == "drs"
    assert one.id.startswith("i-")
    assert one.attributes["error"].startswith("NoSourceServer")


def test_an_account_without_default_view_is_a_problem_with_a_remedy(make_sandbox: Any) -> None:
    estate = _renumbered("broken", "600003")
    sandbox = make_sandbox(estate=estate)
    account = estate.accounts[3].id

    problems = " ".join(_discover(sandbox, account).problems)

    assert account in problems
    assert "us-east-2" in problems
    assert "default view" in problems
    assert "resource-explorer-2:Search" in problems


def test_an_account_that_cannot_be_reached_is_a_problem(make_sandbox: Any) -> None:
    estate = _renumbered("broken", "600004")
    sandbox = make_sandbox(estate=estate)
    account = estate.accounts[2].id

    discovery = _discover(sandbox, account)

    assert discovery.found == []
    assert len(discovery.problems) == 3
    assert all(f"arn:aws:iam::{account}:role/LeewardRead" in p for p in discovery.problems)


def test_without_an_aggregator_in_the_recovery_region_the_primary_is_asked_and_it_is_noted(
    make_sandbox: Any,
) -> None:
    estate = _renumbered("small", "600005")
    account = estate.accounts[0]
    assert account.explorer is not None
    explorer = account.explorer.model_copy(update={"aggregator": "primary"})
    estate = estate.model_copy(
        update={"accounts": [account.model_copy(update={"explorer": explorer})]}
    )
    sandbox = make_sandbox(estate=estate)

    discovery = _discover(sandbox)

    assert discovery.problems == []
    assert len(discovery.notes) == 1
    assert {one.region for one in discovery.found if one.technology == "rds"} == set(REGIONS)


def test_a_silent_drs_is_a_problem_and_not_an_empty_estate(sandbox: Any) -> None:
    sandbox.control.add_fault(
        service="drs", action="error", code="AccessDeniedException", status=403
    )

    discovery = _discover(sandbox)

    (problem,) = discovery.problems
    assert problem.startswith("DRS in account")
    assert "AccessDeniedException" in problem

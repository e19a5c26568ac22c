"""Discovery: one account in a handful of calls, and no silence taken for emptiness."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from leeward_adapters import ec2_capacity
from leeward_adapters.aws import Aws
from leeward_adapters.base import Target
from leeward_adapters.discovery import Discovery, Known, discover, gone
from leeward_adapters.registry import adapter
from leeward_sandbox.aws.estates import Estate, load

pytestmark = pytest.mark.aws

REGIONS = ("us-east-1", "us-east-2")


def _discover(sandbox: Any, account: str | None = None, **options: Any) -> Discovery:
    reached = sandbox.reached(account)
    return discover(lambda region: sandbox.aws.scope(reached, region), regions=REGIONS, **options)


def _asked(sandbox: Any, since: int = 0) -> list[str]:
    """Operations since then, but for those that give us an identity."""
    return [c["operation"] for c in sandbox.control.calls(since=since) if c["service"] != "sts"]


def _without_explorer(name: str, prefix: str) -> Estate:
    """The first account of an estate, without any index of Resource Explorer."""
    estate = _renumbered(name, prefix)
    account = estate.accounts[0].model_copy(update={"explorer": None})
    return estate.model_copy(update={"accounts": [account]})


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
    assert found[first].attributes["sourceAddress"].startswith("10.0.")
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


def test_the_reference_is_found_in_few_calls_and_looked_at_again_in_two_for_each_account(
    make_sandbox: Any,
) -> None:
    estate = _renumbered("reference", "600010")
    sandbox = make_sandbox(estate=estate)
    sandbox.control.add_fault(region="us-east-1", action="error", status=503)

    cold = {a.id: _discover(sandbox, a.id) for a in estate.accounts}
    calls = [c for c in sandbox.control.calls() if c["service"] != "sts"]
    since = sandbox.control.last_seq()
    again = {
        a.id: _discover(sandbox, a.id, known=cold[a.id].known.without_index())
        for a in estate.accounts
    }

    assert sum(len(d.found) for d in cold.values()) == 1050
    assert [d.problems for d in cold.values()] == [[]] * 4
    assert len(calls) <= 16
    assert {c["region"] for c in calls} == {"us-east-2"}
    assert Counter(_asked(sandbox, since)) == {"ListResources": 4, "DescribeSourceServers": 4}
    assert {i: d.found for i, d in again.items()} == {i: d.found for i, d in cold.items()}


def _pass(sandbox: Any, account: str, known: Known) -> Known:
    """What a pass over a plan asks of an account: what is there, and whether it is ready."""
    found = _discover(sandbox, account, known=known.without_index())
    scope = sandbox.aws.scope(sandbox.reached(account), "us-east-2")
    targets = [Target(one.id, one.arn, one.name) for one in found.found if one.technology == "drs"]
    drs = adapter("drs")
    drs.settings(scope, targets)
    drs.limits(scope)
    assert drs.readiness(scope, targets) == []
    return found.known


def test_a_whole_pass_over_the_reference_asks_for_nothing_twice(make_sandbox: Any) -> None:
    """Discovery and readiness together, every five minutes, of four accounts."""
    estate = _renumbered("reference", "600020")
    sandbox, now = make_sandbox(estate=estate), [0.0]
    sandbox.aws = Aws("us-east-2", endpoint_url=sandbox.endpoint, clock=lambda: now[0])
    known = {a.id: _pass(sandbox, a.id, Known()) for a in estate.accounts}
    costs = []
    for _ in range(3):
        now[0] += 300.0
        since = sandbox.control.last_seq()
        known = {number: _pass(sandbox, number, known[number]) for number in known}
        costs.append(Counter(_asked(sandbox, since)))

    quiet = {"ListResources": 4, "DescribeSourceServers": 4}
    room = {
        "DescribeLaunchTemplateVersions": 8, "DescribeSubnets": 4, "DescribeSecurityGroups": 4,
        "DescribeInstances": 4,
    }  # fmt: skip
    assert costs == [quiet, quiet, {**quiet, **room}]


def test_readiness_asks_anew_for_what_discovery_read_before_a_launch(
    sandbox: Any, make_task: Any
) -> None:
    known = _discover(sandbox).known
    scope = sandbox.aws.scope(sandbox.reached(), "us-east-2")
    task = make_task(sandbox, sandbox.servers())
    since = sandbox.control.last_seq()
    assert task.adapter.readiness(scope, task.targets) == []
    assert not {"DescribeSourceServers", "DescribeJobs"} & {*_asked(sandbox, since)}

    task.run()

    reasons = {f.reason for f in task.adapter.readiness(scope, task.targets)}
    assert "LiveRecoveryInstance" in reasons
    _discover(sandbox, known=known)
    since = sandbox.control.last_seq()
    assert {f.reason for f in task.adapter.readiness(scope, task.targets)} == reasons
    # There is something that a job could end.
    assert "DescribeJobs" in _asked(sandbox, since)


def test_room_that_was_forgotten_is_asked_for_again(sandbox: Any, make_task: Any) -> None:
    scope = sandbox.aws.scope(sandbox.reached(), "us-east-2")
    task = make_task(sandbox, sandbox.servers())
    task.adapter.readiness(scope, task.targets)
    since = sandbox.control.last_seq()
    task.adapter.readiness(scope, task.targets)
    assert "DescribeSubnets" not in _asked(sandbox, since)

    ec2_capacity.forget(scope)

    task.adapter.readiness(scope, task.targets)
    room = {"DescribeSubnets", "DescribeSecurityGroups", "DescribeLaunchTemplateVersions"}
    assert room <= {*_asked(sandbox, since)}


def test_room_is_asked_for_again_once_leeward_has_launched_something(
    sandbox: Any, make_task: Any
) -> None:
    scope = sandbox.aws.scope(sandbox.reached(), "us-east-2")
    task = make_task(sandbox, sandbox.servers())
    free = _free(scope)
    ec2_capacity.running(scope)

    task.run()

    since = sandbox.control.last_seq()
    assert _free(scope) < free
    ec2_capacity.running(scope)
    assert _asked(sandbox, since) == ["DescribeSubnets", "DescribeInstances"]


def _free(scope: Any) -> int:
    return sum(subnet.free for subnet in ec2_capacity.subnets(scope).values())


def test_what_a_launch_takes_shows_though_it_was_looked_at_right_after_the_call(
    sandbox: Any, make_task: Any
) -> None:
    moment = [1000.0]
    sandbox.aws = Aws("us-east-2", endpoint_url=sandbox.endpoint, clock=lambda: moment[0])
    scope = sandbox.aws.scope(sandbox.reached(), "us-east-2")
    make_task(sandbox, sandbox.servers()).act("launch")
    free = _free(scope)
    sandbox.control.advance(3600)

    moment[0] += 59
    assert _free(scope) == free
    moment[0] += 1
    assert _free(scope) < free


def test_pages_that_aws_makes_smaller_than_asked_for_are_followed(make_sandbox: Any) -> None:
    sandbox = make_sandbox(120)
    sandbox.control.backend("drs", {"settings": {"pages": {"most": 50}}})

    discovery = _discover(sandbox)

    assert (len(discovery.found), discovery.problems) == (120, [])
    assert _asked(sandbox).count("DescribeSourceServers") == 3


def test_recovery_instances_are_asked_for_again_once_a_server_was_launched(
    sandbox: Any, make_task: Any
) -> None:
    first, _ = sandbox.servers()
    before = _discover(sandbox)
    since = sandbox.control.last_seq()
    quiet = _discover(sandbox, known=before.known)
    assert _asked(sandbox, since) == ["DescribeSourceServers"]

    launched = make_task(sandbox, [first]).run()
    after = _discover(sandbox, known=quiet.known)

    (found,) = [one for one in after.found if one.id == first]
    assert found.attributes["recoveryInstanceId"] == launched[first].reference


def test_a_server_is_gone_when_drs_says_so_of_it(sandbox: Any) -> None:
    first, second = sandbox.servers()
    unknown = "s-00000000000000000"

    scope = sandbox.aws.scope(sandbox.reached(), "us-east-2")
    assert gone(scope, [first, unknown, second]) == {unknown}


def test_without_an_index_the_tagging_api_is_asked_in_each_region_and_it_is_said_why(
    make_sandbox: Any,
) -> None:
    estate = _without_explorer("small", "600011")
    sandbox = make_sandbox(estate=estate)

    discovery = _discover(sandbox)

    assert discovery.problems == []
    assert discovery.used == (("TaggingApi", "us-east-2"), ("TaggingApi", "us-east-1"))
    assert {"drs", "rds"} <= {one.technology for one in discovery.found}
    assert {one.region for one in discovery.found if one.technology == "rds"} == set(REGIONS)
    assert any("create-resource-explorer-setup" in note for note in discovery.notes)


def test_the_providers_of_the_plan_are_asked_in_its_order(make_sandbox: Any) -> None:
    sandbox = make_sandbox(estate=_without_explorer("small", "600012"))

    discovery = _discover(sandbox, providers=("Describe", "ResourceExplorer"))

    assert discovery.problems == []
    assert {provider for provider, _ in discovery.used} == {"Describe"}
    assert {"drs", "rds"} <= {one.technology for one in discovery.found}
    assert "does not see" in discovery.notes[0]
    assert "lambda:function" in discovery.notes[0]
    asked = {c["service"] for c in sandbox.control.calls()}
    assert "resource-explorer-2" not in asked


def test_what_describe_finds_is_what_resource_explorer_finds(make_sandbox: Any) -> None:
    estate = _renumbered("small", "600013")
    sandbox = make_sandbox(estate=estate)
    for account in estate.accounts:
        seen = {
            how: {
                one.arn: (one.technology, one.region, sorted(one.tags.items()))
                for one in _discover(sandbox, account.id, providers=(how,)).found
            }
            for how in ("ResourceExplorer", "TaggingApi", "Describe")
        }
        shown = {a: s for a, s in seen["ResourceExplorer"].items() if a in seen["Describe"]}
        assert seen["Describe"] == shown
        # moto's Tagging API lists hosted zones nowhere.
        tagged = {a: s for a, s in seen["ResourceExplorer"].items() if s[0] != "route53"}
        assert seen["TaggingApi"] == tagged


def test_where_listing_is_denied_search_is_used_in_questions_that_it_answers_whole(
    make_sandbox: Any,
) -> None:
    estate = _renumbered("small", "600014")
    sandbox = make_sandbox(estate=estate)
    account = estate.accounts[0].id
    whole = _discover(sandbox, account)
    sandbox.control.add_fault(
        service="resource-explorer-2", operation="ListResources",
        action="error", code="AccessDeniedException", status=403,
    )  # fmt: skip

    searched = _discover(sandbox, account)

    assert (searched.problems, searched.found) == ([], whole.found)
    assert searched.used == (("ResourceExplorer", "us-east-2"), ("ResourceExplorer", "us-east-1"))


def test_more_than_search_can_show_is_not_taken_for_the_whole(make_sandbox: Any) -> None:
    sandbox = make_sandbox(1010)
    sandbox.control.add_fault(
        service="resource-explorer-2", operation="ListResources",
        action="error", code="AccessDeniedException", status=403,
    )  # fmt: skip

    discovery = _discover(sandbox)

    assert discovery.problems == []
    assert set(discovery.used) == {("TaggingApi", "us-east-2"), ("TaggingApi", "us-east-1")}
    for part in ("more resources of ec2:instance in us-east-1 (", "than the 1,000 that Search"):
        assert part in discovery.notes[0]


def test_a_primary_region_that_is_gone_leaves_the_source_servers_with_their_tags(
    make_sandbox: Any,
) -> None:
    sandbox = make_sandbox(estate=_without_explorer("small", "600015"))
    sandbox.control.add_fault(region="us-east-1", action="drop")

    discovery = _discover(sandbox)

    servers = [one for one in discovery.found if one.technology == "drs"]
    assert len(servers) == 8
    assert all(one.tags["dr:wave"] == "1" for one in servers)
    assert discovery.used == (("TaggingApi", "us-east-2"),)
    assert all("us-east-1" in problem for problem in discovery.problems)
    # Once it was found dead, it is not asked by another way.
    there = {c["service"] for c in sandbox.control.calls() if c["region"] == "us-east-1"}
    assert there == {"resource-explorer-2"}


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

    problems = " ".join(_discover(sandbox, account, providers=["ResourceExplorer"]).problems)

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
    assert len(discovery.problems) == 2
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

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from leeward.planning.estate.inventory import by_account, chunks, located, sort_out

if TYPE_CHECKING:
    from tests.planning.conftest import Build

ADAPTERS = frozenset({"drs", "route53", "ec2"})
I1, I2 = "i-00000000000000001", "i-00000000000000002"
I1_ARN = f"arn:aws:ec2:us-east-1:111111111111:instance/{I1}"
S1, S2 = "s-00000000000000001", "s-00000000000000002"


def outcome(resources: list[Any]) -> dict[str, str]:
    return {resource.id: resource.verdict for resource in resources}


def reasons(resource: Any) -> list[str]:
    return [line.partition(":")[0] for line in resource.problems]


# --- one machine, one entry --------------------------------------------------------------------


def test_an_instance_is_represented_by_its_source_server(build: Build) -> None:
    found = [
        build.found("ec2", I1, name="db-1"),
        build.found("drs", S1, tags={}, attributes={"originInstanceId": I1}),
    ]
    (resource,) = sort_out(build.plan().spec, found, ADAPTERS)
    assert (resource.id, resource.verdict, resource.wave) == (S1, "Selected", "data")
    assert resource.name == "db-1"


def test_tags_of_the_instance_win_over_those_of_its_server(build: Build) -> None:
    found = [
        build.found("ec2", I1, tags={"dr:wave": "2", "dr:priority": "low"}),
        build.found("drs", S1, attributes={"originInstanceId": I1}),
    ]
    (resource,) = sort_out(build.plan().spec, found, ADAPTERS)
    assert resource.wave == "app"
    assert resource.tags["dr:priority"] == "low"
    assert resource.tags["Customer"] == "acme"


def test_a_server_whose_instance_cannot_be_read_speaks_by_its_own_tags(build: Build) -> None:
    found = [build.found("drs", S1, attributes={"originInstanceId": I1})]
    assert outcome(sort_out(build.plan().spec, found, ADAPTERS)) == {S1: "Selected"}


def test_an_instance_in_another_account_is_joined_to_its_server(build: Build) -> None:
    plan = build.plan(accounts=[{"name": "prod"}, {"name": "staging"}])
    found = [
        build.found("ec2", I1),
        build.found("drs", S1, tags={}, account="staging", attributes={"originInstanceId": I1}),
    ]
    grouped = by_account(plan.spec, found, ADAPTERS)
    assert {name: outcome(rs) for name, rs in grouped.items()} == {
        "prod": {},
        "staging": {S1: "Selected"},
    }


def test_an_instance_without_a_source_server_is_a_problem(build: Build) -> None:
    (resource,) = sort_out(build.plan().spec, [build.found("ec2", I1)], ADAPTERS)
    assert (resource.id, resource.verdict) == (I1, "Excluded")
    assert reasons(resource) == ["NoSourceServer"]
    assert I1 in resource.problems[0]
    assert "install the AWS Replication Agent" in resource.problems[0]


def test_an_instance_that_discovery_takes_for_one_of_drs_is_no_source_server(build: Build) -> None:
    attributes = {"originInstanceId": I1, "originRegion": "us-east-1", "error": "unprotected"}
    found = [build.found("drs", I1, arn=I1_ARN, region="us-east-1", attributes=attributes)]
    (resource,) = sort_out(build.plan().spec, found, ADAPTERS)
    assert (resource.technology, resource.verdict) == ("ec2", "Excluded")
    assert reasons(resource) == ["NoSourceServer"]
    server = build.found("drs", S1, account="second", attributes={"originInstanceId": I1})
    assert outcome(sort_out(build.plan().spec, [*found, server], ADAPTERS)) == {S1: "Selected"}


def test_an_instance_with_another_strategy_stands_for_itself(build: Build) -> None:
    found = [
        build.found("ec2", I1, tags={**build.tags, "dr:recovery-strategy": "sql-ag"}),
        build.found("drs", S1, attributes={"originInstanceId": I1}),
    ]
    assert outcome(sort_out(build.plan().spec, found, ADAPTERS)) == {I1: "NoAdapter"}


def test_what_a_recovery_launched_is_not_a_machine_of_the_estate(build: Build) -> None:
    found = [
        build.found("ec2", I2, region="us-east-2"),
        build.found("drs", S2, region="us-east-1"),
        build.found("drs", S1, attributes={"recoveryInstanceId": I2}),
    ]
    assert outcome(sort_out(build.plan().spec, found, ADAPTERS)) == {S1: "Selected"}


def test_a_server_that_protects_another_region_belongs_to_another_plan(build: Build) -> None:
    found = [build.found("drs", S1, attributes={"originRegion": "eu-west-1"})]
    assert sort_out(build.plan().spec, found, ADAPTERS) == []


def test_of_two_servers_of_an_instance_the_connected_one_is_used(build: Build) -> None:
    old = {"originInstanceId": I1, "replicationState": "DISCONNECTED"}
    new = {"originInstanceId": I1, "replicationState": "CONTINUOUS"}
    found = [
        build.found("drs", S1, attributes=old),
        build.found("drs", S2, attributes=new),
        build.found("ec2", I1),
    ]
    resources = sort_out(build.plan().spec, found, ADAPTERS)
    assert outcome(resources) == {S1: "Excluded", S2: "Selected"}
    assert reasons(resources[0]) == ["DuplicateSourceServer"]


# --- scope -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "verdict"),
    [
        ({}, "Selected"),
        ({"Environment": "PRODUCTION"}, "Selected"),
        ({"Environment": "staging"}, None),
        ({"Customer": "Acme"}, None),
        ({"Customer": "other", "dr:enabled": "false"}, None),
        ({"Customer": None}, "Excluded"),
        ({"Customer": None, "Environment": "staging"}, None),
        ({"Environment": None}, "Excluded"),
        ({"Customer": None, "Environment": None}, "Excluded"),
    ],
)
def test_scope(build: Build, tags: dict[str, str | None], verdict: str | None) -> None:
    given = {k: v for k, v in {**build.tags, **tags}.items() if v is not None}
    resources = sort_out(build.plan().spec, [build.found("drs", S1, tags=given)], ADAPTERS)
    assert [r.verdict for r in resources] == ([verdict] if verdict else [])


@pytest.mark.parametrize(
    ("tags", "count"),
    [
        ({"Application": "shop"}, 1),
        ({"Application": "crm"}, 0),
        ({}, 0),
        ({"Customer": "", "Application": "shop"}, 1),
        ({"Customer": "", "Application": "crm"}, 0),
        ({"Customer": ""}, 1),
    ],
)
def test_applications_narrow_the_scope(build: Build, tags: dict[str, str], count: int) -> None:
    plan = build.plan(applications=["shop"])
    found = [build.found("drs", S1, tags={**build.tags, **tags})]
    assert len(sort_out(plan.spec, found, ADAPTERS)) == count


# --- verdicts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "verdict", "problems"),
    [
        ({}, "Selected", []),
        ({"dr:enabled": "false"}, "NotEnrolled", []),
        ({"dr:enabled": "true "}, "Excluded", ["InvalidEnabled"]),
        ({"dr:rpo-target": "soon"}, "Excluded", ["InvalidRpoTarget"]),
        ({"dr:wave": "x", "dr:priority": "x"}, "Excluded", ["InvalidPriority", "InvalidWave"]),
        ({"dr:wave": "4"}, "NoWave", ["NoWave"]),
        ({"dr:recovery-strategy": "sql-ag"}, "NoAdapter", []),
    ],
)
def test_tags_decide(build: Build, tags: dict[str, str], verdict: str, problems: list[str]) -> None:
    found = [build.found("drs", S1, tags={**build.tags, **tags})]
    (resource,) = sort_out(build.plan().spec, found, ADAPTERS)
    assert resource.verdict == verdict
    assert reasons(resource) == problems


@pytest.mark.parametrize(
    ("selection", "verdict"),
    [
        ({"technologies": ["drs"]}, "Selected"),
        ({"technologies": ["rds"]}, "NotSelected"),
        ({"excludeTechnologies": ["drs"]}, "NotSelected"),
        ({"excludeResources": [S1]}, "NotSelected"),
        ({"excludeResources": [I1]}, "NotSelected"),
        (
            {"excludeResources": [I1_ARN]},
            "NotSelected",
        ),
        ({"excludeResources": [S2]}, "Selected"),
    ],
)
def test_the_selection_of_the_plan_decides(
    build: Build, selection: dict[str, Any], verdict: str
) -> None:
    found = [
        build.found("ec2", I1),
        build.found("drs", S1, attributes={"originInstanceId": I1}),
    ]
    resources = sort_out(build.plan(selection=selection).spec, found, ADAPTERS)
    assert outcome(resources) == {S1: verdict}


def test_selecting_drs_still_reports_instances_without_an_agent(build: Build) -> None:
    plan = build.plan(selection={"technologies": ["drs"]})
    assert outcome(sort_out(plan.spec, [build.found("ec2", I1)], ADAPTERS)) == {I1: "Excluded"}


def test_an_explicit_wave_number_takes_its_tag_and_position_does_not(build: Build) -> None:
    plan = build.plan(waves=[{"name": "data", "number": 40}, {"name": "app"}])
    found = [
        build.found("drs", S1, tags={**build.tags, "dr:wave": "40"}),
        build.found("drs", S2, tags={**build.tags, "dr:wave": "1"}),
    ]
    resources = sort_out(plan.spec, found, ADAPTERS)
    assert outcome(resources) == {S1: "Selected", S2: "NoWave"}
    assert "the plan's waves are 2, 40" in resources[1].problems[0]


def test_a_wave_takes_only_the_technologies_that_it_lists(build: Build) -> None:
    plan = build.plan(waves=[{"name": "data", "technologies": [{"type": "rds"}]}])
    assert outcome(sort_out(plan.spec, [build.found("drs", S1)], ADAPTERS)) == {S1: "NotSelected"}


@pytest.mark.parametrize(
    ("strategy", "adapters", "verdict"),
    [
        ("managed-service", ADAPTERS, "NoAdapter"),
        ("managed-service", ADAPTERS | {"rds"}, "Selected"),
        ("drs", ADAPTERS | {"rds"}, "Excluded"),
    ],
)
def test_other_technologies_need_an_adapter_and_a_fitting_strategy(
    build: Build, strategy: str, adapters: frozenset[str], verdict: str
) -> None:
    tags = {**build.tags, "dr:recovery-strategy": strategy}
    found = [build.found("rds", "orders", tags=tags)]
    assert outcome(sort_out(build.plan().spec, found, adapters)) == {"orders": verdict}


def test_a_hosted_zone_takes_part_when_an_explicit_task_names_it(build: Build) -> None:
    waves = [{"name": "data"}, {"name": "web", "tasks": [build.dns_task(zone="Z123")]}]
    zones = [
        build.found("route53", "Z123", region="global", tags={}),
        build.found("route53", "Z456", region="global"),
        build.found("route53", "Z789", region="global", tags={}),
    ]
    resources = sort_out(build.plan(waves=waves).spec, zones, ADAPTERS)
    assert outcome(resources) == {"Z123": "Selected", "Z456": "NotSelected"}
    assert resources[0].wave == "web"
    assert resources[0].problems == []


# --- the record --------------------------------------------------------------------------------


def test_only_tags_that_matter_are_kept_and_attributes_fit_their_limits(build: Build) -> None:
    tags = {**build.tags, "Name": "db-1", "cost-centre": "42", "aws:cloudformation:stack": "x"}
    attributes = {"error": "e" * 600, **{f"a{n:02d}": "1" for n in range(30)}}
    found = [build.found("drs", S1, tags=tags, attributes=attributes)]
    (resource,) = sort_out(build.plan().spec, found, ADAPTERS)
    assert set(resource.tags) == {"Name", *build.tags}
    assert len(resource.attributes) == 20
    assert all(len(value) <= 512 for value in resource.attributes.values())


def test_the_order_of_what_was_found_does_not_matter(build: Build) -> None:
    found = [
        build.found("ec2", I1),
        build.found("drs", S1, attributes={"originInstanceId": I1}),
        build.found("drs", S2),
        build.found("rds", "orders"),
    ]
    spec = build.plan().spec
    resources = sort_out(spec, found, ADAPTERS)
    assert resources == sort_out(spec, found[::-1], ADAPTERS)
    assert [r.arn for r in resources] == sorted(r.arn for r in resources)


def test_where_two_inventories_hold_a_resource_the_current_one_wins(build: Build) -> None:
    new = build.inventory(build.server(1, name="new"), part=0)
    old = build.inventory(build.server(1, name="old"), part=1, current=False)
    for inventories in ([new, old], [old, new]):
        assert [found.resource.name for found in located(inventories)] == ["new"]


def test_chunks_keep_the_order_and_the_last_is_smaller() -> None:
    assert chunks([1, 2, 3, 4, 5], 2) == [[1, 2], [3, 4], [5]]
    assert chunks([], 2) == []


# --- shared services ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("applications", "tags", "verdict"),
    [
        (["orders", "billing"], {"dr:shared-by": "orders,billing"}, "Selected"),
        (["orders"], {"dr:shared-by": "orders,billing"}, "SharedElsewhere"),
        (["stock"], {"dr:shared-by": "orders,billing"}, None),
        ([], {"dr:shared-by": "orders,billing"}, None),  # of which customer is not known
        ([], {"dr:shared-by": "orders", "Customer": "acme"}, "Selected"),
        (["orders"], {"dr:shared-by": "orders", "Customer": "else"}, None),
        (["orders"], {"Application": "orders", "dr:shared-by": "billing"}, None),
        (
            ["orders"],
            {"Customer": "acme", "Application": "orders", "dr:shared-by": "billing"},
            "SharedElsewhere",
        ),
        (["orders"], {"dr:shared-by": "orders", "Environment": "Staging"}, None),
        (
            ["orders"],
            {"dr:shared-by": "orders,billing", "dr:failover-mode": "active-active"},
            "ActiveActive",
        ),
    ],
)
def test_a_shared_service_moves_with_all_its_applications_or_stays(
    build: Build, applications: list[str], tags: dict[str, str], verdict: str | None
) -> None:
    given = {**build.tags, "Customer": "shared", "Application": "directory", **tags}
    plan = build.plan(applications=applications)
    resources = sort_out(plan.spec, [build.found("drs", S1, tags=given)], ADAPTERS)
    assert outcome(resources) == ({S1: verdict} if verdict else {})

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from leeward.planning.digests import digest
from leeward.planning.runs.freeze import freeze, region_short
from leeward.planning.runs.planned_gates import planned_gates

if TYPE_CHECKING:
    from tests.planning.conftest import Build


@pytest.mark.parametrize(
    ("region", "short"),
    [
        ("us-east-2", "use2"),
        ("us-west-1", "usw1"),
        ("eu-central-1", "euc1"),
        ("eu-north-1", "eun1"),
        ("ap-southeast-2", "apse2"),
        ("ap-northeast-1", "apne1"),
        ("cn-northwest-1", "cnnw1"),
        ("us-gov-west-1", "usgw1"),
        ("me-south-1", "mes1"),
    ],
)
def test_a_region_is_shortened(region: str, short: str) -> None:
    assert region_short(region) == short


# --- tasks -------------------------------------------------------------------------------------


def names(frozen: Any) -> list[str]:
    return [task.name for task in frozen.tasks]


def test_a_failover_instantiates_and_activates_wave_by_wave(build: Build) -> None:
    inventory = build.inventory(build.server(1), build.server(2, wave="web"))
    frozen = freeze(build.execution(), build.plan(), build.accounts(), [inventory])
    assert names(frozen) == [
        "shop-1-w1-instantiate-drs-111111111111-use2-0",
        "shop-1-w1-activate-drs-111111111111-use2-0",
        "shop-1-w3-instantiate-drs-111111111111-use2-0",
        "shop-1-w3-activate-drs-111111111111-use2-0",
    ]


def test_a_test_cleans_up_after_the_last_wave_in_reverse_order(build: Build) -> None:
    inventory = build.inventory(build.server(1), build.server(2, wave="web"))
    execution = build.execution(operation="Test")
    frozen = freeze(execution, build.plan(), build.accounts(), [inventory])
    assert names(frozen)[-2:] == [
        "shop-1-w3-cleanup-drs-111111111111-use2-0",
        "shop-1-w1-cleanup-drs-111111111111-use2-0",
    ]
    networks = [task.spec.drill_network for task in frozen.tasks]
    assert networks == [build.plan().spec.drill.networks[0]] * 6


def test_a_failover_carries_no_drill_network(build: Build) -> None:
    frozen = freeze(
        build.execution(), build.plan(), build.accounts(), [build.inventory(build.server(1))]
    )
    assert [task.spec.drill_network for task in frozen.tasks] == [None, None]


def test_a_task_says_all_that_the_engine_needs(build: Build) -> None:
    plan = build.plan(waves=[{"name": "data", "taskTimeout": "45m"}])
    inventory = build.inventory(build.server(1))
    frozen = freeze(build.execution(mode="Unplanned"), plan, build.accounts(), [inventory])
    spec = frozen.tasks[0].spec
    assert spec.to_api() == {
        "executionRef": {"name": "shop-1", "uid": "uid-shop-1"},
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
        "roleArn": "arn:aws:iam::111111111111:role/leeward",
        "resources": [
            {
                "id": "s-00000000000000001",
                "arn": "arn:aws:drs:us-east-2:111111111111:source-server/s-00000000000000001",
                "name": "srv-1",
                "attributes": {
                    "replicationState": "CONTINUOUS",
                    "lag": "P0D",
                    "originInstanceId": "i-00000000000000001",
                },
                "criticality": "Critical",
            }
        ],
        "dependsOn": [],
        "timeout": "45m",
        "start": "InTurn",
    }
    assert frozen.tasks[0].digest == digest(spec.to_api())


@pytest.mark.parametrize(
    ("count", "sizes"), [(1, [1]), (100, [100]), (101, [100, 1]), (250, [100, 100, 50])]
)
def test_resources_are_dealt_by_the_hundred_sorted_by_arn(
    build: Build, count: int, sizes: list[int]
) -> None:
    servers = [build.server(n) for n in range(count, 0, -1)]
    frozen = freeze(build.execution(), build.plan(), build.accounts(), [build.inventory(*servers)])
    tasks = [task for task in frozen.tasks if task.spec.recovery_phase == "Instantiate"]
    assert [len(task.spec.resources) for task in tasks] == sizes
    assert [task.name.rpartition("-")[2] for task in tasks] == [str(n) for n in range(len(sizes))]
    arns = [resource.arn for task in tasks for resource in task.spec.resources]
    assert arns == sorted(arns)
    assert len(set(arns)) == count


def test_each_account_has_its_own_tasks_and_role(build: Build) -> None:
    plan = build.plan(accounts=[{"name": "prod"}, {"name": "second"}])
    accounts = build.accounts() | {"second": build.account("second", "222222222222")}
    inventories = [
        build.inventory(build.server(1)),
        build.inventory(build.server(2), account="second", accountId="222222222222"),
    ]
    frozen = freeze(build.execution(), plan, accounts, inventories)
    roles = {task.name: task.spec.role_arn for task in frozen.tasks[:2]}
    assert roles == {
        "shop-1-w1-instantiate-drs-111111111111-use2-0": "arn:aws:iam::111111111111:role/leeward",
        "shop-1-w1-instantiate-drs-222222222222-use2-0": "arn:aws:iam::222222222222:role/leeward",
    }


def test_only_selected_resources_of_this_plan_s_accounts_take_part(build: Build) -> None:
    inventories = [
        build.inventory(build.server(1, verdict="Excluded"), build.server(2, verdict="NoWave")),
        build.inventory(build.server(3), account="dropped", accountId="222222222222"),
    ]
    assert freeze(build.execution(), build.plan(), build.accounts(), inventories).tasks == ()


def test_a_technology_has_only_the_phases_that_its_adapter_has(build: Build) -> None:
    rds = build.server(1, technology="rds")
    frozen = freeze(
        build.execution(operation="Test"),
        build.plan(),
        build.accounts(),
        [build.inventory(rds)],
        phases={"rds": {"Activate"}},
    )
    assert [task.spec.recovery_phase for task in frozen.tasks] == ["Activate"]


def test_a_dns_task_holds_its_records_and_its_edges(build: Build) -> None:
    records = [
        {"name": "Shop.example.com.", "type": "A", "recovery": {"values": ["192.0.2.1"]}},
        {
            "name": "api.example.com",
            "type": "AAAA",
            "setIdentifier": "away",
            "recovery": {"weight": 100},
        },
    ]
    first = build.dns_task("first")
    second = build.dns_task("second", records=records, dependsOn=["first"], timeout="10m")
    plan = build.plan(waves=[{"name": "data", "tasks": [second, first]}])
    frozen = freeze(build.execution(), plan, build.accounts(), [])
    assert names(frozen) == ["shop-1-w1-activate-second", "shop-1-w1-activate-first"]
    spec = frozen.tasks[0].spec
    assert spec.depends_on == ["shop-1-w1-activate-first"]
    assert [r.id for r in spec.resources] == ["shop.example.com. A", "api.example.com. AAAA away"]
    assert {r.arn for r in spec.resources} == {"arn:aws:route53:::hostedzone/Z123"}
    assert (spec.technology, spec.task, spec.timeout, spec.region) == (
        "route53",
        "second",
        "10m",
        "us-east-2",
    )
    assert spec.route53 is not None
    assert spec.route53.hosted_zone_id == "Z123"


def test_a_dns_task_waits_for_the_servers_of_its_wave(build: Build) -> None:
    plan = build.plan(waves=[{"name": "data", "tasks": [build.dns_task("switch")]}])
    frozen = freeze(build.execution(), plan, build.accounts(), [build.inventory(build.server())])
    edges = {task.name: task.spec.depends_on for task in frozen.tasks}
    assert edges["shop-1-w1-activate-switch"] == ["shop-1-w1-activate-drs-111111111111-use2-0"]
    assert edges["shop-1-w1-activate-drs-111111111111-use2-0"] == []


def test_a_hosted_zone_of_the_inventory_makes_no_task_of_its_own(build: Build) -> None:
    zone = {
        "id": "Z123",
        "arn": "arn:aws:route53:::hostedzone/Z123",
        "technology": "route53",
        "region": "us-east-1",
        "verdict": "Selected",
        "wave": "data",
    }
    plan = build.plan(waves=[{"name": "data", "tasks": [build.dns_task()]}])
    frozen = freeze(build.execution(), plan, build.accounts(), [build.inventory(zone)])
    assert names(frozen) == ["shop-1-w1-activate-switch"]


def test_dns_stays_in_another_partition_in_its_partition(build: Build) -> None:
    role = "arn:aws-us-gov:iam::111111111111:role/leeward"
    accounts = build.accounts(readRoleArn=role, recoveryRoleArn=role)
    plan = build.plan(waves=[{"name": "data", "tasks": [build.dns_task()]}])
    frozen = freeze(build.execution(), plan, accounts, [])
    assert frozen.tasks[0].spec.resources[0].arn == "arn:aws-us-gov:route53:::hostedzone/Z123"


def test_the_digest_changes_with_what_would_be_done_and_with_nothing_else(build: Build) -> None:
    def frozen_digest(*servers: dict[str, Any], **fields: Any) -> str:
        inventories = [build.inventory(*servers)]
        plan = build.plan(**fields)
        return freeze(build.execution(), plan, build.accounts(), inventories).digest

    one, two = build.server(1), build.server(2)
    same = frozen_digest(one, two)
    assert same == frozen_digest(two, one, description="other words")
    assert same != frozen_digest(one)
    assert same != frozen_digest(one, two, waves=[{"name": "data", "gates": [{}]}])


# --- gates -------------------------------------------------------------------------------------


def gates_of(build: Build, *, allow: dict[str, Any] | None = None, **fields: Any) -> list[Any]:
    execution = build.execution(**fields.pop("execution", {})).spec
    accounts = build.accounts(allow=allow or {})
    return list(planned_gates(execution, build.plan(**fields).spec, accounts))


def test_gates_have_names_and_run_in_order(build: Build) -> None:
    waves = [
        {"name": "data", "gates": [{}, {"before": "Instantiate"}]},
        {"name": "app", "gates": [{"name": "dba"}]},
    ]
    assert [(g.name, g.ordinal, g.before) for g in gates_of(build, waves=waves)] == [
        ("wave-data-instantiate", 1, "Instantiate"),
        ("wave-data", 1, "Activate"),
        ("dba", 2, "Activate"),
    ]


def test_gates_before_cleanup_belong_to_a_test_and_come_last_in_reverse(build: Build) -> None:
    cleanup = {"before": "Cleanup"}
    waves = [{"name": "a", "gates": [cleanup]}, {"name": "b", "gates": [{}, cleanup]}]
    assert [g.name for g in gates_of(build, waves=waves)] == ["wave-b"]
    test = {"operation": "Test"}
    assert [g.name for g in gates_of(build, waves=waves, execution=test)] == [
        "wave-b",
        "wave-b-cleanup",
        "wave-a",
    ]


def test_a_gate_before_fencing_stands_before_the_launch_of_a_drill(build: Build) -> None:
    waves = [{"name": "a", "gates": [{"before": "Fence"}]}]
    (gate,) = gates_of(build, waves=waves)
    assert gate.before == "Fence"
    (gate,) = gates_of(build, waves=waves, execution={"operation": "Test"})
    assert gate.before == "Instantiate"


@pytest.mark.parametrize(("operation", "phase"), [("Cleanup", "Cleanup"), ("Test", "Instantiate")])
def test_a_gate_before_fencing_stands_beside_the_one_that_has_the_place(
    build: Build, operation: str, phase: str
) -> None:
    strict = {"before": phase, "required": 3, "fourEyes": "Required", "name": "strict"}
    waves = [{"name": "a", "gates": [strict, {"before": "Fence", "name": "stop"}]}]
    gates = gates_of(build, waves=waves, execution={"operation": operation})
    assert [(g.name, g.before, g.required, g.four_eyes) for g in gates] == [
        ("stop", phase, 1, "Off"),
        ("strict", phase, 3, "Required"),
    ]


@pytest.mark.parametrize(
    ("allow", "required", "four_eyes"),
    [
        ({"minApprovals": 2}, 2, "Off"),
        ({"fourEyes": "Required"}, 1, "Required"),
        ({"automaticApproval": "Refused"}, 1, "Off"),
    ],
)
def test_a_plan_without_gates_does_not_take_away_the_approvals_that_an_account_demands(
    build: Build, allow: dict[str, Any], required: int, four_eyes: str
) -> None:
    inventory = build.inventory(build.server(1), build.server(2, wave="app"))
    accounts = build.accounts(allow=allow)
    (gate,) = freeze(build.execution(), build.plan(), accounts, [inventory]).gates
    assert (gate.name, gate.wave, gate.before) == ("begin-data", "data", "Instantiate")
    assert (gate.required, gate.four_eyes, gate.opening) == (required, four_eyes, True)
    test = build.execution(operation="Test")
    assert freeze(test, build.plan(), accounts, [inventory]).gates == ()


def test_a_run_that_account_s_people_must_let_begin_asks_before_its_first_wave(
    build: Build,
) -> None:
    accounts = build.accounts(allow={"minApprovals": 2})
    inventory = build.inventory(build.server(1), build.server(2, wave="app"))

    def gates(*own: dict[str, Any]) -> list[tuple[str, str, int, bool]]:
        plan = build.plan(waves=[{"name": "data", "gates": list(own)}, {"name": "app"}])
        frozen = freeze(build.execution(), plan, accounts, [inventory])
        return [(g.name, g.before, g.required, g.opening) for g in frozen.gates]

    late = ("begin-data", "Instantiate", 2, True), ("wave-data", "Activate", 2, False)
    assert gates({}) == list(late)
    assert gates({"before": "Instantiate"}) == [("wave-data", "Instantiate", 2, True)]
    # Nothing is fenced here, so the plan's own gate comes first of all.
    assert gates({"before": "Fence"}) == [("wave-data", "Fence", 2, True)]


@pytest.mark.parametrize(("allow", "required"), [({}, 0), ({"minApprovals": 2}, 2)])
def test_the_question_about_lost_data_has_the_approvals_that_an_account_demands(
    build: Build, allow: dict[str, Any], required: int
) -> None:
    plan = build.plan(waves=[{"name": "a"}]).spec
    (gate,) = planned_gates(build.execution().spec, plan, build.accounts(allow=allow), losing=["a"])
    assert (gate.name, gate.required, gate.data_loss) == ("lag-a", required, "Question")


def test_what_a_gate_leaves_open_comes_from_the_plan_and_then_from_the_defaults(
    build: Build,
) -> None:
    waves = [{"name": "a", "gates": [{"timeout": "5m"}]}]
    (bare,) = gates_of(build, waves=waves)
    assert bare.frozen().to_api() == {
        "name": "wave-a",
        "wave": "a",
        "before": "Activate",
        "required": 1,
        "approvers": {"users": [], "groups": []},
        "fourEyes": "Off",
        "timeout": "5m",
        "dataLoss": "None",
        "onTimeout": "Hold",
        "onReject": "Hold",
        "opening": False,
    }
    approval = {
        "required": 2,
        "approvers": {"groups": ["dr"]},
        "fourEyes": "Required",
        "timeout": "1h",
        "onReject": "Fail",
    }
    (gate,) = gates_of(build, waves=waves, approval=approval)
    assert (gate.required, gate.approvers.groups, gate.four_eyes) == (2, ["dr"], "Required")
    assert (gate.timeout, gate.on_timeout, gate.on_reject) == ("5m", "Hold", "Fail")


@pytest.mark.parametrize(
    ("gate", "allow", "expected"),
    [
        ({}, {"minApprovals": 2}, (2, "Off")),
        ({"required": 3}, {"minApprovals": 2}, (3, "Off")),
        ({"fourEyes": "Off"}, {"fourEyes": "Required"}, (1, "Required")),
    ],
)
def test_the_ceiling_of_an_account_is_not_lowered_by_a_plan(
    build: Build, gate: dict[str, Any], allow: dict[str, Any], expected: tuple[int, str]
) -> None:
    (planned,) = gates_of(build, waves=[{"name": "a", "gates": [gate]}], allow=allow)
    assert (planned.required, planned.four_eyes) == expected


def test_an_execution_adds_gates_and_takes_none_away(build: Build) -> None:
    waves = [{"name": "a", "gates": [{"required": 2}]}, {"name": "b"}]
    gates = [
        {"wave": "a", "required": 1, "fourEyes": "Required", "name": "mine"},
        {"wave": "a", "before": "Instantiate"},
        {"wave": "b"},
    ]
    planned = gates_of(build, waves=waves, execution={"gates": gates})
    assert [(g.name, g.before, g.required, g.four_eyes) for g in planned] == [
        ("wave-a-instantiate", "Instantiate", 1, "Off"),
        ("wave-a", "Activate", 2, "Required"),
        ("wave-b", "Activate", 1, "Off"),
    ]

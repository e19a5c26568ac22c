"""Explicit tasks: for each type, which adapter, where and on what; and what waits for what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from leeward.planning.outlook.estate_checks import tasks_left_out
from leeward.planning.plans.request import Request
from leeward.planning.plans.task_rules import find_cycle
from leeward.planning.runs import explicit
from leeward.planning.runs.freeze import freeze
from leeward.planning.tasks.step import needs_no_look

if TYPE_CHECKING:
    from tests.planning.conftest import Build


def groups(name: str = "groups", *given: dict[str, Any], **more: Any) -> dict[str, Any]:
    found = list(given) or [{"name": "front", "desired": 2}]
    scaling = {"accountRef": {"name": more.pop("account", "prod")}, "groups": found}
    return {"name": name, "type": "AutoScaling", "autoScaling": scaling, **more}


def document(name: str = "drain", **more: Any) -> dict[str, Any]:
    block = {
        "accountRef": {"name": more.pop("account", "prod")},
        "documentName": "Drain",
        "documentVersion": "3",
        **more.pop("block", {}),
    }
    return {"name": name, "type": "Automation", "automation": block, **more}


def person(name: str = "call", **more: Any) -> dict[str, Any]:
    manual = {"instructions": "Call the bank."}
    return {"name": name, "type": "Manual", "manual": manual, **more}


def frozen(build: Build, *tasks: dict[str, Any], operation: str = "Failover", **more: Any) -> Any:
    """DRTask specs by the name of their explicit task."""
    inventories = more.pop("inventories", [])
    plan = build.plan(waves=[{"name": "data", "tasks": list(tasks)}], **more)
    accounts = build.accounts() | {"second": build.account("second", "222222222222")}
    found = freeze(build.execution(operation=operation), plan, accounts, inventories)
    return {task.spec.task: task.spec for task in found.tasks if task.spec.task}


def test_groups_are_sized_in_the_recovery_region(build: Build) -> None:
    spec = frozen(build, groups(account="second"))["groups"]
    assert (spec.technology, spec.account, spec.account_id) == (
        "autoscaling", "second", "222222222222",
    )  # fmt: skip
    assert (spec.region, spec.source_region) == ("us-east-2", "us-east-1")
    assert spec.role_arn == "arn:aws:iam::222222222222:role/leeward"
    assert [(r.id, r.arn) for r in spec.resources] == [
        (
            "front",
            "arn:aws:autoscaling:us-east-2:222222222222:autoScalingGroup:*:"
            "autoScalingGroupName/front",
        )
    ]
    assert spec.to_api()["autoScaling"]["groups"] == [{"name": "front", "desired": 2}]


def test_groups_are_fenced_in_the_primary_region(build: Build) -> None:
    spec = frozen(build, groups("empty", {"name": "front"}, recoveryPhase="Fence"))["empty"]
    assert (spec.recovery_phase, spec.region, spec.source_region) == (
        "Fence", "us-east-1", "us-east-1",
    )  # fmt: skip
    assert spec.resources[0].arn.startswith("arn:aws:autoscaling:us-east-1:")


@pytest.mark.parametrize(
    ("phase", "region", "where"),
    [
        ("Fence", None, "us-east-1"),
        ("Fence", "Recovery", "us-east-2"),
        ("Instantiate", None, "us-east-2"),
        ("Activate", None, "us-east-2"),
        ("Activate", "Primary", "us-east-1"),
    ],
)
def test_a_document_runs_in_the_region_of_its_phase_unless_the_plan_says_otherwise(
    build: Build, phase: str, region: str | None, where: str
) -> None:
    block = {"region": region} if region else {}
    spec = frozen(build, document(block=block, recoveryPhase=phase))["drain"]
    assert (spec.technology, spec.region) == ("automation", where)
    (resource,) = spec.resources
    assert (resource.id, resource.arn) == (
        "drain",
        f"arn:aws:ssm:{where}:111111111111:document/Drain",
    )
    assert resource.attributes == {"documentName": "Drain", "documentVersion": "3"}
    assert spec.automation is not None


def test_a_shared_document_is_named_by_its_own_arn(build: Build) -> None:
    arn = "arn:aws:ssm:us-east-2:999999999999:document/Drain"
    spec = frozen(build, document(block={"documentName": arn}))["drain"]
    assert spec.resources[0].arn == arn


def test_what_a_person_does_is_one_resource_named_like_the_task(build: Build) -> None:
    spec = frozen(build, person())["call"]
    assert (spec.technology, spec.account) == ("manual", "prod")
    assert [(r.id, r.arn) for r in spec.resources] == [("call", "")]
    assert spec.to_api()["manual"] == {"instructions": "Call the bank."}


def test_a_task_has_the_block_of_its_type_and_no_other(build: Build) -> None:
    specs = frozen(build, groups(), document(), person(), build.dns_task())
    blocks = {
        name: sorted(spec.to_api().keys() & {"route53", "autoScaling", "automation", "manual"})
        for name, spec in specs.items()
    }
    assert blocks == {
        "groups": ["autoScaling"],
        "drain": ["automation"],
        "call": ["manual"],
        "switch": ["route53"],
    }


def test_successors_are_edges_like_dependencies(build: Build) -> None:
    tasks = [
        person("check", dependsOn=["drain"]),
        document(successors=["check", "switch"]),
        build.dns_task(dependsOn=["check"]),
    ]
    specs = frozen(build, *tasks)
    edges = {name: spec.depends_on for name, spec in specs.items()}
    assert edges == {
        "check": ["shop-1-w1-activate-drain"],
        "drain": [],
        "switch": ["shop-1-w1-activate-check", "shop-1-w1-activate-drain"],
    }


def test_a_dns_switch_waits_for_the_rest_of_its_phase_but_not_for_what_waits_for_it(
    build: Build,
) -> None:
    tasks = [
        build.dns_task("one"),
        build.dns_task("two"),
        groups(),
        document("early", recoveryPhase="Instantiate"),
        document("after-one", dependsOn=["one"]),
        person("last", dependsOn=["after-one", "two"]),
    ]
    edges = explicit.order(build.plan(waves=[{"name": "data", "tasks": tasks}]).spec, "Failover")
    assert edges == {
        "one": ["groups"],
        "two": ["groups", "after-one"],
        "groups": [],
        "early": [],
        "after-one": ["one"],
        "last": ["after-one", "two"],
    }


def test_two_switches_that_each_have_followers_do_not_wait_in_a_circle(build: Build) -> None:
    tasks = [
        build.dns_task("one"),
        build.dns_task("two"),
        document("after-one", dependsOn=["one"]),
        document("after-two", dependsOn=["two"]),
    ]
    edges = explicit.order(build.plan(waves=[{"name": "data", "tasks": tasks}]).spec, "Failover")
    assert edges["one"] == ["after-two"]
    assert edges["two"] == []
    assert find_cycle(edges) is None


def test_fencing_waits_for_nothing_but_what_the_plan_says(build: Build) -> None:
    tasks = [
        document("drain", recoveryPhase="Fence"),
        groups("empty", {"name": "front"}, recoveryPhase="Fence", dependsOn=["drain"]),
        person("look", recoveryPhase="Activate", dependsOn=["empty"]),
    ]
    waves = [{"name": "data", "tasks": tasks}]
    plan = build.plan(waves=waves, fence={"servers": "Stop"})
    inventories = [build.inventory(build.server())]
    found = freeze(build.execution(), plan, build.accounts(), inventories)
    edges = {task.name: task.spec.depends_on for task in found.tasks}
    assert edges == {
        "shop-1-w1-fence-ec2-111111111111-use1-0": [],
        "shop-1-w1-fence-drain": [],
        "shop-1-w1-fence-empty": ["shop-1-w1-fence-drain"],
        "shop-1-w1-instantiate-drs-111111111111-use2-0": [],
        "shop-1-w1-activate-drs-111111111111-use2-0": [],
        "shop-1-w1-activate-look": [
            "shop-1-w1-activate-drs-111111111111-use2-0",
            "shop-1-w1-fence-empty",
        ],
    }


def test_a_test_has_no_fencing_and_edges_to_it_are_gone(build: Build) -> None:
    tasks = [
        groups("empty", {"name": "front"}, recoveryPhase="Fence", successors=["look"]),
        person("look"),
    ]
    specs = frozen(build, *tasks, operation="Test")
    assert {name: spec.depends_on for name, spec in specs.items()} == {"look": []}


def test_a_task_of_a_type_that_the_version_lacks_is_left_out_and_said(build: Build) -> None:
    never = {"name": "later", "type": "Script"}
    plan = build.plan(waves=[{"name": "data", "tasks": [never, person()]}])
    request = Request(build.execution(), plan, build.accounts(), [], [], build.now, {})
    assert [problem.message for problem in tasks_left_out(request)] == [
        "explicit tasks that this version leaves out: later"
    ]


@pytest.mark.parametrize(
    ("task", "skipped"),
    [
        (groups(), True),
        (document(), True),
        ({"name": "dns"}, True),
        (person(), False),
    ],
)
def test_a_test_leaves_out_what_would_touch_production_and_no_person_s_work(
    build: Build, task: dict[str, Any], skipped: bool
) -> None:
    wanted = build.dns_task("dns") if task["name"] == "dns" else task
    for operation, left_out in (("Test", skipped), ("Failover", False)):
        (spec,) = frozen(build, wanted, operation=operation).values()
        assert needs_no_look(spec) is left_out


def test_types_without_behaviour_are_left_out(build: Build) -> None:
    check = {"name": "ping", "type": "Check", "check": {"url": "https://example.com"}}
    bare = {"name": "bare", "type": "Automation"}
    assert frozen(build, check, bare, person()).keys() == {"call"}


def test_a_run_may_use_the_accounts_of_all_tasks(build: Build) -> None:
    tasks = [
        document(account="third"),
        groups(account="second"),
        build.dns_task(account="dns"),
        person(),
    ]
    plan = build.plan(waves=[{"name": "data", "tasks": tasks}])
    assert explicit.run_accounts(plan.spec) == ["prod", "third", "second", "dns"]
    assert explicit.resource_owners(plan.spec) == {
        ("third", "drain"): "drain",
        ("second", "front"): "groups",
        ("dns", "shop.example.com. A"): "switch",
        ("prod", "call"): "call",
    }

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from leeward.planning.plans.rules import problems_of
from leeward.planning.plans.task_rules import find_cycle

if TYPE_CHECKING:
    from tests.planning.conftest import Build

DNS = {
    "type": "Route53",
    "route53": {
        "accountRef": {"name": "prod"},
        "hostedZoneId": "Z123",
        "records": [{"name": "a.example.com", "type": "A", "recovery": {"values": ["192.0.2.1"]}}],
    },
}
SESSIONS = [f"arn:aws:sts::111111111111:assumed-role/Oncall/{name}" for name in ("ann", "bob")]
NETWORK = {
    "accountId": "111111111111",
    "subnetId": "subnet-0123456789abcdef0",
    "securityGroupIds": ["sg-0123456789abcdef0"],
}


def task(name: str, *depends_on: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "dependsOn": list(depends_on), **DNS, **fields}


def waves(*lists: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"name": f"w{n}", "tasks": tasks} for n, tasks in enumerate(lists, start=1)]


def records(*given: dict[str, Any]) -> dict[str, Any]:
    return {"route53": {**DNS["route53"], "records": list(given)}}  # type: ignore[dict-item]


def scaled(*groups: dict[str, Any], account: str = "prod", **more: Any) -> dict[str, Any]:
    block = {"accountRef": {"name": account}, "groups": list(groups)}
    return {"name": "groups", "type": "AutoScaling", "autoScaling": block, **more}


LONG = "a" * 24
A = {"name": "a.example.com", "type": "A"}
WEIGHTED = {"recovery": {"weight": 100}}
RULES: list[tuple[str, dict[str, Any], str, str]] = [
    (
        "an account that does not exist",
        {"accounts": [{"name": "prod"}, {"name": "gone"}]},
        "UnknownAccount",
        "no TargetAccount gone",
    ),
    (
        "a hosted zone in an account that does not exist",
        {
            "waves": waves(
                [task("dns", route53={**DNS["route53"], "accountRef": {"name": "gone"}})]  # type: ignore[dict-item]
            )
        },
        "UnknownAccount",
        "no TargetAccount gone",
    ),
    (
        "a staging account that is not the plan's",
        {"waves": [{"name": "data", "stagingAccounts": ["prod", "other"]}]},
        "UnknownStagingAccount",
        "wave data has the staging account other, which is not in spec.accounts",
    ),
    (
        "two waves that take the same tag",
        {"waves": [{"name": "data", "number": 2}, {"name": "app"}]},
        "DuplicateWaveNumber",
        "waves data and app both take dr:wave=2",
    ),
    (
        "two tasks of one name in different waves",
        {"waves": waves([task("dns")], [task("dns")])},
        "DuplicateTask",
        "two tasks are named dns",
    ),
    (
        "a task named as Leeward names its own",
        {"waves": waves([task("x-111111111111-use2-0")])},
        "TaskNameReserved",
        "x-111111111111-use2-0",
    ),
    (
        "a dependency on nothing",
        {"waves": waves([task("dns", "ghost")])},
        "UnknownDependency",
        "task dns depends on ghost",
    ),
    (
        "a dependency on a later wave",
        {"waves": waves([task("a", "b")], [task("b")])},
        "DependencyTooLate",
        "task a depends on b",
    ),
    (
        "a switch of DNS before the gate at Activate",
        {"waves": waves([task("a", recoveryPhase="Instantiate")])},
        "WrongPhase",
        "task a of type Route53 is in Instantiate",
    ),
    (
        "a cycle of three",
        {"waves": waves([task("c", "a"), task("b", "c"), task("a", "b")])},
        "DependencyCycle",
        "a → b → c → a",
    ),
    (
        "a task that waits for itself",
        {"waves": waves([task("a", "a")])},
        "DependencyCycle",
        "a → a",
    ),
    (
        "a successor that is no task",
        {"waves": waves([task("dns", successors=["ghost"])])},
        "UnknownDependency",
        "task dns is to be followed by ghost",
    ),
    (
        "a successor in an earlier wave",
        {"waves": waves([task("a")], [task("b", successors=["a"])])},
        "DependencyTooLate",
        "task a depends on b",
    ),
    (
        "a cycle of a dependency and a successor",
        {"waves": waves([task("a", "b", successors=["b"]), task("b")])},
        "DependencyCycle",
        "a → b → a",
    ),
    (
        "groups that are sized before anything serves",
        {"waves": waves([scaled({"name": "x", "desired": 1}, recoveryPhase="Instantiate")])},
        "WrongPhase",
        "task groups of type AutoScaling is in Instantiate",
    ),
    (
        "a group twice in one task",
        {"waves": waves([scaled({"name": "x", "min": 1}, {"name": "x", "min": 2})])},
        "DuplicateGroup",
        "task groups names the group x twice",
    ),
    (
        "a group that is to be sized without a size",
        {"waves": waves([scaled({"name": "x", "max": 4})])},
        "GroupSizes",
        "does not say how many instances group x",
    ),
    *(
        (
            f"sizes that contradict each other ({', '.join(sizes)})",
            {"waves": waves([scaled({"name": "x", **sizes})])},
            "GroupSizes",
            "gives group x sizes that contradict",
        )
        for sizes in (
            {"min": 3, "desired": 2},
            {"desired": 5, "max": 4},
            {"min": 5, "max": 4},
            {"min": 1, "desired": 5, "max": 4},
        )
    ),
    (
        "sizes to come back with that contradict each other",
        {"waves": waves([scaled({"name": "y", "min": 5, "max": 4}, recoveryPhase="Fence")])},
        "GroupSizes",
        "gives group y sizes that contradict",
    ),
    (
        "groups in an account that does not exist",
        {"waves": waves([scaled({"name": "x", "min": 1}, account="gone")])},
        "UnknownAccount",
        "no TargetAccount gone",
    ),
    (
        "a default gate name that is too long",
        {"waves": [{"name": LONG, "gates": [{}, {"before": "Instantiate"}]}]},
        "GateNameTooLong",
        f"wave-{LONG}-instantiate",
    ),
    (
        "two gates of one name",
        {"waves": [{"name": "x", "gates": [{}]}, {"name": "y", "gates": [{"name": "wave-x"}]}]},
        "DuplicateGate",
        "two gates are named wave-x",
    ),
    *(
        (
            f"a gate that is named as the operator names its own ({prefix})",
            {"waves": [{"name": "x", "gates": [{"name": f"{prefix}-x"}]}]},
            "ReservedGateName",
            f"the gate before Activate of wave x is named {prefix}-x, and names that begin with "
            f"{prefix}- are the operator's own",
        )
        for prefix in ("lag", "begin", "cleanup")
    ),
    (
        "two gates in one place",
        {"waves": [{"name": "x", "gates": [{"name": "one"}, {"name": "two"}]}]},
        "DuplicateGate",
        "two gates before Activate of wave x",
    ),
    (
        "a gate that too few people may answer",
        {
            "approval": {"required": 2},
            "waves": [{"name": "x", "gates": [{"approvers": {"users": ["ann", "ann"]}}]}],
        },
        "TooFewApprovers",
        "needs 2 approvals and names 1",
    ),
    (
        "a gate whose approvers are sessions of one role",
        {"waves": [{"name": "x", "gates": [{"required": 2, "approvers": {"users": SESSIONS}}]}]},
        "TooFewApprovers",
        "needs 2 approvals and names 1",
    ),
    (
        "a duration that cannot be read",
        {"waves": [{"name": "x", "taskTimeout": "99999999999999h"}]},
        "InvalidDuration",
        "taskTimeout of wave x",
    ),
    (
        "a duration of nothing",
        {"discovery": {"interval": "0m"}},
        "InvalidDuration",
        "spec.discovery.interval must be longer than 0m",
    ),
    (
        "two drill networks for one account",
        {"drill": {"networks": [NETWORK, NETWORK]}},
        "DuplicateDrillNetwork",
        "111111111111",
    ),
    (
        "a record set twice in one batch",
        {
            "waves": waves(
                [
                    task(
                        "dns",
                        **records(
                            {**A, "recovery": {"ttl": 5, "values": ["192.0.2.1"]}},
                            {**A, "name": "A.example.com.", "recovery": {"values": ["192.0.2.2"]}},
                        ),
                    )
                ]
            )
        },
        "DuplicateRecord",
        "a.example.com. A",
    ),
    (
        "a weight without the identifier of its record set",
        {"waves": waves([task("dns", **records({**A, **WEIGHTED}))])},
        "WeightWithoutIdentifier",
        "a.example.com. A",
    ),
]


@pytest.mark.parametrize(
    ("fields", "reason", "words"), [r[1:] for r in RULES], ids=[r[0] for r in RULES]
)
def test_a_plan_is_invalid_with(
    build: Build, fields: dict[str, Any], reason: str, words: str
) -> None:
    (problem,) = problems_of(build.plan(**fields), build.accounts())
    assert problem.reason == reason
    assert words in problem.message


VALID: list[tuple[str, dict[str, Any]]] = [
    ("nothing special", {}),
    ("a dependency on an earlier wave", {"waves": waves([task("a")], [task("b", "a")])}),
    (
        "a diamond",
        {"waves": waves([task("a"), task("b", "a"), task("c", "a"), task("d", "b", "c")])},
    ),
    ("numbers out of order", {"waves": [{"name": "a", "number": 2}, {"name": "b", "number": 1}]}),
    (
        "weights with identifiers",
        {
            "waves": waves(
                [
                    task(
                        "dns",
                        **records(
                            {**A, **WEIGHTED, "setIdentifier": "home"},
                            {**A, **WEIGHTED, "setIdentifier": "away"},
                        ),
                    )
                ]
            )
        },
    ),
    (
        "successors in a later wave and phase",
        {"waves": waves([task("a", successors=["b"])], [task("b")])},
    ),
    (
        "groups that are emptied, and groups with any sizes that fit",
        {
            "waves": waves(
                [
                    scaled({"name": "x"}, recoveryPhase="Fence"),
                    {
                        **scaled(
                            {"name": "x", "min": 1, "desired": 2, "max": 4},
                            {"name": "y", "min": 2, "desired": 2, "max": 2},
                            {"name": "z", "desired": 0},
                        ),
                        "name": "sizes",
                    },
                ]
            )
        },
    ),
    (
        "few users beside a group",
        {
            "approval": {"required": 3, "approvers": {"users": ["ann"], "groups": ["dr"]}},
            "waves": [{"name": "x", "gates": [{}]}],
        },
    ),
]


@pytest.mark.parametrize("fields", [v[1] for v in VALID], ids=[v[0] for v in VALID])
def test_a_plan_is_valid_with(build: Build, fields: dict[str, Any]) -> None:
    assert problems_of(build.plan(**fields), build.accounts()) == []


@pytest.mark.parametrize(
    ("account", "reason", "words"),
    [
        ({"allow": {"namespaces": ["other"]}}, "AccountRefused", "namespace acme"),
        ({"allow": {"customers": ["other"]}}, "AccountRefused", "customer acme"),
        ({"allow": {"environments": ["staging"]}}, "AccountRefused", "environment production"),
        ({"regions": ["us-east-1"]}, "RegionRefused", "Region us-east-2"),
    ],
)
def test_an_account_beyond_whose_ceiling_the_plan_is(
    build: Build, account: dict[str, Any], reason: str, words: str
) -> None:
    (problem,) = problems_of(build.plan(), build.accounts(**account))
    assert problem.reason == reason
    assert words in problem.message
    assert "platform administrator" in problem.message


def test_a_task_cannot_wait_for_a_later_phase_of_its_wave(build: Build) -> None:
    tasks = [task("a", "b", recoveryPhase="Instantiate"), task("b")]
    problems = problems_of(build.plan(waves=waves(tasks)), build.accounts())
    assert "DependencyTooLate" in [problem.reason for problem in problems]


def test_an_account_within_whose_ceiling_the_plan_is(build: Build) -> None:
    allow = {"customers": ["acme"], "environments": ["PRODUCTION"]}
    accounts = build.accounts(allow=allow, regions=["us-east-1", "us-east-2"])
    assert problems_of(build.plan(), accounts) == []


def test_the_account_of_a_hosted_zone_must_allow_the_namespace_too(build: Build) -> None:
    plan = build.plan(waves=[{"name": "x", "tasks": [build.dns_task(account="dns")]}])
    dns = build.account("dns", "222222222222", allow={"namespaces": ["other"]})
    (problem,) = problems_of(plan, build.accounts() | {"dns": dns})
    assert problem.reason == "AccountRefused"
    assert "TargetAccount dns" in problem.message


def test_two_target_accounts_of_one_aws_account_would_recover_everything_twice(
    build: Build,
) -> None:
    plan = build.plan(accounts=[{"name": "prod"}, {"name": "copy"}])
    (problem,) = problems_of(plan, build.accounts() | {"copy": build.account("copy")})
    assert problem.reason == "SameAccountTwice"


def test_approvals_that_an_account_demands_count_for_whether_a_gate_can_be_passed(
    build: Build,
) -> None:
    gate = {"approvers": {"users": ["ann"]}}
    plan = build.plan(waves=[{"name": "x", "gates": [gate]}])
    assert problems_of(plan, build.accounts()) == []
    (problem,) = problems_of(plan, build.accounts(allow={"minApprovals": 2}))
    assert problem.reason == "TooFewApprovers"


def test_the_gate_that_an_account_demands_can_be_passed_by_those_whom_the_plan_names(
    build: Build,
) -> None:
    plan = build.plan(waves=[{"name": "x"}], approval={"approvers": {"users": ["ann"]}})
    assert problems_of(plan, build.accounts()) == []
    assert problems_of(plan, build.accounts(allow={"minApprovals": 1})) == []
    (problem,) = problems_of(plan, build.accounts(allow={"minApprovals": 2}))
    assert problem.reason == "TooFewApprovers"
    assert "spec.approval" in problem.message


def test_a_chain_of_dependencies_longer_than_the_stack_is_no_danger() -> None:
    edges = {f"t{n}": [f"t{n + 1}"] for n in range(5000)}
    assert find_cycle(edges) is None
    cycle = find_cycle(edges | {"t5000": ["t4999"]})
    assert cycle == ["t4999", "t5000", "t4999"]

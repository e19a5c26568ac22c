"""What is wrong is refused with its reason and remedy, and nothing is touched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

ACCOUNT = "111111111111"
APPROVER = "approver-a@example.com"
GATED = {
    "accounts": [{"name": "east-a"}],
    "waves": [{"name": "data", "gates": [{"before": "Instantiate"}]}],
}
GATE = "wave-data"


def refused(lab: Any, name: str, reason: str, state: str = "Failed") -> str:
    """The message of an execution that was refused for that reason, having done nothing."""
    run = lab.until_condition("drx", name, "Succeeded", "False")
    assert (lab.reason(run, "Succeeded"), run["status"]["state"]) == (reason, state)
    assert lab.condition(run, "Stalled") == "True"
    assert not run["status"].get("mutated")
    assert lab.tasks(name) == {}
    lab.until("it is closed", lambda: "finalizers" not in lab.get("drx", name)["metadata"])
    message: str = run["status"]["message"]
    return message


def until_assessed(lab: Any) -> Any:
    """This test's plan once the operator has looked at it."""

    def look() -> Any:
        plan = lab.get("rp", lab.application)
        seen = plan.get("status", {}).get("observedGeneration") == plan["metadata"]["generation"]
        return plan if seen else None

    return lab.until("the plan is assessed", look)


def message_of(body: Any, condition: str) -> str:
    """Message of a condition."""
    conditions = body["status"]["conditions"]
    return next(str(c["message"]) for c in conditions if c["type"] == condition)


def test_an_execution_of_no_plan_is_refused(desk: Any) -> None:
    with desk.untouched():
        message = refused(desk, desk.start(), "PlanNotFound")
    assert f"there is no RecoveryPlan {desk.application} in namespace orders" in message
    assert "create" in message


@pytest.mark.parametrize("operation", ["Reprotect", "Failback"])
def test_an_estate_at_home_is_not_brought_back(lab: Any, operation: str) -> None:
    lab.ready_plan()
    with lab.untouched():
        message = refused(lab, lab.start(operation, mode="Unplanned"), "WrongLocation")
    assert "there is nothing to bring back" in message


def test_a_plan_that_finds_nothing_is_not_run(desk: Any) -> None:
    with desk.untouched():
        desk.apply(desk.plan_body(customer="Nobody"))
        plan = until_assessed(desk)
        assert desk.reason(plan, "Ready") == "NothingSelected"
        assert desk.condition(plan, "Stalled") == "True"
        message = refused(desk, desk.start(mode="Unplanned"), "EmptyInventory")
    assert f"plan {desk.application} selects no resource" in message
    assert "status.compliance" in message


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (
            {"regions": {"primary": "us-east-1", "recovery": "us-east-1"}},
            "primary and recovery must be different Regions",
        ),
        ({"accounts": []}, "spec.accounts"),
        ({"waves": [{"name": "a", "wait": "1h"}]}, 'unknown field "spec.waves[0].wait"'),
        ({"waves": [{"name": "a", "gates": [{"before": "Later"}]}]}, "before"),
        ({"waves": [{"name": "a", "tolerance": {"minSuccess": "most"}}]}, "minSuccess"),
        ({"approval": {"timeout": "soon"}}, "spec.approval.timeout"),
    ],
)
def test_the_api_server_refuses_a_malformed_plan(desk: Any, spec: dict[str, Any], why: str) -> None:
    answer = desk.apply(desk.plan_body(**spec), check=False)
    assert answer.returncode != 0
    assert why in answer.stderr


@pytest.mark.parametrize(
    ("operation", "spec", "why"),
    [
        ("Teleport", {}, 'Unsupported value: "Teleport"'),
        ("Failover", {"then": [{"operation": "Cleanup"}]}, "never Cleanup before Replicate"),
        ("Failover", {"startBefore": "tomorrow"}, "spec.startBefore"),
        ("Failover", {"wait": True}, 'unknown field "spec.wait"'),
    ],
)
def test_the_api_server_refuses_an_execution_that_cannot_be_carried_out(
    desk: Any, operation: str, spec: dict[str, Any], why: str
) -> None:
    body = desk.run_body(f"{desk.application}-bad", operation, **spec)
    answer = desk.apply(body, check=False)
    assert answer.returncode != 0
    assert why in answer.stderr


def test_the_spec_of_an_execution_never_changes(desk: Any) -> None:
    name = desk.start()
    answer = desk.apply(desk.run_body(name, "Test"), check=False)
    assert "the spec of an execution never changes; create another execution" in answer.stderr


def test_a_cycle_of_tasks_is_named_and_the_plan_is_not_run(desk: Any) -> None:
    def task(name: str, after: str) -> dict[str, Any]:
        record = {"name": "www.example.com", "type": "CNAME", "recovery": {"values": ["b"]}}
        return {
            "name": name,
            "type": "Route53",
            "dependsOn": [after],
            "route53": {
                "accountRef": {"name": "east-a"},
                "hostedZoneId": "Z0123456789",
                "records": [record],
            },
        }

    tasks = [task("api", "www"), task("www", "cdn"), task("cdn", "api")]
    with desk.untouched():
        desk.apply(desk.plan_body(waves=[{"name": "data", "tasks": tasks}]))
        plan = until_assessed(desk)
        assert desk.reason(plan, "Ready") == "Invalid"
        assert desk.condition(plan, "Stalled") == "True"
        assert "api → www → cdn → api" in message_of(plan, "Ready")
        message = refused(desk, desk.start(mode="Unplanned"), "InvalidPlan")
    assert "api → www → cdn → api" in message
    assert "remove one of these dependencies" in message


@pytest.fixture(params=["no such role", "another external id"])
def closed_account(desk: Any, request: pytest.FixtureRequest) -> Iterator[str]:
    """A TargetAccount whose roles Leeward cannot assume."""
    name, role = f"{desk.application}-closed", f"Closed-{desk.application}"
    if request.param != "no such role":
        trust = (
            '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", '
            '"Principal": {"AWS": "999999999999"}, "Action": ["sts:AssumeRole", "sts:TagSession"], '
            '"Condition": {"StringEquals": {"sts:ExternalId": "leeward/sandbox/other"}}}]}'
        )
        desk.client("iam", ACCOUNT).create_role(RoleName=role, AssumeRolePolicyDocument=trust)
    arn = f"arn:aws:iam::{ACCOUNT}:role/{role}"
    spec = {
        "accountId": ACCOUNT,
        "readRoleArn": arn,
        "recoveryRoleArn": arn,
        "allow": {"namespaces": ["orders"]},
    }
    metadata = {"name": name}
    desk.apply(
        {
            "apiVersion": "leeward.dev/v1alpha1",
            "kind": "TargetAccount",
            "metadata": metadata,
            "spec": spec,
        }
    )
    yield name
    desk.kubectl("delete", "ta", name)


def test_an_account_that_cannot_be_entered_is_named_and_the_plan_is_not_run(
    desk: Any, closed_account: str
) -> None:
    with desk.untouched():
        desk.apply(desk.plan_body(accounts=[{"name": closed_account}]))
        plan = until_assessed(desk)
        assert desk.condition(plan, "Ready") == "False"
        assert desk.reason(plan, "Discovered") == "AccountSilent"
        problem = plan["status"]["accounts"][0]["problem"]
        role = f"arn:aws:iam::{ACCOUNT}:role/Closed-{desk.application}"
        for part in ("AccessDenied", "sts:AssumeRole", role, ACCOUNT, "leeward/sandbox/orders"):
            assert part in problem
        account = desk.until_condition("ta", closed_account, "Ready", "False")
        assert role in account["status"]["message"]
        for number, mode in enumerate(("Planned", "Unplanned")):
            message = refused(desk, desk.start(suffix=f"{number}", mode=mode), "NoUsableAccount")
            for part in (closed_account, ACCOUNT, role, "'leeward/sandbox/orders'", "mend the"):
                assert part in message


def test_an_account_that_cannot_be_entered_stops_a_planned_run_of_the_others(
    lab: Any, closed_account: str
) -> None:
    with lab.untouched():
        lab.apply(lab.plan_body(accounts=[{"name": "east-b"}, {"name": closed_account}]))
        until_assessed(lab)
        lab.until_condition("ta", closed_account, "Ready", "False")
        message = refused(lab, lab.start(), "AccountNotReady")
    assert closed_account in message
    assert "mend the roles' trust policies" in message


def test_a_malformed_tag_leaves_its_server_out_and_says_how_to_mend_it(lab: Any) -> None:
    ec2 = lab.client("ec2", ACCOUNT, "us-east-1")
    named = {"Name": "tag:Name", "Values": [f"{lab.application}-w1-01"]}
    instance = ec2.describe_instances(Filters=[named])["Reservations"][0]["Instances"][0]
    ec2.create_tags(Resources=[instance["InstanceId"]], Tags=[{"Key": "dr:wave", "Value": "nine"}])
    with lab.untouched():
        plan = lab.ready_plan(**GATED)
        assert plan["status"]["resources"] == 1
        assert lab.reason(plan, "Compliant") == "TagProblems"
        [problem] = plan["status"]["compliance"]["problems"]
        assert (problem["reason"], problem["count"]) == ("InvalidWave", 1)
        assert f"{lab.application}-w1-01" in problem["examples"][0]
        assert "dr:wave=1" in problem["remedy"]
        name = lab.start()
        run = lab.until_gate(name, GATE)
        assert any("left out by tags" in f for f in run["status"]["findings"])
        assert run["status"]["resources"]["total"] == 1
        lab.annotate("drx", name, "cancel", "admin", user="admin")
        lab.until_state(name, "Cancelled")


def test_a_second_live_execution_is_refused_and_the_first_goes_on(lab: Any) -> None:
    lab.ready_plan(**GATED)
    with lab.untouched():
        first = lab.start()
        before = lab.until_gate(first, GATE)["status"]
        second = lab.start(suffix="2")
        message = refused(lab, second, "PlanBusy")
        assert f"is already run by execution {first}" in message
        assert lab.get("rp", lab.application)["status"]["activeExecution"]["name"] == first
        after = lab.get("drx", first)["status"]
        assert (after["gates"], after["tasks"]) == (before["gates"], before["tasks"])
    lab.annotate("drx", first, f"approve-{GATE}", APPROVER)
    lab.until_condition("drx", first, "Succeeded")


def test_a_name_runs_once(lab: Any) -> None:
    lab.ready_plan(**GATED)
    with lab.untouched():
        name = lab.start()
        lab.until_gate(name, GATE)
        lab.annotate("drx", name, "cancel", "admin", user="admin")
        lab.until_state(name, "Cancelled")
        lab.until("it is closed", lambda: "finalizers" not in lab.get("drx", name)["metadata"])
        lab.kubectl("delete", "drx", name)
        lab.until("its tasks are gone", lambda: not lab.tasks(name))
        lab.start()
        message = refused(lab, name, "AlreadyRan")
    assert f"an execution named {name} already ran (it ended Cancelled at" in message


def test_a_run_that_comes_too_late_expires_untouched(lab: Any) -> None:
    lab.ready_plan(**GATED)
    with lab.untouched():
        name = lab.start(startBefore="2020-01-31T18:00:00Z")
        message = refused(lab, name, "Expired", "Expired")
    assert "startBefore 2020-01-31T18:00:00Z has passed and nothing was touched" in message

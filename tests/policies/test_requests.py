"""Creation of executions: who asked is known, and nothing is decided beforehand."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytestmark = pytest.mark.cluster

World = Any  # conftest.World
Caller = Any  # conftest.Caller
ALICE = "approver-a@example.com"
DUTY = "operator-on-duty@example.com"
REQUESTED_BY = "leeward.dev/requested-by"


def requested_by(world: World, run: str) -> str | None:
    annotations: dict[str, str] = world.admin.get("drexecutions", run)["metadata"]["annotations"]
    return annotations.get(REQUESTED_BY)


def create(world: World, caller: Caller, annotations: dict[str, str], **spec: Any) -> Any:
    manifest = world.manifest(**spec)
    manifest["metadata"]["annotations"] = annotations
    return caller.create("drexecutions", manifest)


def test_the_requester_is_stamped_and_stays_through_applies_of_all_kinds(world: World) -> None:
    manifest = world.manifest()
    run = manifest["metadata"]["name"]
    kubectl = world.cluster.kubectl
    for options in ([], ["--server-side"], ["--server-side"]):
        kubectl("apply", *options, "-f", "-", input=json.dumps(manifest), user="on-duty")
        assert requested_by(world, run) == DUTY
    assert world.duty.apply("drexecutions", run, manifest).ok
    assert requested_by(world, run) == DUTY


def test_the_requester_is_stamped_at_a_creation_by_server_side_apply(world: World) -> None:
    manifest = world.manifest()
    run = manifest["metadata"]["name"]
    for _ in range(2):
        assert world.duty.apply("drexecutions", run, manifest).ok
        assert requested_by(world, run) == DUTY


def test_the_requester_may_be_written_out_by_the_caller(world: World) -> None:
    assert create(world, world.duty, {REQUESTED_BY: DUTY}).ok


@pytest.mark.parametrize("who", ["duty", "admin", "operator"])
def test_nobody_asks_in_anothers_name(world: World, who: str) -> None:
    caller = getattr(world, who)
    answer = create(world, caller, {REQUESTED_BY: ALICE})
    if who == "operator":
        assert "creates no executions but those that follow another one" in answer.message
    else:
        assert f"must be your own user name, {caller.user}; leave it out" in answer.message


@pytest.mark.parametrize("value", [ALICE, None, ""])
@pytest.mark.parametrize("who", ["intruder", "admin", "operator"])
def test_the_requester_never_changes(world: World, who: str, value: str | None) -> None:
    run = world.execution()
    change = {"metadata": {"annotations": {REQUESTED_BY: value}}}
    answer = getattr(world, who).patch("drexecutions", run, change)
    assert "says who created the execution and never changes" in answer.message


def test_a_restore_from_a_backup_does_not_bring_back_the_old_requester(world: World) -> None:
    velero = world.caller("system:serviceaccount:velero:velero", "system:masters")
    answer = create(world, velero, {REQUESTED_BY: DUTY}, startBefore="2030-01-01T00:00:00Z")
    assert answer.status == 403
    assert "must be your own user name" in answer.message


@pytest.mark.parametrize("key", ["approve-wave-1", "pause", "unheard-of"])
def test_an_execution_is_not_created_with_a_command_on_it(world: World, key: str) -> None:
    answer = create(world, world.duty, {f"leeward.dev/{key}": DUTY})
    assert f"cannot be created with leeward.dev/{key} on it" in answer.message


def test_automatic_approval_needs_the_right_to_approve_but_for_a_test(world: World) -> None:
    wanted = {"approvalMode": "Automatic"}
    refused = create(world, world.duty, {}, **wanted)
    assert "ClusterRole leeward-approver); use approvalMode Required" in refused.message
    assert create(world, world.duty, {}, operation="Test", **wanted).ok
    both = world.caller(ALICE, "dr-approvers", "dr-operators")
    assert create(world, both, {}, **wanted).ok


PARTS: list[tuple[dict[str, Any], str]] = [
    ({"waves": ["web"]}, "with spec.waves:"),
    ({"resources": {"exclude": ["s-1"]}}, "with spec.resources:"),
    ({"resources": {"include": ["s-1"]}}, "with spec.resources:"),
    ({"waves": ["web"], "resources": {"include": ["s-1"]}}, "spec.waves and spec.resources:"),
]


@pytest.mark.parametrize(("part", "said"), PARTS, ids=["waves", "without", "only", "both"])
def test_a_run_of_a_part_of_the_plan_needs_the_right_to_approve_but_for_a_test(
    world: World, part: dict[str, Any], said: str
) -> None:
    refused = create(world, world.duty, {}, **part)
    assert refused.status == 403
    assert said in refused.message
    assert "needs the verb approve on recoveryplans.leeward.dev/approval" in refused.message
    assert "out and the whole plan runs" in refused.message
    assert create(world, world.duty, {}, operation="Test", **part).ok
    both = world.caller(ALICE, "dr-approvers", "dr-operators")
    assert create(world, both, {}, **part).ok


REAL = {"operation": "Test", "then": [{"operation": "Failover"}]}


def test_what_follows_a_test_of_a_part_is_no_test(world: World) -> None:
    refused = create(world, world.duty, {}, waves=["web"], **REAL)
    assert refused.status == 403
    assert "needs the verb approve on recoveryplans.leeward.dev/approval" in refused.message
    assert create(world, world.duty, {}, **REAL).ok
    both = world.caller(ALICE, "dr-approvers", "dr-operators")
    assert create(world, both, {}, waves=["web"], **REAL).ok


def test_empty_lists_leave_nothing_out(world: World) -> None:
    nothing = {"waves": [], "resources": {"include": [], "exclude": []}}
    assert create(world, world.duty, {}, **nothing).ok
    assert create(world, world.duty, {}, resources={}).ok


@pytest.mark.parametrize("operation", ["Failover", "Test"])
def test_correcting_a_live_run_needs_the_right_to_operate(world: World, operation: str) -> None:
    wanted = {"continueFrom": {"name": "orders-1"}, "operation": operation}
    refused = create(world, world.intruder, {}, **wanted)
    assert refused.status == 403
    assert (
        "continueFrom, which cancels execution orders/orders-1: needs the verb" in refused.message
    )
    assert "can-i operate recoveryplans.leeward.dev/orders-east --subresource" in refused.message
    assert create(world, world.duty, {}, **wanted).ok


def test_those_who_only_approve_do_not_correct_and_a_manifest_needs_no_right_to_stay(
    world: World,
) -> None:
    # Somebody who creates by the cluster's own role, and approves.
    approver = world.caller(ALICE, "dr-approvers", "developers")
    answer = create(world, approver, {}, continueFrom={"name": "orders-1"})
    assert "needs the verb operate on" in answer.message
    made = create(world, world.duty, {}, continueFrom={"name": "orders-1"})
    note = {"metadata": {"annotations": {"example.com/note": "1"}}}
    assert world.intruder.patch("drexecutions", made.body["metadata"]["name"], note).ok


def test_unplanned_at_creation_needs_the_right_to_operate_as_the_command_does(
    world: World,
) -> None:
    refused = create(world, world.intruder, {}, mode="Unplanned")
    assert refused.status == 403
    assert "mode Unplanned, which passes over checks that failed" in refused.message
    assert "can-i operate recoveryplans.leeward.dev/orders-east --subresource" in refused.message
    approver = world.caller(ALICE, "dr-approvers", "developers")
    assert not create(world, approver, {}, mode="Unplanned").ok
    assert create(world, world.intruder, {}, mode="Planned").ok
    # One person who is awake, and on duty, needs nobody else for it.
    assert create(world, world.duty, {}, mode="Unplanned").ok


def test_a_drill_and_what_is_only_shown_may_be_unplanned(world: World) -> None:
    assert create(world, world.intruder, {}, mode="Unplanned", operation="Test").ok
    assert create(world, world.intruder, {}, mode="Unplanned", dryRun="Plan").ok


def test_git_asks_for_no_unplanned_run(world: World) -> None:
    argocd = world.caller(
        "system:serviceaccount:argocd:argocd-application-controller", "system:masters"
    )
    limit = {"startBefore": "2030-01-01T00:00:00Z"}
    answer = create(world, argocd, {}, mode="Unplanned", **limit)
    assert "may not create an execution with mode Unplanned: leave that out" in answer.message
    assert create(world, argocd, {}, **limit).ok


def test_a_service_account_says_until_when_anything_but_a_test_may_start(world: World) -> None:
    robot = world.caller("system:serviceaccount:ci:deployer", "developers")
    refused = create(world, robot, {})
    assert refused.status == 422
    assert "a service account sets spec.startBefore" in refused.message
    assert create(world, robot, {}, operation="Test").ok
    assert create(world, robot, {}, operation="Test", then=[]).ok
    carried = create(world, robot, {}, **REAL)
    assert carried.status == 422
    assert "all but a Test that nothing follows" in carried.message
    assert create(world, robot, {}, startBefore="2030-01-01T00:00:00Z", **REAL).ok
    assert create(world, robot, {}, startBefore="2030-01-01T00:00:00Z").ok


def following(world: World, by: Caller, labels: dict[str, str], asked: str, **spec: Any) -> Any:
    """The creation of an execution as the operator makes the next member of a chain."""
    manifest = world.manifest(**{"startBefore": "2030-01-31T18:00:00Z", **spec})
    manifest["metadata"] |= {"labels": labels, "annotations": {REQUESTED_BY: asked}}
    return by.create("drexecutions", manifest)


FOLLOWS = {"leeward.dev/follows": "run-0", "leeward.dev/follows-uid": "u-0"}


def test_the_operator_creates_the_next_of_a_chain_in_the_name_of_who_asked_for_the_first(
    world: World,
) -> None:
    made = following(world, world.operator, FOLLOWS, DUTY, operation="Reprotect", waves=["one"])
    assert made.ok, made
    assert requested_by(world, made.body["metadata"]["name"]) == DUTY


@pytest.mark.parametrize(
    ("labels", "asked", "spec"),
    [
        ({}, DUTY, {}),
        ({"leeward.dev/follows": "run-0"}, DUTY, {}),
        (FOLLOWS, "system:serviceaccount:leeward-system:leeward", {}),
        (FOLLOWS, DUTY, {"mode": "Unplanned"}),
        (FOLLOWS, DUTY, {"approvalMode": "Automatic"}),
        (FOLLOWS, DUTY, {"continueFrom": {"name": "run-0"}}),
        (FOLLOWS, DUTY, {"gates": [{"wave": "one", "before": "Fence"}]}),
        (FOLLOWS, DUTY, {"dryRun": "Plan"}),
        (FOLLOWS, DUTY, {"startBefore": None}),
    ],
    ids=[
        "follows nothing", "no uid", "its own", "unplanned", "automatic", "continues", "gates",
        "dry run", "no limit",
    ],
)  # fmt: skip
def test_the_operator_creates_nothing_else(
    world: World, labels: dict[str, str], asked: str, spec: dict[str, Any]
) -> None:
    given = {key: value for key, value in spec.items() if value is not None}
    manifest = world.manifest(**{"startBefore": "2030-01-31T18:00:00Z", **given})
    if "startBefore" in spec:
        del manifest["spec"]["startBefore"]
    manifest["metadata"] |= {"labels": labels, "annotations": {REQUESTED_BY: asked}}
    answer = world.operator.create("drexecutions", manifest)
    assert "creates no executions but those that follow another one" in answer.message


@pytest.mark.parametrize("who", ["duty", "admin"])
def test_nobody_else_says_that_an_execution_follows_another(world: World, who: str) -> None:
    caller = getattr(world, who)
    answer = following(world, caller, FOLLOWS, caller.user)
    assert not answer.ok
    assert "labels that begin with leeward.dev/" in answer.message


@pytest.mark.parametrize(
    ("operation", "then", "accepted"),
    [
        ("Failover", ["Reprotect", "Failback", "Cleanup"], True),
        ("Reprotect", ["Failback"], True),
        ("Failover", ["Cleanup"], False),
        ("Failover", ["Failback"], False),
        ("Reprotect", ["Cleanup"], False),
        ("Failback", ["Cleanup", "Cleanup"], False),
    ],
)
def test_nothing_is_cleaned_up_before_it_replicates_again(
    world: World, operation: str, then: list[str], accepted: bool
) -> None:
    chain = [{"operation": name} for name in then]
    answer = create(world, world.duty, {}, operation=operation, then=chain)
    assert answer.ok is accepted
    assert accepted or "never Cleanup before Replicate" in answer.message

"""Annotations that were meant for Leeward and are not: refused under its domain, else warned of."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.cluster

World = Any  # conftest.World
ACCOUNT = {
    "accountId": "111111111111",
    "readRoleArn": "arn:aws:iam::111111111111:role/LeewardRead",
    "recoveryRoleArn": "arn:aws:iam::111111111111:role/LeewardRecovery",
    "allow": {"namespaces": ["orders"]},
}
PLAN = {
    "customer": "acme",
    "environment": "prod",
    "regions": {"primary": "us-east-1", "recovery": "us-east-2"},
    "accounts": [{"name": "orders-web"}],
    "waves": [{"name": "web"}],
}
KINDS = {"RecoveryPlan": ("recoveryplans", PLAN), "TargetAccount": ("targetaccounts", ACCOUNT)}
OTHERS = [
    "argocd.argoproj.io/sync-options",
    "argocd.argoproj.io/skip-reconcile",
    "argocd.argoproj.io/tracking-id",
    "helm.sh/resource-policy",
    "kubectl.kubernetes.io/last-applied-configuration",
    "kustomize.toolkit.fluxcd.io/reconcile",
    "meta.helm.sh/release-name",
    "example.com/cancelled",
    "example.com/approver",
    "retry-after",
]


def put(world: World, plural: str, name: str, **annotations: str) -> Any:
    return world.admin.patch(plural, name, {"metadata": {"annotations": annotations}})


def create(world: World, kind: str, name: str, **annotations: str) -> Any:
    plural, spec = KINDS[kind]
    metadata: dict[str, Any] = {"name": name, "annotations": annotations}
    metadata |= {} if kind == "TargetAccount" else {"namespace": "orders"}
    body = {"apiVersion": "leeward.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}
    return world.admin.create(plural, body)


@pytest.fixture(scope="module")
def plan(world: World) -> str:
    assert create(world, "RecoveryPlan", "misspelt").ok
    return "misspelt"


@pytest.fixture(scope="module")
def account(world: World) -> str:
    assert create(world, "TargetAccount", "misspelt").ok
    return "misspelt"


@pytest.mark.parametrize("key", ["approve-wave-app", "aprove", "cancel", "Refresh"])
def test_a_command_on_a_plan_is_refused_with_the_place_where_it_belongs(
    world: World, plan: str, key: str
) -> None:
    answer = put(world, "recoveryplans", plan, **{f"leeward.dev/{key}": "admin"})
    assert f"leeward.dev/{key} is not read on a plan" in answer.message
    assert "kubectl annotate drx NAME -n NAMESPACE leeward.dev/approve-GATE" in answer.message


def test_the_place_is_the_run_that_holds_the_plan(world: World) -> None:
    assert create(world, "RecoveryPlan", "held").ok
    world.status("held", "recoveryplans", activeExecution={"name": "run-9", "uid": "u"})
    answer = put(world, "recoveryplans", "held", **{"leeward.dev/approve": "admin"})
    assert "kubectl annotate drx run-9 -n orders leeward.dev/approve-GATE" in answer.message


def test_a_command_on_an_account_is_refused(world: World, account: str) -> None:
    answer = put(world, "targetaccounts", account, **{"leeward.dev/cancel": "admin"})
    assert "leeward.dev/cancel is not read on targetaccounts" in answer.message


def test_what_a_plan_is_read_for_passes(world: World, plan: str) -> None:
    assert put(world, "recoveryplans", plan, **{"leeward.dev/refresh": "1"}).ok


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_created_with_an_annotation_that_nobody_reads(world: World, kind: str) -> None:
    answer = create(world, kind, "unread", **{"leeward.dev/waves": "1"})
    assert "leeward.dev/waves is not read on" in answer.message


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("leeward.io/approve-wave-2", "leeward.dev/approve-wave-2"),
        ("leeward.io/aprove", "leeward.dev/aprove"),
        ("leeward.dev.example.com/x", "leeward.dev/x"),
        ("Leeward.dev/cancel", "leeward.dev/cancel"),
        ("dr.example.com/approve-wave-2", "leeward.dev/approve-wave-2"),
        ("leward.dev/break-glass", "leeward.dev/break-glass"),
        ("accept-data-loss-wave-2", "leeward.dev/accept-data-loss-wave-2"),
        ("pause", "leeward.dev/pause"),
    ],
)
def test_a_lookalike_is_stored_and_warned_of(world: World, key: str, meant: str) -> None:
    run = world.execution()
    answer = put(world, "drexecutions", run, **{key: "admin"})
    assert answer.ok
    (warning,) = answer.warnings
    assert f"{key} does nothing" in warning
    assert warning.rstrip('"').endswith(f"write {meant}")
    again = put(world, "drexecutions", run, **{key: "admin", "example.com/other": "1"})
    assert again.ok
    assert again.warnings == (), "it is warned of once, when it is written"


@pytest.mark.parametrize("key", OTHERS)
def test_what_belongs_to_others_passes_in_silence(
    world: World, plan: str, account: str, key: str
) -> None:
    run = world.execution()
    places = {"drexecutions": run, "recoveryplans": plan, "targetaccounts": account}
    for plural, name in places.items():
        answer = put(world, plural, name, **{key: "x"})
        assert (answer.ok, answer.warnings) == (True, ())


def test_what_the_operator_writes_passes_in_silence(world: World) -> None:
    marks = {"metadata": {"annotations": {"leeward.io/approve": "1"}}}
    answer = world.operator.patch("drexecutions", world.execution(), marks)
    assert (answer.ok, answer.warnings) == (True, ())

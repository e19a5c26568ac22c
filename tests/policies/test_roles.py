"""The roles of the chart, as the API server's authorizer understands them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from leeward_sandbox import chart

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
World = Any  # conftest.World
OURS = ("recoveryplans", "drexecutions", "drtasks", "drschedules", "recoveryinventories")


def may(
    world: World,
    user: str,
    groups: list[str],
    verb: str,
    resource: str,
    namespace: str = "orders",
    name: str = "x",
) -> bool:
    group, _, plural = resource.rpartition(":")
    plural, _, subresource = plural.partition("/")
    attributes = {
        "verb": verb,
        "group": group or "leeward.dev",
        "resource": plural,
        "subresource": subresource,
        "namespace": namespace,
        "name": name,
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "groups": groups, "resourceAttributes": attributes},
    }
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    answer = world.admin.request("POST", path, review)
    return bool(answer.body["status"]["allowed"])


DEVELOPER = {
    *(f"{verb} {plural}" for plural in OURS for verb in ("get", "list", "watch")),
    *(
        f"{verb} {plural}"
        for plural in ("recoveryplans", "drexecutions", "drschedules")
        for verb in ("create", "update", "patch", "delete")
    ),
}
READER = {f"{verb} {plural}" for plural in OURS for verb in ("get", "list", "watch")}
APPROVER = READER | {"patch drexecutions", "approve recoveryplans/approval"}
DESTROYER = {"patch drtasks", "approve-destructive recoveryplans/approval"}
BREAKER = READER | {"patch drexecutions", "break-glass recoveryplans/operation"}
ON_DUTY = READER | {
    "create drexecutions",
    "patch drexecutions",
    "patch drtasks",
    "patch drschedules",
    "operate recoveryplans/operation",
}
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete")
ASKED = {
    *(f"{verb} {plural}" for plural in OURS for verb in VERBS),
    *(f"{verb} {plural}/status" for plural in OURS for verb in ("update", "patch")),
    *(f"{verb} {plural}/finalizers" for plural in OURS for verb in ("update",)),
    "approve recoveryplans/approval",
    "approve-destructive recoveryplans/approval",
    "operate recoveryplans/operation",
    "break-glass recoveryplans/operation",
}


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("developers", DEVELOPER),
        ("dr-approvers", APPROVER),
        ("dr-operators", ON_DUTY),
        ("dr-destroyers", DESTROYER),
        ("dr-breakers", BREAKER),
        ("strangers", set()),
    ],
)
def test_each_group_has_exactly_its_rights(world: World, group: str, expected: set[str]) -> None:
    found = {a for a in ASKED if may(world, "someone@example.com", [group], *a.split(" "))}
    assert found == expected


def test_the_right_to_break_the_glass_is_shipped_to_nobody() -> None:
    bindings = ROOT / "sandbox" / "leeward_sandbox" / "cluster" / "manifests"
    shipped = chart.objects(ROOT / "charts" / "leeward")
    for file in bindings.glob("*.yaml"):
        shipped += yaml.safe_load_all(file.read_text())
    carrying = [o for o in shipped if any("break-glass" in r["verbs"] for r in o.get("rules", []))]
    assert [role["metadata"]["name"] for role in carrying] == ["leeward-break-glass"]
    bound = [o for o in shipped if o.get("roleRef", {}).get("name") == "leeward-break-glass"]
    assert bound == []
    assert not [o for o in shipped if "aggregationRule" in o]


@pytest.mark.parametrize("role", ["view", "edit", "admin"])
def test_the_clusters_own_roles_carry_no_verb_of_ours(world: World, role: str) -> None:
    found = world.admin.request("GET", f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{role}")
    resources = {r for rule in found.body["rules"] for r in rule.get("resources", [])}
    assert "drexecutions" in resources  # ours are aggregated into it
    assert not {"recoveryplans/approval", "recoveryplans/operation"} & resources


def test_the_rights_end_at_the_namespace(world: World) -> None:
    for group in ("developers", "dr-approvers", "dr-operators", "dr-destroyers", "dr-breakers"):
        for asked in sorted(ASKED):
            verb, resource = asked.split(" ")
            assert not may(world, "someone", [group], verb, resource, "default")


def test_accounts_are_the_platforms(world: World) -> None:
    for group in ("developers", "dr-approvers", "dr-operators"):
        for verb in VERBS:
            assert not may(world, "someone", [group], verb, "targetaccounts", namespace="")


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        ("patch drexecutions", True),
        ("patch drtasks", True),
        ("update drexecutions/status", True),
        ("update targetaccounts/status", True),
        ("update drschedules/status", True),
        ("patch drschedules", False),
        ("create drtasks", True),
        ("delete recoveryinventories", True),
        ("update drexecutions/finalizers", True),
        ("get admissionregistration.k8s.io:validatingadmissionpolicies", True),
        ("get admissionregistration.k8s.io:mutatingadmissionpolicybindings", True),
        ("create events.k8s.io:events", True),
        ("patch recoveryplans", False),
        ("create drexecutions", True),
        ("delete drexecutions", False),
        ("create recoveryplans", False),
        ("create targetaccounts", False),
        ("approve recoveryplans/approval", False),
        ("operate recoveryplans/operation", False),
        ("break-glass recoveryplans/operation", False),
        ("approve-destructive recoveryplans/approval", False),
        ("patch admissionregistration.k8s.io:validatingadmissionpolicies", False),
        ("impersonate users", False),
        ("update coordination.k8s.io:leases", False),
    ],
)
def test_the_operator_has_what_it_needs_and_decides_nothing(
    world: World, asked: str, allowed: bool
) -> None:
    user = "system:serviceaccount:leeward-system:leeward"
    verb, resource = asked.split(" ")
    assert may(world, user, [], verb, resource) is allowed


def test_the_operator_keeps_its_lease_in_its_own_namespace_and_reads_secrets_nowhere_else(
    world: World,
) -> None:
    user = "system:serviceaccount:leeward-system:leeward"
    own = "leeward-system"
    for verb in ("get", "create", "update"):
        assert may(world, user, [], verb, "coordination.k8s.io:leases", own, "leeward")
    assert not may(world, user, [], "update", "coordination.k8s.io:leases", own, "anothers")
    for verb, namespace in (("get", "orders"), ("get", own), ("get", ""), ("list", own)):
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        attributes = {"verb": verb, "resource": "secrets", "namespace": namespace}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": user, "resourceAttributes": attributes},
        }
        allowed = world.admin.request("POST", path, review).body["status"]["allowed"]
        assert allowed is ((verb, namespace) == ("get", own))

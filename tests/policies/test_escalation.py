"""Ways from the chart's roles, or the cluster's own, to rights that nobody gave: each is refused.

What decides here is the API server's authorizer and its rules against escalation
(https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping):
they hold as long as no role of the chart carries `bind`, `escalate`, `impersonate` or writes to
roles, tokens, pods and policies. The forged commands are in test_forged_commands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.cluster

World = Any  # conftest.World
Caller = Any  # conftest.Caller
Answer = Any  # conftest.Answer
RBAC = "/apis/rbac.authorization.k8s.io/v1"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
OWN = "leeward-system"
TENANT_ADMIN = "tenant-admin@example.com"
PLATFORM = "platform@example.com"


@pytest.fixture(scope="module", autouse=True)
def bound(world: World) -> None:
    """A namespace's `admin` and a platform administrator, beside the people of the conftest."""
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": TENANT_ADMIN}
    world.cluster.apply(
        _object("RoleBinding", "tenant-admin", roleRef=_role("admin"), subjects=[subject]),
        _object(
            "ClusterRoleBinding",
            "platform",
            roleRef=_role("leeward-platform-admin"),
            subjects=[subject | {"name": PLATFORM}],
        ),
    )


def _role(name: str) -> dict[str, str]:
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}


def _object(kind: str, name: str, **rest: Any) -> dict[str, Any]:
    namespace = {} if kind.startswith("Cluster") else {"namespace": "orders"}
    version = "rbac.authorization.k8s.io/v1"
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name} | namespace} | rest


def tenant_admin(w: World) -> Caller:
    return w.caller(TENANT_ADMIN, "system:authenticated")


def platform(w: World) -> Caller:
    return w.caller(PLATFORM, "system:authenticated")


def bind(caller: Caller, role: str, kind: str = "RoleBinding") -> Answer:
    """Bind a ClusterRole to oneself."""
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": caller.user}
    body = _object(kind, "mine", roleRef=_role(role), subjects=[subject])
    scope = "" if kind.startswith("Cluster") else "/namespaces/orders"
    return caller.request("POST", f"{RBAC}{scope}/{kind.lower()}s", body)


def grant(caller: Caller, verb: str, resource: str) -> Answer:
    """Write a Role with this right into the tenant's namespace."""
    rule = {"apiGroups": ["leeward.dev"], "resources": [resource], "verbs": [verb]}
    body = _object("Role", "mine", rules=[rule])
    return caller.request("POST", f"{RBAC}/namespaces/orders/roles", body)


def developer_binds_the_approvers_role(w: World) -> Answer:
    return bind(w.intruder, "leeward-approver")


def tenant_admin_binds_the_approvers_role(w: World) -> Answer:
    return bind(tenant_admin(w), "leeward-approver")


def tenant_admin_binds_the_role_of_those_on_duty(w: World) -> Answer:
    return bind(tenant_admin(w), "leeward-operator-on-duty")


def tenant_admin_breaks_the_seal_of_break_glass(w: World) -> Answer:
    return bind(tenant_admin(w), "leeward-break-glass")


def tenant_admin_becomes_the_operator(w: World) -> Answer:
    return bind(tenant_admin(w), "leeward-operator")


def tenant_admin_writes_a_role_that_approves(w: World) -> Answer:
    return grant(tenant_admin(w), "approve", "recoveryplans/approval")


def tenant_admin_writes_a_role_that_writes_status(w: World) -> Answer:
    return grant(tenant_admin(w), "update", "drexecutions/status")


def tenant_admin_writes_a_role_that_creates_tasks(w: World) -> Answer:
    return grant(tenant_admin(w), "create", "drtasks")


def platform_admin_binds_the_approvers_role_for_all_namespaces(w: World) -> Answer:
    return bind(platform(w), "leeward-approver", "ClusterRoleBinding")


def approver_binds_the_destructive_approvers_role(w: World) -> Answer:
    return bind(w.alice, "leeward-destructive-approver")


def approver_shares_the_own_right(w: World) -> Answer:
    return grant(w.alice, "approve", "recoveryplans/approval")


def whoever_may_break_the_glass_binds_the_approvers_role(w: World) -> Answer:
    return bind(w.breaker, "leeward-approver")


def developer_adds_a_role_to_the_clusters_edit(w: World) -> Answer:
    labels = {"rbac.authorization.k8s.io/aggregate-to-edit": "true"}
    rule = {
        "apiGroups": ["leeward.dev"],
        "resources": ["recoveryplans/approval"],
        "verbs": ["approve"],
    }
    body = _object("ClusterRole", "more", rules=[rule])
    body["metadata"]["labels"] = labels
    return tenant_admin(w).request("POST", f"{RBAC}/clusterroles", body)


def approver_edits_who_approves(w: World) -> Answer:
    return w.alice.patch("recoveryplans", "orders-east", {"spec": {"waves": []}})


def one_on_duty_edits_who_approves(w: World) -> Answer:
    return w.duty.patch("recoveryplans", "orders-east", {"spec": {"waves": []}})


def tenant_admin_gives_the_namespace_another_account(w: World) -> Answer:
    return _account(tenant_admin(w))


def developer_gives_the_namespace_another_account(w: World) -> Answer:
    return _account(w.intruder)


def operator_gives_a_namespace_another_account(w: World) -> Answer:
    return _account(w.operator)


def _account(caller: Caller) -> Answer:
    spec = {
        "accountId": "999999999999",
        "regions": ["us-east-1", "us-east-2"],
        "allowedNamespaces": ["orders"],
    }
    body = {"apiVersion": "leeward.dev/v1alpha1", "kind": "TargetAccount"}
    return caller.create("targetaccounts", body | {"metadata": {"name": "mine"}, "spec": spec})


def tenant_admin_writes_a_status(w: World) -> Answer:
    return tenant_admin(w).patch("drexecutions/status", w.waiting(), {"status": {"gates": []}})


def tenant_admin_creates_a_task(w: World) -> Answer:
    return tenant_admin(w).create("drtasks", {"metadata": {"name": "mine"}})


def tenant_admin_makes_a_token_of_the_operator(w: World) -> Answer:
    return _token(tenant_admin(w), OWN)


def operator_makes_a_token_of_itself(w: World) -> Answer:
    return _token(w.operator, OWN)


def _token(caller: Caller, namespace: str) -> Answer:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/leeward/token"
    kind = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
    return caller.request("POST", path, kind | {"spec": {"audiences": []}})


def tenant_admin_runs_a_pod_beside_the_operator(w: World) -> Answer:
    return _pod(tenant_admin(w))


def operator_runs_a_pod(w: World) -> Answer:
    return _pod(w.operator)


def _pod(caller: Caller) -> Answer:
    spec = {"serviceAccountName": "leeward", "containers": [{"name": "c", "image": "sh"}]}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}
    return caller.request("POST", f"/api/v1/namespaces/{OWN}/pods", body)


def tenant_admin_configures_the_operator(w: World) -> Answer:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "leeward"}}
    path = f"/api/v1/namespaces/{OWN}/configmaps"
    return tenant_admin(w).request("POST", path, body | {"data": {"guard": "Off"}})


def tenant_admin_takes_the_leaders_lease(w: World) -> Answer:
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "x"}}
    path = f"/apis/coordination.k8s.io/v1/namespaces/{OWN}/leases"
    return tenant_admin(w).request("POST", path, body)


def tenant_admin_deletes_a_policy(w: World) -> Answer:
    path = f"{ADMISSION}/validatingadmissionpolicies/leeward-commands.leeward.dev"
    return tenant_admin(w).request("DELETE", path)


def platform_admin_deletes_a_policys_binding(w: World) -> Answer:
    path = f"{ADMISSION}/validatingadmissionpolicybindings/leeward-commands.leeward.dev"
    return platform(w).request("DELETE", path)


def operator_deletes_a_policy(w: World) -> Answer:
    path = f"{ADMISSION}/validatingadmissionpolicies/leeward-commands.leeward.dev"
    return w.operator.request("DELETE", path)


def tenant_admin_changes_requests_before_they_are_checked(w: World) -> Answer:
    kind = "MutatingAdmissionPolicy"
    body = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind}
    body |= {"metadata": {"name": "mine"}}
    return tenant_admin(w).request("POST", f"{ADMISSION}/mutatingadmissionpolicies", body)


def operator_binds_a_role(w: World) -> Answer:
    return bind(w.operator, "leeward-approver")


def operator_edits_a_plan(w: World) -> Answer:
    return w.operator.patch("recoveryplans", "orders-east", {"spec": {"waves": []}})


def operator_reads_a_tenants_secrets(w: World) -> Answer:
    return w.operator.request("GET", "/api/v1/namespaces/orders/secrets")


def operator_deletes_an_execution(w: World) -> Answer:
    return w.operator.delete("drexecutions", w.execution())


WAYS: list[tuple[Callable[[World], Answer], str]] = [
    (developer_binds_the_approvers_role, "cannot create resource"),
    (tenant_admin_binds_the_approvers_role, "not currently held"),
    (tenant_admin_binds_the_role_of_those_on_duty, "not currently held"),
    (tenant_admin_breaks_the_seal_of_break_glass, "not currently held"),
    (tenant_admin_becomes_the_operator, "not currently held"),
    (tenant_admin_writes_a_role_that_approves, "not currently held"),
    (tenant_admin_writes_a_role_that_writes_status, "not currently held"),
    (tenant_admin_writes_a_role_that_creates_tasks, "not currently held"),
    (platform_admin_binds_the_approvers_role_for_all_namespaces, "cannot create resource"),
    (approver_binds_the_destructive_approvers_role, "cannot create resource"),
    (approver_shares_the_own_right, "cannot create resource"),
    (whoever_may_break_the_glass_binds_the_approvers_role, "cannot create resource"),
    (developer_adds_a_role_to_the_clusters_edit, "cannot create resource"),
    (approver_edits_who_approves, "cannot patch resource"),
    (one_on_duty_edits_who_approves, "cannot patch resource"),
    (tenant_admin_gives_the_namespace_another_account, "cannot create resource"),
    (developer_gives_the_namespace_another_account, "cannot create resource"),
    (operator_gives_a_namespace_another_account, "cannot create resource"),
    (tenant_admin_writes_a_status, "cannot patch resource"),
    (tenant_admin_creates_a_task, "cannot create resource"),
    (tenant_admin_makes_a_token_of_the_operator, "cannot create resource"),
    (operator_makes_a_token_of_itself, "cannot create resource"),
    (tenant_admin_runs_a_pod_beside_the_operator, "cannot create resource"),
    (operator_runs_a_pod, "cannot create resource"),
    (tenant_admin_configures_the_operator, "cannot create resource"),
    (tenant_admin_takes_the_leaders_lease, "cannot create resource"),
    (tenant_admin_deletes_a_policy, "cannot delete resource"),
    (platform_admin_deletes_a_policys_binding, "cannot delete resource"),
    (operator_deletes_a_policy, "cannot delete resource"),
    (tenant_admin_changes_requests_before_they_are_checked, "cannot create resource"),
    (operator_binds_a_role, "cannot create resource"),
    (operator_edits_a_plan, "cannot patch resource"),
    (operator_reads_a_tenants_secrets, "cannot list resource"),
    (operator_deletes_an_execution, "cannot delete resource"),
]


@pytest.mark.parametrize(("way", "said"), WAYS, ids=[way.__name__ for way, _ in WAYS])
def test_no_role_leads_to_another(world: World, way: Callable[[World], Answer], said: str) -> None:
    answer = way(world)
    assert answer.status == 403, answer
    assert said in answer.message


IMPERSONATED = ("approver-a@example.com", "system:serviceaccount:leeward-system:leeward")


@pytest.mark.parametrize("whom", IMPERSONATED)
def test_nobody_impersonates_an_approver_or_the_operator(world: World, whom: str) -> None:
    """Asked of the authorizer: the callers of these tests are impersonated themselves."""
    groups = [["developers"], ["dr-approvers"], ["dr-operators"], ["dr-breakers"], []]
    people = [TENANT_ADMIN, PLATFORM, world.operator.user, "someone@example.com"]
    for user in people:
        for group in groups:
            attributes = {"verb": "impersonate", "resource": "users", "name": whom}
            review = {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "spec": {"user": user, "groups": group, "resourceAttributes": attributes},
            }
            path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
            answer = world.admin.request("POST", path, review)
            assert answer.body["status"]["allowed"] is False

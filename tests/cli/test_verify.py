"""`leeward verify deployment`: what it makes of objects, without a cluster."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leeward.cli import check, findings, verify_aws, verify_cluster, verify_wildcards
from leeward.cli.findings import Finding

NOW = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
TOPIC = "arn:aws:sns:us-east-2:999999999999:leeward"
BUS = "arn:aws:events:us-east-2:999999999999:event-bus/dr"
Object = dict[str, Any]


def _account(ready: str | None = "True", minutes: int = 3, **status: Any) -> Object:
    checked = (NOW - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
    conditions = [{"type": "Ready", "status": ready, "reason": "RoleNotAssumed", "message": "why"}]
    return {
        "metadata": {"name": "web"},
        "spec": {"accountId": "111111111111"},
        "status": {
            "lastCheckedTime": checked,
            "conditions": conditions if ready else [],
            **status,
        },
    }


@pytest.mark.parametrize(
    ("account", "verdict", "said"),
    [
        (_account(), "ok", "both roles can be assumed"),
        (_account("False"), "problem", "RoleNotAssumed: why"),
        (_account(minutes=16), "problem", "was ready 16 min ago"),
        (_account(None), "problem", "has not looked at it"),
        (
            _account(roles=[{"use": "Read", "externalId": "NotDemanded"}]),
            "problem",
            "Read role can be assumed without an external id",
        ),
    ],
)
def test_an_account_is_as_good_as_the_operators_last_look(
    account: Object, verdict: str, said: str
) -> None:
    found = verify_aws.account(account, NOW)

    assert (found.verdict, said in found.text) == (verdict, True), found.text
    assert "web (111111111111)" in found.text


def test_topics_of_tasks_and_the_bus_are_receivers_too() -> None:
    told = {"snsTopicArns": [TOPIC], "tasks": [{"name": "data", "topics": ["x"]}]}
    assert verify_aws.named({"spec": {"notifications": told | {"eventBusArn": BUS}}}) == [
        TOPIC, "x", BUS,
    ]  # fmt: skip
    assert verify_aws.named({"spec": {}}) == []


def _run(name: str, created: str, *notices: Object) -> Object:
    return {
        "metadata": {"name": name, "namespace": "orders", "creationTimestamp": created},
        "spec": {"planRef": {"name": "orders"}},
        "status": {"notifications": list(notices)},
    }


def test_the_newest_run_says_whether_notices_arrive() -> None:
    lost = {"type": "GateWaiting", "delivered": 0, "failed": 1, "message": "AuthorizationError"}
    taken = {"type": "GateWaiting", "delivered": 1, "failed": 0}
    old, new = "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"

    (good,) = verify_aws.delivered([_run("b", new, taken), _run("a", old, lost)])
    (bad,) = verify_aws.delivered([_run("b", old, taken), _run("a", new, lost, taken)])

    assert good == Finding("ok", "plan orders/orders, run b: 1 notices were taken")
    assert (bad.verdict, "AuthorizationError" in bad.text) == ("problem", True)


def _pod(*variables: str) -> Object:
    env = [{"name": name, "value": "x"} for name in variables]
    return {"metadata": {"name": "leeward-0"}, "spec": {"containers": [{"env": env}]}}


@pytest.mark.parametrize(
    ("variables", "verdict", "said"),
    [
        (["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"], "ok", "IRSA, role x"),
        (["AWS_CONTAINER_CREDENTIALS_FULL_URI"], "ok", "EKS Pod Identity"),
        (["AWS_ACCESS_KEY_ID"], "problem", "which never expire"),
        ([], "problem", "neither IRSA nor Pod Identity"),
    ],
)
def test_a_pods_identity_is_what_eks_set_in_it(
    variables: list[str], verdict: str, said: str
) -> None:
    (found,) = verify_cluster.identity([_pod(*variables)])
    assert (found.verdict, said in found.text) == (verdict, True), found.text


def test_a_deployment_is_known_by_its_service_account() -> None:
    def deployment(account: str, replicas: int, ready: int) -> Object:
        pod = {"serviceAccountName": account, "containers": [{"image": "leeward:1"}]}
        spec = {"replicas": replicas, "template": {"spec": pod}}
        return {"metadata": {"name": account}, "spec": spec, "status": {"readyReplicas": ready}}

    ours = deployment("leeward", 2, 2)
    found = list(verify_cluster.running([deployment("other", 1, 0), ours], "ns", "leeward"))
    assert found == [Finding("ok", "Deployment leeward: 2 of 2 replicas ready (leeward:1)")]
    (alone,) = verify_cluster.running([deployment("leeward", 1, 1)], "ns", "leeward")
    assert (alone.verdict, "nobody stands by" in alone.text) == ("ok", True)
    (none,) = verify_cluster.running([deployment("leeward", 0, 0)], "ns", "leeward")
    (missing,) = verify_cluster.running([], "ns", "leeward")
    assert (none.verdict, missing.verdict) == ("problem", "problem")


EVERYTHING = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}


@pytest.mark.parametrize(
    ("rule", "kind", "name", "verdict"),
    [
        (EVERYTHING, "User", "argocd.other-cluster", "unknown"),
        (EVERYTHING, "Group", "pipelines", "unknown"),
        (EVERYTHING, "Group", "system:authenticated", "unknown"),
        (EVERYTHING, "Group", "system:masters", "ok"),
        (EVERYTHING, "Group", "system:serviceaccounts:flux-system", "ok"),
        (EVERYTHING, "User", "system:kube-controller-manager", "ok"),
        (EVERYTHING, "ServiceAccount", "flux", "ok"),
        (EVERYTHING | {"verbs": ["get", "patch"]}, "Group", "pipelines", "ok"),
        (EVERYTHING | {"resources": ["deployments"]}, "Group", "pipelines", "ok"),
        ({"verbs": ["*"], "nonResourceURLs": ["*"]}, "Group", "pipelines", "ok"),
        (EVERYTHING | {"apiGroups": ["leeward.dev"]}, "Group", "pipelines", "unknown"),
        (EVERYTHING | {"apiGroups": ["apps"]}, "Group", "pipelines", "ok"),
        (
            {**EVERYTHING, "apiGroups": ["leeward.dev"], "resources": ["recoveryplans/approval"]},
            "User",
            "ci",
            "unknown",
        ),
    ],
)
def test_who_has_every_verb_by_a_wildcard_is_named_unless_the_policies_know(
    rule: Object, kind: str, name: str, verdict: str
) -> None:
    role = {"metadata": {"name": "everything"}, "rules": [rule]}
    binding = {
        "metadata": {"name": "bound"},
        "roleRef": {"kind": "ClusterRole", "name": "everything"},
        "subjects": [{"kind": kind, "name": name}],
    }
    nobody = {"metadata": {"name": "empty"}, "roleRef": {"name": "everything"}}

    found = verify_wildcards.found([role], [binding, nobody])

    assert found.verdict == verdict
    named = f"{kind} {name} (ClusterRoleBinding bound)" in found.text
    assert named == (verdict == "unknown"), found.text


@pytest.mark.parametrize(
    ("kind", "where", "verdict"),
    [("ClusterRole", "", "unknown"), ("Role", "orders", "unknown"), ("Role", "shop", "ok")],
)
def test_a_wildcard_in_a_tenants_namespace_is_found_as_well(
    kind: str, where: str, verdict: str
) -> None:
    place = {"namespace": where} if where else {}
    role = {"metadata": {"name": "everything", **place}, "rules": [EVERYTHING]}
    binding = {
        "metadata": {"name": "bound", "namespace": "orders"},
        "roleRef": {"kind": kind, "name": "everything"},
        "subjects": [{"kind": "Group", "name": "developers"}],
    }

    found = verify_wildcards.found([role], [binding])

    assert found.verdict == verdict
    assert ("Group developers (RoleBinding orders/bound)" in found.text) == (verdict == "unknown")


def test_a_version_in_which_objects_are_stored_must_be_served() -> None:
    versions = [{"name": "v1alpha1", "served": True}]
    conditions = [{"type": "Established", "status": "True"}]
    status = {"conditions": conditions, "storedVersions": ["v1alpha0", "v1alpha1"]}

    found = check.definition({"spec": {"versions": versions}, "status": status})

    assert (found.verdict, "v1alpha0" in found.text) == ("problem", True)


def test_sections_are_headed_and_counted_together() -> None:
    shown = findings.sections(
        {"A": [Finding("ok", "fine")], "B": [Finding("problem", "broken")]}, color=False
    )
    assert shown == "A\n  ✔ fine\nB\n  ✖ broken\n1 ok, 0 unknown, 1 problem"

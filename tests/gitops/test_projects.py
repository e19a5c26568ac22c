"""What a tenant may bring by Git: the projects of `examples/argocd`, held by the real Argo CD.

Whatever is refused is told in the Application, in words that say by whom and why.
"""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from argo import NAMESPACE, ORDERS, ArgoCd, outcome

Object = dict[str, Any]


def _manifest(api: str, kind: str, name: str, namespace: str | None = None, **body: Any) -> str:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return yaml.safe_dump({"apiVersion": api, "kind": kind, "metadata": metadata, **body})


_RBAC = "rbac.authorization.k8s.io"
_ROLE = {"apiGroup": _RBAC, "kind": "ClusterRole", "name": "cluster-admin"}
_ACCOUNT = {
    "accountId": "555555555555",
    "readRoleArn": "arn:aws:iam::555555555555:role/LeewardRead",
    "allow": {"namespaces": ["orders"]},
}
_FORBIDDEN = {
    "account": _manifest("leeward.dev/v1alpha1", "TargetAccount", "ours", spec=_ACCOUNT),
    "role": _manifest(f"{_RBAC}/v1", "ClusterRole", "ours", rules=[]),
    "binding": _manifest(f"{_RBAC}/v1", "RoleBinding", "ours", roleRef=_ROLE, subjects=[]),
    "application": _manifest("argoproj.io/v1alpha1", "Application", "ours", NAMESPACE),
    "elsewhere": _manifest("v1", "ConfigMap", "ours", "default", data={}),
}
_SAID = {
    "account": "resource leeward.dev:TargetAccount is not permitted in project leeward-orders",
    "role": f"resource {_RBAC}:ClusterRole is not permitted in project leeward-orders",
    "binding": f"resource {_RBAC}:RoleBinding is not permitted in project leeward-orders",
    "application": "resource argoproj.io:Application is not permitted in project leeward-orders",
    "elsewhere": "namespace default is not permitted in project 'leeward-orders'",
}


@pytest.fixture
def exists(estate: ArgoCd) -> Any:
    """Whether an object named `ours` is there."""

    def look(kind: str, namespace: str) -> bool:
        what = ("get", kind, "ours", "-n", namespace, "--ignore-not-found", "-o", "name")
        return bool(estate.cluster.kubectl(*what).stdout)

    return look


def test_what_is_not_a_tenants_is_refused_by_its_project(estate: ArgoCd, exists: Any) -> None:
    settings = _manifest("v1", "ConfigMap", "ours", data={"launch": "{}"})
    files = {f"{name}.yaml": text for name, text in _FORBIDDEN.items()}
    estate.tenant.commit({**files, "settings.yaml": settings}, "Ours as well")

    def told(app: Object) -> bool:
        return all(text in outcome(app) for text in _SAID.values())

    estate.until(ORDERS, "a refusal of each", told)
    for kind in ("targetaccount", "clusterrole"):
        assert not exists(kind, "orders"), kind
    assert not exists("rolebinding", "orders")
    assert not exists("application", NAMESPACE)
    assert not exists("configmap", "default")
    # One that is refused keeps the whole commit back.
    assert not exists("configmap", "orders")

    estate.commit_synced(dict.fromkeys(files), "Only what is ours")
    assert exists("configmap", "orders")


def test_a_task_in_git_is_refused_by_the_api_server(estate: ArgoCd, exists: Any) -> None:
    found = estate.cluster.kubectl("get", "drt", "-n", "orders", "-o", "yaml").stdout
    spec = yaml.safe_load(found)["items"][0]["spec"]
    task = _manifest("leeward.dev/v1alpha1", "DRTask", "ours", spec=spec)
    estate.tenant.commit({"task.yaml": task}, "A task of our own")
    estate.until(ORDERS, "a refusal", lambda app: "by the operator alone" in outcome(app))
    assert not exists("drt", "orders")
    estate.commit_synced({"task.yaml": None}, "Leave tasks to the operator")


def test_a_schedule_in_git_makes_tests_only_and_then_is_in_sync(estate: ArgoCd) -> None:
    spec = {
        "planRef": {"name": "orders"}, "schedule": "0 2 1 1 *", "timeZone": "Europe/Berlin",
        "template": {"operation": "Failover"},
    }  # fmt: skip
    schedule = _manifest("leeward.dev/v1alpha1", "DRSchedule", "yearly", spec=spec)
    estate.tenant.commit({"schedule.yaml": schedule}, "Fail over yearly")
    estate.until(ORDERS, "a refusal", lambda app: "a schedule makes Tests only" in outcome(app))
    del spec["template"]
    schedule = _manifest("leeward.dev/v1alpha1", "DRSchedule", "yearly", spec=spec)
    estate.commit_synced({"schedule.yaml": schedule}, "Rehearse yearly")
    found = estate.cluster.kubectl("get", "drsched", "yearly", "-n", "orders", "-o", "yaml").stdout
    author = yaml.safe_load(found)["metadata"]["annotations"]["leeward.dev/requested-by"]
    assert author.startswith("system:serviceaccount:argocd:")
    estate.commit_synced({"schedule.yaml": None}, "Rehearse by hand")


def test_an_application_of_the_tenant_takes_nothing_from_the_platforms_repository(
    estate: ArgoCd,
) -> None:
    (app,) = estate.example("apps/plans.yaml")
    (platform,) = estate.example("apps/accounts.yaml")
    app["metadata"] = {"name": "borrowed", "namespace": NAMESPACE}
    app["spec"]["source"] = platform["spec"]["source"]
    estate.cluster.apply(app)
    try:
        estate.until("borrowed", "a refusal", lambda a: "is not permitted in project" in outcome(a))
    finally:
        estate.cluster.kubectl("delete", "application", "borrowed", "-n", NAMESPACE)

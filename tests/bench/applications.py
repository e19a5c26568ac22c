"""An estate of small applications, each of one server with a plan of its own."""

from __future__ import annotations

from typing import Any

from testbed import Object

from leeward_sandbox.aws.estates.model import Estate

NAMESPACE = "orders"
"""One in which the sandbox's approvers have their rights."""
ACCOUNT = "111111111111"
_TAGS = {
    "Customer": "CustomerA",
    "Environment": "Production",
    "dr:enabled": "true",
    "dr:priority": "high",
    "dr:recovery-strategy": "drs",
}


def application(number: int) -> str:
    """Name of an application, its plan and its execution."""
    return f"app-{number:03}"


def estate(count: int) -> Estate:
    """`count` applications in one account, in one wave."""
    names = [application(n) for n in range(1, count + 1)]
    groups = [
        {"prefix": name, "count": 1, "tags": {"Application": name, "dr:wave": "1"}}
        for name in names
    ]
    network = {
        "primaryCidr": "10.1.0.0/16",
        "recoveryCidr": "10.2.0.0/16",
        "drillCidr": "10.3.0.0/16",
    }
    account = {"id": ACCOUNT, "name": "east", "network": network, "serverGroups": groups}
    body = {"name": "bench", "namespace": NAMESPACE, "tags": _TAGS, "accounts": [account]}
    return Estate.model_validate(body)


def surroundings() -> list[Object]:
    """The namespace, and the account that plans in it may use."""
    spec: dict[str, Any] = {
        "accountId": ACCOUNT,
        "readRoleArn": f"arn:aws:iam::{ACCOUNT}:role/LeewardRead",
        "recoveryRoleArn": f"arn:aws:iam::{ACCOUNT}:role/LeewardRecovery",
        "allow": {"namespaces": [NAMESPACE]},
    }
    target = _body("TargetAccount", "east", spec)
    del target["metadata"]["namespace"]
    return [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}, target]


def plan(name: str, application: str, *gates: str) -> Object:
    """A plan of one application in one wave, with gates before those phases."""
    spec = {
        "customer": "CustomerA",
        "environment": "Production",
        "applications": [application],
        "regions": {"primary": "us-east-1", "recovery": "us-east-2"},
        "accounts": [{"name": "east"}],
        "waves": [{"name": "all", "gates": [{"before": phase} for phase in gates]}],
        "fence": {"servers": "Leave"},
    }
    return _body("RecoveryPlan", name, spec)


def execution(name: str, plan: str) -> Object:
    """A failover of a plan."""
    return _body("DRExecution", name, {"planRef": {"name": plan}, "operation": "Failover"})


def ready(plan: Object) -> bool:
    """Whether a plan is Ready."""
    conditions = plan.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _body(kind: str, name: str, spec: Object) -> Object:
    return {
        "apiVersion": "leeward.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": spec,
    }

"""Least privilege: the operator uses every right that the chart gives it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from leeward_sandbox import audit, chart
from leeward_sandbox.stack import OPERATOR_NAMESPACE, OPERATOR_USER, SERVICE_ACCOUNT

Lab = Any  # conftest.Lab
CHART = Path(__file__).parents[2] / "charts" / "leeward"
GROUP = "leeward.dev"
ON_DUTY = "operator-on-duty@example.com"
APPROVER = "approver-a@example.com"
NOT_LOGGED = {
    # The admission plugin OwnerReferencesPermissionEnforcement asks about them whenever an owner
    # with blockOwnerDeletion is set; that question is no request of its own.
    ("", GROUP, "drexecutions/finalizers", "update"),
    ("", GROUP, "recoveryplans/finalizers", "update"),
}


@pytest.fixture
def foreign_id(lab: Lab) -> Iterator[str]:
    """A TargetAccount whose external id is in a Secret."""
    name = f"{lab.application}-id"
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": OPERATOR_NAMESPACE},
        "type": "leeward.dev/external-id",
        "data": {"externalId": base64.b64encode(b"somebody-elses").decode()},
    }
    account = {
        "apiVersion": "leeward.dev/v1alpha1",
        "kind": "TargetAccount",
        "metadata": {"name": name},
        "spec": {
            "accountId": "111111111111",
            "readRoleArn": "arn:aws:iam::111111111111:role/LeewardRead",
            "recoveryRoleArn": "arn:aws:iam::111111111111:role/LeewardRecovery",
            "externalIdSecretRef": {"name": name},
            "allow": {"namespaces": ["nobodys"]},
        },
    }
    lab.stack.cluster.apply(secret, account)
    yield name
    lab.stack.cluster.kubectl("delete", "targetaccount", name)


def leftover_task(lab: Lab, run: str) -> None:
    """A task that a freeze left which was never recorded."""
    task = {
        "apiVersion": "leeward.dev/v1alpha1",
        "kind": "DRTask",
        "metadata": {
            "name": f"{run}-leftover",
            "namespace": lab.namespace,
            "labels": {"leeward.dev/execution": run},
        },
        "spec": {
            "executionRef": {"name": run, "uid": "gone"},
            "plan": lab.application, "operation": "Test", "mode": "Planned", "wave": "data",
            "waveOrdinal": 1, "recoveryPhase": "Instantiate", "technology": "drs",
            "account": "east-a", "accountId": "111111111111", "region": "us-east-2",
            "sourceRegion": "us-east-1",
        },
    }  # fmt: skip
    path = f"/apis/leeward.dev/v1alpha1/namespaces/{lab.namespace}/drtasks"
    create = ("create", "--raw", path, "-f", "-", f"--as={OPERATOR_USER}")
    lab.kubectl(*create, input_=json.dumps(task))


def scheduled(lab: Lab) -> None:
    """A schedule that the operator has looked at."""
    name = f"{lab.application}-yearly"
    body = {
        "apiVersion": "leeward.dev/v1alpha1",
        "kind": "DRSchedule",
        "metadata": {"name": name, "namespace": lab.namespace},
        "spec": {"planRef": {"name": lab.application}, "schedule": "0 0 1 1 *", "suspend": True},
    }
    lab.apply(body)
    lab.until_condition("drsched", name, "Ready")


def test_the_operator_uses_every_right_that_it_has_and_asks_for_no_other(
    lab: Lab, foreign_id: str
) -> None:
    lab.ready_plan()
    lab.until(
        "the Secret is read",
        lambda: lab.get("ta", foreign_id).get("status", {}).get("conditions"),
    )
    assert _inventories(lab, "east-b")
    scheduled(lab)
    # An account that the plan has no more takes its inventories along.
    wave = {"name": "data", "gates": [{"before": "Instantiate"}]}
    lab.ready_plan(accounts=[{"name": "east-a"}], waves=[wave])
    lab.until("they are gone", lambda: not _inventories(lab, "east-b"))
    first = f"{lab.application}-failover-1"
    leftover_task(lab, first)
    lab.start(then=[{"operation": "Reprotect"}])
    lab.until_gate(first, "wave-data")
    # What somebody has written on a task makes the operator read it anew, and take it off.
    task = next(name for name in lab.tasks(first) if "-instantiate-" in name)
    lab.annotate("drt", task, "retry", ON_DUTY, user="on-duty")
    lab.until("it is taken off", lambda: "leeward.dev/retry" not in _annotations(lab, task))
    lab.annotate("drx", first, "approve-wave-data", APPROVER)
    lab.until_state(first, "Succeeded")
    chained = f"{first}-reprotect"
    shown = ("get", "drx", chained, "--ignore-not-found", "-o", "name")
    lab.until("the chain goes on", lambda: lab.kubectl(*shown).stdout)
    lab.annotate("drx", chained, "cancel", ON_DUTY, user="on-duty")
    lab.until_state(chained, "Cancelled")

    given = audit.rights(chart.objects(CHART), SERVICE_ACCOUNT, OPERATOR_NAMESPACE)

    def unused() -> set[audit.Right]:
        asked = audit.requests(lab.stack.cluster.audit_log, OPERATOR_USER)
        return audit.unused(given, asked) - NOT_LOGGED

    assert given >= NOT_LOGGED
    lab.until("every right was used", lambda: not unused())


def _annotations(lab: Lab, task: str) -> dict[str, str]:
    found: dict[str, str] = lab.get("drt", task)["metadata"].get("annotations", {})
    return found


def _inventories(lab: Lab, account: str) -> list[str]:
    listed = json.loads(lab.kubectl("get", "recoveryinventories", "-o", "json").stdout)["items"]
    return [
        i["metadata"]["name"]
        for i in listed
        if i["spec"]["planRef"]["name"] == lab.application and i["spec"]["account"] == account
    ]

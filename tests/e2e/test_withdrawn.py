"""A TargetAccount that is taken away from a live run, and given back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

ACCOUNT = "east-a"
APPROVER = "approver-a@example.com"


def allowed(lab: Any, *namespaces: str) -> None:
    """Let these namespaces use the account, and wait until the operator has seen it."""
    patch = json.dumps({"spec": {"allow": {"namespaces": list(namespaces)}}})
    lab.kubectl("patch", "ta", ACCOUNT, "--type=merge", "-p", patch)

    def seen() -> bool:
        body = lab.get("ta", ACCOUNT)
        return bool(body["status"]["observedGeneration"] == body["metadata"]["generation"])

    lab.until(f"{ACCOUNT} is looked at", seen)


@pytest.fixture
def given_back(lab: Any) -> Iterator[None]:
    """The account is as it was for the tests that come after."""
    yield
    allowed(lab, lab.namespace)


@pytest.mark.usefixtures("given_back")
def test_a_run_asks_nothing_new_of_an_account_that_is_taken_away_and_goes_on_when_it_is_back(
    lab: Any,
) -> None:
    lab.ready_plan(waves=[{"name": "data", "gates": [{"before": "Instantiate"}]}])
    name = lab.start()
    lab.until_gate(name, "wave-data")
    allowed(lab, "somebody-else")
    with lab.untouched():
        lab.annotate("drx", name, "approve-wave-data", APPROVER)
        run = lab.until_state(name, "WaitingForDecision")
    assert lab.reason(run, "WaitingForDecision") == "AccountRefused"
    assert f"{ACCOUNT} is no longer for namespace {lab.namespace}" in run["status"]["message"]
    (task,) = (t for t in lab.tasks(name).values() if t["status"].get("barredSince"))
    assert {r["reason"] for r in task["status"]["resources"]} == {"AccountRefused"}
    assert task["status"].get("journal", []) == []
    events = ("get", "events", "-o", "jsonpath={.items[*].reason}", "--field-selector")
    told = lab.kubectl(*events, f"involvedObject.name={task['metadata']['name']}").stdout
    assert "AccountRefused" in told

    allowed(lab, lab.namespace)
    lab.until_condition("drx", name, "Succeeded")
    after = lab.get("drt", task["metadata"]["name"])["status"]
    assert "barredSince" not in after
    assert {r.get("reason", "") for r in after["resources"]} != {"AccountRefused"}

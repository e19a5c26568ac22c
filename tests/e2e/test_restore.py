"""A hub that was restored from an old backup knows less than AWS, and repeats nothing."""

from __future__ import annotations

import json
from typing import Any

from .conftest import APPROVER, Lab, Object


def _put_back(lab: Lab, kind: str, body: Object) -> None:
    """The status as the backup has it, as a restore of etcd would bring it."""
    live = lab.get(kind, body["metadata"]["name"])
    restored = {**live, "status": body["status"]}
    lab.kubectl(
        "replace", "--subresource=status", "-f", "-",
        "--kubeconfig", str(lab.stack.operator_kubeconfig()), input_=json.dumps(restored),
    )  # fmt: skip
    held = lab.get(kind, body["metadata"]["name"])
    assert held["status"] == body["status"]


def test_a_run_from_before_its_launches_adopts_what_they_made(lab: Lab) -> None:
    gate: dict[str, Any] = {"gates": [{"before": "Instantiate"}]}
    lab.ready_plan(waves=[{"name": "data", **gate}, {"name": "web", **gate}])
    name = lab.start()
    backup = [lab.until_gate(name, "wave-data"), *lab.tasks(name).values()]
    lab.annotate("drx", name, "approve-wave-data", APPROVER)
    lab.until_gate(name, "wave-web")
    launched = lab.launches()
    assert {launched[server] for server in lab.servers(1)} == {1}

    lab.stack.stop_operator()
    for body in backup:
        _put_back(lab, "drx" if body["kind"] == "DRExecution" else "drt", body)
    lab.stack.start_operator()

    # What was approved after the backup is not known any more, and is asked for again.
    lab.until_gate(name, "wave-data")
    lab.annotate("drx", name, "approve-wave-data", APPROVER)
    lab.until_gate(name, "wave-web")
    assert lab.launches() == launched
    lab.annotate("drx", name, "approve-wave-web", APPROVER)
    run = lab.until_state(name, "Succeeded")
    assert run["status"]["resources"]["complete"] == 4
    assert set(lab.launches().values()) == {1}


def test_a_run_of_which_a_task_is_gone_waits_and_can_be_cancelled(lab: Lab) -> None:
    """Part of a namespace was restored, or its policies were off while somebody tidied up."""
    lab.ready_plan(waves=[{"name": "data"}, {"name": "web", "gates": [{"before": "Instantiate"}]}])
    name = lab.start()
    lab.until_gate(name)
    gone = min(task for task in lab.tasks(name) if "-w2-" in task)
    operator = ("--kubeconfig", str(lab.stack.operator_kubeconfig()))
    lab.kubectl("delete", "drt", gone, "--wait=false", *operator)

    run = lab.until_state(name, "WaitingForDecision")
    assert lab.reason(run, "WaitingForDecision") == "TasksMissing"
    assert gone in run["status"]["message"]
    assert f"continueFrom: {name}" in run["status"]["message"]

    lab.annotate("drx", name, "cancel", "admin", user="admin")
    over = lab.until_state(name, "Cancelled")
    assert gone in over["status"]["message"]
    assert over["status"]["location"] == "Mixed"
    lab.until(
        "the plan is free",
        lambda: "activeExecution" not in lab.get("rp", lab.application)["status"],
    )

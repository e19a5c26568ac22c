"""Servers that fail or limp: what is said of them, and how people go on."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

ACCOUNT = "111111111111"
APPROVER = "approver-a@example.com"
PLAN = {"accounts": [{"name": "east-a"}], "waves": [{"name": "data"}]}


def change(lab: Any, server: str, **what: Any) -> None:
    """Change a source server in the sandbox's DRS."""
    where = {"account": ACCOUNT, "region": "us-east-2", "sourceServerID": server}
    lab.control.backend("drs", {**where, **what})


def no_capacity(lab: Any) -> tuple[str, str]:
    """The application's servers: one whose launches fail for want of capacity, and a good one."""
    bad, good = lab.servers(1)
    raw = "InsufficientInstanceCapacity: We currently do not have sufficient m5.large capacity."
    change(lab, bad, fault={"failAt": "LAUNCH", "rawError": raw})
    return bad, good


def task(lab: Any, name: str, phase: str = "Instantiate") -> Any:
    """The run's task of a phase."""
    return next(t for t in lab.tasks(name).values() if t["spec"]["recoveryPhase"] == phase)


@pytest.fixture
def stuck(lab: Any) -> tuple[str, str, str]:
    """A run that waits for a decision because a server was not launched; bad and good server."""
    bad, good = no_capacity(lab)
    lab.ready_plan(**PLAN)
    name = lab.start()
    lab.until_condition("drx", name, "WaitingForDecision")
    return name, bad, good


def test_a_job_that_completes_without_a_server_fails_its_task_and_holds_the_run(
    lab: Any, stuck: tuple[str, str, str]
) -> None:
    name, bad, good = stuck
    failed = task(lab, name)
    states = {r["id"]: r for r in failed["status"]["resources"]}
    assert (states[bad]["state"], states[good]["state"]) == ("Failed", "Complete")
    job = lab.client("drs", ACCOUNT).describe_jobs(filters={"jobIDs": [states[bad]["reference"]]})
    assert job["items"][0]["status"] == "COMPLETED"
    assert failed["status"]["state"] == "Failed"
    assert states[bad]["reason"] == "InsufficientInstanceCapacity"
    for part in ("m5.large", ACCOUNT, "us-east-2", "choose another type or subnet", "retry"):
        assert part in states[bad]["message"]
    run = lab.get("drx", name)
    assert run["status"]["waves"][0]["state"] == "Failed"
    assert run["status"]["state"] == "WaitingForDecision"
    assert lab.condition(run, "Succeeded") == "Unknown"
    command = f"kubectl annotate drt {failed['metadata']['name']} -n orders leeward.dev/retry="
    for part in (bad, "InsufficientInstanceCapacity", ACCOUNT, "us-east-2", command, "skip"):
        assert part in run["status"]["message"]
    assert task(lab, name, "Activate")["status"]["state"] == "NotStarted"
    assert lab.mutations(lab.control.last_seq()) == []


def test_retry_launches_only_what_failed(lab: Any, stuck: tuple[str, str, str]) -> None:
    name, bad, good = stuck
    change(lab, bad, fault=None)
    failed = task(lab, name)["metadata"]["name"]
    lab.annotate("drt", failed, "retry", "admin: capacity is back", user="admin")
    run = lab.until_condition("drx", name, "Succeeded")
    assert lab.launches() == Counter({bad: 2, good: 1})
    assert lab.condition(run, "WaitingForDecision") == "False"
    assert run["status"]["resources"]["complete"] == 2
    assert lab.reason(run, "Succeeded") == "Succeeded"
    taken = run["status"]["commands"][-1]
    assert (taken["object"], taken["comment"]) == (failed, "capacity is back")
    assert "leeward.dev/retry" not in lab.get("drt", failed)["metadata"].get("annotations", {})


def test_a_zone_without_room_keeps_no_other_server_from_starting(lab: Any) -> None:
    lab.ready_plan(**PLAN | {"waves": [{"name": "data", "gates": [{"before": "Activate"}]}]})
    name = lab.start()
    lab.until_gate(name, "wave-data")
    bad, good = lab.servers(1)
    drs = lab.client("drs", ACCOUNT)
    (launched,) = drs.describe_recovery_instances(filters={"sourceServerIDs": [bad]})["items"]
    rule = lab.control.add_fault(
        service="ec2", account=ACCOUNT, operation="StartInstances", action="error",
        code="InsufficientInstanceCapacity", params={"InstanceIds": launched["ec2InstanceID"]},
    )  # fmt: skip
    lab.annotate("drx", name, "approve-wave-data", APPROVER)

    def states() -> dict[str, str]:
        resources = task(lab, name, "Activate")["status"].get("resources", [])
        return {r["id"]: r["state"] for r in resources}

    lab.until("the other one serves", lambda: states().get(good) == "Complete")
    assert states()[bad] != "Complete"
    asked = [
        set(i["resources"])
        for i in task(lab, name, "Activate")["status"]["journal"]
        if i["action"] == "start"
    ]
    assert asked[0] == {bad, good}
    assert {good} in asked
    lab.control.remove_fault(rule)
    run = lab.until_condition("drx", name, "Succeeded")
    assert lab.reason(run, "Succeeded") == "Succeeded"


def test_a_retry_that_fails_again_holds_the_run_again(
    lab: Any, stuck: tuple[str, str, str]
) -> None:
    name, bad, good = stuck
    failed = task(lab, name)["metadata"]["name"]
    lab.annotate("drt", failed, "retry", f"admin: [{bad}] once more", user="admin")
    lab.until("it was launched again", lambda: lab.launches()[bad] == 2)
    lab.until(
        "the run waits again",
        lambda: (
            task(lab, name)["status"]["state"] == "Failed"
            and lab.get("drx", name)["status"]["state"] == "WaitingForDecision"
        ),
    )
    assert lab.launches()[good] == 1


def test_skip_goes_on_without_the_server(lab: Any, stuck: tuple[str, str, str]) -> None:
    name, bad, good = stuck
    failed = task(lab, name)["metadata"]["name"]
    lab.annotate("drt", failed, "skip", f"admin: [{bad}] we can do without", user="admin")
    run = lab.until_condition("drx", name, "Succeeded")
    assert lab.reason(run, "Succeeded") == "WithinTolerance"
    assert bad in run["status"]["message"]
    counts = run["status"]["resources"]
    assert (counts["complete"], counts["skipped"], counts["failed"]) == (1, 1, 0)
    for phase in ("Instantiate", "Activate"):
        states = {r["id"]: r["state"] for r in task(lab, name, phase)["status"]["resources"]}
        assert states == {bad: "Skipped", good: "Complete"}
    assert lab.launches() == Counter({bad: 1, good: 1})


def test_a_run_with_a_failed_server_can_be_cancelled(lab: Any, stuck: tuple[str, str, str]) -> None:
    name, *_ = stuck
    since = lab.control.last_seq()
    lab.annotate("drx", name, "cancel", "admin", user="admin")
    run = lab.until_state(name, "Cancelled")
    assert "1 resource was launched and 0 activated" in run["status"]["message"]
    assert lab.mutations(since) == []


def test_a_stalled_server_is_launched_from_its_last_good_point(lab: Any) -> None:
    stalled, _ = lab.servers(1)
    change(lab, stalled, state="STALLED", lag="PT40M", error="AGENT_NOT_SEEN")
    plan = lab.ready_plan(**PLAN)
    assert lab.reason(plan, "Ready") == "Ready"
    assert lab.condition(plan, "Protected") == "False"
    degraded = [p for p in plan["status"]["readiness"] if p["reason"] == "ReplicationStalled"]
    assert [p["severity"] for p in degraded] == ["Degraded"]
    name = lab.start()
    lab.until_gate(name, "lag-data")
    lab.annotate("drx", name, "accept-data-loss-lag-data", "admin: 40 minutes", user="admin")
    run = lab.until_condition("drx", name, "Succeeded")
    assert lab.launches() == Counter(dict.fromkeys(lab.servers(1), 1))
    findings = "\n".join(run["status"]["findings"])
    for part in (stalled, "STALLED", "AGENT_NOT_SEEN"):
        assert part in findings

"""Stopping the side that is left: before anything is launched, or as a duty for later."""

from __future__ import annotations

from typing import Any

import pytest

ACCOUNT, HOME = "111111111111", "us-east-1"
APPROVER = "approver-a@example.com"
ONE_WAVE: dict[str, Any] = {"accounts": [{"name": "east-a"}], "waves": [{"name": "data"}]}


def origins(lab: Any) -> dict[str, str]:
    """By source server of the first wave: the instance that it replicates."""
    pages = lab.client("drs", ACCOUNT).get_paginator("describe_source_servers")
    hints = {
        item["sourceServerID"]: item["sourceProperties"]["identificationHints"]["awsInstanceID"]
        for page in pages.paginate(filters={})
        for item in page["items"]
    }
    return {server: hints[server] for server in lab.servers(1)}


def running(lab: Any) -> list[str]:
    """Source instances of the first wave that run."""
    ec2 = lab.client("ec2", ACCOUNT, HOME)
    found = ec2.describe_instances(InstanceIds=sorted(origins(lab).values()))
    return sorted(
        i["InstanceId"]
        for r in found["Reservations"]
        for i in r["Instances"]
        if i["State"]["Name"] == "running"
    )


def fencing(lab: Any, name: str) -> Any:
    """The run's task that fences."""
    return next(t for t in lab.tasks(name).values() if t["spec"]["recoveryPhase"] == "Fence")


def dead(lab: Any) -> str:
    """Every call to EC2 in the Region that is left fails, until the rule is removed."""
    rule: str = lab.control.add_fault(
        service="ec2", region=HOME, account=ACCOUNT, action="error", code="ServiceUnavailable"
    )
    return rule


@pytest.fixture
def fence() -> dict[str, Any]:
    return {**ONE_WAVE, "fence": {"servers": "Stop", "timeLimit": "3s"}}


def test_a_planned_failover_stops_the_other_side_before_it_launches(
    lab: Any, fence: dict[str, Any]
) -> None:
    lab.ready_plan(**fence)
    before = running(lab)
    assert before == sorted(origins(lab).values())
    since = lab.control.last_seq()
    name = lab.start()
    run = lab.until_condition("drx", name, "Succeeded")
    assert running(lab) == []
    order = [
        c["operation"]
        for c in lab.mutations(since)
        if c["operation"] in {"StopInstances", "StartRecovery", "StartInstances"}
    ]
    assert order[0] == "StopInstances"
    assert order.index("StopInstances") < order.index("StartRecovery")
    task = fencing(lab, name)
    assert (task["spec"]["region"], task["status"]["state"]) == (HOME, "Complete")
    assert run["status"]["resources"]["total"] == 2, "each server counts once"
    plan = lab.until_condition("rp", lab.application, "SourceFenced")
    assert plan["status"]["location"] == "Recovery"


def test_an_unplanned_failover_does_not_wait_for_a_region_that_is_lost(
    lab: Any, fence: dict[str, Any]
) -> None:
    lab.ready_plan(**fence, discovery={"interval": "2s"})
    rule = dead(lab)
    name = lab.start(mode="Unplanned")
    run = lab.until_condition("drx", name, "Succeeded")
    assert run["status"]["resources"]["complete"] == 2
    assert "2 not fenced, which may still write" in run["status"]["message"]
    states = fencing(lab, name)["status"]["resources"]
    assert {(r["state"], r["reason"]) for r in states} == {("Skipped", "FenceDeferred")}
    plan = lab.until_condition("rp", lab.application, "SourceFenced", "False")
    (duty,) = plan["status"]["deferredFence"]
    assert (duty["count"], duty["region"], duty["seen"]) == (2, HOME, "Silent")
    lab.control.remove_fault(rule)
    lab.until(
        "the Region's return is noticed",
        lambda: lab.reason(lab.get("rp", lab.application), "SourceFenced") == "SourceReturned",
    )
    assert running(lab) == sorted(origins(lab).values()), "nothing is stopped by itself"
    lab.client("ec2", ACCOUNT, HOME).stop_instances(InstanceIds=running(lab))
    plan = lab.until_condition("rp", lab.application, "SourceFenced")
    assert "deferredFence" not in plan["status"] or plan["status"]["deferredFence"] == []


def test_approvers_of_an_unplanned_run_read_what_could_not_be_fenced(
    lab: Any, fence: dict[str, Any]
) -> None:
    waves = [{"name": "data", "gates": [{"before": "Activate"}]}]
    lab.ready_plan(**fence | {"waves": waves})
    dead(lab)
    name = lab.start(mode="Unplanned")
    run = lab.until_gate(name, "wave-data")
    (found,) = [f for f in run["status"]["gates"][0]["findings"] if f.startswith("Fence:")]
    for part in ("0 of 2 fenced, 2 not", "east-a", HOME):
        assert part in found


def test_a_planned_run_that_cannot_fence_waits_until_people_make_it_unplanned(
    lab: Any, fence: dict[str, Any]
) -> None:
    lab.ready_plan(**fence)
    lab.control.add_fault(
        service="ec2", region=HOME, account=ACCOUNT, operation="StopInstances",
        action="error", code="UnauthorizedOperation", status=403,
    )  # fmt: skip
    name = lab.start()
    run = lab.until_condition("drx", name, "WaitingForDecision")
    for part in ("UnauthorizedOperation", ACCOUNT, HOME, 'leeward.dev/unplanned="YOU"'):
        assert part in run["status"]["message"]
    assert not lab.launches()
    lab.annotate("drx", name, "unplanned", "admin: the Region is lost", user="admin")
    run = lab.until_condition("drx", name, "Succeeded")
    assert run["status"]["unplanned"]
    assert run["status"]["commands"][-1]["comment"] == "the Region is lost"


def ordered(lab: Any, task: str, verb: str) -> str:
    """What the run records of a command on the task."""
    lab.annotate("drt", task, verb, "admin", user="admin")
    run = lab.get("drt", task)["spec"]["executionRef"]["name"]

    def taken() -> Any:
        commands = lab.get("drx", run)["status"].get("commands", [])
        mine = [c for c in commands if (c["key"], c["object"]) == (f"leeward.dev/{verb}", task)]
        waits = f"leeward.dev/{verb}" in lab.get("drt", task)["metadata"].get("annotations", {})
        return None if waits or not mine else mine[-1]

    return str(lab.until(f"{verb} is taken", taken)["result"])


def test_fencing_that_is_undone_at_a_gate_holds_the_run_and_the_gate_is_asked_anew(
    lab: Any, fence: dict[str, Any]
) -> None:
    waves = [{"name": "data", "gates": [{"before": "Activate"}]}]
    lab.ready_plan(**fence | {"waves": waves})
    name = lab.start()
    first = lab.until_gate(name, "wave-data")["status"]["gates"][0]
    assert "Fence: 2 of 2 fenced" in first["findings"]
    task = fencing(lab, name)["metadata"]["name"]
    assert "2 resources" in ordered(lab, task, "undo")
    run = lab.until_condition("drx", name, "WaitingForDecision")
    assert lab.reason(run, "WaitingForDecision") == "FenceUndone"
    assert running(lab) == sorted(origins(lab).values()), "the sources serve again"
    for said in (task, ACCOUNT, HOME, 'leeward.dev/retry="YOU"', 'leeward.dev/unplanned="YOU"'):
        assert said in run["status"]["message"]
    assert run["status"].get("gates", []) == []
    refused = lab.annotate("drx", name, "approve-wave-data", APPROVER, check=False)
    assert "has not been asked" in refused.stderr
    ordered(lab, task, "retry")
    again = lab.until_gate(name, "wave-data")["status"]["gates"][0]
    assert again["id"] != first["id"]
    assert "Fence: 2 of 2 fenced" in again["findings"]
    assert running(lab) == []
    lab.annotate("drx", name, "approve-wave-data", APPROVER)
    # What was launched before the undo does not hold what the sources served since.
    run = lab.until_condition("drx", name, "WaitingForDecision")
    assert lab.reason(run, "WaitingForDecision") == "NewerData"
    (start,) = (n for n, t in lab.tasks(name).items() if t["spec"]["recoveryPhase"] == "Activate")
    lab.annotate("drt", start, "accept-data-loss", "admin: nobody wrote", user="admin")
    lab.until_condition("drx", name, "Succeeded")


def test_what_a_cancelled_run_stopped_is_on_the_plan_until_it_runs_again(
    lab: Any, fence: dict[str, Any]
) -> None:
    waves = [{"name": "data", "gates": [{"before": "Instantiate"}]}]
    lab.ready_plan(**fence | {"waves": waves}, discovery={"interval": "2s"})
    name = lab.start()
    lab.until_gate(name, "wave-data")
    lab.annotate("drx", name, "cancel", "admin", user="admin")
    run = lab.until_state(name, "Cancelled")
    assert "Nothing serves in place of 2 resources in us-east-1" in run["status"]["message"]

    def left() -> Any:
        plan = lab.get("rp", lab.application)
        told = lab.reason(plan, "SourceFenced") == "LeftStopped"
        return plan if told and plan["status"]["location"] == "Mixed" else None

    plan = lab.until("the plan says what is stopped", left)
    (stopped,) = plan["status"]["leftStopped"]
    assert (stopped["count"], stopped["wave"], stopped["region"]) == (2, "data", HOME)
    assert plan["status"]["summary"].endswith("2 stopped by a run that ended")
    ids = sorted(origins(lab).values())
    lab.client("ec2", ACCOUNT, HOME).start_instances(InstanceIds=ids)

    def home() -> bool:
        status = lab.get("rp", lab.application)["status"]
        return status["location"] == "Primary" and not status.get("leftStopped")

    lab.until("the plan is at home again", home)


def test_what_is_started_by_hand_while_people_are_asked_is_not_launched_over_unasked(
    lab: Any, fence: dict[str, Any]
) -> None:
    waves = [{"name": "data", "gates": [{"before": "Instantiate"}]}]
    lab.ready_plan(**fence | {"waves": waves})
    name = lab.start()
    lab.until_gate(name, "wave-data")
    assert running(lab) == [], "it is fenced before people are asked"
    (first, source), (second, _) = sorted(origins(lab).items())
    ec2 = lab.client("ec2", ACCOUNT, HOME)
    ec2.start_instances(InstanceIds=[source])
    lab.annotate("drx", name, "approve-wave-data", "approver-a@example.com")

    run = lab.until_condition("drx", name, "WaitingForDecision")

    assert lab.reason(run, "WaitingForDecision") == "NewerData"
    (launch,) = (
        n for n, t in lab.tasks(name).items() if t["spec"]["recoveryPhase"] == "Instantiate"
    )
    for part in (
        source, first, ACCOUNT, HOME, "was stopped by this run", "stop it there",
        f"kubectl annotate drt {launch} ", "retry=", "accept-data-loss=",
    ):  # fmt: skip
        assert part in run["status"]["message"]
    assert lab.launches() == {second: 1}
    ec2.stop_instances(InstanceIds=[source])
    lab.until("it is stopped", lambda: not running(lab))
    lab.annotate("drt", launch, "retry", "admin", user="admin")
    lab.until_condition("drx", name, "Succeeded")
    assert lab.launches() == {first: 1, second: 1}


def test_what_is_started_by_hand_after_the_launch_holds_up_the_start_of_a_planned_run(
    lab: Any, fence: dict[str, Any]
) -> None:
    waves = [{"name": "data", "gates": [{"before": "Activate"}]}]
    lab.ready_plan(**fence | {"waves": waves})
    name = lab.start()
    lab.until_gate(name, "wave-data")
    first, source = min(origins(lab).items())
    lab.client("ec2", ACCOUNT, HOME).start_instances(InstanceIds=[source])
    lab.annotate("drx", name, "approve-wave-data", "approver-a@example.com")

    run = lab.until_condition("drx", name, "WaitingForDecision")

    assert lab.reason(run, "WaitingForDecision") == "NewerData"
    for part in (source, first, ACCOUNT, HOME, "started again", "relaunch=", "accept-data-loss="):
        assert part in run["status"]["message"]
    (start,) = (n for n, t in lab.tasks(name).items() if t["spec"]["recoveryPhase"] == "Activate")
    states = {r["id"]: r["state"] for r in lab.tasks(name)[start]["status"]["resources"]}
    assert states.pop(first) == "Failed"
    assert {*states.values()} == {"Complete"}, "the other one is started"
    lab.annotate("drt", start, "accept-data-loss", "admin: it holds nothing", user="admin")
    lab.until_condition("drx", name, "Succeeded")


def test_a_region_that_hangs_holds_up_neither_the_launch_nor_a_command(
    lab: Any, fence: dict[str, Any]
) -> None:
    """Calls to the side that is left are never answered while the run is launched and paused."""
    waves = [{"name": "data", "gates": [{"before": "Activate"}]}]
    lab.ready_plan(**fence | {"waves": waves})
    rule = lab.control.add_fault(
        service="ec2", region=HOME, account=ACCOUNT, action="hold", when="before"
    )
    name = lab.start(mode="Unplanned")
    lab.control.wait_held(rule, 60)
    lab.until("servers are being launched", lab.launches)
    lab.annotate("drx", name, "pause", "admin", user="admin")
    lab.until_condition("drx", name, "Paused")
    lab.control.release(rule)
    lab.control.remove_fault(rule)
    lab.annotate("drx", name, "cancel", "admin", user="admin")
    lab.until_state(name, "Cancelled")

"""A whole failover: discovery, launch, approval, activation."""

from __future__ import annotations

from typing import Any

ACCOUNT_A, ACCOUNT_B = "111111111111", "222222222222"
APPROVER = "approver-a@example.com"


def test_jobs_carry_our_tags_and_servers_run_after_activation(lab: Any) -> None:
    lab.ready_plan(waves=[{"name": "data"}])
    since = lab.control.last_seq()
    name = lab.start()
    lab.until_condition("drx", name, "Succeeded")
    drs = lab.client("drs", ACCOUNT_A)
    jobs = [
        job
        for page in drs.get_paginator("describe_jobs").paginate(filters={})
        for job in page["items"]
        if job.get("tags", {}).get("leeward:execution") == name
    ]
    assert [len(j["participatingServers"]) for j in jobs] == [2]
    tags = jobs[0]["tags"]
    assert tags["leeward:hub"] == "sandbox"
    assert tags["leeward:namespace"] == "orders"
    assert tags["leeward:operation"] == "Failover"
    found = drs.describe_recovery_instances(filters={"sourceServerIDs": lab.servers(1)})
    ids = [i["ec2InstanceID"] for i in found["items"]]
    assert [i["isDrill"] for i in found["items"]] == [False, False]
    states = lab.client("ec2", ACCOUNT_A).describe_instance_status(InstanceIds=ids)
    assert {s["InstanceStatus"]["Status"] for s in states["InstanceStatuses"]} == {"ok"}
    asked = [
        c for c in lab.mutations(since) if c["operation"] in {"StartRecovery", "StartInstances"}
    ]
    assert {c["operation"] for c in asked} == {"StartRecovery", "StartInstances"}
    assert {(c["part"], c["run"]) for c in asked} == {("adapter.drs", f"orders.{name}")}


def test_nothing_of_a_gated_wave_is_called_before_its_approval(lab: Any) -> None:
    lab.ready_plan()
    since = lab.control.last_seq()
    name = lab.start()
    lab.until_gate(name)
    before = [c for c in lab.mutations(since) if c["account"] == ACCOUNT_B]
    assert before == []
    lab.annotate("drx", name, "approve-wave-web", APPROVER)
    lab.until_condition("drx", name, "Succeeded")
    assert [c["operation"] for c in lab.mutations(since) if c["account"] == ACCOUNT_B] != []


def test_lists_read_well(lab: Any) -> None:
    lab.ready_plan(waves=[{"name": "data"}])
    name = lab.start()
    lab.until_condition("drx", name, "Succeeded")
    header, row = lab.kubectl("get", "drx", name).stdout.splitlines()
    for column in ("PLAN", "OPERATION", "MODE", "STATE", "WAVE", "DONE", "FAILED", "TOTAL"):
        assert column in header
    assert "Failover" in row
    assert "Succeeded" in row
    tasks = lab.kubectl("get", "drt", "-l", f"leeward.dev/execution={name}").stdout
    assert tasks.count("Complete") == 2


def test_a_run_leaves_its_answer_in_the_record(lab: Any) -> None:
    lab.ready_plan()
    name = lab.start(reason="exercise", incident="INC42")
    lab.until_gate(name)
    lab.annotate("drx", name, "approve-wave-web", f"{APPROVER}: lag is fine")
    run = lab.until_condition("drx", name, "Succeeded")
    answer = run["status"]["gates"][0]["answers"][0]
    assert (answer["user"], answer["comment"]) == (APPROVER, "lag is fine")
    assert run["status"]["commands"][0]["user"] == APPROVER
    assert "leeward.dev/approve-wave-web" not in run["metadata"]["annotations"]
    assert run["status"]["requestedBy"] == "admin"
    events = lab.kubectl("get", "events", "--field-selector", f"involvedObject.name={name}").stdout
    for reason in ("Started", "GateWaiting", "CommandTaken", "Succeeded"):
        assert reason in events

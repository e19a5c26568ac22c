"""The ten scenarios of TRS 9.3, each as a test here or by the name of the one that shows it.

 1. full failover                 test_1_full_failover_of_all_waves
 2. partial failover              test_2_failover_of_some_waves
 3. approval workflow             test_failover.test_nothing_of_a_gated_wave_is_called_…
 4. approval timeout              test_gates.test_a_gate_that_nobody_answers_holds_the_run_…
 5. approval rejection            test_gates.test_a_rejected_gate_holds_the_run_…
 6. failback                      test_failback.test_an_estate_fails_over_and_comes_back_…
 7. test/drill                    test_drill.test_a_drill_runs_in_its_network_and_is_cleaned_up
 8. cross-account discovery       test_8_resources_of_several_accounts_are_found
 9. multi-technology              test_9_several_technologies_in_one_run
10. error handling and recovery   test_trouble, test_tolerance, test_scope; tests/crash
"""

from __future__ import annotations

from collections import Counter
from typing import Any

ACCOUNTS = {"east-a": "111111111111", "east-b": "222222222222"}
STOP = {"fence": {"servers": "Stop"}}
ZONE = "e2e.example.com"


def running_at_home(lab: Any, account: str) -> int:
    """Instances of this test's application that run in the primary Region."""
    ec2 = lab.client("ec2", account, "us-east-1")
    filters = [
        {"Name": "tag:Application", "Values": [lab.application]},
        {"Name": "instance-state-name", "Values": ["running"]},
    ]
    pages = ec2.get_paginator("describe_instances").paginate(Filters=filters)
    return sum(len(r["Instances"]) for page in pages for r in page["Reservations"])


def test_1_full_failover_of_all_waves(lab: Any) -> None:
    waves = [{"name": "data"}, {"name": "web", "gates": [{"before": "Fence"}]}]
    plan = lab.ready_plan(**STOP, waves=waves)
    assert plan["status"]["location"] == "Primary"
    assert [running_at_home(lab, a) for a in ACCOUNTS.values()] == [2, 2]
    name = lab.start()
    lab.until_gate(name)
    assert [running_at_home(lab, a) for a in ACCOUNTS.values()] == [0, 2]
    lab.annotate("drx", name, "approve-wave-web", "approver-a@example.com: checked")
    lab.kubectl("wait", "--for=condition=Succeeded", f"drx/{name}", "--timeout=120s")
    run = lab.get("drx", name)
    assert [w["state"] for w in run["status"]["waves"]] == ["Complete", "Complete"]
    assert run["status"]["resources"]["complete"] == run["status"]["resources"]["total"] == 4
    assert lab.launches() == Counter(dict.fromkeys([*lab.servers(1), *lab.servers(2)], 1))
    assert [running_at_home(lab, a) for a in ACCOUNTS.values()] == [0, 0]
    moved = lab.until_condition("rp", lab.application, "SourceFenced")
    assert moved["status"]["location"] == "Recovery"


def test_2_failover_of_some_waves(lab: Any) -> None:
    lab.ready_plan(**STOP)
    name = lab.start(waves=["data"])
    run = lab.until_condition("drx", name, "Succeeded")
    assert [w["name"] for w in run["status"]["waves"]] == ["data"]
    assert lab.launches() == Counter(dict.fromkeys(lab.servers(1), 1))
    assert [running_at_home(lab, a) for a in ACCOUNTS.values()] == [0, 2]
    plan = lab.until(
        "the plan knows that only a part of it moved",
        lambda: (p := lab.get("rp", lab.application))["status"]["location"] == "Mixed" and p,
    )
    waves = {w["name"]: w["location"] for w in plan["status"]["waves"]}
    assert waves == {"data": "Recovery", "web": "Primary"}


def test_8_resources_of_several_accounts_are_found(lab: Any) -> None:
    lab.ready_plan()
    listed = lab.kubectl("get", "rinv", "-o", "name").stdout
    mine = [line.split("/")[1] for line in listed.splitlines() if lab.application in line]
    found = {
        body["spec"]["accountId"]: sorted(
            r["id"] for r in body["status"]["resources"] if r["verdict"] == "Selected"
        )
        for body in (lab.get("rinv", name) for name in mine)
    }
    assert found == {ACCOUNTS["east-a"]: lab.servers(1), ACCOUNTS["east-b"]: lab.servers(2)}


def test_9_several_technologies_in_one_run(lab: Any) -> None:
    """EC2 is stopped, DRS launches, a person confirms, Route 53 switches; in that order."""
    route53 = lab.client("route53", ACCOUNTS["east-a"])
    zone = route53.list_hosted_zones_by_name(DNSName=ZONE)["HostedZones"][0]["Id"]
    record = {
        "name": f"www.{lab.application}.{ZONE}", "type": "CNAME",
        "recovery": {"values": [f"{lab.application}.us-east-2.{ZONE}"]},
    }  # fmt: skip
    tasks = [
        {
            "name": "look", "type": "Manual",
            "manual": {"instructions": "Log in to the shop and look at an order."},
        },
        {
            "name": "switch", "type": "Route53", "dependsOn": ["look"],
            "route53": {
                "accountRef": {"name": "east-a"},
                "hostedZoneId": zone.rpartition("/")[2],
                "records": [record],
            },
        },
    ]  # fmt: skip
    waves = [{"name": "data", "tasks": tasks}]
    lab.ready_plan(**STOP, accounts=[{"name": "east-a"}], waves=waves)
    since = lab.control.last_seq()
    name = lab.start()
    run = lab.until_condition("drx", name, "WaitingForDecision")
    assert lab.reason(run, "WaitingForDecision") == "ManualTask"
    assert "Log in to the shop" in run["status"]["message"]
    task = next(t for t in lab.tasks(name) if t.endswith("-look"))
    lab.annotate("drt", task, "mark-done", "admin: order 4711 is there", user="admin")
    run = lab.until_condition("drx", name, "Succeeded")
    assert lab.reason(run, "Succeeded") == "Succeeded"
    order = [c["operation"] for c in lab.mutations(since)]
    first = [order.index(o) for o in ("StopInstances", "StartRecovery", "StartInstances")]
    assert [*first, order.index("ChangeResourceRecordSets")] == sorted(
        [*first, order.index("ChangeResourceRecordSets")]
    )

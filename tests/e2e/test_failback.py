"""The way back: failover, replication the other way, failback, and retiring what is left."""

from __future__ import annotations

from collections import Counter
from typing import Any

ACCOUNT = "111111111111"
ZONE = "e2e.example.com"
HOME, AWAY = "us-east-1", "us-east-2"
APPROVER = "approver-a@example.com"
WAVES = [{"name": "data"}]


def one_account(lab: Any, **spec: Any) -> None:
    """This test's plan with the two servers of wave 1 alone, fenced, ready."""
    lab.ready_plan(
        **{
            "waves": WAVES,
            "accounts": [{"name": "east-a"}],
            "fence": {"servers": "Stop"},
            "cleanup": {"recoveryInstances": "Retire"},
            **spec,
        }
    )


def sources(lab: Any, region: str, direction: str) -> dict[str, Any]:
    """By instance that it protects: source servers in the Region that replicate that way."""
    pages = lab.client("drs", ACCOUNT, region).get_paginator("describe_source_servers")
    return {
        server["sourceProperties"]["identificationHints"]["awsInstanceID"]: server
        for page in pages.paginate(filters={})
        for server in page["items"]
        if server["replicationDirection"] == direction
    }


def states(lab: Any, region: str, instances: set[str]) -> dict[str, str]:
    """State of each instance, by EC2."""
    pages = lab.client("ec2", ACCOUNT, region).get_paginator("describe_instances")
    return {
        instance["InstanceId"]: instance["State"]["Name"]
        for page in pages.paginate(InstanceIds=sorted(instances))
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
    }


def recovered(lab: Any) -> dict[str, str]:
    """By source server of wave 1: its recovery instance in the recovery Region."""
    drs = lab.client("drs", ACCOUNT)
    pages = drs.get_paginator("describe_recovery_instances")
    filters = {"sourceServerIDs": lab.servers(1)}
    return {
        item["sourceServerID"]: item["ec2InstanceID"]
        for page in pages.paginate(filters=filters)
        for item in page["items"]
    }


def location(lab: Any, wanted: str) -> None:
    lab.until(
        f"the plan is at {wanted}",
        lambda: lab.get("rp", lab.application)["status"]["location"] == wanted,
    )


def record(lab: Any) -> list[str]:
    """What this test's name points at."""
    route53 = lab.client("route53", ACCOUNT)
    zone = route53.list_hosted_zones_by_name(DNSName=ZONE)["HostedZones"][0]["Id"]
    name = f"www.{lab.application}.{ZONE}."
    found = route53.list_resource_record_sets(
        HostedZoneId=zone, StartRecordName=name, StartRecordType="CNAME", MaxItems="1"
    )["ResourceRecordSets"][0]
    assert found["Name"] == name
    return [value["Value"] for value in found["ResourceRecords"]]


def switch(lab: Any) -> dict[str, Any]:
    """A task that switches this test's name, with both of its sides."""
    zones = lab.client("route53", ACCOUNT).list_hosted_zones_by_name(DNSName=ZONE)
    sides = {
        side: {"values": [f"{lab.application}.{region}.{ZONE}"]}
        for side, region in (("primary", HOME), ("recovery", AWAY))
    }
    return {
        "name": "switch",
        "type": "Route53",
        "route53": {
            "accountRef": {"name": "east-a"},
            "hostedZoneId": zones["HostedZones"][0]["Id"].rpartition("/")[2],
            "records": [{"name": f"www.{lab.application}.{ZONE}", "type": "CNAME", **sides}],
        },
    }


def reversals(lab: Any, since: int) -> Counter[str]:
    """How often each instance was replicated the other way."""
    calls = lab.control.calls(service="drs", operation="ReverseReplication", since=since)
    return Counter(c["params"]["recoveryInstanceID"] for c in calls if c["executed"])


def test_an_estate_fails_over_and_comes_back_and_is_protected_again(lab: Any) -> None:
    one_account(lab, waves=[{"name": "data", "tasks": [switch(lab)]}])
    lab.until_condition("drx", lab.start(), "Succeeded")
    location(lab, "Recovery")
    away = recovered(lab)
    assert set(states(lab, AWAY, {*away.values()}).values()) == {"running"}
    assert record(lab) == [f"{lab.application}.{AWAY}.{ZONE}"]

    since = lab.control.last_seq()
    lab.control.add_fault(
        service="drs", operation="ReverseReplication", account=ACCOUNT,
        params={"recoveryInstanceID": min(away.values())}, action="drop", when="after", nth=1,
    )  # fmt: skip
    lab.until_condition("drx", lab.start("Reprotect"), "Succeeded")
    assert reversals(lab, since) == Counter(away.values())
    back = sources(lab, HOME, "FAILBACK")
    assert {*away.values()} <= back.keys()
    protection = {back[i]["dataReplicationInfo"]["dataReplicationState"] for i in away.values()}
    assert protection == {"CONTINUOUS"}

    since = lab.control.last_seq()
    run = lab.until_condition("drx", lab.start("Failback"), "Succeeded")
    assert lab.reason(run, "Succeeded") == "Succeeded"
    order = [c["operation"] for c in lab.mutations(since)]
    fenced, launched = order.index("StopInstances"), order.index("StartRecovery")
    assert fenced < launched < order.index("StartInstances") < order.index("ReverseReplication")
    assert not {"TerminateInstances", "TerminateRecoveryInstances"} & {*order}
    location(lab, "Primary")
    assert record(lab) == [f"{lab.application}.{HOME}.{ZONE}"]
    home = sources(lab, AWAY, "FAILOVER")
    mine = {i: s for i, s in home.items() if s["sourceServerID"] in lab.servers(1)}
    assert set(states(lab, HOME, {*mine}).values()) == {"running"}
    assert {s["dataReplicationInfo"]["dataReplicationState"] for s in mine.values()} == {
        "CONTINUOUS"
    }
    assert set(states(lab, AWAY, {*away.values()}).values()) == {"stopped"}
    lab.until_condition("rp", lab.application, "Protected")

    # The next disaster finds what the last one left, and launches anew.
    lab.until_condition("drx", lab.start(suffix="2"), "Succeeded")
    location(lab, "Recovery")
    assert set(states(lab, HOME, {*mine}).values()) == {"stopped"}
    again = recovered(lab)
    assert not {*again.values()} & {*away.values()}
    assert set(states(lab, AWAY, {*again.values()}).values()) == {"running"}
    assert set(states(lab, AWAY, {*away.values()}).values()) == {"stopped"}


def exists(lab: Any, run: str) -> bool:
    return bool(lab.kubectl("get", "drx", run, "--ignore-not-found", "-o", "name").stdout)


def test_a_chain_goes_on_by_itself_to_the_gate_of_each_and_nothing_is_retired_unasked(
    lab: Any,
) -> None:
    lab.stack.cluster.kubectl(
        "patch", "ta", "east-a", "--type=merge", "-p",
        '{"spec":{"allow":{"destructive":"Allowed"}}}', user="admin",
    )  # fmt: skip
    one_account(lab)
    chain = [{"operation": name} for name in ("Reprotect", "Failback", "Cleanup")]
    first = lab.start(then=chain)
    names = [first]
    for operation in ("reprotect", "failback", "cleanup"):
        names.append(f"{names[-1]}-{operation}")
        lab.until_condition("drx", names[-2], "Succeeded")
        lab.until(f"{names[-1]} is there", lambda: exists(lab, names[-1]))
        if operation == "cleanup":
            break
        run = lab.until_gate(names[-1], "begin-data")
        assert run["metadata"]["annotations"]["leeward.dev/requested-by"] == "admin"
        lab.annotate("drx", names[-1], "approve-begin-data", APPROVER)
    away = recovered(lab)
    cleanup = names[-1]
    lab.until_gate(cleanup, "begin-data")
    refused = lab.annotate("drx", cleanup, "approve-begin-data", APPROVER, check=False)
    assert "needs the verb approve-destructive" in refused.stderr
    assert set(states(lab, AWAY, {*away.values()}).values()) == {"stopped"}
    with lab.bound("leeward-destructive-approver"):
        lab.annotate("drx", cleanup, "approve-begin-data", APPROVER)
        lab.until_condition("drx", cleanup, "Succeeded")
    assert set(states(lab, AWAY, {*away.values()}).values()) <= {"terminated"}
    mine = {
        instance: server
        for instance, server in sources(lab, AWAY, "FAILOVER").items()
        if server["sourceServerID"] in lab.servers(1)
    }
    assert set(states(lab, HOME, {*mine}).values()) == {"running"}
    assert {s["dataReplicationInfo"]["dataReplicationState"] for s in mine.values()} == {
        "CONTINUOUS"
    }
    assert not {*away.values()} & sources(lab, HOME, "FAILBACK").keys()
    assert lab.get("drx", first)["status"]["next"]["name"] == names[1]


def reasons(plan: dict[str, Any]) -> set[str]:
    """Of the plan's findings."""
    return {problem["reason"] for problem in plan["status"].get("readiness", [])}


def test_an_unplanned_failback_asks_before_it_starts_what_the_other_side_has_newer(
    lab: Any,
) -> None:
    one_account(
        lab,
        waves=[{"name": "data", "gates": [{"before": "Activate"}]}],
        fence={"servers": "Stop", "timeLimit": "2s"},
        discovery={"interval": "3s"},
    )
    failover = lab.start()
    lab.until_gate(failover, "wave-data")
    lab.annotate("drx", failover, "approve-wave-data", APPROVER)
    lab.until_condition("drx", failover, "Succeeded")
    lab.until_condition("drx", lab.start("Reprotect"), "Succeeded")
    location(lab, "Recovery")
    lab.until_condition("rp", lab.application, "Protected")  # no gate asks about replication
    away = recovered(lab)
    back = sources(lab, HOME, "FAILBACK")
    protecting = {"account": ACCOUNT, "region": HOME}
    protecting |= {"sourceServerID": [back[i]["sourceServerID"] for i in away.values()]}

    # The recovery Region dies, and the estate goes home from the last points in time.
    lab.control.backend("drs", {**protecting, "state": "STALLED"})
    lab.control.advance(3600)
    rule = lab.control.add_fault(
        service="ec2", region=AWAY, account=ACCOUNT, action="error", code="ServiceUnavailable"
    )
    behind = "ReversedReplicationBehind"
    lab.until("the plan lags", lambda: behind in reasons(lab.get("rp", lab.application)))
    run = lab.start("Failback", mode="Unplanned")
    lab.until_gate(run, "wave-data")

    # While people are asked it comes back, and users are on it again.
    lab.control.remove_fault(rule)
    lab.control.backend("drs", {**protecting, "state": "CONTINUOUS", "lag": "PT0S"})
    assert sources(lab, HOME, "FAILBACK")  # the sandbox's DRS notices when it is asked
    lab.control.advance(3600)
    since = lab.control.last_seq()
    lab.until(
        "its return is noticed",
        lambda: lab.reason(lab.get("rp", lab.application), "SourceFenced") == "SourceReturned",
    )
    told = "the side that is left answers again and may serve: 2 resources"
    lab.until("approvers read it", lambda: told in lab.get("drx", run)["status"]["message"])
    (gate,) = lab.get("drx", run)["status"]["gates"]
    if gate["dataLoss"] == "Question":  # of what lagged when it was asked, not of what is newer
        lab.annotate("drx", run, "accept-data-loss-wave-data", "admin", user="admin")
    lab.annotate("drx", run, "approve-wave-data", APPROVER)
    body = lab.until_condition("drx", run, "WaitingForDecision")
    assert lab.reason(body, "WaitingForDecision") == "NewerData"
    assert not [c for c in lab.mutations(since) if c["operation"] == "StartInstances"]
    tasks = {t["spec"]["recoveryPhase"]: name for name, t in lab.tasks(run).items()}
    first, second = lab.servers(1)
    for said in (
        ACCOUNT, HOME, AWAY, f"kubectl annotate drt {tasks['Instantiate']} ", "relaunch=",
        f"kubectl annotate drt {tasks['Activate']} ", "accept-data-loss=", "cancel=",
    ):  # fmt: skip
        assert said in body["status"]["message"]

    # Whoever decides stops the other side first. One server is launched anew, of the other a
    # person takes the older data.
    lab.client("ec2", ACCOUNT, AWAY).stop_instances(InstanceIds=[*away.values()])
    lab.until(
        "it is stopped", lambda: {*states(lab, AWAY, {*away.values()}).values()} == {"stopped"}
    )
    taken = f"admin: [{first}] it holds nothing"
    lab.annotate("drt", tasks["Activate"], "accept-data-loss", taken, user="admin")
    lab.annotate("drt", tasks["Instantiate"], "relaunch", f"admin: [{second}]", user="admin")
    lab.until_condition("drx", run, "Succeeded")
    states_of = {
        name: {r["id"]: r for r in lab.tasks(run)[name]["status"]["resources"]}
        for name in tasks.values()
    }
    assert states_of[tasks["Activate"]][first]["reason"] == "LossAccepted"
    assert "accepted by admin" in states_of[tasks["Activate"]][first]["message"]
    assert states_of[tasks["Instantiate"]][second]["reason"] == "Relaunched"
    assert states_of[tasks["Activate"]][second]["state"] == "Complete"

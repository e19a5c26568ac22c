"""Runs of a part of a plan, runs that correct another one, and drills that make way."""

from __future__ import annotations

from collections import Counter
from typing import Any

ACCOUNT = "111111111111"
ONE_WAVE: dict[str, Any] = {"accounts": [{"name": "east-a"}], "waves": [{"name": "data"}]}


def test_a_server_is_left_out_by_name(lab: Any) -> None:
    lab.ready_plan(**ONE_WAVE)
    kept, left = lab.servers(1)
    name = lab.start(resources={"exclude": [left]})
    run = lab.until_condition("drx", name, "Succeeded")
    assert run["status"]["resources"]["total"] == 1
    assert lab.launches() == Counter({kept: 1})


def test_a_run_is_corrected_by_another_that_keeps_what_was_done(lab: Any) -> None:
    """The first launch of one server fails; the corrected run launches that server alone."""
    lab.ready_plan(**ONE_WAVE)
    bad, good = lab.servers(1)
    where = {"account": ACCOUNT, "region": "us-east-2", "sourceServerID": bad}
    raw = "InsufficientFreeAddressesInSubnet: There are not enough free addresses in subnet"
    lab.control.backend("drs", {**where, "fault": {"failAt": "LAUNCH", "rawError": raw}})
    first = lab.start()
    lab.until_condition("drx", first, "WaitingForDecision")
    lab.control.backend("drs", {**where, "fault": None})
    second = lab.start(suffix="2", continueFrom={"name": first}, reason="another subnet")
    run = lab.until_condition("drx", second, "Succeeded")
    assert lab.get("drx", first)["status"]["state"] == "Cancelled"
    taken = lab.get("drx", first)["status"]["commands"][-1]
    assert (taken["user"], second in taken["comment"]) == ("leeward", True)
    assert lab.launches() == Counter({bad: 2, good: 1})
    assert run["status"]["resources"]["complete"] == 2
    reasons = {
        r["id"]: r["reason"]
        for t in lab.tasks(second).values()
        if t["spec"]["recoveryPhase"] == "Instantiate"
        for r in t["status"]["resources"]
    }
    assert reasons[good] == "Adopted"


def test_a_corrected_run_waits_until_nothing_of_the_first_is_under_way(lab: Any) -> None:
    lab.ready_plan(**ONE_WAVE)
    lab.control.scale(0)
    first = lab.start()
    lab.until("servers are being launched", lab.launches)
    second = lab.start(suffix="2", continueFrom={"name": first})
    waiting = lab.until_state(second, "Preflight")
    assert lab.reason(waiting, "Reconciling") == "SettlingPrevious"
    assert first in waiting["status"]["message"]
    lab.control.scale(240)
    lab.until_condition("drx", second, "Succeeded")
    assert lab.get("drx", first)["status"]["state"] == "Cancelled"
    assert lab.launches() == Counter(dict.fromkeys(lab.servers(1), 1))


def test_a_failover_does_not_wait_for_the_drill_that_holds_its_plan(lab: Any) -> None:
    network = drill_network(lab)
    lab.ready_plan(**ONE_WAVE, drill={"networks": [network]})
    lab.control.scale(0)
    drill = lab.start("Test")
    lab.until("the drill launches", lab.launches)
    failover = lab.start(suffix="2")
    lab.until_state(failover, "Running")
    cancelled = lab.get("drx", drill)["status"]
    assert cancelled["cancelling"]
    assert failover in cancelled["commands"][-1]["comment"]
    lab.control.scale(240)
    lab.until_condition("drx", failover, "Succeeded")
    lab.until_state(drill, "Cancelled")
    live = lab.client("drs", ACCOUNT).describe_recovery_instances(
        filters={"sourceServerIDs": lab.servers(1)}
    )
    assert [i["isDrill"] for i in live["items"]] == [False, False]
    # The plan is written when the run is closed, after its verdict.
    lab.until(
        "the plan has moved",
        lambda: lab.get("rp", lab.application)["status"]["location"] == "Recovery",
    )


def drill_network(lab: Any) -> dict[str, Any]:
    """The first account's drill network in the recovery Region."""
    ec2 = lab.client("ec2", ACCOUNT)
    vpc = next(v for v in ec2.describe_vpcs()["Vpcs"] if v["CidrBlock"].startswith("10.210."))
    where = [{"Name": "vpc-id", "Values": [vpc["VpcId"]]}]
    subnet = ec2.describe_subnets(Filters=where)["Subnets"][0]
    group = ec2.describe_security_groups(Filters=where)["SecurityGroups"][0]
    return {
        "accountId": ACCOUNT,
        "subnetId": subnet["SubnetId"],
        "securityGroupIds": [group["GroupId"]],
    }


def test_an_execution_that_aws_knows_from_before_waits_until_people_adopt_it(lab: Any) -> None:
    """The cluster forgot the run, as after a restore of an old backup; AWS did not."""
    lab.ready_plan(**ONE_WAVE)
    name = lab.start()
    lab.until_condition("drx", name, "Succeeded")
    lab.until("it is closed", lambda: not lab.get("drx", name)["metadata"].get("finalizers"))
    lab.kubectl("delete", "drx", name)
    lab.kubectl("delete", "rp", lab.application)
    lab.ready_plan(**ONE_WAVE)
    with lab.untouched():
        assert lab.start() == name
        run = lab.until_condition("drx", name, "WaitingForDecision")
    assert lab.reason(run, "WaitingForDecision") == "PreviousRunFound"
    for part in ("drsjob-", "2 resources", ACCOUNT, 'leeward.dev/adopt="YOU"', "cancel"):
        assert part in run["status"]["message"]
    lab.annotate("drx", name, "adopt", "admin: the cluster was restored", user="admin")
    run = lab.until_condition("drx", name, "Succeeded")
    assert run["status"]["adopted"]
    assert lab.launches() == Counter(dict.fromkeys(lab.servers(1), 1)), "nothing twice"


def test_runs_of_different_plans_go_on_at_once_unless_they_share_a_server(lab: Any) -> None:
    """Two plans of one application: one of its first account, one of its second."""
    plans = {}
    for number, (account, wave) in enumerate((("east-a", 1), ("east-b", 2)), 1):
        body = lab.plan_body(accounts=[{"name": account}], waves=[{"name": "only", "number": wave}])
        body["metadata"]["name"] = plans[number] = f"{lab.application}-{account}"
        lab.apply(body)
        lab.until_condition("rp", plans[number], "Ready")
    both = lab.plan_body(waves=[{"name": "data"}, {"name": "web"}])
    lab.apply(both)
    lab.until_condition("rp", lab.application, "Ready")
    lab.control.scale(0)
    names = {n: f"{plan}-1" for n, plan in plans.items()}
    for number, name in names.items():
        body = lab.run_body(name)
        body["spec"]["planRef"]["name"] = plans[number]
        lab.apply(body)
    lab.until("both launch", lambda: len(lab.launches()) == 4)
    refused = lab.until_condition("drx", lab.start(), "Succeeded", "False")
    assert lab.reason(refused, "Succeeded") == "ResourcesBusy"
    assert f"orders/{names[1]}" in refused["status"]["message"]
    lab.control.scale(240)
    for name in names.values():
        lab.until_condition("drx", name, "Succeeded")
    assert lab.launches() == Counter(dict.fromkeys([*lab.servers(1), *lab.servers(2)], 1))

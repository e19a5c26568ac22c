"""Drills: a Test launches beside production, proves it, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

ACCOUNT = "111111111111"
ZONE = "e2e.example.com"
PURPOSE = "Purpose"


@pytest.fixture
def drill(lab: Any) -> dict[str, Any]:
    """Drill network of the account as the estate has it, in the plan's words."""
    ec2 = lab.client("ec2", ACCOUNT)
    wanted = [{"Name": f"tag:{PURPOSE}", "Values": ["Drill"]}]
    subnet = ec2.describe_subnets(Filters=wanted)["Subnets"][0]
    groups = ec2.describe_security_groups(
        Filters=[{"Name": "vpc-id", "Values": [subnet["VpcId"]]}, *wanted]
    )["SecurityGroups"]
    network = {
        "accountId": ACCOUNT,
        "subnetId": subnet["SubnetId"],
        "securityGroupIds": [group["GroupId"] for group in groups],
    }
    return {"networks": [network]}


def one_account(**wave: Any) -> dict[str, Any]:
    """A plan of this test's servers in one account, in one wave."""
    return {"accounts": [{"name": "east-a"}], "waves": [{"name": "data", **wave}]}


def instances(lab: Any) -> dict[str, Any]:
    """Live recovery instances by source server, as DRS lists them."""
    listed = lab.client("drs", ACCOUNT).describe_recovery_instances(
        filters={"sourceServerIDs": lab.servers(1)}
    )["items"]
    return {i["sourceServerID"]: i for i in listed if i["ec2InstanceState"] != "TERMINATED"}


def launched(lab: Any) -> dict[str, Any]:
    """By server: its live recovery instance, the job that launched it, and its state."""
    kept = ("ec2InstanceID", "jobID", "ec2InstanceState")
    return {server: [i[key] for key in kept] for server, i in instances(lab).items()}


def machines(lab: Any, ids: list[str]) -> dict[str, Any]:
    """What EC2 says of instances."""
    found = lab.client("ec2", ACCOUNT).describe_instances(InstanceIds=ids)["Reservations"]
    return {i["InstanceId"]: i for r in found for i in r["Instances"]}


def settings(lab: Any) -> dict[str, Any]:
    """By server: its launch configuration, and what its launch template says by default."""
    drs, ec2 = lab.client("drs", ACCOUNT), lab.client("ec2", ACCOUNT)
    found = {}
    for server in lab.servers(1):
        config = drs.get_launch_configuration(sourceServerID=server)
        version = ec2.describe_launch_template_versions(
            LaunchTemplateId=config["ec2LaunchTemplateID"], Versions=["$Default"]
        )["LaunchTemplateVersions"][0]
        found[server] = (config["launchDisposition"], version["LaunchTemplateData"])
    return found


def networks(launch_settings: dict[str, Any]) -> set[str]:
    """Subnets that the launch templates name."""
    return {
        interface["SubnetId"]
        for _, template in launch_settings.values()
        for interface in template["NetworkInterfaces"]
    }


def www(lab: Any) -> tuple[dict[str, Any], Callable[[], list[str]]]:
    """A task that switches the application's public name, and what the name says now."""
    route53 = lab.client("route53", ACCOUNT)
    zone = route53.list_hosted_zones_by_name(DNSName=ZONE)["HostedZones"][0]
    name = f"www.{lab.application}.{ZONE}"
    recovery = {"values": [f"{lab.application}.us-east-2.{ZONE}"]}
    task = {
        "name": "www",
        "type": "Route53",
        "route53": {
            "accountRef": {"name": "east-a"},
            "hostedZoneId": zone["Id"].rpartition("/")[2],
            "records": [{"name": name, "type": "CNAME", "recovery": recovery}],
        },
    }

    def values() -> list[str]:
        found = route53.list_resource_record_sets(
            HostedZoneId=zone["Id"], StartRecordName=name, StartRecordType="CNAME", MaxItems="1"
        )["ResourceRecordSets"][0]
        assert found["Name"] == f"{name}."
        return [record["Value"] for record in found["ResourceRecords"]]

    return task, values


def test_a_drill_runs_in_its_network_and_is_cleaned_up(lab: Any, drill: dict[str, Any]) -> None:
    task, names = www(lab)
    gates = [{"before": "Cleanup"}]
    lab.ready_plan(**one_account(gates=gates, tasks=[task]), drill=drill)
    before = settings(lab)
    since = lab.control.last_seq()
    name = lab.start("Test")
    lab.until_gate(name, "wave-data")
    launched = instances(lab)
    assert sorted(launched) == lab.servers(1)
    assert all(i["isDrill"] for i in launched.values())
    ids = [i["ec2InstanceID"] for i in launched.values()]
    network = drill["networks"][0]
    for machine in machines(lab, ids).values():
        assert machine["State"]["Name"] == "running"
        assert machine["SubnetId"] == network["subnetId"]
        assert [g["GroupId"] for g in machine["SecurityGroups"]] == network["securityGroupIds"]
    lab.annotate("drx", name, "approve-wave-data", "approver-a@example.com")
    run = lab.until_condition("drx", name, "Succeeded")
    assert lab.reason(run, "Succeeded") == "Succeeded"
    assert instances(lab) == {}
    assert {m["State"]["Name"] for m in machines(lab, ids).values()} <= {"terminated"}
    assert settings(lab) == before
    assert names() == [f"{lab.application}.us-east-1.{ZONE}"]
    assert "ChangeResourceRecordSets" not in {c["operation"] for c in lab.mutations(since)}
    states = {t["spec"]["technology"]: t["status"]["state"] for t in lab.tasks(name).values()}
    assert states == {"drs": "Complete", "route53": "Skipped"}
    assert lab.get("rp", lab.application)["status"]["location"] == "Primary"


def test_a_drill_without_a_network_of_its_own_is_refused(lab: Any) -> None:
    lab.ready_plan(**one_account())
    with lab.untouched():
        run = lab.until_condition("drx", lab.start("Test"), "Succeeded", "False")
    assert lab.reason(run, "Succeeded") == "NoDrillNetwork"
    for part in (f"account east-a ({ACCOUNT})", "spec.drill.networks", "us-east-2"):
        assert part in run["status"]["message"]


def test_a_drill_over_a_recovered_server_is_refused(lab: Any, drill: dict[str, Any]) -> None:
    lab.ready_plan(**one_account(), drill=drill)
    lab.until_condition("drx", lab.start(), "Succeeded")
    before = launched(lab)
    inventory = f"{lab.application}-{ACCOUNT}-0"
    lab.until(
        "discovery has seen the recovery instances",
        lambda: all(
            r["attributes"].get("recoveryInstanceDrill") == "false"
            for r in lab.get("rinv", inventory)["status"]["resources"]
            if r["technology"] == "drs"
        ),
    )
    with lab.untouched():
        run = lab.until_condition("drx", lab.start("Test"), "Succeeded", "False")
    assert lab.reason(run, "Succeeded") == "RecoveryInstanceExists"
    assert "2 servers already recovered for real" in run["status"]["message"]
    assert launched(lab) == before


def test_a_cancelled_drill_cleans_up_what_it_launched(lab: Any, drill: dict[str, Any]) -> None:
    lab.ready_plan(**one_account(), drill=drill)
    before = settings(lab)
    lab.control.scale(0)
    name = lab.start("Test")
    lab.until("servers are being launched", lab.launches)
    lab.annotate("drx", name, "cancel", "admin: enough", user="admin")
    lab.until("the cancel is taken", lambda: lab.get("drx", name)["status"].get("cancelling"))
    lab.control.scale(240)
    run = lab.until_state(name, "Cancelled")
    assert "2 resources had been launched, 2 were cleaned up" in run["status"]["message"]
    assert instances(lab) == {}
    assert settings(lab) == before
    phases = {t["spec"]["recoveryPhase"]: t["status"]["state"] for t in lab.tasks(name).values()}
    assert phases == {"Instantiate": "Complete", "Activate": "Abandoned", "Cleanup": "Complete"}


def test_a_failover_after_a_drill_launches_into_productions_network(
    lab: Any, drill: dict[str, Any]
) -> None:
    lab.ready_plan(**one_account(), drill=drill)
    production = networks(settings(lab))
    assert drill["networks"][0]["subnetId"] not in production
    lab.until_condition("drx", lab.start("Test"), "Succeeded")
    lab.until_condition("drx", lab.start(), "Succeeded")
    live = instances(lab)
    assert sorted(live) == lab.servers(1)
    assert not any(i["isDrill"] for i in live.values())
    found = machines(lab, [i["ec2InstanceID"] for i in live.values()])
    assert {m["SubnetId"] for m in found.values()} <= production


def test_a_drill_with_a_server_that_fails_is_cleaned_up_and_fails(
    lab: Any, drill: dict[str, Any]
) -> None:
    lab.ready_plan(**one_account(), drill=drill)
    before, (bad, good) = settings(lab), lab.servers(1)
    fault = {"failAt": "LAUNCH", "rawError": "InsufficientInstanceCapacity: no m5.large"}
    lab.control.backend(
        "drs",
        {"account": ACCOUNT, "region": "us-east-2", "sourceServerID": bad, "fault": fault},
    )
    name = lab.start("Test")
    run = lab.until_condition("drx", name, "Succeeded", "False")
    assert run["status"]["state"] == "Failed"
    for part in (bad, "InsufficientInstanceCapacity", ACCOUNT, "us-east-2"):
        assert part in run["status"]["message"]
    assert lab.launches()[good] == 1
    assert instances(lab) == {}
    assert settings(lab) == before
    cleanup = [t for t in lab.tasks(name).values() if t["spec"]["recoveryPhase"] == "Cleanup"]
    assert [t["status"]["state"] for t in cleanup] == ["Complete"]

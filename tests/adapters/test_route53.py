"""Route 53: whole record sets are kept, sets change together, INSYNC is the proof."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError

from leeward_adapters.base import ErrorClass, Phase, State
from leeward_adapters.errors import classify

pytestmark = pytest.mark.aws

HEALTH_CHECK = "0123abcd-0000-4000-8000-000000000001"


class Zone:
    """A hosted zone with a weighted pair, a plain record and an alias."""

    def __init__(self, sandbox: Any) -> None:
        self.sandbox = sandbox
        self.route53 = sandbox.client("route53")
        made = self.route53.create_hosted_zone(Name="orders.example.com", CallerReference="1")
        self.id = made["HostedZone"]["Id"].removeprefix("/hostedzone/")
        self.put(
            weighted("us-east-1", 100),
            weighted("us-east-2", 0),
            record("app", "CNAME", ["app.us-east-1.example.com"], TTL=30),
            record("deep.app", "CNAME", ["deep.us-east-1.example.com"], TTL=30),
            {
                "Name": "www.orders.example.com.",
                "Type": "A",
                "AliasTarget": alias("lb-1.us-east-1.elb.amazonaws.com."),
            },
        )

    def put(self, *sets: dict[str, Any]) -> None:
        changes = [{"Action": "UPSERT", "ResourceRecordSet": one} for one in sets]
        self.route53.change_resource_record_sets(
            HostedZoneId=self.id, ChangeBatch={"Changes": changes}
        )

    def sets(self) -> dict[str, dict[str, Any]]:
        found = self.route53.list_resource_record_sets(HostedZoneId=self.id)["ResourceRecordSets"]
        return {
            " ".join(filter(None, (r["Name"], r["Type"], r.get("SetIdentifier")))): r for r in found
        }


def record(name: str, type_: str, values: list[str], **more: Any) -> dict[str, Any]:
    return {
        "Name": f"{name}.orders.example.com.",
        "Type": type_,
        "ResourceRecords": [{"Value": value} for value in values],
        **more,
    }


def weighted(region: str, weight: int) -> dict[str, Any]:
    return record(
        "api",
        "CNAME",
        [f"api.{region}.example.com"],
        TTL=60,
        SetIdentifier=region,
        Weight=weight,
        HealthCheckId=HEALTH_CHECK,
    )


def alias(name: str) -> dict[str, Any]:
    return {"HostedZoneId": "Z35SXDOTRQ7X7K", "DNSName": name, "EvaluateTargetHealth": True}


WEIGHTS = [
    {
        "name": "api.orders.example.com",
        "type": "CNAME",
        "setIdentifier": region,
        "recovery": {"weight": weight},
    }
    for region, weight in (("us-east-1", 0), ("us-east-2", 100))
]
APP = {
    "name": "App.orders.example.com.",
    "type": "CNAME",
    "recovery": {"values": ["app.us-east-2.example.com"]},
}
WWW = {
    "name": "www.orders.example.com",
    "type": "A",
    "recovery": {
        "alias": {
            "hostedZoneId": "Z3AADJGX6KTTL2",
            "dnsName": "lb-2.us-east-2.elb.amazonaws.com",
            "evaluateTargetHealth": True,
        }
    },
}

Switch = Callable[..., Any]


@pytest.fixture
def zone(sandbox: Any) -> Zone:
    made = Zone(sandbox)
    sandbox.control.advance(120)
    return made


@pytest.fixture
def switch(zone: Zone, make_task: Any) -> Switch:
    """Makes the task that freezing a plan makes of such records."""

    def make(*records: dict[str, Any], operation: str = "Failover") -> Any:
        ids = [
            f"{r['name'].lower().rstrip('.')}. {r['type']}"
            + (f" {r['setIdentifier']}" if "setIdentifier" in r else "")
            for r in records
        ]
        block = {"hostedZoneId": zone.id, "records": list(records)}
        return make_task(
            zone.sandbox,
            ids,
            kind="route53",
            phase=Phase.ACTIVATE,
            operation=operation,
            settings={"route53": block},
        )

    return make


def test_only_what_is_given_changes(zone: Zone, switch: Switch) -> None:
    before = zone.sets()
    task = switch(*WEIGHTS, APP, WWW)

    proof = task.run()

    assert {seen.state for seen in proof.values()} == {State.DONE}
    one, two = "api.orders.example.com. CNAME us-east-1", "api.orders.example.com. CNAME us-east-2"
    app, www = "app.orders.example.com. CNAME", "www.orders.example.com. A"
    assert zone.sets() == before | {
        one: before[one] | {"Weight": 0},
        two: before[two] | {"Weight": 100},
        app: before[app] | {"ResourceRecords": [{"Value": "app.us-east-2.example.com"}]},
        www: before[www]
        | {
            "AliasTarget": {
                "HostedZoneId": "Z3AADJGX6KTTL2",
                "DNSName": "lb-2.us-east-2.elb.amazonaws.com",
                "EvaluateTargetHealth": True,
            }
        },
    }
    assert before[one]["HealthCheckId"] == HEALTH_CHECK


def test_all_sets_change_in_one_transaction_and_only_those_that_differ(
    zone: Zone, switch: Switch
) -> None:
    zone.put(weighted("us-east-1", 0))
    earlier = len(zone.sandbox.calls("ChangeResourceRecordSets"))
    task = switch(*WEIGHTS, APP)
    task.act("switch")

    (call,) = zone.sandbox.calls("ChangeResourceRecordSets")[earlier:]

    batch = call["params"]["ChangeBatch"]
    names = [change["ResourceRecordSet"].get("SetIdentifier", "app") for change in batch["Changes"]]
    assert names == ["us-east-2", "app"]
    assert {change["Action"] for change in batch["Changes"]} == {"UPSERT"}
    assert "call-" in batch["Comment"]


def test_a_change_is_done_when_it_is_insync(zone: Zone, switch: Switch) -> None:
    task = switch(APP)
    task.advance_once()
    (name,) = task.calls

    pending = task.seen(name)
    zone.sandbox.control.advance(120)
    done = task.seen(name)

    assert (pending.state, done.state) == (State.RUNNING, State.DONE)
    assert pending.reference == done.reference == task.calls[name].reference
    assert "/change/" in done.reference


def test_a_lost_answer_is_asked_for_again_without_harm(zone: Zone, switch: Switch) -> None:
    task = switch(APP)
    zone.sandbox.control.add_fault(
        service="route53",
        operation="ChangeResourceRecordSets",
        action="drop",
        when="after",
        times=3,
    )
    with pytest.raises(BotoCoreError) as lost:
        task.advance_once()
    assert classify(lost.value).kind is ErrorClass.IN_DOUBT

    (name,) = task.calls
    seen = task.seen(name)

    assert (seen.state, seen.action) == (State.NEEDED, "switch")
    assert task.run()[name].state is State.DONE


def test_a_set_that_is_as_wanted_already_is_left_alone(zone: Zone, switch: Switch) -> None:
    zone.put(record("app", "CNAME", ["app.us-east-2.example.com"], TTL=30))
    earlier = len(zone.sandbox.calls("ChangeResourceRecordSets"))

    (seen,) = switch(APP).run().values()

    assert (seen.state, seen.reason) == (State.DONE, "Adopted")
    assert len(zone.sandbox.calls("ChangeResourceRecordSets")) == earlier


def test_undo_puts_back_the_whole_old_sets(zone: Zone, switch: Switch) -> None:
    before = zone.sets()
    task = switch(*WEIGHTS, APP, WWW)
    task.run()
    assert json.loads(task.pre_states["app.orders.example.com. CNAME"])["TTL"] == 30

    task.undo()

    assert zone.sets() == before
    assert {seen.state for seen in task.observe().targets.values()} == {State.RUNNING}
    zone.sandbox.control.advance(60)
    assert all(task.is_back(target.id) for target in task.targets)


def test_the_primary_side_is_what_a_failback_wants(zone: Zone, switch: Switch) -> None:
    there_and_back = APP | {"primary": {"values": ["app.us-east-1.example.com"], "ttl": 15}}
    switch(there_and_back).run()

    switch(there_and_back, operation="Failback").run()

    app = zone.sets()["app.orders.example.com. CNAME"]
    assert app["ResourceRecords"] == [{"Value": "app.us-east-1.example.com"}]
    assert app["TTL"] == 15


def test_a_test_never_switches(zone: Zone, switch: Switch) -> None:
    earlier = len(zone.sandbox.calls("ChangeResourceRecordSets"))

    (seen,) = switch(APP, operation="Test").run().values()

    assert (seen.state, seen.reason) == (State.REFUSED, "NotInATest")
    assert len(zone.sandbox.calls("ChangeResourceRecordSets")) == earlier


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (APP | {"name": "absent.orders.example.com"}, "RecordSetMissing"),
        (WEIGHTS[0] | {"setIdentifier": "eu-west-1"}, "RecordSetMissing"),
        (
            {"name": "deep.app.orders.example.com", "type": "CNAME", "recovery": {"weight": 1}},
            "NotWeighted",
        ),
        (
            {"name": "www.orders.example.com", "type": "A", "recovery": {"values": ["192.0.2.1"]}},
            "TtlMissing",
        ),
        (
            APP | {"recovery": {"values": [f"v{n}." + "x" * 250 for n in range(80)]}},
            "ChangeBatchTooLarge",
        ),
    ],
)
def test_what_cannot_be_switched_is_refused_and_nothing_else_switched(
    zone: Zone, switch: Switch, bad: dict[str, Any], reason: str
) -> None:
    before = zone.sets()
    task = switch(WEIGHTS[1], bad)

    proof = task.run()

    assert {seen.state for seen in proof.values()} == {State.REFUSED}
    reasons = [seen.reason for seen in proof.values()]
    assert reason in reasons
    assert set(reasons) <= {reason, "RefusedTogether"}
    assert zone.sets() == before


def test_the_switch_reads_a_zone_of_many_names_in_few_calls(zone: Zone, switch: Switch) -> None:
    last = zone.sandbox.control.last_seq()

    switch(*WEIGHTS, APP, WWW).observe()

    calls = zone.sandbox.control.calls(since=last)
    asked = [c["operation"] for c in calls if c["service"] != "sts"]
    assert asked == ["ListResourceRecordSets"]


def test_readiness_names_missing_record_sets(zone: Zone, switch: Switch, make_task: Any) -> None:
    task = switch(APP, APP | {"name": "absent.orders.example.com"})
    targets = [type(t)(t.id, f"arn:aws:route53:::hostedzone/{zone.id}") for t in task.targets]

    (finding,) = task.adapter.readiness(zone.sandbox.scope(), targets)

    assert (finding.severity, finding.reason) == ("Blocking", "RecordSetMissing")
    assert finding.target == "absent.orders.example.com. CNAME"
    assert zone.id in finding.message


def test_readiness_of_whole_zones(zone: Zone, switch: Switch) -> None:
    task = switch(APP)
    kind = type(task.targets[0])
    absent = "Z0000000000000000000X"
    targets = [kind(z, f"arn:aws:route53:::hostedzone/{z}") for z in (zone.id, absent)]

    (finding,) = task.adapter.readiness(zone.sandbox.scope(), targets)

    assert (finding.target, finding.reason) == (absent, "HostedZoneMissing")

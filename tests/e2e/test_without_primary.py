"""The primary Region is gone, with every API in it: what is known stays, and recovery goes on."""

from __future__ import annotations

from collections import Counter
from typing import Any

ACCOUNTS = {"east-a": "111111111111", "east-b": "222222222222"}
P, R = "us-east-1", "us-east-2"


def gone(lab: Any, **what: Any) -> None:
    """Every call of that kind is answered as an outage answers."""
    lab.control.add_fault(action="error", code="ServiceUnavailable", status=503, **what)


def test_readiness_last_good_discovery_and_failover_without_the_primary_region(lab: Any) -> None:
    spec: dict[str, Any] = {
        "fence": {"servers": "Stop", "timeLimit": "1s"},
        "discovery": {"interval": "3s"},
        "waves": [{"name": "a", "number": 1}, {"name": "b", "number": 2}],
    }
    lab.ready_plan(**spec)
    gone(lab, region=P)
    # Of the recovery Region, discovery alone is lost: DRS and EC2 answer.
    gone(lab, region=R, service="resource-explorer-2")
    stalled = lab.servers(2)[0]
    lab.control.backend(
        "drs",
        {"account": ACCOUNTS["east-b"], "region": R, "sourceServerID": stalled,
         "state": "STALLED", "lag": "PT1M", "error": "AGENT_NOT_SEEN"},
    )  # fmt: skip
    # The estate is looked at anew, whatever is still believed of it.
    lab.apply(lab.plan_body(**spec, description="the primary Region is gone"))

    def silent_and_checked() -> Any:
        body = lab.get("rp", lab.application)
        reasons = {p["reason"] for p in body["status"]["readiness"]}
        silent = lab.reason(body, "Discovered") == "AccountSilent"
        return body if silent and "ReplicationStalled" in reasons else None

    plan = lab.until("the accounts are silent and readiness goes on", silent_and_checked)
    assert plan["status"]["resources"] == 4
    assert lab.condition(plan, "Ready") == "True"
    for account in plan["status"]["accounts"]:
        assert account["discoveredAt"]
        assert P in account["problem"]

    name = lab.start(mode="Unplanned")
    lab.until_gate(name, "lag-b")
    lab.annotate("drx", name, "accept-data-loss-lag-b", "admin: it is gone", user="admin")
    run = lab.until_condition("drx", name, "Succeeded")
    assert lab.launches() == Counter(dict.fromkeys([*lab.servers(1), *lab.servers(2)], 1))
    findings = "\n".join(run["status"]["findings"])
    for said in ("AccountSilent", "ReplicationStalled", stalled):
        assert said in findings
    moved = lab.until_condition("rp", lab.application, "SourceFenced", "False")
    assert lab.reason(moved, "SourceFenced") == "FenceDeferred"

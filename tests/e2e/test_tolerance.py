"""Runs that go on although something failed, because the plan or a person said so."""

from __future__ import annotations

from collections import Counter
from typing import Any

ACCOUNT = "111111111111"
ONE_ACCOUNT = {"accounts": [{"name": "east-a"}]}


def no_capacity(lab: Any) -> tuple[str, str]:
    """The servers of the first wave: one that is never launched, and a good one."""
    bad, good = lab.servers(1)
    raw = "InsufficientInstanceCapacity: We currently do not have sufficient m5.large capacity."
    where = {"account": ACCOUNT, "region": "us-east-2", "sourceServerID": bad}
    lab.control.backend("drs", {**where, "fault": {"failAt": "LAUNCH", "rawError": raw}})
    return bad, good


def states(lab: Any, name: str, phase: str) -> dict[str, tuple[str, str]]:
    """State and reason of each resource in a phase."""
    return {
        r["id"]: (r["state"], r.get("reason", ""))
        for t in lab.tasks(name).values()
        if t["spec"]["recoveryPhase"] == phase
        for r in t["status"]["resources"]
    }


def test_a_wave_within_its_tolerance_lets_the_next_one_begin(lab: Any) -> None:
    bad, good = no_capacity(lab)
    waves = [{"name": "data", "tolerance": {"minSuccess": "50%"}}, {"name": "web"}]
    lab.ready_plan(waves=waves)
    run = lab.until_condition("drx", lab.start(), "Succeeded")
    name = run["metadata"]["name"]
    assert lab.reason(run, "Succeeded") == "WithinTolerance"
    assert f"1 failed within the plan's tolerance: {bad}" in run["status"]["message"]
    assert run["status"]["waves"][0]["state"] == "Complete"
    counts = run["status"]["resources"]
    assert (counts["complete"], counts["failed"], counts["total"]) == (3, 1, 4)
    assert states(lab, name, "Activate")[bad] == ("Skipped", "Tolerated")
    assert states(lab, name, "Activate")[good][0] == "Complete"
    assert lab.launches() == Counter(dict.fromkeys([bad, good, *lab.servers(2)], 1))


def test_an_optional_server_holds_nothing_and_a_critical_one_does(lab: Any) -> None:
    bad, good = no_capacity(lab)
    optional = [{"name": "data", "tolerance": {"optional": [bad]}}]
    lab.ready_plan(**ONE_ACCOUNT, waves=optional)
    run = lab.until_condition("drx", lab.start(), "Succeeded")
    assert lab.reason(run, "Succeeded") == "WithinTolerance"
    lab.kubectl("delete", "drx", run["metadata"]["name"])
    critical = [{"name": "data", "tolerance": {"optional": [good]}}]
    lab.apply(lab.plan_body(**ONE_ACCOUNT, waves=critical))
    lab.until(
        "the plan was looked at again",
        lambda: (
            (p := lab.get("rp", lab.application))["status"]["observedGeneration"]
            == p["metadata"]["generation"]
        ),
    )
    held = lab.until_condition("drx", lab.start(suffix="2"), "WaitingForDecision")
    assert lab.reason(held, "WaitingForDecision") == "TasksFailed"


def test_more_failures_than_the_plan_tolerates_hold_the_run(lab: Any) -> None:
    bad, _ = no_capacity(lab)
    waves = [{"name": "data", "tolerance": {"minSuccess": "51%"}}]
    lab.ready_plan(**ONE_ACCOUNT, waves=waves)
    held = lab.until_condition("drx", lab.start(), "WaitingForDecision")
    assert bad in held["status"]["message"]
    assert held["status"]["waves"][0]["required"] == 2


def test_an_account_whose_role_fails_stops_only_its_own_tasks(lab: Any) -> None:
    """Both accounts work in one wave; the role of one cannot be assumed any more."""
    lab.ready_plan(waves=[{"name": "all", "number": 1}, {"name": "rest", "number": 2}])
    lab.control.add_fault(
        service="drs", account="111111111111", region="us-east-2", action="error",
        code="AccessDeniedException",
    )  # fmt: skip
    name = lab.start()
    run = lab.until_condition("drx", name, "WaitingForDecision")
    assert "111111111111" in run["status"]["message"]
    assert "AccessDenied" in run["status"]["message"]

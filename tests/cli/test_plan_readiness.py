"""The report of a plan's readiness: what is in order, what costs something, what refuses a run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from leeward.cli import plan_readiness
from leeward.cli.plan_readiness import Line

Object = dict[str, Any]


def condition(kind: str, status: str, reason: str = "", message: str = "") -> Object:
    return {"type": kind, "status": status, "reason": reason, "message": message}


READY = condition("Ready", "True", "Ready", "3 resources in 1 wave ready")


def plan(**status: Any) -> Object:
    known = {"observedGeneration": 2, "conditions": [READY], **status}
    return {"metadata": {"name": "orders", "generation": 2}, "status": known}


def test_a_plan_in_order_could_start() -> None:
    accounts = [{"name": "east", "accountId": "111111111111", "resources": 3}]
    lines = plan_readiness.report(plan(accounts=accounts))
    assert [line.verdict for line in lines] == ["ok", "ok"]
    assert not plan_readiness.refused(lines)
    text = plan_readiness.text(lines, color=False)
    assert text.splitlines()[0].startswith("✔ plan")
    assert text.endswith("2 ok, 0 flaws, 0 problems: a run could start")


FINDING = {"reason": "SubnetFull", "count": 1, "examples": ["account east"], "message": "no room"}
DEPENDENCY = {"name": "directory", "type": "ActiveDirectory", "message": "Impaired"}


@pytest.mark.parametrize(
    ("status", "verdict", "what", "said"),
    [
        ({"readiness": [{**FINDING, "severity": "Blocking"}]}, "problem", "SubnetFull x1",
         "no room (account east)"),
        ({"readiness": [{**FINDING, "severity": "Degraded"}]}, "flaw", "SubnetFull x1",
         "no room (account east)"),
        ({"dependencies": [{**DEPENDENCY, "state": "Failed"}]}, "problem",
         "dependency directory", "Impaired"),
        ({"dependencies": [{**DEPENDENCY, "state": "Unknown"}]}, "problem",
         "dependency directory", "not known: Impaired"),
        ({"dependencies": [{**DEPENDENCY, "state": "Holds"}]}, "ok", "dependency directory",
         "Impaired"),
        ({"accounts": [{"name": "east", "accountId": "1", "problem": "denied"}]}, "problem",
         "account east (1)", "did not answer, last did never: denied"),
        ({"unsupported": ["spec.x: later"]}, "problem", "field", "spec.x: later"),
        ({"conditions": [READY, condition("LaunchSettingsValid", "False", "", "no such subnet")]},
         "problem", "LaunchSettingsValid", "no such subnet"),
        ({"conditions": [READY, condition("LaunchSettingsValid", "True", "", "3 servers")]},
         "ok", "LaunchSettingsValid", "3 servers"),
    ],
)  # fmt: skip
def test_each_kind_of_trouble_has_its_line(
    status: Object, verdict: Any, what: str, said: str
) -> None:
    lines = plan_readiness.report(plan(**status))
    assert Line(verdict, what, said) in lines
    assert plan_readiness.refused(lines) is (verdict == "problem")


def test_lag_and_an_old_drill_stop_nothing() -> None:
    ready = condition("Ready", "True", "Degraded", "3 resources ready")
    conditions = [
        ready, condition("Protected", "False", "NotReplicating", "1 of 3 servers: web-1"),
        condition("DrillCurrent", "False", "NeverDrilled", "no Test has passed yet"),
    ]  # fmt: skip
    lines = plan_readiness.report(plan(conditions=conditions))
    assert [line.verdict for line in lines] == ["flaw", "flaw", "flaw"]
    assert not plan_readiness.refused(lines)


@pytest.mark.parametrize(
    "status",
    [
        {"conditions": []},
        {"observedGeneration": 1},
        {"conditions": [condition("Ready", "False", "Invalid", "two waves are named data")]},
    ],
)
def test_a_plan_that_is_not_assessed_or_not_valid_is_refused(status: Object) -> None:
    assert plan_readiness.refused(plan_readiness.report(plan(**status)))


def test_the_report_can_be_read_by_programs_and_steers_no_terminal() -> None:
    lines = [Line("problem", "dependency x", "\x1b[2J said")]
    assert json.loads(plan_readiness.written(lines))[0]["verdict"] == "problem"
    assert "\x1b" not in plan_readiness.text(lines, color=False)

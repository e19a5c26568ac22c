"""Each alert fires and clears, in Prometheus's own rule tests; what they name exists."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from leeward.api.execution import DRExecution
from leeward.metrics.definitions import METRICS
from leeward.metrics.meters import Meters
from leeward.metrics.runs import Ended, GateAsked, GateEnded, Happening, Started
from leeward_adapters.calls import Attempt, Outcome
from leeward_sandbox.cluster import binaries

ROOT = Path(__file__).parents[2]
FILES = ROOT / "charts" / "leeward" / "files"
ALERTS = FILES / "alerts.yaml"
RUNBOOKS = ROOT / "docs" / "runbooks.md"
DASHBOARDS = sorted((FILES / "dashboards").glob("*.json"))
SEVERITIES = {"critical", "warning", "info"}

RUN = 'namespace="orders",execution="run-1",plan="orders"'
PLAN = 'namespace="orders",plan="orders"'
ACCOUNT = 'account="prod",account_id="111111111111"'
PLACE = 'account_id="111111111111",region="us-east-1",service="drs"'
TENANT = 'namespace="orders",operation="Failover"'


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


@dataclass(frozen=True)
class Case:
    """Series in promtool's notation, a value each minute from 0, and the minutes of looks."""

    alert: str
    series: dict[str, str]
    quiet_at: int
    """Minute at which it does not fire yet."""
    fires_at: int
    clears_at: int
    every: int = 1
    """Minutes between two evaluations: rules over days need not be looked at each minute."""


DAY = 24 * 60
LAST = "leeward_plan_last_execution_timestamp_seconds"
WAITING = "leeward_execution_waiting_since_timestamp_seconds"
CASES = [
    Case(
        "LeewardExecutionFailed",
        {f'{LAST}{{{PLAN},operation="Failover",state="Failed"}}': "_x4 300x20 stale"},
        2, 10, 30,
    ),
    Case(
        "LeewardDrillFailed",
        {f'{LAST}{{{PLAN},operation="Test",state="Failed"}}': "_x4 300x20 stale"},
        2, 10, 30,
    ),
    Case(
        "LeewardGateWaiting",
        {f'{WAITING}{{{RUN},what="Approval"}}': "0x20 stale"},
        9, 12, 30,
    ),
    Case(
        "LeewardDecisionWaiting",
        {f'{WAITING}{{{RUN},what="Decision"}}': "0x20 stale"},
        1, 4, 30,
    ),
    Case(
        "LeewardExecutionPaused",
        {f'{WAITING}{{{RUN},what="Resume"}}': "0x40 stale"},
        29, 35, 50,
    ),
    Case(
        "LeewardRtoMissed",
        {f"leeward_execution_rto_missed{{{RUN}}}": "0x5 1x10 stale"},
        4, 8, 30,
    ),
    Case(
        "LeewardGuardInactive",
        {f"leeward_execution_guard_active{{{RUN}}}": "1x5 0x10 1x10"},
        5, 10, 25,
    ),
    Case(
        "LeewardExecutionFailureRate",
        {
            f'leeward_executions_ended_total{{{TENANT},state="Succeeded"}}': f"0x5 10x{3 * DAY}",
            f'leeward_executions_ended_total{{{TENANT},state="Failed"}}': f"0x40 1x{3 * DAY}",
        },
        30, 60, 2 * DAY, 30,
    ),
    Case(
        "LeewardExecutionDuration",
        {
            'leeward_execution_duration_seconds_sum{operation="Failover",state="Succeeded"}':
                f"0x40 30000x{3 * DAY}",
            'leeward_execution_duration_seconds_count{operation="Failover",state="Succeeded"}':
                f"0x40 1x{3 * DAY}",
        },
        30, 60, 2 * DAY, 30,
    ),
    Case(
        "LeewardApprovalTimeoutRate",
        {
            f'leeward_gates_ended_total{{{TENANT},outcome="Approved"}}': f"0x5 4x{3 * DAY}",
            f'leeward_gates_ended_total{{{TENANT},outcome="TimedOut"}}': f"0x40 1x{3 * DAY}",
        },
        30, 60, 2 * DAY, 30,
    ),
    Case(
        "LeewardRpoBroken",
        {f'leeward_plan_replication_servers{{{PLAN},lag="Above"}}': "0x5 3x20 0x20"},
        10, 20, 35,
    ),
    Case(
        "LeewardNotProtected",
        {
            f'leeward_plan_condition{{{PLAN},type="Protected",status="False",reason="NotReplicating"}}':
                "1x20 stale",
        },
        10, 18, 30,
    ),
    Case(
        "LeewardReadinessLost",
        {
            f'leeward_plan_condition{{{PLAN},type="Ready",status="True",reason="Degraded"}}':
                "1x20 stale",
        },
        10, 18, 30,
    ),
    Case(
        "LeewardDiscoveryStale",
        {f"leeward_plan_discovered_timestamp_seconds{{{PLAN}}}": "0x70 4200x20"},
        64, 67, 82,
    ),
    Case(
        "LeewardDrillOverdue",
        {
            f"leeward_plan_created_timestamp_seconds{{{PLAN}}}": f"0x{92 * DAY}",
            f"leeward_plan_last_drill_timestamp_seconds{{{PLAN}}}":
                f"_x{91 * DAY} {91 * DAY * 60}x{DAY}",
        },
        89 * DAY, 90 * DAY + 360, 91 * DAY + 360, 360,
    ),
    Case(
        "LeewardSourceNotFenced",
        {f'leeward_plan_unfenced_resources{{{PLAN},seen="Running"}}': "0x5 12x10 0x10"},
        4, 10, 25,
    ),
    Case(
        "LeewardAccountNotReady",
        {f'leeward_account_ready{{{ACCOUNT},reason="RoleNotUsable"}}': "0x20 stale"},
        9, 15, 30,
    ),
    Case(
        "LeewardAwsThrottled",
        {f'leeward_aws_calls_total{{{PLACE},outcome="Throttled"}}': "0x5 0+10x5 50x20"},
        4, 9, 25,
    ),
    Case(
        "LeewardAwsCircuitOpen",
        {f"leeward_aws_circuit_open{{{PLACE}}}": "0x3 1x10 0x10"},
        5, 10, 20,
    ),
    Case(
        "LeewardOperatorDown",
        {'leeward_build_info{version="0.1.0",hub="leeward"}': "1x3 stale _x15 1x10"},
        3, 12, 25,
    ),
    Case(
        "LeewardNoLeader",
        {
            'leeward_leader{instance="a"}': "1x3 0x20",
            'leeward_leader{instance="b"}': "0x10 1x20",
        },
        4, 9, 15,
    ),
    Case(
        "LeewardNotReady",
        {'leeward_ready{instance="a",check="credentials"}': "1x3 0x10 1x10"},
        5, 12, 18,
    ),
    Case(
        "LeewardPassErrors",
        {
            'leeward_passes_total{kind="DRExecution",outcome="Ok"}': "0+10x60",
            'leeward_passes_total{kind="DRExecution",outcome="Error"}': "0x5 0+1x15 15x40",
        },
        5, 18, 50,
    ),
    Case(
        "LeewardKubeThrottled",
        {'leeward_kube_requests_total{verb="PUT",code="429"}': "0x5 2x20"},
        4, 8, 20,
    ),
]  # fmt: skip


@dataclass(frozen=True)
class First:
    """What has happened when Prometheus first asks, and what happens then."""

    alert: str
    before: Callable[[Meters], None]
    after: Callable[[Meters], None]
    fires_at: int
    """Minute; what happens after is exported from minute 41."""


def _tell(*what: Happening) -> Callable[[Meters], None]:
    execution = DRExecution.model_validate(
        {
            "metadata": {"name": "orders-1", "namespace": "orders"},
            "spec": {"planRef": {"name": "orders"}, "operation": "Failover"},
        }
    )

    def tell(meters: Meters) -> None:
        for one in what:
            meters.happened(execution, one)

    return tell


def _called(outcome: Outcome, times: int = 1) -> Callable[[Meters], None]:
    attempt = Attempt("111111111111", "us-east-1", "drs", "DescribeJobs", 0.2, outcome)

    def call(meters: Meters) -> None:
        for _ in range(times):
            meters.aws(attempt)

    return call


def _ended(state: str, hours: float) -> Ended:
    return Ended(state, timedelta(hours=hours), timedelta(), {}, ())


FIRSTS = [
    First(
        "LeewardExecutionFailureRate",
        lambda meters: meters.tenant("orders"),
        _tell(Started(), _ended("Failed", 1)),
        43,
    ),
    First(
        "LeewardExecutionDuration",
        lambda meters: meters.tenant("orders"),
        _tell(Started(), _ended("Succeeded", 8)),
        43,
    ),
    First(
        "LeewardApprovalTimeoutRate",
        lambda meters: meters.tenant("orders"),
        _tell(GateAsked(), GateEnded("TimedOut", timedelta(minutes=30))),
        43,
    ),
    First("LeewardAwsThrottled", _called("Ok"), _called("Throttled", 20), 43),
    First(
        "LeewardPassErrors",
        lambda meters: meters.passed("DRExecution", "Ok", 0.1),
        lambda meters: meters.passed("DRExecution", "Error", 0.1),
        48,
    ),
    First(
        "LeewardKubeThrottled",
        lambda meters: meters.kube("GET", 200, 0.1),
        lambda meters: meters.kube("PUT", 429, 0.1),
        43,
    ),
]

DAYS = 86400
HANDED_OVER = {
    "LeewardExecutionFailed": (f'{LAST}{{{PLAN},operation="Failover",state="Failed"}}', 0),
    "LeewardDrillFailed": (f'{LAST}{{{PLAN},operation="Test",state="Failed"}}', 0),
    "LeewardGateWaiting": (f'{WAITING}{{{RUN},what="Approval"}}', 0),
    "LeewardDecisionWaiting": (f'{WAITING}{{{RUN},what="Decision"}}', 0),
    "LeewardExecutionPaused": (f'{WAITING}{{{RUN},what="Resume"}}', -1800),
    "LeewardRtoMissed": (f"leeward_execution_rto_missed{{{RUN}}}", 1),
    "LeewardGuardInactive": (f"leeward_execution_guard_active{{{RUN}}}", 0),
    "LeewardRpoBroken": (f'leeward_plan_replication_servers{{{PLAN},lag="Above"}}', 3),
    "LeewardNotProtected": (
        f'leeward_plan_condition{{{PLAN},type="Protected",status="False",reason="LagUnknown"}}', 1
    ),
    "LeewardReadinessLost": (
        f'leeward_plan_condition{{{PLAN},type="Ready",status="False",reason="Invalid"}}', 1
    ),
    "LeewardDiscoveryStale": (f"leeward_plan_discovered_timestamp_seconds{{{PLAN}}}", -3700),
    "LeewardDrillOverdue": (f"leeward_plan_created_timestamp_seconds{{{PLAN}}}", -90 * DAYS),
    "LeewardSourceNotFenced": (f'leeward_plan_unfenced_resources{{{PLAN},seen="Running"}}', 12),
    "LeewardAccountNotReady": (f'leeward_account_ready{{{ACCOUNT},reason="RoleNotUsable"}}', 0),
    "LeewardAwsCircuitOpen": (f"leeward_aws_circuit_open{{{PLACE}}}", 1),
}  # fmt: skip
"""By alert on what only a leader says: a series, and a value at which it fires."""


def _count(alert: str, minute: int, firing: int) -> dict[str, Any]:
    state = f'ALERTS{{alertname="{alert}",alertstate="firing"}}'
    return {
        "expr": f"count({state}) or vector(0)",
        "eval_time": f"{minute}m",
        "exp_samples": [{"labels": "{}", "value": firing}],
    }


def _test_of(case: Case) -> dict[str, Any]:
    return {
        "name": case.alert,
        "interval": "1m",
        "input_series": [{"series": s, "values": v} for s, v in case.series.items()],
        "promql_expr_test": [
            _count(case.alert, case.quiet_at, 0),
            _count(case.alert, case.fires_at, 1),
            _count(case.alert, case.clears_at, 0),
        ],
    }


def _promtool(*arguments: str | Path) -> None:
    command = [binaries.tool("promtool"), *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def _rules_pass(folder: Path, tests: list[dict[str, Any]], every: int = 1) -> None:
    file = folder / "rules-test.yaml"
    body = {"rule_files": [str(ALERTS)], "evaluation_interval": f"{every}m", "tests": tests}
    file.write_text(yaml.safe_dump(body))
    _promtool("test", "rules", file)


@pytest.mark.prometheus
def test_promtool_finds_nothing_wrong_with_the_rules() -> None:
    _promtool("check", "rules", "--lint=all", "--lint-fatal", ALERTS)


def test_every_alert_fires_and_clears_in_a_case() -> None:
    assert sorted(case.alert for case in CASES) == sorted(rule["alert"] for rule in rules())


@pytest.mark.prometheus
@pytest.mark.parametrize("every", sorted({case.every for case in CASES}))
def test_each_alert_fires_when_it_should_and_clears(tmp_path: Path, every: int) -> None:
    _rules_pass(tmp_path, [_test_of(case) for case in CASES if case.every == every], every)


def _samples(meters: Meters) -> dict[str, float]:
    """What is exported, by its name with labels as promtool reads them."""
    found = {}
    for family in text_string_to_metric_families(meters.render(()).decode()):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def _exports(first: First) -> dict[str, str]:
    """What a replica exports: 40 minutes before it happens, 20 minutes after."""
    meters = Meters()
    first.before(meters)
    before = _samples(meters)
    first.after(meters)
    return {
        name: f"{before.get(name, '_')}x40 {value}x20"
        for name, value in _samples(meters).items()
        if name.startswith("leeward_") and "_bucket{" not in name
    }


def test_every_alert_on_an_increase_is_tested_with_the_first_that_a_replica_counts() -> None:
    increases = sorted(rule["alert"] for rule in rules() if "increase(" in rule["expr"])
    assert increases == sorted(first.alert for first in FIRSTS)


@pytest.mark.prometheus
def test_the_first_that_a_replica_counts_already_fires(tmp_path: Path) -> None:
    tests = [
        {
            "name": first.alert,
            "interval": "1m",
            "input_series": [{"series": s, "values": v} for s, v in _exports(first).items()],
            "promql_expr_test": [
                _count(first.alert, 40, 0), _count(first.alert, first.fires_at, 1)
            ],
        }
        for first in FIRSTS
    ]  # fmt: skip
    _rules_pass(tmp_path, tests)


def _on(pod: str, alert: str, values: str) -> dict[str, str]:
    series, _ = HANDED_OVER[alert]
    named = f'{{pod="{pod}",instance="{pod}:8080",node="{pod}",'
    return {"series": series.replace("{", named), "values": values}


def _says_what_only_a_leader_sees(expression: str) -> bool:
    gauges = {metric.name for metric in METRICS if metric.kind == "gauge"}
    led = re.compile(r"leeward_(execution|plan|account)_|leeward_aws_circuit_open")
    return any(led.match(name) for name in gauges & set(re.findall(r"leeward_\w+", expression)))


def test_every_alert_on_what_only_a_leader_says_is_tested_with_a_hand_over() -> None:
    led = [rule["alert"] for rule in rules() if _says_what_only_a_leader_sees(rule["expr"])]
    assert sorted(led) == sorted(HANDED_OVER)


@pytest.mark.prometheus
@pytest.mark.parametrize("silent", [0, 2], ids=["at once", "after two minutes"])
def test_an_alert_keeps_firing_when_another_replica_takes_over(tmp_path: Path, silent: int) -> None:
    tests = [
        {
            "name": alert,
            "interval": "1m",
            "input_series": [
                _on("a", alert, f"{value}x30 stale"),
                _on("b", alert, f"_x{30 + silent} {value}x40"),
            ],
            "promql_expr_test": [_count(alert, minute, 1) for minute in range(20, 61)],
        }
        for alert, (_, value) in HANDED_OVER.items()
    ]
    _rules_pass(tmp_path, tests)


@pytest.mark.prometheus
def test_an_alert_that_waits_goes_on_waiting_when_another_replica_takes_over(
    tmp_path: Path,
) -> None:
    waits = {rule["alert"]: int(rule["for"].removesuffix("m")) for rule in rules() if "for" in rule}
    tests = [
        {
            "name": alert,
            "interval": "1m",
            "input_series": [
                _on("a", alert, f"{value}x{waits[alert] // 2} stale"),
                _on("b", alert, f"_x{waits[alert] // 2} {value}x30"),
            ],
            "promql_expr_test": [
                _count(alert, waits[alert] - 1, 0), _count(alert, waits[alert], 1)
            ],
        }
        for alert, (_, value) in HANDED_OVER.items()
        if alert in waits
    ]  # fmt: skip
    _rules_pass(tmp_path, tests)


def _hub(cluster: str, name: str, more: str = "") -> str:
    return f'{name}{{cluster="{cluster}",namespace="leeward-system",job="leeward",{more}}}'


@pytest.mark.prometheus
def test_a_hub_that_stands_still_is_seen_among_others_that_work(tmp_path: Path) -> None:
    """Two hubs in one Prometheus: in the one nobody leads, then nobody is scraped any more."""
    version = 'version="0.1.0",hub="leeward"'
    leads, standby = 'instance="a"', 'instance="b"'
    series = {
        _hub("west", "leeward_leader", leads): "1x60",
        _hub("west", "leeward_leader", standby): "0x60",
        _hub("west", "leeward_build_info", f"{leads},{version}"): "1x60",
        _hub("east", "leeward_leader", leads): "1x5 0x15 stale",
        _hub("east", "leeward_leader", standby): "0x20 stale",
        _hub("east", "leeward_build_info", f"{leads},{version}"): "1x20 stale _x19 1x20",
        _hub("east", "leeward_passes_total", f'{leads},kind="DRExecution",outcome="Ok"'): "0+1x20",
        _hub("east", "leeward_passes_total", f'{leads},kind="DRExecution",outcome="Error"'):
            "0+1x20",
        _hub("west", "leeward_passes_total", f'{leads},kind="DRExecution",outcome="Ok"'):
            "0+1000x20",
    }  # fmt: skip
    test = {
        "name": "two hubs",
        "interval": "1m",
        "input_series": [{"series": s, "values": v} for s, v in series.items()],
        "promql_expr_test": [
            _count("LeewardNoLeader", 4, 0), _count("LeewardNoLeader", 9, 1),
            _count("LeewardPassErrors", 15, 1),
            _count("LeewardOperatorDown", 22, 0), _count("LeewardOperatorDown", 25, 1),
            _count("LeewardOperatorDown", 55, 0),
        ],
        "alert_rule_test": [
            {
                "eval_time": "9m",
                "alertname": "LeewardNoLeader",
                "exp_alerts": [_told("LeewardNoLeader", "No replica of Leeward leads")],
            },
            {
                "eval_time": "25m",
                "alertname": "LeewardOperatorDown",
                "exp_alerts": [_told("LeewardOperatorDown", "No replica of Leeward is scraped")],
            },
        ],
    }  # fmt: skip
    _rules_pass(tmp_path, [test])


def _told(alert: str, summary: str) -> dict[str, Any]:
    (rule,) = (rule for rule in rules() if rule["alert"] == alert)
    place = {"cluster": "east", "namespace": "leeward-system", "job": "leeward"}
    said = {"summary": f"{summary} in east/leeward-system"}
    return {
        "exp_labels": place | rule["labels"], "exp_annotations": rule["annotations"] | said
    }  # fmt: skip


@pytest.mark.prometheus
def test_the_only_hub_that_is_away_is_one_alert_for_days(tmp_path: Path) -> None:
    series = _hub("east", "leeward_build_info", 'version="0.1.0",hub="leeward"')
    test = {
        "name": "one hub",
        "interval": "1m",
        "input_series": [{"series": series, "values": "1x5 stale"}],
        "promql_expr_test": [
            _count("LeewardOperatorDown", minute, 1)
            for minute in (10, DAY, *range(DAY + 4, DAY + 8), *range(DAY + 11, DAY + 20), 2 * DAY)
        ],  # for a moment in between it is said by the old alert and by the new one
    }
    _rules_pass(tmp_path, [test])


@pytest.mark.prometheus
def test_what_an_alert_tells_names_the_run_and_how_long_it_waits(tmp_path: Path) -> None:
    (rule,) = (rule for rule in rules() if rule["alert"] == "LeewardGateWaiting")
    expected = {
        "summary": "orders/run-1 waits for an approval",
        "description": "A gate of plan orders has been waiting for 12m 0s. Nothing behind it moves "
        "until it is answered or times out.",
        "runbook_url": rule["annotations"]["runbook_url"],
    }
    labels = {
        "namespace": "orders", "execution": "run-1", "plan": "orders", "what": "Approval",
        "severity": "critical",
    }  # fmt: skip
    (case,) = (case for case in CASES if case.alert == "LeewardGateWaiting")
    test = _test_of(case) | {
        "alert_rule_test": [
            {
                "eval_time": "12m",
                "alertname": "LeewardGateWaiting",
                "exp_alerts": [{"exp_labels": labels, "exp_annotations": expected}],
            }
        ]
    }
    _rules_pass(tmp_path, [test])


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_how_grave_it_is_and_has_its_section_among_the_runbooks(rule: Any) -> None:
    assert rule["labels"]["severity"] in SEVERITIES
    told = rule["annotations"]
    assert set(told) == {"summary", "description", "runbook_url"}
    assert told["runbook_url"] == f"docs/runbooks.md#{rule['alert'].lower()}"
    text = RUNBOOKS.read_text("utf-8")
    section = re.search(rf"^## {rule['alert']}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section, f"docs/runbooks.md has no section {rule['alert']}"
    for part in ("**Means.**", "**Look at.**", "**Do.**"):
        assert part in section[1]


def _exported() -> set[str]:
    names = set()
    for metric in METRICS:
        names.add(metric.name)
        if metric.kind == "histogram":
            names |= {f"{metric.name}_{part}" for part in ("bucket", "sum", "count")}
    return names


def _expressions() -> Iterator[tuple[str, str]]:
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for file in DASHBOARDS:
        for found in re.findall(r'"expr": "((?:[^"\\]|\\.)*)"', file.read_text("utf-8")):
            yield file.name, found
        for found in re.findall(r'"query": "((?:[^"\\]|\\.)*)"', file.read_text("utf-8")):
            yield file.name, found


def test_alerts_and_dashboards_use_only_what_the_operator_exports_with_labels_that_it_has() -> None:
    labels = {name: set() for name in _exported()} | {
        name: set(metric.labels)
        for metric in METRICS
        for name in (metric.name, *(f"{metric.name}_{p}" for p in ("bucket", "sum", "count")))
    }
    used = 0
    for where, expression in _expressions():
        for name, selector in re.findall(r"\b(leeward_\w+)(?:\{([^}]*)\})?", expression):
            used += 1
            assert name in _exported(), f"{where}: {name}"
            chosen = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector.replace('\\"', '"')))
            extra = chosen - labels[name] - {"job", "instance", "pod", "le"}
            assert extra == set(), f"{where}: {name} has no label {extra}"
    assert used > 60
    assert DASHBOARDS


def test_the_dashboards_are_what_would_be_generated() -> None:
    spec = importlib.util.spec_from_file_location("dashboards", ROOT / "charts" / "dashboards.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    held = {file.name: file.read_text("utf-8") for file in DASHBOARDS}
    assert held == module.texts(), "run: make generate"
    for text in held.values():
        ids = [panel["id"] for panel in json.loads(text)["panels"]]
        assert len(ids) == len(set(ids))

"""Each alert fires and clears, in Prometheus's own rule tests; what they name exists."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from leeward.metrics.definitions import METRICS
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
        5, 10, 20,
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
                f"0x5 60x35 30000x{3 * DAY}",
            'leeward_execution_duration_seconds_count{operation="Failover",state="Succeeded"}':
                f"0x5 1x35 2x{3 * DAY}",
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
        59, 65, 80,
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
        4, 10, 20,
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


def _look(case: Case, minute: int, firing: int) -> dict[str, Any]:
    state = f'ALERTS{{alertname="{case.alert}",alertstate="firing"}}'
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
            _look(case, case.quiet_at, 0),
            _look(case, case.fires_at, 1),
            _look(case, case.clears_at, 0),
        ],
    }


def _promtool(*arguments: str | Path) -> None:
    command = [binaries.tool("promtool"), *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.prometheus
def test_promtool_finds_nothing_wrong_with_the_rules() -> None:
    _promtool("check", "rules", "--lint=all", "--lint-fatal", ALERTS)


def test_every_alert_fires_and_clears_in_a_case() -> None:
    assert sorted(case.alert for case in CASES) == sorted(rule["alert"] for rule in rules())


@pytest.mark.prometheus
@pytest.mark.parametrize("every", sorted({case.every for case in CASES}))
def test_each_alert_fires_when_it_should_and_clears(tmp_path: Path, every: int) -> None:
    file = tmp_path / "rules-test.yaml"
    body = {
        "rule_files": [str(ALERTS)],
        "evaluation_interval": f"{every}m",
        "tests": [_test_of(case) for case in CASES if case.every == every],
    }
    file.write_text(yaml.safe_dump(body))
    _promtool("test", "rules", file)


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
    file = tmp_path / "rules-test.yaml"
    body = {"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": [test]}
    file.write_text(yaml.safe_dump(body))
    _promtool("test", "rules", file)


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

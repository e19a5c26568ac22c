"""Writes the Grafana dashboards of the chart: `python charts/dashboards.py`.

Dashboards are long and regular; here each is a list of rows of panels. What they query is checked
against the metrics that the operator has.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "leeward" / "files" / "dashboards"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24


@dataclass(frozen=True)
class Panel:
    """One panel: a query for each legend."""

    title: str
    queries: dict[str, str]
    kind: str = "timeseries"
    unit: str = "short"
    description: str = ""


@dataclass(frozen=True)
class Dashboard:
    """One dashboard."""

    uid: str
    title: str
    rows: dict[str, list[Panel]]
    variables: dict[str, str]
    """Label values to choose from, by name of the variable: a query of label_values."""


def rate(counter: str, by: str, selector: str = "") -> str:
    """Increase in the dashboard's interval."""
    return f"sum by ({by}) (increase({counter}{selector}[$__rate_interval]))"


def quantile(histogram: str, by: str, selector: str = "", q: str = "0.95") -> str:
    """A quantile of a histogram in the dashboard's interval."""
    rates = f"sum by (le, {by}) (rate({histogram}_bucket{selector}[$__rate_interval]))"
    return f"histogram_quantile({q}, {rates})"


def once(gauge: str, selector: str = "") -> str:
    """A gauge of the leader's, once: for minutes after a hand-over two replicas may export it."""
    return f"max without (pod, instance, node) ({gauge}{selector})"


HUB = "cluster, namespace, job"
"""What tells the operators of several hubs apart that one Prometheus scrapes."""
HUB_LEGEND = "{{cluster}} {{namespace}}"

TENANTS = '{namespace=~"$namespace"}'
ONE_ACCOUNT = '{account_id="$account_id"}'

CONSOLIDATED = Dashboard(
    "leeward-estate",
    "Leeward / Estate",
    {
        "Now": [
            Panel(
                "Live executions",
                {"": once("leeward_execution_info", TENANTS)},
                "table",
            ),
            Panel(
                "Waiting for people",
                {
                    "": "time() - "
                    + once("leeward_execution_waiting_since_timestamp_seconds", TENANTS)
                },
                "table",
                "s",
            ),
            Panel(
                "Plans not ready",
                {
                    "": once(
                        "leeward_plan_condition",
                        '{namespace=~"$namespace",type="Ready",reason!="Ready"}',
                    )
                },
                "table",
            ),
        ],
        "Protection": [
            Panel(
                "Replication lag",
                {"{{plan}}": once("leeward_plan_replication_lag_seconds", TENANTS)},
                unit="s",
                description="The largest of each plan's servers.",
            ),
            Panel(
                "Lag by recovery point objective",
                {
                    "{{plan}}": once("leeward_plan_replication_lag_seconds", TENANTS)
                    + " / "
                    + once("leeward_plan_rpo_objective_seconds", TENANTS)
                },
                unit="percentunit",
                description="Above 100 % a failover would lose more than was promised.",
            ),
            Panel(
                "Since the last drill",
                {
                    "{{plan}}": "time() - "
                    + once("leeward_plan_last_drill_timestamp_seconds", TENANTS)
                },
                "bargauge",
                "s",
            ),
            Panel(
                "Where estates serve",
                {
                    "{{location}}": "sum by (location) "
                    f"({once('leeward_plan_location', TENANTS)})"
                },
                "bargauge",
            ),
        ],
        "Executions": [
            Panel(
                "Ended",
                {
                    "{{operation}} {{state}}": rate(
                        "leeward_executions_ended_total", "operation, state",
                        TENANTS,
                    )
                },
            ),
            Panel(
                "Resources",
                {
                    "{{result}}": rate(
                        "leeward_execution_resources_total", "result", TENANTS
                    )
                },
            ),
            Panel(
                "Duration, 95th percentile",
                {"{{operation}}": quantile("leeward_execution_duration_seconds", "operation")},
                unit="s",
            ),
            Panel(
                "Gates",
                {
                    "{{outcome}}": rate(
                        "leeward_gates_ended_total", "outcome", TENANTS
                    )
                },
            ),
            Panel(
                "Gates waited, 95th percentile",
                {"{{operation}}": quantile("leeward_gate_wait_seconds", "operation")},
                unit="s",
            ),
        ],
        "Accounts": [
            Panel("Accounts", {"": once("leeward_account_ready")}, "table"),
            Panel(
                "Servers",
                {"{{what}}": f"sum by (what) ({once('leeward_account_servers')})"},
            ),
            Panel(
                "AWS calls that failed",
                {
                    "{{account_id}} {{outcome}}": rate(
                        "leeward_aws_calls_total", "account_id, outcome", '{outcome!="Ok"}'
                    )
                },
            ),
        ],
    },
    {"namespace": "label_values(leeward_plan_resources, namespace)"},
)  # fmt: skip

ACCOUNT = Dashboard(
    "leeward-account",
    "Leeward / Account",
    {
        "Account": [
            Panel(
                "Ready", {"{{reason}}": once("leeward_account_ready", ONE_ACCOUNT)}, "stat"
            ),
            Panel(
                "Since the last look",
                {
                    "": "time() - "
                    + once("leeward_account_checked_timestamp_seconds", ONE_ACCOUNT)
                },
                "stat",
                "s",
            ),
            Panel(
                "Servers",
                {"{{region}} {{what}}": once("leeward_account_servers", ONE_ACCOUNT)},
            ),
            Panel("DRS jobs", {"{{region}}": once("leeward_account_jobs", ONE_ACCOUNT)}),
        ],
        "Calls": [
            Panel(
                "Calls",
                {
                    "{{service}} {{region}}": rate(
                        "leeward_aws_calls_total", "service, region",
                        ONE_ACCOUNT,
                    )
                },
            ),
            Panel(
                "Not answered well",
                {
                    "{{service}} {{outcome}}": rate(
                        "leeward_aws_calls_total", "service, outcome",
                        '{account_id="$account_id",outcome!="Ok"}',
                    )
                },
            ),
            Panel(
                "Latency, 95th percentile",
                {
                    "{{service}} {{region}}": quantile(
                        "leeward_aws_call_duration_seconds", "service, region",
                        ONE_ACCOUNT,
                    )
                },
                unit="s",
            ),
            Panel(
                "Circuits open",
                {
                    "{{service}} {{region}}": once(
                        "leeward_aws_circuit_open", '{account_id=~"$account_id|all"}'
                    )
                },
            ),
        ],
    },
    {"account_id": "label_values(leeward_account_ready, account_id)"},
)  # fmt: skip

OPERATOR = Dashboard(
    "leeward-operator",
    "Leeward / Operator",
    {
        "Replicas": [
            Panel("Leader", {f"{HUB_LEGEND} {{{{instance}}}}": "leeward_leader"}),
            Panel("Epoch", {HUB_LEGEND: f"max by ({HUB}) (leeward_leader_epoch)"}, "stat"),
            Panel("Ready", {f"{HUB_LEGEND} {{{{instance}}}} {{{{check}}}}": "leeward_ready"}),
            Panel("Versions", {"{{version}}": "count by (version) (leeward_build_info)"}, "stat"),
        ],
        "Passes": [
            Panel(
                "Passes",
                {"{{kind}} {{outcome}}": rate("leeward_passes_total", "kind, outcome")},
            ),
            Panel(
                "Duration, 95th percentile",
                {"{{kind}}": quantile("leeward_pass_duration_seconds", "kind")},
                unit="s",
            ),
            Panel(
                "Objects",
                {
                    f"{HUB_LEGEND} {{{{kind}}}}": f"max by ({HUB}, kind) "
                    "(leeward_supervised_objects)"
                },
            ),
            Panel(
                "Since the last list",
                {
                    f"{HUB_LEGEND} {{{{kind}}}}": f"time() - max by ({HUB}, kind) "
                    "(leeward_last_resync_timestamp_seconds)"
                },
                unit="s",
            ),
        ],
        "Calls": [
            Panel("Waiting for a thread", {"{{instance}} {{pool}}": "leeward_queue_depth"}),
            Panel("Threads at work", {"{{instance}} {{pool}}": "leeward_queue_busy"}),
            Panel(
                "AWS calls",
                {"{{service}} {{outcome}}": rate("leeward_aws_calls_total", "service, outcome")},
            ),
            Panel(
                "API server requests",
                {"{{verb}} {{code}}": rate("leeward_kube_requests_total", "verb, code")},
            ),
            Panel(
                "API server latency, 95th percentile",
                {"{{verb}}": quantile("leeward_kube_request_duration_seconds", "verb")},
                unit="s",
            ),
        ],
        "Process": [
            Panel(
                "CPU",
                {
                    "{{instance}}": "rate(process_cpu_seconds_total"
                    '{job=~".*leeward.*"}[$__rate_interval])'
                },
            ),
            Panel(
                "Memory",
                {"{{instance}}": 'process_resident_memory_bytes{job=~".*leeward.*"}'},
                unit="bytes",
            ),
            Panel(
                "Values for CloudWatch",
                {"{{outcome}}": rate("leeward_cloudwatch_values_total", "outcome")},
            ),
            Panel(
                "Spans of traces",
                {"{{outcome}}": rate("leeward_trace_spans_total", "outcome")},
            ),
        ],
    },
    {},
)  # fmt: skip

DASHBOARDS = {"estate": CONSOLIDATED, "account": ACCOUNT, "operator": OPERATOR}


def rendered(dashboard: Dashboard) -> dict[str, Any]:
    """Grafana's JSON model."""
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in dashboard.rows.items():
        panels.append(_row(title, len(panels) + 1, top))
        top += 1
        width = WIDTH // min(len(row), 3)
        for number, panel in enumerate(row):
            place = {
                "x": number % 3 * width, "y": top + number // 3 * 8, "w": width, "h": 8
            }  # fmt: skip
            panels.append(_panel(panel, len(panels) + 1, place))
        top += 8 * ((len(row) + 2) // 3)
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["leeward"],
        "schemaVersion": 39,
        "editable": True,
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "templating": {"list": [_datasource(), *_variables(dashboard.variables)]},
        "panels": panels,
    }


def _row(title: str, number: int, top: int) -> dict[str, Any]:
    place = {"x": 0, "y": top, "w": WIDTH, "h": 1}
    return {"id": number, "type": "row", "title": title, "gridPos": place, "panels": []}


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    table = panel.kind == "table"
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + n),
                "datasource": SOURCE,
                "expr": expression,
                "legendFormat": legend or "__auto",
                "instant": table,
                "range": not table,
                "format": "table" if table else "time_series",
            }
            for n, (legend, expression) in enumerate(panel.queries.items())
        ],
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Source"}


def _variables(variables: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "type": "query",
            "datasource": SOURCE,
            "query": query,
            "refresh": 2,
            "sort": 1,
            "multi": name == "namespace",
            "includeAll": name == "namespace",
        }
        for name, query in variables.items()
    ]


def texts() -> dict[str, str]:
    """The files by name."""
    return {
        f"{name}.json": json.dumps(rendered(dashboard), indent=2) + "\n"
        for name, dashboard in DASHBOARDS.items()
    }


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in texts().items():
        (FOLDER / name).write_text(text)

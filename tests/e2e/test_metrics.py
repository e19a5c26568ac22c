"""A real Prometheus scrapes a live operator, and is asked by its HTTP API."""

from __future__ import annotations

import http.client
import json
import subprocess
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from leeward.metrics.definitions import METRICS
from leeward_sandbox.cluster import binaries
from leeward_sandbox.cluster.ports import LOOPBACK, free_ports

from .conftest import APPROVER, Lab

pytestmark = pytest.mark.prometheus
ROOT = Path(__file__).parents[2]


def _get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError:
        return 0, b""
    finally:
        connection.close()


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus."""

    port: int

    def query(self, expression: str) -> list[Any]:
        """The result of an instant query: the series with their values."""
        status, body = _get(self.port, f"/api/v1/query?query={urllib.parse.quote(expression)}")
        found: list[Any] = json.loads(body)["data"]["result"] if status == 200 else []
        return found

    def value(self, expression: str) -> float | None:
        """The one value of it, or None."""
        found = self.query(expression)
        return float(found[0]["value"][1]) if len(found) == 1 else None


@dataclass(frozen=True)
class Watched:
    """An operator whose endpoints are open, and a Prometheus that scrapes it."""

    port: int
    standby: int
    prometheus: Prometheus


@pytest.fixture
def watched(lab: Lab, tmp_path: Path) -> Iterator[Watched]:
    port, standby, own = free_ports(3)
    lab.stack.stop_operator()
    for number, name in ((port, "operator"), (standby, "standby")):
        lab.stack.start_operator(
            {
                "LEEWARD_HEALTH_PORT": str(number),
                "LEEWARD_HEALTH_ADDRESS": LOOPBACK,
                "LEEWARD_LOG_FORMAT": "json",
                "LEEWARD_CLOUDWATCH_NAMESPACE": "Leeward",
            },
            name=name,
        )
        lab.until(f"{name} is ready", lambda at=number: _get(at, "/readyz")[0] == 200)
    config = {
        "global": {"scrape_interval": "1s"},
        "rule_files": [str(ROOT / "charts/leeward/files/alerts.yaml")],
        "scrape_configs": [
            {
                "job_name": "leeward",
                "static_configs": [{"targets": [f"{LOOPBACK}:{p}" for p in (port, standby)]}],
            }
        ],
    }
    file = tmp_path / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    command = [
        binaries.tool("prometheus"), f"--config.file={file}",
        f"--storage.tsdb.path={tmp_path / 'data'}", f"--web.listen-address={LOOPBACK}:{own}",
    ]  # fmt: skip
    with (tmp_path / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        prometheus = Prometheus(own)
        lab.until("both are scraped", lambda: prometheus.value('sum(up{job="leeward"})') == 2)
        yield Watched(port, standby, prometheus)
    finally:
        process.terminate()
        process.wait(30)
        lab.stack.stop_operator(name="standby")
        lab.stack.stop_operator()


def _is(prometheus: Prometheus, expression: str, value: float) -> Callable[[], bool]:
    return lambda: prometheus.value(expression) == value


def test_prometheus_sees_a_run_wait_and_end_and_the_replicas_change_roles(
    lab: Lab, watched: Watched
) -> None:
    seen = watched.prometheus
    leads = f'leeward_leader{{instance="{LOOPBACK}:{watched.port}"}}'
    lab.until("the leader says so", _is(seen, leads, 1))
    lab.until("one leads", _is(seen, "sum(leeward_leader)", 1))
    lab.ready_plan(objectives={"rpo": "15m", "rto": "1h"})
    plan = f'plan="{lab.application}"'
    ready = f'leeward_plan_condition{{{plan},type="Ready",status="True"}}'
    lab.until("the plan is seen", _is(seen, ready, 1))
    assert seen.value(f"leeward_plan_rpo_objective_seconds{{{plan}}}") == 900
    assert seen.value(f'leeward_plan_replication_servers{{{plan},lag="All"}}') == 4
    ended = 'sum(leeward_executions_ended_total{operation="Failover",state="Succeeded"})'
    lab.until("counters of the tenant begin at zero", _is(seen, ended, 0))

    name = lab.start()
    lab.until_gate(name)
    waiting = f'leeward_execution_waiting_since_timestamp_seconds{{execution="{name}"}}'
    lab.until("the wait is seen", lambda: seen.query(waiting))
    assert seen.query(waiting)[0]["metric"]["what"] == "Approval"
    lab.annotate("drx", name, "approve-wave-web", APPROVER)
    lab.until_state(name, "Succeeded")

    lab.until("the end is counted", _is(seen, ended, 1))
    lab.until("what ended is gone", lambda: not seen.query(waiting))
    approved = 'sum(leeward_gates_ended_total{operation="Failover",outcome="Approved"})'
    assert seen.value(approved) == 1
    assert (seen.value('sum(leeward_gate_wait_seconds_sum{outcome="Approved"})') or 0) > 0
    complete = 'sum(leeward_execution_resources_total{operation="Failover",result="Complete"})'
    assert seen.value(complete) == 4
    last = f'leeward_plan_last_execution_timestamp_seconds{{{plan},state="Succeeded"}}'
    lab.until("the plan's last execution is seen", lambda: seen.query(last))
    assert seen.query('leeward_aws_call_duration_seconds_count{account_id="111111111111"} > 0')
    assert seen.query('leeward_account_ready{account="east-a"} == 1')
    assert seen.query('leeward_account_servers{account="east-a",what="Replicating"} > 0')
    assert seen.query('leeward_kube_requests_total{verb="PUT",code="200"} > 0')
    assert seen.query('leeward_passes_total{kind="DRExecution",outcome="Ok"} > 0')
    assert seen.value('sum(leeward_ready{check!=""} == 0)') is None
    _every_metric_has_a_family(lab, watched)
    _lines_are_json_without_secrets(lab)
    _hands_over(lab, watched)


def _every_metric_has_a_family(lab: Lab, watched: Watched) -> None:
    answers: list[bytes] = []

    def served() -> bool:
        status, body = _get(watched.port, "/metrics")
        answers.append(body)
        return status == 200

    lab.until("the metrics are served", served)
    lines = answers[-1].decode().splitlines()
    families = {line.split()[2] for line in lines if line.startswith("# TYPE ")}
    assert {metric.name for metric in METRICS} <= families


def _lines_are_json_without_secrets(lab: Lab) -> None:
    text = lab.stack.logs["operator"].read_text()
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert any(line["message"].startswith("leading as ") for line in lines)
    assert "SecretAccessKey" not in text
    assert "SessionToken" not in text


def _hands_over(lab: Lab, watched: Watched) -> None:
    """SIGTERM: the standby leads, and CloudWatch got what the leader had counted."""
    lab.stack.stop_operator()
    puts = lab.control.calls(service="cloudwatch", operation="PutMetricData")
    told = {datum["MetricName"] for call in puts for datum in call["params"]["MetricData"]}
    assert {"ExecutionCount", "ExecutionSuccess", "CrossAccountLatency"} <= told
    leads = f'leeward_leader{{instance="{LOOPBACK}:{watched.standby}"}}'
    lab.until("the standby leads", _is(watched.prometheus, leads, 1))
    lab.until("it is ready", lambda: _get(watched.standby, "/readyz")[0] == 200)
    assert json.loads(_get(watched.standby, "/readyz")[1])["role"] == "leader"
    lab.until("one is down", _is(watched.prometheus, 'sum(up{job="leeward"})', 1))

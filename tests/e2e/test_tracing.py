"""A live operator sends the trace of a run, across its own ends, to a real receiver of OTLP."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from datetime import datetime

import pytest
from collector import Collector, Received

from leeward.tracing.spans import root_id, trace_id
from leeward_sandbox.cluster.ports import LOOPBACK, free_ports

from .conftest import ACCOUNTS, APPROVER, Lab


@pytest.fixture
def collector(lab: Lab) -> Iterator[Collector]:
    with Collector().running() as running:
        yield running
        lab.stack.stop_operator()


def _start(lab: Lab, collector: Collector, port: int = 0) -> None:
    """An operator that sends traces there."""
    if "operator" in lab.stack.pids:
        lab.stack.stop_operator()
    lab.stack.start_operator(
        {
            "LEEWARD_TRACING": "Otlp",
            "LEEWARD_LOG_FORMAT": "json",
            "LEEWARD_HEALTH_PORT": str(port),
            "LEEWARD_HEALTH_ADDRESS": LOOPBACK,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "OTEL_SERVICE_NAME": "leeward-e2e",
        }
    )


def _trace(lab: Lab, name: str) -> str:
    return f"{trace_id(lab.get('drx', name)['metadata']['uid']):032x}"


def _nanoseconds(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return int(moment.timestamp()) * 10**9 + moment.microsecond * 1000


def _counted(port: int, outcome: str) -> float:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=10)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    finally:
        connection.close()
    line = f'leeward_trace_spans_total{{outcome="{outcome}"}} '
    return sum(float(found[len(line) :]) for found in text.splitlines() if found.startswith(line))


def test_a_run_is_one_tree_of_spans_though_the_operator_was_restarted(
    lab: Lab, collector: Collector
) -> None:
    (port,) = free_ports(1)
    _start(lab, collector)
    lab.ready_plan()
    since = lab.control.last_seq()
    name = lab.start()
    lab.until_gate(name)
    trace = _trace(lab, name)

    def ended() -> set[str]:
        return {s.name for s in collector.of(trace) if "leeward.task.name" in s.attributes}

    # What has ended is there while the run waits, and what holds it is not yet.
    lab.until("the first wave's tasks are told", lambda: ended() == {"drs east-a"})
    assert not [s for s in collector.of(trace) if s.name.startswith(("wave", "Failover"))]
    _start(lab, collector, port)
    lab.annotate("drx", name, "approve-wave-web", f"{APPROVER}: said in confidence")
    lab.until_state(name, "Succeeded")
    root = f"{root_id(lab.get('drx', name)['metadata']['uid']):016x}"
    lab.until("the root is told", lambda: root in {s.id for s in collector.of(trace)})
    assert _counted(port, "Sent") > 0
    assert _counted(port, "Dropped") == 0
    lab.stack.stop_operator()

    spans = collector.of(trace)
    by_id = {s.id: s for s in spans}
    assert len(by_id) == len(spans), "a span came twice"
    assert [s.id for s in spans if not s.parent] == [root]
    assert {s.parent for s in spans} - {""} <= set(by_id), "a parent is missing"
    above = {s.id: by_id[s.parent].name if s.parent else "" for s in spans}
    assert sorted((above[s.id], s.name) for s in spans if s.kind == "INTERNAL") == [
        ("", "Failover"),
        ("Activate", "drs east-a"), ("Activate", "drs east-b"),
        ("Failover", "wave data"), ("Failover", "wave web"),
        ("Instantiate", "drs east-a"), ("Instantiate", "drs east-b"),
        ("wave data", "Activate"), ("wave data", "Instantiate"),
        ("wave web", "Activate"), ("wave web", "Instantiate"), ("wave web", "gate wave-web"),
    ]  # fmt: skip
    _tasks_have_the_record_s_times(lab, name, spans)
    _calls_are_those_that_aws_got(lab, since, spans, by_id)
    _nothing_is_told_that_people_wrote(spans)


def _tasks_have_the_record_s_times(lab: Lab, name: str, spans: list[Received]) -> None:
    tasks = lab.tasks(name)
    seen = {s.attributes["leeward.task.name"]: s for s in spans if s.name.startswith("drs east")}
    assert set(seen) == set(tasks)
    for which, span in seen.items():
        status = tasks[which]["status"]
        assert span.start == _nanoseconds(status["startTime"])
        assert span.end == _nanoseconds(status["completionTime"])
        assert span.attributes["k8s.namespace.name"] == lab.namespace
        assert span.resource["service.name"] == "leeward-e2e"


def _calls_are_those_that_aws_got(
    lab: Lab, since: int, spans: list[Received], by_id: dict[str, Received]
) -> None:
    calls = [s for s in spans if s.kind == "CLIENT"]
    launches = [s for s in calls if s.name == "drs.StartRecovery"]
    got = [c for c in lab.control.calls(since=since, service="drs") if c["mutating"]]
    assert {s.name.partition(".")[2] for s in calls if s.name.startswith("drs.")} == {
        c["operation"] for c in got
    }
    assert len(launches) == sum(c["operation"] == "StartRecovery" for c in got) == 2
    for span in launches:
        task = by_id[span.parent]
        assert task.attributes["leeward.phase"] == "Instantiate"
        assert span.attributes["cloud.account.id"] == task.attributes["cloud.account.id"]
        assert span.attributes["aws.request_id"]
        assert span.attributes["rpc.method"] == "StartRecovery"
    assert {s.attributes["cloud.account.id"] for s in launches} == set(ACCOUNTS.values())
    assert not [s for s in calls if ".Describe" in s.name]


def _nothing_is_told_that_people_wrote(spans: list[Received]) -> None:
    words = json.dumps([[s.attributes, s.events, s.description] for s in spans])
    assert "confidence" not in words
    assert APPROVER not in words


def test_a_collector_that_hangs_holds_no_run_up_and_what_was_left_is_told_later(
    lab: Lab, collector: Collector
) -> None:
    collector.hangs.set()
    _start(lab, collector)
    lab.ready_plan()
    name = lab.start(waves=["data"])
    lab.until_state(name, "Succeeded")
    lab.until("the run is closed", lambda: not lab.get("drx", name)["metadata"].get("finalizers"))
    lab.stack.kill_operator()
    assert collector.spans == []

    with Collector().running() as another:
        _start(lab, another)
        trace, uid = _trace(lab, name), lab.get("drx", name)["metadata"]["uid"]
        root = f"{root_id(uid):016x}"
        lab.until("the root is told", lambda: root in {s.id for s in another.of(trace)})
        lab.stack.stop_operator()

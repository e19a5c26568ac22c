"""What is told when, what of calls to AWS, and how it arrives at a real receiver."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from collector import Collector

from leeward.api.task import DRTask
from leeward.configuration import ConfigurationError, load
from leeward.engine.kube import ApiError
from leeward.handlers.main import USAGE_EXIT, run
from leeward.settings import Settings
from leeward.tracing.calls import identify, of_call
from leeward.tracing.otlp import Otlp
from leeward.tracing.sight import REMEMBERED, Sight
from leeward.tracing.spans import Event, Span, attempt_id, root_id, trace_id
from leeward.tracing.tracer import wanted
from leeward.work import Work, at_work, current
from leeward_adapters.calls import Attempt, Outcome
from leeward_adapters.crew import Crew
from leeward_sandbox.cluster.ports import free_ports

NOW = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
WORK = Work("team", "u-1", "uid-t-1", 2)


def call(operation: str = "StartRecovery", outcome: Outcome = "Ok", code: str = "") -> Attempt:
    return Attempt("111111111111", "us-east-2", "drs", operation, 1.5, outcome, "r-1", code)


# --- Calls to AWS


def test_a_call_that_changes_something_is_a_span_of_its_task() -> None:
    span = of_call(call(), WORK, NOW)
    assert span is not None
    assert (span.trace, span.parent) == (trace_id("u-1"), attempt_id("uid-t-1", 2))
    assert (span.name, span.error, span.outward) == ("drs.StartRecovery", None, True)
    assert (span.start, span.end) == (NOW - timedelta(seconds=1.5), NOW)
    assert span.attributes == {
        "k8s.namespace.name": "team", "rpc.system": "aws-api", "rpc.service": "drs",
        "rpc.method": "StartRecovery", "aws.request_id": "r-1", "cloud.provider": "aws",
        "cloud.account.id": "111111111111", "cloud.region": "us-east-2",
        "leeward.aws.outcome": "Ok",
    }  # fmt: skip


def test_two_attempts_of_one_call_are_two_spans() -> None:
    first, second = of_call(call(), WORK, NOW), of_call(call(), WORK, NOW)
    assert first is not None
    assert second is not None
    assert first.id != second.id


def test_a_call_for_no_task_is_the_run_s() -> None:
    span = of_call(call("Publish"), Work("team", "u-1"), NOW)
    assert span is not None
    assert span.parent == root_id("u-1")


def test_a_refused_call_is_an_error_by_its_code() -> None:
    span = of_call(call(outcome="Denied", code="AccessDeniedException"), WORK, NOW)
    assert span is not None
    assert span.error == "AccessDeniedException (Denied)"
    assert span.attributes["error.type"] == "AccessDeniedException"


@pytest.mark.parametrize(
    ("attempt", "work"),
    [
        (call("DescribeJobs"), WORK),
        (call("AssumeRole"), WORK),
        (call(outcome="NotSent"), WORK),
        (call(), None),
    ],
)
def test_reads_and_what_was_not_sent_and_what_is_no_run_s_are_no_spans(
    attempt: Attempt, work: Work | None
) -> None:
    assert of_call(attempt, work, NOW) is None


def test_calls_that_many_threads_make_know_for_what() -> None:
    seen: list[Work | None] = []
    with at_work(WORK):
        Crew().each("place", lambda _: seen.append(current()), range(5))
    assert seen == [WORK] * 5
    assert current() is None


def test_log_lines_name_the_span_that_they_belong_to() -> None:
    assert identify() == {}
    with at_work(WORK):
        assert identify() == {
            "trace_id": f"{trace_id('u-1'):032x}",
            "span_id": f"{attempt_id('uid-t-1', 2):016x}",
        }


# --- When


def task(minute: int, name: str = "t-1", attempt: int = 1, of: int = 1) -> dict[str, Any]:
    spec = {
        "executionRef": {"name": f"orders-{of}", "uid": f"u-{of}"}, "plan": "orders",
        "operation": "Failover", "mode": "Planned", "wave": "data", "waveOrdinal": 1,
        "recoveryPhase": "Instantiate", "technology": "drs", "account": "east-a",
        "accountId": "111111111111", "region": "us-east-2", "sourceRegion": "us-east-1",
    }  # fmt: skip
    done = f"2026-03-01T02:{minute:02}:00.000000Z"
    status = {
        "state": "Complete", "startTime": "2026-03-01T02:00:00Z", "completionTime": done,
        "attempt": attempt,
    }  # fmt: skip
    meta = {"name": name, "namespace": "team", "uid": f"uid-{name}"}
    return {"metadata": meta, "spec": spec, "status": status}


def test_what_ended_under_this_leader_is_told_once_and_before_it_not_at_all() -> None:
    told: list[Span] = []
    sight = Sight(told.append, NOW)
    sight.task(task(29, "earlier"))
    assert told == []
    for body in (task(31), task(31), task(33, attempt=2), task(30, "just-now")):
        sight.task(body)
    assert [s.attributes["leeward.task.name"] for s in told] == ["t-1", "t-1", "just-now"]
    assert [s.attributes["leeward.task.attempt"] for s in told] == [1, 2, 1]


def test_a_gate_is_told_when_it_is_passed() -> None:
    told: list[Span] = []
    sight = Sight(told.append, NOW)
    gate = {
        "name": "wave-web", "id": "g-1", "wave": "web", "before": "Activate", "state": "Waiting",
        "required": 1, "askedAt": "2026-03-01T02:31:00Z", "deadline": "2026-03-01T03:00:00Z",
    }  # fmt: skip
    meta = {"name": "orders-1", "namespace": "team", "uid": "u-1"}
    spec = {"planRef": {"name": "orders"}, "operation": "Failover"}
    answers = [{"user": "a", "verdict": "Approve", "time": "2026-03-01T02:40:00Z"}]
    for state in (
        {},
        {"state": "Running", "gates": [gate]},
        {"state": "Running", "gates": [gate | {"state": "Approved", "answers": answers}]},
        {"state": "Running", "gates": [gate | {"state": "Approved", "answers": answers}]},
    ):
        sight.execution({"metadata": meta, "spec": spec, "status": state})
    (span,) = told
    assert (span.name, span.end.minute) == ("gate wave-web", 40)


def ended(minute: int, number: int) -> dict[str, Any]:
    """An execution with its verdict."""
    done = f"2026-03-01T02:{minute:02}:00.000000Z"
    meta = {"name": f"orders-{number}", "namespace": "team", "uid": f"u-{number}"}
    return {"metadata": meta, "status": {"state": "Succeeded", "completionTime": done}}


def live(number: int) -> dict[str, Any]:
    return ended(0, number) | {"status": {"state": "Running"}}


def test_tasks_of_executions_that_were_forgotten_are_not_told_again() -> None:
    told: list[Span] = []
    sight = Sight(told.append, NOW)
    for number in range(2 * REMEMBERED):
        sight.execution(live(number))
        sight.task(task(31, f"t-{number}", of=number))
        sight.execution(ended(32, number))
    assert len(told) == 2 * REMEMBERED
    for number in range(2 * REMEMBERED):
        sight.task(task(31, f"t-{number}", of=number))
    assert len(told) == 2 * REMEMBERED
    sight.task(task(33, "t-new", of=2 * REMEMBERED))  # seen before its execution is
    assert len(told) == 2 * REMEMBERED + 1


def test_of_many_that_live_each_is_told_once() -> None:
    told: list[Span] = []
    sight = Sight(told.append, NOW)
    for number in range(2 * REMEMBERED):
        sight.execution(live(number))
    for _ in range(2):
        sight.task(task(31))
        sight.execution(ended(32, 1))
    assert len(told) == 1


def test_a_task_that_was_told_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Span] = []
    sight = Sight(told.append, NOW)
    sight.task(task(31))
    monkeypatch.setattr(DRTask, "model_validate", lambda _: pytest.fail("it was read whole"))
    sight.task(task(31))
    assert len(told) == 1


def looks(sight: Sight, monkeypatch: pytest.MonkeyPatch, error: Exception | None) -> list[str]:
    """The executions that `sight` asks for when it closes, in order; each answer is `error`."""
    asked: list[str] = []

    async def answer(_kube: Any, _kind: Any, _namespace: str, name: str) -> Any:
        asked.append(name)
        raise error or ApiError(404, "NotFound", "no such execution")

    monkeypatch.setattr("leeward.tracing.sight.read", answer)
    lease: Any = SimpleNamespace(since=NOW, left=None)
    sight.lead(cast("Any", object()), lease)
    asyncio.run(sight.close(NOW))
    return asked


def test_a_leader_before_whose_clock_was_fast_hides_nothing_that_ends_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def nothing(_sight: Sight, _kube: Any) -> None:
        pass

    async def play() -> list[Span]:
        told: list[Span] = []
        sight = Sight(told.append, NOW)
        lease: Any = SimpleNamespace(since=NOW, left=NOW + timedelta(hours=3))
        sight.lead(cast("Any", object()), lease)
        sight.task(task(31))
        return told

    monkeypatch.setattr(Sight, "_catch_up", nothing)
    assert len(asyncio.run(play())) == 1


def test_the_last_look_is_at_what_lives_the_newest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    sight = Sight(lambda _: None, NOW)
    for number in range(4):
        sight.execution(live(number))
    sight.execution(ended(20, 1))
    sight.execution(live(2), deleted=True)
    sight.execution(live(9), deleted=True)
    assert looks(sight, monkeypatch, None) == ["orders-3", "orders-0"]


@pytest.mark.parametrize("error", [KeyError("u-1"), ValueError("not valid"), TimeoutError()])
def test_a_last_look_that_fails_keeps_nothing_else_from_being_closed(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sight = Sight(lambda _: None, NOW)
    sight.execution(live(1))
    assert looks(sight, monkeypatch, error) == ["orders-1"]
    assert "no last look at what lives" in caplog.text


def test_a_process_that_never_led_ends_without_a_look() -> None:
    asyncio.run(Sight(lambda _: None, NOW).close(NOW))


# --- How


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector().running() as running:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.endpoint)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3")
        yield running


def test_spans_arrive_with_their_ids_times_and_the_resource(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20t")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod")
    later = NOW + timedelta(microseconds=1)
    root = Span(
        7, 8, None, "Failover", NOW, later, later, {"leeward.plan": "orders"},
        events=(Event("Paused", NOW, {"a": 1}),),
    )  # fmt: skip
    child = Span(7, 9, 8, "drs.StartRecovery", NOW, NOW, NOW, {}, error="no", outward=True)
    assert Otlp("hub-1", "0.1.0").send([child, root]) == ""
    got, top = collector.spans
    assert (got.trace, got.id, got.parent) == (f"{7:032x}", f"{9:016x}", f"{8:016x}")
    assert (got.kind, got.failed, got.description) == ("CLIENT", True, "no")
    assert (top.parent, top.kind, top.failed) == ("", "INTERNAL", False)
    assert top.end - top.start == 1000
    assert top.start == int(NOW.timestamp()) * 10**9
    assert top.events == (("Paused", {"a": 1}),)
    assert collector.headers[0]["authorization"] == "Bearer t"
    wanted_ = {
        "service.name": "leeward", "service.version": "0.1.0", "leeward.hub": "hub-1",
        "deployment.environment.name": "prod",
    }  # fmt: skip
    assert wanted_.items() <= top.resource.items()


def test_the_service_s_name_is_the_environment_s(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "dr-hub")
    assert Otlp("hub-1", "0.1.0").send([Span(7, 8, None, "x", NOW, NOW, NOW, {})]) == ""
    assert collector.spans[0].resource["service.name"] == "dr-hub"


def test_a_collector_that_refuses_takes_nothing_and_later_all(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    otlp, span = Otlp("hub-1", "0.1.0"), Span(7, 8, None, "x", NOW, NOW, NOW, {})
    collector.status = 401
    assert "401" in otlp.send([span])
    collector.status = 503
    assert "Service Unavailable" in otlp.send([span])
    assert caplog.records == [], "each try would be a line"
    collector.status = 200
    assert otlp.send([span]) == ""
    assert len(collector.spans) == 1


def test_that_nobody_listens_is_said(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    (port,) = free_ports(1)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    said = Otlp("hub-1", "0.1.0").send([Span(7, 8, None, "x", NOW, NOW, NOW, {})])
    assert "Connection refused" in said


# --- Settings


def test_tracing_without_its_packages_is_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [n for n in sys.modules if n.split(".")[0] == "opentelemetry"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("sys.meta_path", [_Missing(), *sys.meta_path])
    with pytest.raises(ConfigurationError) as raised:
        load({"AWS_REGION": "us-east-2", "LEEWARD_TRACING": "Otlp"})
    (line,) = raised.value.errors
    assert line.startswith("tracing (variable LEEWARD_TRACING): OpenTelemetry is not installed")
    assert "leeward[tracing]" in line


class _Missing:
    """A machine without OpenTelemetry."""

    def find_spec(self, name: str, *_: Any) -> None:
        if name.split(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(name)


@pytest.mark.parametrize(
    ("setting", "environment", "answer"),
    [
        ("Off", {}, False),
        ("Otlp", {}, True),
        ("Otlp", {"OTEL_SDK_DISABLED": "true"}, False),
        ("Otlp", {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True),
        (
            "Otlp",
            {
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            },
            True,
        ),
        ("Off", {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, False),
    ],
)
def test_whether_traces_are_made(setting: Any, environment: dict[str, str], answer: bool) -> None:
    assert wanted(Settings(base_region="us-east-2", tracing=setting), environment) is answer


def test_a_protocol_that_is_not_spoken_is_refused() -> None:
    settings = Settings(base_region="us-east-2", tracing="Otlp")
    with pytest.raises(ConfigurationError, match="http/protobuf alone, not 'grpc'"):
        wanted(settings, {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})


def test_a_variable_that_opentelemetry_does_not_take_ends_the_start_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("leeward.logs.configure", lambda *_: None)
    for name, value in (
        ("AWS_REGION", "us-east-2"), ("LEEWARD_TRACING", "Otlp"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "many"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    assert run() == USAGE_EXIT
    said = capsys.readouterr().err
    assert "OTEL_SPAN_EVENT_COUNT_LIMIT must be a non-negative integer but got many" in said
    assert "correct it, or set LEEWARD_TRACING=Off" in said

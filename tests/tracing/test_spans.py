"""What spans the record of a run gives, and which ids and times they have."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from leeward.api.execution import DRExecution
from leeward.api.task import DRTask
from leeward.planning.times import parse_time
from leeward.tracing.spans import (
    Span,
    attempt_id,
    of_end,
    of_gates,
    of_task,
    reach,
    root_id,
    trace_id,
)

SECRET = "lag is 40 minutes, says Bob"


def at(minute: int) -> str:
    return f"2026-03-01T02:{minute:02}:00.000000Z"


def run(**status: Any) -> DRExecution:
    spec = {"planRef": {"name": "orders"}, "operation": status.pop("operation", "Failover")}
    spec |= {"dryRun": status.pop("dry_run", "None"), "incident": "INC1"}
    meta = {"name": "orders-1", "namespace": "team", "uid": "u-1", "creationTimestamp": at(0)}
    return DRExecution.model_validate({"metadata": meta, "spec": spec, "status": status})


def ended(state: str = "Succeeded", **status: Any) -> DRExecution:
    reason = status.pop("reason", state)
    condition = {
        "type": "Succeeded", "status": "True" if state == "Succeeded" else "False",
        "reason": reason, "message": SECRET, "lastTransitionTime": at(50),
    }  # fmt: skip
    return run(
        **{
            "state": state, "startTime": at(1), "completionTime": at(50), "message": SECRET,
            "conditions": [condition], "waves": [wave("data"), wave("web", 2)], **status,
        }
    )  # fmt: skip


def wave(name: str, ordinal: int = 1, **fields: Any) -> dict[str, Any]:
    return {"name": name, "ordinal": ordinal, "state": "Complete", **fields}


def gate(state: str, *answers: int, **fields: Any) -> dict[str, Any]:
    given = [
        {"user": "approver-a@example.com", "verdict": "Approve", "time": at(m), "comment": SECRET}
        for m in answers
    ]
    return {
        "name": "wave-web", "id": "g-1", "wave": "web", "before": "Activate", "state": state,
        "required": 1, "askedAt": at(20), "deadline": at(40), "answers": given, **fields,
    }  # fmt: skip


def task(name: str = "t-1", state: str = "Complete", **fields: Any) -> DRTask:
    where = {"wave": "data", "phase": "Instantiate"} | fields.pop("where", {})
    spec = {
        "executionRef": {"name": "orders-1", "uid": "u-1"}, "plan": "orders",
        "operation": "Failover", "mode": "Planned", "wave": where["wave"], "waveOrdinal": 1,
        "recoveryPhase": where["phase"], "technology": "drs", "account": "east-a",
        "accountId": "111111111111", "region": "us-east-2", "sourceRegion": "us-east-1",
    }  # fmt: skip
    status = {"state": state, "startTime": at(5), "completionTime": at(10), "total": 3, **fields}
    meta = {"name": name, "namespace": "team", "uid": f"uid-{name}"}
    return DRTask.model_validate({"metadata": meta, "spec": spec, "status": status})


def intent(minute: int, attempt: int = 1) -> dict[str, Any]:
    return {
        "id": f"i-{minute}", "action": "Launch", "resources": ["s-1"], "epoch": 1,
        "time": at(minute), "attempt": attempt,
    }  # fmt: skip


def times(span: Span | None) -> tuple[str, str] | None:
    return span and (f"{span.start:%H:%M}", f"{span.end:%H:%M}")


TASKS: list[tuple[str, DRTask, tuple[str, str] | None]] = [
    ("one that has ended", task(), ("02:05", "02:10")),
    ("one at work", task(state="InProgress", completionTime=None), None),
    ("one that is to be tried again", task(state="Retry", completionTime=None), None),
    ("one that was left out before it began", task(state="Skipped", startTime=None), None),
    (
        "one that asked ahead of its turn and was given up then",
        task(state="Abandoned", startTime=None, journal=[intent(3)]),
        ("02:03", "02:10"),
    ),
    ("a clock that stepped back", task(startTime=at(11)), ("02:10", "02:10")),
]


@pytest.mark.parametrize(("what", "given", "wanted"), TASKS, ids=[t[0] for t in TASKS])
def test_a_task_is_a_span_from_its_begin_to_its_end(
    what: str, given: DRTask, wanted: tuple[str, str] | None
) -> None:
    assert times(of_task(given)) == wanted


def test_a_task_says_where_it_worked_and_how_far_it_came() -> None:
    span = of_task(task(complete=3, journal=[intent(6), intent(7), intent(2, attempt=9)]))
    assert span is not None
    assert (span.trace, span.id) == (trace_id("u-1"), attempt_id("uid-t-1", 1))
    assert (span.name, span.error, span.outward) == ("drs east-a", None, False)
    assert span.attributes == {
        "k8s.namespace.name": "team", "leeward.execution.name": "orders-1",
        "leeward.task.name": "t-1", "leeward.task.state": "Complete", "leeward.task.attempt": 1,
        "leeward.task.batches": 2, "leeward.wave": "data", "leeward.phase": "Instantiate",
        "leeward.technology": "drs", "leeward.account": "east-a", "leeward.resources.total": 3,
        "leeward.resources.complete": 3, "leeward.resources.failed": 0,
        "cloud.provider": "aws", "cloud.account.id": "111111111111", "cloud.region": "us-east-2",
    }  # fmt: skip


def test_a_failed_task_is_an_error_with_its_reason() -> None:
    failing = [{"id": "s-1", "state": "Failed", "reason": "LaunchFailed"}]
    span = of_task(task(state="Failed", message="1 failed: " + "x" * 900, resources=failing))
    assert span is not None
    assert span.error is not None
    assert span.error.startswith("1 failed: x")
    assert len(span.error) == 512
    assert span.attributes["error.type"] == "LaunchFailed"


def test_each_attempt_is_a_span_of_its_own_and_each_process_tells_of_the_same() -> None:
    first, again = of_task(task(state="Failed")), of_task(task(attempt=2))
    assert first is not None
    assert again is not None
    assert first.id != again.id
    assert first.parent == again.parent
    assert of_task(task(state="Failed")) == first


GATES: list[tuple[str, DRExecution, tuple[str, str] | None, str | None]] = [
    ("waits", run(gates=[gate("Waiting")]), None, None),
    ("approved", run(gates=[gate("Approved", 25, 30)]), ("02:20", "02:30"), None),
    ("passed by itself", run(gates=[gate("Automatic")]), ("02:20", "02:20"), None),
    (
        "passed by broken glass",
        run(gates=[gate("Approved")], breakGlass={"user": "u", "time": at(33)}),
        ("02:20", "02:33"), None,
    ),
    ("rejected, which may still be answered", run(gates=[gate("Rejected", 25)]), None, None),
    (
        "rejected for good",
        ended("Failed", gates=[gate("Rejected", 25)]), ("02:20", "02:25"), "Rejected",
    ),
    (
        "not answered in time",
        ended("Failed", gates=[gate("TimedOut")]), ("02:20", "02:40"), "TimedOut",
    ),
    (
        "cancelled while it waited",
        ended("Cancelled", gates=[gate("Waiting")]), ("02:20", "02:50"), "Waiting",
    ),
    (
        "the run was over before the deadline",
        ended("Cancelled", completionTime=at(30), gates=[gate("TimedOut")]),
        ("02:20", "02:30"), "TimedOut",
    ),
    ("of a dry run", run(dry_run="Plan", gates=[gate("Automatic")]), None, None),
]  # fmt: skip


@pytest.mark.parametrize(("what", "given", "wanted", "error"), GATES, ids=[g[0] for g in GATES])
def test_a_gate_is_a_span_once_it_cannot_be_answered_any_more(
    what: str, given: DRExecution, wanted: tuple[str, str] | None, error: str | None
) -> None:
    span = next(of_gates(given), None)
    assert times(span) == wanted
    assert (span.error if span else None) == error


def test_a_gate_that_is_asked_anew_is_another_span() -> None:
    first = next(of_gates(run(gates=[gate("Approved", 25)])))
    second = next(of_gates(run(gates=[gate("Approved", 25, askedAt=at(22))])))
    assert first.id != second.id


def tree(given: DRExecution, *tasks: DRTask) -> dict[str, tuple[str, tuple[str, str]]]:
    """By name of each span: that of its parent, and its times."""
    found = [
        *of_end(given, [r for t in tasks if (r := reach(t))]), *of_gates(given),
        *(s for t in tasks if (s := of_task(t))),
    ]  # fmt: skip
    assert len({s.id for s in found}) == len(found)
    assert {s.trace for s in found} == {trace_id("u-1")}
    names = {s.id: s.name for s in found}
    at_ = [
        (s.name, ("-" if s.parent is None else names[s.parent], times(s) or ("", "")))
        for s in found
    ]
    assert len(dict(at_)) == len(at_), "names of one test differ"
    return dict(at_)


def test_the_tree_of_a_run_with_a_gate() -> None:
    web = {"wave": "web", "phase": "Activate"}
    launched = task(startTime=at(3), completionTime=at(9))
    activated = task("t-2", startTime=at(31), completionTime=at(45), where=web)
    assert tree(ended(gates=[gate("Approved", 30)]), launched, activated.model_copy(
        update={"spec": activated.spec.model_copy(update={"task": "switch-dns"})}
    )) == {
        "Failover": ("-", ("02:01", "02:50")),
        "wave data": ("Failover", ("02:03", "02:09")),
        "Instantiate": ("wave data", ("02:03", "02:09")),
        "drs east-a": ("Instantiate", ("02:03", "02:09")),
        "wave web": ("Failover", ("02:20", "02:45")),
        "gate wave-web": ("wave web", ("02:20", "02:30")),
        "Activate": ("wave web", ("02:31", "02:45")),
        "switch-dns": ("Activate", ("02:31", "02:45")),
    }  # fmt: skip


def test_what_follows_a_wave_hangs_from_the_run() -> None:
    clean = task(
        where={"wave": "data", "phase": "Cleanup"}, startTime=at(30), completionTime=at(35)
    )
    assert tree(ended(operation="Test"), clean) == {
        "Test": ("-", ("02:01", "02:50")),
        "Cleanup": ("Test", ("02:30", "02:35")),
        "drs east-a": ("Cleanup", ("02:30", "02:35")),
    }


def test_a_phase_holds_earlier_attempts_too() -> None:
    again = task(
        attempt=2, startTime=at(20), completionTime=at(25), journal=[intent(4), intent(21, 2)]
    )
    assert tree(ended(), again)["Instantiate"] == ("wave data", ("02:04", "02:25"))
    waits = task(state="Retry", attempt=2, startTime=None, completionTime=None)
    assert tree(ended("Cancelled"), waits)["Instantiate"] == ("wave data", ("02:01", "02:50"))


@pytest.mark.parametrize(
    ("state", "reason", "failed", "error"),
    [
        ("Succeeded", "WithinTolerance", ["t-1"], None),
        ("Cancelled", "Cancelled", [], None),
        ("Expired", "Expired", [], "Expired"),
        ("Failed", "GateNotPassed", [], "GateNotPassed"),
        ("Failed", "Failed", ["t-1", "t-2"], "Failed: failed: t-1, t-2"),
    ],
)
def test_the_verdict_is_the_status_of_the_root(
    state: str, reason: str, failed: list[str], error: str | None
) -> None:
    root = next(of_end(ended(state, reason=reason, unplanned=True), [], failed))
    assert (root.id, root.parent, root.error) == (root_id("u-1"), None, error)
    assert root.attributes["leeward.state"] == state
    assert root.attributes["leeward.reason"] == reason
    assert root.attributes["leeward.mode"] == "Unplanned"
    assert root.attributes["leeward.incident"] == "INC1"
    assert root.attributes.get("error.type") == (reason if error else None)


def test_a_run_that_was_refused_has_a_root_from_when_it_was_created() -> None:
    (root,) = of_end(ended("Failed", startTime=None, reason="NotReady"), [])
    assert times(root) == ("02:00", "02:50")


@pytest.mark.parametrize("given", [ended(dry_run="Plan"), run(state="Running", startTime=at(1))])
def test_nothing_is_told_of_a_dry_run_nor_before_the_verdict(given: DRExecution) -> None:
    assert list(of_end(given, [])) == []


def test_no_span_quotes_people() -> None:
    commands = [
        {
            "key": "leeward.dev/skip",
            "object": "t-1",
            "user": "Bob",
            "comment": SECRET,
            "time": at(9),
        }
    ]
    events = [{"time": at(2), "reason": "Started", "message": SECRET}]
    given = ended("Failed", gates=[gate("Rejected", 25)], commands=commands, events=events)
    found = [*of_end(given, []), *of_gates(given)]
    words = json.dumps([str(replace(s, events=())) + str(s.events) for s in found])
    assert SECRET not in words
    assert "Bob" not in words
    assert "approver-a" not in words
    assert [(e.name, e.time, dict(e.attributes)) for e in found[0].events] == [
        ("Started", parse_time(at(2)), {}),
        ("command skip", parse_time(at(9)), {"leeward.task.name": "t-1"}),
    ]

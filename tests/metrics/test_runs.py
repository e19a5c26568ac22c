"""What is counted of executions, from two sights of them, and what gauges say of objects."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from leeward.api.account import TargetAccount
from leeward.api.execution import DRExecution
from leeward.api.plan import RecoveryPlan
from leeward.api.schedule import DRSchedule
from leeward.metrics import definitions as d
from leeward.metrics.estate import Sample, of_account, of_execution, of_plan, of_schedule
from leeward.metrics.runs import Ended, GateAsked, GateEnded, Happening, Started, happened
from leeward.metrics.sight import Runs, Shelf, Sight

BEGAN = "2026-03-01T02:00:00.000000Z"
ASKED = "2026-03-01T02:10:00.000000Z"
ANSWERED = "2026-03-01T02:14:00.000000Z"
DEADLINE = "2026-03-01T02:40:00.000000Z"
DONE = "2026-03-01T03:00:00.000000Z"


def body(uid: str = "u-1", dry_run: str = "None", **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "orders-1", "namespace": "orders", "uid": uid},
        "spec": {"planRef": {"name": "orders"}, "operation": "Failover", "dryRun": dry_run},
        "status": status,
    }


def run(**fields: Any) -> DRExecution:
    return DRExecution.model_validate(body(**fields))


def gate(state: str, answered: bool = False) -> dict[str, Any]:
    answers = [{"user": "a", "verdict": "Approve", "time": ANSWERED}] if answered else []
    return {
        "name": "wave-web", "id": "1", "wave": "web", "before": "Activate", "state": state,
        "required": 1, "askedAt": ASKED, "deadline": DEADLINE, "answers": answers,
    }  # fmt: skip


ENDED = {
    "state": "Succeeded", "startTime": BEGAN, "completionTime": DONE,
    "resources": {"total": 5, "complete": 3, "failed": 1, "skipped": 0},
    "waves": [{"name": "data", "ordinal": 1, "state": "Complete"}],
    "objectives": {"waited": "4m"},
}  # fmt: skip

CASES: list[tuple[str, dict[str, Any], dict[str, Any], list[Happening]]] = [
    ("nothing new", {"startTime": BEGAN}, {"startTime": BEGAN}, []),
    ("it began", {}, {"startTime": BEGAN}, [Started()]),
    ("a gate is asked", {}, {"gates": [gate("Waiting")]}, [GateAsked()]),
    (
        "a gate is approved",
        {"gates": [gate("Waiting")]},
        {"gates": [gate("Approved", answered=True)]},
        [GateEnded("Approved", timedelta(minutes=4))],
    ),
    (
        "nobody answers",
        {"gates": [gate("Waiting")]},
        {"gates": [gate("TimedOut")]},
        [GateEnded("TimedOut", timedelta(minutes=30))],
    ),
    (
        "a gate that timed out is answered late, which is not counted twice",
        {"gates": [gate("TimedOut")]},
        {"gates": [gate("Approved", answered=True)]},
        [],
    ),
    (
        "a gate passes by itself between two sights",
        {},
        {"gates": [gate("Automatic")]},
        [GateAsked(), GateEnded("Automatic", timedelta())],
    ),
    (
        "it ends",
        {"state": "Running", "startTime": BEGAN},
        ENDED,
        [
            Ended(
                "Succeeded", timedelta(hours=1), timedelta(minutes=4),
                {"Complete": 3, "Failed": 1, "Skipped": 0, "Open": 1}, ("Complete",),
            )
        ],
    ),
    (
        "it is refused before it begins",
        {"state": "Preflight"},
        {"state": "Failed", "completionTime": DONE},
        [
            Ended(
                "Failed", None, timedelta(),
                {"Complete": 0, "Failed": 0, "Skipped": 0, "Open": 0}, (),
            )
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "found"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_two_sights_of_an_execution_show_what_happened(
    before: dict[str, Any], after: dict[str, Any], found: list[Happening]
) -> None:
    assert list(happened(run(**before), run(**after))) == found


def test_of_a_dry_run_nothing_is_counted_or_shown() -> None:
    dry = run(dry_run="Plan", **ENDED)
    assert list(happened(run(dry_run="Plan"), dry)) == []
    assert list(of_execution(run(dry_run="Plan", state="Running"))) == []


class Told:
    def __init__(self) -> None:
        self.names: list[str] = []
        self.runs = Runs(lambda _, what: self.names.append(type(what).__name__))


def test_what_a_list_shows_first_was_counted_by_whoever_led_before() -> None:
    told = Told()
    told.runs.saw(body(startTime=BEGAN), kind=None)
    assert told.names == []
    told.runs.saw(body(**ENDED), kind="MODIFIED")
    assert told.names == ["Ended"]


def test_an_execution_that_appears_with_a_verdict_is_counted_whole() -> None:
    told = Told()
    told.runs.saw(body(**ENDED), kind="ADDED")
    told.runs.saw(body(**ENDED), kind="MODIFIED")
    told.runs.saw(body(**ENDED), kind="DELETED")
    assert told.names == ["Started", "Ended"]


def test_an_end_is_counted_also_when_it_is_seen_only_as_the_object_goes() -> None:
    told = Told()
    told.runs.saw(body(startTime=BEGAN), kind=None)
    told.runs.saw(body(**ENDED), kind="DELETED")
    assert told.names == ["Ended"]


def test_gauges_of_an_execution_go_when_it_ends_or_is_not_supervised_any_more() -> None:
    told = Told()
    told.runs.saw(body(state="Running", startTime=BEGAN), kind="ADDED")
    assert list(told.runs.samples({"u-1"}))
    assert list(told.runs.samples(())) == []
    told.runs.saw(body(**ENDED), kind="MODIFIED")
    assert list(told.runs.samples({"u-1"})) == []


def values(samples: Any, metric: d.Metric) -> dict[tuple[str, ...], float]:
    found: list[Sample] = list(samples)
    return {s.labels: s.value for s in found if s.metric is metric}


def test_an_execution_says_since_when_it_waits_and_for_what() -> None:
    condition = {
        "type": "WaitingForApproval", "status": "True", "reason": "GateWaiting", "message": "",
        "lastTransitionTime": "1970-01-01T00:10:00Z",
    }  # fmt: skip
    waiting = run(state="WaitingForApproval", startTime=BEGAN, conditions=[condition])
    assert values(of_execution(waiting), d.WAITING) == {
        ("orders", "orders-1", "orders", "Approval"): 600
    }
    gone = run(state="Running", conditions=[condition | {"status": "False"}])
    assert values(of_execution(gone), d.WAITING) == {}


PLAN: dict[str, Any] = {
    "metadata": {"name": "orders", "namespace": "orders", "uid": "p-1"},
    "spec": {
        "customer": "acme", "environment": "production", "accounts": [{"name": "prod"}],
        "regions": {"primary": "us-east-1", "recovery": "us-east-2"},
        "waves": [{"name": "data"}], "objectives": {"rpo": "15m"},
    },
    "status": {
        "location": "Primary",
        "conditions": [
            {
                "type": "Ready", "status": "True", "reason": "Degraded", "message": "",
                "lastTransitionTime": BEGAN,
            }
        ],
        "lag": {"servers": 4, "worst": "20m", "above": 1, "unknown": 1},
        "readiness": [
            {"severity": "Blocking", "reason": "X", "count": 2},
            {"severity": "Blocking", "reason": "Y", "count": 3},
        ],
        "accounts": [{"name": "prod", "accountId": "111111111111", "discoveredAt": BEGAN}],
        "history": [
            {"name": "a", "uid": "1", "operation": "Test", "state": "Failed",
             "completionTime": BEGAN},
            {"name": "b", "uid": "2", "operation": "Failover", "state": "Succeeded",
             "completionTime": "1970-01-01T00:00:05Z"},
        ],
        "deferredFence": [
            {"task": "t", "execution": "b", "account": "prod", "accountId": "111111111111",
             "region": "us-east-1", "count": 7, "since": BEGAN, "seen": "Running"},
        ],
    },
}  # fmt: skip


A_PLAN = RecoveryPlan.model_validate(PLAN)


def test_a_plan_says_how_it_stands_and_what_came_of_its_last_execution() -> None:
    found = list(of_plan(A_PLAN))
    who = ("orders", "orders")
    assert values(found, d.PLAN_CONDITION) == {(*who, "Ready", "True", "Degraded"): 1}
    assert values(found, d.LAG) == {who: 1200}
    assert values(found, d.LAG_SERVERS)[(*who, "Above")] == 1
    assert values(found, d.RPO) == {who: 900}
    assert values(found, d.RTO) == {}
    assert values(found, d.PLAN_FINDINGS)[(*who, "Blocking")] == 5
    began = datetime.fromisoformat(BEGAN).timestamp()
    assert values(found, d.LAST_RUN) == {
        (*who, "Failover", "Succeeded"): 5, (*who, "Test", "Failed"): began
    }  # fmt: skip
    assert values(found, d.LAST_DRILL) == {}
    assert values(found, d.UNFENCED)[(*who, "Running")] == 7


def _history(*ended: tuple[str, str]) -> dict[tuple[str, ...], float]:
    history = [
        {"name": f"r-{n}", "uid": f"u-{n}", "operation": operation, "state": state,
         "completionTime": f"1970-01-01T00:00:0{n}Z"}
        for n, (operation, state) in enumerate(ended, start=1)
    ]  # fmt: skip
    plan = RecoveryPlan.model_validate({**PLAN, "status": {**PLAN["status"], "history": history}})
    return values(list(of_plan(plan)), d.LAST_RUN)


def test_neither_a_drill_nor_a_cancelled_run_hides_how_the_last_recovery_ended() -> None:
    who = ("orders", "orders")
    failed = {(*who, "Failover", "Failed"): 1}
    assert _history(("Failover", "Failed"), ("Test", "Failed")) == {
        **failed, (*who, "Test", "Failed"): 2
    }  # fmt: skip
    assert _history(("Failover", "Failed"), ("Failback", "Cancelled")) == failed
    assert _history(("Failover", "Failed"), ("Failover", "Succeeded")) == {
        (*who, "Failover", "Succeeded"): 2
    }
    assert _history(("Failover", "Cancelled")) == {}


def test_an_account_that_never_answered_counts_from_when_the_plan_was_made() -> None:
    silent = {"name": "dark", "accountId": "222222222222"}
    metadata = PLAN["metadata"] | {"creationTimestamp": "1970-01-01T00:00:07Z"}
    heard = [{**silent, "name": "prod", "discoveredAt": "1970-01-01T00:01:00Z"}]

    def discovered(accounts: list[Any]) -> list[float]:
        plan = {**PLAN, "metadata": metadata, "status": {"accounts": accounts}}
        found = list(of_plan(RecoveryPlan.model_validate(plan)))
        return list(values(found, d.PLAN_DISCOVERED).values())

    assert discovered(heard) == [60]
    assert discovered([*heard, silent]) == [7]
    assert discovered([silent]) == [7]
    assert discovered([]) == []


def test_a_plan_is_seen_as_it_was_written_last_and_goes_with_its_object() -> None:
    sight = Sight(lambda *_: None, lambda _: None)
    sight.plan(PLAN, deleted=False)
    assert values(asyncio.run(sight.plans.samples({"p-1"})), d.PLAN_LOCATION)
    moved = {**PLAN, "status": {**PLAN["status"], "location": "Recovery"}}
    sight.plan(moved, deleted=False)
    located = values(asyncio.run(sight.plans.samples({"p-1"})), d.PLAN_LOCATION)
    assert located == {("orders", "orders", "Recovery"): 1}
    sight.plan(moved, deleted=True)
    assert asyncio.run(sight.plans.samples({"p-1"})) == []
    sight.plan(moved, deleted=False)
    assert asyncio.run(sight.plans.samples(())) == []


def test_plans_are_read_beside_the_loop_however_many_were_written() -> None:
    readers: list[threading.Thread] = []

    def speak(plan: RecoveryPlan) -> Iterator[Sample]:
        readers.append(threading.current_thread())
        return of_plan(plan)

    shelf = Shelf(RecoveryPlan, speak)
    uids = {f"p-{number}" for number in range(50)}
    for uid in uids:
        shelf.saw({**PLAN, "metadata": {**PLAN["metadata"], "uid": uid}}, deleted=False)

    assert len(asyncio.run(shelf.samples(uids))) == 50 * len(list(of_plan(A_PLAN)))
    assert len(readers) == 50
    assert len(set(readers)) == 1
    assert threading.main_thread() not in readers
    asyncio.run(shelf.samples(uids))
    assert len(readers) == 50, "what is as it was is not read again"


def test_an_object_that_cannot_be_read_hides_no_others(caplog: pytest.LogCaptureFixture) -> None:
    sight = Sight(lambda *_: None, lambda _: None)
    broken = {"metadata": {"name": "old", "namespace": "orders", "uid": "p-0"}, "spec": 1}
    sight.plan(PLAN, deleted=False)
    sight.plan(broken, deleted=False)

    assert values(asyncio.run(sight.plans.samples({"p-0", "p-1"})), d.PLAN_LOCATION)
    assert "RecoveryPlan orders/old has no metrics" in caplog.text


def test_an_account_says_whether_it_can_be_used_and_what_fits() -> None:
    role = "arn:aws:iam::111111111111:role/leeward"
    account = TargetAccount.model_validate(
        {
            "metadata": {"name": "prod", "uid": "a-1"},
            "spec": {
                "accountId": "111111111111", "readRoleArn": role, "recoveryRoleArn": role,
                "allow": {"namespaces": ["orders"]},
            },
            "status": {
                "conditions": [
                    {"type": "Ready", "status": "False", "reason": "RoleNotUsable", "message": "",
                     "lastTransitionTime": BEGAN}
                ],
                "regions": [
                    {"region": "us-east-2", "drs": "Initialized", "freeServers": 12},
                    {"region": "us-west-2", "drs": "Unknown"},
                ],
            },
        }
    )  # fmt: skip
    found = list(of_account(account))
    assert values(found, d.ACCOUNT_READY) == {("prod", "111111111111", "RoleNotUsable"): 0}
    free = values(found, d.ACCOUNT_SERVERS)
    assert free[("prod", "111111111111", "us-east-2", "Free")] == 12
    assert not any("us-west-2" in labels for labels in free)


def test_a_schedule_says_when_it_is_due_and_what_it_missed() -> None:
    metadata = {"name": "weekly", "namespace": "orders", "uid": "s-1"}
    spec = {"planRef": {"name": "shop"}, "schedule": "0 2 * * 6"}
    missed = {"count": 3, "lastTime": BEGAN, "reason": "PlanBusy", "message": "orders-1 lives"}
    status = {"nextScheduleTime": DONE, "lastSuccessfulTime": BEGAN, "missed": missed}
    who, began = ("orders", "weekly", "shop"), 1772330400.0
    new = DRSchedule.model_validate({"metadata": metadata, "spec": spec})
    assert list(of_schedule(new)) == [Sample(d.SCHEDULE_MISSED, who, 0)]
    old = DRSchedule.model_validate({"metadata": metadata, "spec": spec, "status": status})
    assert list(of_schedule(old)) == [
        Sample(d.SCHEDULE_NEXT, who, began + 3600),
        Sample(d.SCHEDULE_SUCCEEDED, who, began),
        Sample(d.SCHEDULE_MISSED, who, 3),
    ]

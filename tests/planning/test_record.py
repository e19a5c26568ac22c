from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from verdicts.together import conflicts_of

from leeward.api.common import Condition
from leeward.api.execution import (
    TERMINAL,
    DRExecution,
    DRExecutionStatus,
    ExecutionState,
    ResourceChoice,
    TaskState,
)
from leeward.api.task import DRTask
from leeward.planning.estate.direction import MOVES_TO
from leeward.planning.runs import transitions
from leeward.planning.runs.record import Outcome, compose, compose_task, verdict
from leeward.planning.times import render_time

NOW = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
STATES: tuple[ExecutionState, ...] = get_args(ExecutionState)
TASK_STATES: tuple[TaskState, ...] = get_args(TaskState)
INTENT = {
    "id": "1",
    "action": "launch",
    "resources": ["a"],
    "epoch": 1,
    "time": "2026-03-01T02:00:00Z",
}


def task(
    phase: str = "Instantiate", state: str = "NotStarted", wave: int = 1, **fields: Any
) -> DRTask:
    """A task; `resources` are states by id, `asked` says that AWS was asked for something."""
    resources = fields.pop("resources", {"a": state if state == "Complete" else "NotStarted"})
    reasons = fields.pop("reasons", {})
    asked = fields.pop("asked", False)
    spec = {
        "executionRef": {"name": "shop-1", "uid": "u-1"},
        "plan": "shop",
        "operation": "Failover",
        "mode": "Unplanned",
        "wave": f"w{wave}",
        "waveOrdinal": wave,
        "recoveryPhase": phase,
        "technology": "drs",
        "account": "prod",
        "accountId": "111111111111",
        "region": "us-east-2",
        "sourceRegion": "us-east-1",
        "resources": [{"id": i, "arn": f"arn:{i}"} for i in resources],
        **fields,
    }
    status = {
        "state": state,
        "journal": [INTENT] if asked else [],
        "resources": [
            {"id": i, "state": s, "reason": reasons.get(i, "")} for i, s in resources.items()
        ],
        "complete": sum(s == "Complete" for s in resources.values()),
        "message": "words",
    }
    metadata = {"name": f"w{wave}-{phase.lower()}", "generation": 1}
    return DRTask.model_validate({"metadata": metadata, "spec": spec, "status": status})


def execution(operation: str = "Failover", *, waves: int = 1, **fields: Any) -> DRExecution:
    metadata = {"name": "shop-1", "generation": 4, **fields.pop("metadata", {})}
    progress = [{"name": f"w{n}", "ordinal": n, "state": "NotStarted"} for n in range(1, waves + 1)]
    return DRExecution.model_validate(
        {
            "metadata": metadata,
            "spec": {"planRef": {"name": "shop"}, "operation": operation},
            "status": {"waves": progress, **fields},
        }
    )


def composed(run: DRExecution, tasks: Sequence[DRTask], now: datetime = NOW) -> DRExecutionStatus:
    return compose(run, tasks, Outcome("Running", "Running", "at work"), now)


def kstatus(conditions: Sequence[Condition], generation: int) -> str:
    """What kstatus makes of an object, and the rules that its conditions must keep."""
    held = {c.type: c.status for c in conditions}
    assert len(held) == len(conditions), "a condition is there twice"
    assert {c.observed_generation for c in conditions} == {generation}
    assert all(c.reason and c.last_transition_time for c in conditions)
    assert not {"Reconciling", "Stalled"} <= held.keys(), "Reconciling and Stalled together"
    for absent_or_true in ("Reconciling", "Stalled"):
        assert held.get(absent_or_true, "True") == "True"
    if held["Ready"] == "True":
        assert held.keys().isdisjoint({"Reconciling", "Stalled"})
    else:
        assert not held.keys().isdisjoint({"Reconciling", "Stalled"})
    if "Stalled" in held:
        return "Failed"
    return "InProgress" if "Reconciling" in held else "Current"


# --- conditions --------------------------------------------------------------------------------


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize(("before", "after"), list(itertools.product(STATES, STATES)))
def test_conditions_keep_the_rules_of_kstatus_from_every_state_to_every_other(
    before: ExecutionState, after: ExecutionState, paused: bool
) -> None:
    run = execution(paused=paused)
    first = compose(run, [], Outcome(before, "Before", "was"), NOW)
    run = run.model_copy(update={"status": first})
    second = compose(run, [], Outcome(after, "After", "is"), NOW + timedelta(seconds=1))
    seen = kstatus(second.conditions, 4)
    held = {c.type: c.status for c in second.conditions}
    assert second.observed_generation == 4
    if after == "Succeeded":
        assert (seen, held["Succeeded"]) == ("Current", "True")
    elif after in TERMINAL:
        assert (seen, held["Succeeded"]) == ("Failed", "False")
    else:
        assert (seen, held["Succeeded"]) == ("InProgress", "Unknown")
    waits = {t for t in ("WaitingForApproval", "WaitingForDecision") if held.get(t) == "True"}
    assert waits == {after} & {"WaitingForApproval", "WaitingForDecision"}
    is_paused = after not in TERMINAL and (paused or after == "Paused")
    assert (held.get("Paused") == "True") == is_paused
    assert (second.completion_time is not None) == (after in TERMINAL)
    DRExecutionStatus.model_validate(second.to_api())
    assert conflicts_of(run, second) == []


LEGAL = [(a, b) for a in TASK_STATES for b in TASK_STATES if a == b or b in transitions.TASK[a]]


@pytest.mark.parametrize(("before", "after"), LEGAL)
def test_conditions_of_tasks_keep_the_rules_of_kstatus(before: TaskState, after: TaskState) -> None:
    old = task(state=before)
    first = compose_task(old, old.status, NOW)
    old = old.model_copy(update={"status": first})
    second = compose_task(old, first.model_copy(update={"state": after}), NOW)
    seen = kstatus(second.conditions, 1)
    ends = {"Complete": "Current", "Skipped": "Current", "Failed": "Failed", "Abandoned": "Failed"}
    assert seen == ends.get(after, "InProgress")
    assert (second.completion_time is not None) == (after in ends)
    assert conflicts_of(old, second) == []


def test_a_condition_keeps_its_time_while_its_status_does_not_change() -> None:
    run = execution()
    run = run.model_copy(update={"status": composed(run, [])})
    later = composed(run, [], NOW + timedelta(hours=1))
    assert {c.last_transition_time for c in later.conditions} == {render_time(NOW)}


def test_a_pass_that_changes_nothing_writes_nothing_new() -> None:
    tasks = [task(state="Complete"), task("Activate", "Skipped", resources={"a": "Skipped"})]
    run = execution()
    run = run.model_copy(update={"status": composed(run, tasks)})
    assert composed(run, tasks, NOW + timedelta(hours=1)) == run.status


def test_an_event_is_recorded_when_the_state_or_the_wave_changes_and_only_the_last_are_kept() -> (
    None
):
    run = execution()
    for turn in range(60):
        wave = f"w{turn // 2}"
        status = compose(run, [], Outcome("Running", "Running", f"{turn}", wave), NOW)
        run = run.model_copy(update={"status": status})
    assert [e.message for e in run.status.events] == [f"{n}" for n in range(20, 60, 2)]


# --- counts, waves, location -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("instantiate", "activate", "counted"),
    [
        ("Complete", "Complete", "complete"),
        ("Complete", "InProgress", "in_progress"),
        ("Complete", "NotStarted", "in_progress"),
        ("InProgress", "NotStarted", "in_progress"),
        ("Complete", "Failed", "failed"),
        ("Failed", "NotStarted", "failed"),
        ("Complete", "Skipped", "skipped"),
        ("Skipped", "Complete", "skipped"),
        ("Skipped", "Skipped", "skipped"),
    ],
)
def test_a_resource_counts_once_and_as_complete_only_when_it_is_through_all_phases(
    instantiate: str, activate: str, counted: str
) -> None:
    tasks = [
        task(state="InProgress", resources={"a": instantiate}),
        task("Activate", "InProgress", resources={"a": activate}),
    ]
    counts = composed(execution(), tasks).resources.model_dump()
    assert counts.pop("total") == 1
    assert [name for name, n in counts.items() if n] == [counted]


def test_a_resource_that_was_not_begun_is_in_no_count_but_the_total() -> None:
    counts = composed(execution(), [task(), task("Activate")]).resources
    assert counts.model_dump(exclude={"total"}) == {
        "complete": 0,
        "in_progress": 0,
        "failed": 0,
        "skipped": 0,
    }


def test_a_mutation_once_seen_is_never_forgotten() -> None:
    run = execution()
    assert not composed(run, [task()]).mutated
    assert composed(run, [task(asked=True)]).mutated
    assert composed(execution(mutated=True), [task()]).mutated


@pytest.mark.parametrize(
    ("tasks", "location"),
    [
        ([task(), task("Activate")], "Primary"),
        ([task(state="Complete", asked=True), task("Activate")], "Primary"),
        ([task(state="Complete"), task("Activate", "InProgress", asked=True)], "Mixed"),
        ([task(state="Complete"), task("Activate", "Failed", asked=True)], "Mixed"),
        ([task(state="Complete"), task("Activate", "Complete")], "Recovery"),
        (
            [task("Activate", "Complete"), task("Activate", "NotStarted", wave=2)],
            "Mixed",
        ),
        (
            [
                task(state="Complete"),
                task("Activate", "Skipped", resources={"a": "Skipped"}, asked=True),
                task("Activate", "Complete", wave=2),
            ],
            "Mixed",
        ),
    ],
)
def test_the_location_is_as_far_as_users_were_moved(tasks: list[DRTask], location: str) -> None:
    assert composed(execution(waves=2), tasks).location == location


@pytest.mark.parametrize("operation", ["Failover", "Failback"])
def test_a_run_of_single_resources_leaves_the_rest_where_it_was(operation: str) -> None:
    run = execution(operation)
    some = ResourceChoice(include=["a"])
    part = run.model_copy(update={"spec": run.spec.model_copy(update={"resources": some})})
    through = [task("Activate", "Complete")]
    assert composed(run, through).location == MOVES_TO[operation]
    assert composed(part, through).location == "Mixed"
    assert composed(part, [task(), task("Activate")]).location != "Mixed"


def test_a_drill_moves_nothing() -> None:
    assert composed(execution("Test"), [task("Activate", "Complete")]).location is None


# --- verdict -----------------------------------------------------------------------------------

THROUGH = [task(state="Complete"), task("Activate", "Complete")]


def test_a_run_succeeds_when_everything_is_complete() -> None:
    outcome = verdict(execution(), THROUGH)
    assert (outcome.state, outcome.reason) == ("Succeeded", "Succeeded")
    assert outcome.message == "Failover: 1 resources recovered in 1 waves"


@pytest.mark.parametrize(
    "state", ["NotStarted", "InProgress", "PendingApproval", "Failed", "Retry", "Abandoned"]
)
@pytest.mark.parametrize("operation", ["Failover", "Test"])
def test_a_run_does_not_succeed_with_a_task_that_is_not_through(state: str, operation: str) -> None:
    outcome = verdict(execution(operation), [task(state="Complete"), task("Activate", state)])
    assert outcome.state == "Failed"
    assert "w1-activate" in outcome.message


def test_a_clean_up_of_what_was_never_touched_is_not_missing() -> None:
    skipped = task(state="Skipped", resources={"a": "Skipped"}, reasons={"a": "NotInATest"})
    assert verdict(execution("Test"), [skipped, task("Cleanup")]).state == "Succeeded"
    touched = task(state="Complete", asked=True)
    assert verdict(execution("Test"), [touched, task("Cleanup")]).state == "Failed"


def test_what_people_left_out_is_counted_and_named_and_no_whole_success() -> None:
    ids = {"a": "Complete", "b": "Skipped"}
    tasks = [
        task(state="Complete", resources=ids, reasons={"b": "LaunchFailed"}),
        task("Activate", "Complete", resources=ids, reasons={"b": "NoRecoveryInstance"}),
    ]
    outcome = verdict(execution(), tasks)
    assert (outcome.state, outcome.reason) == ("Succeeded", "WithinTolerance")
    assert outcome.message.endswith("1 resources recovered in 1 waves; 1 left out by people: b")


def test_a_wave_that_a_gate_left_out_of_a_drill_is_no_whole_success() -> None:
    tasks = [*THROUGH, task("Activate", "Skipped", wave=2, resources={})]
    left = tasks[-1].model_copy(update={"spec": task(wave=2).spec})
    outcome = verdict(execution("Test", waves=2), [*THROUGH, left])
    assert outcome.reason == "WithinTolerance"


def test_production_names_that_a_drill_leaves_alone_do_not_spoil_its_success() -> None:
    switch = task(
        "Activate", "Skipped", resources={"www": "Skipped"}, reasons={"www": "NotInATest"}
    )
    assert verdict(execution("Test"), [*THROUGH, switch]).reason == "Succeeded"


def test_a_drill_that_a_gate_failed_has_failed_though_nothing_else_did() -> None:
    gate = {
        "name": "wave-w1",
        "id": "1",
        "wave": "w1",
        "before": "Activate",
        "state": "TimedOut",
        "required": 1,
        "askedAt": "2026-03-01T01:00:00Z",
        "deadline": "2026-03-01T01:30:00Z",
        "onTimeout": "Fail",
    }
    outcome = verdict(execution("Test", gates=[gate]), [task(state="Complete"), task("Activate")])
    assert (outcome.state, outcome.reason) == ("Failed", "GateNotPassed")
    assert "wave-w1" in outcome.message


@pytest.mark.parametrize(
    "fields",
    [{"cancelling": True}, {"metadata": {"deletionTimestamp": "2026-03-01T01:59:00Z"}}],
)
@pytest.mark.parametrize("state", ["Complete", "Failed", "Abandoned"])
def test_a_run_that_was_cancelled_or_deleted_is_cancelled_whatever_its_tasks_did(
    fields: dict[str, Any], state: str
) -> None:
    outcome = verdict(execution(**fields), [task(state="Complete"), task("Activate", state)])
    assert outcome.state == "Cancelled"
    assert "1 resource was launched" in outcome.message


@pytest.mark.parametrize(
    ("comment", "said"),
    [("wrong subnet", "cancelled by duty (wrong subnet); "), ("", "cancelled by duty; ")],
)
def test_a_cancelled_run_says_who_did_and_how_to_go_on(comment: str, said: str) -> None:
    command = {
        "key": "leeward.dev/cancel", "user": "duty", "comment": comment,
        "time": "2026-03-01T01:00:00Z", "result": "done",
    }  # fmt: skip
    run = execution(cancelling=True, commands=[command])
    message = verdict(run, [task(state="Complete"), task("Activate")]).message
    assert message.startswith(said)
    assert message.endswith("another execution of the plan goes on from there")


@pytest.mark.parametrize(
    ("activate", "technology", "idle"),
    [
        ("Abandoned", "ec2", True),
        ("Complete", "ec2", False),
        ("Abandoned", "manual", False),
        ("Abandoned", "automation", False),
    ],
)
def test_a_cancelled_run_says_what_is_stopped_while_nothing_serves_instead(
    activate: str, technology: str, idle: bool
) -> None:
    fence = task("Fence", "Complete", technology=technology, region="us-east-1")
    tasks = [fence, task(state="Abandoned"), task("Activate", activate)]
    message = verdict(execution(cancelling=True), tasks).message
    assert "1 were fenced, and stay so; another execution of the plan goes on from there" in message
    assert idle == message.endswith(
        ". Nothing serves in place of 1 resource in us-east-1, account 111111111111: start what is "
        "stopped there, unless another execution goes on (undo of Fence would have come before "
        "cancel)"
    )


def test_what_people_left_unfenced_is_named_in_the_verdict_twice() -> None:
    fence = task("Fence", "Skipped", resources={"i": "Skipped"}, reasons={"i": "LeftOut"})
    outcome = verdict(execution(), [fence, task("Activate", "Complete")])
    assert outcome.reason == "WithinTolerance"
    assert "1 not fenced, which may still write: i; 1 left out by people: i" in outcome.message


def test_a_cancelled_drill_names_the_clean_up_that_failed() -> None:
    tasks = [task(state="Complete"), task("Cleanup", "Failed")]
    outcome = verdict(execution("Test", cancelling=True), tasks)
    assert outcome.state == "Cancelled"
    assert "w1-cleanup" in outcome.message


def test_a_verdict_fits_into_the_status_however_much_failed() -> None:
    ids = {f"s-{n:060}": "Failed" for n in range(100)}
    tasks = [task(state="Failed", wave=n, resources=ids) for n in range(1, 20)]
    tasks = [
        t.model_copy(update={"status": t.status.model_copy(update={"message": "x" * 1024})})
        for t in tasks
    ]
    run = execution(waves=19)
    status = compose(run, tasks, verdict(run, tasks), NOW)
    DRExecutionStatus.model_validate(status.to_api())
    assert len(str(status.to_api())) < 20_000


def test_a_run_names_what_is_done_by_peoples_word_alone() -> None:
    said = {"reasons": {"a": "Asserted"}}
    word = task(state="Complete", resources={"a": "Complete", "b": "Complete"}, **said)
    ended = verdict(execution(), [word])
    assert (ended.state, ended.reason) == ("Succeeded", "WithinTolerance")
    assert "1 done as people say: a" in ended.message


def test_a_manual_task_is_a_whole_success() -> None:
    done = task(state="Complete", technology="manual", reasons={"a": "Asserted"})
    assert verdict(execution(), [done]).reason == "Succeeded"


def test_a_run_names_both_what_was_left_out_and_what_people_call_done() -> None:
    mixed = task(
        state="Complete", resources={"a": "Complete", "b": "Skipped"}, reasons={"a": "Asserted"}
    )
    message = verdict(execution(), [mixed]).message
    assert "1 left out by people: b" in message
    assert "1 done as people say: a" in message


def test_no_task_goes_where_nothing_leads() -> None:
    lost = task(state="Abandoned")
    with pytest.raises(transitions.IllegalTransitionError, match="cannot go from Abandoned"):
        compose_task(lost, lost.status.model_copy(update={"state": "InProgress"}), NOW)


def test_a_wave_that_does_not_replicate_is_not_complete() -> None:
    """Only launching and starting are tolerated half; what protects nothing is no protection."""
    failed = task("Replicate", "Failed", operation="Reprotect", resources={"a": "Failed"})
    assert composed(execution("Reprotect"), [failed]).waves[0].state == "Failed"


def test_a_wave_that_failed_back_is_complete_while_it_replicates() -> None:
    tasks = [
        task("Activate", "Complete", operation="Failback"),
        task("Replicate", "InProgress", operation="Failback"),
    ]
    status = composed(execution("Failback"), tasks)
    assert (status.waves[0].state, status.location) == ("Complete", "Primary")

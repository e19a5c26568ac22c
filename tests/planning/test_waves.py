from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from leeward.api.execution import DRExecution, DRExecutionStatus
from leeward.api.plan import Parallelism
from leeward.api.task import DRTask
from leeward.planning.runs.parallelism import limited
from leeward.planning.runs.record import verdict
from leeward.planning.runs.steering import abandoned
from leeward.planning.runs.waves import PASSED, Cursor, cursor, stages

INTENT = {
    "id": "1",
    "action": "launch",
    "resources": ["a"],
    "epoch": 1,
    "time": "2026-03-01T02:00:00Z",
}


def task(wave: int, phase: str, state: str = "NotStarted", name: str = "", **fields: Any) -> DRTask:
    asked = fields.pop("asked", state not in {"NotStarted", "Skipped", "Abandoned"})
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
        "resources": [{"id": "a", "arn": "arn:a"}],
        **fields,
    }
    answer = asked if isinstance(asked, dict) else {}
    status = {"state": state, "journal": [INTENT | answer] if asked else []}
    metadata = {"name": name or f"w{wave}-{phase.lower()}"}
    return DRTask.model_validate({"metadata": metadata, "spec": spec, "status": status})


def gate(wave: int, state: str | None = None, before: str = "Activate", **fields: Any) -> Any:
    """A frozen gate, or with `state` the same after it was asked."""
    body = {"name": f"wave-w{wave}-{before.lower()}", "wave": f"w{wave}", "before": before}
    if state is None:
        return body
    times = {"askedAt": "2026-03-01T02:00:00Z", "deadline": "2026-03-01T02:30:00Z"}
    return {**body, "id": "1", "state": state, "required": 1, **times, **fields}


def run(
    tasks: Sequence[DRTask],
    operation: str = "Failover",
    *,
    gates: Sequence[Any] = (),
    asked: Sequence[Any] = (),
    cancelling: bool = False,
    unplanned: bool = False,
    automatic: bool = False,
    **recorded: Any,
) -> Cursor:
    waves = sorted({(t.spec.wave, t.spec.wave_ordinal) for t in tasks}, key=lambda w: w[1])
    status = DRExecutionStatus.model_validate(
        {
            "waves": [{"name": n, "ordinal": o, "state": "NotStarted"} for n, o in waves],
            "frozenGates": list(gates),
            "gates": list(asked),
            **recorded,
        }
    )
    return cursor(
        operation, status, tasks, cancelling=cancelling, unplanned=unplanned, automatic=automatic
    )


def names(tasks: Sequence[DRTask]) -> list[str]:
    return [t.metadata.name for t in tasks]


# --- order -------------------------------------------------------------------------------------


def test_waves_run_in_order_and_a_drill_is_cleaned_up_from_the_last_to_the_first() -> None:
    phases = ("Instantiate", "Activate", "Cleanup")
    tasks = [task(w, p) for p in reversed(phases) for w in (2, 1)]
    found = stages("Test", [("w1", 1), ("w2", 2)], tasks)
    assert [(s.wave, s.phase) for s in found] == [
        ("w1", "Instantiate"),
        ("w1", "Activate"),
        ("w2", "Instantiate"),
        ("w2", "Activate"),
        ("w2", "Cleanup"),
        ("w1", "Cleanup"),
    ]


@pytest.mark.parametrize("state", ["NotStarted", "InProgress", "Failed", "Retry", "Abandoned"])
def test_nothing_begins_before_the_phase_before_is_complete(state: str) -> None:
    where = run([task(1, "Instantiate", state), task(1, "Activate")])
    assert where.stage is not None
    assert where.stage.phase == "Instantiate"
    assert "w1-activate" not in names(where.work)


@pytest.mark.parametrize("state", sorted(PASSED))
def test_the_next_wave_begins_when_the_one_before_is_through(state: str) -> None:
    where = run([task(1, "Activate", state), task(2, "Instantiate")])
    assert names(where.work) == ["w2-instantiate"]


def test_a_task_waits_for_those_that_it_depends_on() -> None:
    first = task(1, "Activate", "InProgress", "first")
    second = task(1, "Activate", name="second", dependsOn=["first"])
    assert names(run([first, second]).work) == ["first"]
    done = task(1, "Activate", "Skipped", "first")
    assert names(run([done, second]).work) == ["second"]


def test_independent_tasks_go_on_beside_a_failed_one_and_then_the_run_waits_for_people() -> None:
    failed = task(1, "Instantiate", "Failed", "failed")
    other = task(1, "Instantiate", "InProgress", "other")
    later = task(2, "Instantiate")
    assert names(run([failed, other, later]).work) == ["other"]
    done = task(1, "Instantiate", "Complete", "other")
    where = run([failed, done, later])
    assert (names(where.stuck), where.work, where.finished) == (["failed"], (), False)


def test_tasks_that_can_never_begin_hold_the_run_instead_of_ending_it() -> None:
    where = run([task(1, "Activate", dependsOn=["nowhere"])])
    assert names(where.stuck) == ["w1-activate"]


def test_a_run_ends_when_all_is_through() -> None:
    assert run([task(1, "Instantiate", "Complete"), task(1, "Activate", "Skipped")]).finished


# --- gates -------------------------------------------------------------------------------------


def test_a_gate_is_asked_when_its_stage_is_reached_and_no_sooner() -> None:
    activate = task(1, "Activate")
    busy = run([task(1, "Instantiate", "InProgress"), activate], gates=[gate(1)])
    assert busy.ask is None
    where = run([task(1, "Instantiate", "Complete"), activate], gates=[gate(1)])
    assert where.ask is not None
    assert where.ask.name == "wave-w1-activate"
    assert where.work == ()


@pytest.mark.parametrize("operation", ["Failover", "Test"])
@pytest.mark.parametrize("state", ["Waiting", "Rejected", "TimedOut"])
def test_nothing_begins_behind_a_gate_that_is_not_passed(state: str, operation: str) -> None:
    tasks = [task(1, "Activate"), task(1, "Activate", name="other")]
    where = run(tasks, operation, gates=[gate(1)], asked=[gate(1, state)])
    assert where.waiting is not None
    assert where.work == ()


@pytest.mark.parametrize("state", ["Approved", "Automatic"])
def test_a_passed_gate_lets_its_stage_begin_and_no_other(state: str) -> None:
    tasks = [task(1, "Activate"), task(2, "Activate")]
    both = [gate(1), gate(2)]
    assert names(run(tasks, gates=both, asked=[gate(1, state)]).work) == ["w1-activate"]
    later = [task(1, "Activate", "Complete"), task(2, "Activate")]
    assert run(later, gates=both, asked=[gate(1, state)]).ask is not None


def test_a_gate_in_front_of_nothing_is_not_asked() -> None:
    assert run([task(1, "Instantiate", "Complete")], gates=[gate(1)]).finished


@pytest.mark.parametrize(
    ("state", "choice"), [("Rejected", {"onReject": "Fail"}), ("TimedOut", {"onTimeout": "Fail"})]
)
def test_a_drill_that_a_gate_fails_is_cleaned_up_first(state: str, choice: dict[str, str]) -> None:
    asked = [gate(1, state, **choice)]
    tasks = [task(1, "Instantiate", "Complete"), task(1, "Activate"), task(1, "Cleanup")]
    where = run(tasks, "Test", gates=[gate(1)], asked=asked)
    assert names(where.work) == ["w1-cleanup"]
    cleaned = [*tasks[:2], task(1, "Cleanup", "Complete")]
    assert run(cleaned, "Test", gates=[gate(1)], asked=asked).finished


def test_no_gate_lets_a_drill_end_without_its_clean_up() -> None:
    frozen = [gate(1, before="Cleanup")]
    asked = [gate(1, "Rejected", before="Cleanup", onReject="Fail")]
    tasks = [task(1, "Instantiate", "Complete"), task(1, "Cleanup")]
    assert run(tasks, "Test", gates=frozen, asked=asked).waiting is not None
    cancelled = run(tasks, "Test", gates=frozen, asked=asked, cancelling=True)
    assert names(cancelled.work) == ["w1-cleanup"]


def test_a_gate_of_a_phase_without_tasks_stands_before_the_next_that_there_is() -> None:
    tasks = [task(1, "Activate")]
    frozen = [gate(1, before="Fence"), gate(1)]
    first = run(tasks, gates=frozen)
    assert first.ask is not None
    assert first.ask.before == "Fence"
    second = run(tasks, gates=frozen, asked=[gate(1, "Approved", before="Fence")])
    assert second.ask is not None
    assert second.ask.before == "Activate"


# --- beside the rest ---------------------------------------------------------------------------


def ahead(wave: int, state: str = "NotStarted") -> DRTask:
    return task(wave, "Instantiate", state, start="Ahead")


def test_what_is_inert_of_later_waves_begins_ahead_of_its_turn_where_the_plan_says_so() -> None:
    tasks = [task(1, "Instantiate"), ahead(2), task(3, "Instantiate"), task(2, "Activate")]
    assert names(run(tasks).work) == ["w1-instantiate", "w2-instantiate"]
    waiting = [task(1, "Activate"), ahead(2)]
    where = run(waiting, gates=[gate(1)], asked=[gate(1, "Waiting")])
    assert (names(where.work), where.waiting is not None) == (["w2-instantiate"], True)


@pytest.mark.parametrize("state", ["Rejected", "TimedOut"])
def test_nothing_begins_ahead_of_its_turn_once_people_hold_the_run(state: str) -> None:
    where = run([task(1, "Activate"), ahead(2)], gates=[gate(1)], asked=[gate(1, state)])
    assert where.work == ()
    begun = run(
        [task(1, "Activate"), ahead(2, "InProgress")], gates=[gate(1)], asked=[gate(1, state)]
    )
    assert names(begun.work) == ["w2-instantiate"]


def test_nothing_runs_ahead_through_a_gate_of_its_own_wave_or_its_fencing() -> None:
    tasks = [task(1, "Instantiate"), ahead(2)]
    assert names(run(tasks, gates=[gate(2, before="Instantiate")]).work) == ["w1-instantiate"]
    fenced = [*tasks, task(2, "Fence")]
    assert names(run(fenced).work) == ["w1-instantiate"]
    assert names(run(fenced, unplanned=True).work) == ["w1-instantiate", "w2-instantiate"]


def test_what_people_set_going_in_a_wave_that_was_through_is_followed() -> None:
    tasks = [task(1, "Activate", "InProgress"), task(2, "Instantiate", "InProgress")]
    assert sorted(names(run(tasks).work)) == ["w1-activate", "w2-instantiate"]


@pytest.mark.parametrize(
    ("technologies", "accounts", "chosen"),
    [
        (1, 5, ["drs-a", "drs-b"]),
        (4, 1, ["drs-a", "ec2-a"]),
        (1, 1, ["drs-a"]),
        (4, 5, ["drs-a", "drs-b", "ec2-a"]),
    ],
)
def test_the_plan_limits_how_many_technologies_and_accounts_work_at_once(
    technologies: int, accounts: int, chosen: list[str]
) -> None:
    tasks = [
        task(1, "Activate", name=f"{t}-{a}", technology=t, account=a)
        for t, a in (("drs", "a"), ("drs", "b"), ("ec2", "a"))
    ]
    limits = Parallelism(technologies=technologies, accounts=accounts)
    assert names(limited(tasks, limits)) == chosen
    assert names(limited(tasks, None)) == ["drs-a", "drs-b", "ec2-a"]


def test_a_limit_stops_nothing_that_has_begun() -> None:
    begun = [task(1, "Activate", "InProgress", name=a, account=a) for a in "ab"]
    new = task(1, "Activate", name="c", account="c")
    assert names(limited([new, *begun], Parallelism(accounts=1))) == ["a", "b"]


@pytest.mark.parametrize(("technologies", "accounts"), [(1, 1), (2, 1), (4, 5)])
def test_fencing_of_an_unplanned_run_waits_for_no_turn_and_takes_nobody_s(
    technologies: int, accounts: int
) -> None:
    each = [f"acc{n}" for n in range(6)]
    live = [task(1, "Fence", "InProgress", "fence-acc0", technology="ec2", account="acc0")]
    fences = live + [
        task(1, "Fence", name=f"fence-{a}", technology="ec2", account=a) for a in each[1:]
    ]
    launches = [task(1, "Instantiate", name=f"launch-{a}", account=a) for a in each]
    limits = {"technologies": technologies, "accounts": accounts}
    chosen = names(run([*fences, *launches], unplanned=True, parallelism=limits).work)
    assert sorted(chosen) == [
        *(f"fence-{a}" for a in each), *(f"launch-{a}" for a in each[:accounts])
    ]  # fmt: skip
    planned = names(run([*fences, *launches], parallelism=limits).work)
    assert planned == [f"fence-{a}" for a in each[:accounts]]


# --- what is prepared ahead ---------------------------------------------------------------------


def early(tasks: Sequence[DRTask], **fields: Any) -> list[str]:
    return names(run(tasks, **{"prepares": "Ahead", **fields}).early)


def launching(state: str = "InProgress") -> list[DRTask]:
    return [task(1, "Instantiate", state), task(1, "Activate"), *following()]


def following() -> list[DRTask]:
    return [task(w, p) for w in (2, 3) for p in ("Instantiate", "Activate")]


def test_the_next_wave_is_prepared_while_one_is_under_way_and_no_wave_behind_it() -> None:
    assert early(launching()) == ["w2-instantiate"]
    activating = [task(1, "Instantiate", "Complete"), task(1, "Activate", "InProgress")]
    assert early([*activating, *following()]) == ["w2-instantiate"]


def test_launches_are_prepared_while_their_own_wave_is_fenced() -> None:
    tasks = [task(1, "Fence", "InProgress"), task(1, "Instantiate"), task(2, "Instantiate")]
    assert early(tasks) == ["w1-instantiate"]
    assert early(tasks, unplanned=True) == ["w2-instantiate"], "it launches beside its fencing"


def test_nothing_is_prepared_ahead_in_a_run_that_was_not_frozen_so() -> None:
    assert early(launching(), prepares="InTurn") == []


@pytest.mark.parametrize(
    ("frozen", "asked", "prepared"),
    [
        ([gate(1)], [], False),
        ([gate(2, before="Fence")], [], False),
        ([gate(2, before="Instantiate")], [], False),
        ([gate(2, before="Instantiate")], [gate(2, "Waiting", "Instantiate")], False),
        ([gate(2, before="Instantiate")], [gate(2, "Rejected", "Instantiate")], False),
        ([gate(2, before="Instantiate")], [gate(2, "Approved", "Instantiate")], True),
        ([gate(2)], [], True),
        ([gate(3, before="Fence")], [], True),
    ],
)
def test_nothing_is_prepared_behind_a_gate_that_waits_for_people(
    frozen: list[Any], asked: list[Any], prepared: bool
) -> None:
    assert early(launching(), gates=frozen, asked=asked) == ["w2-instantiate"] * prepared


def test_a_gate_that_passes_by_itself_is_no_reason_to_wait_but_one_about_lost_data_is() -> None:
    plain, lost = gate(2, before="Fence"), {**gate(1), "dataLoss": "Question"}
    assert early(launching(), gates=[plain], automatic=True) == ["w2-instantiate"]
    assert early(launching(), gates=[plain, lost], automatic=True) == []


def test_nothing_is_prepared_before_the_first_gate_of_the_run_is_passed() -> None:
    tasks, first = launching("NotStarted"), gate(1, before="Instantiate")
    assert early(tasks, gates=[first]) == []
    assert early(tasks, gates=[first], asked=[gate(1, "Waiting", "Instantiate")]) == []
    assert early(tasks, gates=[first], asked=[gate(1, "Approved", "Instantiate")]) != []


def test_nothing_is_prepared_while_people_have_the_word() -> None:
    assert early(launching(), paused=True) == []
    assert early(launching(), cancelling=True) == []
    assert early([task(1, "Instantiate", "Failed", "failed"), *launching()]) == []


def test_a_failure_that_the_plan_tolerates_does_not_hold_up_what_comes_next() -> None:
    waves = [
        {"name": f"w{w}", "ordinal": w, "state": "NotStarted", "required": 0} for w in (1, 2, 3)
    ]
    tasks = [task(1, "Instantiate", "Failed", "failed"), *launching()]
    assert early(tasks, waves=waves) == ["w2-instantiate"]


def test_what_was_asked_for_ahead_or_left_out_is_not_asked_for_again() -> None:
    for second in (
        task(2, "Instantiate", asked=True),
        task(2, "Instantiate", "Skipped"),
        task(2, "Instantiate", dependsOn=["w1-activate"]),
    ):
        assert early([*launching()[:2], second]) == []


def test_what_is_prepared_ahead_keeps_to_the_limits_of_the_plan() -> None:
    tasks = [task(1, "Instantiate", "InProgress"), task(2, "Instantiate", account="other")]
    assert early(tasks, parallelism={"accounts": 1}) == []
    assert early(tasks, parallelism={"accounts": 2}) == ["w2-instantiate"]


@pytest.mark.parametrize(
    ("answer", "finished"),
    [
        ({"outcome": "Pending"}, False),
        ({"outcome": "Refused", "errorClass": "Transient", "answerLost": True}, False),
        ({"outcome": "Refused", "errorClass": "Transient", "code": "PartlySent"}, False),
        ({"outcome": "Refused", "errorClass": "Transient", "code": "CircuitOpen"}, True),
        ({"outcome": "Refused", "errorClass": "Transient"}, True),
        ({"outcome": "Sent"}, True),
    ],
)
def test_a_cancelled_run_waits_for_what_was_asked_for_ahead_and_not_answered(
    answer: dict[str, str], finished: bool
) -> None:
    asked = task(2, "Instantiate", asked=answer)
    where = run([task(1, "Instantiate", "Complete"), asked], cancelling=True)
    assert (names(where.work), where.finished) == (
        ["w2-instantiate"] * (not finished), finished,
    )  # fmt: skip


# --- a drill's end -----------------------------------------------------------------------------


def test_a_drill_goes_from_a_failed_task_to_its_clean_up() -> None:
    failed = [task(1, "Instantiate", "Failed"), task(1, "Activate"), task(2, "Instantiate")]
    where = run([*failed, task(2, "Cleanup"), task(1, "Cleanup")], "Test")
    assert names(where.work) == ["w1-cleanup"], "wave 2 was never touched"


def test_a_retry_in_a_drill_that_is_being_cleaned_up_launches_nothing_more() -> None:
    tasks = [
        task(1, "Instantiate", "Retry"),
        task(2, "Instantiate", "Complete"),
        task(2, "Cleanup", "Complete"),
        task(1, "Cleanup"),
    ]
    assert names(run(tasks, "Test").work) == ["w1-cleanup"]


def test_a_failed_clean_up_lets_the_others_go_on_and_then_waits_for_people() -> None:
    done = [task(w, "Instantiate", "Complete") for w in (1, 2)]
    where = run([*done, task(2, "Cleanup", "Failed"), task(1, "Cleanup")], "Test")
    assert names(where.work) == ["w1-cleanup"]
    held = run([*done, task(2, "Cleanup", "Failed"), task(1, "Cleanup", "Complete")], "Test")
    assert names(held.stuck) == ["w2-cleanup"]
    assert not held.finished


def test_cancelling_is_the_way_out_of_a_clean_up_that_cannot_work() -> None:
    tasks = [task(1, "Instantiate", "Complete"), task(1, "Cleanup", "Failed")]
    assert run(tasks, "Test", cancelling=True).finished


# --- replication runs beside -------------------------------------------------------------------


def back(wave: int, phase: str, state: str = "NotStarted", **fields: Any) -> DRTask:
    return task(wave, phase, state, operation="Failback", **fields)


def test_the_next_wave_does_not_wait_for_replication() -> None:
    tasks = [back(1, "Activate", "Complete"), back(1, "Replicate"), back(2, "Fence")]
    where = run(tasks, "Failback")
    assert (where.stage and (where.stage.wave, where.stage.phase)) == ("w2", "Fence")
    assert names(where.work) == ["w2-fence", "w1-replicate"]


def test_waves_of_a_reprotect_replicate_all_at_once() -> None:
    tasks = [task(w, "Replicate", operation="Reprotect") for w in (1, 2, 3)]
    where = run(tasks, "Reprotect")
    assert names(where.work) == ["w1-replicate", "w2-replicate", "w3-replicate"]


def test_replication_does_not_begin_before_its_wave_serves() -> None:
    tasks = [back(1, "Activate", "InProgress"), back(1, "Replicate")]
    assert names(run(tasks, "Failback").work) == ["w1-activate"]


def test_a_gate_before_replication_holds_it() -> None:
    tasks = [back(1, "Activate", "Complete"), back(1, "Replicate"), back(2, "Fence")]
    where = run(tasks, "Failback", gates=[gate(1, before="Replicate")])
    assert where.ask is not None
    assert where.work == ()


@pytest.mark.parametrize("state", ["Waiting", "Rejected", "TimedOut"])
def test_later_waves_do_not_wait_for_a_gate_before_the_replication_of_an_earlier_one(
    state: str,
) -> None:
    frozen, asked = [gate(1, before="Replicate")], [gate(1, state, before="Replicate")]
    home = [back(1, "Activate", "Complete"), back(1, "Replicate")]
    second = [back(2, "Fence"), back(2, "Instantiate"), back(2, "Activate"), back(2, "Replicate")]
    where = run([*home, *second], "Failback", gates=frozen, asked=asked)
    assert (names(where.work), where.waiting) == (["w2-fence"], None)
    # It waits for people beside what needs none, once nothing else is left.
    through = [back(2, t.spec.recovery_phase, "Complete") for t in second[:-1]]
    where = run([*home, *through, second[-1]], "Failback", gates=frozen, asked=asked)
    assert names(where.work) == ["w2-replicate"]
    assert where.waiting is not None
    assert not where.finished
    done = [*through, back(2, "Replicate", "Complete")]
    where = run([*home, *done], "Failback", gates=frozen, asked=asked)
    assert (names(where.work), where.waiting is None, where.finished) == ([], False, False)
    passed = [gate(1, "Approved", before="Replicate")]
    where = run([*home, *done], "Failback", gates=frozen, asked=passed)
    assert names(where.work) == ["w1-replicate"]


def test_a_gate_of_a_later_wave_comes_before_one_that_only_holds_replication() -> None:
    frozen = [gate(1, before="Replicate"), gate(2)]
    tasks = [back(1, "Activate", "Complete"), back(1, "Replicate"), back(2, "Activate")]
    first = run(tasks, "Failback", gates=frozen)
    assert first.ask is not None
    assert first.ask.before == "Replicate"
    held = [gate(1, "Waiting", before="Replicate")]
    second = run(tasks, "Failback", gates=frozen, asked=held)
    assert second.ask is not None
    assert second.ask.before == "Activate"
    both = run(tasks, "Failback", gates=frozen, asked=[*held, gate(2, "Rejected")])
    assert both.waiting is not None
    assert both.waiting.before == "Activate"


def test_a_gate_with_which_a_reprotect_begins_holds_all_its_waves() -> None:
    tasks = [task(w, "Replicate", operation="Reprotect") for w in (1, 2)]
    opening = [gate(1, before="Replicate")]
    where = run(tasks, "Reprotect", gates=opening, asked=[gate(1, "Waiting", before="Replicate")])
    assert (where.work, where.waiting is None) == ((), False)


def test_failed_replication_waits_for_people_when_the_rest_is_through() -> None:
    failed, busy = back(1, "Replicate", "Failed"), back(2, "Replicate", "InProgress")
    done = [back(1, "Activate", "Complete"), back(2, "Activate", "Complete")]
    assert run([*done, failed, busy], "Failback").stuck == ()
    over = back(2, "Replicate", "Complete")
    assert names(run([*done, failed, over], "Failback").stuck) == ["w1-replicate"]


# --- cancelling --------------------------------------------------------------------------------


def test_a_cancelled_run_follows_what_is_under_way_and_begins_nothing() -> None:
    tasks = [task(1, "Instantiate", "InProgress"), task(1, "Instantiate", name="other")]
    assert names(run(tasks, cancelling=True).work) == ["w1-instantiate"]
    assert run(tasks[1:], cancelling=True).finished


@pytest.mark.parametrize(
    ("answer", "followed"),
    [
        (None, False),
        ({"outcome": "Refused", "errorClass": "Transient"}, False),
        ({"outcome": "Absent"}, False),
        ({"outcome": "Refused", "errorClass": "Transient", "answerLost": True}, True),
        ({"outcome": "Refused", "errorClass": "Transient", "code": "PartlySent"}, True),
        ({"outcome": "Refused", "errorClass": "Transient", "code": "CircuitOpen"}, False),
        ({"outcome": "Pending"}, True),
        ({"outcome": "Sent"}, True),
    ],
)
def test_of_a_task_that_waits_for_its_next_attempt_a_cancelled_run_follows_what_aws_may_have_taken(
    answer: dict[str, str] | None, followed: bool
) -> None:
    again = task(1, "Instantiate", "Retry", asked=answer)
    assert names(run([again], cancelling=True).work) == ["w1-instantiate"] * followed
    assert (abandoned(again) is None) == followed


def test_a_cancelled_run_passes_no_gate_and_asks_none() -> None:
    tasks = [task(1, "Instantiate", "Complete"), task(1, "Activate")]
    assert run(tasks, gates=[gate(1)], cancelling=True).finished


def test_a_cancelled_drill_is_cleaned_up_without_asking() -> None:
    tasks = [task(1, "Instantiate", "Complete"), task(1, "Activate", "Abandoned")]
    where = run(
        [*tasks, task(1, "Cleanup")], "Test", gates=[gate(1, before="Cleanup")], cancelling=True
    )
    assert names(where.work) == ["w1-cleanup"]


# --- whole runs by chance ----------------------------------------------------------------------


COURSES = {
    "Failover": ("Instantiate", "Activate"),
    "Test": ("Instantiate", "Activate", "Cleanup"),
    "Failback": ("Fence", "Instantiate", "Activate", "Replicate"),
}


class Run:
    """A run whose tasks, gates and people do something by chance at each pass."""

    def __init__(self, seed: int, operation: str) -> None:
        self.dice = random.Random(seed)
        self.operation = operation
        phases = COURSES[operation]
        self.tasks = [task(w, p) for w in (1, 2, 3) for p in phases]
        if operation == "Failover":
            self.tasks.append(task(3, "Activate", name="switch", dependsOn=["w3-activate"]))
        self.frozen = [gate(w, before=p) for w in (1, 2, 3) for p in phases if w != 2]
        self.asked: list[Any] = []
        self.cancelling = False

    def go(self) -> None:
        for _ in range(2000):
            where = run(
                self.tasks,
                self.operation,
                gates=self.frozen,
                asked=self.asked,
                cancelling=self.cancelling,
                prepares="Ahead" if self.operation == "Failover" else "InTurn",
            )
            if where.finished:
                return
            self._allowed(where)
            self._follow(where)
            self._people()
        raise AssertionError("no end")

    def _allowed(self, where: Cursor) -> None:
        """Nothing begins that must not."""
        for each in where.early:
            assert not self.cancelling
            assert each.spec.recovery_phase == "Instantiate"
            assert not each.status.journal
            gated = [
                g
                for g in self.frozen
                if (g["wave"], g["before"]) == (each.spec.wave, "Instantiate")
            ]
            passed = {g["name"] for g in self.asked if g["state"] == "Approved"}
            assert {g["name"] for g in gated} <= passed
        # Of a cancelled run what is to be tried again is only followed.
        begin = {"NotStarted"} if self.cancelling else {"NotStarted", "Retry"}
        begins = [t for t in where.work if t.status.state in begin]
        cleaning = any(t.spec.recovery_phase == "Cleanup" and t.status.journal for t in self.tasks)
        for each in begins:
            closing = each.spec.recovery_phase == "Cleanup"
            assert closing or not (self.cancelling or cleaning), f"{each.metadata.name} begins"
            place = (each.spec.wave, each.spec.recovery_phase)
            if any((g["wave"], g["before"]) == place for g in self.frozen) and not self.cancelling:
                answer = next(g for g in self.asked if (g["wave"], g["before"]) == place)
                assert answer["state"] == "Approved"

    def _follow(self, where: Cursor) -> None:
        if where.ask is not None:
            fields = {c: self.dice.choice(["Hold", "Fail"]) for c in ("onReject", "onTimeout")}
            asked = where.ask.to_api() | fields
            times = {"askedAt": "2026-03-01T02:00:00Z", "deadline": "2026-03-01T02:30:00Z"}
            self.asked.append({**asked, "id": "1", "state": "Waiting", **times})
        elif where.waiting is not None:
            answer = next(g for g in self.asked if g["name"] == where.waiting.name)
            answer["state"] = self.dice.choice(["Approved", "Approved", "Rejected", "TimedOut"])
        for each in where.work:
            after = {
                "NotStarted": ["InProgress"],
                "Retry": ["InProgress"],
                "InProgress": ["InProgress", "Complete", "Complete", "Complete", "Failed"],
            }
            state = each.status.state
            self._set(each, self.dice.choice(after[state]))
        if where.stuck and self.dice.random() < 0.2:
            self.cancelling = True

    def _people(self) -> None:
        for each in self.tasks:
            if each.status.state == "Failed" and self.dice.random() < 0.2:
                self._set(each, self.dice.choice(["Retry", "Skipped"]))
        self.cancelling = self.cancelling or self.dice.random() < 0.01

    def _set(self, each: DRTask, state: str) -> None:
        asked = bool(each.status.journal) or state == "InProgress"
        spec = each.spec
        fields = {"technology": spec.technology, "asked": asked}
        new = task(spec.wave_ordinal, spec.recovery_phase, state, name=each.metadata.name, **fields)
        self.tasks[self.tasks.index(each)] = new


@pytest.mark.parametrize("operation", sorted(COURSES))
@pytest.mark.parametrize("seed", range(150))
def test_a_run_always_ends_cleans_its_drill_up_and_calls_no_failure_success(
    seed: int, operation: str
) -> None:
    course = Run(seed, operation)
    course.go()
    by_place = {(t.spec.wave, t.spec.recovery_phase): t.status for t in course.tasks}
    for wave in ("w1", "w2", "w3") if operation == "Test" else ():
        if by_place[wave, "Instantiate"].journal:
            cleaned = by_place[wave, "Cleanup"].state
            assert cleaned in PASSED or (course.cancelling and cleaned == "Failed")
    execution = DRExecution.model_validate(
        {
            "spec": {"planRef": {"name": "shop"}, "operation": operation},
            "status": {"cancelling": course.cancelling, "gates": course.asked},
        }
    )
    undone = [
        t
        for t in course.tasks
        if t.spec.recovery_phase != "Cleanup" and t.status.state not in PASSED
    ]
    outcome = verdict(execution, course.tasks)
    assert (outcome.state == "Succeeded") == (not undone and not course.cancelling)

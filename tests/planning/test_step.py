from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from annotated_types import MaxLen

from leeward.api.task import DRTaskSpec, DRTaskStatus, Intent, TaskResourceStatus
from leeward.planning.tasks.barred import barred_for, noted
from leeward.planning.tasks.step import (
    JOURNAL,
    StepDecision,
    StepInput,
    StepRules,
    decide,
    nothing_left_to_ask,
)
from leeward.planning.tasks.step_ahead import decide_ahead
from leeward.planning.tasks.step_sent import with_intent
from leeward.planning.times import render_time
from leeward_adapters.base import ActionTraits, Observed, Seen, State

NOW = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
RULES = StepRules(settle=timedelta(minutes=2), poll=timedelta(seconds=15))
ACTIONS = {
    "restore": ActionTraits(repeatable=True, restores=True),
    "prepare": ActionTraits(repeatable=True),
    "launch": ActionTraits(repeatable=False),
}
LAUNCH = Seen(State.NEEDED, action="launch")
RUNNING = Seen(State.RUNNING, message="job drsjob-1: launching")
DONE = Seen(State.DONE, message="launched", reference="i-1")
FAILED = Seen(State.FAILED, reason="LaunchFailed", message="no room")


def spec(ids: Sequence[str], **fields: Any) -> DRTaskSpec:
    body = {
        "executionRef": {"name": "shop-1", "uid": "u-1"},
        "plan": "shop",
        "operation": "Failover",
        "mode": "Unplanned",
        "wave": "data",
        "waveOrdinal": 1,
        "recoveryPhase": "Instantiate",
        "technology": "drs",
        "account": "prod",
        "accountId": "111111111111",
        "region": "us-east-2",
        "sourceRegion": "us-east-1",
        "resources": [{"id": i, "arn": f"arn:aws:drs:::{i}"} for i in ids],
    }
    return DRTaskSpec.model_validate(body | fields)


def sent(
    outcome: str,
    *ids: str,
    ago: timedelta = timedelta(minutes=1),
    action: str = "launch",
    **fields: Any,
) -> Intent:
    body = {
        "id": f"{action}-{outcome}-{ago}",
        "action": action,
        "resources": ids or ("a",),
        "epoch": 1,
        "time": render_time(NOW - ago),
        "outcome": outcome,
    }
    return Intent.model_validate(body | fields)


def ask(
    seen: Mapping[str, Seen],
    *journal: Intent,
    was: Mapping[str, TaskResourceStatus] | None = None,
    began: timedelta = timedelta(minutes=5),
    observed: Mapping[str, Any] | None = None,
    task: Mapping[str, Any] | None = None,
    attempt: int = 1,
    **fields: Any,
) -> StepDecision:
    status = DRTaskStatus(
        state="InProgress",
        attempt=attempt,
        start_time=render_time(NOW - began),
        journal=list(journal),
        resources=list((was or {}).values()),
    )
    base: dict[str, Any] = {
        "spec": spec(list(seen), **(task or {})),
        "status": status,
        "observed": Observed(seen, **(observed or {})),
        "actions": ACTIONS,
        "epoch": 1,
        "leader_since": NOW - timedelta(hours=1),
        "now": NOW,
        "rules": RULES,
    }
    return decide(StepInput(**(base | fields)))


def states(decision: StepDecision) -> dict[str, str]:
    return {r.id: r.state for r in decision.resources}


def test_what_is_missing_is_asked_for_at_once_in_one_batch() -> None:
    decision = ask({"a": LAUNCH, "b": LAUNCH, "c": RUNNING})
    assert decision.batch is not None
    assert (decision.batch.action, decision.batch.resources) == ("launch", ("a", "b"))
    assert decision.state == "InProgress"
    assert decision.delay == timedelta(0)


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        (RUNNING, "InProgress"),
        (DONE, "Complete"),
        (FAILED, "Failed"),
        (Seen(State.REFUSED, reason="NotADrill", message="no"), "Failed"),
    ],
)
def test_a_task_is_as_far_as_aws_shows_its_only_resource(seen: Seen, state: str) -> None:
    decision = ask({"a": seen})
    assert (decision.state, decision.batch) == (state, None)
    assert states(decision) == {"a": state}
    assert decision.resources[0].message == seen.message


def test_one_failed_resource_fails_the_task_only_when_all_have_ended() -> None:
    assert ask({"a": FAILED, "b": RUNNING}).state == "InProgress"
    ended = ask({"a": FAILED, "b": DONE})
    assert ended.state == "Failed"
    assert ended.message.startswith("1 of 2 failed: a: LaunchFailed")


def test_a_resource_that_aws_does_not_answer_for_is_not_done() -> None:
    decision = ask({"a": DONE, "b": RUNNING}, spec=spec(["a", "b", "c"]))
    assert states(decision)["c"] == "InProgress"
    assert decision.state == "InProgress"


def test_a_resource_that_has_ended_stays_as_it_was_recorded() -> None:
    was = {
        i: TaskResourceStatus.model_validate({"id": i, "state": s})
        for i, s in {"a": "Complete", "b": "Failed", "c": "Skipped"}.items()
    }
    decision = ask({"a": LAUNCH, "b": LAUNCH, "c": LAUNCH}, was=was)
    assert decision.resources == tuple(was.values())
    assert decision.batch is None
    assert decision.state == "Failed"


def test_a_task_whose_resources_were_all_left_out_is_skipped_not_complete() -> None:
    was = {"a": TaskResourceStatus(id="a", state="Skipped")}
    assert ask({"a": LAUNCH}, was=was).state == "Skipped"


def test_a_test_never_switches_production_names() -> None:
    decision = ask({"a": LAUNCH}, task={"operation": "Test", "technology": "route53"})
    assert (decision.state, decision.batch) == ("Skipped", None)
    assert states(decision) == {"a": "Skipped"}


def test_an_action_that_the_adapter_does_not_have_fails_instead_of_waiting_for_ever() -> None:
    decision = ask({"a": Seen(State.NEEDED, action="polish")})
    assert decision.resources[0].reason == "UnknownAction"
    assert decision.state == "Failed"


# --- how much at once --------------------------------------------------------------------------


def test_a_batch_is_no_larger_than_the_adapter_takes_and_aws_has_room_for() -> None:
    seen = {f"s{n:03}": LAUNCH for n in range(100)}
    small: dict[str, Any] = {"actions": {"launch": ActionTraits(repeatable=False, batch=60)}}
    assert len(_batch(ask(seen, **small))) == 60
    assert len(_batch(ask(seen, observed={"capacity": 7}, **small))) == 7


def test_room_limits_only_what_must_not_be_sent_twice() -> None:
    seen = {"a": Seen(State.NEEDED, action="prepare")}
    assert _batch(ask(seen, observed={"capacity": 0})) == ("a",)


def test_without_room_the_task_waits_and_says_for_what() -> None:
    decision = ask({"a": LAUNCH}, observed={"capacity": 0, "capacity_reason": "20 of 20 jobs"})
    assert decision.batch is None
    assert decision.delay == RULES.poll
    assert "20 of 20 jobs" in decision.message


def test_putting_back_comes_before_anything_new() -> None:
    decision = ask({"a": LAUNCH, "b": Seen(State.NEEDED, action="restore")})
    assert decision.batch is not None
    assert decision.batch.action == "restore"


def _batch(decision: StepDecision) -> tuple[str, ...]:
    assert decision.batch is not None
    return decision.batch.resources


# --- what was asked for before -----------------------------------------------------------------


@pytest.mark.parametrize("ago", [timedelta(seconds=1), timedelta(minutes=5), timedelta(hours=1)])
def test_what_aws_accepted_is_never_asked_for_again_if_repeating_it_does_harm(
    ago: timedelta,
) -> None:
    decision = ask({"a": LAUNCH}, sent("Sent", ago=ago))
    assert decision.batch is None
    assert decision.state == "InProgress"


def test_a_repeatable_call_is_sent_again_once_aws_had_time_to_show_it() -> None:
    needed = {"a": Seen(State.NEEDED, action="prepare")}
    early = sent("Sent", action="prepare", ago=timedelta(seconds=119))
    late = sent("Sent", action="prepare", ago=timedelta(seconds=120))
    assert ask(needed, early).delay == timedelta(seconds=1)
    assert _batch(ask(needed, late)) == ("a",)


@pytest.mark.parametrize("outcome", ["Pending", "InDoubt"])
def test_a_lost_answer_is_waited_for_and_then_proved_absent(outcome: str) -> None:
    early = ask({"a": LAUNCH}, sent(outcome, ago=timedelta(seconds=119)))
    assert (early.batch, early.absent) == (None, frozenset())
    lost = sent(outcome, ago=timedelta(seconds=120))
    late = ask({"a": LAUNCH}, lost)
    assert _batch(late) == ("a",)
    assert late.absent == {lost.id}


def test_a_lost_answer_that_turns_up_is_followed_and_not_repeated() -> None:
    decision = ask({"a": RUNNING}, sent("InDoubt", ago=timedelta(hours=1)))
    assert (decision.batch, decision.absent) == (None, frozenset())


def test_a_batch_of_which_a_part_turned_up_is_not_called_absent() -> None:
    decision = ask({"a": LAUNCH, "b": RUNNING}, sent("InDoubt", "a", "b", ago=timedelta(hours=1)))
    assert decision.absent == frozenset()
    assert _batch(decision) == ("a",)


@pytest.mark.parametrize("written", [timedelta(hours=1), timedelta(hours=-3)])
def test_what_another_leader_sent_is_waited_for_from_the_take_over_whatever_its_clock(
    written: timedelta,
) -> None:
    pending = sent("Pending", ago=written)
    since: dict[str, Any] = {"epoch": 2, "leader_since": NOW - timedelta(seconds=119)}
    assert ask({"a": LAUNCH}, pending, **since).delay == timedelta(seconds=1)
    since["leader_since"] = NOW - timedelta(seconds=120)
    assert _batch(ask({"a": LAUNCH}, pending, **since)) == ("a",)


@pytest.mark.parametrize("outcome", ["Pending", "InDoubt", "Sent"])
def test_a_retry_right_after_a_time_out_waits_for_what_may_still_turn_up(outcome: str) -> None:
    early = sent(outcome, ago=timedelta(seconds=90))
    assert ask({"a": LAUNCH}, early, attempt=2).batch is None
    late = sent(outcome, ago=timedelta(seconds=120))
    assert _batch(ask({"a": LAUNCH}, late, attempt=2)) == ("a",)


def test_nothing_else_is_done_to_a_resource_while_a_launch_is_in_doubt() -> None:
    needed = {"a": Seen(State.NEEDED, action="restore")}
    assert ask(needed, sent("InDoubt", ago=timedelta(seconds=90))).batch is None
    assert _batch(ask(needed, sent("Sent", ago=timedelta(seconds=90)))) == ("a",)


# --- refusals ----------------------------------------------------------------------------------


def refused(
    error_class: str, *ids: str, ago: timedelta = timedelta(minutes=1), action: str = "launch"
) -> Intent:
    why = {"errorClass": error_class, "code": "SomeCode", "message": "some words"}
    return sent("Refused", *ids, ago=ago, action=action, **why)


def test_a_passing_refusal_is_repeated_after_a_pause_that_doubles() -> None:
    one = refused("Transient", ago=timedelta(seconds=1))
    assert ask({"a": LAUNCH}, one).delay == timedelta(seconds=4)
    assert ask({"a": LAUNCH}, one, one, one).delay == RULES.poll  # 19 s are left
    assert _batch(ask({"a": LAUNCH}, refused("Transient", ago=timedelta(seconds=5)))) == ("a",)


@pytest.mark.parametrize(("error_class", "times"), [("Transient", 5), ("Denied", 1), ("Final", 1)])
def test_a_refusal_is_final_after_its_tries_and_says_where_and_why(
    error_class: str, times: int
) -> None:
    tries = [refused(error_class, ago=timedelta(hours=1))] * times
    assert ask({"a": LAUNCH}, *tries[1:]).state == "InProgress"
    resource = ask({"a": LAUNCH}, *tries).resources[0]
    assert (resource.state, resource.reason) == ("Failed", "SomeCode")
    for part in ("launch", "111111111111", "us-east-2", "SomeCode", "some words", "retry"):
        assert part in resource.message


def lost(ago: timedelta, *ids: str, action: str = "prepare", **fields: Any) -> Intent:
    why = {"errorClass": "Transient", "code": "ReadTimeoutError", "message": "no answer in time"}
    return sent("Refused", *ids, ago=ago, action=action, answerLost=True, **why, **fields)


def test_what_may_be_sent_twice_is_sent_again_after_a_pause_when_its_answer_was_lost() -> None:
    needed = {"a": Seen(State.NEEDED, action="prepare")}
    early = ask(needed, lost(timedelta(seconds=1)))
    assert early.delay == timedelta(seconds=4)
    assert early.resources[0].message == (
        "no answer to prepare (ReadTimeoutError): asking again in 4s"
    )
    assert _batch(ask(needed, lost(timedelta(seconds=5)))) == ("a",)
    given_up = lost(timedelta(minutes=1), answerTime=render_time(NOW - timedelta(seconds=1)))
    assert ask(needed, given_up).delay == timedelta(seconds=4)


@pytest.mark.parametrize("overtaken", [False, True])
def test_a_cancelled_task_waits_until_a_call_without_an_answer_cannot_arrive_any_more(
    overtaken: bool,
) -> None:
    """Its answer was given up long after the batch began, and may have been asked for again."""
    answered = {"answerTime": render_time(NOW - timedelta(seconds=119))}
    journal = [lost(timedelta(minutes=9), **answered)]
    if overtaken:
        journal.append(sent("Sent", action="prepare", reference="1 prepared"))
    early = ask({"a": LAUNCH}, *journal, stopping=True, began=timedelta(minutes=10))
    assert (early.state, early.batch, early.delay) == ("InProgress", None, timedelta(seconds=1))
    answered = {"answerTime": render_time(NOW - timedelta(seconds=120))}
    journal[0] = lost(timedelta(minutes=9), **answered)
    assert ask({"a": LAUNCH}, *journal, stopping=True).state == "Abandoned"


def test_a_cancelled_task_does_not_wait_longer_than_its_time() -> None:
    early = lost(timedelta(seconds=1))
    late = ask({"a": LAUNCH}, early, stopping=True, began=timedelta(hours=3))
    assert late.state == "Failed"


def held_back(
    code: str, ago: timedelta = timedelta(hours=1), *ids: str, action: str = "launch", **fields: Any
) -> Intent:
    why = {"errorClass": "Transient", "code": code, "message": "not sent to drs in us-east-2"}
    return sent("Refused", *ids, ago=ago, action=action, **why, **fields)


@pytest.mark.parametrize("code", ["CircuitOpen", "RateLimited"])
def test_what_was_not_sent_is_no_refusal_however_often(code: str) -> None:
    many = [held_back(code) for _ in range(100)]
    assert _batch(ask({"a": LAUNCH}, *many)) == ("a",)
    pair = [held_back(code, timedelta(hours=1), "a", "b") for _ in range(100)]
    assert _batch(ask({"a": LAUNCH, "b": LAUNCH}, *pair)) == ("a", "b")


def test_what_was_not_sent_waits_for_the_outage_and_says_that_aws_did_not_refuse_it() -> None:
    decision = ask({"a": LAUNCH}, held_back("CircuitOpen", timedelta(seconds=30)))
    assert decision.batch is None
    assert decision.delay == timedelta(seconds=10)
    assert decision.resources[0].message == "launch not sent yet (CircuitOpen): again in 10s"
    assert _batch(ask({"a": LAUNCH}, held_back("CircuitOpen", timedelta(seconds=40)))) == ("a",)


def test_what_is_sent_at_last_takes_the_place_of_what_was_held_back() -> None:
    pair = held_back("CircuitOpen", timedelta(minutes=3), "a", "b")
    other = held_back("CircuitOpen", timedelta(minutes=2), "c")
    refusal = refused("Transient", "a")
    prepared = sent("Refused", "a", action="prepare", code="CircuitOpen")
    before = [pair, other, refusal, prepared]
    now = sent("Pending", "a", ago=timedelta())

    after = with_intent(before, now)

    assert after == [pair.model_copy(update={"resources": ["b"]}), other, refusal, prepared, now]
    assert with_intent(after, sent("Pending", "b"))[0] == other
    for taken in ("Pending", "InDoubt", "Sent", "Absent"):
        kept = sent(taken, "a", code="CircuitOpen")
        assert with_intent([kept], now) == [kept, now]


def test_what_was_sent_in_part_is_no_refusal_of_aws_either() -> None:
    many = [held_back("PartlySent") for _ in range(100)]
    assert _batch(ask({"a": LAUNCH}, *many)) == ("a",)
    decision = ask({"a": LAUNCH}, held_back("PartlySent", timedelta(seconds=30)))
    assert decision.resources[0].message == "launch not all sent yet (PartlySent): again in 10s"


@pytest.mark.parametrize(
    ("action", "answered", "fields", "kept"),
    [
        ("prepare", 119, {}, True),
        ("prepare", 120, {}, False),
        ("prepare", 120, {"epoch": 2}, True),
        ("launch", 120, {}, True),
    ],
)
def test_what_was_sent_in_part_keeps_its_place_until_nothing_of_it_can_arrive(
    action: str, answered: int, fields: dict[str, Any], kept: bool
) -> None:
    answer = {"answerTime": render_time(NOW - timedelta(seconds=answered))}
    pair = held_back("PartlySent", timedelta(hours=1), "a", "b", action=action, **answer)
    took_over = NOW - timedelta(seconds=60)
    seen = {"a": Seen(State.NEEDED, action=action), "b": RUNNING}
    decision = ask(seen, pair, leader_since=took_over, **fields)
    assert _batch(decision) == ("a",)

    now = sent("Pending", "a", action=action, ago=timedelta())
    after = with_intent([pair], now, decision.settled)

    assert after == [pair if kept else pair.model_copy(update={"resources": ["b"]}), now]


def test_a_cancelled_task_waits_until_nothing_of_what_was_sent_in_part_can_arrive() -> None:
    def ended(answered: int) -> StepDecision:
        answer = {"answerTime": render_time(NOW - timedelta(seconds=answered))}
        part = held_back("PartlySent", timedelta(minutes=4), action="prepare", **answer)
        return ask({"a": LAUNCH}, part, stopping=True)

    assert (ended(119).state, ended(119).delay) == ("InProgress", timedelta(seconds=1))
    assert ended(120).state == "Abandoned"


@pytest.mark.parametrize(
    ("code", "traits", "most"),
    [
        ("CircuitOpen", {"repeatable": False}, 10),
        ("PartlySent", {"repeatable": True}, 30),
        ("PartlySent", {"repeatable": True, "restores": True}, 30),
    ],
)
def test_a_long_outage_does_not_fill_the_journal(
    code: str, traits: dict[str, bool], most: int
) -> None:
    ids = [f"s{n}" for n in range(20)]
    actions = {"reverse": ActionTraits(batch=2, **traits)}
    seen = Observed(dict.fromkeys(ids, Seen(State.NEEDED, action="reverse")))
    status = DRTaskStatus(state="InProgress", attempt=1, start_time=render_time(NOW))
    now, sizes = NOW, set()

    def decided() -> StepDecision:
        return decide(
            StepInput(spec(ids, timeout="24h"), status, seen, actions, 1, NOW, now, RULES)
        )

    while now < NOW + timedelta(hours=3):
        decision = decided()
        assert {r.state for r in decision.resources} <= {"InProgress", "NotStarted"}
        if decision.batch is None:
            now += decision.delay
            continue
        asked = sent("Refused", *decision.batch.resources, action="reverse", code=code)
        asked = asked.model_copy(update={"time": render_time(now), "id": str(now)})
        journal = with_intent(status.journal, asked, decision.settled, decision.forgotten)
        status = status.model_copy(update={"journal": journal})
        now += timedelta(seconds=1)
        sizes.add(len(status.journal))

    assert max(sizes) == most
    assert {r for i in status.journal for r in i.resources} == set(ids)
    now += timedelta(minutes=5)  # AWS is back
    assert len(_batch(decided())) == 2


def test_awss_own_refusals_count_on_beside_what_was_not_sent() -> None:
    hour = timedelta(hours=1)
    four = [refused("Transient", ago=hour)] * 4
    assert _batch(ask({"a": LAUNCH}, *four, held_back("CircuitOpen"))) == ("a",)
    mixed = [*four, held_back("CircuitOpen"), refused("Transient", ago=hour)]
    resource = ask({"a": LAUNCH}, *mixed).resources[0]
    assert (resource.state, resource.reason) == ("Failed", "SomeCode")
    assert "AWS refused launch 5 times" in resource.message


def test_a_refusal_of_an_earlier_attempt_does_not_count() -> None:
    assert _batch(ask({"a": LAUNCH}, refused("Final"), attempt=2)) == ("a",)


def test_a_batch_refused_for_one_resource_is_asked_for_again_in_halves() -> None:
    seen = dict.fromkeys("abcdef", LAUNCH)
    assert _batch(ask(seen, refused("Final", *seen))) == ("a", "b", "c")


@pytest.mark.parametrize(
    ("error_class", "action", "size"),
    [
        # A full zone or type, a role that may not touch one of them: at once.
        ("Quota", "prepare", 3),
        ("Denied", "prepare", 3),
        ("Denied", "launch", 3),
        ("Final", "launch", 3),
        # The resource is busy: the same again first. So with limits of jobs and of rates.
        ("Conflict", "prepare", 6),
        ("Transient", "prepare", 6),
        ("Quota", "launch", 6),
    ],
)
def test_a_refusal_of_some_of_a_batch_halves_it_without_a_pause(
    error_class: str, action: str, size: int
) -> None:
    seen = dict.fromkeys("abcdef", Seen(State.NEEDED, action=action))
    now = timedelta(0) if size == 3 else timedelta(minutes=1)
    one = refused(error_class, *seen, ago=now, action=action)
    assert len(_batch(ask(seen, one))) == size


@pytest.mark.parametrize(
    ("error_class", "action"), [("Transient", "launch"), ("Transient", "prepare"),
                                ("Quota", "launch")]
)  # fmt: skip
def test_a_refusal_that_no_smaller_batch_would_escape_fails_the_batch_whole(
    error_class: str, action: str
) -> None:
    tries = [refused(error_class, "a", "b", ago=timedelta(hours=1), action=action)] * 5
    seen = dict.fromkeys("ab", Seen(State.NEEDED, action=action))
    assert states(ask(seen, *tries)) == {"a": "Failed", "b": "Failed"}


def test_a_resource_without_room_is_tried_again_alone_with_pauses() -> None:
    seen = {"a": Seen(State.NEEDED, action="prepare"), "b": DONE}
    hour = timedelta(hours=1)
    both = refused("Quota", "a", "b", ago=hour, action="prepare")
    alone = [refused("Quota", "a", ago=hour, action="prepare")] * 5
    assert _batch(ask(seen, both, *alone[1:])) == ("a",)
    just = refused("Quota", "a", ago=timedelta(seconds=1), action="prepare")
    assert ask(seen, both, just).delay == timedelta(seconds=4)
    assert states(ask(seen, both, *alone)) == {"a": "Failed", "b": "Complete"}


def _settled(
    bad: set[str], size: int, error_class: str = "Final", action: str = "launch"
) -> tuple[dict[str, str], int]:
    """States of a task's resources when AWS refuses every batch with a bad one, and the calls."""
    names = [f"s{n:03}" for n in range(size)]
    missing = Seen(State.NEEDED, action=action)
    journal: list[Intent] = []
    started: set[str] = set()
    while True:
        seen = {n: DONE if n in started else missing for n in names}
        decision = ask(seen, *journal)
        if decision.batch is None:
            return states(decision), len(journal)
        batch = decision.batch.resources
        if bad.isdisjoint(batch):
            started |= set(batch)
            journal.append(sent("Sent", *batch, action=action))
        else:
            journal.append(refused(error_class, *batch, ago=timedelta(hours=1), action=action))
        assert len(journal) <= JOURNAL


@pytest.mark.parametrize(
    ("error_class", "action", "most"),
    [("Final", "launch", 20), ("Denied", "launch", 20), ("Quota", "prepare", 24)],
)
def test_one_bad_server_of_a_hundred_does_not_keep_the_others_down(
    error_class: str, action: str, most: int
) -> None:
    ended, calls = _settled({"s042"}, 100, error_class, action)
    assert [n for n, state in ended.items() if state != "Complete"] == ["s042"]
    assert calls <= most


@pytest.mark.parametrize(
    ("error_class", "action", "most"),
    [("Final", "launch", 70), ("Quota", "prepare", 70), ("Denied", "prepare", 20)],
)
def test_a_request_that_is_always_wrong_ends_after_a_bounded_number_of_calls(
    error_class: str, action: str, most: int
) -> None:
    ended, calls = _settled({f"s{n:03}" for n in range(100)}, 100, error_class, action)
    assert set(ended.values()) == {"Failed"}
    assert calls <= most


# --- pause, cancel, time-out, journal ----------------------------------------------------------


def test_a_cancelled_run_does_not_wait_for_replication() -> None:
    replicate = {"recoveryPhase": "Replicate", "operation": "Reprotect"}
    assert ask({"a": RUNNING}, task=replicate).state == "InProgress"
    assert ask({"a": RUNNING}, task=replicate, stopping=True).state == "Abandoned"


@pytest.mark.parametrize("flag", ["holding", "stopping"])
def test_nothing_new_is_asked_for_while_paused_or_cancelled_but_putting_back(flag: str) -> None:
    set_: dict[str, Any] = {flag: True}
    assert ask({"a": LAUNCH, "b": RUNNING}, **set_).batch is None
    back = ask({"a": LAUNCH, "b": Seen(State.NEEDED, action="restore")}, **set_)
    assert _batch(back) == ("b",)


def test_a_paused_task_goes_on_by_itself_when_aws_has_done_its_work() -> None:
    assert ask({"a": DONE}, holding=True).state == "Complete"


def test_a_cancelled_task_follows_what_runs_and_then_is_abandoned() -> None:
    assert ask({"a": RUNNING, "b": LAUNCH}, stopping=True).state == "InProgress"
    assert ask({"a": DONE, "b": LAUNCH}, stopping=True).state == "Abandoned"


def test_a_cancelled_task_waits_for_a_lost_answer() -> None:
    early = sent("InDoubt", ago=timedelta(seconds=90))
    assert ask({"a": LAUNCH}, early, stopping=True).state == "InProgress"
    late = ask({"a": LAUNCH}, sent("InDoubt", ago=timedelta(hours=1)), stopping=True)
    assert (late.state, late.batch) == ("Abandoned", None)


def test_a_cancelled_task_waits_for_aws_only_where_it_asked_for_something() -> None:
    silent: dict[str, Any] = {"spec": spec(["a"]), "stopping": True}
    assert ask({}, **silent).state == "Abandoned"
    assert ask({}, sent("Sent"), **silent).state == "InProgress"


def test_a_task_past_its_time_fails_what_is_open_and_asks_for_nothing() -> None:
    decision = ask({"a": LAUNCH, "b": RUNNING, "c": DONE}, began=timedelta(hours=3))
    assert states(decision) == {"a": "Failed", "b": "Failed", "c": "Complete"}
    assert decision.resources[1].reason == "TimedOut"
    assert "2h" in decision.resources[1].message
    assert decision.batch is None


def test_a_pause_does_not_use_up_the_time_of_a_task() -> None:
    late = timedelta(hours=3)
    assert ask({"a": RUNNING}, began=late, holding=True).state == "InProgress"
    assert ask({"a": RUNNING}, began=late, held=timedelta(hours=2)).state == "InProgress"
    assert ask({"a": RUNNING}, began=late, held=timedelta(minutes=30)).state == "Failed"


def test_a_full_journal_ends_the_task_but_leaves_room_to_put_things_back() -> None:
    full = [sent("Sent", "z", action="prepare")] * (JOURNAL - 20)
    decision = ask({"a": LAUNCH}, *full)
    assert decision.resources[0].reason == "JournalFull"
    assert _batch(ask({"a": Seen(State.NEEDED, action="restore")}, *full)) == ("a",)
    assert ask({"a": LAUNCH}, *full[1:]).batch is not None


def test_refusals_of_earlier_attempts_make_way_in_a_full_journal() -> None:
    def kept(action: str, **fields: Any) -> list[Intent]:
        why = {"errorClass": "Quota", "code": "SomeCode"} | fields
        refusals = [sent("Refused", "a", action=action, **why) for _ in range(JOURNAL - 20)]
        return [i.model_copy(update={"id": str(n)}) for n, i in enumerate(refusals)]

    missing = {"a": Seen(State.NEEDED, action="prepare")}
    decision = ask(missing, *kept("prepare"), attempt=2)
    assert _batch(decision) == ("a",)
    now = sent("Pending", "a", action="prepare", attempt=2)
    full = kept("prepare")
    assert with_intent(full, now, decision.settled, decision.forgotten) == [now]

    # Where there is room, all stays on record; and so does what may have to be found in AWS.
    assert ask(missing, *full[1:], attempt=2).forgotten == frozenset()
    for stays in (kept("launch"), kept("prepare", answerLost=True)):
        over = ask(missing, *stays, attempt=2, began=timedelta(0))
        assert over.forgotten == frozenset()
        assert over.resources[0].reason == "JournalFull"


def test_the_journal_is_as_long_as_the_api_allows() -> None:
    limits = [
        limit.max_length
        for limit in DRTaskStatus.model_fields["journal"].metadata
        if isinstance(limit, MaxLen)
    ]
    assert limits == [JOURNAL]


@pytest.mark.parametrize(
    ("outcome", "action", "states", "waits"),
    [
        ("Sent", "launch", {"a": "InProgress"}, True),
        ("Sent", "launch", {"a": "InProgress", "b": "Complete"}, True),
        ("Sent", "launch", {"a": "InProgress", "b": "InProgress"}, False),
        ("Sent", "prepare", {"a": "InProgress"}, False),
        ("Refused", "launch", {"a": "InProgress"}, False),
        ("InDoubt", "launch", {"a": "InProgress"}, False),
    ],
)
def test_no_news_is_looked_for_right_after_aws_took_all_that_was_open(
    outcome: str, action: str, states: Mapping[str, str], waits: bool
) -> None:
    actions = {**ACTIONS, "launch": ActionTraits(repeatable=False, slow=True)}
    resources = [{"id": i, "state": state} for i, state in states.items()]
    body = {"resources": resources, "journal": [sent(outcome, "a", action=action).to_api()]}
    assert nothing_left_to_ask(DRTaskStatus.model_validate(body), actions) == waits


TAKEN_AWAY = "TargetAccount prod is no longer for namespace acme"


def test_nothing_new_is_asked_and_the_resources_say_why() -> None:
    decision = ask({"a": LAUNCH, "b": RUNNING}, sent("Sent", "b"), barred=TAKEN_AWAY)
    assert decision.batch is None
    assert decision.barred
    assert (decision.state, TAKEN_AWAY in decision.message) == ("InProgress", True)
    assert [(r.id, r.reason) for r in decision.resources] == [("a", "AccountRefused"), ("b", "")]
    assert decision.resources[0].message == TAKEN_AWAY
    assert decision.delay > timedelta(0)


def test_what_aws_does_already_is_followed_to_its_end() -> None:
    running = ask({"a": RUNNING}, sent("Sent"), barred=TAKEN_AWAY)
    assert not running.barred
    assert TAKEN_AWAY not in running.message
    ended = ask({"a": DONE}, sent("Sent"), barred=TAKEN_AWAY)
    assert (ended.state, ended.barred) == ("Complete", False)


def test_it_goes_on_when_the_account_is_given_back() -> None:
    held = ask({"a": LAUNCH}, barred=TAKEN_AWAY)
    after = ask({"a": LAUNCH}, was={r.id: r for r in held.resources})
    assert after.batch is not None
    assert (states(after), after.resources[0].reason) == ({"a": "InProgress"}, "")


def test_nothing_is_put_back_either_and_a_cancelled_run_waits_for_that_alone() -> None:
    restore = Seen(State.NEEDED, action="restore")
    waits = ask({"a": restore}, barred=TAKEN_AWAY, stopping=True)
    assert (waits.batch, waits.state) == (None, "InProgress")
    ends = ask({"a": LAUNCH}, barred=TAKEN_AWAY, stopping=True)
    assert ends.state == "Abandoned"


def test_nothing_is_done_ahead_of_its_turn() -> None:
    def ahead(barred: str) -> bool:
        given = StepInput(
            spec=spec(["a"]), status=DRTaskStatus(), observed=Observed({"a": LAUNCH}),
            actions={"launch": ActionTraits(repeatable=True, ahead=True)}, epoch=1,
            leader_since=NOW, now=NOW, rules=RULES, barred=barred,
        )  # fmt: skip
        return decide_ahead(given).batch is not None

    assert (ahead(""), ahead(TAKEN_AWAY)) == (True, False)


def test_the_time_that_it_is_barred_is_not_the_tasks() -> None:
    minutes = timedelta(minutes=1)
    status = DRTaskStatus()
    status = status.model_copy(update=dict(noted(status, NOW, barred=True)))
    assert status.barred_since == render_time(NOW)
    again = noted(status, NOW + 5 * minutes, barred=True)
    assert again["barred_since"] == render_time(NOW)
    assert barred_for(status, NOW + 9 * minutes) == 9 * minutes
    update = noted(status, NOW + 9 * minutes, barred=False)
    status = status.model_copy(update=dict(update))
    assert (status.barred_since, status.barred_seconds) == (None, 540)
    assert barred_for(status, NOW + 20 * minutes) == 9 * minutes
    assert noted(status, NOW, barred=False) == {}
    late = {"began": timedelta(hours=3), "held": timedelta(hours=2)}
    assert ask({"a": LAUNCH}, **late).state == "InProgress"
    assert ask({"a": LAUNCH}, began=timedelta(hours=3)).state == "Failed"

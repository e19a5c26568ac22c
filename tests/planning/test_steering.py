from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leeward.api.execution import CommandRecord
from leeward.api.task import DRTask, DRTaskStatus, Intent, PreState
from leeward.planning.runs.begun import activated
from leeward.planning.runs.commands import Command
from leeward.planning.runs.earlier import left_out, without
from leeward.planning.runs.steering import (
    Ground,
    after_relaunch,
    paused_for,
    steer,
)
from leeward.planning.times import render_time
from leeward_adapters.base import PhaseTraits

NOW = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)


def status(state: str = "Failed", **states: str) -> DRTaskStatus:
    """A task's status; a state may be followed by a reason, as in `Skipped/Undone`."""
    resources = []
    for rid, words in states.items():
        known, _, reason = words.partition("/")
        why = reason or ("NoRoom" if known == "Failed" else "")
        resources.append({"id": rid, "state": known, "reason": why, "message": "said"})
    body: dict[str, Any] = {
        "state": state, "startTime": "2026-03-01T01:00:00Z", "resources": resources
    }  # fmt: skip
    return DRTaskStatus.model_validate(body)


def command(verb: str, *ids: str) -> Command:
    return Command(f"leeward.dev/{verb}", "ann", verb, "", "ann", "", ids)


def states(after: DRTaskStatus) -> dict[str, str]:
    return {r.id: r.state for r in after.resources}


def requests(after: DRTaskStatus) -> dict[str, str | None]:
    return {r.id: r.request for r in after.resources}


REVERSIBLE = PhaseTraits(inert=False)
LAUNCHES = PhaseTraits(inert=True, irreversible=True, instead="it may be the only", relaunch=True)
FENCE = {"phase": "Fence", "technology": "ec2", "region": "us-east-1"}
INTENT = Intent(
    id="1", action="start", resources=["a"], epoch=1, time="2026-03-01T01:00:00Z", outcome="Sent"
)
VERBS = ("retry", "skip", "mark-done", "undo", "relaunch", "accept-data-loss")


def given(before: DRTaskStatus, said: Command, **ground: Any) -> tuple[DRTaskStatus, str]:
    """What a command makes of an Activate task that can be undone, or of `task`."""
    ids = [r.id for r in before.resources] or ["a", "b"]
    spec = dict(ground.pop("spec", {}))
    resources = [{"id": i, "arn": f"arn:{i}"} for i in ids]
    one = task(spec.pop("phase", "Activate"), before, resources=resources, **spec)
    return steer(one, said, Ground(**{"now": NOW, "traits": REVERSIBLE, **ground}))


def recorded(before: DRTaskStatus, *ids: str) -> DRTaskStatus:
    """The status with pre-states."""
    kept = [PreState(id=i, value='{"state": "stopped"}') for i in ids]
    return before.model_copy(update={"pre_states": kept})


@pytest.mark.parametrize(
    ("verb", "refused"),
    [
        ("retry", {"NotStarted", "InProgress", "PendingApproval", "Retry", "Abandoned"}),
        ("skip", {"InProgress", "Complete", "Skipped", "Retry", "Abandoned"}),
        ("mark-done", {"NotStarted", "Complete", "Skipped", "Retry", "Abandoned"}),
        (
            "accept-data-loss",
            {"NotStarted", "PendingApproval", "Complete", "Skipped", "Retry", "Abandoned"},
        ),
        ("undo", {"NotStarted", "InProgress", "PendingApproval", "Skipped", "Retry", "Abandoned"}),
        (
            "relaunch",
            {"NotStarted", "InProgress", "PendingApproval", "Skipped", "Retry", "Abandoned"},
        ),
    ],
)
def test_a_command_that_the_state_does_not_allow_changes_nothing_and_says_so(
    verb: str, refused: set[str]
) -> None:
    for state in refused:
        before = recorded(status(state, a="InProgress"), "a")
        after, said = given(before, command(verb, "a"), traits=PhaseTraits(False, relaunch=True))
        assert after == before
        assert state in said, state


@pytest.mark.parametrize("ids", [("b",), ("nowhere",), ("",)])
@pytest.mark.parametrize("verb", VERBS)
def test_a_command_for_resources_that_it_does_not_apply_to_changes_nothing(
    verb: str, ids: tuple[str, ...]
) -> None:
    before = recorded(status(a="Failed", b="Skipped"), "a", "b")
    after, said = given(before, command(verb, *ids), traits=PhaseTraits(False, relaunch=True))
    assert after == before
    assert "no resource" in said


@pytest.mark.parametrize("verb", VERBS)
def test_a_command_taken_twice_has_its_effect_once(verb: str) -> None:
    traits = PhaseTraits(inert=False, relaunch=True)
    said = command(verb, "a")
    before = status(a="Failed/FailbackOutdated", b="Complete")
    once, _ = given(recorded(before, "a"), said, traits=traits)
    assert states(once) != {"a": "Failed", "b": "Complete"}
    assert given(once, said, traits=traits)[0] == once


# -- retry


def test_a_retry_begins_a_new_attempt_of_the_failed_resources_alone() -> None:
    after, _ = given(status(a="Failed", b="Complete", c="Skipped"), command("retry"))
    assert states(after) == {"a": "NotStarted", "b": "Complete", "c": "Skipped"}
    assert (after.state, after.attempt, after.start_time) == ("Retry", 2, None)


def test_a_retry_of_one_resource_leaves_the_others_failed() -> None:
    after, _ = given(status(a="Failed", b="Failed"), command("retry", "b"))
    assert states(after) == {"a": "Failed", "b": "NotStarted"}


@pytest.mark.parametrize(
    ("state", "before", "ids", "after"),
    [
        ("Complete", {"a": "Skipped/Undone", "b": "Complete"}, (), {"a": "NotStarted"}),
        ("Skipped", {"a": "Skipped/Undone", "b": "Skipped/LeftOut"}, (), {"a": "NotStarted"}),
        ("Failed", {"a": "Skipped/Undone", "b": "Failed"}, (), {"b": "NotStarted"}),
        ("Failed", {"a": "Skipped/Undone", "b": "Failed"}, ("a",), {"a": "NotStarted"}),
    ],
)
def test_what_was_undone_can_be_wanted_again(
    state: str, before: dict[str, str], ids: tuple[str, ...], after: dict[str, str]
) -> None:
    again, _ = given(status(state, **before), command("retry", *ids))
    was = {i: s.partition("/")[0] for i, s in before.items()}
    assert states(again) == was | after
    assert (again.state, again.attempt) == ("Retry", 2)


# -- skip


@pytest.mark.parametrize(
    ("states_before", "ids", "state"),
    [
        ({"a": "Failed", "b": "Complete"}, (), "Complete"),
        ({"a": "Failed", "b": "Failed"}, (), "Skipped"),
        ({"a": "Failed", "b": "Failed", "c": "Complete"}, ("a",), "Failed"),
        ({"a": "Failed", "b": "Skipped"}, ("a",), "Skipped"),
    ],
)
def test_what_a_skip_makes_of_a_task(
    states_before: dict[str, str], ids: tuple[str, ...], state: str
) -> None:
    after, _ = given(status(**states_before), command("skip", *ids))
    assert after.state == state


def test_a_skipped_resource_keeps_why_it_failed_and_names_who_left_it_out() -> None:
    after, _ = given(status(a="Failed"), command("skip"))
    (resource,) = after.resources
    assert resource.reason == "NoRoom"
    assert "left out by ann" in resource.message
    assert "said" in resource.message


def test_of_fencing_what_is_left_out_is_left_out_whatever_it_failed_with() -> None:
    after, _ = given(status(a="Failed", b="Complete"), command("skip"), spec=FENCE)
    assert [(r.state, r.reason) for r in after.resources] == [
        ("Skipped", "LeftOut"), ("Complete", "")
    ]  # fmt: skip
    assert "said" in after.resources[0].message
    ahead, _ = given(DRTaskStatus(), command("skip", "a"), spec=FENCE)
    assert ahead.resources[0].reason == "LeftOut"


@pytest.mark.parametrize(
    ("state", "before", "ids", "after"),
    [
        ("Skipped", {"a": "Skipped/Undone"}, (), {"a": "LeftOut"}),
        ("Complete", {"a": "Skipped/Undone", "b": "Complete"}, (), {"a": "LeftOut", "b": ""}),
        ("Failed", {"a": "Skipped/Undone", "b": "Failed"}, (), {"a": "LeftOut", "b": "LeftOut"}),
        ("Failed", {"a": "Skipped/Undone", "b": "Failed"}, ("a",), {"a": "LeftOut", "b": "NoRoom"}),
    ],
)
def test_a_run_goes_on_without_fencing_that_was_undone_by_a_person_s_word(
    state: str, before: dict[str, str], ids: tuple[str, ...], after: dict[str, str]
) -> None:
    left, said = given(status(state, **before), command("skip", *ids), spec=FENCE)
    assert {r.id: r.reason for r in left.resources} == after
    if "NoRoom" not in after.values():
        assert left.state in {"Complete", "Skipped"}
    assert "left out" in said
    assert given(left, command("skip", *ids), spec=FENCE)[0] == left


def test_elsewhere_what_was_undone_is_out_already() -> None:
    before = status("Skipped", a="Skipped/Undone")
    after, said = given(before, command("skip"))
    assert after == before
    assert said == "nothing to skip: the task is Skipped"


def test_what_has_not_begun_is_left_out_ahead_of_its_time() -> None:
    part, _ = given(DRTaskStatus(), command("skip", "b"))
    assert (part.state, states(part)) == ("NotStarted", {"a": "NotStarted", "b": "Skipped"})
    assert part.resources[1].reason == "LeftOut"
    assert "ann" in part.resources[1].message
    rest, _ = given(part, command("skip"))
    assert (rest.state, set(states(rest).values())) == ("Skipped", {"Skipped"})
    assert given(rest, command("skip"))[0] == rest


def test_a_clean_up_is_not_left_out_ahead_of_its_time() -> None:
    spec = {"phase": "Cleanup", "operation": "Test"}
    after, said = given(DRTaskStatus(), command("skip"), spec=spec)
    assert after == DRTaskStatus()
    assert "would stay" in said


def test_what_is_under_way_is_neither_left_out_nor_tried_again_and_the_answer_says_when() -> None:
    for verb, done in (("skip", "left out"), ("retry", "tried again")):
        said = given(status("InProgress", a="InProgress", b="Failed"), command(verb))[1]
        assert said.endswith(f"what fails of it can be {done} when all of it has ended")


def test_a_task_that_waits_for_a_person_can_be_left_out() -> None:
    after, _ = given(status("PendingApproval", a="InProgress"), command("skip"))
    assert (after.state, states(after)) == ("Skipped", {"a": "Skipped"})


# -- mark-done


def test_what_a_person_calls_done_is_looked_at_once_more() -> None:
    before = status(a="Failed", b="Failed", c="Complete", d="Skipped")
    after, _ = given(before, command("mark-done", "a"))
    assert states(after) == {"a": "InProgress", "b": "Failed", "c": "Complete", "d": "Skipped"}
    assert requests(after)["a"] == "MarkDone"
    assert after.resources[0].requested_by == "ann"
    assert (after.state, after.attempt) == ("InProgress", 2)


def test_what_is_under_way_can_be_called_done_but_for_what_another_command_works_on() -> None:
    before = status("InProgress", a="InProgress", b="InProgress", c="NotStarted")
    before.resources[1] = before.resources[1].model_copy(update={"request": "Undo"})
    after, _ = given(before, command("mark-done"))
    assert requests(after) == {"a": "MarkDone", "b": "Undo", "c": None}
    assert after.attempt == 1


def test_of_a_cancelled_run_what_will_not_begin_any_more_can_be_called_done_too() -> None:
    before = status("InProgress", a="NotStarted", b="Complete", c="InProgress")
    before.resources[2] = before.resources[2].model_copy(update={"request": "Undo"})
    unchanged, _ = given(before, command("mark-done"))
    assert unchanged == before
    after, _ = given(before, command("mark-done"), cancelling=True)
    assert requests(after) == {"a": "MarkDone", "b": None, "c": "MarkDone"}
    assert given(after, command("mark-done"), cancelling=True)[0] == after


def test_a_task_that_waits_for_a_person_stays_so_until_the_next_pass() -> None:
    before = status("PendingApproval", a="InProgress")
    after, _ = given(before, command("mark-done"), traits=None, spec={"technology": "manual"})
    assert (after.state, requests(after)) == ("PendingApproval", {"a": "MarkDone"})


# -- accept-data-loss


def test_the_loss_of_data_is_accepted_for_what_asks_about_it_alone() -> None:
    before = status(a="Failed/FailbackOutdated", b="Failed/FailoverOutdated", c="Failed/NoRoom")
    after, said = given(before, command("accept-data-loss"))
    assert requests(after) == {"a": "AcceptDataLoss", "b": "AcceptDataLoss", "c": None}
    assert states(after) == {"a": "InProgress", "b": "InProgress", "c": "Failed"}
    assert (after.state, after.attempt, after.start_time) == ("InProgress", 2, render_time(NOW))
    assert said == "the loss of data is accepted for 2 resources"
    one, _ = given(before, command("accept-data-loss", "b"))
    assert requests(one) == {"a": None, "b": "AcceptDataLoss", "c": None}


def test_it_is_accepted_while_others_of_the_task_are_under_way() -> None:
    before = status("InProgress", a="Failed/FailbackOutdated", b="InProgress")
    after, _ = given(before, command("accept-data-loss"))
    assert (after.state, after.attempt, states(after)["b"]) == ("InProgress", 1, "InProgress")
    assert requests(after)["a"] == "AcceptDataLoss"


@pytest.mark.parametrize(
    ("ids", "ground", "why"),
    [
        (("c",), {}, "no resource (c) asks whether data may be lost"),
        ((), {"cancelling": True}, "being cancelled"),
    ],
)
def test_nothing_is_accepted_that_was_not_asked(
    ids: tuple[str, ...], ground: dict[str, Any], why: str
) -> None:
    before = status(a="Failed/FailbackOutdated", c="Failed/NoRoom")
    after, said = given(before, command("accept-data-loss", *ids), **ground)
    assert after == before
    assert why in said


# -- undo


def test_an_undo_takes_what_the_task_changed_and_begins_a_new_attempt() -> None:
    before = recorded(status("Complete", a="Complete", b="Complete", c="Skipped"), "a", "c")
    after, said = given(before, command("undo"))
    assert states(after) == {"a": "InProgress", "b": "Complete", "c": "Skipped"}
    assert requests(after) == {"a": "Undo", "b": None, "c": None}
    assert (after.state, after.attempt) == ("InProgress", 2)
    assert after.start_time == render_time(NOW)
    assert after.message == "undo asked for by ann: 1 resource"
    assert said == "Undo asked for by ann: 1 resource"
    assert after.pre_states == before.pre_states


@pytest.mark.parametrize(
    ("ground", "why"),
    [
        ({"traits": LAUNCHES}, "cannot be undone: it may be the only"),
        ({"traits": PhaseTraits(inert=False, irreversible=True)}, "cannot be undone"),
        ({"traits": None}, "cannot undo it"),
        ({"cancelling": True}, "being cancelled"),
    ],
)
def test_an_undo_that_cannot_be_is_refused_with_the_reason(
    ground: dict[str, Any], why: str
) -> None:
    before = recorded(status("Complete", a="Complete"), "a")
    after, said = given(before, command("undo"), **ground)
    assert after == before
    assert why in said


def test_fencing_is_not_undone_beside_what_serves_on_the_other_side() -> None:
    before = recorded(status("Complete", a="Complete"), "a")
    after, said = given(before, command("undo"), spec=FENCE, activated=["start-0", "switch"])
    assert after == before
    assert said == (
        "two sides would write: Activate of wave data has begun (start-0, switch); undo that first"
    )
    assert requests(given(before, command("undo"), spec=FENCE)[0]) == {"a": "Undo"}
    # What serves is undone itself, whatever else of the wave does.
    assert requests(given(before, command("undo"), activated=["x"])[0]) == {"a": "Undo"}


@pytest.mark.parametrize(
    ("tasks", "names"),
    [
        ([("Activate", status("Complete", a="Complete"))], ["activate"]),
        ([("Activate", status("InProgress", a="NotStarted"))], ["activate"]),
        ([("Activate", status("Retry", a="NotStarted"))], ["activate"]),
        ([("Activate", status("Failed", a="Complete", b="Failed"))], ["activate"]),
        ([("Activate", status("Failed", a="Failed/FailoverOutdated"))], []),
        ([("Activate", status("Skipped", a="Skipped/Undone"))], []),
        ([("Activate", status("NotStarted"))], []),
        ([("Instantiate", status("Complete", a="Complete"))], []),
    ],
)
def test_a_wave_is_activated_as_long_as_something_of_it_may_serve(
    tasks: list[tuple[str, DRTaskStatus]], names: list[str]
) -> None:
    wave = [task(phase, after) for phase, after in tasks]
    assert activated("data", wave) == names
    assert activated("other", wave) == []


def test_a_task_over_which_a_pass_goes_on_may_have_begun() -> None:
    start = task("Activate", status("NotStarted"))
    assert activated("data", [start], {start.metadata.uid}) == ["activate"]
    assert activated("data", [start], {"another"}) == []


def test_a_start_that_aws_was_asked_for_and_failed_may_serve() -> None:
    sent = status("Failed", a="Failed").model_copy(update={"journal": [INTENT]})
    assert activated("data", [task("Activate", sent)]) == ["activate"]


def test_what_people_did_counts_where_leeward_did_nothing_else() -> None:
    call = task("Activate", status("Complete", a="Complete"), technology="manual")
    assert activated("data", [call]) == ["activate"]
    undone = task("Activate", status("Skipped", a="Skipped/Undone"))
    assert activated("data", [call, undone]) == []


# -- relaunch


def test_a_relaunch_takes_what_is_named_and_forgets_how_the_old_was() -> None:
    before = recorded(status("Complete", a="Complete", b="Complete"), "a", "b")
    after, _ = given(before, command("relaunch", "a"), traits=LAUNCHES)
    assert requests(after) == {"a": "Relaunch", "b": None}
    assert states(after) == {"a": "InProgress", "b": "Complete"}
    assert (after.state, after.attempt) == ("InProgress", 2)
    assert [p.id for p in after.pre_states] == ["b"]


@pytest.mark.parametrize(
    ("ids", "ground", "why"),
    [
        ((), {"traits": LAUNCHES}, 'leeward.dev/relaunch="YOU: [ID]"'),
        (("a",), {"traits": REVERSIBLE}, "Activate by drs launches nothing"),
        (("a",), {"traits": None}, "launches nothing"),
        (("a",), {"traits": LAUNCHES, "cancelling": True}, "being cancelled"),
        (("a",), {"traits": LAUNCHES, "spec": {"operation": "Test"}}, "run another Test"),
    ],
)
def test_a_relaunch_that_cannot_be_is_refused_with_the_reason(
    ids: tuple[str, ...], ground: dict[str, Any], why: str
) -> None:
    before = status("Complete", a="Complete")
    after, said = given(before, command("relaunch", *ids), **ground)
    assert after == before
    assert why in said


@pytest.mark.parametrize(
    ("state", "before", "after"),
    [
        ("Complete", {"a": "Complete", "b": "Complete"}, "Retry"),
        ("Failed", {"a": "Failed", "b": "Complete"}, "Retry"),
        ("InProgress", {"a": "InProgress", "b": "InProgress"}, "Retry"),
        ("Complete", {"a": "Skipped/Undone", "b": "Complete"}, "Complete"),
        ("NotStarted", {"a": "Skipped/LeftOut", "b": "NotStarted"}, "NotStarted"),
    ],
)
def test_what_was_activated_is_activated_again_when_it_is_launched_anew(
    state: str, before: dict[str, str], after: str
) -> None:
    asked, _ = given(
        status("Complete", a="Complete", b="Complete"), command("relaunch", "a"), traits=LAUNCHES
    )
    activated = recorded(status(state, **before), "a", "b")
    again = after_relaunch(task("Activate", activated), task("Instantiate", asked))
    if after != "Retry":
        assert again == activated
        return
    assert (again.state, again.attempt) == ("Retry", 2)
    assert states(again) == {"a": "NotStarted", "b": before["b"]}
    assert [p.id for p in again.pre_states] == ["b"]


@pytest.mark.parametrize(
    "other",
    [
        {"wave": "web"},
        {"technology": "ec2"},
        {"accountId": "222222222222"},
        {"region": "us-west-2"},
    ],
)
def test_other_tasks_do_not_mind_a_relaunch(other: dict[str, Any]) -> None:
    asked, _ = given(status("Complete", a="Complete"), command("relaunch", "a"), traits=LAUNCHES)
    activated = status("Complete", a="Complete")
    for mine in (task("Activate", activated, **other), task("Instantiate", activated)):
        assert after_relaunch(mine, task("Instantiate", asked)) == activated


def record(verb: str, minutes: float) -> CommandRecord:
    at = render_time(NOW + timedelta(minutes=minutes))
    return CommandRecord(key=f"leeward.dev/{verb}", user="ann", time=at)


@pytest.mark.parametrize(
    ("records", "minutes"),
    [
        ([], 0),
        ([record("pause", -30), record("resume", -20)], 10),
        ([record("pause", -30), record("pause", -25), record("resume", -20)], 10),
        ([record("pause", -90), record("resume", -50)], 10),
        ([record("pause", -90), record("resume", -80)], 0),
        ([record("pause", -30), record("resume", -20), record("pause", -5)], 15),
        ([record("resume", -30), record("approve-x", -20)], 0),
    ],
)
def test_only_pauses_since_the_task_began_count(
    records: list[CommandRecord], minutes: float
) -> None:
    assert paused_for(records, NOW - timedelta(hours=1), NOW) == timedelta(minutes=minutes)


def task(phase: str, after: DRTaskStatus | None = None, **fields: Any) -> DRTask:
    spec = {
        "executionRef": {"name": "shop-1", "uid": "u-1"},
        "plan": "shop",
        "operation": "Failover",
        "mode": "Unplanned",
        "wave": "data",
        "waveOrdinal": 1,
        "recoveryPhase": phase,
        "technology": "drs",
        "account": "prod",
        "accountId": "111111111111",
        "region": "us-east-2",
        "sourceRegion": "us-east-1",
        "resources": [{"id": "a", "arn": "arn:a"}, {"id": "b", "arn": "arn:b"}],
        **fields,
    }
    body = DRTask.model_validate({"metadata": {"name": phase.lower()}, "spec": spec})
    return body.model_copy(update={"status": after or DRTaskStatus()})


SKIPPED = status("Complete", a="Skipped", b="Complete")


def test_what_was_left_out_of_one_phase_is_left_out_of_the_next() -> None:
    before, next_ = task("Instantiate", SKIPPED), task("Activate")
    (resource,) = left_out(next_, [before, next_])
    assert (resource.id, resource.state) == ("a", "Skipped")
    assert "Instantiate" in resource.message


@pytest.mark.parametrize(
    "other",
    [
        {"wave": "web"},
        {"technology": "rds"},
        {"accountId": "222222222222"},
        {"resources": [{"id": "b", "arn": "arn:b"}]},
        {"recoveryPhase": "Instantiate"},
        {"operation": "Test", "recoveryPhase": "Cleanup"},
    ],
)
def test_what_was_left_out_elsewhere_is_not_left_out_here(other: dict[str, Any]) -> None:
    before, after = task("Instantiate", SKIPPED), task("Activate", **other)
    assert left_out(after, [before, after]) == []


def test_a_task_begins_without_what_was_left_out_of_it_and_of_earlier_phases() -> None:
    (gone,) = left_out(task("Activate"), [task("Instantiate", SKIPPED), task("Activate")])
    ahead, _ = given(DRTaskStatus(), command("skip", "b"))
    begins = {r.id: r.state for r in without(ahead.resources, [gone])}
    assert begins == {"a": "Skipped", "b": "Skipped"}
    assert [r.id for r in without([], [gone])] == ["a"]
    done = status("Retry", a="Complete", b="NotStarted").resources
    assert without(done, [gone]) == done

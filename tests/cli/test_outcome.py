"""Exit codes, time-outs, and commands as annotations: what scripts rely on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click
import pytest

from leeward.cli import annotation, outcome
from leeward.cli.app import DurationOf
from leeward.cli.failures import Failure, Refused
from leeward.cli.outcome import Exit, Goal
from leeward.cli.wait import summary

Story = Any  # conftest.Story

_ENDS = [
    ("Succeeded", "Succeeded", Exit.SUCCEEDED),
    ("Succeeded", "WithinTolerance", Exit.WITHIN_TOLERANCE),
    ("Failed", "Failed", Exit.FAILED),
    ("Cancelled", "Cancelled", Exit.FAILED),
    ("Expired", "Expired", Exit.FAILED),
]


@pytest.mark.parametrize(("state", "reason", "code"), _ENDS)
@pytest.mark.parametrize("goal", ["succeeded", "terminal"])
def test_a_run_that_ended_has_the_exit_code_of_its_end(
    story: Story, state: str, reason: str, code: Exit, goal: Goal
) -> None:
    assert outcome.reached(story.is_(state, "", reason).execution, goal) is code


@pytest.mark.parametrize(
    ("state", "succeeded", "approval", "terminal"),
    [
        ("Running", None, None, None),
        ("Paused", None, None, None),
        ("WaitingForApproval", Exit.WAITING, Exit.SUCCEEDED, None),
        ("WaitingForDecision", Exit.WAITING, Exit.SUCCEEDED, None),
        ("Succeeded", Exit.SUCCEEDED, Exit.ERROR, Exit.SUCCEEDED),
        ("Failed", Exit.FAILED, Exit.FAILED, Exit.FAILED),
    ],
)
def test_each_goal_ends_where_it_says(
    story: Story,
    state: str,
    succeeded: Exit | None,
    approval: Exit | None,
    terminal: Exit | None,
) -> None:
    run = story.is_(state, "").execution
    assert outcome.reached(run, "succeeded") is succeeded
    assert outcome.reached(run, "approval") is approval
    assert outcome.reached(run, "terminal") is terminal


def test_the_outcome_is_read_from_conditions_and_not_from_the_state(story: Story) -> None:
    run = story.is_("Running", "").execution
    run["status"]["state"] = "Succeeded"
    assert outcome.verdict(run) is None
    assert outcome.verdict({"metadata": {}, "spec": {}}) is None


def test_a_condition_that_stayed_behind_does_not_hold_an_ended_run(story: Story) -> None:
    run = story.is_("WaitingForApproval", "").execution
    run["status"]["conditions"][0]["status"] = "True"
    assert outcome.reached(run, "succeeded") is Exit.SUCCEEDED


def test_the_exit_codes_are_the_documented_ones() -> None:
    assert {code.name: int(code) for code in Exit} == {
        "SUCCEEDED": 0,
        "ERROR": 1,
        "FAILED": 2,
        "WITHIN_TOLERANCE": 3,
        "TIMEOUT": 4,
        "WAITING": 5,
    }
    assert all(f"\n  {int(code)}  " in outcome.CODES for code in Exit)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("1h30m", 5400), ("500ms", 0.5)]
)
def test_a_time_out_is_a_go_duration(text: str, seconds: float) -> None:
    assert DurationOf().convert(text, None, None) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["10", "ten", "", "0s", "-5m", "5 m", "1d"])
def test_what_is_no_time_out_is_a_usage_error(text: str) -> None:
    with pytest.raises(click.BadParameter):
        DurationOf().convert(text, None, None)


def test_a_run_is_summed_up_on_one_line(story: Story) -> None:
    story.is_("Running", "launching", currentWave="app")
    story.wave("web", "Complete", 12, complete=12).wave("app", "InProgress", 8, failed=2)
    assert summary(story.execution) == (
        "◌ Running, wave app (2 of 2), 12 done, 2 failed, 20 total: launching"
    )


@pytest.mark.parametrize(
    ("user", "comment", "resources", "value"),
    [
        ("a@example.com", "", (), "a@example.com"),
        ("a@example.com", "checked  the\nlag ", (), "a@example.com: checked the lag"),
        ("a@example.com", "", ("s-1", "s-2"), "a@example.com: [s-1,s-2]"),
        ("a@example.com", "new type", ("s-1",), "a@example.com: [s-1] new type"),
        ("system:serviceaccount:ci:bot", "x", (), "system:serviceaccount:ci:bot: x"),
    ],
)
def test_a_command_names_its_author_first(
    user: str, comment: str, resources: tuple[str, ...], value: str
) -> None:
    assert annotation.value(user, comment, resources) == value
    assert annotation.author(value) == user


def test_the_operator_reads_a_command_as_it_was_meant() -> None:
    from leeward.planning.runs import commands

    key = annotation.key("retry")
    (command,) = commands.on_task({key: annotation.value("a:b", "new type", ["s-1", "s-2"])})
    assert (command.verb, command.user, command.comment) == ("retry", "a:b", "new type")
    assert command.resources == ("s-1", "s-2")
    key = annotation.key("approve", "wave-2", "second")
    (command,) = commands.on_execution({key: annotation.value("a:b", "ok: fine")})
    assert (command.verb, command.gate, command.comment) == ("approve", "wave-2", "ok: fine")


@pytest.mark.parametrize(
    ("comment", "resources"),
    [("[s-1] not a list", ()), ("x" * 257, ()), ("ü" * 256, ()), ("", ("a,b",)), ("", ("a]",))],
)
def test_a_command_that_would_be_misread_or_refused_is_not_sent(
    comment: str, resources: tuple[str, ...]
) -> None:
    with pytest.raises(Failure):
        annotation.value("a@example.com", comment, resources)


@pytest.mark.parametrize("suffix", ["-x", "a b", "a/b", "x" * 60])
def test_a_suffix_that_makes_no_key_is_not_sent(suffix: str) -> None:
    with pytest.raises(Failure):
        annotation.key("approve", "wave-2", suffix)


def test_an_answer_goes_beside_those_of_others_and_over_ones_own() -> None:
    present = {annotation.key("approve", "wave-2"): "a@example.com: first"}
    assert annotation.free_suffix(present, "approve", "wave-2", "b@example.com") == "2"
    assert annotation.free_suffix(present, "approve", "wave-2", "a@example.com") == ""
    assert annotation.free_suffix(present, "reject", "wave-2", "b@example.com") == ""
    present[annotation.key("approve", "wave-2", "2")] = "b@example.com"
    assert annotation.free_suffix(present, "approve", "wave-2", "c@example.com") == "3"


def test_a_policys_refusal_is_said_in_its_own_words() -> None:
    refused = Refused(
        403,
        'drexecutions.leeward.dev "orders-1" is forbidden: ValidatingAdmissionPolicy '
        "'leeward-commands.leeward.dev' with binding 'leeward-commands.leeward.dev' denied "
        "request: b@example.com may not answer the gates\nof plan orders/orders",
    )
    assert str(refused) == (
        "refused: b@example.com may not answer the gates of plan orders/orders "
        "(policy leeward-commands.leeward.dev)"
    )
    assert "you may not do this" in str(Refused(403, "no"))

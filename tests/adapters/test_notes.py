"""Kept answers: young enough, and none to a question that was begun before it was forgotten."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from leeward_adapters.notes import Notes


class Moment:
    """A clock that stands still."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def moment() -> Moment:
    return Moment()


@pytest.fixture
def notes(moment: Moment) -> Notes:
    return Notes(moment)


def says(value: str) -> Callable[[], str]:
    return lambda: value


def test_an_answer_is_kept_for_its_time_and_no_longer(notes: Notes, moment: Moment) -> None:
    notes.cached("room", 60, says("first"))
    moment.now += 59
    assert notes.cached("room", 60, says("second")) == "first"
    moment.now += 1
    assert notes.cached("room", 60, says("second")) == "second"


def test_what_is_forgotten_while_it_is_asked_for_is_not_kept(notes: Notes) -> None:
    def asks() -> str:
        notes.forget(["room"])
        return "old"

    assert notes.cached("room", 60, asks) == "old"
    assert notes.cached("room", 60, says("new")) == "new"


def test_a_question_begun_after_it_was_forgotten_is_kept_whichever_answer_comes_last(
    notes: Notes,
) -> None:
    def asks() -> str:
        notes.forget(["room"])
        assert notes.cached("room", 60, says("new")) == "new"
        return "old"

    assert notes.cached("room", 60, asks) == "old"
    assert notes.cached("room", 60, says("never asked")) == "new"


def test_only_what_was_named_is_forgotten(notes: Notes) -> None:
    def asks() -> str:
        notes.forget(["groups"])
        return "first"

    notes.cached("room", 60, asks)
    assert notes.cached("room", 60, says("second")) == "first"


def test_a_question_that_failed_leaves_nothing_behind(notes: Notes) -> None:
    def fails() -> str:
        raise LookupError

    with pytest.raises(LookupError):
        notes.cached("room", 60, fails)
    assert notes.cached("room", 60, says("second")) == "second"
    assert not notes._under_way

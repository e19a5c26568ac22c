"""Shared answers: one call for all who wait, and never an older answer than was asked for."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from leeward_adapters.views import KEPT, Views

PATIENCE = 60.0


class Moment:
    """A clock that stands still, and the moment of the last change."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.changed = float("-inf")

    def views(self) -> Views:
        return Views(lambda: self.now, lambda _: self.changed)


class Aws:
    """An AWS that numbers its answers, and can be held while it answers."""

    def __init__(self) -> None:
        self.asked: list[list[Any]] = []
        self.begun = threading.Semaphore(0)
        self.goes_on = threading.Semaphore(0)
        self.holds = False
        self.fails: Exception | None = None

    def __call__(self, ids: Sequence[Any]) -> dict[Any, int]:
        self.asked.append(list(ids))
        number = len(self.asked)
        self.begun.release()
        if self.holds and not self.goes_on.acquire(timeout=PATIENCE):
            raise TimeoutError
        if self.fails is not None:
            raise self.fails
        return {i: number for i in ids if i != "unknown"}


@pytest.fixture
def moment() -> Moment:
    return Moment()


def _waits(views: Views, key: str, threads: int) -> None:
    """Return once so many threads wait for the call of the question that is under way."""
    question = views._question(key)
    for _ in range(100_000):
        with question.turn:
            if sum(question.waiting.values()) >= threads:
                return
        threading.Event().wait(0.001)
    raise AssertionError("nobody waits")


@pytest.mark.parametrize(
    ("age", "allowed", "calls"),
    [
        pytest.param(0.0, 0.0, 1, id="the same moment"),
        pytest.param(5.0, 10.0, 1, id="young enough"),
        pytest.param(10.0, 10.0, 1, id="just young enough"),
        pytest.param(11.0, 10.0, 2, id="too old"),
        pytest.param(0.1, None, 2, id="as of now"),
    ],
)
def test_an_answer_is_used_while_it_is_young_enough(
    moment: Moment, age: float, allowed: float | None, calls: int
) -> None:
    views, aws = moment.views(), Aws()
    views.look_up("jobs", ["a"], None, aws)
    moment.now += age

    since = None if allowed is None else moment.now - allowed
    found = views.look_up("jobs", ["a"], since, aws)

    assert (len(aws.asked), found) == (calls, {"a": calls})


def test_a_change_makes_what_was_asked_before_it_too_old(moment: Moment) -> None:
    views, aws = moment.views(), Aws()
    views.look_up("jobs", ["a"], None, aws)
    moment.now += 1
    moment.changed = moment.now

    assert views.look_up("jobs", ["a"], moment.now - 60, aws) == {"a": 2}
    assert views.look_up("jobs", ["a"], moment.now - 60, aws) == {"a": 2}


def test_what_was_noted_serves_while_it_is_young_and_nothing_changed(moment: Moment) -> None:
    views = moment.views()
    assert views.noted("listing", moment.now - 60) is None
    views.note("listing", ["s-1"], moment.now)
    moment.now += 60
    assert views.noted("listing", moment.now - 60) == ["s-1"]
    assert views.noted("listing", moment.now - 59) is None
    moment.changed = moment.now
    assert views.noted("listing", moment.now - 600) is None


def test_an_answer_to_a_call_that_began_before_a_change_is_not_used_after_it(
    moment: Moment,
) -> None:
    views, aws = moment.views(), Aws()

    def changes_meanwhile(ids: Sequence[Any]) -> dict[Any, int]:
        moment.now += 2
        moment.changed = moment.now - 1
        return aws(ids)

    views.look_up("jobs", ["a"], None, changes_meanwhile)

    assert views.look_up("jobs", ["a"], moment.now - 60, aws) == {"a": 2}


def test_only_what_is_not_known_is_asked_for_and_the_unknown_is_left_out(moment: Moment) -> None:
    views, aws = moment.views(), Aws()
    views.look_up("jobs", ["a", "unknown"], None, aws)

    found = views.look_up("jobs", ["a", "b", "unknown"], moment.now - 60, aws)

    assert found == {"a": 1, "b": 2}
    assert aws.asked == [["a", "unknown"], ["b"]]
    assert views.look_up("others", ["a"], moment.now - 60, aws) == {"a": 3}
    assert views.look_up("jobs", [], None, aws) == {}


def test_what_others_asked_for_lately_is_asked_for_with_ones_own(moment: Moment) -> None:
    views, aws = moment.views(), Aws()
    for task in ("a", "b"):
        views.look_up("jobs", [task], None, aws)
    moment.now += 15

    views.look_up("jobs", ["a"], moment.now - 12, aws)
    views.look_up("jobs", ["b"], moment.now - 12, aws)

    assert aws.asked == [["a"], ["b"], ["a", "b"]]


def test_what_nobody_asks_for_any_more_is_forgotten(moment: Moment) -> None:
    views, aws = moment.views(), Aws()
    views.look_up("jobs", ["old"], None, aws)
    moment.now += KEPT + 1

    views.look_up("jobs", ["a"], None, aws)

    assert list(views._question("jobs").answers) == ["a"]


@pytest.mark.parametrize(
    ("allowed", "calls"),
    [pytest.param(60.0, 1, id="old enough to share"), pytest.param(None, 2, id="as of now")],
)
def test_those_who_wait_while_a_call_is_under_way_share_one(
    moment: Moment, allowed: float | None, calls: int
) -> None:
    views, aws = moment.views(), Aws()
    aws.holds = True
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(views.look_up, "jobs", ["a"], None, aws)
        assert aws.begun.acquire(timeout=PATIENCE)
        moment.now += 1
        since = None if allowed is None else moment.now - allowed
        others = [pool.submit(views.look_up, "jobs", ["a"], since, aws) for _ in range(3)]
        _waits(views, "jobs", 3)
        aws.goes_on.release(4)
        answers = [future.result(PATIENCE) for future in others]

    assert first.result(PATIENCE) == {"a": 1}
    assert len(aws.asked) == calls
    assert answers == [{"a": calls}] * 3


def test_those_who_wait_for_other_ids_are_served_by_one_more_call(moment: Moment) -> None:
    views, aws = moment.views(), Aws()
    aws.holds = True
    with ThreadPoolExecutor(3) as pool:
        pool.submit(views.look_up, "jobs", ["a"], None, aws)
        assert aws.begun.acquire(timeout=PATIENCE)
        others = [pool.submit(views.look_up, "jobs", [i], moment.now - 60, aws) for i in "bc"]
        _waits(views, "jobs", 2)
        aws.goes_on.release(3)
        found = [future.result(PATIENCE) for future in others]

    assert found == [{"b": 2}, {"c": 2}]
    assert [sorted(ids) for ids in aws.asked] == [["a"], ["b", "c"]]


def test_an_error_is_raised_to_all_who_waited_and_is_not_kept(moment: Moment) -> None:
    views, aws = moment.views(), Aws()
    aws.holds, aws.fails = True, LookupError("no answer")
    with ThreadPoolExecutor(2) as pool:
        threads: list[Future[Any]] = [pool.submit(views.look_up, "jobs", ["a"], None, aws)]
        assert aws.begun.acquire(timeout=PATIENCE)
        threads.append(pool.submit(views.look_up, "jobs", ["a"], moment.now - 60, aws))
        _waits(views, "jobs", 1)
        aws.goes_on.release(2)
        for thread in threads:
            with pytest.raises(LookupError):
                thread.result(PATIENCE)
    assert len(aws.asked) == 1

    aws.fails = None
    moment.now += 1
    assert views.look_up("jobs", ["a"], moment.now - 60, aws) == {"a": 2}


def test_a_question_without_ids_is_shared_too(moment: Moment) -> None:
    views = moment.views()
    made = iter(["first", "second"])

    assert views.ask("all", None, lambda: next(made)) == "first"
    assert views.ask("all", moment.now - 1, lambda: next(made)) == "first"
    moment.now += 1
    assert views.ask("all", None, lambda: next(made)) == "second"

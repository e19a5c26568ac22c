"""What AWS said lately, shared by all who ask: one call for each question, however many wait.

Who asks names the moment before which an answer is too old. An answer is as old as the beginning
of its call, and none counts that began before the newest call that changes something in its
account and Region was over. So a question as of now always leads to a call that begins after it;
those who ask while a call is under way wait for it, and then share the next.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar, cast

T = TypeVar("T")
V = TypeVar("V")
Clock = Callable[[], float]
"""Seconds that only ever grow."""

KEPT: Final = 600.0
"""Seconds after which an answer is forgotten that nobody asks for any more."""
COMPANY: Final = 2.0
"""What others asked for is asked with one's own, if they asked within so many times the age that
is allowed now: they wait for the same, and will ask again."""


def loosely(now: float, since: float | None, times: float) -> float:
    """The moment `since` moved back, for what may be so many `times` as old as the rest.

    Who wants everything as of now gets this as of now too.
    """
    return now if since is None else since - (now - since) * times


@dataclass(slots=True)
class _Answer(Generic[V]):
    """What AWS said of one id; None: it knows no such thing."""

    value: V | None
    began: float
    """When the call began."""
    asked: float
    """When somebody last wanted it."""


@dataclass(slots=True)
class _Question:
    """What is known of one question; `turn` guards all of it."""

    turn: threading.Condition = field(default_factory=threading.Condition)
    busy: bool = False
    answers: dict[Hashable, _Answer[Any]] = field(default_factory=dict)
    waiting: dict[Hashable, int] = field(default_factory=dict)
    """How many threads wait for an id while a call is under way."""
    failed: tuple[float, Exception] | None = None
    """When the newest call began, and why it failed; None: it did not."""


class Views:
    """The shared answers of one account in one Region, seen through one role.

    Args:
        clock: the clock of all moments.
        changed: when something was last changed there, by a service or (None) by any.
    """

    def __init__(self, clock: Clock, changed: Callable[[str | None], float]) -> None:
        self._clock = clock
        self._changed = changed
        self._lock = threading.Lock()
        self._questions: dict[Hashable, _Question] = {}
        self._noted: dict[Hashable, tuple[object, float]] = {}
        self.used = clock()
        """When somebody last asked."""

    def ask(self, key: Hashable, since: float | None, call: Callable[[], T]) -> T:
        """`call()`, or its answer to a call that began at `since` or later.

        Args:
            key: names the question.
            since: moment of the clock; None: now.
            call: asks AWS. What it raises is raised to all who wait for it.
        """
        return self.look_up(key, [key], since, lambda _: {key: call()})[key]

    def note(self, key: Hashable, value: object, began: float) -> None:
        """Keep what a call of one's own, begun at `began`, found, for those who ask `noted`."""
        with self._lock:
            self._noted[key] = (value, began)

    def noted(self, key: Hashable, since: float) -> Any | None:
        """What was noted last, if its call began at `since` or later and nothing changed since."""
        with self._lock:
            value, began = self._noted.get(key, (None, float("-inf")))
        return value if began >= max(since, self._changed(None)) else None

    def look_up(
        self,
        key: Hashable,
        ids: Iterable[Hashable],
        since: float | None,
        call: Callable[[Sequence[Any]], Mapping[Any, V]],
        moved_by: str | None = None,
    ) -> dict[Any, V]:
        """What is known of `ids` by calls that began at `since` or later; unknown ids are left out.

        Args:
            key: names the question; its calls take ids of the same kind.
            ids: what is asked for.
            since: moment of the clock; None: now.
            call: asks AWS for some ids: those of the present ones that must be asked for, and
                what others wait for.
            moved_by: the one service whose changes make answers too old; None: any's do.
        """
        wanted = list(dict.fromkeys(ids))
        if not wanted:
            return {}
        self.used = now = self._clock()
        wished = now if since is None else since
        question = self._question(key)
        missing = self._claim(question, wanted, max(wished, self._changed(moved_by)), now - wished)
        if missing:
            self._call(question, missing, call)
        with question.turn:
            found = {i: answer.value for i in wanted if (answer := question.answers.get(i))}
        return cast(dict[Any, V], {i: value for i, value in found.items() if value is not None})

    def _question(self, key: Hashable) -> _Question:
        with self._lock:
            return self._questions.setdefault(key, _Question())

    def _claim(
        self, question: _Question, wanted: Sequence[Hashable], since: float, age: float
    ) -> list[Hashable]:
        """Ids to ask AWS for now, by this thread alone; none: all is answered.

        Waits while another thread asks.
        """
        with question.turn:
            now = self._clock()
            for i in wanted:
                if i in question.answers:
                    question.answers[i].asked = now
            while old := [i for i in wanted if not _answered(question, i, since)]:
                if not question.busy:
                    question.busy = True
                    return list(dict.fromkeys((*old, *self._company(question, age))))
                _await(question, old)
                if question.failed is not None and question.failed[0] >= since:
                    raise question.failed[1]
            return []

    def _company(self, question: _Question, age: float) -> list[Hashable]:
        """What others wait for now, or asked for lately and will ask for again."""
        now = self._clock()
        lately = (
            i
            for i, answer in question.answers.items()
            if now - answer.asked < COMPANY * age and now - answer.began >= age / COMPANY
        )
        return [*question.waiting, *lately]

    def _call(
        self,
        question: _Question,
        ids: Sequence[Hashable],
        call: Callable[[Sequence[Any]], Mapping[Any, V]],
    ) -> None:
        began, failed = self._clock(), None
        found: Mapping[Any, V] = {}
        try:
            found = call(ids)
        except Exception as error:
            failed = (began, error)
            raise
        finally:
            with question.turn:
                question.failed = failed
                if failed is None:
                    _keep(question, ids, found, began)
                question.busy = False
                question.turn.notify_all()


def _answered(question: _Question, i: Hashable, since: float) -> bool:
    answer = question.answers.get(i)
    return answer is not None and answer.began >= since


def _await(question: _Question, ids: Sequence[Hashable]) -> None:
    """Wait until the call that is under way is over."""
    for i in ids:
        question.waiting[i] = question.waiting.get(i, 0) + 1
    try:
        question.turn.wait()
    finally:
        for i in ids:
            question.waiting[i] -= 1
            if not question.waiting[i]:
                del question.waiting[i]


def _keep(
    question: _Question, ids: Sequence[Hashable], found: Mapping[Any, Any], began: float
) -> None:
    known = {i: a for i, a in question.answers.items() if began - a.asked < KEPT}
    for i in ids:
        asked = known[i].asked if i in known else began
        known[i] = _Answer(found.get(i), began, asked)
    question.answers = known

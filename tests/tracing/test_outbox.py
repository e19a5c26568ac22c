"""Spans on their way out: nobody waits for a collector, and what is lost is counted."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from leeward.tracing.outbox import MOST, Outbox
from leeward.tracing.spans import Span

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PATIENCE = 30.0


def span(number: int) -> Span:
    return Span(1, number, None, "x", NOW, NOW, NOW, {})


class Collector:
    """Takes spans, or does not; what it took, and how much was counted."""

    def __init__(self, *refusals: bool) -> None:
        self.taken: list[int] = []
        self.counted: Counter[str] = Counter()
        self.tried = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()
        self._refusals = list(refusals)
        self._counting = threading.Condition()

    def send(self, spans: Sequence[Span]) -> str:
        self.tried.set()
        assert self.may_answer.wait(PATIENCE)
        assert len(spans) <= MOST
        if self._refusals and self._refusals.pop(0):
            return "code: 401"
        self.taken += [s.id for s in spans]
        return ""

    def count(self, outcome: str, number: int) -> None:
        with self._counting:
            self.counted[outcome] += number
            self._counting.notify_all()

    def until(self, outcome: str, number: int) -> None:
        """Wait until so many were counted."""
        with self._counting:
            assert self._counting.wait_for(lambda: self.counted[outcome] >= number, PATIENCE)

    def outbox(self, room: int = 5000, pauses: Sequence[float] = (0.0, 0.0)) -> Outbox:
        made = Outbox(self.send, self.count, room=room, linger=0.0, pauses=pauses)
        made.start()
        return made


def test_spans_arrive_in_order_and_are_counted() -> None:
    collector = Collector()
    outbox = collector.outbox()
    for number in range(2 * MOST + 1):
        outbox.put(span(number))
    outbox.close(PATIENCE)
    assert collector.taken == list(range(2 * MOST + 1))
    assert collector.counted == {"Sent": 2 * MOST + 1}


def test_a_collector_that_hangs_holds_nobody_up_and_costs_the_oldest() -> None:
    collector = Collector()
    collector.may_answer.clear()
    outbox = collector.outbox(room=3)
    outbox.put(span(1))
    assert collector.tried.wait(PATIENCE)
    for number in range(2, 8):
        outbox.put(span(number))  # returns, though nothing is taken
    assert collector.counted == {"Dropped": 3}
    collector.may_answer.set()
    outbox.close(PATIENCE)
    assert collector.taken == [1, 5, 6, 7]


def test_what_is_refused_is_sent_again_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    collector = Collector(True, True)
    outbox = collector.outbox()
    outbox.put(span(1))
    collector.until("Sent", 1)
    outbox.close(PATIENCE)
    assert collector.taken == [1]
    assert collector.counted == {"Sent": 1}
    assert [r.levelname for r in caplog.records] == ["WARNING", "INFO"]
    assert "code: 401" in caplog.text


def test_what_is_refused_too_often_is_dropped() -> None:
    collector = Collector(True, True, True)
    collector.may_answer.clear()
    outbox = collector.outbox()
    outbox.put(span(1))
    assert collector.tried.wait(PATIENCE)
    outbox.put(span(2))
    collector.may_answer.set()
    collector.until("Sent", 1)
    outbox.close(PATIENCE)
    assert collector.taken == [2]
    assert collector.counted == {"Dropped": 1, "Sent": 1}


def test_a_mistake_in_sending_costs_the_batch_and_not_the_thread(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sent: list[int] = []

    def send(spans: Sequence[Span]) -> str:
        if spans[0].id == 1:
            raise ValueError("cannot be encoded")
        sent.extend(s.id for s in spans)
        return ""

    collector = Collector()
    outbox = Outbox(send, collector.count, linger=0.0, pauses=())
    outbox.put(span(1))
    outbox.start()
    collector.until("Dropped", 1)
    outbox.put(span(2))
    outbox.close(PATIENCE)
    assert sent == [2]
    assert "cannot be encoded" in caplog.text


def test_the_end_waits_only_so_long_for_a_collector_that_hangs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    collector = Collector()
    collector.may_answer.clear()
    outbox = collector.outbox()
    outbox.put(span(1))
    assert collector.tried.wait(PATIENCE)
    outbox.put(span(2))
    outbox.close(0.01)
    assert "does not answer; 1 spans wait" in caplog.text
    collector.may_answer.set()

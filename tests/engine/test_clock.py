"""The machine's clock may step; what the operator counts from its own times may not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from leeward.engine.clock import SteadyClock

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Machine:
    """A clock that somebody sets, and the time that really goes by."""

    def __init__(self) -> None:
        self.shown = NOON
        self.elapsed = 1000.0

    def go_by(self, seconds: float) -> None:
        self.elapsed += seconds
        self.shown += timedelta(seconds=seconds)


@pytest.mark.parametrize("step", [-HOUR, timedelta(0), HOUR])
def test_a_step_of_the_machines_clock_changes_nothing(step: timedelta) -> None:
    machine = Machine()
    now = SteadyClock(lambda: machine.shown, lambda: machine.elapsed)
    assert now() == NOON
    machine.go_by(3)
    machine.shown += step
    machine.go_by(2)
    assert now() == NOON + timedelta(seconds=5)


def test_a_new_process_takes_the_machines_clock_as_it_is_then() -> None:
    machine = Machine()
    SteadyClock(lambda: machine.shown, lambda: machine.elapsed)
    machine.shown += HOUR
    assert SteadyClock(lambda: machine.shown, lambda: machine.elapsed)() == NOON + HOUR


def test_the_clock_of_a_process_is_the_machines_to_begin_with() -> None:
    before = datetime.now(UTC)
    now = SteadyClock()()
    assert now.tzinfo is UTC
    assert before <= now <= datetime.now(UTC)

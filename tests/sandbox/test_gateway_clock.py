"""The sandbox's virtual clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from leeward_sandbox.aws.clock import Clock

BASE = datetime(2026, 1, 1, tzinfo=UTC)


def test_virtual_time_runs_at_its_scale_and_keeps_the_instant_when_that_changes() -> None:
    real = 100.0
    clock = Clock(scale=60, base=BASE, monotonic=lambda: real)
    real += 2
    assert clock.now() == BASE + timedelta(seconds=120)
    clock.scale = 10
    assert clock.now() == BASE + timedelta(seconds=120)
    real += 1
    clock.advance(5)
    assert clock.now() == BASE + timedelta(seconds=135)


@pytest.mark.parametrize("scale", [-1.0, float("inf"), float("nan")])
def test_a_scale_that_is_no_speed_is_refused(scale: float) -> None:
    clock = Clock(scale=1, base=BASE)
    with pytest.raises(ValueError, match="scale"):
        clock.scale = scale
    with pytest.raises(ValueError, match="scale"):
        Clock(scale=scale)


@pytest.mark.parametrize("seconds", [-1.0, float("nan")])
def test_the_clock_does_not_go_back(seconds: float) -> None:
    clock = Clock(scale=0, base=BASE)
    with pytest.raises(ValueError, match="forward"):
        clock.advance(seconds)
    assert clock.now() == BASE

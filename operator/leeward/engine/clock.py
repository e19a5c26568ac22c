"""The operator's clock: the time of day as it was at the start, carried on by what has elapsed.

A step of the machine's clock in mid-run would otherwise shorten or lengthen every waiting that is
counted from a recorded time. The settle time above all: a clock put forward by minutes would have
a launch that is still under way taken for one that never was.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def elapsed() -> float:
    """Seconds that go on while the machine is suspended and never step."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def wall() -> datetime:
    """The machine's time of day: aware, UTC. It may step."""
    return datetime.now(UTC)


class SteadyClock:
    """Aware UTC times that never step while the process lives.

    A wrong time of day at the start stays wrong until the next start. That costs right times in
    the record, never safety: what another process wrote is judged by when this one took over.
    """

    def __init__(
        self, wall: Callable[[], datetime] = wall, elapsed: Callable[[], float] = elapsed
    ) -> None:
        self._elapsed = elapsed
        self._origin = elapsed()
        self._began = wall()

    def __call__(self) -> datetime:
        """The time now."""
        return self._began + timedelta(seconds=self._elapsed() - self._origin)

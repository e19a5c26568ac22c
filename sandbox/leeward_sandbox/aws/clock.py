"""The sandbox's virtual clock: real time that can run faster and be moved forward."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class Clock:
    """Virtual time: a base instant plus the elapsed monotonic time × scale, plus every advance.

    Monotonic time carries it, so a step of the machine's wall clock never moves it backwards.
    A change of scale keeps the instant at which it is made. Safe to share between threads.

    Args:
        scale: virtual seconds per real second; 0 stops the clock, which then moves by
            `advance` only (tests).
        base: the virtual time at construction, aware; the machine's UTC time if not given.
        monotonic: source of real seconds.
    """

    def __init__(
        self,
        scale: float = 1.0,
        base: datetime | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lock = threading.Lock()
        self._monotonic = monotonic
        self._base = (base or datetime.now(UTC)).astimezone(UTC)
        self._origin = monotonic()
        self._scale = _checked_scale(scale)

    def now(self) -> datetime:
        """The virtual time, aware, in UTC."""
        with self._lock:
            return self._now(self._monotonic())

    def advance(self, seconds: float) -> None:
        """Move the clock forward by `seconds` virtual seconds; ValueError if negative."""
        if not seconds >= 0:
            raise ValueError(f"the clock only moves forward, not by {seconds} s")
        with self._lock:
            self._base += timedelta(seconds=seconds)

    @property
    def scale(self) -> float:
        """Virtual seconds per real second."""
        with self._lock:
            return self._scale

    @scale.setter
    def scale(self, value: float) -> None:
        value = _checked_scale(value)
        with self._lock:
            real = self._monotonic()
            self._base, self._origin = self._now(real), real
            self._scale = value

    def _now(self, real: float) -> datetime:
        return self._base + timedelta(seconds=(real - self._origin) * self._scale)


def _checked_scale(value: float) -> float:
    if not 0 <= value < float("inf"):
        raise ValueError(f"a clock's scale is a finite number of at least 0, not {value}")
    return float(value)

"""What keeps a silent or busy AWS from holding the operator's threads.

A circuit breaker: once some calls in a row got no answer, further ones fail at once, but for one
from time to time that tries whether AWS is back. A rate limit: calls wait a moment where they
would come too fast, and come slower after AWS refused one for its rate.
"""

from __future__ import annotations

import threading
from typing import Final

from botocore.exceptions import BotoCoreError

from leeward_adapters.views import Clock

FAILURES: Final = 5
"""Calls in a row without an answer after which no more are sent for a while."""
FIRST_PAUSE: Final = 5.0
"""Seconds until the first try after that; doubled with each that fails."""
LONGEST_PAUSE: Final = 60.0

RATE: Final = 50.0
"""Calls a second to one service of one account and Region, until AWS says that it is too much.
Rates of DRS are not published; EC2 refills 20 unfiltered Describe calls a second."""
SLOWEST: Final = 1.0
BURST: Final = 100.0
"""Calls that may be sent at once after a rest."""
RECOVERS: Final = 0.5
"""By how many calls a second the rate grows with each call that is not refused for it."""


class NotSentError(BotoCoreError):
    """Nothing came of the call; `seconds`: when to try again.

    It was held back, after attempts that AWS refused for their rate or got nothing of, or without
    any.
    """

    fmt = "not sent to {service} in {region}; tried again in {seconds:.0f} s"


class CircuitOpenError(NotSentError):
    """The calls before it got no answer."""

    fmt = (
        "not sent to {service} in {region}: the last {failures} calls got no answer ({cause}); "
        "tried again in {seconds:.0f} s. Nothing is to be done if that Region is failing"
    )


class RateLimitError(NotSentError):
    """It would have had to wait too long for its turn."""

    fmt = "not sent to {service} in {region}: AWS limits the rate, next turn in {seconds:.0f} s"


class PartlySentError(BotoCoreError):
    """Of several calls that belong together some were sent before one was not."""

    fmt = "sent in part, then {error}"


class NothingChangedError(BotoCoreError):
    """Of several calls that belong together one that reads failed before any change was sent."""

    fmt = "{error}"


class Breaker:
    """The state of one circuit; safe to share between threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._cause = ""
        self._pause = FIRST_PAUSE
        self._next: float | None = None
        """When the next trial may be sent; None: everything may."""
        self._trying = False

    @property
    def is_open(self) -> bool:
        """Whether calls are held back."""
        return self._next is not None

    def admit(self, service: str, region: str, *, trial: bool) -> None:
        """Let a call through, or raise.

        After a pause one call is let through as a trial; the others wait for what comes of it,
        for another pause at most.

        Args:
            service: for the message.
            region: for the message.
            trial: whether this call may be the trial. One that only reads may.

        Raises:
            CircuitOpenError: it must not be sent now.
        """
        with self._lock:
            if self._next is None:
                return
            now = self._clock()
            if trial and now >= self._next:
                self._trying, self._next = True, now + self._pause
                return
            raise CircuitOpenError(
                service=service,
                region=region,
                failures=self._failures,
                cause=self._cause,
                seconds=max(self._next - now, 1.0),
            )

    def answered(self) -> None:
        """A call got an answer, whatever it was."""
        with self._lock:
            self._failures, self._pause = 0, FIRST_PAUSE
            self._next, self._trying = None, False

    def failed(self, cause: str) -> None:
        """A call got no answer."""
        with self._lock:
            self._failures += 1
            self._cause = cause
            if self._trying:
                self._trying, self._pause = False, min(self._pause * 2, LONGEST_PAUSE)
            elif self._next is not None or self._failures < FAILURES:
                return  # it was under way already when the circuit opened, or it is not open
            self._next = self._clock() + self._pause


class Bucket:
    """Turns for calls to one service of one account and Region; safe to share between threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._rate = RATE
        self._left = BURST
        self._at = clock()

    def wait(self, most: float) -> float:
        """Take a turn: seconds until it comes. If that is more than `most`, none is taken."""
        with self._lock:
            now = self._clock()
            self._left = min(self._left + (now - self._at) * self._rate, BURST)
            self._at = now
            wait = max((1.0 - self._left) / self._rate, 0.0)
            if wait <= most:
                self._left -= 1.0
            return wait

    def throttled(self) -> None:
        """AWS refused a call for its rate: half as many from now on, and no burst."""
        with self._lock:
            self._rate = max(self._rate / 2, SLOWEST)
            self._left = min(self._left, 0.0)

    def accepted(self) -> None:
        """AWS took a call."""
        with self._lock:
            self._rate = min(self._rate + RECOVERS, RATE)

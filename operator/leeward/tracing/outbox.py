"""Spans on their way out: a bounded queue, and one thread that sends.

Whoever puts a span in never waits. A collector that is slow or away costs spans, the oldest
first, and each that is lost is counted.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Literal

from leeward.tracing.spans import Span

log = logging.getLogger(__name__)

ROOM: Final = 8192
"""Spans that wait at most: a run of thousands of servers makes some thousands in hours."""
MOST: Final = 512
"""Spans that are sent at once."""
LINGER: Final = 1.0
"""Seconds for which spans are gathered before they are sent."""
PAUSES: Final = (2.0, 5.0, 10.0, 20.0, *[30.0] * 8)
"""Seconds between the tries to send a batch: five minutes, so that a collector may restart."""

Send = Callable[[Sequence[Span]], str]
"""Sends spans; why they were not taken, or an empty string. Called in the thread."""
Count = Callable[[Literal["Sent", "Dropped"], int], None]


class Outbox:
    """Takes spans, and sends them in the background.

    Args:
        send: see `Send`.
        count: is told how many were Sent, or Dropped.
        room: how many may wait.
        linger: see `LINGER`.
        pauses: see `PAUSES`.
    """

    def __init__(
        self,
        send: Send,
        count: Count,
        *,
        room: int = ROOM,
        linger: float = LINGER,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        self._send = send
        self._count = count
        self._room = room
        self._linger = linger
        self._pauses = pauses
        self._waiting: deque[Span] = deque()
        self._lock = threading.Lock()
        self._some = threading.Event()
        self._closing = threading.Event()
        self._refused = False
        # A daemon: a collector that hangs must not keep the process.
        self._thread = threading.Thread(target=self._work, name="tracing", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def put(self, span: Span) -> None:
        """Take a span; safe to call from any thread, and never waits for the network."""
        with self._lock:
            full = len(self._waiting) >= self._room
            if full:
                self._waiting.popleft()
            self._waiting.append(span)
        self._some.set()
        if full:
            self._count("Dropped", 1)

    def close(self, patience: float) -> None:
        """Send what waits, once, for `patience` seconds at most."""
        self._closing.set()
        self._some.set()
        self._thread.join(patience)
        if self._thread.is_alive():
            log.warning("the collector of traces does not answer; %d spans wait", self._left())

    def _left(self) -> int:
        with self._lock:
            return len(self._waiting)

    def _work(self) -> None:
        while True:
            self._some.wait()
            self._closing.wait(self._linger)
            batch = self._next()
            if batch:
                self._deliver(batch)
            elif self._closing.is_set():
                return

    def _next(self) -> list[Span]:
        with self._lock:
            size = min(MOST, len(self._waiting))
            batch = [self._waiting.popleft() for _ in range(size)]
            if not self._waiting and not self._closing.is_set():
                self._some.clear()
        return batch

    def _deliver(self, batch: Sequence[Span]) -> None:
        """Try again and again, but when the process is to end only once."""
        pauses = iter(self._pauses)
        while not self._sent(batch):
            pause = next(pauses, None)
            if pause is None or self._closing.is_set():
                self._count("Dropped", len(batch))
                return
            self._closing.wait(pause)

    def _sent(self, batch: Sequence[Span]) -> bool:
        try:
            refused = self._send(batch)
        except Exception as error:
            log.exception("spans could not be sent")
            refused = type(error).__name__
        if not refused:
            self._count("Sent", len(batch))
            if self._refused:
                log.info("the collector of traces takes spans again")
        elif not self._refused:
            log.warning(
                "the collector of traces takes no spans, and no run is held up by that; up to %d "
                "wait: %s", self._room, refused,
            )  # fmt: skip
        self._refused = bool(refused)
        return not refused

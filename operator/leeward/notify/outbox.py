"""Notices on their way: a bounded number, sent in the background, tried again, never waited for.

Nothing here outlives the process, and nothing needs to: what was not reported as sent is due again
for whoever leads next.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime, timedelta

from botocore.exceptions import BotoCoreError, ClientError

from leeward.notify.sending import Receiver
from leeward.planning.notifications.notices import Delivery, Notice
from leeward.planning.notifications.recipients import account_of, region_of
from leeward_adapters.base import ErrorClass
from leeward_adapters.errors import classify

log = logging.getLogger(__name__)

Send = Callable[[Receiver, Notice, str, datetime], None]
"""Sends a notice of a run to a receiver, or raises botocore's error."""

THREADS = 8
PER_LANE = 2
"""Calls at once to one service in one account and Region, so that one that hangs leaves threads to
the others."""
ROOM = 200
"""Notices that are on their way or not yet recorded, of all runs together."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0


@dataclass(frozen=True, slots=True)
class _Posted:
    notice: Notice
    at: datetime
    since: float
    """On the loop's clock."""


class Outbox:
    """Sends notices and keeps what became of them until it is recorded.

    Args:
        send: called in threads of the outbox's own.
        permit: called right before each call; ends the process if it does not lead any more.
        patience: how long a receiver is tried that fails in a passing way.

    """

    def __init__(
        self, send: Send, permit: Callable[[], None], *, patience: timedelta = timedelta(minutes=5)
    ) -> None:
        self._send = send
        self._permit = permit
        self._patience = patience.total_seconds()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="notify")
        self._lanes: defaultdict[tuple[str, str, str], asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(PER_LANE)
        )
        self._posted: dict[tuple[str, str], _Posted] = {}
        self._done: dict[tuple[str, str], Delivery] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def post(self, run: str, notice: Notice, to: Sequence[Receiver], at: datetime) -> bool:
        """Begin to send a notice of the run with that uid; False: there is no room now."""
        if not self._has_room():
            return False
        self._posted[run, notice.id] = _Posted(notice, at, asyncio.get_running_loop().time())
        task = asyncio.create_task(self._deliver(run, notice, to, at), name=f"notice {notice.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    def _has_room(self) -> bool:
        """Whether there is, after reports that nobody came for (their runs are gone) are let go."""
        while self._done and len(self._posted) + len(self._done) >= ROOM:
            del self._done[next(iter(self._done))]
        return len(self._posted) < ROOM

    def knows(self, run: str, notice: Notice) -> bool:
        """Whether this notice is on its way, or not recorded yet."""
        return (run, notice.id) in self._posted or (run, notice.id) in self._done

    def age(self, run: str) -> timedelta | None:
        """How long the newest notice has been on its way; None: none is."""
        since = [p.since for (uid, _), p in self._posted.items() if uid == run]
        if not since:
            return None
        return timedelta(seconds=asyncio.get_running_loop().time() - max(since))

    def deliveries(self, run: str) -> list[Delivery]:
        """What became of notices of the run, in the order in which they were through."""
        return [delivery for (uid, _), delivery in self._done.items() if uid == run]

    def forget(self, run: str, deliveries: Sequence[Delivery]) -> None:
        """These are recorded."""
        for delivery in deliveries:
            self._done.pop((run, delivery.notice.id), None)

    async def _deliver(
        self, run: str, notice: Notice, to: Sequence[Receiver], at: datetime
    ) -> None:
        results = await asyncio.gather(
            *(self._until_taken(run, notice, receiver, at) for receiver in to),
            return_exceptions=True,
        )
        failures = []
        for receiver, result in zip(to, results, strict=True):
            if isinstance(result, BaseException):
                log.error("notice %s to %s", notice.id, receiver.arn, exc_info=result)
                failures.append(_said(receiver, type(result).__name__, str(result)))
            elif result:
                failures.append(result)
        delivery = Delivery(notice, at, len(to) - len(failures), tuple(failures))
        self._posted.pop((run, notice.id), None)
        self._done[run, notice.id] = delivery

    async def _until_taken(self, run: str, notice: Notice, receiver: Receiver, at: datetime) -> str:
        """Try until the receiver took it; else, when it is given up, why it did not."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._patience
        for pause in _pauses():
            try:
                async with self._lanes[receiver.lane]:
                    self._permit()
                    context = copy_context()  # for which run it is goes with it
                    await loop.run_in_executor(
                        self._threads, context.run, self._send, receiver, notice, run, at
                    )
            except (ClientError, BotoCoreError) as error:
                fault = classify(error)
                final = fault.kind in {ErrorClass.FINAL, ErrorClass.DENIED}
                if final or loop.time() + pause > end:
                    return _said(receiver, fault.code, fault.message)
            else:
                return ""
            await asyncio.sleep(pause)
        raise AssertionError("pauses do not end")


def _pauses() -> Iterator[float]:
    """Seconds between tries: doubled each time, up to a limit."""
    pause = _FIRST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, _LONGEST_PAUSE)


def _said(receiver: Receiver, code: str, message: str) -> str:
    arn = receiver.arn
    return f"{arn} (account {account_of(arn)}, {region_of(arn)}): {code}: {message}"

"""Blocking calls in threads of our own: bounded, and ordered where they count against quotas.

kopf's pool is small and shared; a thread here is held for one call's time-outs at most, because
adapters never wait.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Pool:
    """Threads for blocking calls; `name` is theirs."""

    def __init__(self, threads: int, name: str = "aws") -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._lock = threading.Lock()
        self.waiting = 0
        """Calls that wait for a thread."""
        self.busy = 0
        """Calls that run."""
        self._queues: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._rooms = defaultdict[str, asyncio.Semaphore](
            lambda: asyncio.Semaphore(max(threads // 2, 1))
        )

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Result of `function` run in a thread; its exceptions are raised here.

        It runs in the caller's context: what its log lines are about goes with it.
        """
        context = contextvars.copy_context()

        def work() -> R:
            self._count(waiting=-1, busy=1)
            try:
                return context.run(function, *args, **kwargs)
            finally:
                self._count(busy=-1)

        self._count(waiting=1)
        call = self._executor.submit(work)
        call.add_done_callback(self._given_up)
        return await asyncio.wrap_future(call)

    def _given_up(self, call: Future[Any]) -> None:
        if call.cancelled():  # before it got a thread, or it could not be
            self._count(waiting=-1)

    def _count(self, *, waiting: int = 0, busy: int = 0) -> None:
        with self._lock:
            self.waiting += waiting
            self.busy += busy

    def queue(self, account_id: str, region: str) -> asyncio.Lock:
        """The lock that orders what counts against the quotas of one account in one Region.

        It spans looking and acting, so that two tasks never count the same free quota.
        """
        return self._queues[account_id, region]

    def room(self, region: str) -> asyncio.Semaphore:
        """What looks at one Region may hold at once: half of the threads.

        Many may wait in their threads for the answer to one call. Where a Region is silent, the
        other half goes on with the Regions that answer. Who is in a queue may wait for room, and
        who has room must not wait for a queue.
        """
        return self._rooms[region]

    def close(self) -> None:
        """Wait for running calls, start no more."""
        self._executor.shutdown(wait=True, cancel_futures=True)

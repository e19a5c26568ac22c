"""Blocking calls in threads of our own: bounded, and ordered where they count against quotas.

kopf's pool is small and shared; a thread here is held for one call's time-outs at most, because
adapters never wait.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Pool:
    """Threads for blocking calls; `name` is theirs."""

    def __init__(self, threads: int, name: str = "aws") -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._queues: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._rooms = defaultdict[str, asyncio.Semaphore](
            lambda: asyncio.Semaphore(max(threads // 2, 1))
        )

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Result of `function` run in a thread; its exceptions are raised here."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: function(*args, **kwargs))

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

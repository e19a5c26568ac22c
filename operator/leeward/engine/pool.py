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

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Result of `function` run in a thread; its exceptions are raised here."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: function(*args, **kwargs))

    def queue(self, account_id: str, region: str) -> asyncio.Lock:
        """The lock that orders what counts against the quotas of one account in one Region.

        It spans looking and acting, so that two tasks never count the same free quota.
        """
        return self._queues[account_id, region]

    def close(self) -> None:
        """Wait for running calls, start no more."""
        self._executor.shutdown(wait=True, cancel_futures=True)

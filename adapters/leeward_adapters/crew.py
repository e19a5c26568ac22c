"""Calls of the same kind for many resources, some at once, with bounds for all and for each place.

The helpers only ever run single calls, so that they never wait for each other.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import Any, Final, TypeVar

from leeward_adapters.errors import leaves_doubt

T = TypeVar("T")

HELPERS: Final = 16
AT_ONCE: Final = 8
"""Calls at once in one account and Region: rates of DRS are not published."""


class Crew:
    """Helper threads of a process.

    Args:
        helpers: how many calls may be under way.
        at_once: how many of them in one place.
    """

    def __init__(self, helpers: int = HELPERS, at_once: int = AT_ONCE) -> None:
        self._executor = ThreadPoolExecutor(helpers, thread_name_prefix="aws-crew")
        self._lock = threading.Lock()
        self._rooms: defaultdict[Hashable, threading.Semaphore] = defaultdict(
            lambda: threading.Semaphore(at_once)
        )

    def each(self, place: Hashable, call: Callable[[T], Any], items: Iterable[T]) -> None:
        """`call` for every item, in the caller's context. After an error no more are begun.

        Raises the first error, in the order of the items, once all that began have ended; one that
        leaves doubt goes before others, because it speaks of what may still happen.
        """
        with self._lock:
            room = self._rooms[place]
        begun: list[Future[Any]] = []
        failed = threading.Event()

        def one(item: T) -> None:
            try:
                call(item)
            except BaseException:
                failed.set()
                raise
            finally:
                room.release()

        for item in items:
            room.acquire()
            if failed.is_set():
                room.release()
                break
            begun.append(self._executor.submit(copy_context().run, one, item))
        wait(begun)
        errors = [error for future in begun if (error := future.exception()) is not None]
        if errors:
            raise next(filter(leaves_doubt, errors), errors[0])

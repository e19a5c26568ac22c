"""Answers that are kept for a while: quotas, templates, logs of jobs that have ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Hashable
from typing import Any, TypeVar, cast

T = TypeVar("T")


class Notes:
    """Shared between threads. What is too old goes when something is noted.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[Hashable, tuple[float, Any]] = {}
        self._under_way: set[tuple[Hashable, object]] = set()
        """Questions, by key, whose answers nobody had forgotten in advance."""

    def cached(self, key: Hashable, seconds: float, make: Callable[[], T]) -> T:
        """`make()`, or its answer if it is younger than `seconds`.

        Errors are not kept, nor is the answer to a question that was under way at a `forget`.
        """
        now, question = self._clock(), (key, object())
        with self._lock:
            found = self._kept.get(key)
            if found is not None and found[0] > now:
                return cast(T, found[1])
            self._under_way.add(question)
        try:
            value = make()
            with self._lock:
                if question in self._under_way:
                    self._kept = {k: note for k, note in self._kept.items() if note[0] > now}
                    self._kept[key] = (now + seconds, value)
        finally:
            with self._lock:
                self._under_way.discard(question)
        return value

    def forget(self, keys: Collection[Hashable]) -> None:
        """Drop what is kept under these keys, or will have been asked before now."""
        with self._lock:
            self._kept = {k: note for k, note in self._kept.items() if k not in keys}
            self._under_way = {one for one in self._under_way if one[0] not in keys}

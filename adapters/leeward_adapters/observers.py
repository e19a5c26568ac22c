"""Observers: what is told of things that happen, and must change nothing of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import ParamSpec

log = logging.getLogger(__name__)
P = ParamSpec("P")


def isolated(observer: Callable[P, object]) -> Callable[P, None]:
    """The observer, of whose errors nothing reaches whoever tells it; safe in many threads.

    The first one is logged, the others are not: what fails once fails with every call and pass.
    """
    said = threading.Lock()

    def tell(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            observer(*args, **kwargs)
        except Exception:
            if said.acquire(blocking=False):
                log.exception(
                    "%s failed; what it counts is incomplete from here on, nothing else is. "
                    "Further errors of it are not logged",
                    getattr(observer, "__qualname__", observer),
                )

    return tell

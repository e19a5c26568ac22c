"""What the process is at work on, for whoever observes its calls or its log lines.

Like the subject of log lines (`leeward.logs.about`) it goes with the context, into the tasks and
threads that work on it; but it is identities, not names.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Work:
    """A run, or one attempt of a task of it."""

    namespace: str
    execution: str
    """Uid."""
    task: str = ""
    """Uid; empty: what is done is not one task's."""
    attempt: int = 0
    """Of the task."""


_WORK: ContextVar[Work | None] = ContextVar("work", default=None)


@contextmanager
def at_work(on: Work) -> Iterator[None]:
    """What is done inside is done for this."""
    token = _WORK.set(on)
    try:
        yield
    finally:
        _WORK.reset(token)


def current() -> Work | None:
    """What is being worked on here; None: no run."""
    return _WORK.get()

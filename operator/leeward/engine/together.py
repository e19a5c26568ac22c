"""Requests side by side, as one thing: it succeeds, or it fails and leaves nothing running."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")
U = TypeVar("U")


async def both(first: Coroutine[Any, Any, T], second: Coroutine[Any, Any, U]) -> tuple[T, U]:
    """What the two come to. The first error of either ends the other and is raised itself."""
    async with _together() as group:
        one, two = group.create_task(first), group.create_task(second)
    return one.result(), two.result()


async def each(
    make: Callable[[T], Coroutine[Any, Any, U]], items: Iterable[T], *, at_once: int
) -> list[U]:
    """What `make` gives for each of the items, in their order, `at_once` at a time at most.

    The first error ends the others and is raised itself.
    """
    room = asyncio.Semaphore(at_once)

    async def one(item: T) -> U:
        async with room:
            return await make(item)

    async with _together() as group:
        made = [group.create_task(one(item)) for item in items]
    return [task.result() for task in made]


@asynccontextmanager
async def _together() -> AsyncIterator[asyncio.TaskGroup]:
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None

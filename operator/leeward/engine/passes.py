"""Passes over tasks, which may outlast the pass over their run.

An account that hangs must hold up neither the others nor the people who want to pause or cancel:
the run goes on without the answer, and takes it when it is there. Nothing is lost when the process
ends meanwhile, because a pass over a task writes its intent before it asks AWS for anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeAlias

from leeward.api.task import DRTask
from leeward.engine.objects import Held

PATIENCE = 1.0
"""Seconds for which a run waits for the passes over its tasks before it goes on without them."""

Result: TypeAlias = tuple[Held[DRTask], timedelta]
"""The task as its pass left it, and when to look again."""
Start: TypeAlias = Callable[[], Coroutine[Any, Any, Result]]


@dataclass(slots=True)
class Advance:
    """What came of some passes."""

    results: list[Result] = field(default_factory=list)
    """Of passes that began now and have ended."""
    late: list[Held[DRTask]] = field(default_factory=list)
    """Tasks as passes left them that began earlier; they may have been written since."""
    pending: int = 0
    """Passes that go on."""


class TaskPasses:
    """At most one pass over each task at a time."""

    def __init__(self, patience: float = PATIENCE) -> None:
        """`patience`: seconds for which `advance` waits for passes that do not end."""
        self._patience = patience
        self._running: dict[str, asyncio.Task[Result]] = {}
        self.closing = False
        """Whether no more is to be begun."""

    def begin(self, starts: Mapping[str, Start]) -> set[str]:
        """Begin a pass over each task (by uid) that has none; the uids of those that had none."""
        fresh = {uid for uid in starts if uid not in self._running}
        for uid in fresh:
            self._running[uid] = asyncio.create_task(starts[uid](), name=f"task {uid}")
        return fresh

    @property
    def working(self) -> frozenset[str]:
        """Uids of the tasks over which a pass goes on, or has ended and was not taken yet."""
        return frozenset(self._running)

    async def advance(self, starts: Mapping[str, Start], others: Iterable[str] = ()) -> Advance:
        """Begin a pass over each task (by uid) that has none, and wait for all a little.

        `others`: uids of tasks over which nothing begins, but an earlier pass may go on; those
        are waited for only where nothing else is. Once passes have ended, the first error of any
        is raised.
        """
        fresh = self.begin(starts)
        passes = {uid: self._running[uid] for uid in (*starts, *others) if uid in self._running}
        awaited = [self._running[uid] for uid in starts] or list(passes.values())
        if awaited:
            await asyncio.wait(awaited, timeout=self._patience)
        ended = {uid: each for uid, each in passes.items() if each.done()}
        for uid in ended:
            del self._running[uid]
        errors = [e for each in ended.values() if (e := each.exception()) is not None]
        if errors:
            raise errors[0]
        return Advance(
            results=[each.result() for uid, each in ended.items() if uid in fresh],
            late=[each.result()[0] for uid, each in ended.items() if uid not in fresh],
            pending=sum(1 for each in awaited if not each.done()),
        )

    async def settle(self, grace: float) -> None:
        """Begin nothing more, and wait for all passes, for `grace` seconds at most."""
        self.closing = True
        if self._running:
            await asyncio.wait(self._running.values(), timeout=grace)

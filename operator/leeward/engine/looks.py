"""Looks at accounts, shared by all plans that recover the same ones.

Plans ask at their own times. Whoever asks while a look is under way gets the next one, together
with all others who do; whoever only keeps up to date gets one that another plan just had.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from leeward.api.account import TargetAccount
from leeward.api.plan import RecoveryPlan
from leeward.engine.context import Context
from leeward_adapters import ec2_capacity
from leeward_adapters.discovery import Discovery, Known, discover, gone

SHARED_FOR: Final = timedelta(seconds=60)
"""Age of a look that serves another plan which is due but wants nothing in particular."""
INDEX_FOR: Final = timedelta(minutes=5)
"""Age of the list of tagged resources that is not asked for again."""
FORGOTTEN_AFTER: Final = timedelta(hours=1)
"""Then everything is asked for again, what hardly ever changes included."""


@dataclass(frozen=True, slots=True)
class Look:
    """What an account said, and when it was asked."""

    seen: Discovery
    at: datetime


@dataclass(slots=True)
class _Shared:
    """The looks at one account, for one namespace and pair of Regions."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    last: Look | None = None
    known: Known = field(default_factory=Known)
    index_at: datetime | None = None
    since: datetime | None = None
    """Since when `known` was gathered."""


class Looks:
    """One look at a time for each account."""

    def __init__(self, context: Context) -> None:
        self._c = context
        self._shared: dict[Hashable, _Shared] = {}
        # A Region that hangs holds threads; runs need theirs.
        self._threads = asyncio.Semaphore(max(1, context.settings.aws_threads // 2))

    async def at(
        self, plan: RecoveryPlan, target: TargetAccount, interval: timedelta, *, asked: bool
    ) -> Look:
        """What the account has to recover.

        `asked`: somebody wants to know how it is now, so the look begins after this call and
        takes nothing from a cache. Else it may be a minute old, though never older than half the
        plan's `interval`, and the list of tagged resources in it five minutes.
        """
        self._forget()
        shared = self._shared.setdefault(self._key(plan, target), _Shared())
        oldest = self._c.now() - (timedelta() if asked else min(SHARED_FOR, interval / 2))
        async with shared.turn:
            if shared.last is None or shared.last.at < oldest:
                await self._look(plan, target, shared, whole=asked)
            assert shared.last is not None
            return shared.last

    async def gone(
        self, plan: RecoveryPlan, target: TargetAccount, servers: list[str]
    ) -> frozenset[str]:
        """Which of the DRS source servers were deleted, as DRS says of each."""
        account = self._c.account(target, plan.metadata.namespace)
        scope = self._c.aws.scope(account, plan.spec.regions.recovery)
        return await self._c.pool.run(gone, scope, servers)

    async def _look(
        self, plan: RecoveryPlan, target: TargetAccount, shared: _Shared, *, whole: bool
    ) -> None:
        account = self._c.account(target, plan.metadata.namespace)
        regions = plan.spec.regions
        if whole:
            ec2_capacity.forget(self._c.aws.scope(account, regions.recovery))
        async with self._threads:
            at = self._c.now()
            known = self._known(shared, at, whole=whole)
            seen = await self._c.pool.run(
                discover,
                lambda region: self._c.aws.scope(account, region),
                regions=(regions.primary, regions.recovery),
                providers=plan.spec.discovery.providers,
                known=known,
            )
        if known.explored is None:
            shared.index_at = at
        if known == Known():
            shared.since = at
        shared.last, shared.known = Look(seen, at), seen.known

    def _known(self, shared: _Shared, now: datetime, *, whole: bool) -> Known:
        if whole or shared.since is None or now - shared.since > FORGOTTEN_AFTER:
            return Known()
        if shared.index_at is None or now - shared.index_at >= INDEX_FOR:
            return shared.known.without_index()
        return shared.known

    def _key(self, plan: RecoveryPlan, target: TargetAccount) -> Hashable:
        """Plans of another namespace reach the account by another session, and may see less."""
        regions = plan.spec.regions
        return (
            plan.metadata.namespace, target.metadata.uid, target.metadata.generation,
            regions.primary, regions.recovery, tuple(plan.spec.discovery.providers),
        )  # fmt: skip

    def _forget(self) -> None:
        """Drop what no plan asked for in a long time."""
        old = self._c.now() - FORGOTTEN_AFTER
        self._shared = {
            key: shared
            for key, shared in self._shared.items()
            if shared.turn.locked() or shared.last is None or shared.last.at > old
        }

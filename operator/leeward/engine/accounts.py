"""The pass over one TargetAccount: issue external ids, look at both roles and DRS, say it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Final

from botocore.exceptions import UnknownRegionError

from leeward.api.account import IssuedExternalId, TargetAccount
from leeward.api.plan import RecoveryPlan
from leeward.engine.account_book import Entry
from leeward.engine.account_look import Looker
from leeward.engine.context import Context
from leeward.engine.kube import ApiError
from leeward.engine.objects import put_status, read, read_all
from leeward.engine.supervisor import Key
from leeward.planning.accounts.account_status import Seen, status_of, unverified
from leeward.planning.accounts.account_use import Use, use_of
from leeward_adapters import registry

INTERVAL: Final = timedelta(minutes=5)
SOON: Final = timedelta(minutes=1)
"""Pause after AWS did not answer."""


class AccountReconciler:
    """Passes over TargetAccounts."""

    def __init__(self, context: Context) -> None:
        self._c = context
        self._looked: dict[str, tuple[object, datetime]] = {}
        """By uid: what the last look was about, and when the next is due."""
        self._plans: list[RecoveryPlan] = []
        self._asked = self._listed = 0
        self._listing = asyncio.Lock()

    async def run(self, key: Key) -> float | None:
        """One pass; seconds until the next, or None when there is no such account."""
        try:
            held = await read(self._c.kube, TargetAccount, None, key.name)
        except ApiError as error:
            if error.status == 404:
                self._looked.pop(key.uid, None)
                self._c.book.forget(key.name, key.uid)
                return None
            raise
        target = held.model
        entry = await self._c.book.learn(self._c.kube, target)
        use = use_of(target, await self._all_plans(), registry.kinds())
        signature = (target.metadata.generation, entry, use)
        if wait := self._not_due(key, signature):
            return wait
        seen = await self._look(target, use, entry)
        await put_status(self._c.kube, held, status_of(target, seen, self._c.now()))
        pause = SOON if unverified(seen.roles) else INTERVAL
        self._looked[key.uid] = (signature, self._c.now() + pause)
        return pause.total_seconds()

    def _not_due(self, key: Key, signature: object) -> float:
        """Seconds until the account must be looked at again; zero: now."""
        before = self._looked.get(key.uid)
        if before is None or before[0] != signature:
            return 0.0
        return max((before[1] - self._c.now()).total_seconds(), 0.0)

    async def _all_plans(self) -> list[RecoveryPlan]:
        """All plans as they are now; passes that ask at one time share a list."""
        self._asked += 1
        mine = self._asked
        async with self._listing:
            if self._listed < mine:
                # Whoever has asked by now is served by it: it begins later than their question.
                served = self._asked
                found = await read_all(self._c.kube, RecoveryPlan, None)
                self._plans, self._listed = [held.model for held in found], served
            return self._plans

    async def _look(self, target: TargetAccount, use: Use, entry: Entry) -> Seen:
        issued = tuple(
            IssuedExternalId(namespace=n, external_id=self._c.external_id(n))
            for n in target.spec.allow.namespaces
        )
        foreign = self._foreign(target, use)
        if entry.problem:
            return Seen((), (), use, (), foreign, entry.problem)
        run, looker = self._c.pool.run, Looker(self._c, target, use)
        roles = await asyncio.gather(run(looker.role, "Read"), run(looker.role, "Recovery"))
        regions = []
        if roles[0].assumed == "Yes":
            wanted = [region for region in use.regions if region not in foreign]
            regions = await asyncio.gather(*(run(looker.drs, region) for region in wanted))
        by_secret = entry.external_id is not None
        return Seen(tuple(roles), tuple(regions), use, () if by_secret else issued, foreign)

    def _foreign(self, target: TargetAccount, use: Use) -> tuple[str, ...]:
        partition = target.spec.read_role_arn.split(":")[1]
        regions = sorted({*target.spec.regions, *use.regions})
        return tuple(r for r in regions if self._partition(r) != partition)

    def _partition(self, region: str) -> str:
        """Empty: no partition that botocore knows has such a Region."""
        try:
            return self._c.aws.partition(region)
        except UnknownRegionError:
            return ""

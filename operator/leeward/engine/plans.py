"""The pass over one RecoveryPlan: check it, look at its accounts, write down what was found.

An account that does not answer keeps its last good inventory, with its age and the reason.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from leeward.api.account import TargetAccount
from leeward.api.common import PREFIX
from leeward.api.conditions import Reason, Type, find
from leeward.api.inventory import Finding, InventoryResource, RecoveryInventory
from leeward.api.launch import LaunchStatus
from leeward.api.plan import RecoveryPlan
from leeward.api.plan_record import RecoveryPlanStatus
from leeward.engine.context import Context
from leeward.engine.dependencies import Dependencies
from leeward.engine.estate import accounts_of, inventories_of
from leeward.engine.fence_watch import FenceWatch
from leeward.engine.inventories import Inventories, Looked
from leeward.engine.kube import ApiError
from leeward.engine.launch_layers import POLL, Layers, read_layers, refers, with_settings
from leeward.engine.looks import Looks
from leeward.engine.objects import Held, put_status, read
from leeward.engine.readiness import Rehearsal, answered, check, rehearsal
from leeward.engine.supervisor import Key
from leeward.planning.durations import parse
from leeward.planning.estate import losses
from leeward.planning.estate.inventory import by_account
from leeward.planning.estate.machines import Found
from leeward.planning.plans import region_pairs, rules
from leeward.planning.plans.plan_status import assess
from leeward.planning.problem import Problem
from leeward.planning.times import render_time
from leeward_adapters import registry

log = logging.getLogger(__name__)

AT_ONCE: Final = 8
"""Plans that are worked out at a time: hundreds at once, after a start, would starve the Lease.
One that waits for AWS does not count."""
AGAIN: Final = timedelta(seconds=15)
"""Until the next look after one to which something did not answer; doubled while it goes on."""
REFRESH: Final = f"{PREFIX}refresh"
"""Annotation of a plan: a new value has it looked at at once, without any cache."""


class PlanReconciler:
    """Passes over plans."""

    def __init__(self, context: Context) -> None:
        self._c = context
        self._fences = FenceWatch(context)
        self._dependencies = Dependencies(context)
        self._looks = Looks(context)
        self._inventories = Inventories(context)
        self._room = asyncio.Semaphore(AT_ONCE)
        self._looked: dict[str, tuple[object, datetime]] = {}
        """By uid: what the plan was like when it was last looked at, and when it is due again."""
        self._layers: dict[str, Layers] = {}
        """By uid: the plan's launch layers as they were read last."""
        self._failures: dict[str, int] = {}

    async def run(self, key: Key) -> float | None:
        """One pass; seconds until the next, or None when there is no such plan."""
        async with self._room:
            try:
                plan = await read(self._c.kube, RecoveryPlan, key.namespace, key.name)
            except ApiError as error:
                if error.status == 404:
                    self._looked.pop(key.uid, None)
                    self._layers.pop(key.uid, None)
                    self._failures.pop(key.uid, None)
                    return None
                raise
            if plan.model.metadata.uid != key.uid or plan.model.metadata.deletion_timestamp:
                return None
            accounts = await accounts_of(self._c.kube, plan.model)
            layers = await read_layers(self._c.kube, plan.model, self._layers.get(key.uid))
            self._layers[key.uid] = layers
            signature = (
                plan.model.metadata.generation,
                tuple(sorted(_as_it_is(account) for account in accounts.values())),
                next((h.uid for h in reversed(plan.model.status.history)), ""),  # a run ended
                layers.digest,
                (plan.raw["metadata"].get("annotations") or {}).get(REFRESH),
            )
            if wait := self._not_due(key, signature):
                return _pause(plan.model, timedelta(seconds=wait)).total_seconds()
            inventories = await inventories_of(self._c.kube, plan.model)
        return await self._pass(key, plan, accounts, inventories, layers, signature)

    async def _pass(
        self,
        key: Key,
        plan: Held[RecoveryPlan],
        accounts: Mapping[str, TargetAccount],
        inventories: Sequence[Held[RecoveryInventory]],
        layers: Layers,
        signature: object,
    ) -> float:
        """Look at the accounts of a plan that is due, and write down what was found."""
        problems, answered = rules.problems_of(plan.model, accounts), True
        problems += region_pairs.problems(plan.model, self._c.settings.allowed_pairs)
        launch = plan.model.status.launch
        if not problems:
            asked = self._asked(key, plan.model, signature)
            inventories, launch, answered = await self._discover(
                plan, accounts, inventories, layers, asked=asked
            )
        seen: dict[str, Sequence[object]] = {
            "dependencies": await self._dependencies.look(plan.model, accounts),
            "deferred_fence": await self._fences.look(plan.model, accounts),
            "left_stopped": await self._fences.look_at_stopped(plan.model, accounts),
        }
        async with self._room:
            await self._record(plan, accounts, inventories, problems, seen, launch)
        delay = self._delay(key, plan.model, answered=answered)
        self._looked[key.uid] = (signature, self._c.now() + delay)
        return _pause(plan.model, delay).total_seconds()

    async def _discover(
        self,
        plan: Held[RecoveryPlan],
        accounts: Mapping[str, TargetAccount],
        inventories: Sequence[Held[RecoveryInventory]],
        layers: Layers,
        *,
        asked: bool,
    ) -> tuple[list[Held[RecoveryInventory]], LaunchStatus | None, bool]:
        """The inventories as they are after a look, and the report on the launch settings.

        False: something that was asked did not answer.
        """
        known = [i.model for i in inventories]
        looked = await self._look(plan.model, accounts, known, asked)
        async with self._room:
            found = [f for one in looked.values() for f in one.found]
            sorted_out = by_account(
                plan.model.spec, found, registry.kinds(), self._c.words(), layers.tag_keys
            )
        resources, launch = await with_settings(
            self._c, plan.model, layers, accounts, sorted_out, known
        )
        rehearsed = await self._rehearsed(plan.model, accounts, resources)
        findings = await self._findings(plan.model, accounts, resources, looked)
        async with self._room:
            written = await self._inventories.write(
                plan, accounts, inventories, looked, rehearsed, findings
            )
        return written, launch, not _unanswered(looked, findings)

    async def _record(
        self,
        plan: Held[RecoveryPlan],
        accounts: Mapping[str, TargetAccount],
        inventories: Sequence[Held[RecoveryInventory]],
        problems: Sequence[Problem],
        seen: Mapping[str, Sequence[object]],
        launch: LaunchStatus | None,
    ) -> None:
        metadata = plan.model.metadata
        fresh = await read(self._c.kube, RecoveryPlan, metadata.namespace, metadata.name)
        model = fresh.model
        for kind in ("deferred_fence", "left_stopped"):
            if getattr(model.status, kind) != getattr(plan.model.status, kind):
                seen = {k: v for k, v in seen.items() if k != kind}  # a run wrote it
        model = _with_status(model, seen)
        status = assess(
            model, accounts, [i.model for i in inventories],
            now=self._c.now(), valid=problems, previous=model.status, adapters=registry.kinds(),
            words=self._c.words(), launch=launch,
        )  # fmt: skip
        await put_status(self._c.kube, fresh, status)
        await self._alarm(plan, status)

    async def _alarm(self, plan: Held[RecoveryPlan], after: RecoveryPlanStatus) -> None:
        """An event once the side that was left answers again with writers on it."""
        kind, reason = Type.SOURCE_FENCED, Reason.SOURCE_RETURNED
        was, now = find(plan.model.status.conditions, kind), find(after.conditions, kind)
        if now and now.reason == reason and (was is None or was.reason != reason):
            at = render_time(self._c.now())
            await self._c.recorder.emit(plan.raw, reason, now.message, "Warning", at, "Watch")

    def _interval(self, plan: RecoveryPlan) -> timedelta:
        try:
            return parse(plan.spec.discovery.interval)
        except ValueError:
            return timedelta(minutes=5)  # the plan is invalid, which its status says

    def _not_due(self, key: Key, signature: object) -> float:
        """Seconds until the estate must be looked at again; zero: now."""
        before = self._looked.get(key.uid)
        if before is None or before[0] != signature:
            return 0.0
        return max((before[1] - self._c.now()).total_seconds(), 0.0)

    def _asked(self, key: Key, plan: RecoveryPlan, signature: object) -> bool:
        """Whether something happened that the plan's status should speak of.

        After a start of the operator nothing has: the plans keep up to date.
        """
        before = self._looked.get(key.uid)
        if before is None:
            return plan.status.observed_generation != plan.metadata.generation
        return before[0] != signature

    def _delay(self, key: Key, plan: RecoveryPlan, *, answered: bool) -> timedelta:
        """Until the next look: sooner while something does not answer, if it ever passes."""
        if answered:
            self._failures.pop(key.uid, None)
            return self._interval(plan)
        failures = self._failures.get(key.uid, 0)
        self._failures[key.uid] = failures + 1
        again: timedelta = AGAIN * 2 ** min(failures, 10)
        return min(self._interval(plan), again)

    async def _look(
        self,
        plan: RecoveryPlan,
        accounts: Mapping[str, TargetAccount],
        inventories: Sequence[RecoveryInventory],
        asked: bool,
    ) -> dict[str, Looked]:
        """What every account says, all at once, with what it said before where that is needed."""
        looks = (self._look_at(plan, a, inventories, asked) for a in accounts.values())
        return {one.account: one for one in await asyncio.gather(*looks)}

    async def _look_at(
        self,
        plan: RecoveryPlan,
        target: TargetAccount,
        inventories: Sequence[RecoveryInventory],
        asked: bool,
    ) -> Looked:
        name = target.metadata.name
        look = await self._looks.at(plan, target, self._interval(plan), asked=asked)
        found = [
            Found(
                id=r.id, arn=r.arn, technology=r.technology, account=name,
                account_id=target.spec.account_id, region=r.region, name=r.name,
                tags=r.tags, attributes=r.attributes,
            )
            for r in look.seen.found
        ]  # fmt: skip
        known = losses.before(inventories, name)
        if look.seen.way_back_silent:
            found = losses.way_back_kept(found, known)
        if look.seen.problems:
            log.warning("plan %s, account %s: %s", plan.metadata.name, name, look.seen.problems)
            found = losses.union(found, known)
        else:
            found += await self._lost(plan, target, found, known)
        return Looked(name, tuple(found), look.at, look.seen)

    async def _lost(
        self,
        plan: RecoveryPlan,
        target: TargetAccount,
        found: Sequence[Found],
        known: Sequence[Found],
    ) -> list[Found]:
        """What an account that answered lacks, without what was deleted."""
        lost, now = losses.vanished(found, known), self._c.now()
        if losses.kept(lost, known, now):
            servers = [f.id for f in lost if f.technology == "drs" and f.id.startswith("s-")]
            try:
                deleted = await self._looks.gone(plan, target, servers)
            except (ClientError, BotoCoreError):
                deleted = frozenset()  # not known to be
            lost = [f for f in lost if f.id not in deleted]
        return losses.kept(lost, known, now)

    async def _rehearsed(
        self,
        plan: RecoveryPlan,
        accounts: Mapping[str, TargetAccount],
        resources: Mapping[str, Sequence[InventoryResource]],
    ) -> dict[str, Rehearsal]:
        """By TargetAccount: its resources, with what a drill of them would prove."""
        looks = (
            rehearsal(self._c, plan, target, resources.get(name, []))
            for name, target in accounts.items()
        )
        return dict(zip(accounts, await asyncio.gather(*looks), strict=True))

    async def _findings(
        self,
        plan: RecoveryPlan,
        accounts: Mapping[str, TargetAccount],
        resources: Mapping[str, Sequence[InventoryResource]],
        looked: Mapping[str, Looked],
    ) -> dict[str, list[Finding]]:
        """By TargetAccount: what discovery noted, and what readiness checks say."""
        checks = (
            self._of_account(plan, target, resources.get(name, []), looked[name])
            for name, target in accounts.items()
        )
        return dict(zip(accounts, await asyncio.gather(*checks), strict=True))

    async def _of_account(
        self,
        plan: RecoveryPlan,
        target: TargetAccount,
        resources: Sequence[InventoryResource],
        looked: Looked,
    ) -> list[Finding]:
        notes = [
            Finding(severity="Warning", reason="DiscoveryFragile", message=note[:1024])
            for note in looked.seen.notes
        ]
        # Of a silent account too: what it said before is what would be recovered, and the Region
        # that it is recovered to may well answer.
        return [*notes, *await check(self._c, plan, target, resources)]


def _unanswered(looked: Mapping[str, Looked], findings: Mapping[str, Sequence[Finding]]) -> bool:
    """Whether anything that was asked did not answer."""
    checked = all(answered(found) for found in findings.values())
    return not checked or any(one.problem for one in looked.values())


def _pause(plan: RecoveryPlan, due: timedelta) -> timedelta:
    """Until the next pass, at which the estate is looked at only if it is due."""
    return min(due, POLL) if refers(plan) else due


def _as_it_is(account: TargetAccount) -> tuple[str, int, str]:
    """What a plan is looked at anew for: another spec of an account, or another verdict on it."""
    ready = find(account.status.conditions, Type.READY)
    return account.metadata.uid, account.metadata.generation, ready.status if ready else ""


def _with_status(plan: RecoveryPlan, seen: Mapping[str, Sequence[object]]) -> RecoveryPlan:
    """The plan with parts of its status as they were looked at."""
    status = plan.status.model_copy(update={name: list(found) for name, found in seen.items()})
    return plan.model_copy(update={"status": status})

"""The pass over one RecoveryPlan: check it, look at its accounts, write down what was found.

An account that does not answer keeps its last good inventory, with its age and the reason.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from leeward.api.account import TargetAccount
from leeward.api.common import Ref
from leeward.api.conditions import Reason, Type, find
from leeward.api.inventory import (
    Finding,
    InventoryResource,
    RecoveryInventory,
    RecoveryInventorySpec,
    RecoveryInventoryStatus,
)
from leeward.api.plan import RecoveryPlan
from leeward.api.plan_record import RecoveryPlanStatus
from leeward.engine.context import Context
from leeward.engine.dependencies import Dependencies
from leeward.engine.estate import accounts_of, inventories_of
from leeward.engine.fence_watch import FenceWatch
from leeward.engine.kube import ApiError, path_of
from leeward.engine.objects import (
    PLAN_LABEL,
    Held,
    hold,
    label_value,
    new_object,
    put_status,
    read,
)
from leeward.engine.readiness import check, rehearsal
from leeward.engine.supervisor import Key
from leeward.planning import rules
from leeward.planning.durations import parse
from leeward.planning.inventory import PART, Found, by_account, chunks
from leeward.planning.plan_status import assess
from leeward.planning.times import render_time
from leeward_adapters import registry
from leeward_adapters.discovery import discover

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Looked:
    """What one account said."""

    account: str
    found: tuple[Found, ...] = ()
    problem: str = ""
    """Why it did not answer; empty: it did."""
    remarks: tuple[str, ...] = ()
    """What it could not say although it answered."""


class PlanReconciler:
    """Passes over plans."""

    def __init__(self, context: Context) -> None:
        self._c = context
        self._fences = FenceWatch(context)
        self._dependencies = Dependencies(context)
        self._looked: dict[str, tuple[object, datetime]] = {}

    async def run(self, key: Key) -> float | None:
        """One pass; seconds until the next, or None when there is no such plan."""
        try:
            plan = await read(self._c.kube, RecoveryPlan, key.namespace, key.name)
        except ApiError as error:
            if error.status == 404:
                self._looked.pop(key.uid, None)
                return None
            raise
        if plan.model.metadata.uid != key.uid or plan.model.metadata.deletion_timestamp:
            return None
        accounts = await accounts_of(self._c.kube, plan.model)
        signature = (
            plan.model.metadata.generation,
            tuple(sorted((a.metadata.uid, a.metadata.generation) for a in accounts.values())),
            plan.model.status.active_execution is None,
        )
        if wait := self._not_due(key, signature, plan.model):
            return wait
        problems = rules.problems_of(plan.model, accounts)
        inventories = await inventories_of(self._c.kube, plan.model)
        if not problems:
            looked = await self._look(plan.model, accounts, inventories)
            inventories = await self._write(plan, accounts, inventories, looked)
        depends = await self._dependencies.look(plan.model, accounts)
        duties = await self._fences.look(plan.model, accounts)
        fresh = await read(self._c.kube, RecoveryPlan, key.namespace, key.name)
        model = fresh.model
        if model.status.deferred_fence == plan.model.status.deferred_fence:
            model = _with_status(model, deferred_fence=duties)
        model = _with_status(model, dependencies=depends)
        status = assess(
            model, accounts, [i.model for i in inventories],
            now=self._c.now(), valid=problems, previous=model.status, adapters=registry.kinds(),
        )  # fmt: skip
        await put_status(self._c.kube, fresh, status)
        await self._alarm(plan, status)
        self._looked[key.uid] = (signature, self._c.now())
        return self._interval(plan.model).total_seconds()

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

    def _not_due(self, key: Key, signature: object, plan: RecoveryPlan) -> float:
        """Seconds until the estate must be looked at again; zero: now."""
        before = self._looked.get(key.uid)
        if before is None or before[0] != signature:
            return 0.0
        return max((before[1] + self._interval(plan) - self._c.now()).total_seconds(), 0.0)

    async def _look(
        self,
        plan: RecoveryPlan,
        accounts: Mapping[str, TargetAccount],
        inventories: Sequence[Held[RecoveryInventory]],
    ) -> dict[str, _Looked]:
        """What every account says, all at once; a silent one with what it said before as well."""
        looked = await asyncio.gather(*(self._look_at(plan, a) for a in accounts.values()))
        return {
            one.account: _with_last_good(one, inventories) if one.problem else one for one in looked
        }

    async def _look_at(self, plan: RecoveryPlan, target: TargetAccount) -> _Looked:
        account = self._c.account(target, plan.metadata.namespace)
        regions = plan.spec.regions
        name = target.metadata.name
        seen = await self._c.pool.run(
            discover,
            lambda region: self._c.aws.scope(account, region),
            regions=(regions.primary, regions.recovery),
        )
        if seen.problems:
            log.warning("plan %s, account %s: %s", plan.metadata.name, name, seen.problems)
        found = tuple(
            Found(
                id=r.id, arn=r.arn, technology=r.technology, account=name,
                account_id=target.spec.account_id, region=r.region, name=r.name,
                tags=r.tags, attributes=r.attributes,
            )
            for r in seen.found
        )  # fmt: skip
        return _Looked(name, found, "; ".join(seen.problems)[:1024], tuple(seen.notes))

    async def _write(
        self,
        plan: Held[RecoveryPlan],
        accounts: Mapping[str, TargetAccount],
        inventories: Sequence[Held[RecoveryInventory]],
        looked: Mapping[str, _Looked],
    ) -> list[Held[RecoveryInventory]]:
        """The inventory objects as they are after this look, parts that are no more removed."""
        found = [f for one in looked.values() for f in one.found]
        sorted_out = by_account(plan.model.spec, found, registry.kinds())
        existing = {i.model.metadata.name: i for i in inventories}
        written: list[Held[RecoveryInventory]] = []
        for name, target in accounts.items():
            rehearsed = await rehearsal(self._c, plan.model, target, sorted_out.get(name, []))
            resources = rehearsed.resources
            findings = await self._findings(plan.model, target, resources, looked[name])
            listed = {r.id for r in resources}
            for part, some in enumerate(chunks(resources, PART) or [[]]):
                held = await self._part(plan, target, part, existing)
                ids = {r.id for r in some}
                # What speaks of the account, or of something not listed, stands in the first part.
                mine = [
                    f for f in findings
                    if f.resource in ids or (part == 0 and f.resource not in listed)
                ]  # fmt: skip
                status = self._status(held.model, some, mine, looked[name])
                if part == 0:
                    status = status.model_copy(update={"quotas": rehearsed.quotas})
                written.append(await put_status(self._c.kube, held, status))
        kept = {w.model.metadata.name for w in written}
        for name, inventory in existing.items():
            if name not in kept:
                await self._c.kube.delete(inventory.path, uid=inventory.model.metadata.uid)
        return written

    async def _findings(
        self,
        plan: RecoveryPlan,
        target: TargetAccount,
        resources: Sequence[InventoryResource],
        looked: _Looked,
    ) -> list[Finding]:
        notes = [
            Finding(severity="Warning", reason="DiscoveryFragile", message=r[:1024])
            for r in looked.remarks
        ]
        # Of a silent account too: what it said before is what would be recovered, and the Region
        # that it is recovered to may well answer.
        return [*notes, *await check(self._c, plan, target, resources)]

    def _status(
        self,
        held: RecoveryInventory,
        resources: Sequence[InventoryResource],
        findings: Sequence[Finding],
        looked: _Looked,
    ) -> RecoveryInventoryStatus:
        answered = not looked.problem
        discovered = render_time(self._c.now()) if answered else held.status.discovered_at
        return RecoveryInventoryStatus(
            discovered_at=discovered,
            current=answered,
            problem=looked.problem or None,
            count=len(resources),
            resources=list(resources),
            findings=list(findings[:500]),
        )

    async def _part(
        self,
        plan: Held[RecoveryPlan],
        target: TargetAccount,
        part: int,
        existing: Mapping[str, Held[RecoveryInventory]],
    ) -> Held[RecoveryInventory]:
        metadata = plan.model.metadata
        name = f"{metadata.name}-{target.spec.account_id}-{part}"
        if name in existing:
            return existing[name]
        spec = RecoveryInventorySpec(
            plan_ref=Ref(name=metadata.name),
            account=target.metadata.name,
            account_id=target.spec.account_id,
            part=part,
        )
        body = new_object(RecoveryInventory, metadata.namespace, name, spec)
        body["metadata"] |= {
            "labels": {PLAN_LABEL: label_value(metadata.name)},
            "ownerReferences": [
                {
                    "apiVersion": plan.raw["apiVersion"], "kind": RecoveryPlan.KIND,
                    "name": metadata.name, "uid": metadata.uid, "controller": True,
                }
            ],
        }  # fmt: skip
        path = path_of(RecoveryInventory.PLURAL, metadata.namespace)
        return hold(RecoveryInventory, await self._c.kube.create(path, body))


def _with_status(plan: RecoveryPlan, **looked: Sequence[object]) -> RecoveryPlan:
    """The plan with parts of its status as they were looked at."""
    status = plan.status.model_copy(update={name: list(found) for name, found in looked.items()})
    return plan.model_copy(update={"status": status})


def _with_last_good(silent: _Looked, inventories: Sequence[Held[RecoveryInventory]]) -> _Looked:
    """What an account says that did not answer wholly, and whatever else it said before.

    What is not seen for want of an answer is not gone: an inventory does not shrink by accident.
    """
    before = {
        r.arn: Found(
            id=r.id,
            arn=r.arn,
            technology=r.technology,
            account=i.model.spec.account,
            account_id=i.model.spec.account_id,
            region=r.region,
            name=r.name,
            tags=r.tags,
            attributes=r.attributes,
        )
        for i in inventories
        if i.model.spec.account == silent.account
        for r in i.model.status.resources
    }
    now = {f.arn: f for f in silent.found}
    return replace(silent, found=tuple((before | now).values()))

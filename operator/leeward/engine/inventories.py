"""RecoveryInventory objects: what a plan's accounts said, in parts that fit into an object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from leeward.api.account import TargetAccount
from leeward.api.common import Ref
from leeward.api.inventory import (
    Finding,
    InventoryResource,
    RecoveryInventory,
    RecoveryInventorySpec,
    RecoveryInventoryStatus,
)
from leeward.api.plan import RecoveryPlan
from leeward.engine.context import Context
from leeward.engine.kube import path_of
from leeward.engine.objects import PLAN_LABEL, Held, hold, label_value, new_object, put_status
from leeward.engine.readiness import Rehearsal
from leeward.planning.estate.findings import kept
from leeward.planning.estate.inventory import PART, chunks
from leeward.planning.estate.machines import Found
from leeward.planning.times import render_time
from leeward.planning.wording import clip
from leeward_adapters.discovery import Discovery

_FINDINGS = 500
"""As many as an object lists one by one."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What one account said."""

    account: str
    found: tuple[Found, ...]
    """With what was known before, where the account did not answer wholly."""
    at: datetime
    seen: Discovery

    @property
    def problem(self) -> str:
        """Why it did not answer; empty: it did."""
        return "; ".join(self.seen.problems)

    @property
    def provider(self) -> str | None:
        """Who listed its resources, such as `TaggingApi (us-east-2, us-east-1)`."""
        regions: dict[str, list[str]] = {}
        for name, region in self.seen.used:
            regions.setdefault(name, []).append(region)
        told = (f"{name} ({', '.join(where)})" for name, where in regions.items())
        return clip(", ".join(told), 256) or None


class Inventories:
    """Writes the inventory of a plan."""

    def __init__(self, context: Context) -> None:
        self._c = context

    async def write(
        self,
        plan: Held[RecoveryPlan],
        accounts: Mapping[str, TargetAccount],
        existing: Sequence[Held[RecoveryInventory]],
        looked: Mapping[str, Looked],
        rehearsed: Mapping[str, Rehearsal],
        findings: Mapping[str, Sequence[Finding]],
    ) -> list[Held[RecoveryInventory]]:
        """The inventory objects as they are after a look, parts that are no more removed.

        All maps are by TargetAccount.
        """
        by_name = {i.model.metadata.name: i for i in existing}
        written: list[Held[RecoveryInventory]] = []
        for name, target in accounts.items():
            mine = rehearsed[name].resources
            listed = {r.id for r in mine}
            for part, some in enumerate(chunks(mine, PART) or [[]]):
                held = await self._part(plan, target, part, by_name)
                ids = {r.id for r in some}
                # What speaks of the account, or of something not listed, stands in the first part.
                said = [
                    f for f in findings[name]
                    if f.resource in ids or (part == 0 and f.resource not in listed)
                ]  # fmt: skip
                status = _status(held.model, some, said, looked[name])
                if part == 0:
                    status = status.model_copy(update={"quotas": rehearsed[name].quotas})
                written.append(await put_status(self._c.kube, held, status))
        there = {w.model.metadata.name for w in written}
        for name, inventory in by_name.items():
            if name not in there:
                await self._c.kube.delete(inventory.path, uid=inventory.model.metadata.uid)
        return written

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


def _status(
    held: RecoveryInventory,
    resources: Sequence[InventoryResource],
    findings: Sequence[Finding],
    looked: Looked,
) -> RecoveryInventoryStatus:
    answered = not looked.problem
    reason = clip("; ".join(looked.seen.notes), 1024)
    return RecoveryInventoryStatus(
        discovered_at=render_time(looked.at) if answered else held.status.discovered_at,
        current=answered,
        problem=clip(looked.problem, 1024) or None,
        provider=looked.provider,
        provider_reason=reason or None,
        count=len(resources),
        resources=list(resources),
        **kept(findings, _FINDINGS),
    )

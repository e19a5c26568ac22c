"""What an account no longer shows. An inventory does not shrink by accident.

A few resources less are an ordinary day. When more than 5 % of an account vanish at once, and the
service that owns them does not say of them that they are gone, an index that lags, a view that was
narrowed or a role that lost a right is as likely, and an estate would be left behind in silence.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from leeward.api.inventory import InventoryResource, RecoveryInventory
from leeward.planning.estate.machines import Found
from leeward.planning.times import parse_time, render_time

ALLOWED: Final = 0.05
"""Part of an account's resources that may go without a word."""
KEPT_FOR: Final = timedelta(days=1)
"""How long what vanished is remembered; people have that long to say what it was."""


def before(inventories: Iterable[RecoveryInventory], account: str) -> list[Found]:
    """What was known of a TargetAccount at the last look."""
    return [
        _found(inventory, resource)
        for inventory in inventories
        if inventory.spec.account == account
        for resource in inventory.status.resources
    ]


def vanished(found: Collection[Found], known: Sequence[Found]) -> list[Found]:
    """What was known and is not found, neither itself nor by the source server of the machine."""
    shown = {f.arn for f in found}
    machines = {f.attributes.get("originInstanceId") for f in found}
    return [f for f in known if f.arn not in shown and f.id not in machines]


def kept(lost: Sequence[Found], known: Sequence[Found], now: datetime) -> list[Found]:
    """Those of the lost resources that the inventory keeps, marked with the time of their loss.

    `lost` are without what is known to be deleted, `known` is all that there was.
    """
    if len(lost) <= ALLOWED * len(known):
        return []
    marked = (replace(f, missing_since=f.missing_since or render_time(now)) for f in lost)
    return [f for f in marked if now - parse_time(f.missing_since or "") <= KEPT_FOR]


def way_back_kept(found: Sequence[Found], known: Sequence[Found]) -> list[Found]:
    """What is found while the primary Region is silent, with what it said before.

    Of the same recovery instance alone: what a failback launched is remembered, as without it
    nobody could tell whether that failback is through.
    """
    before = {f.arn: f.attributes for f in known if f.technology == "drs"}
    return [_with_home(f, before.get(f.arn, {})) for f in found]


def _with_home(found: Found, before: Mapping[str, str]) -> Found:
    instance, home = found.attributes.get("retiredInstanceId"), before.get("failbackInstanceId")
    if not instance or not home or before.get("retiredInstanceId") != instance:
        return found
    return replace(found, attributes={"failbackInstanceId": home, **found.attributes})


def union(found: Sequence[Found], known: Sequence[Found]) -> list[Found]:
    """What is found, and what was known besides: of an account that did not answer wholly."""
    return [*found, *vanished(found, known)]


def _found(inventory: RecoveryInventory, resource: InventoryResource) -> Found:
    return Found(
        id=resource.id,
        arn=resource.arn,
        technology=resource.technology,
        account=inventory.spec.account,
        account_id=inventory.spec.account_id,
        region=resource.region,
        name=resource.name,
        tags=resource.tags,
        attributes=resource.attributes,
        missing_since=resource.missing_since,
    )

"""What the last drill that passed proved, and what has changed since.

A drill is a proof of what was drilled: these resources, launched like that, within those quotas, by
that plan. Each difference from it is something that nobody has rehearsed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

from leeward.api.conditions import Reason
from leeward.api.execution import DRExecution
from leeward.api.inventory import InventoryResource, RecoveryInventory
from leeward.api.plan import RecoveryPlan
from leeward.api.plan_record import DrilledAccount, LastDrill
from leeward.api.task import DRTask
from leeward.planning.estate.inventory import Located
from leeward.planning.wording import clip, counted, some

SETTINGS: Final = "launchSettings"
"""Attribute of a resource: a digest of how it would be launched."""
_NAME: Final = 6
_HOW: Final = 4
_MEMBER: Final = _NAME + _HOW
_UNKNOWN: Final = "-" * _HOW
_MOST: Final = 50


def passed_whole(run: DRExecution) -> bool:
    """Whether the run is a drill of the whole plan that left nothing out and succeeded."""
    spec = run.spec
    narrowed = spec.waves or spec.resources
    return (
        spec.operation == "Test"
        and spec.dry_run != "Plan"
        and not narrowed
        and run.status.state == "Succeeded"
    )


def baseline(
    run: DRExecution,
    tasks: Sequence[DRTask],
    inventories: Sequence[RecoveryInventory],
    ended: str,
) -> LastDrill:
    """What a drill that passed was about.

    Resources and settings are as they were frozen when it began, quotas as
    `inventories` know them. `ended` is the time of its end, where its status has none.
    """
    listed = {r.arn for i in inventories for r in i.status.resources}
    drilled: dict[str, dict[str, str]] = {}
    for task in tasks:
        for resource in task.spec.resources:
            if resource.arn in listed and task.spec.technology != "route53":
                mine = drilled.setdefault(task.spec.account, {})
                mine[_name(resource.arn)] = _how(resource.attributes)
    names = sorted({*drilled, *(i.spec.account for i in inventories)})
    return LastDrill(
        execution=run.metadata.name,
        uid=run.metadata.uid,
        completion_time=run.status.completion_time or ended,
        plan_generation=run.status.plan_generation,
        accounts=[
            DrilledAccount(
                account=name,
                members="".join(a + b for a, b in sorted(drilled.get(name, {}).items())),
                quotas=_quotas(name, inventories),
            )
            for name in names
        ],
    )


def changes(
    plan: RecoveryPlan, selected: Sequence[Located], inventories: Sequence[RecoveryInventory]
) -> list[str]:
    """What nobody has rehearsed: each line is one kind of difference from the last drill.

    Empty where no drill has passed yet, too.
    """
    drill = plan.status.last_drill
    if drill is None:
        return []
    found = []
    if drill.plan_generation not in (None, plan.metadata.generation):
        found.append(
            f"the plan's spec is of generation {plan.metadata.generation}, the drill's was of "
            f"{drill.plan_generation}"
        )
    for account in drill.accounts:
        mine = [s for s in selected if s.account == account.account and _counts(s.resource)]
        found += _members(account, mine)
        found += _changed_quotas(account, inventories)
    known = {account.account for account in drill.accounts}
    strange = [str(s) for s in selected if s.account not in known and _counts(s.resource)]
    if strange:
        found.append(f"{counted(len(strange), 'resource')} of new accounts: {some(strange)}")
    return [clip(line, 512) for line in found[:_MOST]]


def _members(account: DrilledAccount, selected: Iterable[Located]) -> list[str]:
    text = account.members
    drilled = {
        text[i : i + _NAME]: text[i + _NAME : i + _MEMBER] for i in range(0, len(text), _MEMBER)
    }
    now = {_name(s.resource.arn): s for s in selected}
    joined = [str(s) for name, s in now.items() if name not in drilled]
    left = sum(1 for name in drilled if name not in now)
    other = [
        str(s)
        for name, s in now.items()
        if _UNKNOWN not in (drilled.get(name, _UNKNOWN), _how(s.resource.attributes))
        and drilled[name] != _how(s.resource.attributes)
    ]
    found = []
    if joined:
        found.append(f"{counted(len(joined), 'resource')} joined: {some(joined)}")
    if left:
        found.append(f"{counted(left, 'resource')} left account {account.account}")
    if other:
        found.append(f"launch settings of {counted(len(other), 'server')} changed: {some(other)}")
    return found


def _changed_quotas(account: DrilledAccount, inventories: Sequence[RecoveryInventory]) -> list[str]:
    now = _quotas(account.account, inventories)
    return [
        f"quota {code} of account {account.account} is {now[code]}, it was {before}"
        for code, before in sorted(account.quotas.items())
        if now.get(code, before) != before
    ]


def _quotas(account: str, inventories: Iterable[RecoveryInventory]) -> dict[str, int]:
    parts = (i for i in inventories if i.spec.account == account)
    return {code: value for part in parts for code, value in part.status.quotas.items()}


def _counts(resource: InventoryResource) -> bool:
    return resource.technology != "route53"


def _name(arn: str) -> str:
    return hashlib.sha256(arn.encode()).hexdigest()[:_NAME]


def _how(attributes: Mapping[str, str]) -> str:
    return attributes.get(SETTINGS, "")[:_HOW] or _UNKNOWN


def verdict(
    last: LastDrill | None, changed: Sequence[str]
) -> tuple[Literal["True", "False"], str, str]:
    """Status, reason and message of the condition `DrillCurrent`."""
    if last is None:
        return "False", Reason.NEVER_DRILLED, "no Test of the whole plan has passed yet"
    what = f"{last.execution} of {last.completion_time}"
    if changed:
        return "False", Reason.CHANGED_SINCE_DRILL, f"since drill {what}: {'; '.join(changed)}"
    return "True", Reason.DRILL_PASSED, f"drill {what} passed, and nothing has changed"

"""The whole status of a RecoveryPlan, conditions included, from what is known of it.

`Ready` says that the plan is valid, was discovered and could start; how well it is protected is
said by `Protected` alone, so that one lagging server does not hold up a roll-out that waits for
readiness (kstatus).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from leeward.api.account import TargetAccount
from leeward.api.inventory import RecoveryInventory
from leeward.api.launch import LaunchStatus
from leeward.api.marks import unsupported
from leeward.api.plan import RecoveryPlan
from leeward.api.plan_record import (
    AccountStatus,
    RecoveryPlanStatus,
    TechnologyCount,
)
from leeward.planning.digests import digest
from leeward.planning.estate import compliance, grouping, protection, staging
from leeward.planning.estate.inventory import Located, located, of_plan
from leeward.planning.estate.location import estate_location, wave_statuses
from leeward.planning.estate.taxonomy import TAXONOMY, Words
from leeward.planning.launch import launch_estate
from leeward.planning.plans import dependencies, drill
from leeward.planning.plans.plan_conditions import conditions, summary
from leeward.planning.plans.plan_estate import Estate
from leeward.planning.plans.readiness import of_accounts, readiness
from leeward.planning.problem import Problem
from leeward.planning.times import parse_time
from leeward.planning.wording import clip

_MOST_TECHNOLOGIES: Final = 60
_MOST_PROFILES: Final = 50


def assess(
    plan: RecoveryPlan,
    accounts: Mapping[str, TargetAccount],
    inventories: Sequence[RecoveryInventory],
    *,
    now: datetime,
    valid: Sequence[Problem],
    previous: RecoveryPlanStatus,
    adapters: frozenset[str],
    words: Words = TAXONOMY,
    launch: LaunchStatus | None = None,
) -> RecoveryPlanStatus:
    """The plan's status.

    `valid` is what `rules.problems_of` says; `adapters` are the technologies that this version can
    recover, `words` the values that tags may have; `launch` is the report on its launch settings.
    From `previous` come what runs wrote (history, active execution, `Recovery` as location) and the
    times at which conditions last changed.
    """
    estate = _estate(plan, accounts, inventories, valid, now, words, launch)
    waves = wave_statuses(
        plan.spec, estate.selected, estate.numbers, previous, discovered=not estate.undiscovered
    )
    heard = [a.discovered_at for a in estate.accounts if a.discovered_at]
    return RecoveryPlanStatus(
        observed_generation=plan.metadata.generation,
        conditions=conditions(estate, previous),
        summary=clip(summary(estate), 256),
        location=estate_location(plan.spec.waves, waves),
        resources=sum(wave.resources for wave in waves),
        waves=waves,
        technologies=_technologies(estate.found, adapters),
        groups=grouping.groups(estate.selected, [w.name for w in plan.spec.waves], words),
        accounts=list(estate.accounts),
        compliance=estate.compliance if heard else None,
        readiness=list(estate.readiness),
        dependencies=dependencies.current(plan),
        lag=protection.behind(plan.spec, estate.replicating),
        discovered_at=max(heard, key=parse_time, default=None),
        inventory_digest=_digest(estate.found) if heard else None,
        active_execution=previous.active_execution,
        history=previous.history,
        launch=estate.launch,
        last_drill=previous.last_drill,
        changed_since_drill=list(estate.changed),
        deferred_fence=previous.deferred_fence,
        left_stopped=previous.left_stopped,
        unsupported=[clip(line, 256) for line in unsupported(plan)],
    )


def _estate(
    plan: RecoveryPlan,
    accounts: Mapping[str, TargetAccount],
    inventories: Sequence[RecoveryInventory],
    valid: Sequence[Problem],
    now: datetime,
    words: Words,
    launch: LaunchStatus | None,
) -> Estate:
    mine = of_plan(plan, inventories)
    found = located(mine)
    selected = [r for r in found if r.resource.verdict == "Selected"]
    own = _accounts(plan, accounts, mine)
    unready = of_accounts(plan.spec, accounts, own)
    more = staging.problems(plan.spec, accounts, found)
    return Estate(
        plan=plan,
        inventories=mine,
        found=found,
        selected=selected,
        accounts=own,
        compliance=compliance.report(found, words),
        readiness=readiness(plan.spec, mine, selected, more, unready),
        valid=valid,
        changed=drill.changes(plan, selected, mine),
        now=now,
        launch=launch_estate.with_drift(launch, mine),
    )


def _accounts(
    plan: RecoveryPlan,
    accounts: Mapping[str, TargetAccount],
    inventories: Sequence[RecoveryInventory],
) -> list[AccountStatus]:
    result = []
    for ref in plan.spec.accounts:
        parts = [i for i in inventories if i.spec.account == ref.name]
        heard = [i.status.discovered_at for i in parts if i.status.discovered_at]
        silent = [i.status.problem or "no answer" for i in parts if not i.status.current]
        known = accounts.get(ref.name)
        account_id = known.spec.account_id if known else ""
        result.append(
            AccountStatus(
                name=ref.name,
                account_id=account_id or next((i.spec.account_id for i in parts), ""),
                resources=sum(len(i.status.resources) for i in parts),
                technologies=sorted(
                    {
                        r.technology
                        for i in parts
                        for r in i.status.resources
                        if r.verdict == "Selected"
                    }
                )[:_MOST_TECHNOLOGIES],
                instance_profiles=_instance_profiles(parts),
                discovered_at=min(heard, key=parse_time, default=None),
                problem=silent[0] if silent else None,
                provider=next((i.status.provider for i in parts), None),
                provider_reason=next((i.status.provider_reason for i in parts), None),
                missing=sum(bool(r.missing_since) for i in parts for r in i.status.resources),
            )
        )
    return result


def _instance_profiles(parts: Sequence[RecoveryInventory]) -> list[str]:
    """Those of launch settings. What launch templates say beside them is not in the inventory."""
    launches = [r.launch for i in parts for r in i.status.resources if r.verdict == "Selected"]
    named = {one.iam_instance_profile for one in launches if one and one.iam_instance_profile}
    return sorted(named)[:_MOST_PROFILES]


def _technologies(found: Sequence[Located], adapters: frozenset[str]) -> list[TechnologyCount]:
    counts = Counter(r.resource.technology for r in found)
    taken = Counter(r.resource.technology for r in found if r.resource.verdict == "Selected")
    return [
        TechnologyCount(
            technology=technology,
            count=count,
            adapter="Available" if technology in adapters else "None",
            selected=taken[technology],
        )
        for technology, count in sorted(counts.items())
    ][:_MOST_TECHNOLOGIES]


def _digest(found: Sequence[Located]) -> str:
    """Of everything that decides what is recovered; not of lag, which never stands still."""
    kept = frozenset({"id", "arn", "technology", "region", "tags", "verdict", "wave", "launch"})
    return digest(
        [[r.account, {k: v for k, v in r.resource.to_api().items() if k in kept}] for r in found]
    )

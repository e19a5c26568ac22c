"""Whether a run may start. What is impossible is refused; the rest is judged by mode.

Test and Planned: a failed check refuses the run. Unplanned: a failed check becomes a finding, which
the approvers read at the gates, because the night of an outage is no time to insist on good order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from leeward.api.account import TargetAccount
from leeward.api.execution import DRExecution
from leeward.api.inventory import RecoveryInventory
from leeward.api.plan import RecoveryPlan
from leeward.api.plan_record import DependencyStatus
from leeward.planning.estate.inventory import located, of_plan
from leeward.planning.outlook import direction_checks, estate_checks, run_checks
from leeward.planning.plans import dependencies
from leeward.planning.plans.request import Check, Request
from leeward.planning.problem import Problem
from leeward.planning.runs.explicit import NO_SIZES, RecordedSizes
from leeward.planning.runs.holding import Holding
from leeward.planning.wording import clip

PASSING: Final = frozenset({"PlanNotAssessed", "NotDiscovered"})
"""Reasons of refusals that pass by themselves when the plan is looked at for the first time."""
_MOST_FINDINGS: Final = 30

IMPOSSIBLE: Final[tuple[Check, ...]] = (
    run_checks.service_account_without_limit,
    run_checks.scope_exists,
    run_checks.continues_a_run,
    run_checks.ran_before,
    run_checks.plan_stays,
    run_checks.plan_is_valid,
    run_checks.gates_fit,
    run_checks.gate_timeouts_readable,
    run_checks.automatic_approval_allowed,
    run_checks.operation_allowed,
    run_checks.some_account_usable,
    estate_checks.something_to_recover,
    estate_checks.drill_networks,
    estate_checks.resources_are_free,
    estate_checks.no_drill_over_production,
    direction_checks.location_fits,
    direction_checks.something_to_do,
    direction_checks.cleanup_allowed,
    direction_checks.never_the_last_copy,
    direction_checks.same_account,
)
"""Refuse the run in every mode."""
FAILED: Final[tuple[Check, ...]] = (
    run_checks.all_accounts_usable,
    run_checks.plan_is_ready,
    run_checks.nothing_unsupported,
    run_checks.launch_settings_valid,
    estate_checks.inventory_complete,
    estate_checks.inventory_recent,
    estate_checks.nothing_vanished,
    estate_checks.waves_still_exist,
    estate_checks.nothing_blocks,
    estate_checks.allowed_by_name,
    direction_checks.seen_since_it_came_home,
    direction_checks.reversed_replication,
    direction_checks.nothing_left_to_fence,
    direction_checks.sides_known,
    dependencies.hold,
)
"""Refuse a Test or a Planned run; findings of an Unplanned one."""
NOTED: Final[tuple[Check, ...]] = (
    estate_checks.replication,
    estate_checks.what_degrades,
    estate_checks.can_be_fenced,
    estate_checks.adopted,
    estate_checks.left_out,
    estate_checks.tasks_left_out,
    direction_checks.not_recovered,
)
"""Findings of every run."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """What preflight says."""

    refusals: tuple[Problem, ...] = ()
    """Why the run does not start; empty: it may. `Expired` comes first where it applies."""
    findings: tuple[str, ...] = ()
    """What approvers should know; at most 30."""

    @property
    def passing(self) -> bool:
        """Whether the run is refused for reasons alone that waiting may end."""
        return bool(self.refusals) and all(r.reason in PASSING for r in self.refusals)


def preflight(
    execution: DRExecution,
    plan: RecoveryPlan | None,
    accounts: Mapping[str, TargetAccount],
    inventories: Sequence[RecoveryInventory],
    *,
    now: datetime,
    live_elsewhere: Mapping[Holding, str],
    previous: DRExecution | None = None,
    looked: Sequence[DependencyStatus] | None = None,
    sizes: RecordedSizes = NO_SIZES,
) -> Preflight:
    """Whether the run may start now.

    `plan` is None when there is none of that name; `live_elsewhere` gives the other live
    execution that holds a resource; `previous` is the one that this one continues;
    `looked` is what the plan depends on as it is now, by default as its status says; `sizes` are
    those of Auto Scaling groups before a Failover emptied them.
    Whether the plan is free is not judged here: taking it is a compare-and-set.
    """
    expiry = tuple(run_checks.expiry(execution, now))
    if plan is None:
        return Preflight((*expiry, run_checks.unknown_plan(execution)))
    mine = of_plan(plan, inventories)
    request = Request(
        execution, plan, accounts, mine, located(mine), now, live_elsewhere, previous, looked, sizes
    )
    refusals = [*expiry, *_run(IMPOSSIBLE, request)]
    failed = _run(FAILED, request)
    noted = _run(NOTED, request)
    if request.strict:
        refusals += failed
    else:
        noted = [*failed, *noted]
    return Preflight(tuple(dict.fromkeys(refusals)), _findings(noted))


def _run(checks: Iterable[Check], request: Request) -> list[Problem]:
    return [problem for check in checks for problem in check(request)]


def _findings(noted: Sequence[Problem]) -> tuple[str, ...]:
    texts = [clip(f"{p.reason}: {p.message}", 1024) for p in dict.fromkeys(noted)]
    if len(texts) <= _MOST_FINDINGS:
        return tuple(texts)
    return (*texts[: _MOST_FINDINGS - 1], f"and {len(texts) - _MOST_FINDINGS + 1} more")

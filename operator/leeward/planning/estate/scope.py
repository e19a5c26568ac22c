"""Which waves and resources of its plan a run works on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from leeward.api.execution import DRExecutionSpec
from leeward.api.plan import RecoveryPlanSpec, Wave
from leeward.planning.estate.inventory import Located


def waves_of(execution: DRExecutionSpec, plan: RecoveryPlanSpec) -> list[tuple[int, Wave]]:
    """The run's waves with their ordinals in the plan, in the plan's order."""
    numbered = list(enumerate(plan.waves, start=1))
    if not execution.waves:
        return numbered
    return [(ordinal, wave) for ordinal, wave in numbered if wave.name in execution.waves]


def taken(
    execution: DRExecutionSpec, plan: RecoveryPlanSpec, found: Sequence[Located]
) -> list[Located]:
    """Those of the selected resources that the run works on.

    A resource in a wave that the plan no longer has stays, so that preflight can say so. What
    AWS no longer shows, though nobody is known to have deleted it, an Unplanned run works on.
    """
    if execution.operation == "Test" or execution.mode == "Planned":
        found = [f for f in found if not f.resource.missing_since]
    left = {wave.name for wave in plan.waves}
    left -= {wave.name for _, wave in waves_of(execution, plan)}
    return [f for f in found if f.resource.wave not in left and _chosen(execution, f)]


def _chosen(execution: DRExecutionSpec, found: Located) -> bool:
    choice, names = execution.resources, {found.resource.id, found.resource.arn}
    if choice is None:
        return True
    wanted = not choice.include or bool(names & set(choice.include))
    return wanted and not names & set(choice.exclude)


def unknown_waves(execution: DRExecutionSpec, plan: RecoveryPlanSpec) -> list[str]:
    """Waves that the run names and the plan does not have."""
    known = {wave.name for wave in plan.waves}
    return [name for name in execution.waves if name not in known]


def unknown_resources(execution: DRExecutionSpec, found: Sequence[Located]) -> Iterator[str]:
    """Resources that the run names and that are not among the selected ones."""
    if execution.resources is None:
        return
    known = {name for f in found for name in (f.resource.id, f.resource.arn)}
    for name in (*execution.resources.include, *execution.resources.exclude):
        if name not in known:
            yield name

"""What a plan depends on beside its resources: rules for it, and what its checks mean for a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from leeward.api.plan import Dependency, RecoveryPlan, RecoveryPlanSpec
from leeward.api.plan_record import DependencyStatus
from leeward.planning.plans.request import Request
from leeward.planning.problem import Accounts, Problem, Rule

PARAMETERS: Final[Mapping[str, frozenset[str]]] = {
    "ActiveDirectory": frozenset({"controllers", "minimum", "port", "timeout"}),
    "AuroraGlobal": frozenset(),
    "DynamoDbGlobalTable": frozenset(),
    "Http": frozenset({"status", "timeout"}),
    "Route53HealthCheck": frozenset(),
    "S3Replication": frozenset({"source"}),
    "Tcp": frozenset({"timeout"}),
}
"""By type: the parameters that its check takes."""


def account_of(dependency: Dependency, plan: RecoveryPlanSpec) -> str:
    """TargetAccount in which the dependency is looked up."""
    return dependency.account_ref.name if dependency.account_ref else plan.accounts[0].name


def _parameters_are_known(plan: RecoveryPlan, _: Accounts) -> Iterator[Problem]:
    for dependency in plan.spec.dependencies:
        known = PARAMETERS[dependency.type]
        for name in sorted(set(dependency.parameters) - known):
            takes = ", ".join(sorted(known)) or "none"
            yield Problem(
                "UnknownParameter",
                f"dependency {dependency.name} has parameter {name}, which a check of type "
                f"{dependency.type} does not take (it takes: {takes}); remove it",
            )


RULES: Final[tuple[Rule, ...]] = (_parameters_are_known,)
"""Rules of plans about their dependencies."""


def current(
    plan: RecoveryPlan, looked: Sequence[DependencyStatus] | None = None
) -> list[DependencyStatus]:
    """The plan's dependencies as they are known, in its order.

    `looked` is what a check found just now; None: what the plan's status says. One that was not
    looked at yet is Unknown.
    """
    found = {d.name: d for d in (plan.status.dependencies if looked is None else looked)}
    return [
        found.get(d.name)
        or DependencyStatus(
            name=d.name, type=d.type, state="Unknown", message="it was not looked at yet"
        )
        for d in plan.spec.dependencies
    ]


def hold(request: Request) -> Iterator[Problem]:
    """Everything that the plan depends on works in the recovery Region."""
    for one in current(request.plan, request.dependencies):
        what = f"dependency {one.name} ({one.type})"
        if one.state == "Failed":
            yield Problem("DependencyFailed", f"{what} does not hold: {one.message}")
        elif one.state == "Unknown":
            yield Problem("DependencyUnknown", f"{what} could not be checked: {one.message}")

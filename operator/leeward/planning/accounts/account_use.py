"""What plans use an account for: the Regions and technologies that its roles must serve."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from leeward.api.account import TargetAccount
from leeward.api.plan import RecoveryPlan
from leeward.planning.plans.dependencies import account_of
from leeward.planning.plans.named import Named, named_by, together
from leeward.planning.runs import explicit


@dataclass(frozen=True, slots=True)
class Use:
    """What an account is used for; without plans, nothing is known of it."""

    regions: tuple[str, ...] = ()
    """Recovery Regions, sorted."""
    technologies: tuple[str, ...] = ()
    """Technologies, sorted."""
    dependencies: tuple[str, ...] = ()
    """Types of dependencies that are checked through it, sorted."""
    named: Named = field(default_factory=Named)


def use_of(target: TargetAccount, plans: Iterable[RecoveryPlan], adapters: frozenset[str]) -> Use:
    """What the plans of its namespaces use `target` for.

    Args:
        target: the account.
        plans: all plans there are.
        adapters: technologies that can be recovered.
    """
    name, regions, technologies, types = target.metadata.name, set(), set(), set()
    named: list[Named] = []
    for plan in plans:
        if plan.metadata.namespace not in target.spec.allow.namespaces:
            continue
        types |= {d.type for d in plan.spec.dependencies if account_of(d, plan.spec) == name}
        if name in explicit.run_accounts(plan.spec):
            regions.add(plan.spec.regions.recovery)
            technologies |= _technologies(name, plan)
            named.append(named_by(name, plan.spec, plan.status.accounts))
    allowed = target.spec.regions
    return Use(
        regions=tuple(sorted(r for r in regions if not allowed or r in allowed)),
        technologies=tuple(sorted(technologies & adapters)),
        dependencies=tuple(sorted(types)),
        named=together(named),
    )


def _technologies(name: str, plan: RecoveryPlan) -> set[str]:
    found = {t for a in plan.status.accounts if a.name == name for t in a.technologies}
    if "drs" in found and plan.spec.fence.servers != "Leave":
        found.add("ec2")  # the instances that replicate are stopped
    for task in explicit.tasks(plan.spec):
        if explicit.known(task) and explicit.account_of(task, plan.spec) == name:
            found.add(explicit.TECHNOLOGIES[task.type])
    return found

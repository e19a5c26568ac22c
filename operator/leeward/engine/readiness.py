"""Readiness of what a plan would recover in one account, as the adapters see it. Read-only."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from leeward.api.account import TargetAccount
from leeward.api.inventory import Finding, InventoryResource
from leeward.api.plan import RecoveryPlan
from leeward.engine.context import Context
from leeward.engine.targets import target_of
from leeward.planning.plans.drill import SETTINGS
from leeward.planning.runs import explicit
from leeward_adapters import base, registry
from leeward_adapters.base import Rehearsable, Scope, Target
from leeward_adapters.errors import classify

log = logging.getLogger(__name__)

NOT_CHECKED: Final = "NotChecked"
_UNANSWERED: Final = frozenset({NOT_CHECKED, "CapacityNotChecked"})
"""Reasons of findings that AWS did not answer for."""


async def check(
    context: Context,
    plan: RecoveryPlan,
    account: TargetAccount,
    resources: Sequence[InventoryResource],
) -> list[Finding]:
    """Findings about the selected resources of the account and the records that it switches.

    An adapter that AWS does not answer gives one finding of its own: nothing is called ready
    that was not looked at.
    """
    known = context.account(account, plan.metadata.namespace)
    findings: list[Finding] = []
    for (region, technology), targets in sorted(_targets(plan, account, resources).items()):
        scope = context.aws.scope(known, region)
        found = await _check(context, scope, account, technology, targets)
        if region != plan.spec.regions.recovery:
            found = [_on_the_losing_side(finding) for finding in found]
        findings += found
    return findings


def answered(findings: Iterable[Finding]) -> bool:
    """Whether AWS answered all that these are about."""
    return all(finding.reason not in _UNANSWERED for finding in findings)


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a drill of an account's resources would prove."""

    resources: list[InventoryResource]
    """With the attribute `launchSettings` where it is known."""
    quotas: dict[str, int]


async def rehearsal(
    context: Context,
    plan: RecoveryPlan,
    account: TargetAccount,
    resources: Sequence[InventoryResource],
) -> Rehearsal:
    """The resources with how each would be launched now, and the quotas that bound that.

    What AWS does not say is left out, and is then not compared either.
    """
    known = context.account(account, plan.metadata.namespace)
    scope = context.aws.scope(known, plan.spec.regions.recovery)
    settings: dict[str, str] = {}
    quotas: dict[str, int] = {}
    mine = [r for r in resources if r.verdict == "Selected"]
    for technology in sorted({r.technology for r in mine} & registry.kinds()):
        targets = [target_of(r) for r in mine if r.technology == technology]
        try:
            adapter = registry.adapter(technology)
            if isinstance(adapter, Rehearsable):
                settings |= await context.pool.run(adapter.settings, scope, targets)
                quotas |= await context.pool.run(adapter.limits, scope)
        except (ClientError, BotoCoreError) as error:
            log.info("%s of account %s not compared: %s", technology, scope.account_id, error)
    return Rehearsal([_with_settings(r, settings.get(r.id)) for r in resources], quotas)


def _with_settings(resource: InventoryResource, digest: str | None) -> InventoryResource:
    attributes = {k: v for k, v in resource.attributes.items() if k != SETTINGS}
    if digest:
        attributes[SETTINGS] = digest
    return resource.model_copy(update={"attributes": attributes})


def _on_the_losing_side(finding: Finding) -> Finding:
    """What cannot be fenced is a loss, but nothing that the recovery needs."""
    severity = "Degraded" if finding.severity == "Blocking" else finding.severity
    return finding.model_copy(update={"severity": severity})


def _targets(
    plan: RecoveryPlan, account: TargetAccount, resources: Sequence[InventoryResource]
) -> dict[tuple[str, str], list[Target]]:
    """By Region and technology: what a run would work on. Of DNS that is the records, not the
    zones; what people do is not checked.
    """
    recovery = plan.spec.regions.recovery
    targets: dict[tuple[str, str], list[Target]] = {}
    for resource in resources:
        if resource.verdict == "Selected" and resource.technology != "route53":
            targets.setdefault((recovery, resource.technology), []).append(target_of(resource))
    for task in explicit.tasks(plan.spec):
        mine = explicit.account_of(task, plan.spec) == account.metadata.name
        if task.type != "Manual" and mine and explicit.runs_in(task, "Failover"):
            work = explicit.work(task, plan.spec, account)
            targets.setdefault((work.region, work.technology), []).extend(
                target_of(r) for r in work.resources
            )
    return targets


async def _check(
    context: Context,
    scope: Scope,
    account: TargetAccount,
    technology: str,
    targets: Sequence[Target],
) -> list[Finding]:
    try:
        adapter = registry.adapter(technology)
        seen = await context.pool.run(adapter.readiness, scope, targets)
    except (ClientError, BotoCoreError) as error:
        fault = classify(error)
        message = (
            f"{technology} in account {account.spec.account_id} ({account.metadata.name}), "
            f"{scope.region}, could not be checked: {fault.code}: {fault.message}"
        )
        return [Finding(severity="Blocking", reason=NOT_CHECKED, message=message[:1024])]
    return [_finding(f) for f in seen]


def _finding(finding: base.Finding) -> Finding:
    return Finding.model_validate(
        {
            "resource": finding.target,
            "severity": finding.severity,
            "reason": finding.reason[:63],
            "message": finding.message[:1024],
        }
    )

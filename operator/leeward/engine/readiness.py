"""Readiness of what a plan would recover in one account, as the adapters see it. Read-only."""

from __future__ import annotations

from collections.abc import Sequence

from botocore.exceptions import BotoCoreError, ClientError

from leeward.api.account import TargetAccount
from leeward.api.inventory import Finding, InventoryResource
from leeward.api.plan import RecoveryPlan
from leeward.engine.context import Context
from leeward.engine.targets import target_of
from leeward.planning import explicit
from leeward_adapters import base, registry
from leeward_adapters.base import Scope, Target
from leeward_adapters.errors import classify


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
        return [Finding(severity="Blocking", reason="NotChecked", message=message[:1024])]
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

"""Readiness of what a plan would recover in one account, as the adapters see it. Read-only."""

from __future__ import annotations

from collections.abc import Sequence

from botocore.exceptions import BotoCoreError, ClientError

from leeward.api.account import TargetAccount
from leeward.api.inventory import Finding, InventoryResource
from leeward.api.plan import RecoveryPlan
from leeward.engine.context import Context
from leeward.planning.freeze import record_resources
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
    scope = context.aws.scope(
        context.account(account, plan.metadata.namespace), plan.spec.regions.recovery
    )
    targets = _targets(plan, account, resources)
    findings: list[Finding] = []
    for technology in sorted(targets):
        findings += await _check(context, scope, account, technology, targets[technology])
    return findings


def _targets(
    plan: RecoveryPlan, account: TargetAccount, resources: Sequence[InventoryResource]
) -> dict[str, list[Target]]:
    """By technology: what a run would work on. Of DNS that is the records, not the zones."""
    targets: dict[str, list[Target]] = {}
    for resource in resources:
        if resource.verdict == "Selected" and resource.technology != "route53":
            target = Target(resource.id, resource.arn, resource.name, dict(resource.attributes))
            targets.setdefault(resource.technology, []).append(target)
    for task in (t for wave in plan.spec.waves for t in wave.tasks):
        if task.route53 and task.route53.account_ref.name == account.metadata.name:
            records = record_resources(task.route53, account)
            targets.setdefault("route53", []).extend(Target(r.id, r.arn) for r in records)
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

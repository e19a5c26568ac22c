"""What a role may do, by name: IAM's own simulation, or else calls that only look.

The simulation is asked about every action; PassRole about the roles that DRS passes, the others
about all resources, so that a role confined to some resources is said to lack the action. What
service control policies or session policies take away is in the answer only as far as IAM shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from botocore.exceptions import BotoCoreError, ClientError

from leeward_adapters.base import ErrorClass, Scope
from leeward_adapters.errors import classify

SIMULATE: Final = "iam:SimulatePrincipalPolicy"
"""The IAM action of the simulation; to be allowed for the two roles of the account."""
_PASS: Final = "iam:PassRole"
_BATCH: Final = 50
_PASSED_BY_DRS: Final = "role/service-role/AWSElasticDisasterRecoveryRecoveryInstanceRole"


@dataclass(frozen=True, slots=True)
class Rights:
    """What was found out about the actions that a role needs."""

    how: Literal["Simulated", "Probed", "Unknown"]
    missing: tuple[str, ...] = ()
    """Actions that the role is not allowed, sorted."""
    unchecked: tuple[str, ...] = ()
    """Actions about which nothing is known, sorted."""
    why: str = ""
    """Why it was not simulated."""


def check(looking: Scope, acting: Scope, role_arn: str, actions: Iterable[str]) -> Rights:
    """Which of `actions` the role lacks.

    Args:
        looking: the account through its read role, which asks for the simulation.
        acting: the account through the role itself, for the calls of the fallback.
        role_arn: the role.
        actions: IAM actions.
    """
    wanted = sorted(set(actions))
    try:
        return Rights("Simulated", _simulated(looking, role_arn, wanted))
    except (ClientError, BotoCoreError) as error:
        fault = classify(error)
    why = f"{fault.code}: {fault.message}"
    if fault.kind is not ErrorClass.DENIED:
        return Rights("Unknown", unchecked=tuple(wanted), why=why)
    return _probed(acting, wanted, why)


def _simulated(scope: Scope, role_arn: str, actions: Sequence[str]) -> tuple[str, ...]:
    others = [action for action in actions if action != _PASS]
    allowed: set[str] = set()
    for start in range(0, len(others), _BATCH):
        allowed |= _allowed(scope, role_arn, others[start : start + _BATCH])
    if _PASS in actions and _may_pass(scope, role_arn, actions):
        allowed.add(_PASS)
    return tuple(action for action in actions if action not in allowed)


def _may_pass(scope: Scope, role_arn: str, actions: Sequence[str]) -> bool:
    """Whether it may pass roles to each service that the actions make it pass them to."""
    passed = f"arn:{scope.partition}:iam::{scope.account_id}:{_PASSED_BY_DRS}"
    asked = [(passed, "ec2.amazonaws.com")] if "drs:StartRecovery" in actions else []
    if "ssm:StartAutomationExecution" in actions or not asked:
        asked.append(("*", "ssm.amazonaws.com"))
    return all(_allowed(scope, role_arn, [_PASS], arn, service) for arn, service in asked)


def _allowed(
    scope: Scope, role_arn: str, actions: Sequence[str], resource: str = "*", service: str = ""
) -> set[str]:
    context = {
        "aws:RequestedRegion": ("string", scope.region),
        "kms:GrantIsForAWSResource": ("boolean", "true"),
        "kms:ViaService": ("string", f"ec2.{scope.region}.amazonaws.com"),
    }
    if service:
        context["iam:PassedToService"] = ("string", service)
    pages = scope.client("iam").get_paginator("simulate_principal_policy")
    asked = pages.paginate(
        PolicySourceArn=role_arn,
        ActionNames=list(actions),
        ResourceArns=[resource],
        ContextEntries=[
            {"ContextKeyName": key, "ContextKeyType": kind, "ContextKeyValues": [value]}
            for key, (kind, value) in context.items()
        ],
    )
    return {
        result["EvalActionName"]
        for page in asked
        for result in page.get("EvaluationResults", [])
        if result["EvalDecision"] == "allowed"
    }


# --- without the simulation --------------------------------------------------------------------

PROBES: Final[Mapping[str, Callable[[Scope], Any]]] = {
    "autoscaling:DescribeAutoScalingGroups": lambda scope: scope.client(
        "autoscaling"
    ).describe_auto_scaling_groups(MaxRecords=1),
    "drs:DescribeJobs": lambda scope: scope.client("drs").describe_jobs(filters={}, maxResults=1),
    "drs:DescribeRecoveryInstances": lambda scope: scope.client("drs").describe_recovery_instances(
        filters={}, maxResults=1
    ),
    "drs:DescribeSourceServers": lambda scope: scope.client("drs").describe_source_servers(
        filters={}, maxResults=1
    ),
    "ec2:DescribeInstanceStatus": lambda scope: scope.client("ec2").describe_instance_status(
        DryRun=True
    ),
    "ec2:DescribeInstances": lambda scope: scope.client("ec2").describe_instances(DryRun=True),
    "servicequotas:GetServiceQuota": lambda scope: scope.client("service-quotas").get_service_quota(
        ServiceCode="drs", QuotaCode="L-D88FAC3A"
    ),
    "ssm:DescribeAutomationExecutions": lambda scope: scope.client(
        "ssm"
    ).describe_automation_executions(MaxResults=1),
}
"""Calls that only look, for the actions that have one which needs nothing to look at."""


def _probed(scope: Scope, actions: Sequence[str], why: str) -> Rights:
    missing, unchecked = [], []
    for action in actions:
        probe = PROBES.get(action)
        verdict = _verdict(scope, probe) if probe else None
        if verdict is None:
            unchecked.append(action)
        elif not verdict:
            missing.append(action)
    return Rights("Probed", tuple(missing), tuple(unchecked), why)


def _verdict(scope: Scope, probe: Callable[[Scope], Any]) -> bool | None:
    """Whether it is allowed; None: AWS's answer says nothing about that."""
    try:
        probe(scope)
    except (ClientError, BotoCoreError) as error:
        fault = classify(error)
        if fault.kind is ErrorClass.DENIED:
            return False
        # Refused for another reason, after the rights were looked at (a DryRun always is).
        return True if fault.kind in {ErrorClass.FINAL, ErrorClass.CONFLICT} else None
    return True

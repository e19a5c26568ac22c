"""Whether the roles' declared rights are those that the whole suite used: no more and no fewer.

Every sandbox of a test session notes what Leeward asked AWS for (`leeward_sandbox.aws.used`); this
compares it with what adapters, discovery and checks declare, which `leeward iam policy` prints.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from leeward_adapters import (
    cloudwatch,
    dependencies,
    iam_policy,
    permissions,
    registry,
    ssm_parameters,
)
from leeward_sandbox.aws.used import OWN, Use

HUB: Final = "999999999999"
"""The account of the operator's own credentials in the tests."""

PREFIXES: Final[Mapping[str, str]] = {
    "efs": "elasticfilesystem",
    "resourcegroupstaggingapi": "tag",
    "service-quotas": "servicequotas",
}
"""IAM's service prefix, where botocore has another name."""

ACTIONS: Final[Mapping[str, str]] = {
    "resource-explorer-2:ListResources": "resource-explorer-2:Search",
    "s3:GetBucketReplication": "s3:GetReplicationConfiguration",
}
"""IAM's action, where the operation has another name (Service Authorization Reference)."""

FREE: Final = frozenset({"sts:GetCallerIdentity"})
"""Operations that need no right (API reference)."""

ON_BEHALF: Final[Mapping[str, Mapping[str, str]]] = {
    "automation": {
        "iam:PassRole": "the role of a document is passed to SSM by StartAutomationExecution",
        "ssm:AddTagsToResource": "tags go along with StartAutomationExecution",
    },
    "drs": {
        "drs:CreateRecoveryInstanceForDrs": "DRS registers what StartRecovery launches",
        "drs:DescribeReplicationConfigurationTemplates": "ReverseReplication depends on it",
        "drs:ListTagsForResource": "StartRecovery depends on it",
        "drs:TagResource": "tags go along with StartRecovery",
        "iam:PassRole": "DRS gives instances their profile",
        **dict.fromkeys(
            (
                "ec2:AssociateIamInstanceProfile",
                "ec2:AttachVolume",
                "ec2:AuthorizeSecurityGroupEgress",
                "ec2:AuthorizeSecurityGroupIngress",
                "ec2:CreateFleet",
                "ec2:CreateLaunchTemplate",
                "ec2:CreateNetworkInterface",
                "ec2:CreateNetworkInterfacePermission",
                "ec2:CreateSecurityGroup",
                "ec2:CreateSnapshot",
                "ec2:CreateVolume",
                "ec2:DeleteLaunchTemplateVersions",
                "ec2:DeleteSnapshot",
                "ec2:DeleteVolume",
                "ec2:DescribeAccountAttributes",
                "ec2:DescribeAvailabilityZones",
                "ec2:DescribeImages",
                "ec2:DescribeInstanceAttribute",
                "ec2:DescribeLaunchTemplates",
                "ec2:DescribeVolumes",
                "ec2:DetachVolume",
                "ec2:ModifyInstanceAttribute",
                "ec2:RevokeSecurityGroupEgress",
                "ec2:RunInstances",
                "ec2:TerminateInstances",
                "kms:CreateGrant",
                "kms:Decrypt",
                "kms:DescribeKey",
                "kms:GenerateDataKeyWithoutPlaintext",
            ),
            "DRS does this with its caller's rights while it launches and ends instances",
        ),
    },
}
"""By technology: rights that no call of Leeward's shows, and why they are needed all the same."""


@dataclass(frozen=True, slots=True)
class Declared:
    """IAM actions of one caller."""

    allowed: frozenset[str]
    who: str
    """For people: who declares them."""


def declared() -> Mapping[str, Declared]:
    """By role: all that any adapter, check or part of the engine declares for it."""
    needed = iam_policy.needed(registry.BUILT_IN, dependencies.CHECKS)
    operator = {"sts:AssumeRole", "sts:TagSession", *iam_policy.NOTICES}
    return {
        iam_policy.READ_ROLE: Declared(
            needed.read | {permissions.SIMULATE}, "the read role's policy (iam_policy.needed)"
        ),
        iam_policy.RECOVERY_ROLE: Declared(
            needed.recovery | iam_policy.NOTICES, "the recovery role's policy (iam_policy.needed)"
        ),
        OWN: Declared(
            frozenset(operator | ssm_parameters.PERMISSIONS | cloudwatch.PERMISSIONS),
            "the operator's own role (docs/accounts.md)",
        ),
    }


def action(service: str, operation: str) -> str:
    """The IAM action of an operation, both as botocore names them."""
    name = f"{PREFIXES.get(service, service)}:{operation}"
    return ACTIONS.get(name, name)


def problems(uses: Iterable[Use], *, whole: bool) -> Iterator[str]:
    """What is used and not declared, and of a whole suite what is declared and not used.

    Callers with a key of an account that is not the operator's are its administrators, who need
    no declaration.
    """
    known = declared()
    used: set[str] = set()
    for use in sorted(uses):
        if use.role == OWN and use.account != HUB:
            continue
        wanted = action(use.service, use.operation)
        used.add(wanted)
        if wanted in FREE:
            continue
        caller = use.role or "the operator itself"
        if wanted not in allowed(use.role, known):
            who = known[use.role].who if use.role in known else "anything that is declared"
            yield f"{caller} asked for {wanted}, which is not in {who}"
    if whole:
        yield from _idle(used, known)


def allowed(role: str, known: Mapping[str, Declared]) -> frozenset[str]:
    """What the role may do; a role of another name is one that a test made for every use."""
    if role in known:
        return known[role].allowed
    return frozenset().union(*(one.allowed for one in known.values()))


def _idle(used: set[str], known: Mapping[str, Declared]) -> Iterator[str]:
    excused = {action for reasons in ON_BEHALF.values() for action in reasons} | {"sts:TagSession"}
    for idle in sorted(allowed("any", known) - used - excused):
        yield f"{idle} is declared, and nothing in the whole suite uses it"
    for stale in sorted(excused & used):
        yield f"{stale} is used, so that it is no exception: take it off rights.ON_BEHALF"

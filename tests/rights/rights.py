"""Whether declared rights are those that the whole suite used: no more and no fewer, by part.

Every sandbox of a test session notes what each part of Leeward asked AWS for, an adapter, discovery
or a check (`leeward_sandbox.aws.used`); this compares it with what that part declares, from which
`leeward iam policy` prints the policies of the roles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from leeward_adapters import (
    cloudwatch,
    dependencies,
    discovery,
    drs_capacity,
    iam_policy,
    permissions,
    quotas,
    registry,
    ssm_parameters,
)
from leeward_adapters.attribution import of_adapter
from leeward_adapters.iam_policy import READ_ROLE, RECOVERY_ROLE
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

PEOPLE: Final = "cli"
"""The part that works with the rights of whoever calls it, which Leeward does not declare."""
TESTS: Final = "tests"
"""What tests of clients themselves are called as a part: held against the roles as a whole."""

ON_BEHALF: Final[Mapping[str, Mapping[str, str]]] = {
    "accounts": {"ec2:DescribeInstances": "DescribeSourceServers of DRS depends on it"},
    "sessions": {"sts:TagSession": "tags go along with AssumeRole"},
    of_adapter("automation"): {
        "iam:PassRole": "the role of a document is passed to SSM by StartAutomationExecution",
        "ssm:AddTagsToResource": "tags go along with StartAutomationExecution",
    },
    of_adapter("drs"): {
        "drs:CreateRecoveryInstanceForDrs": "DRS registers what StartRecovery launches",
        "drs:DescribeReplicationConfigurationTemplates": "ReverseReplication depends on it",
        "drs:ListTagsForResource": "StartRecovery depends on it",
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
                "kms:ReEncryptFrom",
                "kms:ReEncryptTo",
            ),
            "DRS does this with its caller's rights while it launches and ends instances",
        ),
    },
}
"""By part: rights that no call of its shows, and why they are needed all the same."""


_DEFAULTS: Final = "the account has no value of its own"
SELDOM_READ: Final[Mapping[str, Mapping[str, str]]] = {
    "accounts": {"servicequotas:GetAWSDefaultServiceQuota": _DEFAULTS},
    of_adapter("drs"): {"servicequotas:GetAWSDefaultServiceQuota": _DEFAULTS},
    of_adapter("automation"): dict.fromkeys(
        (
            "ssm:DescribeAutomationStepExecutions",
            "ssm:GetAutomationExecution",
            "ssm:ListTagsForResource",
        ),
        "a document was started before its fencing became a duty",
    ),
    of_adapter("autoscaling"): {
        "ec2:DescribeInstances": "a group is empty whose fencing became a duty",
    },
}
"""By part: rights of the read role that the suite shows through the recovery role alone, and when
they are asked through the read role."""


@dataclass(frozen=True, slots=True)
class Declared:
    """IAM actions of one part."""

    by_role: Mapping[str, frozenset[str]]
    where: str
    """For people: what declares them."""
    tried: frozenset[str] = field(default=frozenset())
    """What it may ask to see whether a role has a right that another part needs."""

    @property
    def all(self) -> frozenset[str]:
        """Those that it needs itself, through whatever role."""
        return frozenset().union(*self.by_role.values())

    def allowed(self, role: str) -> frozenset[str]:
        """What it may ask through the role; one of another name is a test's, for every use."""
        known = role in {READ_ROLE, RECOVERY_ROLE, OWN}
        return (self.by_role.get(role, frozenset()) if known else self.all) | self.tried


def declared() -> Mapping[str, Declared]:
    """By part: what it declares for each role."""
    return {
        **{of_adapter(kind): _of_adapter(kind) for kind in registry.BUILT_IN},
        **{
            dependencies.of_check(kind): Declared(
                {READ_ROLE: dependencies.permissions(kind)}, "PERMISSIONS of the check"
            )
            for kind in dependencies.CHECKS
        },
        "discovery": Declared({READ_ROLE: discovery.PERMISSIONS}, "discovery.PERMISSIONS"),
        "accounts": Declared(
            {
                READ_ROLE: drs_capacity.PERMISSIONS
                | quotas.PERMISSIONS
                | {permissions.SIMULATE, permissions.PROFILE}
            },
            "PERMISSIONS of drs_capacity and quotas, SIMULATE and PROFILE of permissions",
            tried=frozenset(permissions.PROBES),
        ),
        "notifications": Declared(
            dict.fromkeys((RECOVERY_ROLE, OWN), iam_policy.NOTICES), "iam_policy.NOTICES"
        ),
        "settings": Declared({OWN: ssm_parameters.PERMISSIONS}, "ssm_parameters.PERMISSIONS"),
        "metrics": Declared({OWN: cloudwatch.PERMISSIONS}, "cloudwatch.PERMISSIONS"),
        "sessions": Declared(
            {OWN: frozenset({"sts:AssumeRole", "sts:TagSession"})},
            "the operator's own role (docs/accounts.md)",
        ),
    }


def _of_adapter(kind: str) -> Declared:
    uses = registry.adapter(kind).permissions
    roles = {READ_ROLE: uses["Read"], RECOVERY_ROLE: frozenset().union(*uses.values())}
    return Declared(roles, f"permissions of the adapter {kind}")


def _of_all(parts: Iterable[Declared]) -> Declared:
    roles: dict[str, frozenset[str]] = {}
    for part in parts:
        for role, actions in part.by_role.items():
            roles[role] = roles.get(role, frozenset()) | actions
    return Declared(roles, "any part's declaration")


def action(service: str, operation: str) -> str:
    """The IAM action of an operation, both as botocore names them."""
    name = f"{PREFIXES.get(service, service)}:{operation}"
    return ACTIONS.get(name, name)


def problems(uses: Iterable[Use], *, whole: bool) -> Iterator[str]:
    """What is used and not declared, and of a whole suite what is declared and not used.

    Callers with a key of an account that is not the operator's are its administrators, who need
    no declaration.
    """
    known = {**declared(), TESTS: _of_all(declared().values())}
    used: dict[str, set[str]] = {part: set() for part in known}
    read: dict[str, set[str]] = {part: set() for part in known}
    for use in sorted(uses):
        wanted = action(use.service, use.operation)
        if use.part == PEOPLE or (use.role == OWN and use.account != HUB):
            continue
        asked = f"asked for {wanted} through {use.role or 'the operator itself'}"
        if use.part not in known:
            who = f"part '{use.part}', which declares nothing," if use.part else "some part"
            yield f"{who} {asked}: have it say who it is (leeward_adapters.attribution)"
            continue
        used[use.part].add(wanted)
        if use.role not in {RECOVERY_ROLE, OWN}:
            read[use.part].add(wanted)
        if wanted not in known[use.part].allowed(use.role) | FREE:
            yield f"{use.part} {asked}, which is not in {known[use.part].where}"
    if whole:
        for part, one in declared().items():
            yield from _idle(part, one, used[part])
            yield from _not_read(part, one, read[part] | (one.all - used[part]))


def _idle(part: str, one: Declared, used: set[str]) -> Iterator[str]:
    excused = ON_BEHALF.get(part, {}).keys()
    for idle in sorted(one.all - used - excused):
        yield f"{part} declares {idle}, which it uses nowhere in the whole suite"
    for stale in sorted((excused & used) - one.tried):
        yield f"{part} uses {stale}, so that it is no exception: take it off rights.ON_BEHALF"


def _not_read(part: str, one: Declared, read: set[str]) -> Iterator[str]:
    """Rights of the read role that are used through another role alone."""
    excused = ON_BEHALF.get(part, {}).keys() | SELDOM_READ.get(part, {}).keys()
    for idle in sorted(one.by_role.get(READ_ROLE, frozenset()) - read - excused):
        yield f"{part} uses {idle} through other roles than {READ_ROLE} alone: declare it by phase"

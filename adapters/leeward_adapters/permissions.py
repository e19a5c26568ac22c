"""What a role may do, by name: IAM's own simulation, or else calls that only look.

The simulation is asked about every action; PassRole about the roles that DRS passes, the others
about all resources, so that a role confined to some resources is said to lack the action. About
what plans name (instance profiles, SSM documents and their roles) it is asked by that name. What
service control policies or session policies take away is in the answer only as far as IAM shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from botocore.exceptions import BotoCoreError, ClientError

from leeward_adapters.base import ErrorClass, Scope
from leeward_adapters.errors import classify

SIMULATE: Final = "iam:SimulatePrincipalPolicy"
"""The IAM action of the simulation; to be allowed for the two roles of the account."""
PROFILE: Final = "iam:GetInstanceProfile"
"""The IAM action by which the role of an instance profile is found out."""
PASS: Final = "iam:PassRole"
START: Final = "ssm:StartAutomationExecution"
_BATCH: Final = 50
_MOST_NAMED: Final = 50
"""Names of a kind that are asked about in one look."""
_OF_AWS: Final = ("aws", "amazon", "amzn")
"""Beginnings of names that SSM keeps for AWS's own documents (SSM user guide)."""
_EC2: Final = "ec2.amazonaws.com"
_PROFILE: Final = "instance profile"
_PASSED_BY_DRS: Final = "role/service-role/AWSElasticDisasterRecoveryRecoveryInstanceRole"


@dataclass(frozen=True, slots=True)
class Named:
    """What plans name and the recovery role must be allowed by that name."""

    instance_profiles: tuple[str, ...] = ()
    """Names or ARNs of instance profiles with which servers are launched."""
    documents: tuple[str, ...] = ()
    """Names or ARNs of SSM documents."""
    document_roles: tuple[str, ...] = ()
    """ARNs of the roles that plans give to them."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Something that plans name and the role may not use."""

    action: str
    subject: str
    """As plans name it."""
    why: str
    """With the resource that must be allowed."""


@dataclass(frozen=True, slots=True)
class Rights:
    """What was found out about the actions that a role needs."""

    how: Literal["Simulated", "Probed", "Unknown"]
    missing: tuple[str, ...] = ()
    """Actions that the role is not allowed, sorted."""
    unchecked: tuple[str, ...] = ()
    """Actions about which nothing is known, sorted."""
    why: str = ""
    """Why it was not simulated, or a name was not looked at."""
    refused: tuple[Refused, ...] = ()
    """What plans name and the role may not use; only known where it was simulated."""


def document_arn(name: str, partition: str, account_id: str, region: str = "*") -> str:
    """The ARN of an SSM document by its name; an ARN is one already.

    AWS's own documents belong to no account.
    """
    if name.startswith("arn:"):
        return name
    owner = "" if name.lower().startswith(_OF_AWS) else account_id
    return f"arn:{partition}:ssm:{region}:{owner}:document/{name}"


def check(
    looking: Scope,
    acting: Scope,
    role_arn: str,
    actions: Iterable[str],
    named: Named | None = None,
) -> Rights:
    """Which of `actions` the role lacks.

    Args:
        looking: the account through its read role, which asks for the simulation.
        acting: the account through the role itself, for the calls of the fallback.
        role_arn: the role.
        actions: IAM actions.
        named: what it must be allowed by name; None: nothing is.
    """
    wanted = sorted(set(actions))
    try:
        missing = _simulated(looking, role_arn, wanted)
        return _by_name(looking, role_arn, named or Named(), Rights("Simulated", missing))
    except (ClientError, BotoCoreError) as error:
        fault = classify(error)
    why = f"{fault.code}: {fault.message}"
    if fault.kind is not ErrorClass.DENIED:
        return Rights("Unknown", unchecked=tuple(wanted), why=why)
    return _probed(acting, wanted, why)


def _simulated(scope: Scope, role_arn: str, actions: Sequence[str]) -> tuple[str, ...]:
    """Those that are not allowed; running documents is a matter of their names."""
    others = [action for action in actions if action not in {PASS, START}]
    allowed = {START}
    for start in range(0, len(others), _BATCH):
        allowed |= _allowed(scope, role_arn, others[start : start + _BATCH])
    if "drs:StartRecovery" not in actions or _passes(
        scope, role_arn, f"arn:{scope.partition}:iam::{scope.account_id}:{_PASSED_BY_DRS}", _EC2
    ):
        allowed.add(PASS)
    return tuple(action for action in actions if action not in allowed)


def _passes(scope: Scope, role_arn: str, passed: str, service: str) -> bool:
    return bool(_allowed(scope, role_arn, [PASS], passed, service))


def _by_name(scope: Scope, role_arn: str, named: Named, rights: Rights) -> Rights:
    """The rights with what the role may not use of what is named, and what could not be told."""
    refused: list[Refused] = []
    unchecked: list[str] = []
    for profile in named.instance_profiles[:_MOST_NAMED]:
        passed = _role_of(scope, profile)
        if isinstance(passed, Refused):
            refused.append(passed)
        elif passed is None:
            unchecked.append(profile)
        elif not _passes(scope, role_arn, passed, _EC2):
            refused.append(Refused(PASS, profile, f"{passed}, the role of {_PROFILE} {profile}"))
    for passed in named.document_roles[:_MOST_NAMED]:
        if not _passes(scope, role_arn, passed, "ssm.amazonaws.com"):
            refused.append(Refused(PASS, passed, f"{passed}, to SSM"))
    for name in named.documents[:_MOST_NAMED]:
        arn = document_arn(name, scope.partition, scope.account_id, scope.region)
        if not _allowed(scope, role_arn, [START], arn):
            refused.append(Refused(START, name, arn))
    groups = (named.instance_profiles, named.document_roles, named.documents)
    unchecked += [name for names in groups for name in names[_MOST_NAMED:]]
    why = f"not looked at: {', '.join(unchecked)}" if unchecked else ""
    return replace(rights, refused=tuple(refused), unchecked=tuple(unchecked), why=why)


def _role_of(scope: Scope, profile: str) -> str | Refused | None:
    """ARN of the role in an instance profile; None: the read role may not see it."""
    name = profile.rpartition("/")[2]
    try:
        answer = scope.client("iam").get_instance_profile(InstanceProfileName=name)
    except ClientError as error:
        if classify(error).kind is ErrorClass.DENIED:
            return None
        if error.response.get("Error", {}).get("Code") != "NoSuchEntity":
            raise
        where = f"account {scope.account_id}"
        return Refused(PASS, profile, f"the role of {_PROFILE} {profile}, which {where} lacks")
    roles = answer["InstanceProfile"]["Roles"]
    if not roles:
        return Refused(PASS, profile, f"the role of {_PROFILE} {profile}, which holds none")
    return str(roles[0]["Arn"])


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

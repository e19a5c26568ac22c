"""IAM policies for the roles of an account, from what the adapters declare. Pure: no calls.

The read role gets what looking needs, the recovery role that and the phases. PassRole and KMS are
confined as DRS's documentation has them, and SSM documents are run by name alone; describe actions
know no resources (Service Authorization Reference), and a role acts in its own account anyway, so
the rest is about all resources, in the Regions that are given.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from leeward_adapters import (
    dependencies,
    discovery,
    drs_capacity,
    eventbridge,
    quotas,
    registry,
    sns,
)
from leeward_adapters.permissions import PASS, PROFILE, SIMULATE, START, document_arn

Document = dict[str, Any]
Statement = dict[str, Any]

READ_ROLE: Final = "LeewardRead"
RECOVERY_ROLE: Final = "LeewardRecovery"
GLOBAL: Final = ("iam", "route53")
"""Services without Regions: a condition on the Region would be about their control plane's."""
NOTICES: Final = sns.PERMISSIONS | eventbridge.PERMISSIONS
"""What the recovery role needs where plans send notices through the account."""

SESSION_TAGS: Final = (
    "leeward:*", "eks-cluster-arn", "eks-cluster-name", "kubernetes-namespace",
    "kubernetes-pod-name", "kubernetes-pod-uid", "kubernetes-service-account",
)  # fmt: skip
"""Keys of a session's tags: Leeward's own, and those of an EKS Pod Identity's session, which the
sessions that it assumes inherit."""
TRUST_LENGTH: Final = 2_048
"""Characters of a role's trust policy that IAM takes, without white space (IAM user guide, IAM and
STS quotas: role trust policy length)."""
TRUST_LENGTH_RAISED: Final = 4_096
"""As far as that quota can be raised."""


@dataclass(frozen=True, slots=True)
class Needed:
    """IAM actions of the two roles."""

    read: frozenset[str]
    recovery: frozenset[str]


@dataclass(frozen=True, slots=True)
class Named:
    """What the recovery role may use of an account's own; what is not named, it may not."""

    instance_profile_roles: Sequence[str] = ()
    """ARNs of the roles in instance profiles with which servers are launched."""
    automation_documents: Sequence[str] = ()
    """SSM documents that may be run: names, or ARNs of those that another account shares."""
    automation_roles: Sequence[str] = ()
    """ARNs of roles that may be given to these documents."""


@dataclass(frozen=True, slots=True)
class Trust:
    """Who may assume the roles, and for whom."""

    principal: str
    """ARN of the operator's own role."""
    external_ids: Mapping[str, str]
    """By namespace: the external id. An empty namespace: for whichever."""
    tag_keys: Sequence[str] = field(default=())
    """Keys of the TargetAccount's own session tags."""


def needed(technologies: Iterable[str], checked: Iterable[str] = ()) -> Needed:
    """What the roles need for these technologies, and for discovery and the checks of accounts.

    `checked` are types of dependencies that the read role looks at.

    Raises:
        AdapterError: there is no adapter for one of them.
    """
    declared = [registry.adapter(kind).permissions for kind in technologies]
    looks = {action for permissions in declared for action in permissions["Read"]}
    all_of = {a for permissions in declared for actions in permissions.values() for a in actions}
    looks |= {action for kind in checked for action in dependencies.permissions(kind)}
    read = discovery.PERMISSIONS | drs_capacity.PERMISSIONS | quotas.PERMISSIONS | looks
    return Needed(read=frozenset(read), recovery=frozenset(all_of))


def documents(
    technologies: Sequence[str],
    account_id: str,
    partition: str = "aws",
    regions: Sequence[str] = (),
    checked: Sequence[str] = (),
    named: Named | None = None,
) -> dict[str, Document]:
    """The permission policies by name of the role.

    Args:
        technologies: kinds of adapters.
        account_id: the account of the roles.
        partition: its partition.
        regions: Regions in which the roles may act; none: all.
        checked: types of dependencies that the read role looks at.
        named: what of the account's own the recovery role may use; None: nothing.
    """
    actions = needed(technologies, checked)
    roles = f"arn:{partition}:iam::{account_id}:role"
    looking = _statements(actions.read, regions)
    own = [f"{roles}/{READ_ROLE}", f"{roles}/{RECOVERY_ROLE}"]
    looking.append(_allow("SeeOwnRights", [SIMULATE], own))
    profiles = f"arn:{partition}:iam::{account_id}:instance-profile/*"
    looking.append(_allow("SeeInstanceProfiles", [PROFILE], profiles))
    acting = _statements(actions.recovery | NOTICES, regions)
    named = named or Named()
    if "automation" in technologies and named.automation_documents:
        acting += _automation(named, account_id, partition, regions)
    if "drs" in technologies:
        passed = [f"{roles}/service-role/AWSElasticDisasterRecovery*"]
        passed += named.instance_profile_roles
        acting.append(pass_roles("PassRolesForDrs", _one_or_all(passed), "ec2.amazonaws.com"))
    return {READ_ROLE: _document(looking), RECOVERY_ROLE: _document(acting)}


def pass_roles(sid: str, roles: Any, service: str) -> Statement:
    """A statement that lets roles be passed to a service."""
    return _allow(sid, [PASS], roles, {"StringEquals": {"iam:PassedToService": service}})


def trust_policy(trust: Trust) -> Document:
    """The trust policy of both roles.

    A session must show one of the external ids, and one of the namespaces as its tag, so that
    CloudTrail shows for whom it is. One statement lists them all: one for each namespace would be
    longer than IAM takes from the sixth on. The operator's role is named by a condition
    (`aws:PrincipalArn`): as a principal it would have to exist already, and be another one after
    it was made anew, as where a hub is rebuilt (IAM user guide, AWS JSON policy elements).
    """
    account, _, resource = trust.principal.rpartition(":")
    principal = {"AWS": f"{account}:root"}
    itself = {} if resource == "root" else {"ArnEquals": {"aws:PrincipalArn": trust.principal}}
    namespaces = sorted(trust.external_ids)
    wanted = {"sts:ExternalId": _one_or_all([trust.external_ids[name] for name in namespaces])}
    if any(namespaces):
        wanted["aws:RequestTag/leeward:namespace"] = _one_or_all(namespaces)
    assume: Statement = {
        "Effect": "Allow",
        "Principal": principal,
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": wanted, **itself},
    }
    keys = [*SESSION_TAGS, *trust.tag_keys]
    tag: Statement = {
        "Effect": "Allow",
        "Principal": principal,
        "Action": "sts:TagSession",
        "Condition": {"ForAllValues:StringLike": {"aws:TagKeys": keys}, **itself},
    }
    return _document([assume, tag])


def trust_length(trust: Trust) -> int:
    """Characters of the trust policy as IAM counts them: without white space."""
    return len("".join(json.dumps(trust_policy(trust)).split()))


def namespaces_that_fit(trust: Trust, length: int) -> int:
    """How many of the namespaces, in alphabetical order, a trust policy of `length` holds."""
    ids = sorted(trust.external_ids.items())
    counts = range(len(ids), 0, -1)
    fitting = (
        n for n in counts if trust_length(replace(trust, external_ids=dict(ids[:n]))) <= length
    )
    return next(fitting, 0)


def template(policies: Mapping[str, Document], trust: Trust) -> Document:
    """A CloudFormation template that makes the roles, and outputs their ARNs."""
    resources = {
        name: {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "RoleName": name,
                "Description": f"Leeward: {'looks only' if name == READ_ROLE else 'recovers'}",
                "MaxSessionDuration": 3600,
                "AssumeRolePolicyDocument": trust_policy(trust),
                "Policies": [{"PolicyName": name, "PolicyDocument": policy}],
            },
        }
        for name, policy in policies.items()
    }
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Roles through which Leeward reaches this account",
        "Resources": resources,
        "Outputs": {f"{name}Arn": {"Value": {"Fn::GetAtt": [name, "Arn"]}} for name in policies},
    }


def _statements(actions: Iterable[str], regions: Sequence[str]) -> list[Statement]:
    """Statements about all resources: in Regions, without, and what KMS is asked by EC2."""
    rest = sorted(set(actions) - {PASS, START})
    kms = [a for a in rest if a.startswith("kms:") and a != "kms:CreateGrant"]
    everywhere = [a for a in rest if a.split(":")[0] in GLOBAL]
    regional = [a for a in rest if a not in everywhere and not a.startswith("kms:")]
    found = [_allow("InRegions", regional, "*", _inside(regions))]
    if everywhere:
        found.append(_allow("WithoutRegions", everywhere))
    if kms:
        by_ec2 = {"StringLike": {"kms:ViaService": "ec2.*.amazonaws.com"}}
        found.append(_allow("EncryptedVolumes", kms, "*", by_ec2))
    if "kms:CreateGrant" in rest:
        for_aws = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
        found.append(_allow("GrantsForVolumes", ["kms:CreateGrant"], "*", for_aws))
    return found


def _automation(
    named: Named, account_id: str, partition: str, regions: Sequence[str]
) -> Iterable[Statement]:
    """The documents that are named alone, with the roles that are named alone.

    StartAutomationExecution is about the document, once as what it was called before, and about
    the execution that it makes (Service Authorization Reference).
    """
    documents = [document_arn(d, partition, account_id) for d in named.automation_documents]
    earlier = [f"{d.replace(':document/', ':automation-definition/')}:*" for d in documents]
    executions = f"arn:{partition}:ssm:*:{account_id}:automation-execution/*"
    yield _allow("StartAutomations", [START], [*documents, *earlier, executions], _inside(regions))
    if named.automation_roles:
        roles = _one_or_all([*named.automation_roles])
        yield pass_roles("PassRolesForAutomation", roles, "ssm.amazonaws.com")


def _inside(regions: Sequence[str]) -> Mapping[str, Any] | None:
    return {"StringEquals": {"aws:RequestedRegion": list(regions)}} if regions else None


def _allow(
    sid: str,
    actions: Sequence[str],
    resource: str | list[str] = "*",
    condition: Mapping[str, Any] | None = None,
) -> Statement:
    statement: Statement = {
        "Sid": sid,
        "Effect": "Allow",
        "Action": list(actions),
        "Resource": resource,
    }
    return statement | ({"Condition": dict(condition)} if condition else {})


def _one_or_all(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else values


def _document(statements: Sequence[Statement]) -> Document:
    return {"Version": "2012-10-17", "Statement": list(statements)}

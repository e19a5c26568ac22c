"""The CloudFormation template of an account's two roles; what differs is a parameter.

The policies are those of `iam_policy`: what the adapters declare. Pure: no calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from leeward_adapters import dependencies, iam_policy, registry
from leeward_adapters.iam_policy import READ_ROLE, RECOVERY_ROLE, SESSION_TAGS, Document, Statement
from leeward_adapters.iam_template_parts import (
    NO_VALUE,
    ORGANIZATION,
    ROLE_ARN,
    document,
    given,
    list_given,
    list_parameter,
    text_parameter,
)
from leeward_adapters.permissions import START

_ACCEPTED: Final = {
    "checkov": {
        "skip": [
            {
                "id": "CKV_AWS_111",
                "comment": "What DRS calls in EC2 for its caller is tied to no resource that is "
                "there before; the role acts in its own account, in the given Regions, for one "
                "operator.",
            }
        ]
    }
}
"""What checkov finds in the recovery role, and why it stays."""
_IN_REGIONS: Final = {
    "Fn::If": [
        "InRegions", {"StringEquals": {"aws:RequestedRegion": {"Ref": "Regions"}}}, NO_VALUE
    ]
}  # fmt: skip
_PARAMETERS: Final[Document] = {
    "OperatorRoleArn": text_parameter(
        "The operator's own role (output RoleArn of operator-role.yaml)", AllowedPattern=ROLE_ARN
    ),
    "Namespaces": list_parameter(
        "Namespaces of the plans that use this account, with commas between"
    ),
    "ExternalIds": list_parameter(
        "Their external ids as status.externalIds shows them: leeward/HUB/NAMESPACE"
    ),
    "OrganizationId": ORGANIZATION,
    "Regions": list_parameter(
        "Regions in which the roles may act, with commas between; empty: all", Default=""
    ),
    "SessionTagKeys": list_parameter(
        "Keys of the TargetAccounts' own spec.sessionTags, with commas between", Default=""
    ),
    "InstanceProfileRoleArns": list_parameter(
        "ARNs of the roles in your own instance profiles of launched servers; empty: none",
        Default="",
    ),
    "AutomationDocuments": list_parameter(
        "Names of the SSM documents that plans may run, with commas between; empty: none",
        Default="",
    ),
    "AutomationRoleArns": list_parameter(
        "ARNs of the roles that plans may give to these documents; empty: none", Default=""
    ),
    "PermissionsBoundaryArn": text_parameter(
        "Policy that bounds the roles; empty: none", Default=""
    ),
}


def target_account_roles() -> Document:
    """The read and the recovery role of an account, for all adapters and dependencies."""
    printed = iam_policy.documents(
        sorted(registry.BUILT_IN),
        "${AWS::AccountId}",
        "${AWS::Partition}",
        ["REGIONS"],
        sorted(dependencies.CHECKS),
    )
    resources = {
        READ_ROLE: _role(READ_ROLE, "looks only", _substituted(printed[READ_ROLE])),
        RECOVERY_ROLE: {
            **_role(RECOVERY_ROLE, "recovers", _substituted(printed[RECOVERY_ROLE])),
            "Metadata": _ACCEPTED,
        },
    }
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Leeward: the roles through which the operator reaches this account",
        "Parameters": _PARAMETERS,
        "Conditions": {
            "InOrganization": given("OrganizationId"),
            "InRegions": list_given("Regions"),
            "Bounded": given("PermissionsBoundaryArn"),
            "Profiles": list_given("InstanceProfileRoleArns"),
            "Automations": list_given("AutomationDocuments"),
            "AutomationRoles": {
                "Fn::And": [{"Condition": "Automations"}, list_given("AutomationRoleArns")]
            },
        },
        "Resources": resources | _named(),
        "Outputs": {
            f"{name}Arn": {
                "Description": f"spec.{field} of the TargetAccount",
                "Value": {"Fn::GetAtt": [name, "Arn"]},
            }
            for name, field in ((READ_ROLE, "readRoleArn"), (RECOVERY_ROLE, "recoveryRoleArn"))
        },
    }


def _named() -> Document:
    """Policies of the recovery role for what an account names of its own."""
    options = {
        "Profiles": [
            iam_policy.pass_roles(
                "PassRolesForDrs", {"Ref": "InstanceProfileRoleArns"}, "ec2.amazonaws.com"
            )
        ],
        "Automations": _automations(),
        "AutomationRoles": [
            iam_policy.pass_roles(
                "PassRolesForAutomation", {"Ref": "AutomationRoleArns"}, "ssm.amazonaws.com"
            )
        ],
    }
    return {
        f"{name}Policy": {
            "Type": "AWS::IAM::Policy",
            "Condition": name,
            "Properties": {
                "PolicyName": f"Leeward{name}",
                "Roles": [{"Ref": RECOVERY_ROLE}],
                "PolicyDocument": document(statements),
            },
        }
        for name, statements in options.items()
    }


def _automations() -> list[Statement]:
    """The documents that are named, of this account or AWS.

    CloudFormation joins names by a constant text alone, so the first statement cannot say whose
    documents; the second takes back those of other accounts, which share theirs under any name.
    """
    names = {"Ref": "AutomationDocuments"}
    by_name, earlier = "arn:*:ssm:*:*:document/", "arn:*:ssm:*:*:automation-definition/"
    joined = [
        by_name, {"Fn::Join": [f",{by_name}", names]},
        f",{earlier}", {"Fn::Join": [f":*,{earlier}", names]},
        ":*,", {"Fn::Sub": "arn:${AWS::Partition}:ssm:*:${AWS::AccountId}:automation-execution/*"},
    ]  # fmt: skip
    return [
        {
            "Sid": "StartAutomations",
            "Effect": "Allow",
            "Action": [START],
            "Resource": {"Fn::Split": [",", {"Fn::Join": ["", joined]}]},
            "Condition": _IN_REGIONS,
        },
        {
            "Sid": "NoDocumentsOfOthers",
            "Effect": "Deny",
            "Action": [START],
            "NotResource": [
                {"Fn::Sub": "arn:${AWS::Partition}:ssm:*:${AWS::AccountId}:*"},
                {"Fn::Sub": "arn:${AWS::Partition}:ssm:*::*"},
            ],
        },
    ]


def _role(name: str, does: str, policy: Document) -> Document:
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "RoleName": name,
            "Description": f"Leeward: {does}",
            "MaxSessionDuration": 3600,
            "PermissionsBoundary": {
                "Fn::If": ["Bounded", {"Ref": "PermissionsBoundaryArn"}, NO_VALUE]
            },
            "AssumeRolePolicyDocument": _account_trust(),
            "Policies": [{"PolicyName": name, "PolicyDocument": policy}],
        },
    }


def _account_trust() -> Document:
    """Lets the operator's role in, for the namespaces and with the external ids that are given.

    The operator is named by a condition, see `iam_policy.trust_policy`.
    """
    account = {"Fn::Select": [4, {"Fn::Split": [":", {"Ref": "OperatorRoleArn"}]}]}
    root = {"Fn::Sub": ["arn:${AWS::Partition}:iam::${Account}:root", {"Account": account}]}
    itself = {"ArnEquals": {"aws:PrincipalArn": {"Ref": "OperatorRoleArn"}}}
    organization = {"Fn::If": ["InOrganization", {"Ref": "OrganizationId"}, NO_VALUE]}
    assume: Statement = {
        "Sid": "Operator",
        "Effect": "Allow",
        "Principal": {"AWS": root},
        "Action": "sts:AssumeRole",
        "Condition": {
            **itself,
            "StringEquals": {
                "sts:ExternalId": {"Ref": "ExternalIds"},
                "aws:RequestTag/leeward:namespace": {"Ref": "Namespaces"},
                "aws:PrincipalOrgID": organization,
            },
        },
    }
    known = {"Fn::Join": [",", [*SESSION_TAGS, {"Fn::Join": [",", {"Ref": "SessionTagKeys"}]}]]}
    tag: Statement = {
        "Sid": "SessionTags",
        "Effect": "Allow",
        "Principal": {"AWS": root},
        "Action": "sts:TagSession",
        "Condition": {
            **itself,
            "ForAllValues:StringLike": {"aws:TagKeys": {"Fn::Split": [",", known]}},
        },
    }
    return document([assume, tag])


def _substituted(policy: Document) -> Document:
    """The policy with CloudFormation's functions where `iam_policy` was given names."""
    statements = [_with_functions(statement) for statement in policy["Statement"]]
    for statement in statements:
        inside = statement.get("Condition", {}).get("StringEquals", {})
        if "aws:RequestedRegion" in inside:
            statement["Condition"] = _IN_REGIONS
    return document(statements)


def _with_functions(value: Any) -> Any:
    if isinstance(value, str):
        return {"Fn::Sub": value} if "${" in value else value
    if isinstance(value, Mapping):
        return {key: _with_functions(inner) for key, inner in value.items()}
    return [_with_functions(inner) for inner in value]

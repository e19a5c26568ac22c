"""The CloudFormation template of the operator's own role, for IRSA or EKS Pod Identity.

Source: EKS user guide, "IAM roles for service accounts" and "EKS Pod Identity". Pure: no calls.
"""

from __future__ import annotations

from typing import Final

from leeward_adapters import ssm_parameters
from leeward_adapters.iam_policy import READ_ROLE, RECOVERY_ROLE, Document
from leeward_adapters.iam_template_parts import (
    NO_VALUE,
    ORGANIZATION,
    allow,
    document,
    given,
    list_given,
    list_parameter,
    text_parameter,
)

METRICS: Final = "Leeward"
"""Namespace of the operator's metrics in CloudWatch."""
# The keys of the conditions hold the issuer's name, and CloudFormation puts no function into a key.
_IRSA: Final = {
    "Fn::Sub": """\
{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Sid": "ServiceAccountOfTheCluster",
      "Effect": "Allow",
      "Principal": {
        "Federated": "arn:${AWS::Partition}:iam::${AWS::AccountId}:oidc-provider/${OidcProvider}"
      },
      "Action": "sts:AssumeRoleWithWebIdentity",
      "Condition": {
        "StringEquals": {
          "${OidcProvider}:sub": "system:serviceaccount:${Namespace}:${ServiceAccount}",
          "${OidcProvider}:aud": "sts.amazonaws.com"
        }
      }
    }
  ]
}
"""
}
_POD_IDENTITY: Final[Document] = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "ServiceAccountOfTheCluster",
            "Effect": "Allow",
            "Principal": {"Service": "pods.eks.amazonaws.com"},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
            "Condition": {
                "StringEquals": {
                    "aws:SourceAccount": {"Ref": "AWS::AccountId"},
                    "aws:RequestTag/eks-cluster-name": {"Ref": "ClusterName"},
                    "aws:RequestTag/kubernetes-namespace": {"Ref": "Namespace"},
                    "aws:RequestTag/kubernetes-service-account": {"Ref": "ServiceAccount"},
                }
            },
        }
    ],
}
_PARAMETERS: Final[Document] = {
    "Identity": text_parameter(
        "How the pod gets the role", AllowedValues=["IRSA", "PodIdentity"], Default="PodIdentity"
    ),
    "RoleName": text_parameter("Name of the role", Default="leeward"),
    "OidcProvider": text_parameter(
        "IRSA: the cluster's issuer without https://: oidc.eks.us-east-2.amazonaws.com/id/EXAMPLE",
        Default="",
        AllowedPattern=r"^([\w.-]+(/[\w.-]+)*)?$",
    ),
    "ClusterName": text_parameter("Pod Identity: name of the EKS cluster", Default=""),
    "Namespace": text_parameter("Namespace of the operator", Default="leeward-system"),
    "ServiceAccount": text_parameter("Service account of the operator", Default="leeward"),
    "OrganizationId": ORGANIZATION,
    "TopicArns": list_parameter(
        "SNS topics to which the operator itself publishes, with commas between", Default=""
    ),
    "EventBusArns": list_parameter(
        "EventBridge buses to which the operator itself puts events", Default=""
    ),
    "KeyArns": list_parameter("KMS keys with which those topics are encrypted", Default=""),
    "SettingsPath": text_parameter(
        "LEEWARD_CONFIG_PARAMETERS, as /leeward/prod; empty: not used",
        Default="",
        AllowedPattern=r"^(/[\w.-]+)*$",
    ),
    "CloudWatchMetrics": text_parameter(
        "Whether the operator puts its metrics to CloudWatch",
        AllowedValues=["true", "false"],
        Default="false",
    ),
}


def operator_role() -> Document:
    """The operator's own role, for IRSA or EKS Pod Identity."""
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Leeward: the operator's own role, in the account of the hub's cluster",
        "Parameters": _PARAMETERS,
        "Rules": {
            "IrsaNeedsItsProvider": {
                "RuleCondition": {"Fn::Equals": [{"Ref": "Identity"}, "IRSA"]},
                "Assertions": [
                    {
                        "Assert": {"Fn::Not": [{"Fn::Equals": [{"Ref": "OidcProvider"}, ""]}]},
                        "AssertDescription": "IRSA needs OidcProvider, the issuer without https://",
                    }
                ],
            },
            "PodIdentityNeedsItsCluster": {
                "RuleCondition": {"Fn::Equals": [{"Ref": "Identity"}, "PodIdentity"]},
                "Assertions": [
                    {
                        "Assert": {"Fn::Not": [{"Fn::Equals": [{"Ref": "ClusterName"}, ""]}]},
                        "AssertDescription": "Pod Identity needs ClusterName, the EKS cluster",
                    }
                ],
            },
        },
        "Conditions": {
            "Irsa": {"Fn::Equals": [{"Ref": "Identity"}, "IRSA"]},
            "PodIdentity": {"Fn::Equals": [{"Ref": "Identity"}, "PodIdentity"]},
            "InOrganization": given("OrganizationId"),
            "Topics": list_given("TopicArns"),
            "Buses": list_given("EventBusArns"),
            "Keys": list_given("KeyArns"),
            "Settings": given("SettingsPath"),
            "Metrics": {"Fn::Equals": [{"Ref": "CloudWatchMetrics"}, "true"]},
        },
        "Resources": {"OperatorRole": _operator(), **_operator_options(), **_association()},
        "Outputs": {
            "RoleArn": {
                "Description": "OperatorRoleArn of the accounts' roles; for IRSA also the service "
                "account's annotation eks.amazonaws.com/role-arn",
                "Value": {"Fn::GetAtt": ["OperatorRole", "Arn"]},
            }
        },
    }


def _operator() -> Document:
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "RoleName": {"Ref": "RoleName"},
            "Description": "Leeward's operator: assumes the roles of the accounts",
            "AssumeRolePolicyDocument": {"Fn::If": ["Irsa", _IRSA, _POD_IDENTITY]},
            "Policies": [{"PolicyName": "AssumeAccountRoles", "PolicyDocument": _assuming()}],
        },
    }


def _assuming() -> Document:
    roles = [
        {"Fn::Sub": f"arn:${{AWS::Partition}}:iam::*:role/{name}"}
        for name in (READ_ROLE, RECOVERY_ROLE)
    ]
    organization = {"StringEquals": {"aws:ResourceOrgID": {"Ref": "OrganizationId"}}}
    return document(
        [
            {
                "Sid": "AccountRoles",
                "Effect": "Allow",
                "Action": ["sts:AssumeRole", "sts:TagSession"],
                "Resource": roles,
                "Condition": {"Fn::If": ["InOrganization", organization, NO_VALUE]},
            }
        ]
    )


def _operator_options() -> Document:
    """Policies for what some installations let the operator do by itself."""
    path = "arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter${SettingsPath}"
    namespace = {"StringEquals": {"cloudwatch:namespace": METRICS}}
    encrypt = ["kms:Decrypt", "kms:GenerateDataKey"]
    options = {
        "Topics": allow(["sns:Publish"], {"Ref": "TopicArns"}),
        "Buses": allow(["events:PutEvents"], {"Ref": "EventBusArns"}),
        "Keys": allow(encrypt, {"Ref": "KeyArns"}),
        "Settings": allow(sorted(ssm_parameters.PERMISSIONS), {"Fn::Sub": path}),
        "Metrics": allow(["cloudwatch:PutMetricData"], "*", namespace),
    }
    return {
        f"{name}Policy": {
            "Type": "AWS::IAM::Policy",
            "Condition": name,
            "Properties": {
                "PolicyName": f"Leeward{name}",
                "Roles": [{"Ref": "OperatorRole"}],
                "PolicyDocument": document([statement]),
            },
        }
        for name, statement in options.items()
    }


def _association() -> Document:
    return {
        "Association": {
            "Type": "AWS::EKS::PodIdentityAssociation",
            "Condition": "PodIdentity",
            # The rule above refuses the empty default of ClusterName.
            "Metadata": {"cfn-lint": {"config": {"ignore_checks": ["W1030"]}}},
            "Properties": {
                "ClusterName": {"Ref": "ClusterName"},
                "Namespace": {"Ref": "Namespace"},
                "ServiceAccount": {"Ref": "ServiceAccount"},
                "RoleArn": {"Fn::GetAtt": ["OperatorRole", "Arn"]},
            },
        }
    }

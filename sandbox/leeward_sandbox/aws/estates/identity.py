"""The IAM roles that Leeward assumes in an account of the estate."""

from __future__ import annotations

import json
from typing import Any

from leeward_sandbox.aws.backend import World
from leeward_sandbox.aws.estates.identifiers import drawn_from
from leeward_sandbox.aws.estates.model import READ_ACTIONS, Account, Estate, Role

RECOVERY_ACTIONS = (
    *READ_ACTIONS,
    "autoscaling:*",
    "drs:*",
    "ec2:*",
    "ecs:*",
    "events:PutEvents",
    "iam:PassRole",
    "kms:*",
    "lambda:*",
    "rds:*",
    "route53:ChangeResourceRecordSets",
    "sns:Publish",
    "ssm:*",
)


ROLES_OF_DRS = tuple(
    f"AWSElasticDisasterRecovery{name}Role"
    for name in (
        "Agent", "ConversionServer", "Failback", "RecoveryInstance",
        "RecoveryInstanceWithLaunchActions", "ReplicationServer",
    )
)  # fmt: skip
"""What DRS's console makes when its settings are saved for the first time; the API does not."""


def seed_roles(estate: Estate, account: Account, world: World) -> dict[str, str]:
    """Make the account's roles; returns their ARNs by name."""
    iam = world.moto("iam", account.id, estate.regions.primary)
    arns = {}
    for role in estate.account_roles(account):
        with drawn_from(estate.seed, account.id, "role", role.name):
            made = iam.create_role(
                role_name=role.name,
                assume_role_policy_document=json.dumps(trust_policy(role)),
                path="/",
                permissions_boundary=None,
                description=f"{role.access} access for Leeward",
                tags=[],
                max_session_duration="3600",
            )
        actions = RECOVERY_ACTIONS if role.access == "Recovery" else READ_ACTIONS
        statements = [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}]
        if role.deny:
            statements.append({"Effect": "Deny", "Action": role.deny, "Resource": "*"})
        document = {"Version": "2012-10-17", "Statement": statements}
        iam.put_role_policy(role.name, role.access, json.dumps(document))
        arns[role.name] = str(made.arn)
    for name in ROLES_OF_DRS if account.drs_initialized else ():
        iam.create_role(
            role_name=name,
            assume_role_policy_document=json.dumps({"Version": "2012-10-17", "Statement": []}),
            path="/service-role/",
            permissions_boundary=None,
            description="",
            tags=[],
            max_session_duration="3600",
        )
    return arns


def trust_policy(role: Role) -> dict[str, Any]:
    """Who may assume the role, with which external id, and whether with session tags."""
    principals = [f"arn:aws:iam::{account}:root" for account in role.trust]
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"AWS": principals},
        "Action": "sts:AssumeRole",
    }
    if role.external_id is not None:
        statement["Condition"] = {"StringEquals": {"sts:ExternalId": role.external_id}}
    statements = [statement]
    if role.tag_session:
        # Tags come without an external id of their own: a statement apart, as AWS's guide has it.
        statements.append(
            {"Effect": "Allow", "Principal": {"AWS": principals}, "Action": "sts:TagSession"}
        )
    return {"Version": "2012-10-17", "Statement": statements}

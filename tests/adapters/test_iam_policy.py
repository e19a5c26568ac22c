"""What the printed policies hold, statement by statement."""

from __future__ import annotations

import json
from typing import Any

import pytest

from leeward_adapters import iam_policy, registry
from leeward_adapters.iam_policy import RECOVERY_ROLE, TRUST_LENGTH, Named, Trust

ACCOUNT = "111111111111"
OPERATOR = "arn:aws:iam::999999999999:role/leeward"
KINDS = sorted(registry.BUILT_IN)


def statements(document: Any) -> dict[str, Any]:
    return {statement["Sid"]: statement for statement in document["Statement"]}


def trust_of(namespaces: int) -> Trust:
    names = [f"team-{number:02}" for number in range(namespaces)]
    return Trust(OPERATOR, {name: f"leeward/leeward/{name}" for name in names})


def test_volumes_may_take_another_key_than_their_snapshots() -> None:
    acting = statements(iam_policy.documents(["drs"], ACCOUNT)[RECOVERY_ROLE])

    used = acting["EncryptedVolumes"]
    assert {"kms:ReEncryptFrom", "kms:ReEncryptTo"} <= set(used["Action"])
    assert used["Condition"] == {"StringLike": {"kms:ViaService": "ec2.*.amazonaws.com"}}


def test_no_document_may_be_run_and_no_role_passed_to_ssm_unless_they_are_named() -> None:
    document = iam_policy.documents(KINDS, ACCOUNT)[RECOVERY_ROLE]

    acting = statements(document)
    assert not {"StartAutomations", "PassRolesForAutomation"} & acting.keys()
    actions = [(a, s["Resource"]) for s in document["Statement"] for a in s["Action"]]
    assert "ssm:StartAutomationExecution" not in dict(actions)
    assert [r for a, r in actions if a == "iam:PassRole"] == [
        f"arn:aws:iam::{ACCOUNT}:role/service-role/AWSElasticDisasterRecovery*"
    ]


def test_documents_and_their_roles_are_allowed_by_name() -> None:
    roles = [f"arn:aws:iam::{ACCOUNT}:role/automation"]
    shared = "arn:aws:ssm:us-east-2:222222222222:document/shared"
    named = Named((), ["orders-drain", "AWS-StopEC2Instance", shared], roles)

    acting = statements(
        iam_policy.documents(KINDS, ACCOUNT, regions=["us-east-2"], named=named)[RECOVERY_ROLE]
    )

    assert acting["StartAutomations"]["Resource"] == [
        f"arn:aws:ssm:*:{ACCOUNT}:document/orders-drain",
        "arn:aws:ssm:*::document/AWS-StopEC2Instance",
        shared,
        f"arn:aws:ssm:*:{ACCOUNT}:automation-definition/orders-drain:*",
        "arn:aws:ssm:*::automation-definition/AWS-StopEC2Instance:*",
        "arn:aws:ssm:us-east-2:222222222222:automation-definition/shared:*",
        f"arn:aws:ssm:*:{ACCOUNT}:automation-execution/*",
    ]
    assert acting["StartAutomations"]["Condition"] == acting["InRegions"]["Condition"]
    assert acting["PassRolesForAutomation"]["Resource"] == roles[0]


def test_roles_of_own_instance_profiles_may_be_passed_to_ec2() -> None:
    own = f"arn:aws:iam::{ACCOUNT}:role/app-servers"

    passing = statements(iam_policy.documents(["drs"], ACCOUNT, named=Named([own]))[RECOVERY_ROLE])[
        "PassRolesForDrs"
    ]

    assert own in passing["Resource"]
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}


def test_the_trust_of_many_namespaces_is_one_statement_that_lists_them() -> None:
    (assume, tag) = iam_policy.trust_policy(trust_of(20))["Statement"]

    wanted = assume["Condition"]["StringEquals"]
    assert wanted["aws:RequestTag/leeward:namespace"] == [f"team-{n:02}" for n in range(20)]
    assert wanted["sts:ExternalId"] == [f"leeward/leeward/team-{n:02}" for n in range(20)]
    assert assume["Condition"]["ArnEquals"] == {"aws:PrincipalArn": OPERATOR}
    assert tag["Action"] == "sts:TagSession"


@pytest.mark.parametrize("namespaces", [1, 20, 40])
def test_the_length_of_a_trust_policy_is_counted_as_iam_counts_it(namespaces: int) -> None:
    trust = trust_of(namespaces)

    written = "".join(json.dumps(iam_policy.trust_policy(trust)).split())

    assert iam_policy.trust_length(trust) == len(written)


def test_how_many_namespaces_fit_is_known() -> None:
    trust = trust_of(100)

    fit = iam_policy.namespaces_that_fit(trust, TRUST_LENGTH)

    assert 20 <= fit < 100
    assert iam_policy.trust_length(trust_of(fit)) <= TRUST_LENGTH
    assert iam_policy.trust_length(trust_of(fit + 1)) > TRUST_LENGTH

"""`leeward iam policy`: what it prints, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from leeward.cli import main
from leeward_adapters import iam_policy, registry

ACCOUNT = "111111111111"
PRINCIPAL = "arn:aws:iam::999999999999:role/leeward"


def policy(*args: str) -> Result:
    return CliRunner().invoke(main.cli, ["iam", "policy", *args])


def printed(*args: str) -> Any:
    done = policy("--account", ACCOUNT, *args)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_the_policies_of_the_technologies_that_are_named_are_printed() -> None:
    shown = printed("--adapters", "route53")

    assert shown == iam_policy.documents(["route53"], ACCOUNT)
    allowed = [a for s in shown["LeewardRecovery"]["Statement"] for a in s["Action"]]
    assert "route53:ChangeResourceRecordSets" in allowed
    assert "drs:StartRecovery" not in allowed


def test_what_a_dependency_needs_is_added_to_the_read_role() -> None:
    shown = printed(
        "--adapters", "drs", "--dependencies", "DynamoDbGlobalTable", "--role", "LeewardRead"
    )

    assert "dynamodb:DescribeTable" in [a for s in shown["Statement"] for a in s["Action"]]


def test_one_policy_is_printed_as_iam_takes_it() -> None:
    shown = printed(
        "--role", "trust", "--principal", PRINCIPAL, "--namespace", "orders", "--hub", "h"
    )

    (assume, tag) = shown["Statement"]
    assert assume["Condition"]["StringEquals"] == {
        "sts:ExternalId": "leeward/h/orders",
        "aws:RequestTag/leeward:namespace": "orders",
    }
    assert tag["Action"] == "sts:TagSession"


def test_a_template_holds_both_roles_and_an_external_id_of_ones_own() -> None:
    shown = printed(
        "--format", "cloudformation", "--principal", PRINCIPAL, "--external-id", "acme/own",
        "--partition", "aws-us-gov",
    )  # fmt: skip

    text = json.dumps(shown)
    assert set(shown["Resources"]) == {"LeewardRead", "LeewardRecovery"}
    assert '"sts:ExternalId": "acme/own"' in text
    assert f"arn:aws-us-gov:iam::{ACCOUNT}:role/LeewardRead" in text


def test_what_an_account_names_of_its_own_is_allowed() -> None:
    own = f"arn:aws:iam::{ACCOUNT}:role/app"
    runner = f"arn:aws:iam::{ACCOUNT}:role/runner"
    shown = printed(
        "--pass-role", own, "--automation-document", "drain", "--automation-role", runner,
        "--role", "LeewardRecovery",
    )  # fmt: skip

    named = iam_policy.Named([own], ["drain"], [runner])
    kinds = sorted(registry.kinds())
    assert shown == iam_policy.documents(kinds, ACCOUNT, named=named)["LeewardRecovery"]


def test_a_trust_policy_that_iam_takes_with_a_raised_quota_alone_comes_with_a_warning() -> None:
    named = [f"--namespace=team-{number:02}" for number in range(40)]

    done = policy("--account", ACCOUNT, "--principal", PRINCIPAL, "--role", "trust", *named)

    assert done.exit_code == 0
    assert len(json.loads(done.stdout)["Statement"]) == 2
    assert "the trust policy of 40 namespaces has" in done.stderr
    assert "'Role trust policy length' can be raised to 4,096" in done.stderr


def test_a_trust_policy_that_iam_never_takes_is_refused_with_how_many_fit() -> None:
    named = [f"--namespace=team-{number:03}" for number in range(100)]

    done = policy("--account", ACCOUNT, "--principal", PRINCIPAL, *named)

    assert (done.exit_code, done.stdout) == (1, "")
    assert "the trust policy of 100 namespaces has" in done.output
    assert "IAM takes 2,048, enough for " in done.output
    assert "or name fewer" in done.output


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--account", "orders"], "must be an AWS account id of 12 digits"),
        (["--account", ACCOUNT, "--adapters", "vmware"], "there is no adapter 'vmware'"),
        (["--account", ACCOUNT, "--dependencies", "Ftp"], "there is no dependency of type Ftp"),
        (["--account", ACCOUNT, "--format", "cloudformation"], "a template needs --principal"),
        (["--account", ACCOUNT, "--principal", PRINCIPAL], "name the --namespace"),
        (["--account", ACCOUNT, "--role", "trust"], "the trust policy needs --principal"),
        (["--account", ACCOUNT, "--pass-role", "app"], "'app' is no role's ARN, such as"),
        (
            ["--account", ACCOUNT, "--automation-role", f"arn:aws:iam::{ACCOUNT}:role/a"],
            "is for the documents that --automation-document names",
        ),
    ],
)
def test_what_cannot_be_printed_is_said(args: list[str], said: str) -> None:
    done = policy(*args)

    assert done.exit_code == 1
    assert said in done.output

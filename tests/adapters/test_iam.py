"""What roles may do: the policies that are printed, and the checks that find what is missing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from leeward_adapters import drs_capacity, iam_policy, permissions, registry
from leeward_adapters.iam_policy import READ_ROLE, RECOVERY_ROLE, Trust
from leeward_adapters.permissions import PASS, START, Named, Refused

pytestmark = pytest.mark.aws

KINDS = sorted(registry.BUILT_IN)


def _replace_policy(sandbox: Any, role: str, *statements: dict[str, Any]) -> None:
    """Give the role these rights and no others."""
    iam = sandbox.client("iam")
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        iam.delete_role_policy(RoleName=role, PolicyName=name)
    document = {"Version": "2012-10-17", "Statement": list(statements)}
    iam.put_role_policy(RoleName=role, PolicyName="all", PolicyDocument=json.dumps(document))


def _check(
    sandbox: Any, use: str, actions: frozenset[str], named: Named | None = None
) -> permissions.Rights:
    account = sandbox.reached()
    recovery = use == "Recovery"
    return permissions.check(
        sandbox.aws.scope(account, "us-east-2"),
        sandbox.aws.scope(account, "us-east-2", recovery=recovery),
        account.role(recovery=recovery),
        actions,
        named,
    )


@pytest.mark.parametrize("regions", [(), ("us-east-1", "us-east-2")])
def test_the_printed_policies_allow_what_the_adapters_declare_and_nothing_is_missing(
    sandbox: Any, regions: tuple[str, ...]
) -> None:
    needed = iam_policy.needed(KINDS)
    printed = iam_policy.documents(KINDS, sandbox.account, regions=regions)
    for role in (READ_ROLE, RECOVERY_ROLE):
        _replace_policy(sandbox, role, *printed[role]["Statement"])

    assert _check(sandbox, "Read", needed.read) == permissions.Rights("Simulated")
    assert _check(sandbox, "Recovery", needed.recovery) == permissions.Rights("Simulated")
    elsewhere = _check(sandbox, "Read", frozenset({"drs:StartRecovery", "drs:DescribeJobs"}))
    assert elsewhere.missing == ("drs:StartRecovery",)


def test_the_policies_stay_within_what_iam_stores_in_a_role() -> None:
    for document in iam_policy.documents(KINDS, "111111111111").values():
        assert len("".join(json.dumps(document).split())) <= 10_240


def test_rights_that_are_missing_or_denied_are_named(sandbox: Any) -> None:
    _replace_policy(
        sandbox,
        RECOVERY_ROLE,
        {"Effect": "Allow", "Action": ["drs:*", "ec2:Describe*"], "Resource": "*"},
        {"Effect": "Deny", "Action": "drs:Terminate*", "Resource": "*"},
    )
    wanted = {"drs:StartRecovery", "drs:TerminateRecoveryInstances", "ec2:DescribeImages"}

    rights = _check(sandbox, "Recovery", frozenset(wanted | {"iam:PassRole", "ec2:RunInstances"}))

    missing = ("drs:TerminateRecoveryInstances", "ec2:RunInstances", "iam:PassRole")
    assert rights == permissions.Rights("Simulated", missing)


def test_roles_may_be_passed_to_the_services_that_the_policies_name_only(sandbox: Any) -> None:
    passed = {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}
    statement = {"Effect": "Allow", "Action": "iam:PassRole", "Resource": "*"}
    _replace_policy(sandbox, RECOVERY_ROLE, {**statement, "Condition": passed})
    role = f"arn:aws:iam::{sandbox.account}:role/automation"

    launching = _check(sandbox, "Recovery", frozenset({PASS, "drs:StartRecovery"}))
    running = _check(sandbox, "Recovery", frozenset({PASS, START}), Named(document_roles=(role,)))

    assert launching.missing == ("drs:StartRecovery", PASS)
    assert running.refused == (Refused(PASS, role, f"{role}, to SSM"),)


def _profile(sandbox: Any, name: str) -> str:
    """An instance profile with a role of its name; the role's ARN."""
    iam = sandbox.client("iam")
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    return str(role["Arn"])


def test_what_plans_name_is_asked_about_by_name_and_the_printed_policies_allow_what_they_are_told(
    sandbox: Any,
) -> None:
    role = _profile(sandbox, "app-servers")
    runner = f"arn:aws:iam::{sandbox.account}:role/automation"
    arn = f"arn:aws:iam::{sandbox.account}:instance-profile/app-servers"
    named = Named(("app-servers", arn), ("orders-drain", "AWS-StopEC2Instance"), (runner,))
    needed = iam_policy.needed(KINDS)

    def rights(told: iam_policy.Named | None) -> permissions.Rights:
        printed = iam_policy.documents(KINDS, sandbox.account, named=told)
        _replace_policy(sandbox, RECOVERY_ROLE, *printed[RECOVERY_ROLE]["Statement"])
        return _check(sandbox, "Recovery", needed.recovery, named)

    nothing = rights(None)
    assert (nothing.how, nothing.missing) == ("Simulated", ())
    assert [(one.action, one.subject) for one in nothing.refused] == [
        (PASS, "app-servers"), (PASS, arn), (PASS, runner), (START, "orders-drain"),
        (START, "AWS-StopEC2Instance"),
    ]  # fmt: skip
    assert nothing.refused[0].why == f"{role}, the role of instance profile app-servers"
    told = iam_policy.Named([role], ["orders-drain", "AWS-StopEC2Instance"], [runner])
    assert rights(told) == permissions.Rights("Simulated")


def test_a_profile_that_does_not_exist_or_cannot_be_seen_is_said_to_be_so(sandbox: Any) -> None:
    named = Named(instance_profiles=("no-such-profile",))
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    _replace_policy(sandbox, RECOVERY_ROLE, everything)

    (refused,) = _check(sandbox, "Recovery", frozenset({PASS}), named).refused
    assert refused.why == (
        f"the role of instance profile no-such-profile, which account {sandbox.account} lacks"
    )

    denied = {"action": "error", "code": "AccessDenied", "status": 403}
    sandbox.control.add_fault(service="iam", operation="GetInstanceProfile", **denied)
    unseen = _check(sandbox, "Recovery", frozenset({PASS}), named)
    assert (unseen.how, unseen.refused) == ("Simulated", ())
    assert (unseen.unchecked, unseen.why) == (
        ("no-such-profile",), "not looked at: no-such-profile",
    )  # fmt: skip


def test_without_the_simulation_reading_is_tried_and_the_rest_is_not_called_allowed(
    sandbox: Any,
) -> None:
    denied = {"action": "error", "code": "AccessDenied", "status": 403}
    sandbox.control.add_fault(service="iam", operation="SimulatePrincipalPolicy", **denied)
    sandbox.control.add_fault(service="drs", operation="DescribeJobs", **denied)
    needed = iam_policy.needed(["drs", "autoscaling"])

    rights = _check(sandbox, "Recovery", needed.recovery)

    assert rights.how == "Probed"
    assert rights.missing == ("drs:DescribeJobs",)
    assert "drs:StartRecovery" in rights.unchecked
    assert not {"drs:DescribeSourceServers", "ec2:DescribeInstances"} & {*rights.unchecked}
    assert "AccessDenied" in rights.why
    mutating = {c["operation"] for c in sandbox.control.calls(mutating=True)}
    assert mutating <= {"AssumeRole"}


def test_an_iam_that_does_not_answer_leaves_everything_unknown(sandbox: Any) -> None:
    sandbox.control.add_fault(service="iam", action="error", code="ServiceUnavailable", status=503)

    rights = _check(sandbox, "Read", frozenset({"drs:DescribeJobs"}))

    assert (rights.how, rights.missing) == ("Unknown", ())
    assert rights.unchecked == ("drs:DescribeJobs",)


def test_the_printed_trust_lets_in_who_shows_the_external_id_of_its_namespace(
    sandbox: Any,
) -> None:
    issued = f"leeward/sandbox/{sandbox.namespace}"
    trust = Trust("arn:aws:iam::999999999999:root", {sandbox.namespace: issued})
    sandbox.client("iam").update_assume_role_policy(
        RoleName=READ_ROLE, PolicyDocument=json.dumps(iam_policy.trust_policy(trust))
    )
    good = sandbox.reached()
    sandbox.aws.assume(good)

    foreign = {"leeward:namespace": "other", "leeward:hub": "sandbox"}
    unknown_tag = {**good.session_tags, "Department": "x"}
    for changed in (
        {"external_id": "leeward/sandbox/other"},
        {"external_id": ""},
        {"session_tags": foreign},
        {"session_tags": unknown_tag},
    ):
        with pytest.raises(Exception, match="cannot be assumed"):
            sandbox.aws.assume(sandbox.reached(**changed))


def test_the_template_makes_both_roles_with_an_hour_of_session() -> None:
    policies = iam_policy.documents(["drs"], "111111111111")
    trust = Trust("arn:aws:iam::222222222222:role/leeward", {"a": "leeward/hub/a"})

    made = iam_policy.template(policies, trust)

    assert set(made["Resources"]) == {READ_ROLE, RECOVERY_ROLE}
    for role in made["Resources"].values():
        assert role["Properties"]["MaxSessionDuration"] == 3600
        assert role["Properties"]["AssumeRolePolicyDocument"] == iam_policy.trust_policy(trust)


def test_capacity_counts_what_replicates_and_what_is_in_jobs(make_sandbox: Any) -> None:
    sandbox = make_sandbox(3)
    first, second, third = sandbox.servers()
    sandbox.change(first, state="DISCONNECTED", lag=None)
    sandbox.change(second, state="STALLED")
    sandbox.launch_by_hand([second, third], drill=True)

    used = drs_capacity.look(sandbox.scope())

    assert used == drs_capacity.Use(True, servers=3, replicating=2, jobs=1, servers_in_jobs=2)


def test_a_drs_that_was_never_initialised_is_said_to_be_so(make_sandbox: Any) -> None:
    sandbox = make_sandbox(1)

    assert drs_capacity.look(sandbox.scope("eu-west-1")) == drs_capacity.Use(initialized=False)

"""What the session's last check finds, and what it lets pass."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

import rights
from leeward_adapters import dependencies, iam_policy, permissions, registry
from leeward_adapters.attribution import of_adapter
from leeward_adapters.iam_policy import READ_ROLE, RECOVERY_ROLE
from leeward_sandbox.aws.asker import asker
from leeward_sandbox.aws.record import Entry
from leeward_sandbox.aws.used import OWN, Use, Uses, read
from leeward_sandbox.aws.wire import HttpRequest

DRS = of_adapter("drs")
STARTED = Use(DRS, RECOVERY_ROLE, "", "drs", "StartRecovery")


def complete() -> set[Use]:
    """Uses of everything that is declared and no exception."""
    operations = {action: service for service, action in rights.PREFIXES.items()}
    names = {"s3:GetReplicationConfiguration": "s3:GetBucketReplication"}
    uses = set()
    for part, one in rights.declared().items():
        for role, actions in one.by_role.items():
            for action in actions - rights.ON_BEHALF.get(part, {}).keys():
                prefix, _, operation = names.get(action, action).partition(":")
                account = rights.HUB if role == OWN else ""
                uses.add(Use(part, role, account, operations.get(prefix, prefix), operation))
    return uses


def test_what_is_declared_and_used_passes() -> None:
    assert [*rights.problems(complete(), whole=True)] == []


def test_what_one_role_may_do_another_may_not() -> None:
    assert [*rights.problems([STARTED], whole=False)] == []
    (found,) = rights.problems([replace(STARTED, role=READ_ROLE)], whole=False)
    assert found.startswith("adapter.drs asked for drs:StartRecovery through LeewardRead")


def test_what_one_adapter_declares_another_may_not_use() -> None:
    (found,) = rights.problems([replace(STARTED, part=of_adapter("ec2"))], whole=False)
    assert found.startswith("adapter.ec2 asked for drs:StartRecovery")


@pytest.mark.parametrize(
    ("part", "said"), [("", "some part asked"), ("adapter.vmware", "part 'adapter.vmware'")]
)
def test_who_asks_must_say_who_it_is(part: str, said: str) -> None:
    (found,) = rights.problems([replace(STARTED, part=part)], whole=False)
    assert found.startswith(said)


def test_an_idle_right_is_one_too_many_in_a_whole_suite_only() -> None:
    idle = Use(of_adapter("ec2"), "", "", "ec2", "StopInstances")
    uses = {use for use in complete() if (use.part, use.operation) != (idle.part, idle.operation)}
    assert {use.part for use in uses if use.operation == idle.operation} == {DRS}
    (found,) = rights.problems(uses, whole=True)
    assert found.startswith("adapter.ec2 declares ec2:StopInstances")
    assert [*rights.problems(uses, whole=False)] == []


def test_what_only_the_recovery_role_reads_is_no_right_of_the_read_role() -> None:
    one = Use(of_adapter("route53"), READ_ROLE, "", "route53", "ListResourceRecordSets")
    uses = complete()
    assert one in uses
    (found,) = rights.problems(uses - {one}, whole=True)
    assert found.startswith("adapter.route53 uses route53:ListResourceRecordSets through other")
    assert [*rights.problems(uses - {one}, whole=False)] == []


def test_an_exception_that_is_used_is_none() -> None:
    uses = {*complete(), Use(DRS, RECOVERY_ROLE, "", "ec2", "RunInstances")}
    (found,) = rights.problems(uses, whole=True)
    assert found.startswith("adapter.drs uses ec2:RunInstances")


@pytest.mark.parametrize(
    ("use", "wrong"),
    [
        (Use("accounts", OWN, rights.HUB, "sts", "GetCallerIdentity"), False),
        (Use("accounts", OWN, rights.HUB, "ec2", "DescribeSubnets"), True),
        (Use("accounts", RECOVERY_ROLE, "", "autoscaling", "DescribeAutoScalingGroups"), False),
        (Use("", OWN, "111111111111", "iam", "GetRole"), False),  # an administrator
        (Use("cli", READ_ROLE, "", "drs", "InitializeService"), False),  # a person
        (Use("tests", READ_ROLE, "", "drs", "DescribeJobs"), False),
        (Use("tests", READ_ROLE, "", "drs", "StartRecovery"), True),
        (Use(DRS, "made-by-a-test", "", "drs", "StartRecovery"), False),
        (Use(DRS, "made-by-a-test", "", "iam", "DeleteRole"), True),
    ],
)
def test_who_else_may_do_what(use: Use, wrong: bool) -> None:
    assert bool([*rights.problems([use], whole=False)]) is wrong


@pytest.mark.parametrize("kind", sorted(registry.BUILT_IN))
def test_the_policies_of_one_adapter_are_what_it_and_the_looks_at_its_account_declare(
    kind: str,
) -> None:
    parts = [rights.declared()[part] for part in (of_adapter(kind), "discovery", "accounts")]
    needed = iam_policy.needed([kind])
    own = {permissions.SIMULATE, permissions.PROFILE}
    assert needed.read | own == _all_of(parts, READ_ROLE)
    assert needed.recovery == _all_of(parts, RECOVERY_ROLE)


def test_the_policies_of_all_are_what_all_parts_declare() -> None:
    parts = [*rights.declared().values()]
    needed = iam_policy.needed(registry.BUILT_IN, dependencies.CHECKS)
    own = {permissions.SIMULATE, permissions.PROFILE}
    assert needed.read | own == _all_of(parts, READ_ROLE)
    assert needed.recovery | iam_policy.NOTICES == _all_of(parts, RECOVERY_ROLE)


def _all_of(parts: Iterable[rights.Declared], role: str) -> frozenset[str]:
    return frozenset().union(*(part.by_role.get(role, frozenset()) for part in parts))


def _entry(principal: str, agent: str) -> Entry:
    entry = Entry(service="drs", operation="DescribeJobs", account="1", principal=principal)
    entry.part, entry.run = asker(HttpRequest("POST", "/", (("User-Agent", agent),), b""))
    return entry


def test_a_sandbox_notes_each_use_of_leeward_once_and_nothing_of_others(tmp_path: Path) -> None:
    uses = Uses(str(tmp_path))
    role = "arn:aws:sts::111111111111:assumed-role/LeewardRead/leeward-orders"
    ours = _entry(role, "Botocore/1.44 ua/2.1 lib/leeward md/leeward-part#discovery")
    for _ in range(2):
        uses.add(ours)
        uses.add(_entry("arn:aws:iam::111111111111:root", "Botocore/1.44 ua/2.1"))
    Uses(str(tmp_path)).add(ours)

    assert read(tmp_path) == {Use("discovery", "LeewardRead", "", "drs", "DescribeJobs")}
    lines = [file.read_text().count("\n") for file in tmp_path.iterdir()]
    assert lines == [1, 1]

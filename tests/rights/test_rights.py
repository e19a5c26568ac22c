"""What the session's last check finds, and what it lets pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import rights
from leeward_adapters.iam_policy import READ_ROLE, RECOVERY_ROLE
from leeward_sandbox.aws.record import Entry
from leeward_sandbox.aws.used import OWN, Use, Uses, read
from leeward_sandbox.aws.wire import HttpRequest

DENIED = Use(READ_ROLE, "", "drs", "StartRecovery")


def complete() -> set[Use]:
    """Uses of everything that is declared and no exception."""
    operations = {action: service for service, action in rights.PREFIXES.items()}
    names = {"s3:GetReplicationConfiguration": "s3:GetBucketReplication"}
    excused = {a for reasons in rights.ON_BEHALF.values() for a in reasons} | {"sts:TagSession"}
    uses = set()
    for role, one in rights.declared().items():
        for action in one.allowed - excused:
            prefix, _, operation = names.get(action, action).partition(":")
            account = rights.HUB if role == OWN else ""
            uses.add(Use(role, account, operations.get(prefix, prefix), operation))
    return uses


def test_what_is_declared_and_used_passes() -> None:
    assert [*rights.problems(complete(), whole=True)] == []


def test_what_one_role_may_do_another_may_not() -> None:
    assert [*rights.problems([Use(RECOVERY_ROLE, "", "drs", "StartRecovery")], whole=False)] == []
    (found,) = rights.problems([DENIED], whole=False)
    assert "LeewardRead asked for drs:StartRecovery" in found


def test_an_idle_right_is_one_too_many_in_a_whole_suite_only() -> None:
    uses = {use for use in complete() if use.operation != "GetChange"}
    (found,) = rights.problems(uses, whole=True)
    assert found.startswith("route53:GetChange is declared")
    assert [*rights.problems(uses, whole=False)] == []


def test_an_exception_that_is_used_is_none() -> None:
    uses = {*complete(), Use(RECOVERY_ROLE, "", "ec2", "RunInstances")}
    (found,) = rights.problems(uses, whole=True)
    assert found.startswith("ec2:RunInstances is used")


@pytest.mark.parametrize(
    ("use", "wrong"),
    [
        (Use(OWN, rights.HUB, "sts", "GetCallerIdentity"), False),
        (Use(OWN, rights.HUB, "ec2", "DescribeInstances"), True),
        (Use(OWN, "111111111111", "iam", "GetRole"), False),  # an administrator
        (Use("made-by-a-test", "", "drs", "StartRecovery"), False),
        (Use("made-by-a-test", "", "iam", "DeleteRole"), True),
    ],
)
def test_who_else_may_do_what(use: Use, wrong: bool) -> None:
    assert bool([*rights.problems([use], whole=False)]) is wrong


def _entry(principal: str) -> Entry:
    return Entry(service="drs", operation="DescribeJobs", account="1", principal=principal)


@pytest.fixture
def request_by() -> Callable[[str], HttpRequest]:
    return lambda agent: HttpRequest("POST", "/", (("User-Agent", agent),), b"")


def test_a_sandbox_notes_each_use_of_leeward_once_and_nothing_of_others(
    tmp_path: Path, request_by: Callable[[str], HttpRequest]
) -> None:
    uses = Uses(str(tmp_path))
    role = _entry("arn:aws:sts::111111111111:assumed-role/LeewardRead/leeward-orders")
    ours, other = request_by("Botocore/1.44 leeward"), request_by("Botocore/1.44")
    for _ in range(2):
        uses.add(role, ours)
        uses.add(_entry("arn:aws:iam::111111111111:root"), other)
    Uses(str(tmp_path)).add(role, ours)

    assert read(tmp_path) == {Use("LeewardRead", "", "drs", "DescribeJobs")}
    lines = [file.read_text().count("\n") for file in tmp_path.iterdir()]
    assert lines == [1, 1]

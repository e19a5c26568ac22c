"""What is said of an account, from what was seen of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from verdicts.together import conflicts_of

from leeward.api.account import IssuedExternalId, RegionStatus, RoleStatus, TargetAccountStatus
from leeward.api.conditions import find
from leeward.planning.accounts.account_status import Seen, free_servers, status_of
from leeward.planning.accounts.account_use import Use, use_of
from leeward.planning.plans.named import Named

if TYPE_CHECKING:
    from tests.planning.conftest import Build

DRS = Use(("us-east-2",), ("drs",))
ISSUED = (IssuedExternalId(namespace="acme", external_id="leeward/hub/acme"),)


def role(use: str = "Read", **fields: Any) -> RoleStatus:
    good = {"assumed": "Yes", "externalId": "Demanded", "permissions": "Simulated"}
    return RoleStatus.model_validate({"use": use, **good, **fields})


def region(**fields: Any) -> RegionStatus:
    good = {"region": "us-east-2", "drs": "Initialized", "freeServers": 10}
    return RegionStatus.model_validate({**good, **fields})


def judge(build: Build, *roles: RoleStatus, **seen: Any) -> TargetAccountStatus:
    both = roles or (role(), role("Recovery"))
    given = {"regions": (region(),), "use": DRS, "issued": ISSUED, **seen}
    status = status_of(build.account(), Seen(both, **given), build.now)
    assert conflicts_of(build.account(), status) == []
    return status


def verdict(status: TargetAccountStatus) -> tuple[str, str, str]:
    ready = find(status.conditions, "Ready")
    assert ready is not None
    assert (find(status.conditions, "Stalled") is not None) == (ready.status == "False")
    return ready.status, ready.reason, status.message or ""


def test_an_account_in_order_is_verified(build: Build) -> None:
    status = judge(build)

    assert verdict(status) == ("True", "Verified", "")
    assert (status.partition, status.external_ids) == ("aws", list(ISSUED))


CASES: list[tuple[str, dict[str, Any], str, str, str]] = [
    (
        "a role that cannot be assumed",
        {"roles": [role(assumed="No", message="AccessDenied: no")]},
        "False",
        "RoleNotUsable",
        "AccessDenied: no",
    ),
    (
        "an STS that is silent",
        {"roles": [role(assumed="Unknown", message="ServiceUnavailable")]},
        "Unknown",
        "NotVerified",
        "ServiceUnavailable",
    ),
    (
        "missing rights",
        {"roles": [role(), role("Recovery", missing=["drs:StartRecovery", "ec2:CreateTags"])]},
        "False",
        "PermissionsMissing",
        "role/leeward lacks drs:StartRecovery, ec2:CreateTags: allow them",
    ),
    (
        "a role for everybody",
        {"roles": [role(externalId="NotDemanded")]},
        "True",
        "Degraded",
        "without an external id",
    ),
    (
        "what a plan names and the role may not use, which is no other plan's trouble",
        {
            "roles": [
                role(),
                role(
                    "Recovery",
                    refused=[
                        {"action": "iam:PassRole", "subject": name, "message": f"role {name}"}
                        for name in ("one", "two")
                    ],
                ),
            ]
        },
        "True",
        "Degraded",
        "lacks iam:PassRole for role one (and 1 more, see status.roles), which a plan names",
    ),
    (
        "DRS never initialised where plans need it",
        {"regions": (region(drs="NotInitialized"),)},
        "False",
        "DrsNotInitialized",
        "leeward drs check --account prod --region us-east-2",
    ),
    (
        "DRS never initialised where no plan needs it",
        {"regions": (region(drs="NotInitialized"),), "use": Use(("us-east-2",), ("route53",))},
        "True",
        "Verified",
        "",
    ),
    (
        "a DRS that is silent",
        {"regions": (region(drs="Unknown", message="timed out"),)},
        "True",
        "Degraded",
        "us-east-2: timed out",
    ),
    (
        "more servers than may replicate",
        {"regions": (region(replicatingServers=310, freeServers=-10),)},
        "True",
        "Degraded",
        "310 source servers replicate into 111111111111, us-east-2, 10 more than",
    ),
    (
        "a Region of another partition",
        {"foreign_regions": ("us-gov-west-1",)},
        "False",
        "RegionNotInPartition",
        "us-gov-west-1: not in the partition aws",
    ),
    (
        "a Secret that is not there",
        {"roles": [], "secret": "Secret a/b cannot be read"},
        "False",
        "ExternalIdUnknown",
        "Secret a/b",
    ),
]


@pytest.mark.parametrize(("given", "status", "reason", "said"), [c[1:] for c in CASES],
                         ids=[c[0] for c in CASES])  # fmt: skip
def test_what_is_wrong_is_named_with_its_remedy(
    build: Build, given: dict[str, Any], status: str, reason: str, said: str
) -> None:
    seen = dict(given)
    roles = seen.pop("roles", None)
    result = (
        judge(build, *(roles or ()), **seen)
        if roles != []
        else status_of(build.account(), Seen((), (), DRS, (), **seen), build.now)
    )

    assert verdict(result)[:2] == (status, reason)
    assert said in verdict(result)[2]


def test_the_root_of_the_trouble_comes_first_and_the_rest_is_said_too(build: Build) -> None:
    missing = role("Recovery", missing=["ec2:RunInstances"])
    status = judge(build, role(), missing, regions=(region(drs="NotInitialized"),))

    assert verdict(status)[1] == "PermissionsMissing"
    assert "never initialised" in verdict(status)[2]


@pytest.mark.parametrize(
    ("capacity", "quota", "replicating", "free"),
    [(None, 300, 250, 50), (200, 300, 250, -50), (400, 300, 250, 50), (None, 300, 300, 0)],
)
def test_the_smaller_of_quota_and_capacity_counts(
    build: Build, capacity: int | None, quota: int, replicating: int, free: int
) -> None:
    fields = {} if capacity is None else {"capacity": {"replicatingServers": capacity}}

    assert free_servers(build.account(**fields), quota, replicating) == free


FOUND = {"accounts": [{"name": "prod", "accountId": "1", "technologies": ["drs", "rds"]}]}
ADAPTERS = frozenset({"drs", "ec2", "route53"})


def test_an_account_is_used_for_what_its_plans_found_and_switch_there(build: Build) -> None:
    waves = [{"name": "web", "tasks": [build.dns_task()]}]
    plan = build.plan(status=FOUND, waves=waves)

    assert use_of(build.account(), [plan], ADAPTERS) == Use(("us-east-2",), ("drs", "route53"))


def test_what_the_plans_name_there_must_be_allowed_by_name(build: Build) -> None:
    role = "arn:aws:iam::111111111111:role/runner"
    automation = {
        "accountRef": {"name": "prod"}, "documentName": "drain", "documentVersion": "1",
        "parameters": {"AutomationAssumeRole": [role], "Queue": ["arn:aws:sqs:a:b:c"]},
    }  # fmt: skip
    task = {
        "name": "drain", "recoveryPhase": "Fence", "type": "Automation", "automation": automation,
    }  # fmt: skip
    found = {"accounts": [{**FOUND["accounts"][0], "instanceProfiles": ["app", "web"]}]}
    plans = [
        build.plan(status=found, waves=[{"name": "web", "tasks": [task]}]),
        build.plan(status={"accounts": [{**found["accounts"][0], "instanceProfiles": ["db"]}]}),
    ]

    assert use_of(build.account(), plans, ADAPTERS).named == Named(
        ("app", "db", "web"), ("drain",), (role,)
    )


def test_servers_that_are_fenced_need_the_rights_of_ec2(build: Build) -> None:
    plan = build.plan(status=FOUND, fence={"servers": "Stop"})

    assert use_of(build.account(), [plan], ADAPTERS).technologies == ("drs", "ec2")


@pytest.mark.parametrize(
    "fields", [{"name": "other"}, {"allow": {"namespaces": ["elsewhere"]}}], ids=str
)
def test_plans_that_do_not_or_may_not_use_it_do_not_count(
    build: Build, fields: dict[str, Any]
) -> None:
    account = build.account(**fields)

    assert use_of(account, [build.plan(status=FOUND)], ADAPTERS) == Use()


def test_regions_that_the_account_is_not_for_are_left_out(build: Build) -> None:
    account = build.account(regions=["us-east-1"])

    assert use_of(account, [build.plan(status=FOUND)], ADAPTERS).regions == ()


def test_dependencies_that_are_looked_up_through_it_count(build: Build) -> None:
    checks = [
        {"name": "a", "type": "S3Replication", "target": "bucket"},
        {"name": "b", "type": "Http", "target": "https://x", "accountRef": {"name": "other"}},
    ]
    plan = build.plan(dependencies=checks)

    assert use_of(build.account(), [plan], ADAPTERS).dependencies == ("S3Replication",)
    assert use_of(build.account("other"), [plan], ADAPTERS).dependencies == ("Http",)

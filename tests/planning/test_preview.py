from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from leeward.api.account import TargetAccount
from leeward.api.preview import Preview
from leeward.planning.outlook.preview import preview
from leeward.planning.outlook.preview_size import LIMIT, fitted
from leeward.planning.runs.freeze import freeze
from leeward_adapters import registry

if TYPE_CHECKING:
    from tests.planning.conftest import Build

OTHER = "222222222222"
DNS = "333333333333"
LONG_AGO = "2026-01-01T00:00:00Z"


def permissions(technology: str) -> Any:
    return registry.adapter(technology).permissions


class Case:
    """A plan of two waves in two accounts, with a DNS switch in a third."""

    def __init__(self, build: Build) -> None:
        self.build = build
        self.execution: dict[str, Any] = {}
        self.live: dict[tuple[str, str], str] = {}
        tasks = [build.dns_task("www", account="dns")]
        self.plan: dict[str, Any] = {
            "accounts": [{"name": "prod"}, {"name": "dr"}],
            "waves": [
                {"name": "data", "gates": [{"before": "Instantiate"}]},
                {"name": "web", "gates": [{"before": "Activate", "required": 2}], "tasks": tasks},
            ],
            "status": build.ready(),
            "drill": {
                "networks": [
                    {
                        "accountId": account,
                        "subnetId": "subnet-0123456789abcdef0",
                        "securityGroupIds": ["sg-0123456789abcdef0"],
                    }
                    for account in (build.account_id, OTHER)
                ]
            },
        }
        self.accounts: dict[str, TargetAccount] = {
            "prod": build.account(),
            "dr": build.account("dr", OTHER),
            "dns": build.account("dns", DNS),
        }
        self.inventories = [
            build.inventory(*(build.server(n) for n in range(1, 121))),
            build.inventory(
                build.server(500, accountId=OTHER, wave="web"), account="dr", accountId=OTHER
            ),
        ]

    def shown(self) -> Preview:
        return preview(
            self.build.execution(**self.execution), self.build.plan(**self.plan), self.accounts,
            self.inventories, now=self.build.now, live_elsewhere=self.live, permissions=permissions,
            leading=(),
        )[0]  # fmt: skip


@pytest.fixture
def case(build: Build) -> Case:
    return Case(build)


@pytest.mark.parametrize("operation", ["Failover", "Test"])
def test_the_preview_has_the_tasks_of_the_run(case: Case, operation: str) -> None:
    case.execution = {"operation": operation}
    shown = case.shown()
    assert shown.refusals == []
    frozen = freeze(
        case.build.execution(operation=operation), case.build.plan(**case.plan), case.accounts,
        case.inventories,
    )  # fmt: skip
    expected: Counter[tuple[str, ...]] = Counter()
    for task in frozen.tasks:
        spec = task.spec
        key = (spec.wave, spec.recovery_phase, spec.technology, spec.account, spec.account_id)
        expected[(*key, spec.region)] += 1
    found = {
        (s.wave, s.recovery_phase, w.technology, w.account, w.account_id, w.region): w.tasks
        for s in shown.stages
        for w in s.work
    }
    assert found == expected
    assert shown.tasks == len(frozen.tasks)
    assert shown.resources == 122


def test_work_is_counted_by_account_with_the_jobs_that_it_needs(case: Case) -> None:
    shown = case.shown()
    first, last = shown.stages[0], shown.stages[-1]
    assert [w.to_api() for w in first.work] == [
        {
            "technology": "drs", "account": "prod", "accountId": "111111111111",
            "region": "us-east-2", "tasks": 2, "resources": 120, "jobs": 2,
        }
    ]  # fmt: skip
    assert [(w.technology, w.account, w.jobs) for w in last.work] == [
        ("drs", "dr", 0), ("route53", "dns", 0)
    ]  # fmt: skip
    assert shown.jobs == 3
    assert first.start == "0s"
    assert [s.start for s in shown.stages] != ["0s"] * len(shown.stages)


def test_gates_stand_in_order_with_who_must_approve(case: Case) -> None:
    case.plan["approval"] = {"approvers": {"users": ["ann", "bob"]}, "fourEyes": "Required"}
    gates = case.shown().gates
    assert [(g.name, g.before, g.required, g.passes) for g in gates] == [
        ("wave-data", "Instantiate", 1, "ByPeople"), ("wave-web", "Activate", 2, "ByPeople")
    ]  # fmt: skip
    assert {tuple(g.approvers.users) for g in gates} == {("ann", "bob")}
    assert {(g.four_eyes, g.timeout, g.on_timeout) for g in gates} == {("Required", "30m", "Hold")}


def test_a_gate_before_nothing_is_not_shown(case: Case) -> None:
    case.inventories.pop()
    case.plan["waves"][1]["tasks"] = []
    assert [g.name for g in case.shown().gates] == ["wave-data"]


def test_automatic_approval_passes_gates_but_not_those_that_lose_data(case: Case) -> None:
    case.plan |= {"approval": {"automatic": "Allowed"}, "objectives": {"rpo": "15m"}}
    case.execution = {"approvalMode": "Automatic", "mode": "Unplanned"}
    assert [g.passes for g in case.shown().gates] == ["Automatically", "Automatically"]
    late = case.build.server(1, attributes={"lag": "PT1H"})
    case.inventories[0] = case.build.inventory(late)
    assert [(g.name, g.passes) for g in case.shown().gates] == [
        ("wave-data", "Automatically"), ("lag-data", "ByPeople"), ("wave-web", "Automatically")
    ]  # fmt: skip


def test_a_gate_before_servers_that_lag_asks_for_their_loss(case: Case) -> None:
    case.plan["objectives"] = {"rpo": "15m"}
    assert {g.data_loss for g in case.shown().gates} == {"None"}
    late = case.build.server(500, accountId=OTHER, wave="web", attributes={"lag": "PT1H"})
    case.inventories[1] = case.build.inventory(late, account="dr", accountId=OTHER)
    assert [(g.name, g.data_loss) for g in case.shown().gates] == [
        ("wave-data", "None"), ("wave-web", "Question")
    ]  # fmt: skip


def test_roles_are_shown_with_what_they_must_allow(case: Case) -> None:
    shown = {(a.role, *a.accounts): a for a in case.shown().access}
    assert list(shown) == [
        ("Read", "prod", "dr"), ("Read", "dns"), ("Recovery", "prod", "dr"), ("Recovery", "dns")
    ]  # fmt: skip
    drs, route53 = permissions("drs"), permissions("route53")
    assert set(shown["Read", "prod", "dr"].actions) == drs["Read"]
    acts = drs["Read"] | drs["Instantiate"] | drs["Activate"]
    assert set(shown["Recovery", "prod", "dr"].actions) == acts
    assert set(shown["Recovery", "dns"].actions) == route53["Read"] | route53["Activate"]
    recovery = shown["Recovery", "prod", "dr"]
    assert recovery.uses == ["drs Activate", "drs Instantiate", "drs Read"]
    assert recovery.role_arns == [f"arn:aws:iam::{i}:role/leeward" for i in ("111111111111", OTHER)]


def test_a_task_of_people_needs_no_rights(case: Case) -> None:
    call = {"name": "call", "type": "Manual", "manual": {"instructions": "Call the bank."}}
    case.plan["waves"][0]["tasks"] = [call]
    shown = case.shown()
    assert ("manual", "prod") in {(w.technology, w.account) for s in shown.stages for w in s.work}
    assert not [u for a in shown.access for u in a.uses if u.startswith("manual")]


def test_fencing_is_shown_with_the_rights_that_it_needs(case: Case) -> None:
    case.plan["fence"] = {"servers": "Stop"}
    shown = case.shown()
    fence = next(s for s in shown.stages if s.recovery_phase == "Fence")
    assert [(w.technology, w.region, w.resources) for w in fence.work] == [
        ("ec2", "us-east-1", 120)
    ]  # fmt: skip
    allowed = next(a for a in shown.access if a.role == "Recovery" and "prod" in a.accounts)
    assert permissions("ec2")["Fence"] <= set(allowed.actions)
    assert shown.resources == 122


def test_a_test_asks_no_rights_for_dns_and_says_that_it_leaves_it_alone(case: Case) -> None:
    case.execution = {"operation": "Test"}
    shown = case.shown()
    assert {account for a in shown.access for account in a.accounts} == {"prod", "dr"}
    cleanup = permissions("drs")["Cleanup"]
    assert cleanup <= set(next(a for a in shown.access if a.role == "Recovery").actions)
    assert "NotInATest: a Test never touches production, and leaves out: www" in shown.findings


@pytest.mark.parametrize(
    ("change", "refusals", "staged"),
    [
        (lambda c: c.accounts.pop("dns"), ["InvalidPlan"], False),
        (
            lambda c: c.execution.update(operation="Cleanup"),
            ["WrongLocation", "CleanupNotAllowed"],
            False,
        ),
        (lambda c: c.inventories.clear(), ["NotDiscovered"], False),
        (
            lambda c: (c.plan.pop("status"), c.execution.update(startBefore=LONG_AGO)),
            ["Expired", "PlanNotAssessed"],
            True,
        ),
        (lambda c: c.live.update({("111111111111", c.arn): "acme/other"}), ["ResourcesBusy"], True),
    ],
    ids=["invalid plan", "no place to clean up", "nothing known", "two reasons", "busy servers"],
)  # fmt: skip
def test_every_refusal_of_preflight_is_listed(
    case: Case, change: Any, refusals: list[str], staged: bool
) -> None:
    case.arn = case.inventories[0].status.resources[0].arn  # type: ignore[attr-defined]
    change(case)
    shown = case.shown()
    assert [text.partition(":")[0] for text in shown.refusals] == refusals
    assert bool([s for s in shown.stages if s.wave == "data"]) is staged


def test_what_would_stand_against_it_is_said(case: Case) -> None:
    case.plan["objectives"] = {"rto": "5m"}
    case.plan["status"] |= {"activeExecution": {"name": "shop-7", "uid": "u-7"}}
    shown = case.shown()
    assert shown.refusals == []
    busy, late = (f for f in shown.findings if f.startswith(("PlanBusy", "EstimateAbove")))
    assert "run by execution shop-7" in busy
    assert "objectives.rto is 5m" in late
    assert shown.objectives is not None
    assert shown.objectives.estimated is not None
    assert f"take {shown.objectives.estimated}" in late


# --- the size ----------------------------------------------------------------------------------


def size(shown: Preview) -> int:
    text = json.dumps(shown.to_api(), separators=(",", ":"), ensure_ascii=False)
    return len(text.encode())


def test_a_preview_that_fits_stays_whole(case: Case) -> None:
    shown = case.shown()
    assert size(shown) < LIMIT
    assert fitted(shown) == shown


def large(waves: int, accounts: int, gates: int, text: int) -> Preview:
    """A preview as a plan at its limits gives it, with texts of `text` characters."""
    names = [f"wave-{n:02}" for n in range(waves)]
    account_names = [f"account-{n:03}".ljust(text, "x")[:63] for n in range(accounts)]
    people = [f"approver-{n}".ljust(text, "ä") for n in range(50)]
    work = [
        {
            "technology": "drs", "account": account, "accountId": "111111111111",
            "region": "us-east-2", "tasks": 1, "resources": 100, "jobs": 1,
        }
        for account in account_names
    ]  # fmt: skip
    lag = {"servers": 100, "worst": "11m23s", "worstServer": "x" * text, "above": 1, "unknown": 1}
    return Preview.model_validate(
        {
            "stages": [
                {
                    "wave": name, "recoveryPhase": phase, "start": "10h30m", "duration": "11m45s",
                    "basis": "Figures", "dominatedBy": "d" * text, "work": work,
                }
                for name in names
                for phase in ("Fence", "Instantiate", "Activate", "Replicate", "Cleanup")
            ],
            "gates": [
                {
                    "name": f"gate-{n}", "wave": "wave-01", "before": "Activate", "required": 2,
                    "passes": "ByPeople", "fourEyes": "Off", "timeout": "30m", "onTimeout": "Hold",
                    "approvers": {"users": people, "groups": people},
                }
                for n in range(gates)
            ],
            "access": [
                {
                    "role": "Recovery",
                    "accounts": account_names,
                    "roleArns": [f"arn:aws:iam::111111111111:role/{'r' * text}"] * accounts,
                    "uses": ["drs Instantiate"],
                    "actions": [f"ec2:Action{n}" for n in range(100)],
                }
            ],
            "objectives": {"waves": [{"name": name, "lag": lag} for name in names]},
            "refusals": ["r" * text * 4] * 100,
            "findings": ["f" * text * 4] * 40,
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("waves", "accounts", "gates", "text"),
    [(3, 8, 3, 40), (5, 50, 10, 40), (20, 50, 20, 60), (20, 50, 60, 256)],
)
def test_a_preview_is_made_to_fit_and_says_what_it_lost(
    waves: int, accounts: int, gates: int, text: int
) -> None:
    whole = large(waves, accounts, gates, text)
    assert size(whole) > LIMIT
    shown = fitted(whole)
    assert size(shown) <= LIMIT
    assert shown.left_out
    assert shown.stages[:40] != []
    assert {s.duration for s in shown.stages} == {"11m45s"}
    assert shown.refusals


def test_accounts_go_first_and_their_sums_stay() -> None:
    whole = large(3, 40, 2, 20)
    whole = whole.model_copy(update={"refusals": [], "findings": [], "gates": []})
    shown = fitted(whole)
    assert shown.left_out == ["accounts of the stages"]
    assert [w.to_api() for w in shown.stages[0].work] == [
        {
            "technology": "drs", "account": "", "accountId": "", "region": "us-east-2",
            "tasks": 40, "resources": 4000, "jobs": 40,
        }
    ]  # fmt: skip

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from verdicts.together import conflicts_of

from leeward.api import conditions
from leeward.api.common import Condition
from leeward.api.plan_record import RecoveryPlanStatus
from leeward.planning.estate.inventory import PART, by_account, chunks
from leeward.planning.plans.plan_status import assess
from leeward.planning.plans.rules import problems_of

if TYPE_CHECKING:
    from tests.planning.conftest import Build

ADAPTERS = frozenset({"drs", "route53"})
LIVE = {"recoveryInstanceId": "i-2", "recoveryInstanceDrill": "false"}
DRILL = {"recoveryInstanceId": "i-2", "recoveryInstanceDrill": "true"}
UNFINISHED = {"retiredInstanceId": "i-2", "failbackInstanceId": "i-3"}
Given = dict[str, Any]


def status_of(build: Build, **given: Any) -> RecoveryPlanStatus:
    plan = build.plan(**given.get("plan", {}))
    accounts = build.accounts() | {"second": build.account("second", "222222222222")}
    inventories = given.get("inventories")
    if inventories is None:
        servers = [build.server(**s) for s in given.get("servers", [{}])]
        inventories = [build.inventory(*servers, **given.get("inventory", {}))]
    return assess(
        plan,
        accounts,
        inventories,
        now=given.get("now", build.now),
        valid=problems_of(plan, accounts),
        previous=RecoveryPlanStatus.model_validate(given.get("previous", {})),
        adapters=ADAPTERS,
    )


def said(status: RecoveryPlanStatus) -> dict[str, str]:
    return {c.type: f"{c.status} {c.reason}" for c in status.conditions}


LACKING = {
    "conditions": [
        {
            "type": "Ready", "status": "False", "reason": "PermissionsMissing",
            "message": "the recovery role lacks drs:StartRecovery",
            "lastTransitionTime": "2026-03-01T00:00:00Z",
        }
    ]
}  # fmt: skip
INVALID = {"waves": [{"name": "data", "number": 2}, {"name": "app"}]}
CASES: list[tuple[str, Given, dict[str, str]]] = [
    (
        "all in order",
        {},
        {
            "Ready": "True Ready",
            "Discovered": "True Discovered",
            "Compliant": "True TagsInOrder",
            "Protected": "True Replicating",
        },
    ),
    (
        "an invalid plan",
        {"plan": INVALID},
        {
            "Ready": "False Invalid",
            "Stalled": "True Invalid",
            "Discovered": "True Discovered",
            "Compliant": "True TagsInOrder",
            "Protected": "True Replicating",
        },
    ),
    (
        "nothing discovered yet",
        {"inventories": []},
        {
            "Ready": "False Discovering",
            "Reconciling": "True Discovering",
            "Discovered": "Unknown Discovering",
            "Compliant": "Unknown Discovering",
            "Protected": "Unknown Discovering",
        },
    ),
    (
        "an account that never answered",
        {"inventory": {"discoveredAt": None, "current": False, "problem": "denied"}, "servers": []},
        {
            "Ready": "False Discovering",
            "Reconciling": "True Discovering",
            "Discovered": "False AccountSilent",
            "Compliant": "Unknown Discovering",
            "Protected": "Unknown Discovering",
        },
    ),
    (
        "an account that answered before and is silent now",
        {"inventory": {"current": False, "problem": "timed out"}},
        {
            "Ready": "True Degraded",
            "Discovered": "False AccountSilent",
            "Compliant": "True TagsInOrder",
            "Protected": "True Replicating",
        },
    ),
    (
        "nothing selected",
        {"servers": [{"verdict": "NotEnrolled"}]},
        {
            "Ready": "False NothingSelected",
            "Stalled": "True NothingSelected",
            "Discovered": "True Discovered",
            "Compliant": "True TagsInOrder",
            "Protected": "Unknown NothingReplicates",
        },
    ),
    (
        "a tag problem",
        {"servers": [{}, {"number": 2, "verdict": "Excluded", "problems": ["MissingWave: x; y"]}]},
        {
            "Ready": "True Ready",
            "Discovered": "True Discovered",
            "Compliant": "False TagProblems",
            "Protected": "True Replicating",
        },
    ),
    (
        "a blocking finding",
        {"inventory": {"findings": [{"severity": "Blocking", "reason": "Gone", "message": "x"}]}},
        {
            "Ready": "True Degraded",
            "Discovered": "True Discovered",
            "Compliant": "True TagsInOrder",
            "Protected": "True Replicating",
        },
    ),
]


@pytest.mark.parametrize(("given", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_conditions_with(build: Build, given: Given, expected: dict[str, str]) -> None:
    assert said(status_of(build, **given)) == expected | {"DrillCurrent": "False NeverDrilled"}


@pytest.mark.parametrize("given", [c[1] for c in CASES], ids=[c[0] for c in CASES])
def test_every_status_keeps_the_rules_of_kstatus(build: Build, given: Given) -> None:
    status = status_of(build, **given)
    assert status.observed_generation == 3
    assert all(c.observed_generation == 3 and c.reason for c in status.conditions)
    ready, reconciling, stalled = (
        conditions.find(status.conditions, kind) for kind in ("Ready", "Reconciling", "Stalled")
    )
    assert ready is not None
    assert reconciling is None or stalled is None
    assert all(c is None or c.status == "True" for c in (reconciling, stalled))
    if ready.status == "True":
        assert reconciling is None
        assert stalled is None
    else:
        assert reconciling or stalled  # else `kubectl wait` would wait without a reason
    assert conflicts_of(build.plan(**given.get("plan", {})), status) == []


def test_silent_accounts_are_named_and_one_of_them_says_why(build: Build) -> None:
    names = ("east", "north", "west")
    plan = build.plan(accounts=[{"name": name} for name in names])
    silent = {"current": False, "problem": "timed out " * 90}
    status = assess(
        plan, {name: build.account(name) for name in names},
        [build.inventory(build.server(n), account=name, **silent)
         for n, name in enumerate(names, 1)],
        now=build.now, valid=[], previous=RecoveryPlanStatus(), adapters=ADAPTERS,
    )  # fmt: skip
    found = conditions.find(status.conditions, "Discovered")
    assert found is not None
    assert found.message.startswith("3 of 3 accounts did not answer: east: timed out timed out")
    assert found.message.endswith("…; nor did north, west, see status.accounts")
    assert len(found.message) < 520


def test_what_is_wrong_with_many_servers_is_said_once(build: Build) -> None:
    stalled = {"attributes": {"replicationState": "STALLED"}}
    status = status_of(build, servers=[{"number": n, **stalled} for n in range(1, 21)])
    found = conditions.find(status.conditions, "Protected")
    assert found is not None
    assert found.message.count("replication is STALLED; look at the server") == 1
    assert found.message.startswith("20 of 20 servers: srv-1 (prod, us-east-2), srv-2")


@pytest.mark.parametrize(
    ("rpo", "tag", "state", "lag", "expected"),
    [
        (None, None, "CONTINUOUS", "PT9H", "True Replicating"),
        (None, None, "CONTINUOUS", None, "True Replicating"),
        (None, None, "BACKLOG", "PT9H", "True Replicating"),
        ("15m", None, "CONTINUOUS", "PT15M", "True Replicating"),
        ("15m", None, "CONTINUOUS", "PT15M1S", "False LagAboveObjective"),
        ("15m", "60", "CONTINUOUS", "PT40M", "True Replicating"),
        ("60m", "15", "CONTINUOUS", "PT40M", "False LagAboveObjective"),
        (None, "15", "CONTINUOUS", "PT40M", "False LagAboveObjective"),
        ("15m", None, "CONTINUOUS", None, "False LagUnknown"),
        ("15m", None, "STOPPED", "P0D", "False NotReplicating"),
        (None, None, "A_STATE_THAT_NOBODY_KNOWS_YET", "P0D", "False NotReplicating"),
        (None, None, None, None, "False NotReplicating"),
    ],
)
def test_protection_follows_state_lag_and_objective(
    build: Build,
    rpo: str | None,
    tag: str | None,
    state: str | None,
    lag: str | None,
    expected: str,
) -> None:
    tags = {"dr:rpo-target": tag} if tag else {}
    server = {"attributes": {"replicationState": state, "lag": lag}, "tags": tags}
    status = status_of(build, plan={"objectives": {"rpo": rpo}}, servers=[server])
    assert said(status)["Protected"] == expected
    assert said(status)["Ready"] == "True Ready"


def test_an_old_inventory_protects_nothing(build: Build) -> None:
    status = status_of(build, now=build.now + timedelta(minutes=20))
    assert said(status)["Protected"] == "Unknown InventoryOld"
    assert said(status)["Ready"] == "True Ready"


def test_an_inventory_ages_by_the_interval_of_the_plan(build: Build) -> None:
    plan = {"discovery": {"interval": "10m"}}
    status = status_of(build, plan=plan, now=build.now + timedelta(minutes=20))
    assert said(status)["Protected"] == "True Replicating"


def test_what_is_known_to_be_unprotected_names_servers_and_figures(build: Build) -> None:
    servers = [
        {},
        {"number": 2, "attributes": {"lag": "PT40M"}},
        {"number": 3, "attributes": {"replicationState": "STALLED"}},
    ]
    status = status_of(build, plan={"objectives": {"rpo": "15m"}}, servers=servers)
    protected = conditions.find(status.conditions, "Protected")
    assert protected is not None
    assert protected.reason == "NotReplicating"
    assert protected.message.startswith("2 of 3 servers: srv-2 (prod, us-east-2): replication lags")


@pytest.mark.parametrize(
    ("servers", "found"),
    [
        ([{}], (1, "0s", "srv-1", 0, 0)),
        (
            [
                {"attributes": {"lag": "PT20M"}},
                {"number": 2, "attributes": {"lag": "PT40M"}, "tags": {"dr:rpo-target": "60"}},
                {"number": 3, "attributes": {"lag": None}},
            ],
            (3, "40m", "srv-2", 1, 1),
        ),
        ([{"attributes": {"lag": None}}], (1, None, "", 0, 1)),
    ],
    ids=["none", "the tag replaces the objective", "unknown"],
)
def test_a_plan_says_how_far_replication_is_behind(
    build: Build, servers: list[dict[str, Any]], found: tuple[Any, ...]
) -> None:
    lag = status_of(build, plan={"objectives": {"rpo": "15m"}}, servers=servers).lag
    assert lag is not None
    assert (lag.servers, lag.worst, lag.worst_server, lag.above, lag.unknown) == found


def test_a_plan_without_servers_has_no_lag(build: Build) -> None:
    assert status_of(build, servers=[]).lag is None


# --- times -------------------------------------------------------------------------------------


def test_a_condition_keeps_its_time_until_its_status_changes(build: Build) -> None:
    first = status_of(build)
    later = build.now + timedelta(minutes=1)
    same = status_of(build, previous=first.to_api(), now=later)
    assert [c.last_transition_time for c in same.conditions] == [
        c.last_transition_time for c in first.conditions
    ]
    silent = {"current": False, "problem": "timed out"}
    changed = status_of(build, previous=first.to_api(), inventory=silent, now=later)
    moved = {
        new.type
        for new in changed.conditions
        for old in first.conditions
        if new.type == old.type and new.last_transition_time != old.last_transition_time
    }
    assert moved == {"Discovered"}


def test_assessing_twice_changes_nothing(build: Build) -> None:
    first = status_of(build)
    assert status_of(build, previous=first.to_api()) == first


def test_what_other_parts_of_the_operator_wrote_is_kept(build: Build) -> None:
    drill = Condition(
        type="Foreseen",
        status="True",
        reason="Rehearsed",
        last_transition_time="2026-02-01T00:00:00Z",
    )
    entry = {
        "name": "shop-0",
        "uid": "u0",
        "operation": "Test",
        "state": "Succeeded",
        "completionTime": "2026-02-01T00:00:00Z",
    }
    previous = {
        "conditions": [drill.to_api()],
        "history": [entry],
        "activeExecution": {"name": "shop-1", "uid": "u1"},
    }
    status = status_of(build, previous=previous)
    assert conditions.find(status.conditions, "Foreseen") == drill
    assert [e.name for e in status.history] == ["shop-0"]
    assert status.active_execution is not None


def test_a_condition_that_no_longer_holds_goes_away(build: Build) -> None:
    stalled = status_of(build, plan=INVALID)
    assert "Stalled" not in said(status_of(build, previous=stalled.to_api()))


# --- location ----------------------------------------------------------------------------------


def wave(location: str) -> Given:
    return {"waves": [{"name": "data", "location": location}]}


@pytest.mark.parametrize(
    ("given", "location"),
    [
        ({}, "Primary"),
        ({"servers": [{"attributes": DRILL}]}, "Primary"),
        ({"servers": [{"attributes": LIVE}]}, "Mixed"),
        ({"servers": [{"attributes": LIVE}, {"number": 2}]}, "Mixed"),
        ({"servers": [{"attributes": LIVE}], "previous": wave("Recovery")}, "Recovery"),
        ({"previous": wave("Recovery")}, "Recovery"),
        ({"previous": wave("Mixed")}, "Primary"),
        ({"servers": [{"attributes": UNFINISHED}], "previous": wave("Primary")}, "Mixed"),
        ({"inventories": [], "previous": wave("Mixed")}, "Mixed"),
        ({"inventories": []}, "Unknown"),
        ({"inventories": [], "previous": wave("Recovery")}, "Recovery"),
        ({"servers": [{}, {"number": 2, "wave": "app"}], "previous": wave("Recovery")}, "Mixed"),
    ],
)
def test_location(build: Build, given: Given, location: str) -> None:
    if given.get("inventories") == [] and "previous" in given:
        tasks = [build.dns_task()]
        given = {**given, "plan": {"waves": [{"name": "data", "tasks": tasks}]}}
    assert status_of(build, **given).location == location


STOPPED = {
    "task": "shop-1-w1-fence-ec2-0", "execution": "shop-1", "wave": "data", "account": "prod",
    "accountId": "111111111111", "region": "us-east-1", "count": 2, "examples": ["i-1", "i-2"],
    "since": "2026-03-01T01:00:00Z",
}  # fmt: skip


@pytest.mark.parametrize("place", ["Primary", "Mixed", "Recovery"])
def test_a_wave_that_a_run_stopped_and_left_is_not_at_home(build: Build, place: str) -> None:
    left = {"leftStopped": [STOPPED]}
    status = status_of(build, plan={"status": left}, previous=left | wave(place))
    assert status.location == ("Recovery" if place == "Recovery" else "Mixed")
    assert [s.count for s in status.left_stopped] == [2]
    assert said(status)["SourceFenced"] == "True LeftStopped"
    (condition,) = [c for c in status.conditions if c.type == "SourceFenced"]
    assert condition.message == (
        "2 resources of wave data are stopped in prod (111111111111, us-east-1), such as i-1: "
        "shop-1 fenced them and ended before anything served instead. Start them there, or go on "
        "with another run of the operation"
    )
    assert status.summary == "1 resource in 1 wave ready; 2 stopped by a run that ended"


def test_what_may_still_write_comes_before_what_is_stopped(build: Build) -> None:
    duty = {k: v for k, v in STOPPED.items() if k != "wave"}
    left = {"leftStopped": [STOPPED], "deferredFence": [duty]}
    status = status_of(build, plan={"status": left}, previous=left)
    assert said(status)["SourceFenced"] == "False FenceDeferred"
    (condition,) = [c for c in status.conditions if c.type == "SourceFenced"]
    assert "Besides, 2 resources of wave data are stopped in" in condition.message


# --- figures -----------------------------------------------------------------------------------


def test_the_summary_counts_what_is_ready_and_what_is_not(build: Build) -> None:
    waves = ["data"] * 20 + ["app"] * 20 + ["web"] * 6
    servers: list[Given] = [{"number": n, "wave": w} for n, w in enumerate(waves, start=1)]
    for number in (101, 102):
        problems = ["MissingWave: the tag dr:wave is missing; set it"]
        servers.append({"number": number, "verdict": "Excluded", "problems": problems})
    for number, technology in ((201, "ecs"), (202, "aurora"), (203, "ecs")):
        servers.append({"number": number, "verdict": "NoAdapter", "technology": technology})
    status = status_of(build, servers=servers)
    assert status.summary == (
        "46 resources in 3 waves ready; 2 excluded by tags; aurora, ecs have no adapter"
    )
    assert status.resources == 46
    assert [(w.name, w.resources) for w in status.waves] == [("data", 20), ("app", 20), ("web", 6)]
    assert [t.to_api() for t in status.technologies] == [
        {"technology": "aurora", "count": 1, "adapter": "None", "selected": 0},
        {"technology": "drs", "count": 48, "adapter": "Available", "selected": 46},
        {"technology": "ecs", "count": 2, "adapter": "None", "selected": 0},
    ]


@pytest.mark.parametrize(
    ("given", "summary"),
    [
        ({}, "1 resource in 1 wave ready"),
        ({"plan": INVALID}, "invalid: waves data and app both take dr:wave=2"),
        ({"inventories": []}, "discovering: 0 of 1 account answered"),
        ({"servers": []}, "nothing to recover"),
        (
            {"inventory": {"current": False, "problem": "timed out"}},
            "1 resource in 1 wave ready; 1 account silent",
        ),
        (
            {"servers": [{}, {"number": 2, "verdict": "NoWave"}]},
            "1 resource in 1 wave ready; 1 without a wave of the plan",
        ),
    ],
)
def test_the_summary_of(build: Build, given: Given, summary: str) -> None:
    text = status_of(build, **given).summary
    assert text is not None
    assert text.startswith(summary)
    assert len(text) <= 256


def test_compliance_counts_and_names_examples(build: Build) -> None:
    missing = "MissingPriority: the tag dr:priority is missing; set it"
    servers: list[Given] = [
        {"number": n, "verdict": "Excluded", "problems": [missing]} for n in range(10, 17)
    ]
    servers += [
        {"number": 1},
        {"number": 2, "verdict": "NotEnrolled", "tags": {"dr:enabled": "false"}},
    ]
    servers += [{"number": 3, "verdict": "NoWave", "problems": ["NoWave: the tag dr:wave is 4; x"]}]
    compliance = status_of(build, servers=servers).compliance
    assert compliance is not None
    assert (compliance.compliant, compliance.excluded, compliance.not_enrolled) == (1, 8, 1)
    assert [(p.reason, p.count, len(p.examples)) for p in compliance.problems] == [
        ("MissingPriority", 7, 5),
        ("NoWave", 1, 1),
    ]
    assert compliance.problems[0].examples[0] == "srv-10 (prod, us-east-2)"
    assert "dr:priority" in compliance.problems[0].remedy


def test_readiness_is_by_kind_the_gravest_first(build: Build) -> None:
    def finding(severity: str, reason: str, number: int) -> Given:
        resource = f"s-{number:017d}"
        return {"severity": severity, "reason": reason, "message": "m", "resource": resource}

    findings = [finding("Warning", "Odd", 1)]
    findings += [finding("Degraded", "Slow", n) for n in range(1, 9)]
    findings += [finding("Blocking", "NoSubnet", 2), finding("Blocking", "NoSubnet", 99)]
    servers = [{"number": n} for n in range(1, 9)]
    readiness = status_of(build, servers=servers, inventory={"findings": findings}).readiness
    assert [(p.severity, p.reason, p.count, len(p.examples)) for p in readiness] == [
        ("Blocking", "NoSubnet", 1, 1),
        ("Degraded", "Slow", 8, 5),
        ("Warning", "Odd", 1, 1),
    ]
    assert readiness[0].examples == ["srv-2 (prod, us-east-2)"]


def test_lists_stay_within_the_limits_of_the_api(build: Build) -> None:
    findings = [
        {"severity": "Degraded", "reason": f"R{n:03d}", "message": "m" * 1024} for n in range(60)
    ]
    servers = [
        {"number": n, "verdict": "Excluded", "problems": [f"Problem{n}: x; y"]}
        for n in range(1, 101)
    ]
    status = status_of(build, servers=servers, inventory={"findings": findings})
    assert len(status.readiness) == 40
    assert (status.readiness[-1].reason, status.readiness[-1].count) == ("More", 21)
    assert status.compliance is not None
    assert len(status.compliance.problems) == 30
    assert status.compliance.problems[-1].count == 71


def test_accounts_that_are_not_ready_push_no_finding_out_of_the_count(build: Build) -> None:
    findings = [{"severity": "Degraded", "reason": f"R{n:03d}", "message": "m"} for n in range(40)]
    status = assess(
        build.plan(), build.accounts(status=LACKING),
        [build.inventory(build.server(), findings=findings)],
        now=build.now, valid=[], previous=RecoveryPlanStatus(), adapters=ADAPTERS,
    )  # fmt: skip
    assert len(status.readiness) == 40
    assert status.readiness[0].reason == "AccountNotReady"
    assert (status.readiness[-1].reason, status.readiness[-1].count) == ("More", 2)


def test_a_silent_account_keeps_what_it_said_and_shows_why(build: Build) -> None:
    plan = {"accounts": [{"name": "prod"}, {"name": "second"}]}
    inventories = [
        build.inventory(build.server(1)),
        build.inventory(
            build.server(2, accountId="222222222222"),
            account="second",
            accountId="222222222222",
            current=False,
            problem="AccessDenied",
            discoveredAt="2026-03-01T01:50:00Z",
        ),
    ]
    status = status_of(build, plan=plan, inventories=inventories)
    assert status.resources == 2
    assert [a.to_api() for a in status.accounts] == [
        {
            "name": "prod",
            "accountId": "111111111111",
            "resources": 1,
            "technologies": ["drs"],
            "instanceProfiles": [],
            "discoveredAt": "2026-03-01T01:58:00Z",
            "missing": 0,
        },
        {
            "name": "second",
            "accountId": "222222222222",
            "resources": 1,
            "technologies": ["drs"],
            "instanceProfiles": [],
            "discoveredAt": "2026-03-01T01:50:00Z",
            "problem": "AccessDenied",
            "missing": 0,
        },
    ]
    assert status.discovered_at == "2026-03-01T01:58:00Z"
    assert "second (AccessDenied)" not in (status.summary or "")


def test_what_vanished_is_counted_and_degrades_the_plan(build: Build) -> None:
    gone = {"number": 2, "missingSince": "2026-03-01T01:00:00Z"}
    status = status_of(build, servers=[{}, gone])
    assert status.accounts[0].missing == 1
    assert said(status)["Discovered"] == "False InventoryShrank"
    assert said(status)["Ready"] == "True Degraded"
    assert "1 vanished" in (status.summary or "")


def test_groups_count_what_is_recovered_in_the_order_of_the_plan(build: Build) -> None:
    servers = [
        {"number": 1, "wave": "app", "tags": {**build.tags, "Application": "shop"}},
        {"number": 2, "tags": {**build.tags, "dr:priority": "low", "Application": "shop"}},
        {"number": 3, "verdict": "Excluded"},
    ]
    groups = status_of(build, servers=servers).groups
    assert [(g.by, g.name, g.count) for g in groups] == [
        ("Wave", "data", 1),
        ("Wave", "app", 1),
        ("Priority", "critical", 1),
        ("Priority", "low", 1),
        ("Strategy", "drs", 2),
        ("Application", "shop", 2),
    ]


def test_the_smallest_of_many_applications_are_counted_together(build: Build) -> None:
    servers = [
        {"number": n, "tags": {**build.tags, "Application": f"app-{n:03}"}} for n in range(130)
    ]
    groups = [g for g in status_of(build, servers=servers).groups if g.by == "Application"]
    assert (len(groups), groups[-1].name, groups[-1].count) == (100, "others", 31)


def test_ten_thousand_resources_are_sorted_out_and_their_status_stays_small(build: Build) -> None:
    plan = build.plan()
    found = [
        build.found(
            "drs",
            f"s-{n:017d}",
            name=f"server-{n}",
            tags={**build.tags, "dr:wave": "1x" if n % 3 else "1", "Application": f"a{n % 500}"},
            attributes={"replicationState": "STALLED", "lag": "PT1H"},
        )
        for n in range(10_000)
    ]
    resources = by_account(plan.spec, found, ADAPTERS)["prod"]
    inventories = [
        build.inventory(*[r.to_api() for r in part], part=number)
        for number, part in enumerate(chunks(resources, PART))
    ]
    status = status_of(build, inventories=inventories)
    assert len(inventories) == 20
    assert max(len(i.model_dump_json()) for i in inventories) < 1_000_000
    assert status.compliance is not None
    assert status.compliance.problems[0].count == 6666
    assert len(json.dumps(status.to_api())) < 60_000


def test_the_inventory_digest_follows_membership_and_not_lag(build: Build) -> None:
    def inventory_digest(**server: Any) -> str | None:
        return status_of(build, servers=[server]).inventory_digest

    base = inventory_digest()
    assert base is not None
    assert base == inventory_digest(attributes={"lag": "PT9M"})
    assert base != inventory_digest(wave="app")
    assert base != inventory_digest(tags={"dr:priority": "low"})


def test_fields_without_effect_are_listed(build: Build) -> None:
    status = status_of(build, plan={"historyLimits": {"runs": 2}})
    assert len(status.unsupported) == 1
    assert status.unsupported[0].startswith("spec.historyLimits: ")


# --- lists of conditions -----------------------------------------------------------------------


def condition(kind: str, status: str, at: str) -> Condition:
    return Condition.model_validate(
        {"type": kind, "status": status, "reason": "R", "lastTransitionTime": at}
    )


def test_a_condition_takes_the_place_of_the_one_of_its_type() -> None:
    old = [condition("A", "True", "t1"), condition("B", "True", "t1")]
    kept = conditions.set_condition(old, condition("A", "True", "t2"))
    assert [(c.type, c.last_transition_time) for c in kept] == [("A", "t1"), ("B", "t1")]
    changed = conditions.set_condition(old, condition("A", "False", "t2"))
    assert [(c.type, c.last_transition_time) for c in changed] == [("A", "t2"), ("B", "t1")]
    added = conditions.set_condition(old, condition("C", "True", "t2"))
    assert [c.type for c in added] == ["A", "B", "C"]
    assert [c.type for c in conditions.drop_condition(added, "B")] == ["A", "C"]
    assert conditions.holds(added, "C")
    assert not conditions.holds(added, "D")


# --- what the plan depends on, and its accounts ---------------------------------------------------

DEPENDENCY = {"name": "directory", "type": "ActiveDirectory", "target": "corp.example.com"}
KNOWN = {"name": "directory", "type": "ActiveDirectory", "message": "dead"}


@pytest.mark.parametrize(
    ("state", "ready"), [("Holds", "Ready"), ("Failed", "Degraded"), ("Unknown", "Degraded")]
)
def test_a_dependency_that_does_not_hold_degrades_the_plan(
    build: Build, state: str, ready: str
) -> None:
    known = {"dependencies": [{**KNOWN, "state": state}]}
    status = status_of(build, plan={"dependencies": [DEPENDENCY], "status": known})
    assert said(status)["Ready"] == f"True {ready}"
    assert [d.state for d in status.dependencies] == [state]
    assert ("1 dependency does not hold" in (status.summary or "")) is (state != "Holds")


def test_a_dependency_that_was_taken_out_of_the_spec_is_forgotten(build: Build) -> None:
    known = {"dependencies": [{**KNOWN, "state": "Failed"}]}
    status = status_of(build, plan={"status": known})
    assert status.dependencies == []
    assert said(status)["Ready"] == "True Ready"


def test_a_profile_that_the_role_may_not_pass_stands_on_the_plans_that_name_it(
    build: Build,
) -> None:
    refused = [
        {"action": "iam:PassRole", "subject": name, "message": f"the role of {name}"}
        for name in ("app-servers", "of-another-plan")
    ]
    roles = [{"use": "Recovery", "assumed": "Yes", "refused": refused}]
    accounts = build.accounts(status={"roles": roles})
    servers = [
        build.server(launch={"iamInstanceProfile": "app-servers"}),
        build.server(2, launch={"iamInstanceProfile": "left-out"}, verdict="Excluded"),
    ]

    status = assess(
        build.plan(), accounts, [build.inventory(*servers)],
        now=build.now, valid=[], previous=RecoveryPlanStatus(), adapters=ADAPTERS,
    )  # fmt: skip

    assert status.accounts[0].instance_profiles == ["app-servers"]
    (found,) = status.readiness
    assert (found.severity, found.reason, found.count) == ("Blocking", "NotAllowedByName", 1)
    assert "lacks iam:PassRole for the role of app-servers: add it to" in found.message
    assert said(status)["Ready"] == "True Degraded"


def test_what_an_account_says_of_itself_stands_on_its_plans(build: Build) -> None:
    status = assess(
        build.plan(), build.accounts(status=LACKING), [build.inventory(build.server())],
        now=build.now, valid=[], previous=RecoveryPlanStatus(), adapters=ADAPTERS,
    )  # fmt: skip
    (found,) = status.readiness
    assert (found.severity, found.reason) == ("Blocking", "AccountNotReady")
    assert found.examples == ["TargetAccount prod (111111111111)"]
    assert "lacks drs:StartRecovery" in found.message
    assert said(status)["Ready"] == "True Degraded"

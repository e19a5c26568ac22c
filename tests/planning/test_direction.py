"""The way back: what Reprotect, Failback and Cleanup work on, and when they are refused."""

from __future__ import annotations

from typing import Any

import pytest
from tests.planning.conftest import ACCOUNT_ID, RECORD, Build

from leeward.api.plan import RecoveryPlan
from leeward.api.task import DRTaskSpec
from leeward.planning.outlook.direction_checks import awaits_discovery
from leeward.planning.outlook.preflight import Preflight, preflight
from leeward.planning.runs.freeze import Frozen, freeze

B2, A2 = "i-0000000000000b201", "s-000000000000000a2"
AWAY: dict[str, Any] = {"recoveryInstanceId": B2, "recoveryInstanceDrill": "false"}
BACKED = {**AWAY, "reversedServerId": A2, "reversedState": "CONTINUOUS", "reversedLag": "PT1M"}
RETIRED = {"retiredInstanceId": B2}
UNFINISHED = {
    **RETIRED,
    "reversedServerId": A2,
    "reversedState": "STALLED",
    "reversedLag": "PT1M",
    "failbackInstanceId": "i-0000000000000a301",
}
PRIMARY = {"values": ["192.0.2.9"]}


def located(location: str, **waves: str) -> dict[str, Any]:
    """Status of a plan that is there, but for single waves."""
    places = {"data": location, "app": location, "web": location, **waves}
    return {
        "location": location if not waves else "Mixed",
        "waves": [{"name": name, "location": place} for name, place in places.items()],
    }


class Case:
    """A plan away from home, and a run of it."""

    def __init__(self, build: Build, operation: str, *servers: dict[str, Any]) -> None:
        self.build = build
        self.servers = servers
        self.status = located("Primary" if operation == "Cleanup" else "Recovery")
        self.fields: dict[str, Any] = {"fence": {"servers": "Stop"}}
        self.execution: dict[str, Any] = {"operation": operation}
        self.allow: dict[str, Any] = {}
        self.sizes: dict[tuple[str, str], dict[str, int]] = {}

    @property
    def plan(self) -> RecoveryPlan:
        return self.build.plan(status=self.build.ready(**self.status), **self.fields)

    def frozen(self) -> Frozen:
        return freeze(
            self.build.execution(**self.execution),
            self.plan,
            self.build.accounts(allow=self.allow),
            [self.build.inventory(*self.servers)],
            sizes=self.sizes,
        )

    def judged(self) -> Preflight:
        return preflight(
            self.build.execution(**self.execution),
            self.plan,
            self.build.accounts(allow=self.allow),
            [self.build.inventory(*self.servers)],
            now=self.build.now,
            live_elsewhere={},
            sizes=self.sizes,
        )

    def reasons(self) -> list[str]:
        return [problem.reason for problem in self.judged().refusals]


def shape(frozen: Frozen) -> list[tuple[str, str, str, str, list[str]]]:
    def row(spec: DRTaskSpec) -> tuple[str, str, str, str, list[str]]:
        ids = [r.id for r in spec.resources]
        return spec.recovery_phase, spec.technology, spec.region, spec.source_region, ids

    return [row(task.spec) for task in frozen.tasks]


def server(build: Build, attributes: dict[str, Any], number: int = 1, **fields: Any) -> Any:
    return build.server(number, attributes=attributes, **fields)


def stops(name: str) -> dict[str, Any]:
    """A task of Fence that a person does."""
    what = {"instructions": "Stop the batch jobs."}
    return {"name": name, "type": "Manual", "recoveryPhase": "Fence", "manual": what}


def duty(task: str, count: int = 1) -> dict[str, Any]:
    """What an earlier run could not fence."""
    return {
        "task": task,
        "execution": "shop-0",
        "account": "prod",
        "accountId": ACCOUNT_ID,
        "region": "us-east-1",
        "count": count,
        "since": "2026-03-01T01:00:00Z",
    }


def test_a_reprotect_fences_the_side_that_was_left_and_replicates_back(build: Build) -> None:
    case = Case(build, "Reprotect", server(build, AWAY), server(build, {}, 2))
    b1, origin = f"s-{1:017d}", f"i-{1:017x}"
    assert case.reasons() == []
    assert shape(case.frozen()) == [
        ("Fence", "ec2", "us-east-1", "us-east-1", [origin]),
        ("Replicate", "drs", "us-east-2", "us-east-1", [b1]),
    ]


def test_a_failback_stops_the_recovery_instance_and_moves_the_same_server_home(
    build: Build,
) -> None:
    case = Case(build, "Failback", server(build, BACKED))
    b1 = f"s-{1:017d}"
    assert case.reasons() == []
    assert shape(case.frozen()) == [
        ("Fence", "ec2", "us-east-2", "us-east-2", [B2]),
        ("Instantiate", "drs", "us-east-1", "us-east-2", [b1]),
        ("Activate", "drs", "us-east-1", "us-east-2", [b1]),
        ("Replicate", "drs", "us-east-1", "us-east-2", [b1]),
    ]
    fence = case.frozen().tasks[0].spec.resources[0]
    assert fence.arn == f"arn:aws:ec2:us-east-2:{ACCOUNT_ID}:instance/{B2}"


def test_a_cleanup_works_on_what_a_failback_left_behind_a_gate_of_its_own(build: Build) -> None:
    case = Case(build, "Cleanup", server(build, RETIRED), server(build, {}, 2))
    case.fields["cleanup"] = {"recoveryInstances": "Retire"}
    case.allow = {"destructive": "Allowed"}
    assert case.reasons() == []
    assert shape(case.frozen()) == [("Cleanup", "drs", "us-east-1", "us-east-2", [f"s-{1:017d}"])]
    (gate,) = case.frozen().gates
    assert (gate.name, gate.wave, gate.before) == ("cleanup-data", "data", "Cleanup")


def test_the_plan_s_own_gate_before_cleanup_is_enough(build: Build) -> None:
    case = Case(build, "Cleanup", server(build, RETIRED))
    case.fields["waves"] = [{"name": "data", "gates": [{"before": "Cleanup", "required": 2}]}]
    assert [(g.name, g.required) for g in case.frozen().gates] == [("wave-data", 2)]


@pytest.mark.parametrize(
    ("operation", "attributes", "status", "reason"),
    [
        ("Reprotect", {}, located("Primary"), "WrongLocation"),
        ("Failback", {}, located("Primary"), "WrongLocation"),
        ("Cleanup", RETIRED, located("Recovery"), "WrongLocation"),
        ("Cleanup", {}, located("Primary"), "NothingToCleanUp"),
        ("Cleanup", {**RETIRED, "replicationState": "STALLED"}, located("Primary"), "NotProtected"),
        ("Reprotect", {**AWAY, "originAccountId": "999999999999"}, None, "CrossAccountFailback"),
    ],
)
@pytest.mark.parametrize("mode", ["Planned", "Unplanned"])
def test_a_way_that_is_not_there_is_refused_in_every_mode(
    build: Build,
    operation: str,
    attributes: dict[str, Any],
    status: dict[str, Any] | None,
    reason: str,
    mode: str,
) -> None:
    case = Case(build, operation, server(build, attributes))
    case.status = status or case.status
    case.execution["mode"] = mode
    case.fields["cleanup"] = {"recoveryInstances": "Retire"}
    case.allow = {"destructive": "Allowed"}
    assert case.reasons() == [reason]


@pytest.mark.parametrize(
    ("fields", "allow"),
    [({}, {"destructive": "Allowed"}), ({"cleanup": {"recoveryInstances": "Retire"}}, {})],
    ids=["the plan keeps", "the account refuses"],
)
def test_nothing_is_destroyed_unless_plan_and_account_allow_it(
    build: Build, fields: dict[str, Any], allow: dict[str, Any]
) -> None:
    case = Case(build, "Cleanup", server(build, RETIRED))
    case.fields |= fields
    case.allow = allow
    assert case.reasons() == ["CleanupNotAllowed"]


@pytest.mark.parametrize(
    ("attributes", "status", "reason"),
    [
        (AWAY, {}, "NotReprotected"),
        ({**BACKED, "reversedState": "INITIAL_SYNC"}, {}, "NotReprotected"),
        (
            BACKED,
            {"deferredFence": [duty("shop-0-w1-fence-ec2-111111111111-use1-0", 2)]},
            "FenceDeferred",
        ),
    ],
)
def test_what_a_failback_lacks_refuses_a_planned_one_and_is_told_of_an_unplanned_one(
    build: Build, attributes: dict[str, Any], status: dict[str, Any], reason: str
) -> None:
    case = Case(build, "Failback", server(build, attributes))
    case.status |= status
    assert case.reasons() == [reason]
    case.execution["mode"] = "Unplanned"
    judged = case.judged()
    assert judged.refusals == ()
    assert any(finding.startswith(f"{reason}: ") for finding in judged.findings)


def test_lag_of_the_reversed_replication_is_the_question_before_users_go_home(
    build: Build,
) -> None:
    behind = {**BACKED, "reversedLag": "PT2H", "lag": "P0D"}
    case = Case(build, "Failback", server(build, behind))
    case.fields["objectives"] = {"rpo": "15m"}
    (gate,) = case.frozen().gates
    assert (gate.name, gate.before, gate.data_loss) == ("lag-data", "Activate", "Question")


@pytest.mark.parametrize("mode", ["Planned", "Unplanned"])
@pytest.mark.parametrize("place", ["Mixed", "Unknown", "Primary"])
def test_a_reprotect_stops_nothing_where_a_failover_was_called_off(
    build: Build, place: str, mode: str
) -> None:
    """B2 runs since the Failover was cancelled at its gate, and A1 serves."""
    case = Case(build, "Reprotect", server(build, AWAY), server(build, AWAY, 2, wave="app"))
    case.status = located("Recovery", data=place)
    case.status["deferredFence"] = [duty("shop-0-w1-fence-left")]
    waves = [{"name": "data", "tasks": [stops("left")]}, {"name": "app"}, {"name": "web"}]
    case.fields["waves"] = waves
    case.execution["mode"] = mode
    assert case.reasons() == ["WrongLocation"]
    (refusal,) = case.judged().refusals
    assert "wave data of plan shop may still serve from us-east-1" in refusal.message
    fenced = {t.spec.wave for t in case.frozen().tasks if t.spec.recovery_phase == "Fence"}
    assert fenced == {"app"}
    case.execution["waves"] = ["app"]
    assert case.reasons() == []


def test_a_reprotect_is_not_held_up_by_a_wave_in_which_it_has_nothing_to_do(build: Build) -> None:
    case = Case(build, "Reprotect", server(build, AWAY))
    case.status = located("Recovery", app="Unknown", web="Mixed")
    assert case.reasons() == []
    case.fields["waves"] = [{"name": "data"}, {"name": "app", "tasks": [stops("left")]}]
    assert case.reasons() == []
    case.status["deferredFence"] = [duty("shop-0-w2-fence-left")]
    assert case.reasons() == ["WrongLocation"]


@pytest.mark.parametrize("operation", ["Reprotect", "Failback"])
def test_a_way_back_without_any_work_is_refused(build: Build, operation: str) -> None:
    case = Case(build, operation, server(build, {}))
    assert case.reasons() == ["NothingToBringBack"]
    case.fields["waves"] = [
        {"name": "data", "tasks": [build.dns_task(records=[{**RECORD, "primary": PRIMARY}])]}
    ]
    expected = [] if operation == "Failback" else ["NothingToBringBack"]
    assert case.reasons() == expected


def test_a_wave_at_home_is_left_alone(build: Build) -> None:
    at_home = server(build, {}, 2, wave="app")
    case = Case(build, "Failback", server(build, BACKED), at_home)
    case.status = located("Recovery", app="Primary", web="Primary")
    case.fields["waves"] = [{"name": "data"}, {"name": "app", "tasks": [build.dns_task()]}]
    assert {task.spec.wave for task in case.frozen().tasks} == {"data"}


def test_an_unfinished_failback_can_be_made_anew(build: Build) -> None:
    """What was launched at home is not protected there: the first server has another origin."""
    case = Case(build, "Failback", server(build, UNFINISHED))
    case.status = located("Primary")
    assert case.reasons() == []
    tasks = case.frozen().tasks
    phases = [task.spec.recovery_phase for task in tasks]
    assert phases == ["Fence", "Instantiate", "Activate", "Replicate"]
    assert [r.id for r in tasks[0].spec.resources] == [B2]


def test_an_unfinished_failback_leaves_nothing_to_clean_up(build: Build) -> None:
    case = Case(build, "Cleanup", server(build, UNFINISHED))
    case.fields["cleanup"] = {"recoveryInstances": "Retire"}
    case.allow = {"destructive": "Allowed"}
    assert case.reasons() == ["NothingToCleanUp"]


def test_a_failback_that_is_through_is_not_made_anew(build: Build) -> None:
    through = {**UNFINISHED, "originInstanceId": UNFINISHED["failbackInstanceId"]}
    case = Case(build, "Failback", server(build, through))
    case.status = located("Primary")
    assert "WrongLocation" in case.reasons()


def test_records_and_groups_exchange_their_sides(build: Build) -> None:
    def groups(name: str, phase: str, **sizes: int) -> dict[str, Any]:
        scaling = {"accountRef": {"name": "prod"}, "groups": [{"name": name, **sizes}]}
        return {
            "name": name, "type": "AutoScaling", "recoveryPhase": phase, "autoScaling": scaling
        }  # fmt: skip

    tasks = [
        groups("home", "Fence"),
        groups("away", "Activate", desired=4),
        build.dns_task(records=[{**RECORD, "primary": PRIMARY}]),
        {"name": "call", "type": "Manual", "manual": {"instructions": "Call them."}},
        {
            "name": "call-back", "type": "Manual", "manual": {"instructions": "Call again."},
            "operations": ["Failback"],
        },
    ]  # fmt: skip
    case = Case(build, "Failback", server(build, BACKED))
    case.fields["waves"] = [{"name": "data", "tasks": tasks}]
    case.sizes = {("prod", "home"): {"min": 2, "max": 8, "desired": 3}}
    assert case.reasons() == []
    explicit = {t.spec.task: t.spec for t in case.frozen().tasks if t.spec.task}
    assert {n: (s.recovery_phase, s.region) for n, s in explicit.items()} == {
        "away": ("Fence", "us-east-2"),
        "home": ("Activate", "us-east-1"),
        "switch": ("Activate", "us-east-1"),
        "call-back": ("Activate", "us-east-1"),
    }
    scaling = explicit["home"].auto_scaling
    assert scaling is not None
    assert (scaling.groups[0].min, scaling.groups[0].max, scaling.groups[0].desired) == (2, 8, 3)
    assert "shop-1-w1-activate-home" in explicit["switch"].depends_on


def test_what_nobody_says_of_the_primary_side_refuses_a_planned_failback(build: Build) -> None:
    scaling = {"accountRef": {"name": "prod"}, "groups": [{"name": "front"}]}
    empties = {
        "name": "empty", "type": "AutoScaling", "recoveryPhase": "Fence", "autoScaling": scaling
    }  # fmt: skip
    case = Case(build, "Failback", server(build, BACKED))
    case.fields["waves"] = [{"name": "data", "tasks": [empties, build.dns_task()]}]
    assert case.reasons() == ["SizesUnknown", "NoPrimarySide"]


def test_a_reprotect_repeats_only_those_fencing_tasks_that_left_something(build: Build) -> None:
    case = Case(build, "Reprotect", server(build, AWAY))
    case.fields["waves"] = [{"name": "data", "tasks": [stops("left"), stops("done")]}]
    case.status["deferredFence"] = [duty("shop-0-w1-fence-left")]
    assert [t.spec.task for t in case.frozen().tasks if t.spec.task] == ["left"]


BEFORE, AT, AFTER = (f"2026-03-01T01:{minute}Z" for minute in ("57:59", "58:00", "59:00"))


@pytest.mark.parametrize(
    ("operation", "mode", "past", "waits"),
    [
        ("Failback", "Planned", {"Failover": AT}, True),
        ("Failback", "Planned", {"Failover": BEFORE}, False),
        ("Failback", "Unplanned", {"Failover": AFTER}, False),
        # Others serve at home since a failback: those are to be fenced, and no older ones.
        ("Failover", "Planned", {"Failback": AT}, True),
        ("Failover", "Unplanned", {"Failback": AT}, True),
        ("Failover", "Planned", {"Failback": BEFORE}, False),
        ("Failover", "Unplanned", {"Failback": BEFORE, "Test": AFTER}, False),
        ("Failover", "Unplanned", {"Failback": AT, "Test": AFTER}, True),
        ("Failover", "Planned", {"Test": AFTER}, False),
        ("Failover", "Planned", {}, False),
    ],
)
def test_a_run_begins_with_what_was_seen_after_the_run_that_it_builds_upon(
    build: Build, operation: str, mode: str, past: dict[str, str], waits: bool
) -> None:
    history = [
        {"name": "shop-0", "uid": "u-0", "operation": what, "state": "Succeeded",
         "completionTime": ended}
        for what, ended in past.items()
    ]  # fmt: skip
    known = {"name": "prod", "accountId": ACCOUNT_ID, "discoveredAt": AT}
    plan = build.plan(status=build.ready(history=history, accounts=[known]))
    execution = build.execution(operation=operation, mode=mode)
    assert awaits_discovery(execution, plan) is waits


@pytest.mark.parametrize(("mode", "problem"), [("Planned", None), ("Unplanned", "it is silent")])
def test_an_account_that_was_not_seen_since_it_came_home_refuses_a_planned_failover(
    build: Build, mode: str, problem: str | None
) -> None:
    case = Case(build, "Failover", server(build, {"replicationState": "CONTINUOUS"}))
    case.execution["mode"] = mode
    past = {"name": "shop-0", "uid": "u-0", "operation": "Failback", "state": "Succeeded",
            "completionTime": AFTER}  # fmt: skip
    known = {"name": "prod", "accountId": ACCOUNT_ID, "discoveredAt": AT, "problem": problem}
    case.status = located("Primary") | {"history": [past], "accounts": [known]}
    refused = [p for p in case.judged().refusals if p.reason == "InventoryOutdated"]
    said = [f for f in case.judged().findings if f.startswith("InventoryOutdated")]
    assert (len(refused), len(said)) == ((1, 0) if mode == "Planned" else (0, 1))
    assert f"account {ACCOUNT_ID} (prod) was not looked at since the last Failback ended" in str(
        refused or said
    )
    case.status["history"] = [past | {"completionTime": BEFORE}]
    assert "InventoryOutdated" not in str(case.judged())

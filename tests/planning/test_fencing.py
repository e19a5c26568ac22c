from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from leeward.api.execution import CommandRecord, DRExecution
from leeward.api.gate_record import FrozenGate
from leeward.api.plan_record import RecoveryPlanStatus
from leeward.api.task import DRTask
from leeward.planning.outlook.preflight import preflight
from leeward.planning.runs import fencing, gates, letting_go, transitions
from leeward.planning.runs.earlier import earlier
from leeward.planning.runs.freeze import freeze
from leeward.planning.runs.waves import Stage, cursor
from leeward.planning.times import render_time

if TYPE_CHECKING:
    from tests.planning.conftest import Build

NOW = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
STOP = {"servers": "Stop"}


def task(phase: str = "Fence", state: str = "InProgress", wave: int = 1, **fields: Any) -> DRTask:
    """A task; `resources` are states by id, `since` is how long ago it began."""
    resources = fields.pop("resources", {"i-1": "InProgress"})
    since = fields.pop("since", timedelta(0))
    reasons = fields.pop("reasons", {})
    requests = fields.pop("requests", {})
    spec = {
        "executionRef": {"name": "shop-1", "uid": "u-1"},
        "plan": "shop",
        "operation": "Failover",
        "mode": "Unplanned",
        "wave": f"w{wave}",
        "waveOrdinal": wave,
        "recoveryPhase": phase,
        "technology": "ec2" if phase == "Fence" else "drs",
        "account": "prod",
        "accountId": "111111111111",
        "region": "us-east-1" if phase == "Fence" else "us-east-2",
        "sourceRegion": "us-east-1",
        "fenceLimit": "120s" if phase == "Fence" else None,
        "resources": [{"id": i, "arn": f"arn:{i}"} for i in resources],
        **fields,
    }
    status = {
        "state": state,
        "startTime": render_time(NOW - since) if state != "NotStarted" else None,
        "message": "cannot look at account 111111111111",
        "resources": [
            {"id": i, "state": s, "reason": reasons.get(i, ""), "request": requests.get(i)}
            for i, s in resources.items()
        ],
    }
    metadata = {"name": f"shop-1-w{wave}-{phase.lower()}-{spec['technology']}-0"}
    return DRTask.model_validate({"metadata": metadata, "spec": spec, "status": status})


def execution(mode: str) -> DRExecution:
    return DRExecution.model_validate(
        {"spec": {"planRef": {"name": "shop"}, "operation": "Failover", "mode": mode}}
    )


def given_up(**fields: Any) -> Any:
    return letting_go.given_up(task(**fields), NOW)


# --- when it is given up -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "over"),
    [
        ({"since": timedelta(seconds=119)}, False),
        ({"since": timedelta(seconds=120)}, True),
        ({"state": "Failed"}, True),
        ({"state": "Retry", "since": timedelta(hours=1)}, False),
        ({"state": "NotStarted"}, False),
        ({"state": "Complete"}, False),
        ({"phase": "Instantiate", "state": "Failed"}, False),
        ({"phase": "Activate", "since": timedelta(hours=1)}, False),
        ({"state": "PendingApproval", "since": timedelta(seconds=119)}, False),
        ({"state": "PendingApproval", "since": timedelta(seconds=120)}, True),
        ({"requests": {"i-1": "Undo"}, "since": timedelta(hours=1)}, False),
        ({"requests": {"i-1": "MarkDone"}, "since": timedelta(hours=1)}, False),
    ],
)
def test_fencing_is_given_up_when_it_failed_or_its_time_is_over(
    fields: dict[str, Any], over: bool
) -> None:
    assert (given_up(**fields) is not None) == over


@pytest.mark.parametrize(
    ("fields", "unseen", "state"),
    [
        ({"since": timedelta(seconds=121)}, True, "Abandoned"),
        ({"since": timedelta(seconds=119)}, True, None),
        ({"since": timedelta(hours=1)}, False, None),
        ({"since": timedelta(hours=1), "state": "Failed"}, True, None),
        ({"since": timedelta(hours=1), "phase": "Instantiate"}, True, None),
    ],
)
def test_of_a_cancelled_run_fencing_in_the_dark_is_followed_for_as_long_as_it_was_tried(
    fields: dict[str, Any], unseen: bool, state: str | None
) -> None:
    fencing_task = task(**fields)
    since = render_time(NOW) if unseen else None
    status = fencing_task.status.model_copy(update={"unseen_since": since})
    after = letting_go.called_off(fencing_task.model_copy(update={"status": status}), NOW)
    assert (after.state if after else None) == state
    if after is not None:
        assert "cannot look at account 111111111111" in (after.message or "")
        left = fencing_task.model_copy(update={"status": after})
        assert fencing.duties([left], NOW) == []


def test_a_run_looks_again_when_the_time_for_fencing_is_over() -> None:
    assert letting_go.time_left(task(since=timedelta(seconds=100)), NOW) == timedelta(seconds=20)
    assert letting_go.time_left(task(since=timedelta(seconds=200)), NOW) == timedelta(0)
    for other in (task(state="Complete"), task("Instantiate")):
        assert letting_go.time_left(other, NOW) == timedelta.max


def paused(*spans: tuple[int, int | None]) -> list[CommandRecord]:
    """The record of pauses: from and until how many seconds ago; None: it goes on."""
    said = [("pause", since) for since, _ in spans] + [("resume", to) for _, to in spans if to]
    return [
        CommandRecord(
            key=f"leeward.dev/{verb}", user="ann", time=render_time(NOW - timedelta(seconds=ago))
        )
        for verb, ago in sorted(said, key=lambda each: -each[1])
    ]


@pytest.mark.parametrize(
    ("pauses", "left"),
    [
        ([], 0),
        ([(300, None)], 120 - (300 - 300)),
        ([(250, None)], 120 - 50),
        ([(250, 150)], 0),
        ([(200, 10)], 120 - (100 + 10)),
        ([(900, 200)], 120 - 200),
        ([(280, 200), (150, 30)], 120 - (20 + 50 + 30)),
    ],
)
def test_a_pause_is_not_time_in_which_fencing_was_tried(
    pauses: list[tuple[int, int | None]], left: int
) -> None:
    begun = task(since=timedelta(seconds=300))
    commands = paused(*pauses)
    assert letting_go.time_left(begun, NOW, commands) == timedelta(seconds=max(left, 0))
    assert (letting_go.given_up(begun, NOW, commands) is None) == (left > 0)
    run = execution("Unplanned")
    run = run.model_copy(update={"status": run.status.model_copy(update={"commands": commands})})
    rest = letting_go.until_let_go(run, [begun], NOW, cancelling=False)
    assert rest == timedelta(seconds=max(left, 0))


def test_a_person_s_part_of_fencing_that_is_given_up_is_a_duty() -> None:
    call = task(state="PendingApproval", technology="manual", since=timedelta(minutes=3))
    status = letting_go.given_up(call, NOW)
    assert status is not None
    transitions.check(call, status)
    over = call.model_copy(update={"status": status})
    assert (status.state, len(fencing.duties([over], NOW))) == ("Skipped", 1)
    begins = [launch("Complete"), task("Activate", "NotStarted")]
    assert work(call, *begins, unplanned=True) == ["w1-fence"]
    assert work(over, *begins, unplanned=True) == ["ask"]


def test_nothing_is_given_up_while_people_want_it_back() -> None:
    back = task(requests={"i-1": "Undo"}, since=timedelta(hours=1))
    assert letting_go.time_left(back, NOW) == timedelta.max
    assert letting_go.until_let_go(execution("Unplanned"), [back], NOW, cancelling=False) is None


@pytest.mark.parametrize(
    ("seconds", "cancelling", "unseen", "left"),
    [
        (100, False, False, 20),
        (200, False, False, 0),
        (100, True, True, 20),
        (200, True, True, 0),
        (100, True, False, None),
        (200, True, False, None),
    ],
)
def test_a_run_looks_again_at_once_only_to_let_go_of_fencing(
    seconds: int, cancelling: bool, unseen: bool, left: int | None
) -> None:
    fencing_task = task(since=timedelta(seconds=seconds))
    update = {"unseen_since": render_time(NOW) if unseen else None}
    status = fencing_task.status.model_copy(update=update)
    fencing_task = fencing_task.model_copy(update={"status": status})
    tasks = [task("Instantiate"), task(state="Complete"), fencing_task]
    rest = letting_go.until_let_go(execution("Unplanned"), tasks, NOW, cancelling=cancelling)
    assert rest == (None if left is None else timedelta(seconds=left))
    assert letting_go.until_let_go(execution("Planned"), tasks, NOW, cancelling=cancelling) is None
    let_go = letting_go.called_off if cancelling else letting_go.given_up
    assert (let_go(fencing_task, NOW) is not None) == (left == 0)


def test_what_was_fenced_stays_proved_and_the_rest_becomes_a_duty_that_says_why() -> None:
    resources = {"i-1": "Complete", "i-2": "InProgress", "i-3": "Failed"}
    status = given_up(resources=resources, since=timedelta(minutes=3))
    states = {r.id: (r.state, r.reason) for r in status.resources}
    assert states == {
        "i-1": ("Complete", ""),
        "i-2": ("Skipped", "FenceDeferred"),
        "i-3": ("Skipped", "FenceDeferred"),
    }
    assert status.state == "Complete"
    assert "2 of 3 not fenced" in status.message
    for part in ("111111111111, us-east-1", "cannot look at account"):
        assert part in status.resources[1].message


def test_a_task_of_which_aws_showed_nothing_defers_every_resource() -> None:
    blind = task(since=timedelta(minutes=3))
    blind = blind.model_copy(update={"status": blind.status.model_copy(update={"resources": []})})
    status = letting_go.given_up(blind, NOW)
    assert status is not None
    assert [(r.id, r.reason) for r in status.resources] == [("i-1", "FenceDeferred")]
    assert status.state == "Skipped"


# --- what people read --------------------------------------------------------------------------


def deferred(**fields: Any) -> DRTask:
    """A task that gave one of two servers up."""
    resources = {"i-1": "Complete", "i-2": "Skipped"}
    return task(state="Complete", resources=resources, reasons={"i-2": "FenceDeferred"}, **fields)


def test_approvers_read_how_much_is_fenced() -> None:
    (found,) = fencing.findings("w1", [deferred(), task(wave=2)])
    assert "1 of 2 fenced, 1 not" in found
    assert "prod (us-east-1)" in found
    assert fencing.findings("w1", [task("Instantiate")]) == []
    done = task(state="Complete", resources={"i-1": "Complete"})
    assert fencing.findings("w1", [done]) == ["Fence: 1 of 1 fenced"]


@pytest.mark.parametrize(
    ("before", "told"), [("Fence", []), ("Activate", ["Fence: 1 of 1 fenced"])]
)
def test_a_gate_before_the_fencing_does_not_count_what_is_fenced(
    before: str, told: list[str]
) -> None:
    done = task(state="Complete", resources={"i-1": "Complete"})
    frozen = FrozenGate.model_validate({"name": "wave-w1", "wave": "w1", "before": before})
    run = DRExecution.model_validate(
        {"metadata": {"name": "x"}, "spec": {"planRef": {"name": "x"}, "operation": "Failover"}}
    )
    asked = gates.ask(run, frozen, Stage("w1", 1, before, (done,)), [done], "", NOW)
    assert asked.findings == told


def test_a_run_leaves_its_duties_to_the_plan_and_takes_over_those_of_the_same_place() -> None:
    (duty,) = fencing.left_behind([], [deferred()], NOW)
    assert (duty.task, duty.count, duty.region) == ("shop-1-w1-fence-ec2-0", 1, "us-east-1")
    assert duty.examples[0].startswith("i-2: ")
    assert fencing.left_behind([duty], [task("Instantiate")], NOW) == [duty]
    done = task(state="Complete", resources={"i-2": "Complete"})
    assert fencing.left_behind([duty], [done], NOW) == []
    assert "1 resource may still write: prod (111111111111, us-east-1)" in fencing.summary([duty])


def test_a_duty_that_was_noted_while_the_run_lives_stays_as_it_was_seen_since() -> None:
    many = {f"i-{n}": "Skipped" for n in range(8)}
    run = task(state="Skipped", resources=many, reasons=dict.fromkeys(many, "FenceDeferred"))
    (duty,) = fencing.left_behind([], [run], NOW)
    assert fencing.returned([duty], [run]) == ""
    back = duty.model_copy(update={"seen": "Running"})
    for part in (False, True):
        assert fencing.left_behind([back], [run], NOW, part=part) == [back]
    said = fencing.returned([back], [run])
    assert said.startswith("the side that is left answers again and may serve: 8 resources")
    for place in ("111111111111", "us-east-1"):
        assert place in said
    assert fencing.returned([back], [deferred(wave=2)]) == ""


DONE = {"i-1": "Complete", "i-2": "Complete"}


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"state": "Complete", "resources": DONE}, False),
        ({"state": "NotStarted", "resources": {}}, True),
        ({"state": "NotStarted", "resources": dict.fromkeys(DONE, "NotStarted")}, True),
        ({"state": "Failed", "resources": {**DONE, "i-2": "Failed"}}, True),
        ({"state": "Failed", "resources": {**DONE, "i-3": "Failed"}}, False),
        ({"state": "Skipped", "resources": dict.fromkeys(DONE, "Skipped")}, True),
        ({"state": "Complete", "resources": {"i-2": "Complete"}}, True),
        ({"state": "Complete", "resources": {"i-3": "Complete", "i-4": "Complete"}}, True),
        ({"state": "Complete", "resources": DONE, "wave": 2}, True),
        ({"state": "Complete", "resources": DONE, "accountId": "222222222222"}, True),
        ({"state": "Complete", "resources": DONE, "region": "us-east-2"}, True),
        ({"state": "Complete", "resources": DONE, "phase": "Activate"}, True),
    ],
    ids=[
        "all of it is fenced", "cancelled before it began", "never looked at", "one of it failed",
        "another one failed", "a person left it out", "a part of it", "others", "another wave",
        "another account", "the other side", "another phase",
    ],
)  # fmt: skip
def test_a_duty_stays_until_all_of_it_was_fenced(fields: dict[str, Any], kept: bool) -> None:
    left = dict.fromkeys(DONE, "Skipped")
    given = task(state="Skipped", resources=left, reasons=dict.fromkeys(left, "FenceDeferred"))
    (duty,) = fencing.left_behind([], [given], NOW)
    assert fencing.left_behind([duty], [task(**fields)], NOW) == ([duty] if kept else [])


def test_of_a_duty_that_names_a_few_of_many_the_number_decides() -> None:
    many = {f"i-{n}": "Skipped" for n in range(8)}
    given = task(state="Skipped", resources=many, reasons=dict.fromkeys(many, "FenceDeferred"))
    (duty,) = fencing.left_behind([], [given], NOW)
    fenced = dict.fromkeys(many, "Complete")
    halves = [task(resources=dict(list(fenced.items())[i::2])) for i in (0, 1)]
    assert fencing.left_behind([duty], halves[:1], NOW) == [duty]
    assert fencing.left_behind([duty], halves, NOW) == []
    # A run of single resources may have fenced as many others.
    assert fencing.left_behind([duty], halves, NOW, part=True) == [duty]


def test_of_a_duty_that_names_all_a_run_of_a_part_makes_up_for_it() -> None:
    (duty,) = fencing.left_behind([], [deferred()], NOW)
    done = task(state="Complete", resources={"i-2": "Complete"})
    assert fencing.left_behind([duty], [done], NOW, part=True) == []


def test_what_is_given_up_again_is_one_duty_and_not_two() -> None:
    (duty,) = fencing.left_behind([], [deferred()], NOW)
    assert fencing.left_behind([duty], [deferred()], NOW) == [duty]


# --- what people decided -----------------------------------------------------------------------


def decided(reason: str, state: str = "Skipped") -> DRTask:
    """A task of which people left one out, or had it undone."""
    resources = {"i-1": "Skipped"} | ({"i-2": "Complete"} if state == "Complete" else {})
    return task(state=state, resources=resources, reasons={"i-1": reason})


@pytest.mark.parametrize("reason", ["LeftOut", "Undone"])
@pytest.mark.parametrize(
    ("activate", "duties"),
    [
        ([], 1),
        ([("drs", "Complete", "Complete")], 1),
        ([("drs", "InProgress", "InProgress")], 1),
        ([("drs", "NotStarted", "NotStarted")], 0),
        ([("drs", "Abandoned", "NotStarted")], 0),
        ([("drs", "Skipped", "Skipped")], 0),
        ([("manual", "Complete", "Complete")], 1),
        ([("drs", "Skipped", "Skipped"), ("manual", "Complete", "Complete")], 0),
    ],
    ids=[
        "no servers", "started", "being started", "not yet", "called off", "undone or left out",
        "by a person", "by a person after what was undone",
    ],
)  # fmt: skip
def test_what_people_left_out_is_a_duty_once_something_serves_on_the_other_side(
    reason: str, activate: list[tuple[str, str, str]], duties: int
) -> None:
    starts = [
        task("Activate", state, technology=technology, resources={"s-1": resource})
        for technology, state, resource in activate
    ]
    left = fencing.left_behind([], [decided(reason), *starts], NOW)
    assert len(left) == duties
    said = fencing.verdict(RecoveryPlanStatus(deferred_fence=left, location="Recovery"))
    assert (said or ("",))[0] == ("False" if duties else "True")


@pytest.mark.parametrize("reason", ["LeftOut", "Undone", "FenceDeferred"])
def test_whoever_recovers_the_wave_knows_what_may_still_write(reason: str) -> None:
    fence, start = decided(reason), task("Activate", "NotStarted")
    assert earlier(start, [fence, start]).unfenced == {"i-1"}
    assert "0 of 1 fenced, 1 not, which may still write" in fencing.findings("w1", [fence])[0]


def test_what_was_left_out_elsewhere_than_in_fencing_writes_nothing() -> None:
    other = task("Activate", "Skipped", resources={"s-1": "Skipped"}, reasons={"s-1": "LeftOut"})
    assert fencing.deferred(other) == []


def test_an_earlier_duty_of_which_people_left_out_all_is_the_new_run_s() -> None:
    (before,) = fencing.left_behind([], [deferred()], NOW)
    before = before.model_copy(update={"task": "shop-0-w1-fence-ec2-0", "execution": "shop-0"})
    left = task(state="Skipped", resources={"i-2": "Skipped"}, reasons={"i-2": "LeftOut"})
    serving = task("Activate", "Complete")
    assert [d.task for d in fencing.left_behind([before], [left, serving], NOW)] == [
        "shop-1-w1-fence-ec2-0"
    ]
    called_off = task("Activate", "Abandoned", resources={})
    assert fencing.left_behind([before], [left, called_off], NOW) == [before]


@pytest.mark.parametrize(
    ("reason", "state", "unplanned", "goes_on"),
    [
        ("Undone", "Skipped", False, False),
        ("Undone", "Complete", False, False),
        ("Undone", "Skipped", True, True),
        ("LeftOut", "Skipped", False, True),
        ("LeftOut", "Complete", False, True),
    ],
)
def test_a_planned_run_recovers_nothing_beside_what_people_started_again(
    reason: str, state: str, unplanned: bool, goes_on: bool
) -> None:
    fence = decided(reason, state)
    assert work(fence, launch(), unplanned=unplanned) == ["w1-instantiate"] * goes_on
    launched = [launch("Complete"), task("Activate", "NotStarted")]
    assert work(fence, *launched, unplanned=unplanned) == ["ask"] * goes_on


def test_what_waits_for_fencing_that_was_undone_waits_for_people() -> None:
    fence = decided("Undone")
    second = task(technology="manual", state="NotStarted", dependsOn=[fence.metadata.name])
    assert work(fence, second, launch(), unplanned=False) == []
    again = task(state="Retry", resources={"i-1": "NotStarted"})
    assert work(again, launch(), unplanned=False) == ["w1-fence"]


# --- its place in a run ------------------------------------------------------------------------


def work(*tasks: DRTask, unplanned: bool) -> list[str]:
    waves = [
        {"name": f"w{n}", "ordinal": n, "state": "NotStarted"}
        for n in sorted({t.spec.wave_ordinal for t in tasks})
    ]
    gates = [{"name": "go", "wave": "w1", "before": "Activate"}]
    run = DRExecution.model_validate(
        {
            "spec": {"planRef": {"name": "shop"}, "operation": "Failover"},
            "status": {"waves": waves, "frozenGates": gates},
        }
    )
    where = cursor("Failover", run.status, tasks, cancelling=False, unplanned=unplanned)
    names = [f"{t.spec.wave}-{t.spec.recovery_phase.lower()}" for t in where.work]
    return [*names, "ask"] if where.ask else names


def launch(state: str = "NotStarted") -> DRTask:
    return task("Instantiate", state)


def test_a_planned_run_launches_nothing_before_everything_is_fenced() -> None:
    assert work(task(), launch(), unplanned=False) == ["w1-fence"]
    fenced = task(state="Complete")
    assert work(fenced, launch(), unplanned=False) == ["w1-instantiate"]


def test_an_unplanned_run_launches_beside_its_fencing() -> None:
    assert work(task(), launch(), unplanned=True) == ["w1-fence", "w1-instantiate"]


def test_the_gate_before_activation_is_asked_once_fencing_is_over_one_way_or_the_other() -> None:
    launched, activate = launch("Complete"), task("Activate", "NotStarted")
    assert work(task(), launched, activate, unplanned=True) == ["w1-fence"]
    assert work(deferred(), launched, activate, unplanned=True) == ["ask"]


def test_an_unplanned_run_does_not_end_before_its_fencing() -> None:
    assert work(task(), launch("Complete"), unplanned=True) == ["w1-fence"]


def test_a_person_may_make_a_planned_run_unplanned() -> None:
    spec = {"planRef": {"name": "shop"}, "operation": "Failover", "mode": "Planned"}
    run = DRExecution.model_validate({"spec": spec})
    assert not fencing.unplanned(run)
    told = DRExecution.model_validate({"spec": spec, "status": {"unplanned": True}})
    assert fencing.unplanned(told)


# --- the frozen tasks --------------------------------------------------------------------------


def fences(build: Build, *servers: Any, **fields: Any) -> list[Any]:
    accounts = {**build.accounts(), "app": build.account("app", "222222222222")}
    plan = build.plan(accounts=[{"name": "prod"}, {"name": "app"}], **{"fence": STOP} | fields)
    frozen = freeze(build.execution(), plan, accounts, [build.inventory(*servers)])
    return [t for t in frozen.tasks if t.spec.recovery_phase == "Fence"]


def test_the_machines_that_servers_replicate_are_stopped_where_they_run(build: Build) -> None:
    (found,) = fences(build, build.server(1), build.server(2))
    assert found.name == "shop-1-w1-fence-ec2-111111111111-use1-0"
    spec = found.spec
    assert (spec.technology, spec.region, spec.fence_limit) == ("ec2", "us-east-1", "120s")
    assert [r.id for r in spec.resources] == ["i-00000000000000001", "i-00000000000000002"]
    assert spec.resources[0].arn == (
        "arn:aws:ec2:us-east-1:111111111111:instance/i-00000000000000001"
    )


def test_a_machine_is_stopped_in_the_account_that_it_is_in(build: Build) -> None:
    (found,) = fences(build, build.server(1, attributes={"originAccountId": "222222222222"}))
    assert (found.spec.account, found.spec.account_id) == ("app", "222222222222")


def test_what_is_no_machine_of_a_known_account_is_left_and_said(build: Build) -> None:
    outside = build.server(1, attributes={"originInstanceId": None})
    foreign = build.server(2, attributes={"originAccountId": "999999999999"})
    assert fences(build, outside, foreign) == []
    plan = build.plan(fence=STOP, status=build.ready())
    judged = preflight(
        build.execution(), plan, build.accounts(), [build.inventory(outside, foreign)],
        now=build.now, live_elsewhere={},
    )  # fmt: skip
    assert judged.refusals == ()
    assert any(f.startswith("NotFenced: 2 servers") for f in judged.findings)


def test_a_plan_may_leave_the_machines_running(build: Build) -> None:
    assert fences(build, build.server(1), fence={"servers": "Leave"}) == []


def test_a_drill_stops_nothing(build: Build) -> None:
    plan = build.plan(fence=STOP)
    execution = build.execution(operation="Test")
    frozen = freeze(execution, plan, build.accounts(), [build.inventory(build.server(1))])
    assert {t.spec.recovery_phase for t in frozen.tasks} == {"Instantiate", "Activate", "Cleanup"}

"""Schedules: when drills are due, which of them start, and what is said of the others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.planning.conftest import Build

from leeward.api.conditions import find
from leeward.api.execution import DRExecution
from leeward.api.schedule import DRSchedule, DRScheduleSpec
from leeward.planning.schedules import decisions, drills, record
from leeward.planning.schedules.decisions import MOST, Decision, Miss, Seen
from leeward.planning.schedules.occurrences import Calendar, CalendarError

DUE = datetime(2026, 3, 7, 2, 0, tzinfo=UTC)  # a Saturday
NAME = f"weekly-{int(DUE.timestamp()) // 60}"
HOUR = timedelta(hours=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def calendar(schedule: str, zone: str = "UTC", *blackouts: dict[str, Any]) -> Calendar:
    spec = {
        "planRef": {"name": "shop"}, "schedule": schedule, "timeZone": zone,
        "blackouts": list(blackouts),
    }  # fmt: skip
    return Calendar.of(DRScheduleSpec.model_validate(spec))


def schedule(
    status: dict[str, Any] | None = None, author: str = "ann@example.com", **spec: Any
) -> DRSchedule:
    annotations = {"leeward.dev/requested-by": author, "argocd.argoproj.io/tracking-id": "x"}
    metadata = {
        "name": "weekly", "namespace": "acme", "uid": "u-1", "generation": 2,
        "creationTimestamp": "2026-03-01T00:00:00Z", "labels": {"app": "shop"},
        "annotations": annotations if author else {},
    }  # fmt: skip
    body = {"planRef": {"name": "shop"}, "schedule": "0 2 * * 6", **spec}
    return DRSchedule.model_validate({"metadata": metadata, "spec": body, "status": status or {}})


def seen(
    build: Build,
    location: str = "Primary",
    busy: str = "",
    made: str = "",
    old: tuple[str, ...] = (),
) -> Seen:
    plan = build.plan(status={"location": location})
    return Seen(plan, busy, frozenset({made} if made else ()), old)


def fixed(start: str, end: str) -> dict[str, Any]:
    return {"name": "freeze", "type": "Fixed", "fixed": {"start": start, "end": end}}


def recurring(schedule: str, duration: str) -> dict[str, Any]:
    block = {"schedule": schedule, "duration": duration}
    return {"name": "month-end", "type": "Recurring", "recurring": block}


# --- When drills are due


@pytest.mark.parametrize(
    ("cron", "zone", "after", "until", "expected"),
    [
        ("0 2 * * 6", "UTC", "2026-03-01T00:00Z", "2026-03-14T02:00Z",
         ["2026-03-07T02:00Z", "2026-03-14T02:00Z"]),
        ("0 2 * * sat", "America/New_York", "2026-03-01T00:00Z", "2026-03-08T00:00Z",
         ["2026-03-07T07:00Z"]),
        # 29 March, 02:00 to 03:00 in Berlin is left out: the first minute after it.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00Z", "2026-03-30T12:00Z",
         ["2026-03-28T01:30Z", "2026-03-29T01:00Z", "2026-03-30T00:30Z"]),
        # 25 October, 02:00 to 03:00 comes twice: once.
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00Z", "2026-10-26T12:00Z",
         ["2026-10-25T00:30Z", "2026-10-26T01:30Z"]),
        # Looked at in the second of the two hours.
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10Z", "2026-10-26T12:00Z",
         ["2026-10-26T01:30Z"]),
        # What comes every hour keeps its pace.
        ("30 * * * *", "Europe/Berlin", "2026-10-25T00:00Z", "2026-10-25T03:00Z",
         ["2026-10-25T00:30Z", "2026-10-25T01:30Z", "2026-10-25T02:30Z"]),
        ("0 3 29 2 *", "UTC", "2026-01-01T00:00Z", "2030-01-01T00:00Z", ["2028-02-29T03:00Z"]),
        ("0 3 * * 6#1", "UTC", "2026-03-01T00:00Z", "2026-04-30T00:00Z",
         ["2026-03-07T03:00Z", "2026-04-04T03:00Z"]),
    ],
    ids=["weekly", "time zone", "skipped hour", "repeated hour", "in the repeated hour", "hourly",
         "leap day", "first Saturday"],
)  # fmt: skip
def test_when_drills_are_due(
    cron: str, zone: str, after: str, until: str, expected: list[str]
) -> None:
    assert calendar(cron, zone).due(at(after), at(until), 10) == [at(e) for e in expected]


@pytest.mark.parametrize(
    ("cron", "zone", "blackouts", "says"),
    [
        ("0 2 30 2 *", "UTC", (), "spec.schedule: '0 2 30 2 *' cannot be used"),
        ("0 0 2 * * *", "UTC", (), "it does not have five fields"),
        ("99 2 * * *", "UTC", (), "Bad minute"),
        ("0 2 * * 6", "Mars/Olympus", (), "spec.timeZone: 'Mars/Olympus' is no time zone"),
        ("0 2 * * 6", "../../etc/passwd", (), "is no time zone"),
        ("0 2 * * 6", "UTC", (recurring("0 0 32 * *", "1h"),),
         "spec.blackouts[month-end].recurring.schedule: '0 0 32 * *' cannot be used"),
        ("0 2 * * 6", "UTC", (fixed("yesterday", "2026-01-01T00:00:00Z"),),
         "spec.blackouts[freeze].fixed"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said_with_the_remedy(
    cron: str, zone: str, blackouts: tuple[dict[str, Any], ...], says: str
) -> None:
    with pytest.raises(CalendarError) as error:
        calendar(cron, zone, *blackouts)
    assert says in str(error.value)
    assert "write" in str(error.value)


@pytest.mark.parametrize(
    ("blackout", "moment", "covered"),
    [
        (fixed("2026-12-20T00:00:00Z", "2027-01-06T00:00:00Z"), "2026-12-19T23:59Z", False),
        (fixed("2026-12-20T00:00:00Z", "2027-01-06T00:00:00Z"), "2026-12-20T00:00Z", True),
        (fixed("2026-12-20T00:00:00Z", "2027-01-06T00:00:00Z"), "2027-01-06T00:00Z", False),
        # From 22:00 of the 28th, in Berlin, for four days.
        (recurring("0 22 28 * *", "96h"), "2026-03-28T20:59Z", False),
        (recurring("0 22 28 * *", "96h"), "2026-03-28T21:00Z", True),
        (recurring("0 22 28 * *", "96h"), "2026-04-01T20:59Z", True),
        (recurring("0 22 28 * *", "96h"), "2026-04-01T21:00Z", False),
    ],
)
def test_a_blackout_has_its_first_moment_and_not_its_last(
    blackout: dict[str, Any], moment: str, covered: bool
) -> None:
    name = calendar("0 2 * * *", "Europe/Berlin", blackout).blackout(at(moment))
    assert name == (blackout["name"] if covered else "")


def test_the_next_drill_is_the_first_outside_of_blackouts() -> None:
    dark = calendar("0 2 * * *", "UTC", fixed("2026-03-01T00:00:00Z", "2026-03-04T12:00:00Z"))
    assert dark.free(at("2026-03-01T00:00Z")) == at("2026-03-05T02:00Z")
    odd = calendar("0 2 * * *", "UTC", fixed("2026-03-01T00:00:00Z", "2026-03-04T02:00:00.5Z"))
    assert odd.free(at("2026-03-01T00:00Z")) == at("2026-03-05T02:00Z")
    # Two that meet, of a schedule of every minute.
    both = calendar(
        "* * * * *", "UTC", recurring("0 0 * * *", "12h"),
        {**recurring("0 12 * * 1-6", "12h"), "name": "second"},
    )  # fmt: skip
    assert both.free(at("2026-03-02T00:00Z")) == at("2026-03-08T12:00Z")
    ever = calendar("0 2 * * *", "UTC", recurring("0 0 * * *", "24h"))
    assert ever.free(at("2026-03-01T00:00Z")) is None


# --- From when on


@pytest.mark.parametrize(
    ("status", "edited", "expected"),
    [
        ({}, "2026-03-01T00:00Z", "2026-03-01T00:00Z"),
        ({"decidedTime": "2026-03-06T02:00:00Z", "observedGeneration": 2},
         "2026-03-02T00:00Z", "2026-03-06T02:00Z"),
        ({"decidedTime": "2026-03-06T02:00:00Z", "observedGeneration": 1},
         "2026-03-06T09:00Z", "2026-03-06T09:00Z"),
        ({"decidedTime": "2026-03-06T02:00:00Z", "observedGeneration": 1},
         None, "2026-03-06T02:00Z"),
    ],
    ids=["new", "as it was", "changed", "nobody noted when"],
)  # fmt: skip
def test_a_schedule_counts_from_its_making_its_change_or_what_was_decided_last(
    status: dict[str, Any], edited: str | None, expected: str
) -> None:
    changed = at(edited) if edited else None
    assert decisions.since(schedule(status), changed) == at(expected)


# --- Whether they start


def decide(
    build: Build, now: datetime, due: list[datetime] | None = None, **given: Any
) -> tuple[Decision, list[str]]:
    spec = given.pop("spec", {})
    author = given.pop("author", "ann@example.com")
    plan = given.pop("plan", True)
    made = schedule(author=author, **spec)
    what = seen(build, **given)
    if not plan:
        what = Seen(None, what.busy, what.made, what.old)
    decision = decisions.decide(made, Calendar.of(made.spec), due or [DUE], now, what)
    return decision, [miss.reason for miss in decision.missed]


@pytest.mark.parametrize(
    ("late", "given", "reasons"),
    [
        (0, {}, []),
        (600, {}, []),
        (601, {}, ["DeadlineExceeded"]),
        (601, {"spec": {"startingDeadlineSeconds": 3600}}, []),
        (601, {"made": NAME}, []),
        (0, {"location": "Recovery"}, ["PlanNotAtHome"]),
        (0, {"location": "Mixed"}, ["PlanNotAtHome"]),
        (0, {"location": "Unknown"}, ["PlanNotAtHome"]),
        (0, {"busy": "shop-1"}, ["PlanBusy"]),
        (0, {"busy": "shop-1", "made": NAME}, []),
        (0, {"plan": False}, ["PlanNotFound"]),
        (0, {"busy": "shop-1", "old": ("prod",)}, ["PlanBusy"]),
        (601, {"old": ("prod",)}, ["DeadlineExceeded"]),
        (0, {"old": ("prod",), "made": NAME}, []),
        (0, {"author": ""}, ["AuthorUnknown"]),
        (0, {"spec": {"blackouts": [recurring("0 0 * * 6", "24h")]}}, ["Blackout"]),
        (0, {"spec": {"blackouts": [recurring("0 0 * * 5", "24h")]}}, []),
    ],
    ids=[
        "in time", "at its deadline", "too late", "a later deadline", "made before a crash",
        "away", "half away", "nobody knows where", "another run", "its own before a crash",
        "no plan", "another run and nothing new", "nothing new in time", "made, and nothing new",
        "no author", "blackout", "another day's blackout",
    ],
)  # fmt: skip
def test_one_that_is_due_starts_or_is_said_to_be_missed(
    build: Build, late: int, given: dict[str, Any], reasons: list[str]
) -> None:
    decision, said = decide(build, DUE + timedelta(seconds=late), **given)
    assert said == reasons
    assert decision.start == (None if reasons else DUE)
    assert decision.until == DUE
    assert all(miss.count == 1 and miss.last == DUE and miss.message for miss in decision.missed)


def test_after_an_absence_it_waits_for_a_look_at_the_accounts(build: Build) -> None:
    due = [DUE - HOUR, DUE]
    now = DUE + timedelta(minutes=5)
    waiting, reasons = decide(build, now, due, old=("prod",))
    assert (waiting.start, waiting.waits, reasons) == (None, True, ["DeadlineExceeded"])
    assert DUE - HOUR <= waiting.until < DUE
    then, reasons = decide(build, now + timedelta(minutes=1), [DUE])
    assert (then.start, then.waits, reasons) == (DUE, False, [])


def test_after_an_absence_the_last_one_alone_starts(build: Build) -> None:
    due = [DUE - 3 * HOUR, DUE - 2 * HOUR, DUE - HOUR, DUE]
    earlier = f"weekly-{int((DUE - 2 * HOUR).timestamp()) // 60}"
    decision, reasons = decide(build, DUE + timedelta(minutes=5), due, made=earlier)
    assert (decision.start, reasons) == (DUE, ["DeadlineExceeded"])
    (missed,) = decision.missed
    assert (missed.count, missed.last) == (2, DUE - HOUR)


def test_after_a_long_absence_the_rest_is_left_to_the_next_pass(build: Build) -> None:
    due = [DUE + timedelta(minutes=n) for n in range(MOST + 1)]
    decision, reasons = decide(build, due[-1], due)
    assert (decision.start, decision.until) == (None, due[MOST - 1])
    assert (reasons, decision.missed[0].count) == (["DeadlineExceeded"], MOST)
    assert decisions.passed_over(due).until == due[MOST - 1]


# --- The drill


def test_a_drill_is_named_after_its_minute_and_asked_for_by_the_schedules_author() -> None:
    template = {
        "approvalMode": "Automatic", "waves": ["data"], "reason": "audit",
        "gates": [{"wave": "data", "before": "Cleanup"}],
    }  # fmt: skip
    made = schedule(template=template)
    assert drills.run_name(made, DUE) == NAME == drills.run_name(made, DUE)
    assert drills.metadata(made) == {
        "labels": {"leeward.dev/schedule": "weekly", "leeward.dev/schedule-uid": "u-1"},
        "annotations": {"leeward.dev/requested-by": "ann@example.com"},
    }
    spec = drills.spec_of(made, DUE)
    assert (spec.operation, spec.mode, spec.dry_run, spec.then) == ("Test", "Planned", "None", [])
    assert (spec.plan_ref.name, spec.approval_mode, spec.waves) == ("shop", "Automatic", ["data"])
    assert [(gate.wave, gate.before) for gate in spec.gates] == [("data", "Cleanup")]
    assert spec.reason == "schedule weekly, due 2026-03-07T02:00:00.000000Z: audit"
    assert spec.start_before == "2026-03-07T02:20:00.000000Z"


def test_an_execution_of_the_name_is_the_schedules_only_with_its_uid(build: Build) -> None:
    labels = drills.metadata(schedule())["labels"]
    run = build.execution(name=NAME)
    marked = run.metadata.model_copy(update={"labels": labels})
    assert drills.made_by(schedule(), run.model_copy(update={"metadata": marked}))
    assert not drills.made_by(schedule(), run)
    other = run.metadata.model_copy(update={"labels": {**labels, "leeward.dev/schedule-uid": "2"}})
    assert not drills.made_by(schedule(), run.model_copy(update={"metadata": other}))


# --- The status


def said(
    made: DRSchedule, decision: Decision | None = None, plan: bool = True, runs_here: bool = True
) -> Any:
    return record.decided(
        made, Calendar.of(made.spec), decision or Decision(DUE), DUE, plan=plan, runs_here=runs_here
    )


@pytest.mark.parametrize(
    ("made", "given", "expected"),
    [
        (schedule(), {}, ("True", "Scheduled", "")),
        (schedule(suspend=True), {}, ("True", "Suspended", "")),
        (schedule(), {"runs_here": False}, ("True", "OtherHub", "")),
        (schedule(), {"plan": False}, ("False", "PlanNotFound", "Reconciling")),
        (schedule(author=""), {}, ("False", "AuthorUnknown", "Stalled")),
        (schedule(blackouts=[recurring("0 0 * * *", "24h")]), {}, ("False", "Invalid", "Stalled")),
    ],
)
def test_conditions(made: DRSchedule, given: Any, expected: tuple[str, str, str]) -> None:
    status = said(made, **given)
    verdict, reason, other = expected
    ready = find(status.conditions, "Ready")
    assert (ready.status, ready.reason, status.observed_generation) == (verdict, reason, 2)
    assert {c.type for c in status.conditions} == {"Ready", other} - {""}
    expects_drills = reason in {"Scheduled", "PlanNotFound", "AuthorUnknown"}
    assert bool(status.next_schedule_time) == expects_drills
    assert status.message == ready.message


def test_a_schedule_recovers_from_what_could_not_be_read() -> None:
    broken = record.invalid(schedule(), "spec.schedule: it is not", DUE)
    assert {c.type: c.status for c in broken.conditions} == {"Ready": "False", "Stalled": "True"}
    mended = said(schedule(broken.to_api()))
    assert {c.type: c.status for c in mended.conditions} == {"Ready": "True"}


def test_what_is_missed_is_counted_and_the_last_of_it_shown() -> None:
    misses = (Miss(3, DUE - HOUR, "DeadlineExceeded", "late"), Miss(1, DUE, "PlanBusy", "busy"))
    first = said(schedule(), Decision(DUE, None, misses))
    assert first.missed.to_api() == {
        "count": 4, "lastTime": "2026-03-07T02:00:00.000000Z", "reason": "PlanBusy",
        "message": "busy",
    }  # fmt: skip
    assert first.last_schedule_time is None
    second = said(schedule(first.to_api()), Decision(DUE + HOUR, DUE + HOUR))
    assert second.missed == first.missed
    assert second.last_schedule_time == "2026-03-07T03:00:00.000000Z"
    assert second.decided_time == second.last_schedule_time


@pytest.mark.parametrize(
    ("state", "succeeded"), [("Succeeded", True), ("Failed", False), ("Expired", False)]
)
def test_a_drill_is_followed_to_its_end(build: Build, state: str, succeeded: bool) -> None:
    run = build.execution(name=NAME)
    living = record.started(schedule(), run, DUE)
    assert living.status.active is not None
    assert record.followed(living, run) == living
    status = {"state": state, "completionTime": "2026-03-07T03:00:00Z"}
    ended = record.followed(living, DRExecution.model_validate({**run.to_api(), "status": status}))
    assert ended.status.active is None
    assert ended.status.last_run is not None
    assert (ended.status.last_run.name, ended.status.last_run.state) == (NAME, state)
    assert (ended.status.last_successful_time is not None) == succeeded
    gone = record.followed(living, None)
    assert (gone.status.active, gone.status.last_run) == (None, None)

"""The times of a run, told as a sequence of passes at given seconds after its start."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from leeward.api.execution import DRExecution, DRExecutionStatus, WaveProgress
from leeward.api.plan_record import HistoryEntry
from leeward.api.run_times import RunObjectives, Wait, WaveTimes
from leeward.planning.durations import parse
from leeward.planning.runs.freeze import freeze
from leeward.planning.runs.record import Outcome, compose
from leeward.planning.runs.run_times import frozen_objectives, kept, remembered, wave_actuals
from leeward.planning.times import render_time

if TYPE_CHECKING:
    from tests.planning.conftest import Build

START = datetime.fromisoformat("2026-03-01T02:00:00Z")


def at(second: float) -> str:
    return render_time(START + timedelta(seconds=second))


@dataclass
class Run:
    """A run with waves `data` and `web`."""

    record: RunObjectives
    ended: dict[str, float] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)

    def passed(self, second: float, state: str, wave: str | None = "data", **ended: float) -> Run:
        """A pass comes to `state` at `wave`; waves named in `ended` are complete since then."""
        self.ended |= ended
        status = DRExecutionStatus(start_time=at(0), objectives=self.record)
        waves = [self._progress(number, name) for number, name in enumerate(("data", "web"), 1)]
        moment = START + timedelta(seconds=second)
        after = kept(status, waves, state, wave, moment)
        assert after is not None
        self.record = after
        return self

    def _progress(self, number: int, name: str) -> WaveProgress:
        ended = at(self.ended[name]) if name in self.ended else None
        state = self.states.get(name, "Complete" if ended else "InProgress")
        progress = {"name": name, "ordinal": number, "state": state, "completionTime": ended}
        return WaveProgress.model_validate(progress)

    def wave(self, name: str) -> WaveTimes:
        return next(w for w in self.record.waves if w.name == name)


def run(rto: str | None = None, **targets: str) -> Run:
    waves = [WaveTimes(name=n, rto_target=targets.get(n)) for n in ("data", "web")]
    return Run(RunObjectives(rto_target=rto, waves=waves))


def whole(span: str | None) -> float | None:
    return parse(span).total_seconds() if span else None


# --- what a run sets out with ------------------------------------------------------------------


def objectives(build: Build, *servers: Any, **plan: Any) -> RunObjectives:
    made = build.plan(**plan)
    frozen = freeze(build.execution(), made, build.accounts(), [build.inventory(*servers)])
    return frozen_objectives(made, frozen, "Failover")


def lagging(build: Build, number: int, lag: str | None, rpo: str = "", **fields: Any) -> Any:
    tags = {"dr:rpo-target": rpo} if rpo else {}
    return build.server(number, attributes={"lag": lag}, tags=tags, **fields)


def test_the_worst_lag_and_how_many_exceed_are_frozen(build: Build) -> None:
    record = objectives(
        build,
        lagging(build, 1, "PT4M"),
        lagging(build, 2, "PT11M23S"),
        lagging(build, 3, "PT6M", rpo="5"),
        lagging(build, 4, "PT30M", rpo="60", wave="web"),
        lagging(build, 5, None, wave="web"),
        lagging(build, 6, "soon", wave="web"),
        objectives={"rpo": "10m", "rto": "4h"},
    )
    assert (record.rpo_target, record.rto_target) == ("10m", "4h")
    assert record.lag is not None
    assert record.lag.to_api() == {
        "servers": 6, "worst": "30m", "worstServer": "srv-4", "above": 2, "unknown": 2
    }  # fmt: skip
    data, app, web = record.waves
    assert data.lag is not None
    assert (data.lag.servers, data.lag.worst, data.lag.above) == (3, "11m23s", 2)
    assert app.lag is None
    assert web.lag is not None
    assert (web.lag.servers, web.lag.worst, web.lag.above, web.lag.unknown) == (3, "30m", 0, 2)


def test_targets_and_lag_are_on_the_frozen_resource(build: Build) -> None:
    tags = {"dr:rpo-target": "15", "dr:rto-target": "90"}
    server = build.server(1, attributes={"lag": "PT4M"}, tags=tags)
    inventory = build.inventory(server, build.server(2))
    frozen = freeze(build.execution(), build.plan(), build.accounts(), [inventory])
    first, second = frozen.tasks[0].spec.resources
    assert (first.rpo_target, first.rto_target) == ("15m", "1h30m")
    assert first.attributes["lag"] == "PT4M"
    assert (second.rpo_target, second.rto_target) == (None, None)


def test_no_lag_at_all_is_a_lag_of_zero_and_not_unknown(build: Build) -> None:
    lag = objectives(build, lagging(build, 1, "P0D")).lag
    assert lag is not None
    assert (lag.worst, lag.above, lag.unknown) == ("0s", 0, 0)


def test_without_an_objective_nothing_is_above_it(build: Build) -> None:
    lag = objectives(build, lagging(build, 1, "P3D")).lag
    assert lag is not None
    assert (lag.worst, lag.above) == ("72h", 0)


def test_the_strictest_tag_is_the_waves_target(build: Build) -> None:
    servers = [
        build.server(n, tags={"dr:rto-target": rto} if rto else {})
        for n, rto in enumerate(("60", "15", "", "30"), 1)
    ]
    data, app, _ = objectives(build, *servers).waves
    assert (data.rto_target, app.rto_target) == ("15m", None)


def test_each_wave_with_work_has_an_estimate_and_the_run_their_sum(build: Build) -> None:
    record = objectives(build, build.server(1), build.server(2, wave="web"))
    data, app, web = (whole(w.estimated) for w in record.waves)
    assert app is None
    assert data is not None
    assert web is not None
    assert whole(record.estimated) == data + web


def test_a_run_of_dns_alone_has_no_lag(build: Build) -> None:
    record = objectives(build, waves=[{"name": "dns", "tasks": [build.dns_task()]}])
    assert record.lag is None
    assert record.waves[0].estimated is not None


# --- while it runs -----------------------------------------------------------------------------


def test_a_wave_lasts_from_the_end_of_the_one_before_it() -> None:
    story = run().passed(100, "Running", "web", data=100).passed(260, "Running", "web", web=250)
    assert [whole(story.wave(w).actual) for w in ("data", "web")] == [100, 150]
    assert [whole(story.wave(w).recovered_after) for w in ("data", "web")] == [100, 250]
    assert (whole(story.record.actual), whole(story.record.recovered_after)) == (250, 250)


@pytest.mark.parametrize(
    "state", ["WaitingForApproval", "WaitingForDecision", "Paused"]
)  # fmt: skip
def test_waiting_for_people_is_counted_apart(state: str) -> None:
    story = run().passed(10, "Running").passed(20, state).passed(50, state).passed(80, "Running")
    assert story.record.waiting is None
    story.passed(100, "Running", "web", data=100)
    assert whole(story.wave("data").waited) == 60
    assert whole(story.wave("data").actual) == 40
    assert whole(story.wave("data").recovered_after) == 100
    story.passed(130, "Succeeded", None, web=130)
    assert (whole(story.record.waited), whole(story.record.actual)) == (60, 70)


def test_a_gate_before_a_wave_counts_for_that_wave() -> None:
    story = run().passed(100, "Running", "data", data=100)
    story.passed(100, "WaitingForApproval", "web").passed(400, "Running", "web")
    story.passed(450, "Succeeded", None, web=450)
    assert [whole(story.wave(w).waited) for w in ("data", "web")] == [0, 300]
    assert [whole(story.wave(w).actual) for w in ("data", "web")] == [100, 50]


def test_one_wait_after_another_is_two_waits() -> None:
    story = run().passed(0, "WaitingForApproval").passed(10, "WaitingForDecision")
    waiting = story.record.waiting
    assert waiting is not None
    assert (waiting.since, waiting.what, waiting.wave) == (at(10), "Decision", "data")
    assert whole(story.record.waited) == 10
    assert whole(story.passed(25, "Cancelled", None).record.waited) == 25
    assert story.record.waiting is None


def test_a_wave_that_ends_during_a_pause_keeps_what_it_waited_until_then() -> None:
    story = run().passed(40, "Paused").passed(105, "Paused", data=100)
    assert (whole(story.wave("data").waited), whole(story.wave("data").actual)) == (60, 40)
    story.passed(200, "Running", "web")
    assert whole(story.wave("data").waited) == 60
    assert whole(story.record.waited) == 160


def test_waiting_before_the_clean_up_is_no_part_of_the_recovery() -> None:
    story = run("1h").passed(200, "Running", "web", data=100, web=200)
    story.passed(200, "WaitingForApproval", "web").passed(9000, "Running", "web")
    story.passed(9100, "Succeeded", None)
    assert (whole(story.record.recovered_after), whole(story.record.actual)) == (200, 200)
    assert story.record.rto == "Met"
    assert whole(story.wave("web").waited) == 0
    assert whole(story.record.waited) == 8800


def test_time_alone_writes_nothing() -> None:
    story = run("1h", data="30m").passed(10, "WaitingForApproval")
    before = story.record
    assert story.passed(60, "WaitingForApproval").record == before
    story.passed(70, "Running")
    before = story.record
    assert story.passed(120, "Running").record == before


@pytest.mark.parametrize(
    ("ended", "now", "verdict"),
    [
        ({}, 59, None),
        ({}, 60, None),
        ({}, 61, "Missed"),
        ({"data": 60}, 600, "Met"),
        ({"data": 61}, 61, "Missed"),
    ],
)
def test_a_waves_target_is_counted_from_the_start_of_the_run(
    ended: dict[str, float], now: float, verdict: str | None
) -> None:
    story = run(data="1m").passed(now, "Running", **ended)
    assert story.wave("data").rto == verdict
    assert story.wave("web").rto is None
    assert story.record.rto is None


def test_people_who_let_it_wait_can_miss_the_plans_target() -> None:
    story = run("5m").passed(100, "Running", "web", data=100)
    story.passed(100, "WaitingForApproval", "web").passed(350, "WaitingForApproval", "web")
    assert story.record.rto == "Missed"
    story.passed(360, "Running", "web").passed(400, "Succeeded", None, web=400)
    assert whole(story.record.actual) == 140
    assert story.record.rto == "Missed"


def test_what_people_do_with_a_wave_afterwards_changes_no_time() -> None:
    story = run("1h").passed(100, "Running", "web", data=100)
    story.states["data"] = "InProgress"  # some of it is launched anew
    story.passed(150, "Running", "web")
    story.states.clear()
    story.passed(400, "Succeeded", None, data=350, web=400)
    assert whole(story.wave("data").recovered_after) == 100
    assert whole(story.wave("web").actual) == 300


def test_a_wave_that_was_left_out_neither_keeps_nor_misses_its_target() -> None:
    story = run("1h", web="1m")
    story.states["web"] = "Skipped"
    story.passed(100, "Succeeded", None, data=100)
    assert story.wave("web").rto is None
    assert whole(story.record.recovered_after) == 100
    assert story.record.rto == "Met"


def test_a_pass_over_a_run_keeps_its_times() -> None:
    execution = DRExecution.model_validate(
        {
            "spec": {"planRef": {"name": "shop"}, "operation": "Failover"},
            "status": {"startTime": at(0), "objectives": run().record.to_api()},
        }
    )
    outcome = Outcome("WaitingForDecision", "TasksFailed", "words", "web", "Activate")
    status = compose(execution, [], outcome, START + timedelta(seconds=7))
    assert status.objectives is not None
    assert status.objectives.waiting == Wait(since=at(7), what="Decision", wave="web")


def test_a_run_that_was_refused_has_no_times() -> None:
    assert kept(DRExecutionStatus(), [], "Failed", None, START) is None


# --- afterwards --------------------------------------------------------------------------------


def entry(number: int, *seconds: int) -> HistoryEntry:
    waves = [{"name": f"w{n}", "seconds": took} for n, took in enumerate(seconds)]
    return HistoryEntry.model_validate(
        {
            "name": f"r-{number}", "uid": str(number), "operation": "Test", "state": "Succeeded",
            "completionTime": at(number), "waves": waves,
        }
    )  # fmt: skip


@pytest.mark.parametrize(("succeeded", "expected"), [("True", [("data", 100)]), ("False", [])])
def test_only_a_run_that_succeeded_teaches(succeeded: str, expected: list[Any]) -> None:
    record = run().passed(110, "Running", "web", data=100.4).record
    condition = {
        "type": "Succeeded", "status": succeeded, "reason": "x", "lastTransitionTime": at(0)
    }  # fmt: skip
    status = DRExecutionStatus.model_validate(
        {"objectives": record.to_api(), "conditions": [condition]}
    )
    assert [(w.name, w.seconds) for w in wave_actuals(status)] == expected


def test_a_wave_that_found_servers_recovered_teaches_nothing(build: Build) -> None:
    instance = {"recoveryInstanceId": "i-1", "recoveryInstanceDrill": "false"}
    drill = {"recoveryInstanceId": "i-2", "recoveryInstanceDrill": "true"}
    record = objectives(
        build,
        build.server(1, attributes=instance),
        build.server(2, attributes=drill),
        build.server(3, attributes=drill, wave="web"),
    )
    assert [w.adopted for w in record.waves] == [1, 0, 0]
    waves = [w.model_copy(update={"actual": "1m"}) for w in record.waves]
    condition = {
        "type": "Succeeded", "status": "True", "reason": "x", "lastTransitionTime": at(0)
    }  # fmt: skip
    status = DRExecutionStatus.model_validate(
        {"objectives": {"waves": [w.to_api() for w in waves]}, "conditions": [condition]}
    )
    assert [w.name for w in wave_actuals(status)] == ["app", "web"]


def test_five_runs_keep_their_times_and_all_their_names() -> None:
    history: list[HistoryEntry] = []
    for number in range(8):
        seconds = () if number == 6 else (60, 70)
        history = remembered(history, entry(number, *seconds))
    assert [e.name for e in history] == [f"r-{n}" for n in range(8)]
    assert [bool(e.waves) for e in history] == [
        False, False, True, True, True, True, False, True
    ]  # fmt: skip

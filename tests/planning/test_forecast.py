from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from leeward.api.plan_record import HistoryEntry
from leeward.planning.estate.inventory import PART, chunks
from leeward.planning.runs import forecast as module
from leeward.planning.runs.forecast import CALL, FIGURES, SEEN, Forecast, forecast
from leeward.planning.runs.freeze import CHUNK, freeze
from leeward.planning.runs.waves import CLOSING, PHASES
from leeward_adapters import drs_jobs, quotas
from leeward_sandbox.aws import ec2_states
from leeward_sandbox.aws.drs import timing

if TYPE_CHECKING:
    from tests.planning.conftest import Build

LAUNCH = FIGURES["drs", "Instantiate"].seconds
START = FIGURES["drs", "Activate"].seconds + SEEN
DNS = FIGURES["route53", "Activate"].seconds + SEEN
ADOPTED = {"recoveryInstanceId": "i-1", "recoveryInstanceDrill": "false"}
DRILL = {"recoveryInstanceId": "i-1", "recoveryInstanceDrill": "true"}

UNFINISHED = {"retiredInstanceId": "i-1", "failbackInstanceId": "i-2"}


def foreseen(
    build: Build,
    servers: Sequence[dict[str, Any]],
    operation: str = "Failover",
    history: Sequence[HistoryEntry] = (),
    mode: str = "Planned",
    **plan: Any,
) -> Forecast:
    frozen = freeze(
        build.execution(operation=operation, mode=mode), build.plan(**plan), build.accounts(),
        [build.inventory(*part, part=n) for n, part in enumerate(chunks(servers, PART))],
        leading={"drs"},
    )  # fmt: skip
    return forecast(operation, frozen, history)


def ran(operation: str, number: int, **seconds: int) -> HistoryEntry:
    waves = [{"name": wave, "seconds": took} for wave, took in seconds.items()]
    return HistoryEntry.model_validate(
        {
            "name": f"r-{number}", "uid": str(number), "operation": operation, "state": "Succeeded",
            "completionTime": "2026-03-01T00:00:00Z", "waves": waves,
        }
    )  # fmt: skip


def seconds(span: timedelta | None) -> float:
    assert span is not None
    return span.total_seconds()


def test_the_figures_are_those_of_aws_and_of_the_sandbox() -> None:
    launch = timing.launch_times(1.0, cleanup=False, fast=False)
    assert launch.launch_end + timing.JOB_END_AFTER_LAST_SERVER == LAUNCH
    healthy = ec2_states.STARTING + ec2_states.CHECKING
    assert healthy.total_seconds() == FIGURES["drs", "Activate"].seconds
    assert module.JOB_SERVERS == drs_jobs.BATCH == CHUNK
    assert quotas.DRS_JOBS.documented == module.JOBS
    assert quotas.DRS_SERVERS_IN_JOBS.documented == module.SERVERS


@pytest.mark.parametrize(
    ("servers", "jobs", "rounds"),
    [(1, 1, 1), (100, 1, 1), (101, 2, 1), (500, 5, 1), (501, 6, 2), (1000, 10, 2), (1001, 11, 3)],
)
def test_servers_are_packed_into_jobs_within_the_quotas(
    build: Build, servers: int, jobs: int, rounds: int
) -> None:
    known = [build.server(n) for n in range(1, servers + 1)]
    seen = foreseen(build, known)
    assert seen.jobs == jobs
    expected = servers * CALL + rounds * LAUNCH + SEEN
    assert seconds(seen.stages[0].duration) == round(expected)


def test_a_first_drill_takes_seven_calls_for_each_server(build: Build) -> None:
    seen = foreseen(build, [build.server(n) for n in range(1, 101)], "Test")
    assert seconds(seen.stages[0].duration) == round(100 * 7 * CALL + LAUNCH + SEEN)


def test_launch_settings_take_calls_of_their_own(build: Build) -> None:
    launch = {"instanceType": "m5.large"}
    seen = foreseen(build, [build.server(n, launch=launch) for n in range(1, 101)])
    assert seconds(seen.stages[0].duration) == round(100 * 6 * CALL + LAUNCH + SEEN)


def test_a_task_is_split_where_a_quota_leaves_room_for_a_part_of_it(build: Build) -> None:
    servers = [build.server(n) for n in range(1, 501)]
    frozen = freeze(build.execution(), build.plan(), build.accounts(), [build.inventory(*servers)])
    first, *others = frozen.tasks[:5]
    small = first.spec.model_copy(update={"resources": first.spec.resources[:60]})
    more = replace(first, name="more")
    tasks = (replace(first, spec=small), *others, more)
    seen = forecast("Failover", replace(frozen, tasks=tasks), [])
    # 60 and 4 x 100 servers at once, 40 more within the quota of 500, the other 60 a round later.
    assert seen.jobs == 7
    assert seconds(seen.duration) == round(560 * CALL + 2 * LAUNCH + SEEN)


def test_accounts_launch_side_by_side(build: Build) -> None:
    other = "222222222222"
    accounts = {"prod": build.account(), "dr": build.account("dr", other)}
    plan = build.plan(accounts=[{"name": "prod"}, {"name": "dr"}])
    inventories = [
        build.inventory(*(build.server(n) for n in range(1, 301))),
        build.inventory(build.server(900, accountId=other), account="dr", accountId=other),
    ]
    frozen = freeze(build.execution(), plan, accounts, inventories)
    stage = forecast("Failover", frozen, []).stages[0]
    assert stage.jobs == {("drs", "prod", "us-east-2"): 3, ("drs", "dr", "us-east-2"): 1}
    assert seconds(stage.duration) == round(300 * CALL + LAUNCH + SEEN)
    assert stage.dominated_by == "3 drs jobs in prod (111111111111, us-east-2)"


@pytest.mark.parametrize(
    ("operation", "instance", "jobs"),
    [
        ("Failover", ADOPTED, 1),
        ("Failover", UNFINISHED, 1),
        ("Failover", DRILL, 2),
        ("Test", DRILL, 2),
    ],
)
def test_what_was_recovered_before_needs_no_job(
    build: Build, operation: str, instance: dict[str, str], jobs: int
) -> None:
    servers = [build.server(n, attributes=instance if n > 50 else {}) for n in range(1, 151)]
    # 50 of the first chunk are new, and all of the second were recovered before.
    assert foreseen(build, servers, operation).jobs == jobs


def test_an_estate_that_was_recovered_is_only_looked_at(build: Build) -> None:
    seen = foreseen(build, [build.server(1, attributes=ADOPTED)])
    assert seen.jobs == 0
    assert seconds(seen.stages[0].duration) == round(CALL + SEEN)


def test_waves_and_phases_follow_each_other_and_a_test_cleans_up_last(build: Build) -> None:
    servers = [build.server(1), build.server(2, wave="web")]
    seen = foreseen(build, servers, "Test")
    expected = [(w, p) for w in ("data", "web") for p in PHASES["Test"]]
    expected += [(w, p) for w in ("web", "data") for p in CLOSING["Test"]]
    assert [(s.wave, s.phase) for s in seen.stages] == expected
    ends = [s.end for s in seen.stages]
    assert [s.start for s in seen.stages] == [timedelta(), *ends[:-1]]
    assert seen.duration == ends[-1]
    assert seen.recovered_after == ends[len(expected) - 3]
    assert seen.wave("app") is None
    both = [seen.wave("data"), seen.wave("web")]
    assert sum(map(seconds, both)) == seconds(seen.recovered_after)


def test_dns_is_switched_after_the_servers_of_its_phase(build: Build) -> None:
    tasks = [build.dns_task("www"), build.dns_task("api", dependsOn=["www"])]
    waves = [{"name": "data", "tasks": tasks}]
    stage = foreseen(build, [build.server(1)], waves=waves).stages[-1]
    assert seconds(stage.duration) == START + 2 * DNS
    assert stage.dominated_by == (
        "1 drs resource in prod (111111111111, us-east-2), then www (1 route53 resource), then "
        "api (1 route53 resource)"
    )


def test_a_test_loses_no_time_over_dns_that_it_leaves_alone(build: Build) -> None:
    waves = [{"name": "data", "tasks": [build.dns_task()]}]
    stage = foreseen(build, [build.server(1)], "Test", waves=waves).stages[1]
    assert seconds(stage.duration) == START
    assert "switch" not in stage.dominated_by


# --- earlier runs ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([ran("Failover", 1, data=1200)], 1200),
        ([ran("Failover", n, data=n * 100) for n in (1, 2, 3, 9)], 300),
        ([ran("Test", 1, data=900)], 900),
        ([ran("Failover", 1, data=1200), ran("Test", 2, data=900)], 1200),
        ([ran("Failover", 1, data=1200), ran("Failover", 2)], 1200),
    ],
    ids=["one", "median of the newest three", "a drill", "alike before newer", "without times"],
)
def test_a_wave_takes_what_it_took_before(
    build: Build, history: list[HistoryEntry], expected: int
) -> None:
    plain = foreseen(build, [build.server(1)])
    seen = foreseen(build, [build.server(1)], history=history)
    assert seconds(seen.wave("data")) == pytest.approx(expected, abs=1)
    assert {s.basis for s in seen.stages} == {"History"}
    share = [seconds(s.duration) / seconds(seen.duration) for s in seen.stages]
    assert share == pytest.approx(
        [seconds(s.duration) / seconds(plain.duration) for s in plain.stages], abs=0.01
    )


def test_a_wave_without_history_keeps_the_figures(build: Build) -> None:
    servers = [build.server(1), build.server(2, wave="web")]
    seen = foreseen(build, servers, "Test", [ran("Test", 1, data=60)])
    assert [s.basis for s in seen.stages] == [
        "History", "History", "Figures", "Figures", "Figures", "Figures"
    ]  # fmt: skip
    assert seconds(seen.stages[-1].duration) == FIGURES["drs", "Cleanup"].seconds + SEEN


def test_a_wave_that_a_test_leaves_alone_takes_no_time_whatever_it_took(build: Build) -> None:
    waves = [{"name": "data"}, {"name": "dns", "tasks": [build.dns_task()]}]
    seen = foreseen(build, [build.server(1)], "Test", [ran("Failover", 1, dns=60)], waves=waves)
    assert seen.wave("dns") == timedelta()


# --- what is not in its turn -------------------------------------------------------------------

STOP = {"servers": "Stop"}
FENCED = FIGURES["ec2", "Fence"].seconds + SEEN


def test_a_planned_run_waits_for_its_fencing(build: Build) -> None:
    fence, launch, _ = foreseen(build, [build.server(1)], fence=STOP).stages
    assert (fence.phase, seconds(fence.duration)) == ("Fence", FENCED)
    assert launch.start == fence.end


@pytest.mark.parametrize(("limit", "expected"), [("2m", FENCED), ("20s", 20)])
def test_an_unplanned_run_fences_beside_its_launches(
    build: Build, limit: str, expected: float
) -> None:
    servers = [build.server(1), build.server(2, wave="web")]
    seen = foreseen(build, servers, mode="Unplanned", fence=STOP | {"timeLimit": limit})
    stages = {(s.wave, s.phase): s for s in seen.stages}
    for wave in ("data", "web"):
        assert seconds(stages[wave, "Fence"].duration) == expected
        assert stages[wave, "Fence"].start == stages[wave, "Instantiate"].start
    assert stages["web", "Fence"].start == stages["data", "Activate"].end
    without = foreseen(build, servers, mode="Unplanned")
    assert seen.recovered_after == without.recovered_after


def test_what_is_prewarmed_begins_with_the_run(build: Build) -> None:
    servers = [build.server(1), build.server(2, wave="web")]
    waves = [{"name": "data"}, {"name": "web", "prewarm": "WhenInert"}]
    seen = foreseen(build, servers, waves=waves)
    launch = next(s for s in seen.stages if (s.wave, s.phase) == ("web", "Instantiate"))
    assert launch.start == timedelta()
    assert seconds(seen.wave("web")) == START
    gate = {"gates": [{"before": "Instantiate"}]}
    held = foreseen(build, servers, waves=[waves[0], waves[1] | gate])
    assert held.recovered_after > seen.recovered_after


def test_what_people_do_takes_no_time_of_the_run(build: Build) -> None:
    call = {"name": "call", "type": "Manual", "manual": {"instructions": "Call the bank."}}
    waves = [{"name": "data", "tasks": [call]}]
    seen = foreseen(build, [build.server(1)], waves=waves)
    assert seen.recovered_after == foreseen(build, [build.server(1)]).recovered_after


def test_nothing_takes_no_time(build: Build) -> None:
    seen = foreseen(build, [])
    assert (seen.duration, seen.recovered_after, seen.jobs) == (timedelta(), timedelta(), 0)

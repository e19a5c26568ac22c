from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from leeward.api.execution import DRExecution, WaveProgress
from leeward.api.plan import Tolerance
from leeward.api.task import DRTask
from leeward.planning.runs.earlier import left_out
from leeward.planning.runs.tolerance import criticality, required, tolerated, within
from leeward.planning.runs.verdict import verdict
from leeward.planning.runs.waves import cursor


def task(
    phase: str, states: Mapping[str, str], optional: Sequence[str] = (), wave: int = 1
) -> DRTask:
    """A task whose resources are in these states."""
    spec = {
        "executionRef": {"name": "shop-1", "uid": "u-1"},
        "plan": "shop",
        "operation": "Failover",
        "mode": "Planned",
        "wave": f"w{wave}",
        "waveOrdinal": wave,
        "recoveryPhase": phase,
        "technology": "ec2" if phase == "Fence" else "drs",
        "account": "prod",
        "accountId": "111111111111",
        "region": "us-east-2",
        "sourceRegion": "us-east-1",
        "resources": [
            {
                "id": i,
                "arn": f"arn:{i}",
                "criticality": "Optional" if i in optional else "Critical",
            }
            for i in states
        ],
    }
    ended = [s for s in states.values() if s != "NotStarted"]
    state = "Failed" if "Failed" in ended else "Complete" if ended else "NotStarted"
    status = {"state": state, "resources": [{"id": i, "state": s} for i, s in states.items()]}
    metadata = {"name": f"w{wave}-{phase.lower()}"}
    return DRTask.model_validate({"metadata": metadata, "spec": spec, "status": status})


def servers(failed: int, of: int = 10) -> dict[str, str]:
    return {f"s-{n}": "Failed" if n < failed else "Complete" for n in range(of)}


def wave(**fields: Any) -> WaveProgress:
    return WaveProgress.model_validate({"name": "w1", "ordinal": 1, "state": "NotStarted"} | fields)


@pytest.mark.parametrize(
    ("least", "of", "number"),
    [
        (None, 10, None),
        ("95%", 10, 10),
        ("90%", 10, 9),
        ("0%", 10, 0),
        ("100%", 10, 10),
        (3, 10, 3),
        (30, 10, 10),
        ("3", 10, 3),
    ],
)
def test_how_many_must_succeed_is_fixed_when_the_run_begins(
    least: str | int | None, of: int, number: int | None
) -> None:
    tasks = [task("Instantiate", servers(0, of)), task("Activate", servers(0, of))]
    tolerance = Tolerance(min_success=least)
    assert required(tolerance, [t.spec for t in tasks]) == number


def test_what_is_optional_and_what_is_fenced_is_not_among_those_that_must_succeed() -> None:
    tasks = [
        task("Fence", {"i-1": "Complete"}),
        task("Instantiate", servers(0, 4), optional=["s-0"]),
    ]
    assert required(Tolerance(min_success="100%"), [t.spec for t in tasks]) == 3


@pytest.mark.parametrize(
    ("optional", "found"), [([], "Critical"), (["s-1"], "Optional"), (["arn:s-1"], "Optional")]
)
def test_a_resource_is_optional_by_id_or_arn(optional: list[str], found: str) -> None:
    assert criticality(Tolerance(optional=optional), "s-1", "arn:s-1") == found


@pytest.mark.parametrize(
    ("least", "failed", "fine"), [(None, 0, True), (None, 1, False), (9, 1, True), (9, 2, False)]
)
def test_a_wave_is_through_while_enough_of_it_succeeds(
    least: int | None, failed: int, fine: bool
) -> None:
    tasks = [task("Instantiate", servers(failed))]
    assert within(wave(required=least), tasks) == fine
    assert tolerated([wave(required=least)], tasks) == (
        frozenset({"w1-instantiate"}) if fine and failed else frozenset()
    )


def test_failures_of_one_server_in_two_phases_count_once() -> None:
    activate = {i: "Failed" if i == "s-0" else "Complete" for i in servers(0)}
    tasks = [task("Instantiate", servers(1)), task("Activate", activate)]
    assert within(wave(required=9), tasks)


def test_the_failure_of_an_optional_resource_does_not_count() -> None:
    tasks = [task("Instantiate", servers(2), optional=["s-0", "s-1"])]
    assert within(wave(), tasks)
    assert not within(wave(), [task("Instantiate", servers(2), optional=["s-0"])])


def test_fencing_is_never_tolerated_half() -> None:
    fence = task("Fence", {"i-0": "Failed", "i-1": "Complete"})
    assert tolerated([wave(required=0)], [fence]) == frozenset()


def run(tasks: Sequence[DRTask], least: int | None) -> DRExecution:
    waves = [
        {"name": f"w{n}", "ordinal": n, "state": "NotStarted"}
        for n in sorted({t.spec.wave_ordinal for t in tasks})
    ]
    waves[0]["required"] = least
    spec = {"planRef": {"name": "shop"}, "operation": "Failover"}
    return DRExecution.model_validate(
        {"metadata": {"name": "shop-1"}, "spec": spec, "status": {"waves": waves}}
    )


def test_a_run_goes_on_within_the_tolerance_and_leaves_out_what_failed() -> None:
    tasks = [
        task("Instantiate", servers(1)),
        task("Activate", dict.fromkeys(servers(0), "NotStarted")),
    ]
    held = cursor("Failover", run(tasks, None).status, tasks, cancelling=False)
    assert [t.metadata.name for t in held.stuck] == ["w1-instantiate"]
    on = cursor("Failover", run(tasks, 9).status, tasks, cancelling=False)
    assert [t.metadata.name for t in on.work] == ["w1-activate"]
    assert [(r.id, r.state, r.reason) for r in left_out(tasks[1], tasks)] == [
        ("s-0", "Skipped", "Tolerated")
    ]


def test_a_success_within_the_tolerance_counts_and_names_what_failed() -> None:
    tasks = [task("Instantiate", servers(1))]
    outcome = verdict(run(tasks, 9), tasks)
    assert (outcome.state, outcome.reason) == ("Succeeded", "WithinTolerance")
    assert "1 failed within the plan's tolerance: s-0" in outcome.message
    assert verdict(run(tasks, None), tasks).state == "Failed"

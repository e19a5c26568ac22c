"""What a drill proves, and what has changed since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from leeward.api.execution import DRExecution, DRExecutionStatus
from leeward.api.plan import RecoveryPlan
from leeward.api.task import DRTask
from leeward.planning.estate.inventory import located
from leeward.planning.plans import drill
from leeward.planning.plans.plan_status import assess
from leeward.planning.runs.freeze import freeze

if TYPE_CHECKING:
    from tests.planning.conftest import Build

Fields = dict[str, Any]
ENDED = "2026-02-01T03:00:00Z"
HOW = {"attributes": {"launchSettings": "aaaa1111"}}


def ended(run: DRExecution, **status: Any) -> DRExecution:
    known = DRExecutionStatus.model_validate({"state": "Succeeded", **status})
    return run.model_copy(update={"status": known})


def drilled(build: Build, *servers: Fields, quotas: Fields | None = None) -> Fields:
    """Status of a plan whose drill of these servers passed."""
    run = ended(build.execution(name="drill-1", operation="Test"), planGeneration=3)
    inventories = [build.inventory(*servers, quotas=quotas or {})]
    frozen = freeze(run, build.plan(), build.accounts(), inventories, leading=frozenset())
    tasks = [
        DRTask.model_validate(
            {"metadata": {"name": t.name, "namespace": "acme"}, "spec": t.spec.to_api()}
        )
        for t in frozen.tasks
    ]
    last = drill.baseline(run, tasks, inventories, ENDED)
    return build.ready(lastDrill=last.to_api())


def changes(build: Build, plan: RecoveryPlan, *servers: Fields, **status: Any) -> list[str]:
    inventories = [build.inventory(*servers, **status)]
    return drill.changes(plan, located(inventories), inventories)


def test_nothing_has_changed_right_after_a_drill(build: Build) -> None:
    servers = [build.server(n, **HOW) for n in (1, 2)]
    plan = build.plan(status=drilled(build, *servers, quotas={"L-1": 5}))
    assert changes(build, plan, *servers, quotas={"L-1": 5}) == []


@pytest.mark.parametrize(
    ("now", "quotas", "said"),
    [
        ([1, 2, 3], {"L-1": 5}, "1 resource joined: srv-3"),
        ([1], {"L-1": 5}, "1 resource left account prod"),
        ([1, 2], {"L-1": 4}, "quota L-1 of account prod is 4, it was 5"),
    ],
)
def test_each_difference_is_a_line(build: Build, now: list[int], quotas: Fields, said: str) -> None:
    plan = build.plan(status=drilled(build, *map(build.server, (1, 2)), quotas={"L-1": 5}))
    (line,) = changes(build, plan, *map(build.server, now), quotas=quotas)
    assert said in line


def test_a_server_that_would_be_launched_otherwise_is_named(build: Build) -> None:
    plan = build.plan(status=drilled(build, build.server(1, **HOW), build.server(2, **HOW)))
    other = build.server(2, attributes={"launchSettings": "bbbb1111"})
    (line,) = changes(build, plan, build.server(1, **HOW), other)
    assert "launch settings of 1 server changed: srv-2" in line


@pytest.mark.parametrize(("then", "now"), [({}, HOW), (HOW, {})])
def test_launch_settings_that_are_not_known_are_not_compared(
    build: Build, then: Fields, now: Fields
) -> None:
    plan = build.plan(status=drilled(build, build.server(1, **then)))
    assert changes(build, plan, build.server(1, **now)) == []


def test_a_newer_spec_was_not_rehearsed(build: Build) -> None:
    plan = build.plan(status=drilled(build, build.server(1)))
    newer = plan.model_copy(update={"metadata": plan.metadata.model_copy(update={"generation": 4})})
    (line,) = changes(build, newer, build.server(1))
    assert line == "the plan's spec is of generation 4, the drill's was of 3"


@pytest.mark.parametrize(
    ("spec", "state", "counts"),
    [
        ({"operation": "Test"}, "Succeeded", True),
        ({"operation": "Test"}, "Failed", False),
        ({"operation": "Test", "waves": ["data"]}, "Succeeded", False),
        ({"operation": "Test", "dryRun": "Plan"}, "Succeeded", False),
        ({"operation": "Failover"}, "Succeeded", False),
    ],
)
def test_only_a_whole_drill_that_passed_counts(
    build: Build, spec: Fields, state: Any, counts: bool
) -> None:
    assert drill.passed_whole(ended(build.execution(**spec), state=state)) is counts


def test_a_thousand_servers_take_little_room(build: Build) -> None:
    status = drilled(build, *(build.server(n, **HOW) for n in range(1, 501)))
    assert len(str(status["lastDrill"])) < 6_000


@pytest.mark.parametrize(
    ("status", "now", "expected"),
    [
        (False, [1], "False NeverDrilled"),
        (True, [1], "True DrillPassed"),
        (True, [1, 2], "False ChangedSinceDrill"),
    ],
)
def test_the_plan_says_whether_its_drill_is_current(
    build: Build, status: bool, now: list[int], expected: str
) -> None:
    plan = build.plan(status=drilled(build, build.server(1)) if status else build.ready())
    known = assess(
        plan, build.accounts(), [build.inventory(*map(build.server, now))],
        now=build.now, valid=[], previous=plan.status, adapters=frozenset({"drs"}),
    )  # fmt: skip
    (found,) = [c for c in known.conditions if c.type == "DrillCurrent"]
    assert f"{found.status} {found.reason}" == expected
    assert known.last_drill == plan.status.last_drill
    assert known.changed_since_drill == drill.changes(
        plan, located([build.inventory(*map(build.server, now))]), []
    )

"""`unplanned` and `adopt`: each has a state of the run in which alone it means something."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.cluster

World = Any  # conftest.World
DUTY = "operator-on-duty@example.com"


def waiting_for(reason: str, status: str = "True") -> dict[str, Any]:
    found = {"type": "WaitingForDecision", "status": status, "reason": reason}
    return found | {"lastTransitionTime": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize("fields", [{}, {"unplanned": False}], ids=["untold", "told"])
def test_a_planned_run_is_switched_to_unplanned(world: World, fields: dict[str, Any]) -> None:
    run = world.execution(mode="Planned")
    world.status(run, **fields)
    assert world.duty.annotate(run, unplanned=f"{DUTY}: the Region is gone").ok


def test_a_run_is_switched_before_the_operator_took_it_up(world: World) -> None:
    manifest = world.manifest()
    assert world.duty.create("drexecutions", manifest).ok
    assert world.duty.annotate(manifest["metadata"]["name"], unplanned=DUTY).ok


def test_an_unplanned_run_is_not_switched(world: World) -> None:
    begun = world.execution(mode="Unplanned")
    switched = world.execution()
    world.status(switched, unplanned=True)
    for run in (begun, switched):
        answer = world.duty.annotate(run, unplanned=DUTY)
        assert answer.status == 422
        assert "is Unplanned already, leeward.dev/unplanned would change nothing" in answer.message
        assert f"kubectl get drx {run} -n orders -o yaml" in answer.message
        assert world.duty.annotate(run, pause=DUTY).ok


def test_a_run_that_found_the_traces_of_another_is_adopted(world: World) -> None:
    run = world.execution()
    world.status(run, conditions=[waiting_for("PreviousRunFound")])
    assert world.duty.annotate(run, adopt=f"{DUTY}: it is the one of last night").ok


@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        ([], "it waits for no decision"),
        ([waiting_for("PreviousRunFound", "False")], "it waits for no decision"),
        ([waiting_for("TasksFailed")], "it waits for a decision because of TasksFailed"),
    ],
    ids=["none", "past", "another"],
)
def test_nothing_is_adopted_where_nothing_was_found(
    world: World, conditions: list[dict[str, Any]], said: str
) -> None:
    run = world.execution()
    world.status(run, conditions=conditions)
    answer = world.duty.annotate(run, adopt=DUTY)
    assert answer.status == 422
    assert f"{said}: kubectl get drx {run} -n orders -o yaml shows its message" in answer.message


def test_a_run_that_waits_for_adoption_may_be_deleted_instead(world: World) -> None:
    run = world.execution()
    world.status(run, conditions=[waiting_for("TasksFailed")])
    assert "has begun and not ended" in world.admin.delete("drexecutions", run).message
    world.status(run, conditions=[waiting_for("PreviousRunFound")])
    assert world.intruder.delete("drexecutions", run).ok

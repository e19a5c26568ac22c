"""The table of legal changes of state, and who keeps to it."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from leeward.api.execution import TaskState
from leeward.api.task import DRTask, DRTaskStatus, ResourceState
from leeward.planning.runs.transitions import RESOURCE, TASK, IllegalTransitionError, check

TASK_STATES: tuple[TaskState, ...] = get_args(TaskState)
RESOURCE_STATES: tuple[ResourceState, ...] = get_args(ResourceState)


def task(state: str, **resources: str) -> DRTask:
    status = {
        "state": state,
        "resources": [{"id": rid, "state": s} for rid, s in resources.items()],
    }
    spec = {
        "executionRef": {"name": "shop-1", "uid": "u-1"}, "plan": "shop", "operation": "Failover",
        "mode": "Unplanned", "wave": "data", "waveOrdinal": 1, "recoveryPhase": "Activate",
        "technology": "drs", "account": "prod", "accountId": "111111111111",
        "region": "us-east-2", "sourceRegion": "us-east-1",
    }  # fmt: skip
    metadata = {"name": "shop-1-w1", "namespace": "acme"}
    return DRTask.model_validate({"metadata": metadata, "spec": spec, "status": status})


def after(state: str, **resources: str) -> DRTaskStatus:
    return task(state, **resources).status


def test_the_tables_name_every_state_and_give_a_reason_for_every_change() -> None:
    for table, states in ((TASK, TASK_STATES), (RESOURCE, RESOURCE_STATES)):
        known: dict[Any, dict[Any, str]] = dict(table)  # type: ignore[call-overload]
        assert set(known) == set(states)
        for was, to in known.items():
            assert was not in to
            assert set(to) <= set(states)
            assert all(len(why) > 10 for why in to.values())


@pytest.mark.parametrize("was", TASK_STATES)
@pytest.mark.parametrize("now", TASK_STATES)
def test_a_task_goes_where_the_table_says_and_nowhere_else(was: TaskState, now: TaskState) -> None:
    if was == now or now in TASK[was]:
        check(task(was), after(now))
        return
    with pytest.raises(IllegalTransitionError) as wrong:
        check(task(was), after(now))
    for part in ("acme/shop-1-w1", was, now):
        assert part in str(wrong.value)


@pytest.mark.parametrize("was", RESOURCE_STATES)
@pytest.mark.parametrize("now", RESOURCE_STATES)
def test_a_resource_goes_where_the_table_says_and_nowhere_else(
    was: ResourceState, now: ResourceState
) -> None:
    before, then = task("InProgress", a=was), after("InProgress", a=now)
    if was == now or now in RESOURCE[was]:
        check(before, then)
        return
    with pytest.raises(IllegalTransitionError, match=f"resource a .* from {was} to {now}"):
        check(before, then)


def test_a_resource_that_is_not_named_yet_has_not_begun() -> None:
    check(task("InProgress"), after("InProgress", a="Complete"))


@pytest.mark.parametrize("state", ["Complete", "Skipped"])
def test_what_lets_successors_begin_does_not_fail_afterwards(state: TaskState) -> None:
    assert "Failed" not in TASK[state]


def test_an_abandoned_task_stays_so() -> None:
    assert TASK["Abandoned"] == {}


@pytest.mark.parametrize("state", ["Failed", "Complete"])
def test_what_failed_and_what_is_complete_can_be_tried_again(state: TaskState) -> None:
    assert "Retry" in TASK[state]

"""Launch settings of the next wave are made while a wave is under way: once, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from leeward.planning.times import parse_time

ACCOUNT = "222222222222"
"""Of the second wave."""
UNGATED: dict[str, Any] = {"waves": [{"name": "data"}, {"name": "web"}]}
SCALE = 240.0
SETTLE = 3
"""Seconds for which the operator of these tests expects late effects."""


@pytest.fixture(autouse=True)
def clock(lab: Any) -> Iterator[None]:
    """AWS's clock stands still, so that the first wave is under way until the test has looked."""
    lab.control.scale(0)
    yield
    lab.control.scale(SCALE)


def launch_task(lab: Any, name: str) -> Any:
    """The task that launches the second wave."""
    (found,) = (
        task
        for task in lab.tasks(name).values()
        if (task["spec"]["wave"], task["spec"]["recoveryPhase"]) == ("web", "Instantiate")
    )
    return found


def prepared(lab: Any, name: str, outcome: str = "Sent") -> Any:
    """The same once its launch settings are made, or whatever else came of that."""

    def look() -> Any:
        task = launch_task(lab, name) if lab.tasks(name) else {}
        journal = task.get("status", {}).get("journal", [])
        return task if [i["outcome"] for i in journal] == [outcome] else None

    return lab.until("the second wave is prepared", look)


def calls(lab: Any, since: int) -> Counter[str]:
    """What was changed in the account of the second wave."""
    return Counter(c["operation"] for c in lab.mutations(since) if c["account"] == ACCOUNT)


def test_a_wave_is_prepared_ahead_and_a_successor_does_not_prepare_it_again(lab: Any) -> None:
    lab.ready_plan(**UNGATED)
    since = lab.control.last_seq()
    name = lab.start()
    status = prepared(lab, name)["status"]
    assert (status["state"], status["journal"][0]["action"]) == ("NotStarted", "prepare")
    assert "startTime" not in status
    assert calls(lab, since) == {"UpdateLaunchConfiguration": 2}
    waves = lab.get("drx", name)["status"]["waves"]
    assert [w["state"] for w in waves] == ["InProgress", "NotStarted"]
    lab.stack.kill_operator()
    lab.stack.start_operator()
    lab.control.scale(SCALE)
    lab.until_condition("drx", name, "Succeeded")
    assert calls(lab, since)["UpdateLaunchConfiguration"] == 2
    assert lab.launches() == Counter(dict.fromkeys([*lab.servers(1), *lab.servers(2)], 1))


def test_a_cancelled_run_leaves_what_was_prepared_and_launches_nothing_of_it(lab: Any) -> None:
    lab.ready_plan(**UNGATED)
    since = lab.control.last_seq()
    name = lab.start()
    prepared(lab, name)
    lab.annotate("drx", name, "cancel", "admin", user="admin")
    lab.until(
        "the rest is abandoned", lambda: launch_task(lab, name)["status"]["state"] == "Abandoned"
    )
    lab.control.scale(SCALE)
    lab.until_state(name, "Cancelled")
    assert calls(lab, since) == {"UpdateLaunchConfiguration": 2}


def test_a_cancelled_run_is_not_over_while_settings_without_an_answer_may_still_arrive(
    lab: Any,
) -> None:
    lab.ready_plan(**UNGATED)
    lab.control.add_fault(
        service="drs", operation="UpdateLaunchConfiguration", account=ACCOUNT,
        action="drop", when="after",
    )  # fmt: skip
    name = lab.start()
    (lost,) = prepared(lab, name, "Refused")["status"]["journal"]
    assert (lost["errorClass"], lost["answerLost"]) == ("Transient", True)
    lab.annotate("drx", name, "cancel", "admin", user="admin")
    lab.control.scale(SCALE)
    lab.until_state(name, "Cancelled")
    status = launch_task(lab, name)["status"]
    assert status["state"] == "Abandoned"
    waited = parse_time(status["completionTime"]) - parse_time(lost["answerTime"])
    assert waited >= timedelta(seconds=SETTLE)
    assert lab.launches().keys().isdisjoint(lab.servers(2))

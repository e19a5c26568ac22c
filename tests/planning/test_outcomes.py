"""What a run at work says of itself."""

from __future__ import annotations

from typing import Any

from leeward.api.execution import DRExecution
from leeward.api.task import DRTask
from leeward.planning.runs.outcomes import at_work, stuck
from leeward.planning.runs.waves import Stage

STAGE = Stage("data", 1, "Activate", ())
RUN = DRExecution.model_validate(
    {
        "metadata": {"name": "shop-1", "namespace": "shop"},
        "spec": {"planRef": {"name": "shop"}, "operation": "Failover"},
        "status": {
            "commands": [
                {"key": "leeward.dev/pause", "user": "duty", "comment": "ask the DBA",
                 "time": "2026-11-26T17:00:00Z", "result": "done"}
            ]
        },
    }
)  # fmt: skip


def task(phase: str, message: str, name: str = "t", state: str = "InProgress") -> DRTask:
    spec: dict[str, Any] = {
        "executionRef": {"name": "shop-1", "uid": "u-1"}, "plan": "shop", "operation": "Failover",
        "mode": "Unplanned", "wave": "data", "waveOrdinal": 1, "recoveryPhase": phase,
        "technology": "ec2", "account": "prod", "accountId": "111111111111",
        "region": "us-east-1", "sourceRegion": "us-east-1",
    }  # fmt: skip
    status = {"state": state, "message": message}
    return DRTask.model_validate({"metadata": {"name": name}, "spec": spec, "status": status})


def test_the_phase_is_that_of_the_tasks_at_work() -> None:
    fencing = [task("Fence", "1 of 2 fenced")]
    assert at_work(RUN, STAGE, fencing, holding=False).message == "wave data, Fence: 1 of 2 fenced"
    assert at_work(RUN, STAGE, [], holding=False).message == "wave data, Activate: done"


def test_what_many_tasks_say_is_said_once() -> None:
    silent = [task("Fence", "cannot look at account 111111111111")] * 3
    busy = [*silent, task("Activate", "0 of 2 started")]
    assert at_work(RUN, STAGE, busy, holding=False).message == (
        "wave data, Fence: cannot look at account 111111111111 | 0 of 2 started"
    )


def test_tasks_that_have_not_begun_say_nothing_beside_those_that_have() -> None:
    later = [task("Fence", said, state="NotStarted") for said in ("", "not begun; prepare")]
    busy = [later[0], task("Fence", "0 of 50 done"), later[1]]
    assert at_work(RUN, STAGE, busy, holding=False).message == "wave data, Fence: 0 of 50 done"
    assert at_work(RUN, STAGE, later[:1], holding=False).message == "wave data, Fence: not begun"
    many = [task("Fence", f"{n} of 50 done") for n in range(4)]
    said = at_work(RUN, STAGE, many, holding=False).message
    assert said == "wave data, Fence: 0 of 50 done | 1 of 50 done | and 2 more"


def test_a_paused_run_says_who_paused_it_and_how_it_goes_on() -> None:
    outcome = at_work(RUN, STAGE, [task("Activate", "0 of 2 started")], holding=True)
    assert (outcome.state, outcome.message) == (
        "Paused",
        "paused by duty (ask the DBA); go on: kubectl annotate drx shop-1 -n shop "
        'leeward.dev/resume="YOU". wave data, Activate: 0 of 2 started',
    )


def test_what_failed_is_named_and_a_long_cause_does_not_cut_the_commands_off() -> None:
    failed = [task("Activate", "1 of 2 failed: " + "why " * 240, f"shop-1-{n}") for n in range(4)]
    message = stuck(RUN, STAGE, failed).message
    assert len(message) <= 1024
    assert message.startswith("shop-1-0: 1 of 2 failed: why why")
    assert "…. 3 more failed: shop-1-1, shop-1-2 and 1 more. Decide: kubectl annotate" in message
    assert message.endswith('kubectl annotate drx shop-1 -n shop leeward.dev/cancel="YOU"')


def test_a_run_that_waits_for_a_decision_says_that_it_is_paused_too() -> None:
    paused = RUN.model_copy(update={"status": RUN.status.model_copy(update={"paused": True})})
    said = stuck(paused, STAGE, [task("Activate", "1 of 2 failed")]).message
    assert said.endswith('nothing is sent before leeward.dev/resume="YOU"')

"""What a run at work says of itself."""

from __future__ import annotations

from typing import Any

import pytest

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
    message = stuck(RUN, STAGE, failed, failed).message
    assert len(message) <= 1024
    assert message.startswith("shop-1-0: 1 of 2 failed: why why")
    assert "…. 3 more failed: shop-1-1, shop-1-2 and 1 more. Decide: kubectl annotate" in message
    assert message.endswith('kubectl annotate drx shop-1 -n shop leeward.dev/cancel="YOU"')


def test_a_run_that_waits_for_a_decision_says_that_it_is_paused_too() -> None:
    paused = RUN.model_copy(update={"status": RUN.status.model_copy(update={"paused": True})})
    failed = [task("Activate", "1 of 2 failed")]
    said = stuck(paused, STAGE, failed, failed).message
    assert said.endswith('nothing is sent before leeward.dev/resume="YOU"')


def fence(name: str, reason: str = "", **states: str) -> DRTask:
    """A task that fences; `reason` is that of the resources that are out."""
    body = task("Fence", "1 undone", name).model_dump(by_alias=True, mode="json")
    body["spec"] |= {"resources": [{"id": r, "arn": r} for r in states]}
    resources = [
        {"id": r, "state": s, "reason": reason if s == "Skipped" else ""} for r, s in states.items()
    ]
    state = "Complete" if "Complete" in states.values() else "Skipped"
    body["status"] = {"state": state, "message": "1 undone", "resources": resources}
    return DRTask.model_validate(body)


FENCING = Stage("data", 1, "Fence", ())


def test_a_run_that_waits_because_its_fencing_was_undone_says_how_it_goes_on() -> None:
    undone = [fence(f"fence-{n}", "Undone", **{f"i-{n}": "Skipped"}) for n in range(3)]
    outcome = stuck(RUN, FENCING, undone, undone)
    assert (outcome.state, outcome.reason) == ("WaitingForDecision", "FenceUndone")
    assert outcome.message == (
        "fence-0: fencing was undone, and nothing is recovered beside what may serve and write in "
        "us-east-1: 1 resource of account 111111111111 (prod): i-0. retry fences them again, skip "
        "goes on although they may write. 2 more like it: fence-1, fence-2. Decide: kubectl "
        'annotate drt fence-0 -n shop leeward.dev/retry="YOU" (or skip), or kubectl annotate drx '
        'shop-1 -n shop leeward.dev/cancel="YOU", or, if the side that is left is lost, '
        'leeward.dev/unplanned="YOU"'
    )


def test_a_task_that_failed_beside_an_undo_is_what_people_decide_first() -> None:
    failed = held("fence-9", "Fence", **{"i-9": "UnauthorizedOperation"})
    outcome = stuck(RUN, FENCING, [failed], [failed, fence("fence-0", "Undone", i="Skipped")])
    assert outcome.reason == "TasksFailed"


@pytest.mark.parametrize("begun", [False, True])
def test_who_may_cancel_reads_that_what_was_stopped_stays_so(begun: bool) -> None:
    launch = task("Instantiate", "no room", "launch", state="Failed")
    start = task("Activate", "", "start", state="InProgress" if begun else "NotStarted")
    tasks = [fence("fence-0", i="Complete"), fence("fence-1", j="Complete"), launch, start]
    said = stuck(RUN, Stage("data", 1, "Instantiate", ()), [launch], tasks).message
    undo = (
        ". cancel leaves stopped what was fenced; before it, to start that again: kubectl annotate "
        'drt fence-0 -n shop leeward.dev/undo="YOU", and so for fence-1'
    )
    assert (undo in said) is not begun


FAILBACK = DRExecution.model_validate(
    {
        "metadata": {"name": "shop-1", "namespace": "acme"},
        "spec": {"planRef": {"name": "shop"}, "operation": "Failback", "mode": "Unplanned"},
    }
)


def held(name: str, phase: str, **reasons: str) -> DRTask:
    """A task whose resources failed with these reasons."""
    body = task(phase, "").model_dump(by_alias=True, mode="json")
    body["metadata"] = {"name": name}
    body["spec"] |= {"technology": "drs", "resources": [{"id": r, "arn": r} for r in reasons]}
    resources = [
        {"id": r, "state": "Failed", "reason": why, "message": f"{r} is older. {'x' * 600}"}
        for r, why in reasons.items()
    ]
    body["status"] = {"state": "Failed", "message": "it failed", "resources": resources}
    return DRTask.model_validate(body)


def test_a_run_that_would_start_older_data_says_so_with_the_commands_that_decide() -> None:
    launched = held("shop-1-launch", "Instantiate", a="", b="", c="")
    starts = held("shop-1-start", "Activate", a="FailbackOutdated", b="FailbackOutdated", c="Else")
    other = held("shop-1-other", "Activate", z="NoRoom")

    outcome = stuck(FAILBACK, STAGE, [other, starts], [launched, starts, other])

    assert (outcome.state, outcome.reason) == ("WaitingForDecision", "NewerData")
    assert len(outcome.message) <= 1024
    for said in (
        "wave data: 2 servers in account 111111111111 (prod) would serve older data than us-east-1 "
        "has written since. a is older",
        'kubectl annotate drt shop-1-launch -n acme leeward.dev/relaunch="YOU: [a, b]"',
        'kubectl annotate drt shop-1-start -n acme leeward.dev/accept-data-loss="YOU"',
        'leeward.dev/skip="YOU"',
        'kubectl annotate drx shop-1 -n acme leeward.dev/cancel="YOU"',
    ):
        assert said in outcome.message


def test_a_command_names_the_first_of_many_servers_and_says_that_there_are_more() -> None:
    many = held("start", "Activate", **{f"s-{n}": "FailoverOutdated" for n in range(8)})
    message = stuck(FAILBACK, STAGE, [many], [many]).message
    assert '"YOU: [s-0, s-1, s-2, s-3, s-4]" (and 3 more)' in message


def test_what_failed_otherwise_waits_as_ever() -> None:
    outcome = stuck(FAILBACK, STAGE, [held("t", "Activate", z="NoRoom")], [])
    assert outcome.reason == "TasksFailed"
    assert 'leeward.dev/retry="YOU"' in outcome.message

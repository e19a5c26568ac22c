"""The live tree: the same run always gives the same text, and trouble is never folded away."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from leeward.cli import tree
from leeward.cli.render import changes

Story = Any  # conftest.Story
GOLDEN = Path(__file__).parent / "golden"


def _servers(count: int) -> list[str]:
    return ["Complete"] * count


def running(story: Story) -> None:
    story.is_("Running", "wave app: 31 of 100 done; launching", currentWave="app")
    story.wave(
        "web",
        "Complete",
        12,
        complete=12,
        startTime=story.ago(minutes=12),
        completionTime=story.ago(minutes=9),
    )
    story.gate("wave-web", "web", "Automatic")
    story.wave("app", "InProgress", 100, complete=0, startTime=story.ago(minutes=8.5))
    story.gate("wave-app", "app", required=2)
    story.wave("dns", "NotStarted", 1)
    story.task(1, "Instantiate", _servers(12), "Complete")
    story.task(1, "Activate", _servers(12), "Complete")
    story.task(
        2,
        "Instantiate",
        _servers(31) + ["InProgress"] * 69,
        "InProgress",
        message="31 of 100 done; launching",
    )
    story.task(2, "Activate", ["NotStarted"] * 100, "NotStarted")
    story.task(3, "Activate", ["NotStarted"], "NotStarted", technology="route53", task="switch")
    story.status["findings"] = ["account orders-db was silent for 60 s, its last inventory is used"]


def waiting_gate(story: Story) -> None:
    story.is_("WaitingForApproval", "waiting for approval of wave-app", currentWave="app")
    story.wave("app", "InProgress", 100, complete=0, startTime=story.ago(minutes=8.5))
    story.gate(
        "wave-app",
        "app",
        "Waiting",
        required=2,
        fourEyes="Required",
        approvers={"users": ["approver-a@example.com"], "groups": ["dr-approvers"]},
        answers=[
            {
                "user": "approver-a@example.com",
                "verdict": "Approve",
                "time": story.ago(minutes=3),
                "comment": "checked the lag",
            }
        ],
        findings=["replication lag of s-100003 is 41m"],
    )
    story.task(1, "Instantiate", _servers(100), "Complete")
    story.task(1, "Activate", ["NotStarted"] * 100, "NotStarted")


def failed_server(story: Story) -> None:
    """AWS called the job COMPLETED; one of its servers did not come up all the same."""
    why = (
        "the job srsjob-0a1 is COMPLETED, but the server was not launched: "
        "InsufficientInstanceCapacity for m5.large in account 111111111111, us-east-2; "
        "choose another type in its launch template, then retry"
    )
    story.is_("WaitingForDecision", "1 of 12 failed in wave app", "Failed", currentWave="app")
    story.wave("app", "Failed", 12, complete=11, failed=1, startTime=story.ago(minutes=8.5))
    story.gate("wave-app", "app")
    states = [*_servers(6), "Failed", *_servers(5)]
    story.task(
        1,
        "Instantiate",
        states,
        "Failed",
        failures=[("NotLaunched", why)],
        message=f"1 of 12 failed: s-100006: NotLaunched: {why}",
    )
    story.task(1, "Activate", ["NotStarted"] * 12, "NotStarted")


def paused(story: Story) -> None:
    story.is_("Paused", "paused by approver-a@example.com: waiting for the DBA")
    story.wave("app", "InProgress", 12, complete=4, startTime=story.ago(minutes=8.5))
    story.task(
        1,
        "Instantiate",
        _servers(4) + ["NotStarted"] * 8,
        "InProgress",
        message="4 of 12 done; paused",
    )


def succeeded(story: Story) -> None:
    story.is_("Succeeded", "Failover: 1,050 resources recovered in 2 waves", "Succeeded")
    times = {"startTime": story.ago(minutes=12), "completionTime": story.ago(minutes=1)}
    story.wave("app", "Complete", 1050, complete=1050, **times)
    answer = {"user": "approver-b@example.com", "verdict": "Approve", "time": story.ago(minutes=5)}
    story.gate("wave-app", "app", "Approved", answers=[answer])
    story.wave("dns", "Complete", 3, complete=3, **times)
    for part in range(11):
        size = 50 if part == 10 else 100
        story.task(1, "Instantiate", _servers(size), "Complete", part=part)
        story.task(1, "Activate", _servers(size), "Complete", part=part)
    story.task(2, "Activate", _servers(3), "Complete", technology="route53", task="switch")


def within_tolerance(story: Story) -> None:
    story.is_("Succeeded", "11 of 12 recovered, 1 tolerated", "WithinTolerance")
    story.wave(
        "app",
        "Complete",
        12,
        complete=11,
        skipped=1,
        startTime=story.ago(minutes=12),
        completionTime=story.ago(minutes=1),
    )
    story.task(1, "Instantiate", [*_servers(11), "Skipped"], "Complete")


def rejected(story: Story) -> None:
    story.is_("WaitingForDecision", "wave-app was rejected", "Rejected")
    story.wave("app", "InProgress", 12, startTime=story.ago(minutes=8.5))
    story.gate(
        "wave-app",
        "app",
        "Rejected",
        answers=[
            {
                "user": "approver-b@example.com",
                "verdict": "Reject",
                "time": story.ago(minutes=4),
                "comment": "lag is 40 minutes",
            }
        ],
    )
    story.task(1, "Instantiate", _servers(12), "Complete")
    story.task(1, "Activate", ["NotStarted"] * 12, "NotStarted")


def data_loss(story: Story) -> None:
    """A planned run whose Region was lost meanwhile, with nobody awake but its requester."""
    story.spec["mode"] = "Planned"
    story.is_(
        "WaitingForApproval",
        "waiting for wave-app: the loss of data is not accepted",
        unplanned=True,
        breakGlass={
            "user": "sealed@example.com",
            "time": story.ago(minutes=2),
            "comment": "nobody answers the telephone",
        },
    )
    story.wave("app", "InProgress", 12, startTime=story.ago(minutes=8.5))
    answer = {"user": "approver-a@example.com", "verdict": "Approve", "time": story.ago(minutes=1)}
    findings = ["LagAboveObjective: s-100003 lags by 41m, its objective is 15m"]
    asked = {"answers": [answer], "dataLoss": "Question", "findings": findings}
    story.gate("wave-app", "app", "Waiting", **asked)
    story.task(1, "Instantiate", _servers(12), "Complete")
    story.task(1, "Activate", ["NotStarted"] * 12, "NotStarted")


def previous_run(story: Story) -> None:
    message = "servers carry the name of this execution and another uid; adopt, or delete"
    story.is_("WaitingForDecision", message, "PreviousRunFound")
    del story.status["startTime"]


def manual_task(story: Story) -> None:
    what = "waits for a person: call the network team; then mark it done"
    story.is_("WaitingForDecision", what, "ManualTask")
    story.wave("app", "InProgress", 12, startTime=story.ago(minutes=8.5))
    kind = {"task": "call", "technology": "manual", "message": what}
    story.task(1, "Activate", ["InProgress"], "PendingApproval", **kind)


def not_taken_up(story: Story) -> None:
    story.status.clear()


def large(story: Story) -> None:
    """1,050 servers in 3 waves and 11 parts each; 250 of them in trouble."""
    story.is_("WaitingForDecision", "250 of 1,050 failed", "Failed", currentWave="app")
    story.wave(
        "web",
        "Complete",
        350,
        complete=350,
        startTime=story.ago(minutes=12),
        completionTime=story.ago(minutes=9),
    )
    story.gate("wave-web", "web", "Automatic")
    story.wave("app", "Failed", 350, complete=100, failed=250, startTime=story.ago(minutes=8.5))
    story.gate("wave-app", "app")
    story.wave("batch", "NotStarted", 350)
    story.gate("wave-batch", "batch")
    broken = [("LaunchFailed", "the conversion server did not start")] * 20
    for account in ("111111111111", "222222222222"):
        for part in range(5):
            states = ["Failed"] * 25 + _servers(10)
            story.task(1, "Instantiate", _servers(35), "Complete", account=account, part=part)
            story.task(1, "Activate", _servers(35), "Complete", account=account, part=part)
            story.task(
                2, "Instantiate", states, "Failed", account=account, part=part, failures=broken
            )
            waiting = ["NotStarted"] * 35
            story.task(2, "Activate", waiting, "NotStarted", account=account, part=part)
            story.task(3, "Instantiate", waiting, "NotStarted", account=account, part=part)


STORIES = (running, waiting_gate, failed_server, paused, succeeded, within_tolerance, rejected,
           data_loss, previous_run, manual_task, not_taken_up, large)  # fmt: skip


@pytest.mark.parametrize("tell", STORIES, ids=lambda tell: tell.__name__)
def test_a_run_is_drawn_as_people_were_shown_it(tell: Any, story: Story) -> None:
    tell(story)
    drawn = tree.render(story.execution, story.tasks, story.now, 120, False)
    assert drawn + "\n" == (GOLDEN / f"{tell.__name__}.txt").read_text(encoding="utf-8")


def test_fencing_that_was_undone_is_shown_with_the_commands_that_go_on(story: Story) -> None:
    reason = "FenceUndone"
    story.is_("WaitingForDecision", "fencing was undone", reason=reason, currentWave="app")
    story.wave("app", "InProgress", 2)
    story.task(1, "Fence", ["Skipped", "Complete"], "Complete", technology="ec2")
    story.tasks[-1]["status"]["resources"][0]["reason"] = "Undone"
    story.task(1, "Instantiate", _servers(2), "Complete")
    drawn = tree.render(story.execution, story.tasks, story.now, 140, False)
    for verb in ("retry", "skip"):
        command = f"kubectl leeward {verb} drt orders-1-w1-fence-ec2-111111111111-use2-0 -n orders"
        assert command in drawn
    assert f"kubectl leeward {verb} drt -l" not in drawn


def test_1050_servers_of_which_250_fail_stay_under_60_lines(story: Story) -> None:
    large(story)
    drawn = tree.render(story.execution, story.tasks, story.now, 120, False)
    assert len(drawn.splitlines()) < 60
    assert drawn.count("✖ Failed") >= 10
    # None of the 250 is lost: listed, counted as more of a task, or in the tasks not listed.
    listed = len(re.findall(r"app-\d+ \(s-\d+\) +Resource +✖ Failed +LaunchFailed", drawn))
    more = sum(int(n) for n in re.findall(r"(\d+) (?:more|resources) +Resource", drawn))
    (rest,) = re.findall(r"more tasks with failures.*? (\d+) LaunchFailed", drawn)
    assert listed == 10
    assert listed + more + int(rest) == 250


def test_many_quiet_waves_are_one_line_each(story: Story) -> None:
    story.is_("Running", "at work")
    for number in range(20):
        state = "Complete" if number < 19 else "InProgress"
        story.wave(f"w{number}", state, 5, complete=5)
        story.gate(f"wave-w{number}", f"w{number}", "Automatic")
        story.task(number + 1, "Instantiate", _servers(5), "Complete")
        story.task(number + 1, "Activate", _servers(5), "Complete" if number < 19 else "InProgress")
    drawn = tree.render(story.execution, story.tasks, story.now, 120, False)
    assert len(drawn.splitlines()) < 40
    assert drawn.count("✔ Automatic") == 1


def test_no_line_is_wider_than_the_terminal_but_commands(story: Story) -> None:
    for tell in (failed_server, large, running):
        fresh = type(story)()
        tell(fresh)
        drawn = tree.render(fresh.execution, fresh.tasks, fresh.now, 100, False)
        wide = [line for line in drawn.splitlines() if len(line) > 100]
        assert all("kubectl " in line for line in wide), wide


def test_colours_change_nothing_but_colours(story: Story) -> None:
    failed_server(story)
    plain = tree.render(story.execution, story.tasks, story.now, 120, False)
    coloured = tree.render(story.execution, story.tasks, story.now, 120, True)
    assert "\x1b[31m✖ Failed" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_what_came_from_outside_cannot_steer_the_terminal(story: Story) -> None:
    failed_server(story)
    task = story.tasks[0]
    task["spec"]["resources"][6]["name"] = "db\x1b]0;owned\x07\x9b2J"
    task["status"]["resources"][6]["message"] = "gone\r\n\x1b[2Ahidden"
    story.status["message"] = "a\x1b[31mb"
    drawn = tree.render(story.execution, story.tasks, story.now, 120, False)
    assert all(c.isprintable() or c == "\n" for c in drawn)


@pytest.mark.parametrize(
    ("following", "said"),
    [
        (None, "Reprotect, then Failback"),
        ({"name": "orders-1-reprotect", "operation": "Reprotect", "uid": "u-2"}, "orders-1-reprot"),
        (
            {"name": "orders-1-reprotect", "operation": "Reprotect", "message": "not created"},
            "Reprotect: not created",
        ),
    ],
    ids=["to follow", "created", "not created"],
)
def test_a_run_says_what_follows_it(story: Story, following: Any, said: str) -> None:
    running(story)
    story.spec["then"] = [{"operation": "Reprotect"}, {"operation": "Failback"}]
    if following:
        story.status["next"] = following
    drawn = tree.render(story.execution, story.tasks, story.now, 120, False)
    (line,) = [line for line in drawn.splitlines() if line.startswith("Next:")]
    assert said in line


def test_time_alone_is_no_change(story: Story) -> None:
    waiting_gate(story)
    before = tree.view(story.execution, story.tasks, story.now)
    later = story.now.replace(minute=45)
    assert before != tree.view(story.execution, story.tasks, later)
    assert changes(before, tree.view(story.execution, story.tasks, later)) == []


def test_a_log_gets_the_lines_that_changed_and_no_others(story: Story) -> None:
    running(story)
    before = tree.view(story.execution, story.tasks, story.now)
    task = story.tasks[2]["status"]
    task |= {"complete": 40, "message": "40 of 100 done; launching"}
    lines = changes(before, tree.view(story.execution, story.tasks, story.now))
    assert lines == [
        "Phase  2 app / Instantiate  ◌ InProgress  40/100 done",
        "Task  2 app / Instantiate / drs-111111111111-use2-0  ◌ InProgress  "
        "40 of 100 done; launching",
    ]

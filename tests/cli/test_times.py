"""Times of a run, and what a run would do, as people see them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from leeward.api.preview import Preview
from leeward.api.run_times import RunObjectives
from leeward.cli import preview_view, tree
from leeward.cli.render import changes

Story = Any  # conftest.Story
Object = dict[str, Any]
GOLDEN = Path(__file__).parent / "golden"


def lag(servers: int, worst: str | None, above: int = 0, unknown: int = 0) -> Object:
    known = {"worst": worst, "worstServer": "orders-db-03"} if worst else {}
    return {"servers": servers, "above": above, "unknown": unknown, **known}


def run(story: Story, **objectives: Any) -> None:
    """A run that waits at the gate of its second wave; 12m41s since its start."""
    story.is_("WaitingForApproval", "waiting for approval of wave-app", currentWave="app")
    story.wave("data", "Complete", 8, complete=8)
    story.wave("app", "NotStarted", 20)
    story.gate("wave-app", "app", "Waiting")
    times = {
        "rtoTarget": "45m",
        "rpoTarget": "15m",
        "estimated": "24m30s",
        "waited": "30s",
        "waiting": {"since": story.ago(minutes=3), "what": "Approval", "wave": "app"},
        "lag": lag(28, "11m23s", above=2, unknown=1),
        "waves": [
            {
                "name": "data", "estimated": "11m45s", "actual": "9m11.4s", "waited": "30s",
                "recoveredAfter": "9m41.4s", "rtoTarget": "15m", "rto": "Met", "lag": lag(8, "4m"),
            },
            {"name": "app", "estimated": "12m45s", "waited": "0s", "lag": lag(20, "11m23s", 2, 1)},
        ],
        **objectives,
    }  # fmt: skip
    story.status["objectives"] = RunObjectives.model_validate(times).to_api()


def times_waiting(story: Story) -> None:
    run(story)


def times_done(story: Story) -> None:
    run(
        story, waiting=None, waited="10m", actual="21m40s", recoveredAfter="31m40s", rto="Missed",
        rtoTarget="30m", lag=lag(28, "40s"),
    )  # fmt: skip
    story.is_("Succeeded", "Failover: 28 resources recovered in 2 waves", "Succeeded")


def preview(**fields: Any) -> Object:
    """A failover of two waves in two accounts, and a switch of names."""

    def work(technology: str, account: str, resources: int, jobs: int = 0) -> Object:
        numbers = {"orders-data": "111111111111", "orders-app": "222222222222"}
        return {
            "technology": technology, "account": account, "region": "us-east-2", "tasks": 1,
            "accountId": numbers[account], "resources": resources, "jobs": jobs,
        }  # fmt: skip

    def stage(wave: str, phase: str, start: str, takes: str, *rows: Object) -> Object:
        return {
            "wave": wave, "recoveryPhase": phase, "start": start, "duration": takes,
            "basis": "Figures", "work": list(rows), "dominatedBy": f"servers of {wave}",
        }  # fmt: skip

    gate = {
        "name": "wave-app", "wave": "app", "before": "Activate", "passes": "ByPeople",
        "required": 2, "approvers": {"users": ["ann@example.com"], "groups": ["dr"]},
        "fourEyes": "Required", "timeout": "30m", "onTimeout": "Hold",
    }  # fmt: skip
    drs = {"uses": ["drs Instantiate", "drs Read"], "actions": ["drs:StartRecovery", "ec2:A"]}
    whole = {
        "tasks": 5, "resources": 130, "jobs": 3, "duration": "24m30s",
        "objectives": {
            "estimated": "24m30s", "rtoTarget": "45m", "rpoTarget": "15m", "lag": lag(128, "4m"),
        },
        "stages": [
            stage("data", "Instantiate", "0s", "9m28s", work("drs", "orders-data", 108, 2)),
            stage("data", "Activate", "9m28s", "2m35s", work("drs", "orders-data", 108)),
            stage("app", "Instantiate", "12m3s", "8m37s", work("drs", "orders-app", 20, 1)),
            stage(
                "app", "Activate", "20m40s", "3m50s",
                work("drs", "orders-app", 20), work("route53", "orders-data", 2),
            ),
        ],
        "gates": [gate],
        "access": [
            {"role": "Read", "accounts": ["orders-data", "orders-app"], **drs},
            {"role": "Recovery", "accounts": ["orders-data", "orders-app"], **drs},
        ],
        **fields,
    }  # fmt: skip
    return Preview.model_validate(whole).to_api()


def dry_run(story: Story) -> None:
    story.spec["dryRun"] = "Plan"
    del story.status["startTime"]
    story.is_("Succeeded", "dry run: Failover of plan orders would work on 130", "DryRun")
    del story.status["completionTime"]
    story.status["preview"] = preview(findings=["Excluded: 2 resources left out by tags"])


@pytest.mark.parametrize("tell", [times_waiting, times_done, dry_run], ids=lambda t: t.__name__)
def test_a_run_shows_its_times(tell: Any, story: Story) -> None:
    tell(story)
    drawn = tree.render(story.execution, story.tasks, story.now, 120, False)
    assert drawn + "\n" == (GOLDEN / f"{tell.__name__}.txt").read_text(encoding="utf-8")


def test_times_that_run_on_are_no_change_in_a_log(story: Story) -> None:
    run(story)
    before = tree.view(story.execution, story.tasks, story.now)
    later = story.now.replace(minute=45)
    assert changes(before, tree.view(story.execution, story.tasks, later)) == []


def drawn(shown: Object, width: int = 120) -> str:
    return preview_view.text(shown, "orders", "Failover", "Planned", width, color=False)


def test_a_preview_shows_every_gate_of_a_place() -> None:
    one = preview()["gates"][0]
    shown = preview(gates=[one | {"name": "stop"}, one | {"name": "destroy"}])
    lines = [line for line in drawn(shown).splitlines() if "\u25c7" in line]
    assert [line.split()[2] for line in lines] == ["stop", "destroy"]
    gates = [row.name for row in preview_view.rows(shown) if row.kind == "Gate"]
    assert gates == ["app stop", "app destroy"]


REFUSED = {
    "refusals": ["NoDrillNetwork: plan orders has no drill network for account orders-data"],
    "objectives": {
        "estimated": "24m30s", "rpoTarget": "15m", "lag": lag(128, None, unknown=128),
    },
    "gates": [],
    "leftOut": ["accounts of the stages"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "fields"), [("preview", {}), ("preview_refused", REFUSED)], ids=["begins", "refused"]
)
def test_a_preview_is_drawn_with_its_timeline(name: str, fields: Object) -> None:
    text = (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")
    assert drawn(preview(**fields)) + "\n" == text


def test_what_cannot_be_planned_is_shown_with_its_reasons_alone() -> None:
    text = drawn(Preview(refusals=["InvalidPlan: two waves are named a"]).to_api())
    assert text.splitlines() == [
        "Plan:            orders",
        "Operation:       Failover, Planned",
        "Would begin:     ✖ no, 1 reason",
        "Refused:         InvalidPlan: two waves are named a",
    ]


def test_a_plan_that_another_run_has_is_not_said_to_be_free() -> None:
    busy = "PlanBusy: plan orders is run by execution orders-1 now; a run would be refused"
    assert "Would begin:     ⚠ not while another run has the plan" in drawn(
        preview(findings=[busy])
    )


def test_bars_stay_on_one_scale_and_within_the_terminal() -> None:
    lines = drawn(preview(), width=80).splitlines()
    bars = [line for line in lines if "█" in line]
    assert len(bars) == 4
    ends = [line.rindex("█") + 1 for line in bars]
    starts = [line.index("█") for line in bars]
    assert ends[:-1] == starts[1:]
    assert max(ends) <= 80
    scale = lines[next(n for n, line in enumerate(lines) if line.startswith("WAVE"))]
    assert len(scale) == max(ends)


def test_a_stage_that_takes_no_time_has_a_bar_and_a_gate_a_mark() -> None:
    shown = preview()
    shown["stages"][1]["duration"] = "0s"
    assert drawn(shown).count("█\n") == 4
    assert drawn(shown).count("◇") == 2


def test_many_accounts_are_summed() -> None:
    shown = preview()
    first = shown["stages"][0]
    first["work"] = [
        {**first["work"][0], "account": f"orders-{n}", "resources": 100, "jobs": 1}
        for n in range(40)
    ]
    text = " ".join(drawn(shown).split())
    assert "data Instantiate drs 40 accounts us-east-2 40 4,000 40" in text
    assert "app Instantiate drs orders-app us-east-2 1 20 1" in text
    assert "-o yaml lists each account" in text


def test_an_automatic_gate_asks_nobody() -> None:
    shown = preview()
    shown["gates"][0]["passes"] = "Automatically"
    assert "nothing: approvalMode Automatic passes it" in drawn(shown)


def test_names_cannot_steer_the_terminal() -> None:
    shown = preview(findings=["x\x1b[2Jy"])
    shown["stages"][0]["work"][0]["account"] = "a\x1b[31m"
    shown["gates"][0]["approvers"]["users"] = ["\x07ann"]
    assert all(c.isprintable() or c == "\n" for c in drawn(shown))

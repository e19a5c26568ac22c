"""Dry runs: they change nothing, and the run does afterwards what they showed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from leeward.cli import plugin
from leeward.planning.durations import parse

APPROVER = "approver-a@example.com"
NAMESPACE = "orders"
Object = dict[str, Any]


def work(preview: Object) -> Counter[tuple[str, ...]]:
    """How many tasks the preview has, by what they are."""
    found: Counter[tuple[str, ...]] = Counter()
    for stage in preview["stages"]:
        for row in stage["work"]:
            account = row["technology"], row["accountId"], row["region"]
            found[(stage["wave"], stage["recoveryPhase"], *account)] = row["tasks"]
    return found


def frozen(tasks: dict[str, Object]) -> Counter[tuple[str, ...]]:
    """The same of DRTasks."""
    fields = ("wave", "recoveryPhase", "technology", "accountId", "region")
    return Counter(tuple(task["spec"][f] for f in fields) for task in tasks.values())


def gates(listed: list[Object]) -> list[Object]:
    fields = ("name", "wave", "before", "required", "approvers", "fourEyes", "onTimeout")
    return [{field: gate[field] for field in fields} for gate in listed]


@pytest.fixture
def plan_preview(lab: Any) -> Callable[..., Result]:
    """`kubectl leeward plan preview` of this test's plan."""

    def invoke(*options: str, user: str = "admin") -> Result:
        command = ["plan", "preview", lab.application, "-n", NAMESPACE, *options]
        kubeconfig = str(lab.stack.cluster.kubeconfig(user))
        return CliRunner().invoke(plugin.cli, command, env={"KUBECONFIG": kubeconfig})

    return invoke


def test_a_dry_run_changes_nothing_and_the_run_then_does_what_it_showed(lab: Any) -> None:
    approval = {"approvers": {"users": [APPROVER]}, "timeout": "20m"}
    lab.ready_plan(approval=approval, objectives={"rto": "4h", "rpo": "15m"})
    with lab.untouched():
        name = lab.start(dryRun="Plan")
        run = lab.until_condition("drx", name, "Succeeded")
        assert lab.tasks(name) == {}
    assert lab.reason(run, "Succeeded") == "DryRun"
    assert lab.launches() == Counter()
    preview = run["status"]["preview"]
    assert (preview["refusals"], preview["resources"]) == ([], 4)
    plan = lab.get("rp", lab.application)["status"]
    assert (plan.get("activeExecution"), plan.get("history", [])) == (None, [])
    # The same manifest without dryRun, under the same name.
    lab.kubectl("delete", "drx", name)
    lab.start()
    lab.until_gate(name)
    lab.annotate("drx", name, "approve-wave-web", APPROVER)
    run = lab.until_condition("drx", name, "Succeeded")
    assert work(preview) == frozen(lab.tasks(name))
    assert gates(preview["gates"]) == gates(run["status"]["gates"])
    times = run["status"]["objectives"]
    assert times["estimated"] == preview["objectives"]["estimated"]
    assert times["lag"] == preview["objectives"]["lag"]
    assert (times["lag"]["servers"], times["lag"]["above"]) == (4, 0)


def test_a_run_keeps_its_times_and_the_next_estimate_knows_them(lab: Any) -> None:
    lab.ready_plan(objectives={"rto": "4h"})
    name = lab.start()
    waiting = lab.until_gate(name)["status"]["objectives"]
    assert (waiting["waiting"]["what"], waiting["waiting"]["wave"]) == ("Approval", "web")
    assert waiting["waiting"]["since"] == lab.get("drx", name)["status"]["gates"][0]["askedAt"]
    lab.annotate("drx", name, "approve-wave-web", APPROVER)
    times = lab.until_condition("drx", name, "Succeeded")["status"]["objectives"]
    assert times["rto"] == "Met"
    assert "waiting" not in times
    data, web = times["waves"]
    assert parse(data["waited"]).total_seconds() == 0
    assert web["waited"] == times["waited"]
    spans = [parse(w[k]) for w in (data, web) for k in ("actual", "waited")]
    whole = parse(times["recoveredAfter"])
    assert sum(s.total_seconds() for s in spans) == pytest.approx(whole.total_seconds(), abs=0.01)
    moved = lab.until(
        "the plan remembers the run",
        lambda: lab.get("rp", lab.application)["status"].get("history"),
    )
    assert [w["name"] for w in moved[-1]["waves"]] == ["data", "web"]
    dry = lab.until_condition("drx", lab.start(suffix="2", dryRun="Plan"), "Succeeded")
    assert {s["basis"] for s in dry["status"]["preview"]["stages"]} == {"History"}


def test_a_dry_run_may_be_made_beside_a_live_run(lab: Any) -> None:
    lab.ready_plan()
    live = lab.start()
    lab.until_gate(live)
    with lab.untouched():
        dry = lab.until_condition("drx", lab.start(suffix="2", dryRun="Plan"), "Succeeded")
    assert lab.reason(dry, "Succeeded") == "DryRun"
    busy = [f for f in dry["status"]["findings"] if f.startswith("PlanBusy")]
    assert [live in finding for finding in busy] == [True]
    assert lab.get("rp", lab.application)["status"]["activeExecution"]["name"] == live
    lab.annotate("drx", live, "approve-wave-web", APPROVER)
    lab.until_condition("drx", live, "Succeeded")


def test_a_dry_run_that_would_be_refused_lists_every_reason(lab: Any) -> None:
    lab.ready_plan()
    with lab.untouched():
        name = lab.start("Test", dryRun="Plan")
        run = lab.until_condition("drx", name, "Succeeded", "False")
    assert lab.reason(run, "Succeeded") == "NoDrillNetwork"
    assert run["status"]["message"].startswith("dry run: Test of plan")
    refusals = run["status"]["preview"]["refusals"]
    assert [r.partition(":")[0] for r in refusals] == ["NoDrillNetwork"] * 2
    for account in ("east-a (111111111111)", "east-b (222222222222)"):
        assert any(account in refusal for refusal in refusals)


def test_the_command_shows_what_the_dry_run_shows(
    lab: Any, plan_preview: Callable[..., Result]
) -> None:
    lab.ready_plan()
    run = lab.until_condition("drx", lab.start(dryRun="Plan"), "Succeeded")
    before = lab.kubectl("get", "drx,drt", "-o", "name").stdout
    with lab.untouched():
        done, table = plan_preview("-o", "json"), plan_preview()
        test = plan_preview("--operation", "Test")
        none = plan_preview("--operation", "Teleport")
        tenant = plan_preview(user="approver-a")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout) == run["status"]["preview"]
    assert "█" in table.stdout
    assert "◇ wave-web" in table.stdout
    assert test.exit_code == 2
    assert "NoDrillNetwork" in test.stdout
    assert none.exit_code == 1
    assert "'Teleport' is not one of" in none.stderr
    assert tenant.exit_code == 1
    assert "with dryRun: Plan" in tenant.stderr
    assert lab.kubectl("get", "drx,drt", "-o", "name").stdout == before

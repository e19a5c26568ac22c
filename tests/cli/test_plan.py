"""A plan as text, and the tag report in its three forms."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from leeward.cli import plan_view
from leeward.cli.render import layout

Story = Any  # conftest.Story


@pytest.fixture
def inventories() -> list[dict[str, Any]]:
    def resource(name: str, verdict: str, **more: Any) -> dict[str, Any]:
        base = {"id": f"s-{name}", "technology": "drs", "region": "us-east-1", "name": name}
        return {**base, "verdict": verdict, **more}

    def part(plan: str, account: str, status: dict[str, Any]) -> dict[str, Any]:
        spec = {"planRef": {"name": plan}, "account": account, "accountId": "111111111111"}
        return {"spec": spec, "status": status}

    broken = ["MissingTag dr:wave: add it", "InvalidTag dr:priority: high, low"]
    web = [
        resource("web-1", "Selected", wave="web"),
        resource("=cmd()", "Excluded", problems=broken),
    ]
    silent = {"current": False, "problem": "AccessDenied", "discoveredAt": "2026-03-01T01:00:00Z"}
    return [
        part("orders", "orders-web", {"current": True, "resources": web}),
        part("orders", "orders-db", {**silent, "resources": [resource("db\x1b-1", "NoAdapter")]}),
        part("billing", "billing", {"current": True, "resources": [resource("x", "Selected")]}),
        part("orders", "orders-new", {}),
    ]


def test_every_resource_of_the_plan_is_listed_those_in_trouble_first(
    inventories: list[dict[str, Any]],
) -> None:
    rows = plan_view.compliance_rows("orders", inventories)
    assert [row["name"] for row in rows] == ["=cmd()", "db\x1b-1", "web-1"]
    assert json.loads(plan_view.compliance_json(rows)) == rows
    assert rows[2] == {
        "verdict": "Selected",
        "wave": "web",
        "technology": "drs",
        "account": "orders-web",
        "accountId": "111111111111",
        "region": "us-east-1",
        "name": "web-1",
        "id": "s-web-1",
        "priority": "",
        "strategy": "",
        "application": "",
        "missingSince": "",
        "problems": [],
    }


def test_csv_reads_back_and_holds_no_formula(inventories: list[dict[str, Any]]) -> None:
    rows = plan_view.compliance_rows("orders", inventories)
    read = list(csv.DictReader(io.StringIO(plan_view.compliance_csv(rows))))
    assert [row["id"] for row in read] == [row["id"] for row in rows]
    assert read[0]["name"] == "'=cmd()"
    assert read[0]["problems"] == ("MissingTag dr:wave: add it; InvalidTag dr:priority: high, low")


def test_the_table_counts_and_says_which_account_was_silent(
    inventories: list[dict[str, Any]],
) -> None:
    rows = plan_view.compliance_rows("orders", inventories)
    table = plan_view.compliance_table(rows, plan_view.silent_accounts("orders", inventories))
    lines = table.splitlines()
    assert lines[0].split() == [
        *("VERDICT", "WAVE", "TECHNOLOGY", "ACCOUNT", "REGION", "NAME", "ID", "PROBLEMS")
    ]
    assert lines[-2] == ("3 resources: 1 Excluded, 1 NoAdapter, 1 Selected; 1 with tag problems")
    assert lines[-1] == (
        "⚠ orders-db (111111111111) last answered 2026-03-01T01:00:00Z: AccessDenied"
    )
    assert "\x1b" not in table


def test_an_empty_inventory_is_an_empty_report() -> None:
    assert plan_view.compliance_json([]) == "[]"
    assert plan_view.compliance_table([], []).endswith("0 resources: none; 0 with tag problems")


def _plan(story: Story, ready: str, reason: str, **status: Any) -> dict[str, Any]:
    condition = story.condition("Ready", ready, reason) | {"message": "2 servers lag"}
    return {
        "metadata": {"name": "orders", "namespace": "orders"},
        "spec": {
            "customer": "acme",
            "environment": "production",
            "regions": {"primary": "us-east-1", "recovery": "us-east-2"},
        },
        "status": {"conditions": [condition, *status.pop("conditions", [])], **status},
    }


@pytest.mark.parametrize(
    ("ready", "reason", "others", "glyph"),
    [
        ("True", "Ready", [], "✔ Ready"),
        ("True", "Degraded", [], "⚠ Ready"),
        ("False", "Invalid", ["Stalled"], "✖ Stalled"),
        ("False", "Discovering", ["Reconciling"], "◌ Reconciling"),
        ("Unknown", "Discovering", [], "◷ Pending"),
    ],
)
def test_a_plan_says_whether_it_could_be_recovered(
    story: Story, ready: str, reason: str, others: list[str], glyph: str
) -> None:
    conditions = [story.condition(kind, "True") for kind in others]
    view = plan_view.view(_plan(story, ready, reason, conditions=conditions), story.now)
    assert f"Status:          {glyph}\n" in layout(view, 120, color=False)


def test_a_plan_shows_what_stands_in_the_way(story: Story) -> None:
    plan = _plan(
        story,
        "True",
        "Degraded",
        resources=1050,
        location="Primary",
        waves=[{"name": "web", "resources": 12, "location": "Primary"}],
        accounts=[
            {"name": "orders-db", "accountId": "222222222222", "problem": "AccessDenied"},
            {"name": "orders-web", "accountId": "111111111111", "resources": 1,
             "discoveredAt": story.ago(minutes=5)},
        ],
        readiness=[{"severity": "Blocking", "reason": "NotReplicating", "count": 2,
                    "examples": ["s-1"], "message": "start replication"}],
        compliance={"problems": [{"reason": "MissingTag", "count": 3, "remedy": "add dr:wave"}]},
        activeExecution={"name": "orders-1", "uid": "u"},
    )  # fmt: skip
    drawn = layout(plan_view.view(plan, story.now), 160, color=False)
    lines = {" ".join(line.split()) for line in drawn.splitlines()}
    assert "Resources: 1,050" in lines
    assert "watch: kubectl leeward get drx orders-1 -n orders -w" in lines
    assert "├─ orders-db Account ⚠ Silent 222222222222, 0 resources: AccessDenied" in lines
    assert "├─ orders-web Account ✔ Answered 5m 111111111111, 1 resource" in lines
    assert "├─ 2 NotReplicating Readiness ✖ Blocking start replication (s-1)" in lines
    assert "└─ 3 MissingTag Tags ⚠ Warning add dr:wave" in lines


def test_a_plan_nobody_looked_at_yet_is_drawn(story: Story) -> None:
    plan = _plan(story, "Unknown", "x")
    del plan["status"]
    drawn = layout(plan_view.view(plan, story.now), 120, color=False)
    assert "◷ Pending" in drawn
    assert "the operator has not looked at it yet" in drawn

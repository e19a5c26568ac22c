"""A plan as text, and its tag report as a table, JSON or CSV."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from rich.cells import cell_len, set_cell_size

from leeward.cli import outcome
from leeward.cli.folding import span
from leeward.cli.render import Pair, Row, Status, View, clean, resources_of, status

Object = Mapping[str, Any]

_SHOWN: Final = 10
_HISTORY_SHOWN: Final = 5
_FIELDS: Final = (
    "verdict",
    "wave",
    "technology",
    "account",
    "accountId",
    "region",
    "name",
    "id",
    "priority",
    "strategy",
    "application",
    "missingSince",
    "problems",
)
_TAGS: Final = (
    ("priority", "dr:priority"),
    ("strategy", "dr:recovery-strategy"),
    ("application", "Application"),
)


def view(plan: Object, now: datetime) -> View:
    """Header and tree of a plan: waves, accounts, what stands in the way, the last runs."""
    return View(tuple(_pairs(plan, now)), _root(plan, now))


def _pairs(plan: Object, now: datetime) -> Iterator[Pair]:
    spec, found = plan["spec"], plan.get("status") or {}
    look = _look(plan)
    yield Pair("Name", plan["metadata"]["name"])
    yield Pair("Namespace", plan["metadata"]["namespace"])
    yield Pair("Customer", clean(f"{spec['customer']}, {spec['environment']}"))
    yield Pair("Regions", f"{spec['regions']['primary']} → {spec['regions']['recovery']}")
    yield Pair("Status", look.text, look.tone)
    said = outcome.condition(plan, "Ready").get("message") or found.get("summary")
    yield Pair("Message", clean(said or "the operator has not looked at it yet"))
    yield Pair("Location", found.get("location") or "Unknown")
    yield Pair("Resources", f"{found.get('resources') or 0:,}")
    for kind in ("Discovered", "Compliant", "Protected", "DrillCurrent", "LaunchSettingsValid"):
        condition = outcome.condition(plan, kind)
        if kind in {"DrillCurrent", "LaunchSettingsValid"} and not condition:
            continue  # an older operator wrote the status; the plan has no launch settings
        held = condition.get("status") or "Unknown"
        why = f", {condition['message']}" if condition.get("message") else ""
        yield Pair(kind, clean(held + why), "waiting" if held == "False" else "")
    if looked := found.get("discoveredAt"):
        yield Pair("Looked at", f"{span(looked, None, now)} ago", timed=True)
    if running := found.get("activeExecution"):
        yield Pair("Running", running["name"])
        namespace = plan["metadata"]["namespace"]
        yield Pair("  watch", f"kubectl leeward get drx {running['name']} -n {namespace} -w")
    for field in found.get("unsupported") or []:
        yield Pair("Unsupported", clean(field), "waiting")


def _look(plan: Object) -> Status:
    ready = outcome.condition(plan, "Ready")
    if ready.get("status") == "True":
        degraded = ready.get("reason") == "Degraded"
        return status("Ready", flawed=degraded)
    if outcome.holds(plan, "Stalled"):
        return status("Stalled")
    return status("Reconciling" if outcome.holds(plan, "Reconciling") else "Pending")


def _root(plan: Object, now: datetime) -> Row:
    found = plan.get("status") or {}
    children = (
        *(_wave(wave) for wave in found.get("waves") or []),
        *(_account(account, now) for account in found.get("accounts") or []),
        *(_readiness(problem) for problem in (found.get("readiness") or [])[:_SHOWN]),
        *(_dependency(one) for one in found.get("dependencies") or []),
        *_compliance(found.get("compliance") or {}),
        *_runs(found.get("history") or [], now),
    )
    created = plan["metadata"].get("creationTimestamp")
    return Row(
        plan["metadata"]["name"],
        "Plan",
        _look(plan),
        span(created, None, now),
        children=children,
    )


def _wave(wave: Object) -> Row:
    return Row(
        wave["name"],
        "Wave",
        Status(wave.get("location") or "Unknown"),
        "",
        resources_of(wave),
    )


def _account(account: Object, now: datetime) -> Row:
    problem = clean(account.get("problem") or "")
    info = f"{account['accountId']}, {resources_of(account)}"
    look = Status("Silent", "⚠", "waiting") if problem else Status("Answered", "✔", "good")
    if not account.get("discoveredAt") and not problem:
        look = Status("NotAsked", "○", "quiet")
    return Row(
        account["name"],
        "Account",
        look,
        span(account.get("discoveredAt"), None, now),
        f"{info}: {problem}" if problem else info,
    )


def _readiness(problem: Object) -> Row:
    examples = ", ".join(problem.get("examples") or [])
    info = problem.get("message") or ""
    return Row(
        f"{problem['count']:,} {problem['reason']}",
        "Readiness",
        status(problem["severity"]),
        "",
        clean(f"{info} ({examples})" if examples else info),
    )


def _dependency(one: Object) -> Row:
    looks = {
        "Holds": Status("Holds", "✔", "good"),
        "Failed": Status("Failed", "✖", "bad"),
        "Unknown": Status("Unknown", "⚠", "waiting"),
    }
    return Row(one["name"], one["type"], looks[one["state"]], "", clean(one.get("message") or ""))


def _compliance(report: Object) -> Iterator[Row]:
    for problem in (report.get("problems") or [])[:_SHOWN]:
        examples = ", ".join(problem.get("examples") or [])
        info = problem.get("remedy") or ""
        yield Row(
            f"{problem['count']:,} {problem['reason']}",
            "Tags",
            status("Warning"),
            "",
            clean(f"{info} ({examples})" if examples else info),
        )


def _runs(history: Sequence[Object], now: datetime) -> Iterator[Row]:
    for entry in reversed(history[-_HISTORY_SHOWN:]):
        ended = span(entry["completionTime"], None, now)
        yield Row(entry["name"], entry["operation"], status(entry["state"]), ended, "")


def compliance_rows(plan: str, inventories: Iterable[Object]) -> list[dict[str, Any]]:
    """Every resource of the plan's inventory: verdict, wave, problems; those in trouble first."""
    rows = [
        {
            "verdict": resource["verdict"],
            "wave": resource.get("wave") or "",
            "technology": resource["technology"],
            "account": part["spec"]["account"],
            "accountId": part["spec"]["accountId"],
            "region": resource["region"],
            "name": resource.get("name") or "",
            "id": resource["id"],
            **{field: (resource.get("tags") or {}).get(tag, "") for field, tag in _TAGS},
            "missingSince": resource.get("missingSince") or "",
            "problems": list(resource.get("problems") or []),
        }
        for part in inventories
        if part["spec"]["planRef"]["name"] == plan
        for resource in (part.get("status") or {}).get("resources") or []
    ]
    order = ("problems", "verdict", "accountId", "technology", "name", "id")
    return sorted(rows, key=lambda row: (not row["problems"], *(row[key] for key in order[1:])))


def compliance_json(rows: Sequence[Mapping[str, Any]]) -> str:
    """The report as a JSON list."""
    return json.dumps(list(rows), indent=2, ensure_ascii=False)


def compliance_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """The report as CSV (RFC 4180); several problems in one cell are parted by `; `.

    A cell that a spreadsheet would take for a formula gets an apostrophe before it: names and
    tags are written by whoever may tag a resource.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, _FIELDS)
    writer.writeheader()
    for row in rows:
        flat = {**row, "problems": "; ".join(row["problems"])}
        writer.writerow({key: _inert(str(value)) for key, value in flat.items()})
    return out.getvalue().rstrip("\r\n")


def _inert(cell: str) -> str:
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def compliance_table(rows: Sequence[Mapping[str, Any]], silent: Sequence[str]) -> str:
    """The report for people, with what it does not know at the end."""
    shown = ("verdict", "wave", "technology", "account", "region", "name", "id", "problems")
    lines = [[word.upper() for word in shown]]
    for row in rows:
        flat = {**row, "problems": "; ".join(row["problems"])}
        lines.append([clean(str(flat[key])) for key in shown])
    widths = [max(cell_len(line[column]) for line in lines) for column in range(len(shown))]
    text = [
        "  ".join(set_cell_size(cell, width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    ]
    verdicts = Counter(row["verdict"] for row in rows)
    troubled = sum(1 for row in rows if row["problems"])
    counts = ", ".join(f"{count:,} {verdict}" for verdict, count in verdicts.most_common())
    text += ["", f"{len(rows):,} resources: {counts or 'none'}; {troubled:,} with tag problems"]
    if missing := sum(1 for row in rows if row["missingSince"]):
        text.append(f"⚠ {missing:,} are no longer shown by AWS, though nobody deleted them")
    text += [f"⚠ {clean(line)}" for line in silent]
    return "\n".join(line.rstrip() for line in text)


def silent_accounts(plan: str, inventories: Iterable[Object]) -> list[str]:
    """One line for each account whose part of the inventory is not current."""
    lines = []
    for part in inventories:
        seen = part.get("status") or {}
        if part["spec"]["planRef"]["name"] == plan and seen.get("current") is False:
            account = f"{part['spec']['account']} ({part['spec']['accountId']})"
            when = seen.get("discoveredAt") or "never"
            lines.append(f"{account} last answered {when}: {seen.get('problem') or 'silent'}")
    return sorted(set(lines))

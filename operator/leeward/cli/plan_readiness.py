"""`kubectl leeward plan readiness`: what stands for and against recovering a plan now."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import click

from leeward.cli import outcome
from leeward.cli.render import clean, resources_of
from leeward.planning.wording import counted

Object = Mapping[str, Any]
Verdict = Literal["ok", "flaw", "problem"]

_MARKS: Mapping[Verdict, tuple[str, str]] = {
    "ok": ("✔", "green"),
    "flaw": ("⚠", "yellow"),
    "problem": ("✖", "red"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the report."""

    verdict: Verdict
    """problem: it refuses a Planned run and a Test. flaw: it costs something, but stops nothing."""
    what: str
    message: str


def report(plan: Object) -> list[Line]:
    """The plan's readiness, line by line, from its status."""
    if outcome.condition(plan, "Ready").get("status") is None:
        return [Line("problem", "plan", "the operator has not looked at it yet")]
    return [
        _ready(plan),
        *_accounts(plan),
        *_conditions(plan),
        *_findings(plan),
        *_dependencies(plan),
        *(Line("problem", "field", f) for f in _status(plan).get("unsupported") or []),
    ]


def refused(lines: Sequence[Line]) -> bool:
    """Whether a Planned run or a Test would be refused."""
    return any(line.verdict == "problem" for line in lines)


def text(lines: Sequence[Line], *, color: bool) -> str:
    """The report for people; its last line is the verdict."""
    width = max(len(line.what) for line in lines)
    shown = []
    for line in lines:
        glyph, colour = _MARKS[line.verdict]
        mark = click.style(glyph, fg=colour) if color else glyph
        shown.append(f"{mark} {clean(line.what):{width}}  {clean(line.message)}".rstrip())
    counts = {v: sum(1 for line in lines if line.verdict == v) for v in _MARKS}
    verdict = (
        "a Planned run and a Test would be refused; an Unplanned run lists this at its gates"
        if refused(lines)
        else "a run could start"
    )
    flaws, problems = counted(counts["flaw"], "flaw"), counted(counts["problem"], "problem")
    return "\n".join([*shown, "", f"{counts['ok']} ok, {flaws}, {problems}: {verdict}"])


def written(lines: Sequence[Line]) -> str:
    """The report as a JSON list."""
    return json.dumps([asdict(line) for line in lines], indent=2, ensure_ascii=False)


def _status(plan: Object) -> Object:
    return plan.get("status") or {}


def _ready(plan: Object) -> Line:
    ready = outcome.condition(plan, "Ready")
    message = str(ready.get("message") or _status(plan).get("summary") or "")
    outdated = _status(plan).get("observedGeneration") != plan["metadata"].get("generation")
    if outdated:
        return Line("problem", "plan", "the operator has not looked at its newest spec yet")
    if ready["status"] != "True":
        return Line("problem", "plan", f"{ready.get('reason')}: {message}")
    verdict: Verdict = "flaw" if ready.get("reason") == "Degraded" else "ok"
    return Line(verdict, "plan", message)


def _accounts(plan: Object) -> Iterator[Line]:
    for account in _status(plan).get("accounts") or []:
        what = f"account {account['name']} ({account['accountId']})"
        if why := account.get("problem"):
            known = account.get("discoveredAt") or "never"
            yield Line("problem", what, f"did not answer, last did {known}: {why}")
        else:
            yield Line("ok", what, resources_of(account))


def _conditions(plan: Object) -> Iterator[Line]:
    for kind in ("Compliant", "Protected", "SourceFenced", "DrillCurrent"):
        found = outcome.condition(plan, kind)
        if found:
            verdict: Verdict = "ok" if found["status"] == "True" else "flaw"
            said = found.get("message") or found.get("reason") or ""
            yield Line(verdict, kind, said)
    settings = outcome.condition(plan, "LaunchSettingsValid")
    if settings:
        verdict = "problem" if settings["status"] == "False" else "ok"
        yield Line(verdict, "LaunchSettingsValid", settings.get("message") or "")


def _findings(plan: Object) -> Iterator[Line]:
    for finding in _status(plan).get("readiness") or []:
        verdict: Verdict = "problem" if finding["severity"] == "Blocking" else "flaw"
        examples = ", ".join(finding.get("examples") or [])
        where = f" ({examples})" if examples else ""
        yield Line(
            verdict,
            f"{finding['reason']} x{finding['count']}",
            f"{finding.get('message') or ''}{where}",
        )


def _dependencies(plan: Object) -> Iterator[Line]:
    for one in _status(plan).get("dependencies") or []:
        verdict: Verdict = "ok" if one["state"] == "Holds" else "problem"
        unknown = "not known: " if one["state"] == "Unknown" else ""
        yield Line(verdict, f"dependency {one['name']}", unknown + (one.get("message") or ""))

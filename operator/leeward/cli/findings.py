"""What a check saw, and how a list of it is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import click

from leeward.cli.render import clean
from leeward.planning.wording import counted

Verdict = Literal["ok", "problem", "unknown"]

_MARKS: Final[Mapping[Verdict, tuple[str, str]]] = {
    "ok": ("✔", "green"),
    "problem": ("✖", "red"),
    "unknown": ("⚠", "yellow"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    verdict: Verdict
    text: str


def shown(findings: Sequence[Finding], *, color: bool) -> str:
    """A line for each finding, and their number."""
    return "\n".join([*(_line(finding, color) for finding in findings), _total(findings)])


def sections(found: Mapping[str, Sequence[Finding]], *, color: bool) -> str:
    """The findings under a heading for each section, and their number."""
    lines: list[str] = []
    for title, findings in found.items():
        lines += [click.style(title, bold=True) if color else title]
        lines += [f"  {_line(finding, color)}" for finding in findings]
    return "\n".join([*lines, _total([f for findings in found.values() for f in findings])])


def _line(finding: Finding, color: bool) -> str:
    glyph, colour = _MARKS[finding.verdict]
    mark = click.style(glyph, fg=colour) if color else glyph
    return f"{mark} {clean(finding.text)}"


def _total(findings: Sequence[Finding]) -> str:
    counts = {v: sum(1 for f in findings if f.verdict == v) for v in _MARKS}
    problems = counted(counts["problem"], "problem")
    return f"{counts['ok']} ok, {counts['unknown']} unknown, {problems}"


def failed(findings: Sequence[Finding]) -> bool:
    """Whether there is a problem."""
    return any(finding.verdict == "problem" for finding in findings)

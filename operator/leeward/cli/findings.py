"""What a check saw, and how a list of it is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import click

from leeward.cli.render import clean

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
    lines = []
    for finding in findings:
        glyph, colour = _MARKS[finding.verdict]
        mark = click.style(glyph, fg=colour) if color else glyph
        lines.append(f"{mark} {clean(finding.text)}")
    counts = {v: sum(1 for f in findings if f.verdict == v) for v in _MARKS}
    total = f"{counts['ok']} ok, {counts['unknown']} unknown, {counts['problem']} problems"
    return "\n".join([*lines, total])


def failed(findings: Sequence[Finding]) -> bool:
    """Whether there is a problem."""
    return any(finding.verdict == "problem" for finding in findings)

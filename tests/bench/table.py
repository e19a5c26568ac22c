"""Figures and how they are printed."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

_WIDTH = 90


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    name: str
    value: str
    goal: str = ""
    note: str = ""
    """How it came about: spread, scale, where the rest went."""


def show(title: str, figures: Sequence[Figure]) -> None:
    """Print the figures of one part."""
    sys.stdout.write(f"\n{title}\n")
    for figure in figures:
        goal = f"  goal {figure.goal}" if figure.goal else ""
        sys.stdout.write(f"  {figure.name:<54}{figure.value:>10}{goal}\n")
        for line in textwrap.wrap(figure.note, _WIDTH):
            sys.stdout.write(f"      {line}\n")
    sys.stdout.flush()


def progress(text: str) -> None:
    """Say on standard error what goes on; the table alone is on standard output."""
    sys.stderr.write(f"bench: {text}\n")
    sys.stderr.flush()


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie; nearest rank, the largest for 1."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

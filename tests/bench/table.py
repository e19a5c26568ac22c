"""Figures and how they are printed."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass


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
        goal = f"goal {figure.goal}" if figure.goal else ""
        sys.stdout.write(f"  {figure.name:<52}{figure.value:>10}  {goal:<12}{figure.note}\n")
    sys.stdout.flush()


def progress(text: str) -> None:
    """Say on standard error what goes on; the table alone is on standard output."""
    sys.stderr.write(f"bench: {text}\n")
    sys.stderr.flush()


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie; nearest rank, the largest for 1."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread(values: Sequence[float], unit: str = "") -> str:
    """Median and extremes."""
    middle = statistics.median(values)
    return f"median {middle:.3g}{unit} ({min(values):.3g} to {max(values):.3g}, n={len(values)})"

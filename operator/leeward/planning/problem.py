"""What stands against a plan or a run, as rules and checks say it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that stands against a plan or a run."""

    reason: str
    """CamelCase word."""
    message: str
    """What is wrong, and what to do now."""

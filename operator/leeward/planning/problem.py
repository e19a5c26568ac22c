"""What a rule of plans or a check of preflight says, and the form of a rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from leeward.api.account import TargetAccount
from leeward.api.plan import RecoveryPlan


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that stands against a plan or a run."""

    reason: str
    """CamelCase word."""
    message: str
    """What is wrong, and what to do now."""


Accounts = Mapping[str, TargetAccount]
"""All TargetAccounts by name."""
Rule = Callable[[RecoveryPlan, Accounts], Iterable[Problem]]
"""A rule of plans: the problems that it sees."""


def repeated(names: Iterable[str]) -> list[str]:
    """Names that occur more than once, each once."""
    return [name for name, count in Counter(names).items() if count > 1]

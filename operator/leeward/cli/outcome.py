"""What a run has come to, read from its conditions, and the exit code that says so."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Literal

Goal = Literal["succeeded", "approval", "terminal"]


class Exit(IntEnum):
    """Exit codes of `kubectl leeward`."""

    SUCCEEDED = 0
    ERROR = 1
    FAILED = 2
    WITHIN_TOLERANCE = 3
    TIMEOUT = 4
    WAITING = 5


CODES = """\b
Exit codes:
  0  succeeded (wait --for approval: a gate or a decision waits for people)
  1  the command was wrong, or could not be carried out
  2  the run failed, was cancelled, or expired
  3  succeeded within tolerance: people or the plan left something out
  4  --timeout passed first
  5  the run waits for people's approval or decision (wait --for succeeded)
"""


def condition(obj: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """The condition of this type, or an empty one."""
    conditions = (obj.get("status") or {}).get("conditions") or []
    return next((c for c in conditions if c.get("type") == kind), {})


def holds(obj: Mapping[str, Any], kind: str) -> bool:
    """Whether the condition of this type has status True."""
    return bool(condition(obj, kind).get("status") == "True")


def verdict(execution: Mapping[str, Any]) -> Exit | None:
    """How the run ended; None: it has not."""
    succeeded = condition(execution, "Succeeded")
    match succeeded.get("status"):
        case "True" if succeeded.get("reason") == "WithinTolerance":
            return Exit.WITHIN_TOLERANCE
        case "True":
            return Exit.SUCCEEDED
        case "False":
            return Exit.FAILED
        case _:
            return None


def waits_for_people(execution: Mapping[str, Any]) -> bool:
    """Whether the run stands still until somebody approves or decides."""
    return verdict(execution) is None and (
        holds(execution, "WaitingForApproval") or holds(execution, "WaitingForDecision")
    )


def reached(execution: Mapping[str, Any], goal: Goal) -> Exit | None:
    """The exit code with which waiting for `goal` ends now; None: it goes on.

    A run that ended well without asking anybody did not do what `approval` waits for: ERROR.
    """
    ended = verdict(execution)
    if ended is not None:
        return ended if goal != "approval" or ended is Exit.FAILED else Exit.ERROR
    if goal != "terminal" and waits_for_people(execution):
        return Exit.SUCCEEDED if goal == "approval" else Exit.WAITING
    return None

"""Executions: what was started, and where it stands at a moment of the virtual clock."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from leeward_sandbox.aws.automation.documents import WAITING, AutomationStep

CANCELLING: Final = timedelta(seconds=5)
"""From StopAutomationExecution to Cancelled, in virtual time."""
FINAL: Final = frozenset({"Success", "Failed", "Cancelled"})


@dataclass(slots=True)
class Execution:
    """One run of a document."""

    id: str
    document: str
    version: str
    parameters: dict[str, list[str]]
    tags: dict[str, str]
    principal: str
    started: datetime
    steps: tuple[AutomationStep, ...]
    signals: dict[str, tuple[bool, datetime]] = field(default_factory=dict)
    """By step: whether it was let through, and when."""
    stopped: datetime | None = None


@dataclass(frozen=True, slots=True)
class StepProgress:
    """Where a step stands."""

    step: AutomationStep
    status: str
    start: datetime | None = None
    end: datetime | None = None

    def view(self, execution: Execution) -> dict[str, Any]:
        """A member of StepExecutions."""
        seed = f"{execution.id}/{self.step.name}".encode()
        shown: dict[str, Any] = {
            "StepName": self.step.name,
            "Action": self.step.action,
            "StepStatus": self.status,
            "StepExecutionId": hashlib.sha256(seed).hexdigest()[:32],
            "Inputs": {},
            "Outputs": {},
            "OverriddenParameters": {},
        }
        if self.start is not None:
            shown["ExecutionStartTime"] = self.start
        if self.end is not None:
            shown["ExecutionEndTime"] = self.end
        if self.status == "Failed":
            shown["FailureMessage"] = self.step.failure or "Step was rejected"
            shown["FailureDetails"] = {"FailureStage": "Invocation", "FailureType": "Error"}
        return shown


@dataclass(frozen=True, slots=True)
class Progress:
    """Where an execution stands."""

    status: str
    steps: tuple[StepProgress, ...]
    end: datetime | None = None

    @property
    def current(self) -> StepProgress | None:
        """The step that is at work or waits."""
        return next((s for s in self.steps if s.status in {"InProgress", "Waiting"}), None)


def progress(execution: Execution, now: datetime) -> Progress:
    """Where the execution stands at `now`."""
    stopped = execution.stopped
    if stopped is None or now < stopped:
        return _running(execution, now)
    left = _running(execution, stopped)
    over = now >= stopped + CANCELLING
    status, end = ("Cancelled", stopped + CANCELLING) if over else ("Cancelling", None)
    steps = tuple(
        StepProgress(s.step, status, s.start, end) if s == left.current else s for s in left.steps
    )
    return Progress(status, steps, end)


def _running(execution: Execution, now: datetime) -> Progress:
    """One step after the other, up to the one that is at work, waits or failed."""
    seen: list[StepProgress] = []
    status, end = "Success", None
    at = execution.started
    for step in execution.steps:
        if status != "Success":
            seen.append(StepProgress(step, "Pending"))
            continue
        outcome, end = _outcome(execution, step, at)
        if end is None or end > now:
            status = "Waiting" if end is None else "InProgress"
            end = None
            seen.append(StepProgress(step, status, at))
        else:
            seen.append(StepProgress(step, outcome, at, end))
            status, at = outcome, end
    return Progress(status, tuple(seen), end)


def _outcome(
    execution: Execution, step: AutomationStep, at: datetime
) -> tuple[str, datetime | None]:
    """How the step ends, and when; None: it waits for a signal."""
    if step.action in WAITING:
        signal = execution.signals.get(step.name)
        if signal is None:
            return "Waiting", None
        through, when = signal
        return ("Success" if through else "Failed"), max(at, when)
    meant = all(execution.parameters.get(n) == [value] for n, value in step.when.items())
    failed = step.failure is not None and meant
    return ("Failed" if failed else "Success"), at + timedelta(seconds=step.seconds)

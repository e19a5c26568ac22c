"""What decisions about one DRTask are made from, and what they come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from leeward.api.execution import TaskState
from leeward.api.task import DRTaskSpec, DRTaskStatus, TaskResourceStatus
from leeward_adapters.base import ActionTraits, Observed

FINAL_STATES: Final = frozenset({"Complete", "Failed", "Skipped"})
LOSS_ACCEPTED: Final = "LossAccepted"
"""Reason of what is complete because a person accepted that something newer is lost."""
JOURNAL: Final = 200
"""Batches that a task's journal holds, as the API limits it."""


@dataclass(frozen=True, slots=True)
class StepRules:
    """Figures that the decisions need; all times are the operator's own."""

    settle: timedelta
    """How long AWS may take to show what it was asked for."""
    poll: timedelta
    """How often AWS is asked while it works."""
    attempts: int = 5
    """How often one batch is sent when AWS refuses it with a passing error."""
    backoff: timedelta = timedelta(seconds=5)
    """Pause after the first such refusal; doubled each time."""
    backoff_max: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Batch:
    """Ask AWS for one action on these resources."""

    action: str
    resources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StepDecision:
    """What a pass over a task comes to."""

    resources: tuple[TaskResourceStatus, ...]
    """State of each resource, in the order of the spec."""
    state: TaskState
    message: str
    batch: Batch | None = None
    """What to ask AWS for now; None: nothing."""
    absent: frozenset[str] = frozenset()
    """Ids of intents that are now proved never to have taken effect."""
    settled: frozenset[str] = frozenset()
    """Ids of intents that were sent in part, which a new one for the same resources may replace."""
    forgotten: frozenset[str] = frozenset()
    """Ids of intents that a new one may replace, since the journal is full."""
    delay: timedelta = timedelta(0)
    """When to look again, if nothing wakes the run before."""
    barred: bool = False
    """Whether something would be asked of AWS now, were the account not barred."""


@dataclass(frozen=True, slots=True)
class StepInput:
    """All that the decision depends on."""

    spec: DRTaskSpec
    status: DRTaskStatus
    observed: Observed
    actions: Mapping[str, ActionTraits]
    epoch: int
    leader_since: datetime
    now: datetime
    rules: StepRules
    holding: bool = False
    """Paused: ask for nothing new."""
    stopping: bool = False
    """Cancelled: ask for nothing new, and end when nothing is under way."""
    barred: str = ""
    """Why nothing at all may be asked of the account; empty: it may."""
    held: timedelta = timedelta(0)
    """How long the run was paused, or the task barred, since it began; that does not count as the
    task's time."""

    @property
    def poll(self) -> timedelta:
        """When AWS may have news of what it is doing for the task."""
        return self.rules.poll * self.observed.pace


@dataclass(slots=True)
class Tally:
    """Collects what is to be asked for while the resources are gone through."""

    wanted: dict[str, list[str]] = field(default_factory=dict)
    parts: dict[str, int] = field(default_factory=dict)
    """By resource: most resources of the next batch that it is part of."""
    missing: dict[str, set[str]] = field(default_factory=dict)
    """By intent in doubt: resources of which AWS shows nothing, though it would by now."""
    waits: list[timedelta] = field(default_factory=list)


def failed(rid: str, reason: str, message: str, reference: str = "") -> TaskResourceStatus:
    """A resource that has failed, within the lengths that the API allows."""
    return TaskResourceStatus(
        id=rid, state="Failed", reason=reason[:63], message=message[:1024], reference=reference
    )

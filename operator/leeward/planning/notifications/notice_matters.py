"""What there is to tell people of a run, as its record stands.

Nothing here compares a before with an after: a state that holds is something to tell until the
record says that it was told. So a crash at whatever moment loses no notice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from leeward.api.common import Condition
from leeward.api.conditions import Type, find, holds
from leeward.api.execution import DRExecution
from leeward.api.gate_record import GateStatus
from leeward.api.notifications import NoticeType, Notifications, NotificationSettings
from leeward.api.task import DRTask
from leeward.planning.digests import digest
from leeward.planning.notifications.recipients import settings_for
from leeward.planning.runs.fencing import given_up_on, undone

Settings = tuple[NotificationSettings, ...]


@dataclass(frozen=True, slots=True)
class Matter:
    """Something that people are told of."""

    type: NoticeType
    about: str = ""
    """With `type`, what tells it from other matters of the run."""
    series: str = ""
    """Another one: something new of the same kind, told from the beginning."""
    settings: Settings = ()
    """Of the plan, for this matter."""
    repeats: bool = False
    """Whether people are told again and again while it lasts."""
    gate: GateStatus | None = None
    tasks: tuple[DRTask, ...] = ()
    ends: tuple[str, ...] = ()
    """Where it is about tasks: the states that they came to, as `NotificationRecord.told` has
    them."""

    @property
    def key(self) -> tuple[str, str]:
        """What names it among the run's matters."""
        return self.type, self.about


def matters(
    execution: DRExecution, tasks: Sequence[DRTask], notifications: Notifications
) -> list[Matter]:
    """Everything that holds now and people are told of, in the order in which they should read.

    Of a dry run, which does nothing, nobody is told.
    """
    if execution.spec.dry_run == "Plan":
        return []
    found = [*_started(execution), *_of_tasks(execution, tasks, notifications)]
    if not ended(execution):
        return [*found, *_waiting(execution, tasks, notifications)]
    success = holds(execution.status.conditions, Type.SUCCEEDED)
    return [*found, Matter("ExecutionComplete" if success else "ExecutionFailed")]


def ended(execution: DRExecution) -> bool:
    """Whether the run has its verdict."""
    succeeded = find(execution.status.conditions, Type.SUCCEEDED)
    return succeeded is not None and succeeded.status != "Unknown"


def end_of(task: DRTask) -> str:
    """A short name of the state to which a task came; it differs after a retry."""
    status = task.status
    return digest([task.metadata.uid, status.attempt, status.state, status.completion_time])[7:19]


def _started(execution: DRExecution) -> Iterator[Matter]:
    if execution.status.start_time:
        yield Matter("ExecutionStarted")


def _of_tasks(
    execution: DRExecution, tasks: Sequence[DRTask], notifications: Notifications
) -> Iterator[Matter]:
    """What there is to tell of tasks, together where the same people are told."""
    groups: dict[tuple[NoticeType, str], list[DRTask]] = {}
    for kind, task in _told_of(tasks, notifications, waits=_waits(execution)):
        about = "+".join(one.name for one in _settings_of(task, notifications))
        # No gate has a colon in its name.
        key = f"tasks:{about}" if kind == "ApprovalNeeded" else about
        groups.setdefault((kind, key), []).append(task)
    for (kind, about), members in groups.items():
        yield Matter(
            kind,
            about,
            settings=_settings_of(members[0], notifications),
            repeats=kind == "ApprovalNeeded",
            tasks=tuple(members),
            ends=tuple(end_of(task) for task in members),
        )


def _told_of(
    tasks: Sequence[DRTask], notifications: Notifications, *, waits: bool
) -> Iterator[tuple[NoticeType, DRTask]]:
    """Tasks of which people are told, and what.

    A task that is complete is told only where the plan names it: one message for each of a
    thousand tasks is read by nobody.
    """
    named = {one.name for one in notifications.tasks}
    for task in tasks:
        state = task.status.state
        if state == "Failed":
            yield "TaskFailed", task
        elif state == "Complete" and task.spec.task in named:
            yield "TaskComplete", task
        elif state == "PendingApproval" and waits:
            yield "ApprovalNeeded", task
        if given_up_on(task):
            yield "FenceDeferred", task


def _settings_of(task: DRTask, notifications: Notifications) -> Settings:
    return settings_for(notifications, [task.spec.wave, task.spec.task or ""])


def _waiting(
    execution: DRExecution, tasks: Sequence[DRTask], notifications: Notifications
) -> Iterator[Matter]:
    """What the run waits for people for."""
    status = execution.status
    if not _waits(execution):
        return
    for gate in status.gates:
        if gate.state == "Waiting":
            series = digest([gate.id, gate.asked_at])[7:23]
            settings = settings_for(notifications, [gate.wave, gate.name])
            yield Matter("ApprovalNeeded", gate.name, series, settings, repeats=True, gate=gate)
    condition = find(status.conditions, Type.WAITING_FOR_DECISION)
    # Manual tasks are told one by one, also while others are at work.
    if condition is not None and condition.status == "True" and condition.reason != "ManualTask":
        yield _decision(execution, tasks, notifications, condition)


def _waits(execution: DRExecution) -> bool:
    """Whether an answer could still change something."""
    gone = execution.metadata.deletion_timestamp is not None
    return not (execution.status.cancelling or gone or ended(execution))


def _decision(
    execution: DRExecution,
    tasks: Sequence[DRTask],
    notifications: Notifications,
    condition: Condition,
) -> Matter:
    """What went wrong: a gate that was not passed, else failed tasks of the wave it stands at, else
    fencing of it that people undid."""
    gates = [g for g in execution.status.gates if g.state in {"Rejected", "TimedOut"}]
    gate = gates[-1] if gates and condition.reason.startswith("Gate") else None
    wave = execution.status.current_wave or ""
    mine = [t for t in tasks if t.spec.wave == wave]
    failed = [t for t in mine if t.status.state == "Failed"]
    stuck = () if gate else tuple(failed or filter(undone, mine))
    names = [wave, gate.name if gate else "", *(t.spec.task or "" for t in stuck)]
    return Matter(
        "DecisionNeeded",
        series=digest([condition.reason, condition.last_transition_time])[7:23],
        settings=settings_for(notifications, names),
        repeats=True,
        gate=gate,
        tasks=stuck,
    )

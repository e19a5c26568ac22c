"""Who is told of what, and what of that would not work on the day."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from leeward.api.notifications import Notifications, NotificationSettings
from leeward.api.plan import RecoveryPlanSpec
from leeward.api.plan_record import ReadinessProblem
from leeward.planning.runs.planned_gates import gate_name
from leeward.planning.wording import some


@dataclass(frozen=True, slots=True)
class Recipients:
    """Where a notice goes, and what is said besides."""

    topics: tuple[str, ...]
    """ARNs of SNS topics."""
    bus: str | None
    """ARN of an event bus."""
    notes: tuple[str, ...] = ()

    @property
    def arns(self) -> tuple[str, ...]:
        """All of them; empty: nobody is told."""
        return (*self.topics, self.bus) if self.bus else self.topics


def settings_for(
    notifications: Notifications, names: Sequence[str]
) -> tuple[NotificationSettings, ...]:
    """The settings that speak of `names`, in the order of `names`: a wave, then what is in it."""
    return tuple(
        found
        for name in dict.fromkeys(names)
        for found in notifications.tasks
        if found.name == name
    )


def recipients(
    notifications: Notifications, settings: Sequence[NotificationSettings]
) -> Recipients:
    """Those told anyway, changed by each of `settings` in turn."""
    topics = list(notifications.sns_topic_arns)
    for one in settings:
        topics = [*one.topics] if one.mode == "Override" else [*topics, *one.topics]
    notes = tuple(one.note for one in settings if one.note)
    return Recipients(tuple(dict.fromkeys(topics)), notifications.event_bus_arn, notes)


def region_of(arn: str) -> str:
    """The Region that an ARN names."""
    return arn.split(":")[3]


def account_of(arn: str) -> str:
    """The AWS account that an ARN names."""
    return arn.split(":")[4]


def findings(spec: RecoveryPlanSpec) -> Iterator[ReadinessProblem]:
    """What of the plan's notifications would not reach people on the day.

    None of it makes a plan invalid: a failover is not refused because of who is told of it.
    """
    if spec.notifications is None:
        return
    arns = _all_arns(spec.notifications)
    if not arns:
        yield ReadinessProblem(
            severity="Degraded", reason="NobodyNotified", count=1, examples=["spec.notifications"],
            message="spec.notifications names no topic and no event bus, so nobody is told that "
            "a gate waits; add snsTopicArns or eventBusArn",
        )  # fmt: skip
    yield from _in_failing_region(spec, arns)
    yield from _of_nothing(spec, spec.notifications)


def _all_arns(notifications: Notifications) -> list[str]:
    told = recipients(notifications, ()).arns
    extra = [topic for one in notifications.tasks for topic in one.topics]
    return list(dict.fromkeys([*told, *extra]))


def _in_failing_region(spec: RecoveryPlanSpec, arns: Sequence[str]) -> Iterator[ReadinessProblem]:
    primary = spec.regions.primary
    lost = [arn for arn in arns if region_of(arn) == primary]
    if lost:
        alone = len(lost) == len(arns)
        yield ReadinessProblem(
            severity="Degraded" if alone else "Warning",
            reason="TopicInPrimaryRegion",
            count=len(lost),
            examples=lost[:5],
            message=f"{'every' if alone else 'a'} topic or event bus that is told is in {primary},"
            " the Region whose failure it is to report; use one in "
            f"{spec.regions.recovery} or a third Region",
        )


def _of_nothing(spec: RecoveryPlanSpec, notifications: Notifications) -> Iterator[ReadinessProblem]:
    known = {wave.name for wave in spec.waves}
    known |= {task.name for wave in spec.waves for task in wave.tasks}
    known |= {
        gate_name(wave.name, gate, place)
        for wave in spec.waves
        for place, gate in enumerate(wave.gates)
    }
    # A run may add gates of the default name to any wave.
    known |= {f"wave-{wave.name}" for wave in spec.waves}
    if unknown := [one.name for one in notifications.tasks if one.name not in known]:
        yield ReadinessProblem(
            severity="Degraded",
            reason="UnknownNotificationSubject",
            count=len(unknown),
            examples=unknown[:5],
            message=f"spec.notifications.tasks names {some(unknown)}, which is no explicit task, "
            "wave or gate of this plan, so its topics are told nothing; correct the name",
        )

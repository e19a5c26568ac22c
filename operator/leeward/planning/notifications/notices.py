"""Which notices are due, and the record of those that were sent.

A notice is due when something holds (`leeward.planning.notifications.notice_matters`) of which the
record does not say that it was told, or not lately enough. What is sent and not yet recorded is
sent again after a crash, under the same id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from leeward.api.execution import DRExecution
from leeward.api.notifications import NotificationRecord
from leeward.api.plan import RecoveryPlan
from leeward.api.task import DRTask
from leeward.planning.digests import digest
from leeward.planning.durations import parse
from leeward.planning.notifications.notice_matters import Matter, matters
from leeward.planning.notifications.notice_text import Message, write
from leeward.planning.notifications.recipients import Recipients, recipients
from leeward.planning.times import parse_time, render_time
from leeward.planning.wording import clip

_MOST: Final = 50
"""As many as `status.notifications` holds."""
_REMINDER: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Notice:
    """A message to be sent now."""

    id: str
    """The same however often it is sent; receivers know a double by it."""
    count: int
    """1 for the first about its matter, then 2, …"""
    matter: Matter
    to: Recipients
    message: Message


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a notice."""

    notice: Notice
    at: datetime
    """When it was handed over to be sent."""
    delivered: int
    """Receivers that took it."""
    failures: tuple[str, ...] = ()
    """For each that did not: which, and why."""


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be sent now, and when to look again."""

    notices: tuple[Notice, ...] = ()
    later: timedelta | None = None
    """Until the next becomes due by time alone; None: none does."""


def due(execution: DRExecution, tasks: Sequence[DRTask], plan: RecoveryPlan, now: datetime) -> Due:
    """The notices that are due, by the run's record and the settings of its plan as it is now.

    The first about a matter is due at once. While a gate or a decision waits, another is due each
    `reminderInterval`. One that nobody took is due again after that time too.
    """
    notifications = plan.spec.notifications
    if notifications is None:
        return Due()
    interval = _interval(notifications.reminder_interval)
    notices: list[Notice] = []
    waits: list[timedelta] = []
    for matter in matters(execution, tasks, notifications):
        to = recipients(notifications, matter.settings)
        if not to.arns:
            continue
        record = _record_of(execution.status.notifications, matter)
        wait = _wait(matter, record, now, interval)
        if wait is None:
            continue
        if wait > timedelta(0):
            waits.append(wait)
            continue
        notices.append(_notice(execution, plan, matter, record, to, now))
    return Due(tuple(notices), min(waits, default=None))


def _interval(text: str) -> timedelta:
    try:
        return parse(text)
    except ValueError:
        return _REMINDER  # the plan's status says that it cannot be read


def _record_of(records: Sequence[NotificationRecord], matter: Matter) -> NotificationRecord | None:
    """What people were told of the matter; None: nothing of this series."""
    found = next((r for r in records if (r.type, r.about) == matter.key), None)
    return found if found is not None and found.series == matter.series else None


def _wait(
    matter: Matter, record: NotificationRecord | None, now: datetime, interval: timedelta
) -> timedelta | None:
    """Until a notice about the matter is due, zero: now; None: never by time alone."""
    if record is None:
        return timedelta(0)
    rest = max(parse_time(record.last_time) + interval - now, timedelta(0))
    untold = set(matter.ends) - set(record.told) if matter.ends else record.count == 0
    if untold and record.delivered:
        return timedelta(0)
    return rest if untold or matter.repeats else None


def _notice(
    execution: DRExecution,
    plan: RecoveryPlan,
    matter: Matter,
    record: NotificationRecord | None,
    to: Recipients,
    now: datetime,
) -> Notice:
    count = record.count + 1 if record else 1
    told = set(record.told) if record else set()
    untold = [end for end in matter.ends if end not in told]
    identity = [execution.metadata.uid, *matter.key, matter.series, sorted(untold), count]
    notice_id = digest(identity)[7:39]
    news = tuple(t for t, end in zip(matter.tasks, matter.ends, strict=False) if end in untold)
    if matter.repeats:
        news = matter.tasks
    message = write(
        execution, plan, matter, to.notes, news=news, count=count, id=notice_id, now=now
    )
    return Notice(notice_id, count, matter, to, message)


def recorded(records: Sequence[NotificationRecord], delivery: Delivery) -> list[NotificationRecord]:
    """The record with what became of a notice.

    One that was long on its way does not hide what was told of something newer meanwhile.
    """
    matter, at = delivery.notice.matter, render_time(delivery.at)
    other = next((r for r in records if (r.type, r.about) == matter.key), None)
    if other is not None and other.series != matter.series and other.last_time > at:
        return list(records)
    known = _record_of(records, matter)
    told = list(known.told) if known else []
    if delivery.delivered:
        told = list(dict.fromkeys([*told, *matter.ends]))[-1000:]
    new = NotificationRecord(
        type=matter.type,
        about=matter.about,
        series=matter.series,
        id=delivery.notice.id,
        first_time=known.first_time if known else at,
        last_time=max(at, known.last_time) if known else at,
        count=(known.count if known else 0) + (1 if delivery.delivered else 0),
        delivered=delivery.delivered,
        failed=len(delivery.failures),
        message=clip("; ".join(delivery.failures), 1024),
        told=told,
    )
    others = [r for r in records if (r.type, r.about) != matter.key]
    return [*_newest(others, _MOST - 1), new]


def _newest(records: Sequence[NotificationRecord], room: int) -> list[NotificationRecord]:
    """At most `room` of them. Gates go first: one that was answered is not asked again."""
    order = sorted(records, key=lambda r: (r.type != "ApprovalNeeded", r.last_time))
    leaving = {(r.type, r.about) for r in order[: max(len(records) - room, 0)]}
    return [r for r in records if (r.type, r.about) not in leaving]

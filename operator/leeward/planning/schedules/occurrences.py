"""When a schedule is due, and what of that its blackouts cover.

Cron expressions are read by cronsim, which follows Debian's cron: a fixed time that the change to
daylight saving time leaves out comes at the first minute after the gap, a fixed time that comes
twice when the clock is put back counts once, and what comes every so many minutes or hours keeps
its pace (cron(8) of Debian, "Daylight Saving Time and other time changes").
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from leeward.api.schedule import Blackout, DRScheduleSpec
from leeward.planning.durations import parse
from leeward.planning.times import parse_time

_FIELDS: Final = 5
_AHEAD: Final = 400
"""Blackouts that are looked beyond for a time that none covers."""
_TICK: Final = timedelta(seconds=1)


class CalendarError(ValueError):
    """A schedule cannot be read; the message names the field and says what to write."""


@dataclass(frozen=True, slots=True)
class Cron:
    """One cron expression in one time zone."""

    expression: str
    zone: ZoneInfo

    def after(self, moment: datetime) -> datetime | None:
        """The first time after `moment` (aware), in UTC; None: none within 50 years."""
        return next(self.each(moment), None)

    def each(self, moment: datetime) -> Iterator[datetime]:
        """All times after `moment`, each later than the one before it."""
        last = moment
        for local in CronSim(self.expression, moment.astimezone(self.zone)):
            at = local.astimezone(UTC)
            # Of an hour that comes twice cronsim gives the first: begun in the second, the past.
            if at > last:
                yield at
                last = at


@dataclass(frozen=True, slots=True)
class Calendar:
    """A schedule's times and blackouts."""

    cron: Cron
    fixed: tuple[tuple[str, datetime, datetime], ...]
    """Name, start and end."""
    recurring: tuple[tuple[str, Cron, timedelta], ...]
    """Name, when it begins, how long it lasts."""

    @classmethod
    def of(cls, spec: DRScheduleSpec) -> Calendar:
        """The calendar of a schedule. Raises `CalendarError`."""
        zone = _zone(spec.time_zone)
        cron = _cron(spec.schedule, zone, "spec.schedule")
        fixed = []
        recurring = []
        for blackout in spec.blackouts:
            if blackout.fixed is not None:
                fixed.append((blackout.name, *_window(blackout)))
            if (again := blackout.recurring) is not None:
                field = f"spec.blackouts[{blackout.name}].recurring.schedule"
                began = _cron(again.schedule, zone, field)
                recurring.append((blackout.name, began, parse(again.duration)))
        return cls(cron, tuple(fixed), tuple(recurring))

    def due(self, after: datetime, until: datetime, most: int) -> list[datetime]:
        """The first `most` times after `after`, up to and with `until`."""
        times = islice(self.cron.each(after), most)
        found = []
        for at in times:
            if at > until:
                break
            found.append(at)
        return found

    def blackout(self, moment: datetime) -> str:
        """Name of a blackout that covers the moment; empty: none does."""
        covering = self._covering(moment, {})
        return covering[0] if covering else ""

    def free(self, after: datetime) -> datetime | None:
        """The first time after `after` that no blackout covers; None: none is near."""
        begun: dict[str, datetime | None] = {}
        for _ in range(_AHEAD):
            at = self.cron.after(after)
            covering = self._covering(at, begun) if at is not None else None
            if at is None or covering is None:
                return at
            after = max(at, covering[1] - _TICK)  # what is due before its end is covered too
        return None

    def _covering(
        self, moment: datetime, begun: dict[str, datetime | None]
    ) -> tuple[str, datetime] | None:
        """Name and end of a blackout that covers the moment; None: none does.

        `begun` keeps what was found out of recurring ones for later moments: to look for the next
        beginning costs up to a millisecond.
        """
        for name, start, end in self.fixed:
            if start <= moment < end:
                return name, end
        for name, begins, lasts in self.recurring:
            # The first beginning that is less than its length ago, or the next one.
            began = begun.get(name)
            if name not in begun or (began is not None and began <= moment - lasts):
                began = begun[name] = begins.after(moment - lasts)
            if began is not None and began <= moment:
                return name, began + lasts
        return None


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise CalendarError(
            f"spec.timeZone: {name!r} is no time zone that this operator knows; write a name of "
            "the IANA database, such as Europe/Berlin, or UTC"
        ) from error


def _cron(expression: str, zone: ZoneInfo, field: str) -> Cron:
    """Of an expression that has a time at all, as one for 30 February has not."""
    why = "" if len(expression.split()) == _FIELDS else "it does not have five fields"
    cron = Cron(expression, zone)
    if not why:
        try:
            why = "" if cron.after(datetime(2024, 1, 1, tzinfo=UTC)) else "it never comes"
        except CronSimError as error:
            why = str(error)
    if why:
        raise CalendarError(
            f"{field}: {expression!r} cannot be used: {why}; write minute, hour, day of the month, "
            'month and day of the week, such as "0 2 * * 6"'
        )
    return cron


def _window(blackout: Blackout) -> tuple[datetime, datetime]:
    assert blackout.fixed is not None
    try:
        return parse_time(blackout.fixed.start), parse_time(blackout.fixed.end)
    except ValueError as error:
        raise CalendarError(
            f"spec.blackouts[{blackout.name}].fixed: {error}; write times such as "
            "2026-12-20T00:00:00Z"
        ) from error

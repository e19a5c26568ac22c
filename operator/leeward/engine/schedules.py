"""The pass over one DRSchedule: follow its live drill, start what is due, say what was missed.

The name of a drill follows from the schedule and the time for which it is made. So whatever comes
between creating it and recording it, the next pass finds that very execution.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Final

from leeward.api.execution import DRExecution
from leeward.api.plan import RecoveryPlan
from leeward.api.schedule import SCHEDULE_UID_LABEL, DRSchedule
from leeward.engine.context import Context
from leeward.engine.estate import inventories_of
from leeward.engine.events import Level
from leeward.engine.kube import ApiError, Object, path_of
from leeward.engine.objects import NOT_ENDED, Held, hold, new_object, put_status, read, read_each
from leeward.engine.supervisor import Key
from leeward.planning.estate.protection import outdated
from leeward.planning.schedules import decisions, drills, record
from leeward.planning.schedules.decisions import MOST, Decision, Miss, Seen, Why
from leeward.planning.schedules.occurrences import Calendar, CalendarError
from leeward.planning.times import parse_time, render_time

IDLE: Final = 600.0
"""Seconds between passes at most."""
SOON: Final = 60.0
"""The same while a drill lives or the plan is not there, if no watch tells of them."""
LOOKING: Final = 5.0
"""The same while a drill that is due waits for a look at the accounts."""


class ScheduleReconciler:
    """Passes over schedules."""

    def __init__(self, context: Context) -> None:
        self._c = context

    async def run(self, key: Key) -> float | None:
        """One pass; seconds until the next, or None when there is no such schedule."""
        try:
            raw = await self._c.kube.get(path_of(DRSchedule.PLURAL, key.namespace, key.name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        held = hold(DRSchedule, raw)
        if held.model.metadata.uid != key.uid or held.model.metadata.deletion_timestamp:
            return None
        schedule = await self._followed(held.model)
        now = self._c.now()
        try:
            calendar = Calendar.of(schedule.spec)
        except CalendarError as error:
            await put_status(self._c.kube, held, record.invalid(schedule, str(error), now))
            return IDLE
        plan = await self._plan(schedule)
        begun = decisions.since(schedule, _edited(raw))
        due = calendar.due(begun, now, MOST + 1)
        decision = Decision(begun)
        if due:
            decision, schedule = await self._due(schedule, calendar, plan, due)
        status = record.decided(
            schedule, calendar, decision, now, plan=plan is not None, runs_here=self._runs_here
        )
        await put_status(self._c.kube, held, status)
        await self._tell(held, decision)
        if decision.waits:
            return LOOKING
        again = calendar.cron.after(decision.until if due else now)
        waits = SOON if status.active or plan is None else IDLE
        until = (again - self._c.now()).total_seconds() if again else waits
        return max(min(until, waits), 0.0)

    @property
    def _runs_here(self) -> bool:
        return self._c.settings.schedules == "On"

    async def _due(
        self,
        schedule: DRSchedule,
        calendar: Calendar,
        plan: RecoveryPlan | None,
        due: list[datetime],
    ) -> tuple[Decision, DRSchedule]:
        """What becomes of the drills that are due, and the schedule with the one that started."""
        if schedule.spec.suspend or not self._runs_here:
            return decisions.passed_over(due), schedule
        now = self._c.now()
        old: list[str] = []
        if plan is not None:
            inventories = await inventories_of(self._c.kube, plan)
            old = outdated(plan.spec, [i.model for i in inventories], now)
        busy, made = await self._busy(schedule), await self._made(schedule)
        decision = decisions.decide(
            schedule, calendar, due, now, Seen(plan, busy, made, tuple(old))
        )
        if decision.start is None:
            return decision, schedule
        run = await self._start(schedule, decision.start)
        if isinstance(run, Miss):
            missed = (*decision.missed, run)
            return replace(decision, start=None, missed=missed), schedule
        return decision, record.started(schedule, run, decision.start)

    async def _start(self, schedule: DRSchedule, due: datetime) -> DRExecution | Miss:
        """The drill for that time, created unless it is there; or why it cannot be.

        If somebody creates another one of its name meanwhile, the next pass (409) sees that.
        """
        namespace, name = schedule.metadata.namespace, drills.run_name(schedule, due)
        there = await self._named(namespace, name)
        if there is None:
            body = new_object(DRExecution, namespace, name, drills.spec_of(schedule, due))
            body["metadata"] |= drills.metadata(schedule)
            self._c.lease.assert_valid()
            try:
                made = await self._c.kube.create(path_of(DRExecution.PLURAL, namespace), body)
            except ApiError as error:
                if error.status in {403, 422}:
                    return Miss(1, due, Why.REFUSED, f"the API server refused {name}: {error}")
                raise
            return hold(DRExecution, made).model
        if drills.made_by(schedule, there):
            return there
        message = f"there is another execution named {name}, which this schedule did not make"
        return Miss(1, due, Why.NAME_TAKEN, message)

    async def _followed(self, schedule: DRSchedule) -> DRSchedule:
        active = schedule.status.active
        if active is None:
            return schedule
        run = await self._named(schedule.metadata.namespace, active.name)
        if run is not None and run.metadata.uid != active.uid:
            run = None
        return record.followed(schedule, run)

    async def _named(self, namespace: str, name: str) -> DRExecution | None:
        try:
            return (await read(self._c.kube, DRExecution, namespace, name)).model
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def _plan(self, schedule: DRSchedule) -> RecoveryPlan | None:
        namespace, name = schedule.metadata.namespace, schedule.spec.plan_ref.name
        try:
            return (await read(self._c.kube, RecoveryPlan, namespace, name)).model
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def _busy(self, schedule: DRSchedule) -> str:
        """Name of an execution that lives, be it that it has not begun: the schedule's, or its
        plan's."""
        if schedule.status.active is not None:
            return schedule.status.active.name
        plan = schedule.spec.plan_ref.name
        async for run in read_each(
            self._c.kube, DRExecution, schedule.metadata.namespace, NOT_ENDED
        ):
            spec, status = run.model.spec, run.model.status
            if spec.plan_ref.name == plan and spec.dry_run == "None" and not status.completion_time:
                return run.model.metadata.name
        return ""

    async def _made(self, schedule: DRSchedule) -> frozenset[str]:
        path = path_of(DRExecution.PLURAL, schedule.metadata.namespace)
        mine = f"{SCHEDULE_UID_LABEL}={schedule.metadata.uid}"
        listed = await self._c.kube.list(path, selector=mine, whole=False)
        return frozenset(run["metadata"]["name"] for run in listed)

    async def _tell(self, held: Held[DRSchedule], decision: Decision) -> None:
        emit, at = self._c.recorder.emit, render_time(self._c.now())
        for miss in decision.missed:
            level: Level = "Normal" if miss.reason == Why.BLACKOUT else "Warning"
            message = f"the drill due {render_time(miss.last)} does not start: {miss.message}"
            await emit(held.raw, "DrillMissed", message, level, at, "Schedule")
        if decision.start is not None:
            name = drills.run_name(held.model, decision.start)
            message = f"execution {name} was created, due {render_time(decision.start)}"
            await emit(held.raw, "DrillStarted", message, "Normal", at, "Schedule")


def _edited(raw: Object) -> datetime | None:
    """When somebody last wrote the object's spec, as the API server noted it."""
    return max(_writes_of_spec(raw), default=None)


def _writes_of_spec(raw: Object) -> Iterator[datetime]:
    for entry in raw["metadata"].get("managedFields") or ():
        if "f:spec" in (entry.get("fieldsV1") or {}) and "time" in entry:
            yield parse_time(entry["time"])

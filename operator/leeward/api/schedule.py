"""DRSchedule: when drills of a plan start by themselves."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import ConfigDict, Field, StringConstraints

from leeward.api.common import (
    PREFIX,
    Conditions,
    Duration,
    Line,
    Model,
    Operation,
    Ref,
    Resource,
    ShortName,
    Text,
    Time,
    atomic,
    listmap,
    rules,
)
from leeward.api.execution import ExecutionGate, ExecutionState, ResourceChoice

SCHEDULE_LABEL: Final = f"{PREFIX}schedule"
"""Label of an execution that the operator created: the name of the schedule that it belongs to."""
SCHEDULE_UID_LABEL: Final = f"{PREFIX}schedule-uid"
"""Label with that one's uid."""
LONGEST_NAME: Final = 54
"""Characters of a schedule's name: its executions' names add a hyphen and a minute, and have 63."""


def _listed(term: str) -> str:
    """A field of a cron expression: terms with commas, each a value, a range or a star, by steps.

    Without backslashes, because it stands in a CEL string.
    """
    one = f"([*]|({term})(-({term}))?)(/[1-9][0-9]?)?"
    return f"{one}(,{one})*"


_MONTHS: Final = "JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC"
_DAYS: Final = "SUN|MON|TUE|WED|THU|FRI|SAT"
_FIELDS: Final = (
    _listed("[0-5]?[0-9]"),
    _listed("[01]?[0-9]|2[0-3]"),
    _listed("0?[1-9]|[12][0-9]|3[01]|L"),
    _listed(f"0?[1-9]|1[0-2]|{_MONTHS}"),
    _listed(f"([0-7]|{_DAYS})(#[1-5]|L)?"),
)
_CRON: Final = f"(?i)^{' +'.join(_FIELDS)}$"

Cron = Annotated[
    str,
    StringConstraints(min_length=9, max_length=100),
    Field(
        json_schema_extra=rules(
            (
                f"self.matches('{_CRON}')",
                "must be a cron expression of five fields (minute, hour, day of the month, month, "
                'day of the week), such as "0 2 * * 6" for Saturdays at two o\'clock',
            )
        )
    ),
]
"""A cron expression of five fields."""
TimeZone = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64),
    Field(
        json_schema_extra=rules(
            (
                "self.matches('^[A-Za-z][-A-Za-z0-9_+]*(/[A-Za-z0-9][-A-Za-z0-9_+]*){0,2}$') "
                "&& self.lowerAscii() != 'local'",
                "must be the name of a time zone as IANA has it, such as Europe/Berlin or UTC",
            )
        )
    ),
]
"""Name of a time zone in the IANA database."""


class FixedBlackout(Model):
    """A time that comes once."""

    model_config = ConfigDict(
        json_schema_extra=rules(("self.start < self.end", "start must be before end"))
    )

    start: Time
    """First moment at which no drill starts."""
    end: Time
    """First moment at which drills start again."""


class RecurringBlackout(Model):
    """A time that comes again and again."""

    schedule: Cron
    """When it begins, in the time zone of the schedule."""
    duration: Annotated[
        Duration,
        Field(
            json_schema_extra=rules(
                ("duration(self) <= duration('8784h')", "must not be longer than a year (8784h)")
            )
        ),
    ]
    """How long it lasts, in elapsed time, such as `72h`."""


class Blackout(Model):
    """A time in which no drill starts. One that runs goes on."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.fixed) == (self.type == 'Fixed') "
                "&& has(self.recurring) == (self.type == 'Recurring')",
                "give the block that type names, and no other: fixed or recurring",
            )
        )
    )

    name: ShortName
    """What people call it, such as `year-end`."""
    type: Literal["Fixed", "Recurring"]
    """Whether it comes once or again and again."""
    fixed: FixedBlackout | None = None
    """For type Fixed: from when to when."""
    recurring: RecurringBlackout | None = None
    """For type Recurring: when it begins, and how long it lasts."""


class DrillTemplate(Model):
    """The executions that a schedule makes, as an execution's spec has these fields."""

    operation: Annotated[
        Operation,
        Field(
            json_schema_extra=rules(
                (
                    "self == 'Test'",
                    "a schedule makes Tests only: people start what changes production",
                )
            )
        ),
    ] = "Test"
    """Test, and nothing else: rehearse a failover in the drill network and clean up."""
    approval_mode: Literal["Required", "Automatic"] = "Required"
    """Automatic passes the gates without asking, so that a drill needs nobody to be awake."""
    waves: Annotated[list[ShortName], Field(max_length=20)] = []
    """Only these waves, in the plan's order. Empty: all, without which a drill does not count as
    one of the whole plan."""
    resources: ResourceChoice | None = None
    """Resources to take in or to leave out. Explicit tasks run with their waves all the same."""
    gates: Annotated[
        list[ExecutionGate], Field(max_length=40, json_schema_extra=listmap("wave", "before"))
    ] = []
    """Further gates. The plan's gates always stay."""
    reason: Text | None = None
    """Why this is done; the execution's reason names the schedule besides."""


class DRScheduleSpec(Model):
    """When drills of a plan start."""

    plan_ref: Ref
    """RecoveryPlan in the same namespace."""
    schedule: Cron
    """When a drill starts, as cron has it: minute, hour, day of the month, month, day of the week.
    A time that the change to daylight saving time leaves out is made up at the first minute after
    the gap; a fixed time that comes twice when the clock is put back counts once."""
    time_zone: TimeZone = "UTC"
    """Time zone of `schedule` and of recurring blackouts, by its name in the IANA database."""
    suspend: bool = False
    """Whether no drill starts until this is false again. What would have started meanwhile is not
    made up, and not counted as missed."""
    starting_deadline_seconds: Annotated[int, Field(ge=30, le=86400)] = 600
    """How late a drill may start, because no operator was there at its time. Later than that it is
    missed."""
    concurrency_policy: Literal["Forbid"] = "Forbid"
    """Forbid: while an execution of the plan lives, no drill starts; it is missed. There is no
    other: a plan has one live execution, and a drill that were replaced would have to clean up
    first all the same."""
    blackouts: Annotated[
        list[Blackout], Field(max_length=20, json_schema_extra=listmap("name"))
    ] = []
    """Times in which no drill starts."""
    template: DrillTemplate = DrillTemplate()
    """What the executions are like."""


class ScheduledRun(Model):
    """An execution that the schedule made."""

    name: Annotated[str, Field(max_length=63)]
    """Its name: the schedule's, and the minute for which it was made, counted from 1970 (UTC)."""
    uid: Annotated[str, Field(max_length=64)] = ""
    """Its uid."""
    scheduled_time: Time
    """When it was due."""
    state: ExecutionState | None = None
    """How it ended; absent while it lives."""


class Missed(Model):
    """Drills that were due and did not start."""

    count: int
    """How many, since the schedule was made."""
    last_time: Time
    """When the last of them was due."""
    reason: Annotated[str, Field(max_length=63)]
    """Why that one did not start, as a CamelCase word."""
    message: Text
    """Why, for people."""


class DRScheduleStatus(Model):
    """What came of the schedule."""

    observed_generation: int | None = None
    """Generation of the spec that this status speaks of."""
    conditions: Conditions = []
    """Ready: drills start as the spec says, or it is suspended. Reconciling: it waits for its
    plan. Stalled: a person must correct something."""
    message: Text | None = None
    """When the next drill starts, or what keeps it from starting."""
    decided_time: Time | None = None
    """What was due until then was started, or said to be missed."""
    next_schedule_time: Time | None = None
    """When the next drill starts: the first time that no blackout covers."""
    last_schedule_time: Time | None = None
    """When the last drill that started was due."""
    last_successful_time: Time | None = None
    """When the last drill that succeeded ended."""
    active: ScheduledRun | None = None
    """The drill that lives."""
    last_run: ScheduledRun | None = None
    """The last drill that ended."""
    missed: Missed | None = None
    """Drills that did not start. Absent: none yet."""
    unsupported: Annotated[list[Line], Field(max_length=50, json_schema_extra=atomic())] = []
    """Fields of the stored spec that do nothing in this version."""


class DRSchedule(Resource):
    """Starts drills of a RecoveryPlan at set times; made by people."""

    KIND: ClassVar[str] = "DRSchedule"
    PLURAL: ClassVar[str] = "drschedules"
    SHORT: ClassVar[str] = "drsched"
    NAMESPACED: ClassVar[bool] = True
    COLUMNS: ClassVar[list[tuple[str, str, str]]] = [
        ("Plan", "string", ".spec.planRef.name"),
        ("Schedule", "string", ".spec.schedule"),
        ("Time Zone", "string", ".spec.timeZone"),
        ("Suspended", "boolean", ".spec.suspend"),
        ("Next", "string", ".status.nextScheduleTime"),
        ("Active", "string", ".status.active.name"),
        ("Last", "string", ".status.lastRun.state"),
        ("Missed", "integer", ".status.missed.count"),
        ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status'),
        ("Age", "date", ".metadata.creationTimestamp"),
    ]

    spec: DRScheduleSpec
    """When drills start."""
    status: DRScheduleStatus = DRScheduleStatus()
    """What came of it."""

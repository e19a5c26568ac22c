"""DRExecution: one run of a plan. Its spec never changes; its status is the record."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from leeward.api.chain import CHAIN_RULES, MOST_FOLLOWERS, FollowUp, NextRun
from leeward.api.common import (
    Conditions,
    Line,
    Mode,
    Model,
    Operation,
    RecoveryPhase,
    Ref,
    Resource,
    ResourceId,
    ShortName,
    TagKey,
    TagValue,
    Text,
    Time,
    atomic,
    later,
    later_values,
    listmap,
    rules,
)
from leeward.api.gate_record import FrozenGate, GateStatus
from leeward.api.notifications import NotificationRecord
from leeward.api.plan import Gate, Parallelism
from leeward.api.plan_record import Location
from leeward.api.preview import Preview
from leeward.api.run_times import RunObjectives


class ExecutionGate(Gate):
    """A gate that this execution adds to those of the plan."""

    wave: ShortName
    """Wave that it belongs to."""


class RecoveryPoint(Model):
    """Which point in time is recovered."""

    type: Annotated[
        Literal["Latest", "Before", "Pinned"],
        Field(
            json_schema_extra=later_values(
                Before="the latest recovery point is used",
                Pinned="the latest recovery point is used",
            )
        ),
    ] = "Latest"
    """Latest: the newest consistent one."""
    before: Annotated[
        Time | None, Field(json_schema_extra=later("the latest recovery point is used"))
    ] = None
    """For type Before: nothing newer than this."""
    snapshots: Annotated[
        dict[ResourceId, Line],
        Field(max_length=500, json_schema_extra=later("the latest recovery point is used")),
    ] = {}
    """For type Pinned: snapshot by resource."""


class ResourceChoice(Model):
    """Resources to take in or to leave out."""

    include: Annotated[list[ResourceId], Field(max_length=1000)] = []
    """Only these, by id or ARN. Empty: all."""
    exclude: Annotated[list[ResourceId], Field(max_length=1000)] = []
    """Not these, by id or ARN."""


class DRExecutionSpec(Model):
    """One run of a plan. It never changes once written."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("self == oldSelf", "the spec of an execution never changes; create another execution"),
            *CHAIN_RULES,
        )
    )

    plan_ref: Ref
    """RecoveryPlan in the same namespace."""
    operation: Operation
    """Failover: recover the estate in the recovery Region. Reprotect: fence what the failover had
    to leave, and replicate back. Failback: move the estate to the primary Region again, and
    replicate from there. Cleanup: retire what a failback left in the recovery Region. Test:
    rehearse a failover in the drill network and clean up."""
    mode: Mode = "Planned"
    """Planned: a failed check refuses the run. Unplanned: only an impossible run is refused,
    other findings are shown at the gates."""
    approval_mode: Literal["Required", "Automatic"] = "Required"
    """Automatic passes the gates without asking; beyond Test the plan must allow it, and the
    requester needs the verb `approve` on the plan."""
    waves: Annotated[list[ShortName], Field(max_length=20)] = []
    """Only these waves, in the plan's order. Empty: all."""
    resources: ResourceChoice | None = None
    """Resources to take in or to leave out. Explicit tasks run with their waves all the same."""
    gates: Annotated[
        list[ExecutionGate], Field(max_length=40, json_schema_extra=listmap("wave", "before"))
    ] = []
    """Further gates. The plan's gates always stay."""
    recovery_point: RecoveryPoint = RecoveryPoint()
    """Which point in time is recovered."""
    dry_run: Literal["None", "Plan"] = "None"
    """Plan: show what would be done in `status.preview`, change nothing. It does not hold the
    plan, and its name may be used again."""
    parameters: Annotated[
        dict[TagKey, TagValue], Field(max_length=50, json_schema_extra=later("parameters"))
    ] = {}
    """Values for scripts and automations."""
    reason: Text | None = None
    """Why this is done."""
    incident: (
        Annotated[str, Field(max_length=63, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")]
        | None
    ) = None
    """Incident number."""
    priority: Annotated[
        int | None, Field(ge=0, le=1000, json_schema_extra=later("runs share AWS evenly"))
    ] = None
    """Larger goes first where runs compete for AWS quotas."""
    start_before: Time | None = None
    """A run that has not begun by then ends Expired untouched. Required where a service account
    creates anything but a Test."""
    continue_from: Ref | None = None
    """Execution of the same plan that this one corrects. If it lives it is cancelled and followed
    until nothing of it is under way; then the plan is frozen anew, and what AWS shows as done
    counts as done."""
    then: Annotated[list[NextRun], Field(max_length=MOST_FOLLOWERS)] = []
    """Executions that follow this one, in order. When this one is Succeeded as a whole (not within
    a tolerance) the operator creates the first, which creates the next. Each is Planned, works on
    the same waves and resources, and begins with a gate of its own."""


TaskState = Literal[
    "NotStarted",
    "InProgress",
    "PendingApproval",
    "Complete",
    "Failed",
    "Skipped",
    "Retry",
    "Abandoned",
]
ExecutionState = Literal[
    "Pending",
    "Preflight",
    "Running",
    "WaitingForApproval",
    "WaitingForDecision",
    "Paused",
    "Succeeded",
    "Failed",
    "Cancelled",
    "Expired",
]
TERMINAL: frozenset[str] = frozenset({"Succeeded", "Failed", "Cancelled", "Expired"})


class TaskRecord(Model):
    """A task of the run as it was frozen."""

    name: Line
    """Name of the DRTask."""
    uid: Annotated[str, Field(max_length=64)]
    """Its uid."""
    digest: Annotated[str, Field(max_length=80)]
    """SHA-256 of its stored spec."""


class Counts(Model):
    """How many resources are in which state."""

    total: int = 0
    """All."""
    complete: int = 0
    """Proved to be where they should be."""
    in_progress: int = 0
    """Under way."""
    failed: int = 0
    """Failed."""
    skipped: int = 0
    """Left out by a person or because nothing was to be done."""


class WaveProgress(Model):
    """How far a wave is."""

    name: Annotated[str, Field(max_length=24)]
    """Wave."""
    ordinal: int
    """Its place in the order, from 1."""
    state: TaskState
    """State of the whole wave."""
    recovery_phase: RecoveryPhase | None = None
    """Phase that it is in."""
    resources: Counts = Counts()
    """Resources of the wave; complete when they are through all phases."""
    required: int | None = None
    """Critical resources that must succeed, as the frozen plan tolerates it. Absent: all."""
    start_time: Time | None = None
    """When its first task began."""
    completion_time: Time | None = None
    """When its last task ended."""


class BreakGlass(Model):
    """A person took the rules on approvals into their own hands for this run."""

    user: Line
    """Who."""
    time: Time
    """When."""
    comment: Line = ""
    """Why."""


class Accepting(Model):
    """A command that is being taken off the object; it is not given again meanwhile."""

    key: Annotated[str, Field(max_length=320)]
    """Annotation."""
    value: Annotated[str, Field(max_length=512)]
    """Its value."""


class CommandRecord(Model):
    """A command that was taken."""

    key: Annotated[str, Field(max_length=320)]
    """Annotation."""
    object: Line = ""
    """DRTask that it was written on; empty: the execution."""
    user: Line
    """Who gave it."""
    comment: Line = ""
    """What they added."""
    time: Time
    """When it was recorded."""
    result: Text = ""
    """What came of it."""


class RunEvent(Model):
    """Something that happened."""

    time: Time
    """When."""
    reason: Annotated[str, Field(max_length=63)]
    """CamelCase word."""
    message: Text
    """What."""


class DRExecutionStatus(Model):
    """The record of the run."""

    observed_generation: int | None = None
    """Generation of the spec that this status speaks of."""
    state: ExecutionState | None = None
    """For people and printer columns."""
    mode: Mode | None = None
    """Mode in force: that of the spec, or Unplanned once a person made it so."""
    conditions: Conditions = []
    """Succeeded, Ready, Reconciling, Stalled, WaitingForApproval, WaitingForDecision, Paused,
    GuardActive."""
    message: Text | None = None
    """What it is doing or waiting for, and what a person can do."""
    epoch: int = 0
    """Leadership under which the record was last written; an older leader cannot write."""
    requested_by: Line | None = None
    """Who created the execution."""
    plan_generation: int | None = None
    """Generation of the plan that was frozen."""
    plan_digest: Annotated[str, Field(max_length=80)] | None = None
    """Of the frozen plan."""
    start_time: Time | None = None
    """When the run began."""
    completion_time: Time | None = None
    """When it ended."""
    mutated: bool = False
    """Whether anything was changed in AWS."""
    tasks: Annotated[list[TaskRecord], Field(max_length=1000, json_schema_extra=atomic())] = []
    """The frozen tasks, in order."""
    waves: Annotated[list[WaveProgress], Field(max_length=20, json_schema_extra=atomic())] = []
    """How far each wave is."""
    current_wave: Annotated[str, Field(max_length=24)] | None = None
    """Wave that is being worked on."""
    resources: Counts = Counts()
    """Resources of the run."""
    gates: Annotated[list[GateStatus], Field(max_length=60, json_schema_extra=listmap("name"))] = []
    """Gates that were asked."""
    frozen_gates: Annotated[list[FrozenGate], Field(max_length=60, json_schema_extra=atomic())] = []
    """Gates of the frozen plan, asked or not."""
    accepting: Accepting | None = None
    """Command being taken."""
    commands: Annotated[list[CommandRecord], Field(max_length=100, json_schema_extra=atomic())] = []
    """Commands that were taken, newest last."""
    paused: bool = False
    """Whether a person paused the run."""
    cancelling: bool = False
    """Whether a person cancelled it: nothing new starts, what runs is followed to its end."""
    adopted: bool = False
    """Whether a person let it go on although AWS knows an earlier run of its name."""
    unplanned: bool = False
    """Whether a person made a Planned run go on as an Unplanned one."""
    break_glass: BreakGlass | None = None
    """Set when quorum, approver lists and four eyes were waived, destructive gates excepted."""
    parallelism: Parallelism | None = None
    """How much runs at once, as frozen. Absent: as much as AWS's quotas let."""
    prepares: Literal["InTurn", "Ahead"] = "InTurn"
    """Ahead: launch settings of the next wave may be made while a wave is under way. InTurn: no
    Failover, or a drill of the same servers still had settings to put back when it began."""
    location: Location | None = None
    """Where the estate serves as far as this run knows."""
    objectives: RunObjectives | None = None
    """Recovery times and replication lag, estimated, promised and real."""
    preview: Preview | None = None
    """For a dry run: what a run would do. At most 20 KB."""
    findings: Annotated[list[Text], Field(max_length=30, json_schema_extra=atomic())] = []
    """What preflight found and let pass."""
    next: FollowUp | None = None
    """The execution that follows this one."""
    events: Annotated[list[RunEvent], Field(max_length=20, json_schema_extra=atomic())] = []
    """The last events."""
    notifications: Annotated[
        list[NotificationRecord], Field(max_length=50, json_schema_extra=atomic())
    ] = []
    """What people were told."""
    unsupported: Annotated[list[Line], Field(max_length=50, json_schema_extra=atomic())] = []
    """Fields of the stored spec that do nothing in this version."""


class DRExecution(Resource):
    """One run of a RecoveryPlan: a failover, the way back, or a rehearsal."""

    KIND: ClassVar[str] = "DRExecution"
    PLURAL: ClassVar[str] = "drexecutions"
    SHORT: ClassVar[str] = "drx"
    NAMESPACED: ClassVar[bool] = True
    MAX_NAME: ClassVar[int] = 63
    COLUMNS: ClassVar[list[tuple[str, str, str]]] = [
        ("Plan", "string", ".spec.planRef.name"),
        ("Operation", "string", ".spec.operation"),
        ("Mode", "string", ".status.mode"),
        ("State", "string", ".status.state"),
        ("Wave", "string", ".status.currentWave"),
        ("Done", "integer", ".status.resources.complete"),
        ("Failed", "integer", ".status.resources.failed"),
        ("Total", "integer", ".status.resources.total"),
        ("Age", "date", ".metadata.creationTimestamp"),
        ("Message", "string", ".status.message"),
    ]

    spec: DRExecutionSpec
    """What was asked."""
    status: DRExecutionStatus = DRExecutionStatus()
    """What happened."""

    @property
    def mode(self) -> Mode:
        """The mode in force."""
        return "Unplanned" if self.status.unplanned else self.spec.mode

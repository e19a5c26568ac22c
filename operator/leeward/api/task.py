"""DRTask: one unit of a run. The operator alone writes it; people may annotate it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from leeward.api.common import (
    AccountId,
    Conditions,
    Duration,
    Line,
    Mode,
    Model,
    Operation,
    RecoveryPhase,
    Region,
    Resource,
    ResourceId,
    RoleArn,
    TagKey,
    Text,
    Time,
    atomic,
    rules,
)
from leeward.api.execution import TaskState
from leeward.api.launch import ServerLaunch
from leeward.api.plan import DrillNetwork
from leeward.api.run_times import Span
from leeward.api.tasks import AutomationTask, AutoScalingTask, ManualTask, Route53Task


class ExecutionRef(Model):
    """The execution that a task belongs to."""

    name: Annotated[str, Field(max_length=63)]
    """Name."""
    uid: Annotated[str, Field(max_length=64)]
    """Uid."""


class TaskResource(Model):
    """A resource that the task works on."""

    id: ResourceId
    """Id as the technology's API wants it, such as `s-…` for a DRS source server."""
    arn: Annotated[str, Field(max_length=1011)]
    """ARN."""
    name: Line = ""
    """The tag `Name`."""
    attributes: Annotated[
        dict[TagKey, Annotated[str, Field(max_length=512)]], Field(max_length=20)
    ] = {}
    """What else the adapter needs, as discovery found it."""
    criticality: Literal["Critical", "Optional"] = "Critical"
    """Optional: its failure does not hold the run."""
    rpo_target: Span | None = None
    """The tag `dr:rpo-target`."""
    rto_target: Span | None = None
    """The tag `dr:rto-target`."""
    launch: ServerLaunch | None = None
    """Launch settings that it is launched with."""


class DRTaskSpec(Model):
    """One unit: wave × phase × technology × account × Region × at most 100 resources."""

    model_config = ConfigDict(
        json_schema_extra=rules(("self == oldSelf", "the spec of a task never changes"))
    )

    execution_ref: ExecutionRef
    """The run."""
    plan: Line
    """The plan's name, for the tags on AWS's side."""
    operation: Operation
    """The run's operation."""
    mode: Mode
    """The run's mode."""
    wave: Annotated[str, Field(max_length=24)]
    """Wave."""
    wave_ordinal: int
    """Its place in the order, from 1."""
    recovery_phase: RecoveryPhase
    """Phase."""
    technology: Annotated[str, Field(max_length=24)]
    """Adapter that does the work."""
    task: Annotated[str, Field(max_length=24)] | None = None
    """Name of the explicit task in the plan, if it is one."""
    account: Annotated[str, Field(max_length=63)]
    """TargetAccount."""
    account_id: AccountId
    """AWS account."""
    region: Region
    """Region whose API is asked."""
    source_region: Region
    """Region that is left."""
    role_arn: RoleArn | None = None
    """Role that is assumed; absent: the operator's own credentials."""
    resources: Annotated[list[TaskResource], Field(max_length=100, json_schema_extra=atomic())] = []
    """What it works on."""
    depends_on: Annotated[list[Line], Field(max_length=500, json_schema_extra=atomic())] = []
    """DRTasks that must be complete first."""
    timeout: Duration = "2h"
    """How long it may run."""
    start: Literal["InTurn", "Ahead"] = "InTurn"
    """Ahead: it may begin before the waves before its own are through, because it is inert."""
    fence_limit: Duration | None = None
    """Of a task of phase Fence: how long it is tried while the run is Unplanned."""
    drill_network: DrillNetwork | None = None
    """Where a Test launches."""
    route53: Route53Task | None = None
    """Details of a DNS switch."""
    auto_scaling: AutoScalingTask | None = None
    """Details of groups that are emptied or sized."""
    automation: AutomationTask | None = None
    """Details of a document that is run."""
    manual: ManualTask | None = None
    """Details of what a person does."""


ResourceState = Literal["NotStarted", "InProgress", "Complete", "Failed", "Skipped"]
ResourceRequest = Literal["MarkDone", "Undo", "Relaunch", "AcceptDataLoss"]


class TaskResourceStatus(Model):
    """How far a resource is."""

    id: ResourceId
    """Resource."""
    state: ResourceState
    """State."""
    reason: Annotated[str, Field(max_length=63)] = ""
    """CamelCase word."""
    message: Text = ""
    """What happened; for a failure, what to do."""
    reference: Line = ""
    """What AWS calls it: a job, a recovery instance, a change."""
    request: ResourceRequest | None = None
    """What a person asked for and the operator has not brought to its end yet."""
    requested_by: Line | None = None
    """Who asked for it."""


class Intent(Model):
    """A batch of mutating calls that was decided. It is written before the first is sent."""

    id: Annotated[str, Field(max_length=64)]
    """Id of the batch; AWS carries it as tag or client token."""
    action: Annotated[str, Field(max_length=63)]
    """What is done, in the adapter's words."""
    resources: Annotated[list[ResourceId], Field(max_length=100, json_schema_extra=atomic())]
    """To which resources."""
    epoch: int
    """Leadership under which it was written."""
    time: Time
    """When."""
    attempt: int = 1
    """Attempt of the task."""
    outcome: Literal["Pending", "Sent", "Refused", "InDoubt", "Absent"] = "Pending"
    """Pending: no answer recorded. Sent: AWS accepted. Refused: AWS refused, or it is sent again
    as if it had, because what was sent of it may be sent twice (answerLost, or code PartlySent).
    InDoubt: the answer was lost. Absent: proved that AWS never did it."""
    answer_time: Time | None = None
    """When the answer was recorded, or given up."""
    reference: Line = ""
    """What AWS calls it."""
    message: Text = ""
    """AWS's refusal."""
    code: Line = ""
    """AWS's error code."""
    error_class: Annotated[str, Field(max_length=32)] = ""
    """For Refused: what the code means (Transient, Quota, Conflict, Denied or Final)."""
    answer_lost: bool = False
    """For Refused: whether AWS did not refuse it but gave no answer, so that what was sent of it
    may have been done or may still be. Of a launch that is its settings alone."""
    request_id: Line = ""
    """AWS's id of the request that it refused, or of the last one of the batch, as in
    CloudTrail."""


class PreState(Model):
    """How a resource was before this task first changed it. The first write wins."""

    id: ResourceId
    """Resource."""
    value: Annotated[str, Field(max_length=8192)]
    """JSON, in the adapter's words."""


class DRTaskStatus(Model):
    """State of each resource, and the journal."""

    observed_generation: int | None = None
    """Generation of the spec that this status speaks of."""
    epoch: int = 0
    """Leadership under which the record was last written."""
    state: TaskState = "NotStarted"
    """State of the whole task."""
    attempt: int = 1
    """Counts the tries, from 1."""
    message: Text | None = None
    """What it is doing or waiting for; for a failure, which resources and why."""
    conditions: Conditions = []
    """Succeeded, Ready, Reconciling, Stalled."""
    complete: int = 0
    """Resources that are complete."""
    failed: int = 0
    """Resources that failed."""
    total: int = 0
    """All resources."""
    stopped: bool = False
    """Whether the run was cancelled before the task was through."""
    resources: Annotated[
        list[TaskResourceStatus], Field(max_length=100, json_schema_extra=atomic())
    ] = []
    """State of each."""
    journal: Annotated[list[Intent], Field(max_length=200, json_schema_extra=atomic())] = []
    """What was decided, in order."""
    pre_states: Annotated[list[PreState], Field(max_length=100, json_schema_extra=atomic())] = []
    """How things were before."""
    start_time: Time | None = None
    """When it began."""
    completion_time: Time | None = None
    """When it ended."""
    unseen_since: Time | None = None
    """Since when AWS could not be looked at for this task."""
    barred_since: Time | None = None
    """Since when it asks nothing of AWS because the TargetAccount is not for it any more."""
    barred_seconds: int = 0
    """How long it was so before, in this attempt. That does not count as the task's time."""


class DRTask(Resource):
    """One unit of an execution; written by the operator."""

    KIND: ClassVar[str] = "DRTask"
    PLURAL: ClassVar[str] = "drtasks"
    SHORT: ClassVar[str] = "drt"
    NAMESPACED: ClassVar[bool] = True
    INITIAL: ClassVar[Mapping[str, str | int]] = {"state": "NotStarted", "observedGeneration": -1}
    COLUMNS: ClassVar[list[tuple[str, str, str]]] = [
        ("Execution", "string", ".spec.executionRef.name"),
        ("Wave", "string", ".spec.wave"),
        ("Phase", "string", ".spec.recoveryPhase"),
        ("Technology", "string", ".spec.technology"),
        ("Account", "string", ".spec.account"),
        ("Region", "string", ".spec.region"),
        ("State", "string", ".status.state"),
        ("Done", "integer", ".status.complete"),
        ("Failed", "integer", ".status.failed"),
        ("Total", "integer", ".status.total"),
        ("Age", "date", ".metadata.creationTimestamp"),
        ("Message", "string", ".status.message"),
    ]

    spec: DRTaskSpec
    """What is to be done."""
    status: DRTaskStatus = DRTaskStatus()
    """What was done."""

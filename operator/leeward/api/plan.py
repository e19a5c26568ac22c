"""RecoveryPlan: what is recovered, from where to where, in which order, and who must agree."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from leeward.api.common import (
    AccountId,
    CountOrPercent,
    Duration,
    GateName,
    Line,
    Model,
    Name,
    OnTrouble,
    RecoveryPhase,
    Ref,
    Region,
    Resource,
    ResourceId,
    ShortName,
    TagKey,
    TagValue,
    Text,
    atomic,
    later,
    listmap,
    rules,
)
from leeward.api.launch import Launch, SecurityGroupId, SubnetId
from leeward.api.notifications import Notifications
from leeward.api.plan_record import RecoveryPlanStatus
from leeward.api.tasks import Action, ExplicitTask


class Regions(Model):
    """The pair of Regions, as things stand on a normal day."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("self.primary != self.recovery", "primary and recovery must be different Regions")
        )
    )

    primary: Region
    """Region where the estate lives on a normal day."""
    recovery: Region
    """Region to which it is recovered."""


class Approvers(Model):
    """Who may answer a gate; beside it the caller needs the verb `approve` on the plan."""

    users: Annotated[list[Line], Field(max_length=50)] = []
    """User names as the API server knows them. Empty with empty groups: anyone with the verb."""
    groups: Annotated[list[Line], Field(max_length=50)] = []
    """Groups as the API server knows them."""


class Approval(Model):
    """How a gate is answered. On a gate, each field given there replaces the plan's."""

    required: Annotated[int, Field(ge=1, le=10)] | None = None
    """How many different people must approve. Default 1."""
    approvers: Approvers | None = None
    """Who may approve. Default: anyone with the verb `approve` on this plan."""
    four_eyes: Literal["Required", "Off"] | None = None
    """Required: whoever asked for the execution does not count as an approver. Default Off."""
    timeout: Duration | None = None
    """How long to wait for an answer. Default 30m."""
    on_timeout: OnTrouble | None = None
    """What to do then. Default Hold: the run waits for a person's decision and says so.
    Fail is followed in a Test, or before anything was changed; SkipWave in a Test only."""
    on_reject: OnTrouble | None = None
    """What to do when the gate is rejected. Default Hold."""


class PlanApproval(Approval):
    """The plan's defaults for its gates."""

    automatic: Literal["Allowed", "Refused"] = "Refused"
    """Whether executions other than a Test may ask for `approvalMode: Automatic`."""


class Gate(Approval):
    """A place where the run stops until people agree."""

    before: RecoveryPhase = "Activate"
    """The recovery phase that does not start before the gate is passed. Activate is the point of
    no return; Fence stops before the wave does anything, and Instantiate before it launches. A
    gate is asked in the operations that have its phase; one before Fence in all of them, before
    the first phase where there is no Fence."""
    name: GateName | None = None
    """Name in `leeward.dev/approve-NAME`. Default `wave-WAVE`, with the phase appended for
    every gate of the wave after the first. Names that begin with `lag-`, `begin-` or `cleanup-`
    are the operator's own."""


class WaveTechnology(Model):
    """A technology that takes part in a wave."""

    type: ShortName
    """Technology, such as `drs` or `route53`."""
    priority: Annotated[
        Literal["critical", "high", "medium", "low"] | None,
        Field(json_schema_extra=later("order by priority inside a wave")),
    ] = None
    """Priority of this technology inside the wave."""


class Tolerance(Model):
    """How much of a wave may fail before people are asked. Fencing is never tolerated half."""

    min_success: CountOrPercent | None = None
    """Critical resources that must succeed: a count, or a percentage such as `95%`, rounded up.
    Default: all of them."""
    optional: Annotated[list[ResourceId], Field(max_length=500)] = []
    """Resources whose failure does not count, by id or ARN. All others are critical."""


class Wave(Model):
    """Resources that are recovered together. Waves run in order."""

    name: ShortName
    """Name of the wave, part of the names of its gate and tasks."""
    number: Annotated[int, Field(ge=1, le=99)] | None = None
    """Value of the tag `dr:wave` that puts a resource into this wave. Default: the wave's
    position in the list."""
    description: Text | None = None
    """What this wave is."""
    technologies: Annotated[
        list[WaveTechnology], Field(max_length=20, json_schema_extra=listmap("type"))
    ] = []
    """Technologies that take part. Empty: all that were found."""
    gates: Annotated[list[Gate], Field(max_length=5, json_schema_extra=listmap("before"))] = []
    """Where the run stops for approval in this wave."""
    tasks: Annotated[
        list[ExplicitTask], Field(max_length=50, json_schema_extra=listmap("name"))
    ] = []
    """Work that tags do not find, such as a switch of DNS records."""
    staging_accounts: Annotated[list[Name], Field(max_length=20, json_schema_extra=atomic())] = []
    """TargetAccounts of the plan into which DRS replicates the servers of this wave, in the order
    in which they are filled. Empty: for each server the account that it is found in."""
    task_timeout: Duration | None = None
    """How long one task of this wave may run. Default 2h."""
    tolerance: Tolerance | None = None
    """How much of the wave may fail. Default: nothing."""
    prewarm: Literal["Never", "WhenInert"] = "Never"
    """WhenInert: instantiate this wave ahead of its turn where that changes nothing for users.
    A Planned run does so only where it does not fix the recovery point (for DRS it does)."""
    before: Annotated[
        list[Action], Field(max_length=20, json_schema_extra=listmap("name") | later("actions"))
    ] = []
    """Actions that run before the wave."""
    after: Annotated[
        list[Action], Field(max_length=20, json_schema_extra=listmap("name") | later("actions"))
    ] = []
    """Actions that run after the wave."""


class Selection(Model):
    """Which of the tagged resources the plan recovers."""

    technologies: Annotated[list[ShortName], Field(max_length=50)] = []
    """Only these technologies. Empty: all."""
    exclude_technologies: Annotated[list[ShortName], Field(max_length=50)] = []
    """Not these technologies."""
    exclude_resources: Annotated[list[ResourceId], Field(max_length=500)] = []
    """Not these resources, by id or ARN."""


class Discovery(Model):
    """How the estate is found."""

    interval: Duration = "5m"
    """How often it is looked at again."""
    providers: Annotated[
        list[Literal["ResourceExplorer", "TaggingApi", "Describe"]], Field(max_length=3)
    ] = []
    """Whom to ask for tagged resources, in order of preference; the next one is asked for what the
    one before did not cover. Empty: all three, in this order. DRS is always asked."""


class Objectives(Model):
    """What the business was promised."""

    rto: Duration | None = None
    """Recovery time objective: from the start of a run until its last wave is complete, waiting
    for people included. The tag `dr:rto-target` gives one to a resource's wave."""
    rpo: Duration | None = None
    """Recovery point objective: replication lag above it makes the plan's condition
    `Protected` False. The tag `dr:rpo-target` replaces it for a resource."""


class Dependency(Model):
    """Something that must work in the recovery Region before the plan can be recovered."""

    name: ShortName
    """Name of the dependency."""
    type: Literal[
        "ActiveDirectory",
        "DynamoDbGlobalTable",
        "AuroraGlobal",
        "Route53HealthCheck",
        "S3Replication",
        "Http",
        "Tcp",
    ]
    """What kind of check it is."""
    target: Line
    """What is checked: an id, a name, a URL or host:port."""
    account_ref: Ref | None = None
    """TargetAccount in which it is looked up. Default: the plan's first account."""
    parameters: Annotated[dict[TagKey, TagValue], Field(max_length=20)] = {}
    """Further values of the check."""


class Fence(Model):
    """How writers on the side that is left are stopped, wave by wave, before it is recovered."""

    servers: Literal["Stop", "Leave"] = "Stop"
    """Stop: the EC2 instances in the primary Region that the run's DRS servers replicate are
    stopped (never terminated). Leave: they keep running; fence them by explicit tasks of phase
    Fence, or the two sides write apart."""
    time_limit: Duration = "120s"
    """How long an Unplanned run tries, beside its launches. What is not fenced then becomes a
    deferred duty in the plan's status. A Planned run waits until everything is fenced."""


class Cleanup(Model):
    """What may be retired when the estate is back."""

    recovery_instances: Literal["Keep", "Retire"] = "Keep"
    """Retire: an execution of operation Cleanup may terminate the recovery instances that a
    failback left behind, after snapshots of their volumes, and remove the reversed replication.
    Each account must allow it too (`allow.destructive` of its TargetAccount). Keep: it is
    refused."""


class DrillNetwork(Model):
    """Where a Test launches in one account; none of production's networks."""

    account_id: AccountId
    """The account."""
    subnet_id: SubnetId
    """Isolated subnet in the recovery Region."""
    security_group_ids: Annotated[list[SecurityGroupId], Field(min_length=1, max_length=5)]
    """Security groups of the drill's instances, in the subnet's VPC."""


class Drill(Model):
    """How the plan is rehearsed."""

    networks: Annotated[
        list[DrillNetwork], Field(max_length=50, json_schema_extra=listmap("accountId"))
    ] = []
    """Drill network of each account. A Test is refused for an account without one."""
    keep_for: Annotated[
        Duration | None, Field(json_schema_extra=later("put a gate before Cleanup instead"))
    ] = None
    """How long the drill's instances are kept before Cleanup."""


class HealthEndpoint(Model):
    """An HTTP endpoint that must answer."""

    url: Annotated[str, Field(max_length=1024)]
    """URL that is asked with GET."""
    expected_status: Annotated[int, Field(ge=100, le=599)] = 200
    """HTTP status that counts as healthy."""


class HealthChecks(Model):
    """Checks after the last wave."""

    activation: Literal["Enabled", "Disabled"] = "Enabled"
    """Disabled: the checks are kept in the plan and not made."""
    timeout: Duration = "5m"
    """How long the endpoints may take to become healthy."""
    endpoints: Annotated[list[HealthEndpoint], Field(max_length=50)] = []
    """What is asked."""


class Parallelism(Model):
    """How much runs at once."""

    technologies: Annotated[int, Field(ge=1, le=50)] = 4
    """Technologies of a wave at once."""
    accounts: Annotated[int, Field(ge=1, le=50)] = 5
    """Accounts of a technology at once."""


class HistoryLimits(Model):
    """How many finished executions keep their tasks."""

    runs: Annotated[int, Field(ge=1, le=200)] = 10
    """Executions of this plan whose tasks are kept."""


class RecoveryPlanSpec(Model):
    """What is recovered, in which order, and who must agree."""

    description: Text | None = None
    """What this plan is for."""
    customer: Annotated[str, Field(min_length=1, max_length=50)]
    """Value of the tag `Customer` of the resources."""
    environment: Annotated[str, Field(min_length=1, max_length=50)]
    """Value of the tag `Environment` of the resources; compared without regard to case."""
    applications: Annotated[list[TagValue], Field(max_length=100)] = []
    """Values of the tag `Application`. Empty: all applications of the customer."""
    regions: Regions
    """From where, to where."""
    accounts: Annotated[
        list[Ref], Field(min_length=1, max_length=50, json_schema_extra=listmap("name"))
    ]
    """TargetAccounts whose resources the plan recovers."""
    selection: Selection = Selection()
    """Which of the tagged resources take part."""
    discovery: Discovery = Discovery()
    """How the estate is found."""
    waves: Annotated[
        list[Wave], Field(min_length=1, max_length=20, json_schema_extra=listmap("name"))
    ]
    """The order of recovery."""
    approval: PlanApproval = PlanApproval()
    """Defaults for the gates."""
    objectives: Objectives = Objectives()
    """What the business was promised."""
    drill: Drill = Drill()
    """How the plan is rehearsed."""
    dependencies: Annotated[
        list[Dependency],
        Field(max_length=50, json_schema_extra=listmap("name")),
    ] = []
    """What must work in the recovery Region first. One that does not hold refuses a Test and a
    Planned run; approvers of an Unplanned one read it at its gates."""
    launch: Launch | None = None
    """Launch settings of the servers. Absent: they stay as AWS has them, but for
    launchDisposition."""
    notifications: Notifications | None = None
    """Who is told what happens in a run."""
    health_checks: Annotated[
        HealthChecks | None, Field(json_schema_extra=later("health checks"))
    ] = None
    """Checks after the last wave."""
    parallelism: Parallelism | None = None
    """How much runs at once. Absent: as much as AWS's quotas let."""
    fence: Fence = Fence()
    """How the side that is left is stopped from writing."""
    cleanup: Cleanup = Cleanup()
    """What may be retired when the estate is back."""
    recovery_phases: Annotated[
        list[RecoveryPhase],
        Field(max_length=5, json_schema_extra=later("the operation decides the phases")),
    ] = []
    """Phases that a manifest listed."""
    history_limits: Annotated[
        HistoryLimits | None, Field(json_schema_extra=later("all finished executions are kept"))
    ] = None
    """How much of finished executions is kept."""


class RecoveryPlan(Resource):
    """A customer's estate, and how it is recovered into another Region."""

    KIND: ClassVar[str] = "RecoveryPlan"
    PLURAL: ClassVar[str] = "recoveryplans"
    SHORT: ClassVar[str] = "rp"
    NAMESPACED: ClassVar[bool] = True
    COLUMNS: ClassVar[list[tuple[str, str, str]]] = [
        ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status'),
        ("Location", "string", ".status.location"),
        ("Resources", "integer", ".status.resources"),
        ("Protected", "string", '.status.conditions[?(@.type=="Protected")].status'),
        ("Running", "string", ".status.activeExecution.name"),
        ("Age", "date", ".metadata.creationTimestamp"),
        ("Summary", "string", ".status.summary"),
    ]

    spec: RecoveryPlanSpec
    """What people want."""
    status: RecoveryPlanStatus = RecoveryPlanStatus()
    """What the operator found."""

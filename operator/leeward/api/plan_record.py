"""The status of a RecoveryPlan: what discovery and runs wrote down."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from leeward.api.common import (
    Conditions,
    Line,
    Model,
    TagKey,
    Text,
    Time,
    atomic,
)
from leeward.api.launch import LaunchStatus
from leeward.api.run_times import LagRecord, WaveActual

Location = Literal["Primary", "Recovery", "Mixed", "Unknown"]


class WaveStatus(Model):
    """A wave as discovery sees it."""

    name: str = Field(max_length=24)
    """Name of the wave."""
    resources: int = 0
    """Resources in the wave."""
    location: Location = "Unknown"
    """Where the wave's resources serve."""


class TechnologyCount(Model):
    """How much of a technology was found."""

    technology: str = Field(max_length=63)
    """Technology."""
    count: int
    """Resources found."""
    adapter: Literal["Available", "None"]
    """Whether this version can recover it."""
    selected: int
    """Resources that the plan's selection takes in."""


class AccountStatus(Model):
    """An account as discovery sees it."""

    name: str = Field(max_length=63)
    """TargetAccount."""
    account_id: str = Field(max_length=12)
    """AWS account id."""
    resources: int = 0
    """Resources found there."""
    technologies: Annotated[list[Line], Field(max_length=60, json_schema_extra=atomic())] = []
    """Technologies of those that an execution would recover."""
    instance_profiles: Annotated[
        list[Annotated[str, Field(max_length=512)]],
        Field(max_length=50, json_schema_extra=atomic()),
    ] = []
    """Instance profiles that launch settings give its servers, whose roles the recovery role must
    be allowed to pass."""
    discovered_at: Time | None = None
    """When it last answered."""
    problem: Text | None = None
    """Why it did not answer the last time."""
    provider: Line | None = None
    """Who listed its resources, and for which Regions: `ResourceExplorer`, `TaggingApi` or
    `Describe`. Source servers always come from DRS."""
    provider_reason: Text | None = None
    """Why it was not the first provider alone."""
    missing: int = 0
    """Resources that AWS no longer shows, though nobody is known to have deleted them."""


class GroupCount(Model):
    """How many resources share one value."""

    by: Literal["Wave", "Priority", "Strategy", "Application"]
    """What they share."""
    name: str = Field(max_length=256)
    """The value; empty: none."""
    count: int
    """Resources that an execution would recover."""


class ComplianceProblem(Model):
    """One kind of tag problem."""

    reason: str = Field(max_length=63)
    """CamelCase word."""
    count: int
    """Resources that have it."""
    examples: Annotated[list[Annotated[str, Field(max_length=512)]], Field(max_length=5)] = []
    """Some of them."""
    remedy: Text = ""
    """What to do."""


class Compliance(Model):
    """The tag report in short."""

    compliant: int = 0
    """Resources whose tags are in order and that are enrolled."""
    excluded: int = 0
    """Resources left out because of their tags."""
    not_enrolled: int = 0
    """Resources with `dr:enabled=false`."""
    problems: Annotated[
        list[ComplianceProblem], Field(max_length=30, json_schema_extra=atomic())
    ] = []
    """What is wrong, by kind."""


class ReadinessProblem(Model):
    """One kind of readiness finding."""

    severity: Literal["Blocking", "Degraded", "Warning"]
    """Blocking: cannot be launched. Degraded: can be, with a loss that the message names."""
    reason: str = Field(max_length=63)
    """CamelCase word."""
    count: int
    """Resources that have it."""
    examples: Annotated[list[Annotated[str, Field(max_length=512)]], Field(max_length=5)] = []
    """Some of them, with account and Region."""
    message: Text = ""
    """What is wrong and what to do."""


class DependencyStatus(Model):
    """What the last check of a dependency said."""

    name: str = Field(max_length=63)
    """Name of the dependency."""
    type: str = Field(max_length=24)
    """What kind of check it is."""
    state: Literal["Holds", "Failed", "Unknown"]
    """Unknown: nobody answered the check."""
    message: Text = ""
    """What was seen, where; of what does not hold, what to do."""
    checked_at: Time | None = None
    """When."""


class HistoryEntry(Model):
    """An execution that ended."""

    name: str = Field(max_length=63)
    """Name of the execution; it is not used again."""
    uid: str = Field(max_length=64)
    """Its uid."""
    operation: str = Field(max_length=20)
    """What it did."""
    state: str = Field(max_length=24)
    """How it ended."""
    completion_time: Time
    """When."""
    waves: Annotated[list[WaveActual], Field(max_length=20, json_schema_extra=atomic())] = []
    """How long its waves took; kept for the last five runs that succeeded."""


class DrilledAccount(Model):
    """What a drill was about in one account."""

    account: str = Field(max_length=63)
    """TargetAccount."""
    members: Annotated[str, Field(max_length=60000)] = ""
    """Of each resource ten characters, sorted: six of the SHA-256 of its ARN, four of how it was
    launched (`----`: not known)."""
    quotas: Annotated[dict[TagKey, int], Field(max_length=20)] = {}
    """Service quotas, by quota code."""


class LastDrill(Model):
    """The newest drill of the whole plan that passed."""

    execution: str = Field(max_length=63)
    """Its execution."""
    uid: str = Field(max_length=64)
    """Uid of the execution."""
    completion_time: Time
    """When it ended."""
    plan_generation: int | None = None
    """Generation of the plan's spec that it rehearsed."""
    accounts: Annotated[list[DrilledAccount], Field(max_length=50, json_schema_extra=atomic())] = []
    """What it was about."""


class ActiveExecution(Model):
    """The execution that holds the plan."""

    name: str = Field(max_length=63)
    """Name."""
    uid: str = Field(max_length=64)
    """Uid."""


class DeferredFence(Model):
    """Writers on the side that was left which could not be stopped when the estate moved."""

    task: str = Field(max_length=256)
    """DRTask that tried, which lists the resources."""
    execution: str = Field(max_length=63)
    """Its execution."""
    account: str = Field(max_length=63)
    """TargetAccount."""
    account_id: str = Field(max_length=12)
    """AWS account."""
    region: str = Field(max_length=32)
    """Region that was left."""
    count: int
    """Resources that may still write there."""
    examples: Annotated[list[Annotated[str, Field(max_length=256)]], Field(max_length=5)] = []
    """Some of them, and why they were not fenced."""
    since: Time
    """When it was given up."""
    seen: Literal["Silent", "Running"] = "Silent"
    """Silent: AWS has not answered there since. Running: it has, and they are not stopped."""


class StoppedSource(Model):
    """What a run stopped and left so, because it ended before anything served in its place."""

    task: str = Field(max_length=256)
    """DRTask that stopped it, which lists the resources."""
    execution: str = Field(max_length=63)
    """Its execution."""
    wave: str = Field(max_length=24)
    """Wave that is without service."""
    account: str = Field(max_length=63)
    """TargetAccount."""
    account_id: str = Field(max_length=12)
    """AWS account."""
    region: str = Field(max_length=32)
    """Region in which it is stopped."""
    count: int
    """Resources that are stopped there."""
    examples: Annotated[list[Annotated[str, Field(max_length=256)]], Field(max_length=5)] = []
    """Some of them."""
    since: Time
    """When they were stopped."""


class RecoveryPlanStatus(Model):
    """What is known of the plan at this moment."""

    observed_generation: int | None = None
    """Generation of the spec that this status speaks of."""
    conditions: Conditions = []
    """Ready, Reconciling, Stalled, Discovered, Compliant, Protected and others."""
    summary: Line | None = None
    """One line for people."""
    location: Location = "Unknown"
    """Where the estate serves."""
    resources: int = 0
    """Resources that an execution would recover."""
    waves: Annotated[list[WaveStatus], Field(max_length=20, json_schema_extra=atomic())] = []
    """Per wave."""
    technologies: Annotated[
        list[TechnologyCount], Field(max_length=60, json_schema_extra=atomic())
    ] = []
    """Per technology."""
    groups: Annotated[list[GroupCount], Field(max_length=150, json_schema_extra=atomic())] = []
    """What an execution would recover, by wave, priority, strategy and application; beyond 100
    applications the smallest are counted together as `others`."""
    accounts: Annotated[list[AccountStatus], Field(max_length=50, json_schema_extra=atomic())] = []
    """Per account."""
    compliance: Compliance | None = None
    """The tag report in short; whole in the RecoveryInventory objects."""
    readiness: Annotated[
        list[ReadinessProblem], Field(max_length=40, json_schema_extra=atomic())
    ] = []
    """What would hinder a recovery now."""
    dependencies: Annotated[
        list[DependencyStatus], Field(max_length=50, json_schema_extra=atomic())
    ] = []
    """What the plan depends on, as it was seen last."""
    lag: LagRecord | None = None
    """How far replication is behind, as the last discovery saw it; absent: nothing replicates."""
    discovered_at: Time | None = None
    """When the estate was last looked at."""
    inventory_digest: Annotated[str, Field(max_length=80)] | None = None
    """Changes whenever what was found changes."""
    active_execution: ActiveExecution | None = None
    """The live execution; there is at most one."""
    history: Annotated[list[HistoryEntry], Field(max_length=200, json_schema_extra=atomic())] = []
    """The last executions."""
    launch: LaunchStatus | None = None
    """Launch settings; absent for a plan without layers."""
    last_drill: LastDrill | None = None
    """The newest drill of the whole plan that passed, with what it proved."""
    changed_since_drill: Annotated[
        list[Annotated[str, Field(max_length=512)]],
        Field(max_length=50, json_schema_extra=atomic()),
    ] = []
    """What is not as it was in that drill, and so was never rehearsed."""
    deferred_fence: Annotated[
        list[DeferredFence], Field(max_length=100, json_schema_extra=atomic())
    ] = []
    """What must still be fenced once the Region that was left answers again."""
    left_stopped: Annotated[
        list[StoppedSource], Field(max_length=100, json_schema_extra=atomic())
    ] = []
    """What runs fenced and left so though nothing serves in its place; gone once AWS shows that it
    runs, or another run moved the wave."""
    unsupported: Annotated[list[Line], Field(max_length=50, json_schema_extra=atomic())] = []
    """Fields of the stored spec that do nothing in this version; they block Test and Planned."""

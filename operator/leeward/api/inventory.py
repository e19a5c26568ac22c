"""RecoveryInventory: what discovery found in one account. The operator alone writes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from leeward.api.common import (
    AccountId,
    Line,
    Model,
    Ref,
    Region,
    Resource,
    ResourceId,
    TagKey,
    TagValue,
    Text,
    Time,
    atomic,
)
from leeward.api.launch import ServerLaunch

Verdict = Literal[
    "Selected",
    "NotEnrolled",
    "Excluded",
    "NotSelected",
    "NoAdapter",
    "NoWave",
    "ActiveActive",
    "SharedElsewhere",
]
"""Whether an execution would recover a resource, and if not, why."""


class InventoryResource(Model):
    """A resource that discovery found."""

    id: ResourceId
    """Id as the technology's API wants it."""
    arn: Annotated[str, Field(max_length=1011)]
    """ARN."""
    technology: Annotated[str, Field(max_length=24)]
    """Technology, such as `drs`, `rds` or `ecs`."""
    region: Region
    """Region in which it lives."""
    name: Line = ""
    """The tag `Name`."""
    tags: Annotated[dict[TagKey, TagValue], Field(max_length=50)] = {}
    """Tags that matter to Leeward."""
    attributes: Annotated[
        dict[TagKey, Annotated[str, Field(max_length=512)]], Field(max_length=20)
    ] = {}
    """What the adapter needs to know, such as replication state and lag."""
    verdict: Verdict
    """Whether an execution would recover it, and if not, why."""
    wave: Annotated[str, Field(max_length=24)] | None = None
    """Wave that it belongs to."""
    problems: Annotated[list[Line], Field(max_length=10)] = []
    """What is wrong with its tags."""
    missing_since: Time | None = None
    """Since when AWS no longer shows it, though too much vanished with it for that to be believed.
    Only an Unplanned run works on it; it is forgotten after a day."""
    launch: ServerLaunch | None = None
    """Its launch settings, as the plan's layers come together."""


class RecoveryInventorySpec(Model):
    """Which part of which plan's inventory this is."""

    plan_ref: Ref
    """The plan."""
    account: Annotated[str, Field(max_length=63)]
    """TargetAccount."""
    account_id: AccountId
    """AWS account."""
    part: Annotated[int, Field(ge=0, le=99)] = 0
    """Part, from 0; each holds at most 500 resources."""


class RecoveryInventoryStatus(Model):
    """What was found, and when."""

    discovered_at: Time | None = None
    """When the account last answered."""
    current: bool = True
    """False: the account did not answer the last time, and this is what it said before."""
    problem: Text | None = None
    """Why it did not answer."""
    provider: Line | None = None
    """Who listed the account's resources, and for which Regions."""
    provider_reason: Text | None = None
    """Why it was not the first provider alone."""
    count: int = 0
    """Resources in this part."""
    resources: Annotated[
        list[InventoryResource], Field(max_length=500, json_schema_extra=atomic())
    ] = []
    """What was found."""
    quotas: Annotated[dict[TagKey, int], Field(max_length=20)] = {}
    """Service quotas that bound a recovery in the account, by quota code."""
    findings: Annotated[list[Finding], Field(max_length=500, json_schema_extra=atomic())] = []
    """What readiness checks said of them; where there is no room for all, the gravest."""
    further: Annotated[
        list[FurtherFindings], Field(max_length=100, json_schema_extra=atomic())
    ] = []
    """Those that have no room in `findings`, by severity and reason."""


class Finding(Model):
    """What a readiness check says of a resource, or of the account."""

    resource: ResourceId | None = None
    """Resource; absent: the account as a whole."""
    severity: Literal["Blocking", "Degraded", "Warning"]
    """Blocking: cannot be recovered. Degraded: can be, with a loss that the message names."""
    reason: Annotated[str, Field(max_length=63)]
    """CamelCase word."""
    message: Text
    """What is wrong and what to do."""


class FurtherFindings(Model):
    """Findings of one kind beyond those that are listed one by one."""

    severity: Literal["Blocking", "Degraded", "Warning"]
    """Severity of each."""
    reason: Annotated[str, Field(max_length=63)]
    """CamelCase word of each."""
    message: Text
    """What the first of them says."""
    resources: Annotated[list[ResourceId], Field(max_length=5000, json_schema_extra=atomic())] = []
    """The resource of each that is about one; a resource has as many entries as findings."""
    of_account: int = 0
    """How many are about the account as a whole."""


RecoveryInventoryStatus.model_rebuild()


class RecoveryInventory(Resource):
    """What discovery found in one account; written by the operator."""

    INITIAL: ClassVar[Mapping[str, str | int]] = {}
    KIND: ClassVar[str] = "RecoveryInventory"
    PLURAL: ClassVar[str] = "recoveryinventories"
    SHORT: ClassVar[str] = "rinv"
    NAMESPACED: ClassVar[bool] = True
    COLUMNS: ClassVar[list[tuple[str, str, str]]] = [
        ("Plan", "string", ".spec.planRef.name"),
        ("Account", "string", ".spec.account"),
        ("Count", "integer", ".status.count"),
        ("Current", "boolean", ".status.current"),
        ("Discovered", "date", ".status.discoveredAt"),
        ("Problem", "string", ".status.problem"),
    ]

    spec: RecoveryInventorySpec
    """Which part this is."""
    status: RecoveryInventoryStatus = RecoveryInventoryStatus()
    """What was found."""

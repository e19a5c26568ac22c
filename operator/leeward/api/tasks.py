"""Explicit tasks and actions of a plan: work that tags do not find."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from leeward.api.common import (
    Duration,
    Line,
    Model,
    RecoveryPhase,
    Ref,
    ShortName,
    TagKey,
    TagValue,
    Text,
    later,
    later_values,
    listset,
    rules,
)


class AliasTarget(Model):
    """An alias to an AWS resource (Route 53 AliasTarget)."""

    hosted_zone_id: Annotated[str, Field(max_length=32)]
    """Hosted zone of the target, as its service documents it."""
    dns_name: Annotated[str, Field(max_length=255)]
    """DNS name of the target."""
    evaluate_target_health: bool = False
    """Whether Route 53 considers the target's health."""


class RecordSide(Model):
    """What a record set looks like while the estate serves from one side."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "[has(self.values), has(self.alias), has(self.weight)].exists(x, x)",
                "give values, alias or weight",
            ),
            ("!(has(self.values) && has(self.alias))", "a record has values or an alias, not both"),
        )
    )

    values: Annotated[list[Annotated[str, Field(max_length=1024)]], Field(max_length=50)] | None = (
        None
    )
    """Values, as in a zone file."""
    alias: AliasTarget | None = None
    """Alias target."""
    weight: Annotated[int, Field(ge=0, le=255)] | None = None
    """Weight of a weighted record set."""
    ttl: Annotated[int, Field(ge=0, le=2147483647)] | None = None
    """Time to live in seconds. Default: as it is."""


class Record(Model):
    """A record set of the zone, and what it looks like on either side.

    What is not given stays as Route 53 has it.
    """

    name: Annotated[str, Field(min_length=1, max_length=255)]
    """Name of the record set, with or without the final dot."""
    type: Literal["A", "AAAA", "CNAME", "TXT", "SRV", "MX", "CAA", "HTTPS", "SVCB"]
    """Type of the record set."""
    set_identifier: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """SetIdentifier of a weighted, latency, geolocation or failover record set."""
    recovery: RecordSide
    """What it is when the estate serves from the recovery Region."""
    primary: RecordSide | None = None
    """What it is when the estate serves from the primary Region."""


class Route53Task(Model):
    """A switch of record sets in one hosted zone: one transactional change batch."""

    account_ref: Ref
    """TargetAccount that owns the hosted zone."""
    hosted_zone_id: Annotated[str, Field(pattern=r"^Z[A-Z0-9]{1,31}$", max_length=32)]
    """The hosted zone."""
    records: Annotated[list[Record], Field(min_length=1, max_length=100)]
    """Record sets that change together."""


class ScalingGroup(Model):
    """An Auto Scaling group and its sizes.

    A group of a task of phase Fence is emptied; its sizes are those that a Failback gives back.
    Without them it gets those that it had before the last Failover emptied it.
    """

    name: Annotated[str, Field(min_length=1, max_length=255)]
    """Name of the group."""
    min: Annotated[int, Field(ge=0, le=100000)] | None = None
    """Minimum size. Default: as it is."""
    max: Annotated[int, Field(ge=0, le=100000)] | None = None
    """Maximum size. Default: as it is."""
    desired: Annotated[int, Field(ge=0, le=100000)] | None = None
    """Desired capacity, and how many instances must be in service and healthy. Default: min."""


class AutoScalingTask(Model):
    """Auto Scaling groups of one account.

    In Fence those of the primary Region are emptied, in Activate those of the recovery Region are
    sized. In a Failback it is the other way round.
    """

    account_ref: Ref
    """TargetAccount that owns the groups."""
    groups: Annotated[list[ScalingGroup], Field(min_length=1, max_length=100)]
    """The groups."""


class AutomationTask(Model):
    """A run of an SSM Automation document."""

    account_ref: Ref
    """TargetAccount in which it runs."""
    document_name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_\-.:/]{3,128}$", max_length=128)]
    """Name of the document, or the ARN of one that is shared with the account."""
    document_version: Annotated[str, Field(pattern=r"^[1-9][0-9]*$", max_length=10)]
    """Version of the document. It is pinned, so that what was approved is what runs."""
    parameters: Annotated[
        dict[
            Annotated[str, Field(min_length=1, max_length=50)],
            Annotated[
                list[Annotated[str, Field(min_length=1, max_length=512)]],
                Field(min_length=1, max_length=50),
            ],
        ],
        Field(max_length=50),
    ] = {}
    """Parameters of the document, each a list of values, as SSM takes them."""
    region: Literal["Primary", "Recovery"] | None = None
    """Region in which it runs. Default: in Fence the side that is left, else the other one; in a
    Failover these are Primary and Recovery, in a Failback Recovery and Primary."""


class ScriptTask(Model):
    """A RecoveryScript run on the recovered servers."""

    script_ref: Ref
    """RecoveryScript."""
    parameters: Annotated[dict[TagKey, TagValue], Field(max_length=50)] = {}
    """Arguments."""


class CheckTask(Model):
    """A check that must pass."""

    url: Line | None = None
    """HTTP or HTTPS URL."""
    address: Line | None = None
    """host:port for a TCP check."""
    expected_status: Annotated[int, Field(ge=100, le=599)] | None = None
    """HTTP status."""


class ManualTask(Model):
    """Something that a person does and marks done."""

    instructions: Text
    """What to do."""


BLOCKS: Final[Mapping[str, str]] = {
    "Route53": "route53",
    "AutoScaling": "auto_scaling",
    "Automation": "automation",
    "Manual": "manual",
}
"""By type of an explicit task that has behaviour: the field with its details, in the models."""
_LATER = "scripts and checks come with a later version"


def _one_of(types: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """A task of a type has the type's block, and no other's."""
    found: list[tuple[str, str]] = []
    for kind, block in types.items():
        name = to_camel(block)
        needs = f"self.type != '{kind}' || has(self.{name})"
        alone = f"self.type == '{kind}' || !has(self.{name})"
        found.append((needs, f"type {kind} needs the block {name}"))
        found.append((alone, f"the block {name} belongs to type {kind}"))
    return tuple(found)


class ExplicitTask(Model):
    """A task of the wave's graph."""

    model_config = ConfigDict(json_schema_extra=rules(*_one_of(BLOCKS)))

    name: ShortName
    """Name, unique in the plan."""
    description: Text | None = None
    """What it does."""
    recovery_phase: Literal["Fence", "Instantiate", "Activate"] = "Activate"
    """Phase in which it runs. Route53 is for Activate alone, AutoScaling for Fence and Activate.
    In a Failback the sides are exchanged: groups that were emptied in Fence get their sizes back in
    Activate, those that were sized in Activate are emptied in Fence."""
    operations: Annotated[
        list[Literal["Failover", "Test", "Failback"]],
        Field(max_length=3, json_schema_extra=listset()),
    ] = []
    """Operations in which it runs. Empty: Route53 and AutoScaling in all of them, Automation and
    Manual in Failover and Test, because the way back is another work than the way out. Name
    Failback on tasks of their own. (What touches production is left out of a Test in any case.)"""
    depends_on: Annotated[list[ShortName], Field(max_length=50)] = []
    """Tasks of the same plan that must be complete first. A cycle is refused. What tags put into
    the same wave and phase always comes first, but for Fence, where all begin at once."""
    successors: Annotated[list[ShortName], Field(max_length=50)] = []
    """Tasks of the same plan that wait for this one, as if they named it in their dependsOn."""
    timeout: Duration | None = None
    """How long it may run. Default: the wave's."""
    type: Annotated[
        Literal["Route53", "AutoScaling", "Automation", "Script", "Check", "Manual"],
        Field(json_schema_extra=later_values(Script=_LATER, Check=_LATER)),
    ]
    """What it is; one block of the same name gives the details."""
    route53: Route53Task | None = None
    """Switch DNS records. In a Test it is skipped: a drill never touches production names."""
    auto_scaling: AutoScalingTask | None = None
    """Empty Auto Scaling groups in Fence, or size them in Activate. In a Test it is skipped."""
    automation: AutomationTask | None = None
    """Run an SSM document. In a Test it is skipped: it could touch production."""
    script: Annotated[ScriptTask | None, Field(json_schema_extra=later(_LATER))] = None
    """Run a script on servers."""
    check: Annotated[CheckTask | None, Field(json_schema_extra=later(_LATER))] = None
    """Check an endpoint."""
    manual: ManualTask | None = None
    """Ask a person."""


class Action(Model):
    """An action before or after a wave."""

    name: ShortName
    """Name, unique in the plan."""
    type: Literal["Automation", "Script", "Check", "Manual"]
    """What it is."""
    automation: AutomationTask | None = None
    """Run an SSM document."""
    script: ScriptTask | None = None
    """Run a script on servers."""
    check: CheckTask | None = None
    """Check an endpoint."""
    manual: ManualTask | None = None
    """Ask a person."""
    on_failure: OnFailure = "Hold"
    """What a failure means."""
    timeout: Duration | None = None
    """How long it may run."""


OnFailure = Literal["Hold", "Continue"]
Action.model_rebuild()

__all__ = [
    "BLOCKS",
    "Action",
    "AliasTarget",
    "AutoScalingTask",
    "AutomationTask",
    "CheckTask",
    "ExplicitTask",
    "ManualTask",
    "Record",
    "RecordSide",
    "RecoveryPhase",
    "Route53Task",
    "ScalingGroup",
    "ScriptTask",
]

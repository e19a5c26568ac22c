"""TargetAccount: an AWS account that plans of some namespaces may use."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from leeward.api.common import (
    AccountId,
    Conditions,
    Line,
    Model,
    Name,
    Operation,
    Ref,
    Region,
    Resource,
    RoleArn,
    TagKey,
    TagValue,
    Text,
    atomic,
    later,
    rules,
)


class Allow(Model):
    """A ceiling that no plan raises."""

    namespaces: Annotated[list[Name], Field(min_length=1, max_length=100)]
    """Namespaces whose plans may use the account."""
    customers: Annotated[list[TagValue], Field(max_length=100)] = []
    """Customers. Empty: all."""
    environments: Annotated[list[TagValue], Field(max_length=20)] = []
    """Environments. Empty: all."""
    operations: Annotated[list[Operation], Field(max_length=5)] = []
    """Operations. Empty: all."""
    min_approvals: Annotated[int, Field(ge=0, le=10)] = 0
    """Approvals that each gate needs at least."""
    four_eyes: Literal["Required", "PlanDecides"] = "PlanDecides"
    """Required: the requester never counts as an approver."""
    automatic_approval: Literal["Allowed", "Refused"] = "Allowed"
    """Refused: no execution but a Test passes gates by itself."""
    destructive: Literal["Allowed", "Refused"] = "Refused"
    """Whether anything may be deleted beyond a drill's own instances: whether the account's part
    of an estate can be cleaned up after a failback."""


class Capacity(Model):
    """What the account can hold."""

    replicating_servers: Annotated[int, Field(ge=0, le=4000)] = 300
    """DRS source servers that replicate at once (AWS quota L-C1D14A2B)."""


class TargetAccountSpec(Model):
    """An AWS account and the roles through which it is reached."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.readRoleArn.split(':')[4] == self.accountId",
                "readRoleArn must be a role of accountId",
            ),
            (
                "self.recoveryRoleArn.split(':')[4] == self.accountId",
                "recoveryRoleArn must be a role of accountId",
            ),
        )
    )

    account_id: AccountId
    """AWS account id; quote it in YAML."""
    read_role_arn: RoleArn
    """Role that is enough to look, to check and to estimate."""
    recovery_role_arn: RoleArn
    """Role that may also recover."""
    regions: Annotated[list[Region], Field(max_length=20)] = []
    """Regions that plans may use in this account. Empty: all."""
    purpose: Line | None = None
    """What the account is for."""
    capacity: Annotated[Capacity | None, Field(json_schema_extra=later("capacity checks"))] = None
    """What the account can hold."""
    external_id_secret_ref: Annotated[
        Ref | None,
        Field(json_schema_extra=later("the external id that status.externalIds shows is used")),
    ] = None
    """Secret in the operator's namespace with an external id of somebody else's making."""
    session_tags: Annotated[
        dict[TagKey, TagValue],
        Field(max_length=20, json_schema_extra=later("session tags of your own")),
    ] = {}
    """Tags of the role sessions, beside those that Leeward sets."""
    allow: Allow
    """Who may use the account, for what."""


class IssuedExternalId(Model):
    """The external id of one namespace."""

    namespace: Name
    """Namespace."""
    external_id: Line
    """What the roles' trust policies must demand as `sts:ExternalId`."""


class TargetAccountStatus(Model):
    """What is known of the account."""

    observed_generation: int | None = None
    """Generation of the spec that this status speaks of."""
    conditions: Conditions = []
    """Ready: both roles were assumed and answered as this account."""
    external_ids: Annotated[
        list[IssuedExternalId], Field(max_length=100, json_schema_extra=atomic())
    ] = []
    """For the trust policies of the roles."""
    message: Text | None = None
    """What is wrong."""
    unsupported: Annotated[list[Line], Field(max_length=50, json_schema_extra=atomic())] = []
    """Fields of the stored spec that do nothing in this version."""


class TargetAccount(Resource):
    """An AWS account that plans of some namespaces may use; made by platform administrators."""

    KIND: ClassVar[str] = "TargetAccount"
    PLURAL: ClassVar[str] = "targetaccounts"
    SHORT: ClassVar[str] = "ta"
    NAMESPACED: ClassVar[bool] = False
    COLUMNS: ClassVar[list[tuple[str, str, str]]] = [
        ("Account", "string", ".spec.accountId"),
        ("Purpose", "string", ".spec.purpose"),
        ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status'),
        ("Message", "string", ".status.message"),
        ("Age", "date", ".metadata.creationTimestamp"),
    ]

    spec: TargetAccountSpec
    """The account and its roles."""
    status: TargetAccountStatus = TargetAccountStatus()
    """What is known of it."""

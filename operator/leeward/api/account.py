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
    Time,
    atomic,
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
    """Approvals that each gate needs at least. Above 0 a run other than a Test begins with a gate,
    and passes none by itself, whatever the plan says."""
    four_eyes: Literal["Required", "PlanDecides"] = "PlanDecides"
    """Required: the requester never counts as an approver. A run other than a Test begins with a
    gate then, and passes none by itself, whatever the plan says."""
    automatic_approval: Literal["Allowed", "Refused"] = "Allowed"
    """Refused: no execution but a Test passes gates by itself, and it begins with one, whatever
    the plan says."""
    destructive: Literal["Allowed", "Refused"] = "Refused"
    """Whether anything may be deleted beyond a drill's own instances: whether the account's part
    of an estate can be cleaned up after a failback."""


class Capacity(Model):
    """What the account can hold."""

    replicating_servers: Annotated[int, Field(ge=0, le=4000)] = 300
    """DRS source servers that shall replicate at once in one Region; never more than AWS's quota
    L-C1D14A2B allows."""


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
            (
                "self.readRoleArn.split(':')[1] == self.recoveryRoleArn.split(':')[1]",
                "readRoleArn and recoveryRoleArn must be of one partition",
            ),
            (
                "!has(self.sessionTags) || self.sessionTags.all(key, "
                "!key.startsWith('aws:') && !key.startsWith('leeward:'))",
                "keys of sessionTags may not begin with aws: (AWS's) or leeward: (Leeward's)",
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
    capacity: Capacity | None = None
    """What the account can hold. Absent: what AWS's quotas say."""
    external_id_secret_ref: Ref | None = None
    """Secret in the operator's namespace with an external id of somebody else's making, for roles
    whose trust policies demand another than the issued one. Its type is
    `leeward.dev/external-id`, its key `externalId`. It then stands for every namespace."""
    session_tags: Annotated[dict[TagKey, TagValue], Field(max_length=20)] = {}
    """Tags of the role sessions, beside those that Leeward sets (`leeward:namespace`,
    `leeward:hub`, `leeward:execution`), which they never replace."""
    allow: Allow
    """Who may use the account, for what."""


class IssuedExternalId(Model):
    """The external id of one namespace."""

    namespace: Name
    """Namespace."""
    external_id: Line
    """What the roles' trust policies must demand as `sts:ExternalId`."""


class RefusedStatus(Model):
    """An instance profile, an SSM document or its role that plans name and a role may not use."""

    action: Line
    """IAM action that it lacks for it."""
    subject: Annotated[str, Field(max_length=600)]
    """As plans name it."""
    message: Text
    """What must be allowed."""


class RoleStatus(Model):
    """What is known of one of the two roles."""

    use: Literal["Read", "Recovery"]
    """What it is for."""
    assumed: Literal["Yes", "No", "Unknown"]
    """Whether it was assumed for every namespace and answered as this account. Unknown: STS did
    not answer."""
    external_id: Literal["Demanded", "NotDemanded", "Unknown"] = "Unknown"
    """Whether its trust policy refuses sessions without an external id."""
    permissions: Literal["Simulated", "Probed", "Unknown"] = "Unknown"
    """How its rights were looked at. Simulated: by IAM's policy simulation. Probed: by calls that
    only look, because the simulation is not permitted."""
    missing: Annotated[list[Line], Field(max_length=200, json_schema_extra=atomic())] = []
    """IAM actions that it needs and lacks."""
    unchecked: int = 0
    """IAM actions that it needs, or names that plans want it to use, of which nobody could say
    whether it may."""
    refused: Annotated[list[RefusedStatus], Field(max_length=150, json_schema_extra=atomic())] = []
    """What plans name and it may not use. Those plans cannot be recovered; the account can be
    used."""
    message: Text | None = None
    """What is wrong, or why something is unknown."""


class QuotaStatus(Model):
    """A service quota of DRS."""

    code: Line
    """Quota code of Service Quotas."""
    name: Line
    """What it limits."""
    value: int
    """What is allowed."""
    source: Literal["Applied", "Default", "Documented"]
    """Applied: the account's own value. Default: AWS's, as Service Quotas says. Documented: AWS's
    documented value, because Service Quotas did not answer."""


class RegionStatus(Model):
    """What is known of DRS in one recovery Region."""

    region: Region
    """Region."""
    drs: Literal["Initialized", "NotInitialized", "Unknown"]
    """Whether DRS was initialised. Unknown: it did not answer."""
    source_servers: int = 0
    """Source servers of the account's own."""
    replicating_servers: int = 0
    """Those that replicate."""
    free_servers: int = 0
    """How many more may replicate: the smaller of quota and `spec.capacity`, less those that do."""
    jobs: int = 0
    """Jobs in progress."""
    servers_in_jobs: int = 0
    """Source servers in them."""
    quotas: Annotated[list[QuotaStatus], Field(max_length=20, json_schema_extra=atomic())] = []
    """What DRS allows."""
    message: Text | None = None
    """What is wrong, or why something is unknown."""


class TargetAccountStatus(Model):
    """What is known of the account."""

    observed_generation: int | None = None
    """Generation of the spec that this status speaks of."""
    conditions: Conditions = []
    """Ready: both roles can be used and may do what is needed, and DRS is initialised where it is
    used."""
    external_ids: Annotated[
        list[IssuedExternalId], Field(max_length=100, json_schema_extra=atomic())
    ] = []
    """For the trust policies of the roles. Empty where `spec.externalIdSecretRef` is used."""
    partition: Line | None = None
    """AWS partition of the roles, such as `aws` or `aws-us-gov`."""
    roles: Annotated[list[RoleStatus], Field(max_length=2, json_schema_extra=atomic())] = []
    """The two roles."""
    regions: Annotated[list[RegionStatus], Field(max_length=20, json_schema_extra=atomic())] = []
    """DRS in the recovery Regions of the plans that use the account."""
    technologies: Annotated[list[Line], Field(max_length=50, json_schema_extra=atomic())] = []
    """What plans use here; the rights for these are looked at."""
    last_checked_time: Time | None = None
    """When all this was looked at last."""
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
        ("Age", "date", ".metadata.creationTimestamp"),
        ("Message", "string", ".status.message"),
    ]

    spec: TargetAccountSpec
    """The account and its roles."""
    status: TargetAccountStatus = TargetAccountStatus()
    """What is known of it."""

"""The shape of an estate file.

An estate says which accounts exist, what runs in them in the primary Region, and what stands
ready for it in the recovery Region. Keys are camelCase in files; unknown ones are refused.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from leeward_sandbox.aws.automation import AutomationDocument
from leeward_sandbox.aws.drs.settings import (
    DrsSettings,
    FaultPlan,
    LaunchSettings,
    Replication,
    Setting,
)
from leeward_sandbox.aws.resource_explorer.settings import ResourceExplorerSettings

AccountId = Annotated[str, StringConstraints(pattern=r"^\d{12}$")]
Tags = dict[str, str]

READ_ACTIONS = (
    "autoscaling:Describe*",
    "cloudwatch:GetMetricData",
    "drs:Describe*",
    "drs:Get*",
    "drs:List*",
    "ds:Describe*",
    "dynamodb:DescribeTable",
    "ec2:Describe*",
    "ecs:Describe*",
    "elasticfilesystem:Describe*",
    "ecs:List*",
    "iam:SimulatePrincipalPolicy",
    "fsx:Describe*",
    "lambda:Get*",
    "lambda:List*",
    "rds:Describe*",
    "rds:ListTagsForResource",
    "resource-explorer-2:Get*",
    "resource-explorer-2:List*",
    "resource-explorer-2:Search",
    "route53:Get*",
    "route53:List*",
    "s3:GetBucketVersioning",
    "s3:GetReplicationConfiguration",
    "servicequotas:Get*",
    "servicequotas:List*",
    "ssm:Describe*",
    "ssm:Get*",
    "ssm:List*",
    "tag:GetResources",
)


class Regions(Setting):
    """Where the estate lives and where it goes."""

    primary: str = "us-east-1"
    recovery: str = "us-east-2"


class Role(Setting):
    """A role that another account may assume.

    Attributes:
        name: the role's name.
        external_id: what sts:ExternalId must equal; none is asked for if not given.
        trust: accounts that may assume it.
        tag_session: whether session tags may be passed.
        access: what its policy allows.
        deny: actions that its policy denies all the same, which the sandbox enforces.
    """

    name: str
    external_id: str | None = None
    trust: list[AccountId] = Field(default_factory=lambda: ["999999999999"])
    tag_session: bool = True
    access: Literal["Read", "Recovery"] = "Read"
    deny: list[str] = Field(default_factory=list)


class Network(Setting):
    """A VPC in each Region and one for drills in the recovery Region.

    Every VPC gets three application subnets, in the zones a, b and c, each a sixteenth of the
    VPC and so wide enough for an estate of thousands; the recovery VPC gets a staging one too.

    Attributes:
        full: subnets of the recovery VPC ("app-a", …) that have no free address.
    """

    primary_cidr: str
    recovery_cidr: str
    drill_cidr: str | None = None
    full: list[Literal["app-a", "app-b", "app-c"]] = Field(default_factory=list)

    @model_validator(mode="after")
    def _networks(self) -> Network:
        for cidr in (self.primary_cidr, self.recovery_cidr, self.drill_cidr):
            if cidr is not None and ipaddress.ip_network(cidr).prefixlen > 20:
                raise ValueError(f"{cidr} is too small: a VPC of an estate is /16 to /20")
        return self


class _ServerSettings(Setting):
    """What single servers and groups of them have in common.

    Attributes:
        tags: set over the account's tags; a value of null takes a tag away.
        os: what DRS reports as the operating system.
        disk_gib: size of each disk, the boot disk first.
        instance_type: of the EC2 instance and the launch template.
        replication: how it replicates; null for an instance that DRS does not protect.
        fault: makes its launches fail.
        launch: its launch configuration.
        launch_factor: how much longer than usual its launch takes.
        stopped: whether its EC2 instance is stopped.
        launch_template: Missing: somebody deleted the launch template that DRS keeps for it.
    """

    tags: dict[str, str | None] = Field(default_factory=dict)
    os: str = "Amazon Linux 2023"
    disk_gib: list[int] = Field(default_factory=lambda: [100])
    instance_type: str = "m5.large"
    replication: Replication | None = Replication()
    fault: FaultPlan | None = None
    launch: LaunchSettings = LaunchSettings()
    launch_factor: float = Field(default=1.0, gt=0)
    stopped: bool = False
    launch_template: Literal["Kept", "Missing"] = "Kept"


class Server(_ServerSettings):
    """One EC2 instance in the primary Region, with its source server in the recovery Region."""

    name: str


class ServerGroup(_ServerSettings):
    """Alike servers, named PREFIX-01, PREFIX-02, …; `start` is the first number."""

    prefix: str
    count: int = Field(ge=1)
    start: int = 1

    def servers(self) -> list[Server]:
        """The group's servers, one by one."""
        width = max(2, len(str(self.start + self.count - 1)))
        shared = {name: getattr(self, name) for name in _ServerSettings.model_fields}
        return [
            Server(name=f"{self.prefix}-{n:0{width}d}", **shared)
            for n in range(self.start, self.start + self.count)
        ]


class Aurora(Setting):
    """An Aurora global database: the writer cluster in P, a secondary one in R."""

    name: str
    engine: Literal["aurora-postgresql", "aurora-mysql"] = "aurora-postgresql"
    instances: int = Field(default=1, ge=0)
    tags: dict[str, str | None] = Field(default_factory=dict)


class Record(Setting):
    """A record set of a zone.

    Attributes:
        name: the full name.
        type: the record type.
        values: the values at the time of seeding.
        ttl: seconds.
        set_identifier: for one of several sets of a name.
        weight: for a weighted set.
    """

    name: str
    type: str = "CNAME"
    values: list[str]
    ttl: int = 60
    set_identifier: str | None = None
    weight: int | None = Field(default=None, ge=0, le=255)


class Zone(Setting):
    """A public hosted zone with its records."""

    name: str
    records: list[Record] = Field(default_factory=list)
    tags: dict[str, str | None] = Field(default_factory=dict)


class Capacity(Setting):
    """A wanted count per Region."""

    primary: int = 2
    recovery: int = 0


class EcsService(Setting):
    """A Fargate service of the same name in both Regions."""

    name: str
    cluster: str
    desired: Capacity = Capacity()
    tags: dict[str, str | None] = Field(default_factory=dict)


class AutoScalingGroup(Setting):
    """A group of the same name in both Regions; minimum and desired count are `desired`."""

    name: str
    desired: Capacity = Capacity()
    maximum: int = 6
    instance_type: str = "t3.medium"
    tags: dict[str, str | None] = Field(default_factory=dict)


class LambdaFunction(Setting):
    """A function of the same name in both Regions."""

    name: str
    tags: dict[str, str | None] = Field(default_factory=dict)


class Explorer(Setting):
    """Resource Explorer of an account.

    Attributes:
        aggregator: the Region of the aggregator index; the other one has a local index.
        default_view: whether the aggregator's Region has a default view with tags.
    """

    aggregator: Literal["primary", "recovery"] = "recovery"
    default_view: bool = True


class Account(Setting):
    """One AWS account of the estate.

    Attributes:
        roles: None takes the estate's.
        tags: on everything in the account; null takes one of the estate's away.
        network: None for an account without servers.
        drs_initialized: whether DRS is initialised in both Regions.
        explorer: None for an account without Resource Explorer.
        trusts_for_staging: accounts that may extend this one's source servers.
        vcpu_quota: vCPUs of running On-Demand Standard instances in each Region.
    """

    id: AccountId
    name: str
    roles: list[Role] | None = None
    tags: dict[str, str | None] = Field(default_factory=dict)
    network: Network | None = None
    drs_initialized: bool = True
    explorer: Explorer | None = Explorer()
    trusts_for_staging: list[AccountId] = Field(default_factory=list)
    vcpu_quota: float | None = Field(default=None, ge=0)
    server_groups: list[ServerGroup] = Field(default_factory=list)
    servers: list[Server] = Field(default_factory=list)
    aurora: list[Aurora] = Field(default_factory=list)
    zones: list[Zone] = Field(default_factory=list)
    ecs_services: list[EcsService] = Field(default_factory=list)
    auto_scaling_groups: list[AutoScalingGroup] = Field(default_factory=list)
    lambda_functions: list[LambdaFunction] = Field(default_factory=list)
    automation_documents: list[AutomationDocument] = Field(default_factory=list)

    def all_servers(self) -> list[Server]:
        """The servers of the groups, then the single ones."""
        return [s for group in self.server_groups for s in group.servers()] + self.servers

    @model_validator(mode="after")
    def _complete(self) -> Account:
        names = [server.name for server in self.all_servers()]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"account {self.id} has servers of one name: {', '.join(twice)}")
        needs = self.server_groups or self.servers or self.auto_scaling_groups or self.ecs_services
        if needs and self.network is None:
            raise ValueError(f"account {self.id} has servers and no network to put them in")
        return self


class Estate(Setting):
    """Everything that the sandbox's AWS holds at the start.

    Attributes:
        name: the estate's name.
        namespace: the Kubernetes namespace that it is made for; part of the external id.
        seed: identifiers and durations follow from it.
        tags: on everything, unless an account or a resource says otherwise.
        roles: the roles of every account that gives none; by default LeewardRead and
            LeewardRecovery for the hub account, with the namespace's external id.
    """

    name: str
    namespace: str
    seed: int = 1
    regions: Regions = Regions()
    tags: Tags = Field(default_factory=dict)
    roles: list[Role] | None = None
    drs: DrsSettings = DrsSettings()
    resource_explorer: ResourceExplorerSettings = ResourceExplorerSettings()
    accounts: list[Account] = Field(min_length=1)

    @property
    def external_id(self) -> str:
        """The external id that Leeward issues to the namespace in the sandbox."""
        return f"leeward/sandbox/{self.namespace}"

    def account_roles(self, account: Account) -> list[Role]:
        """The roles of an account."""
        if account.roles is not None:
            return account.roles
        if self.roles is not None:
            return self.roles
        return [
            Role(name="LeewardRead", external_id=self.external_id, access="Read"),
            Role(name="LeewardRecovery", external_id=self.external_id, access="Recovery"),
        ]

    def tags_of(self, account: Account, name: str, own: dict[str, str | None]) -> Tags:
        """A resource's tags: its name, the estate's, the account's and its own, in this order."""
        merged = {"Name": name, **self.tags, **account.tags, **own}
        return {key: value for key, value in merged.items() if value is not None}

    @model_validator(mode="after")
    def _distinct(self) -> Estate:
        ids = [account.id for account in self.accounts]
        if len(set(ids)) != len(ids):
            raise ValueError(f"accounts appear more than once: {', '.join(sorted(ids))}")
        if self.regions.primary == self.regions.recovery:
            raise ValueError(f"{self.regions.primary} cannot be primary and recovery Region")
        return self

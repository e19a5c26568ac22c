"""Launch settings: what people write in layers, and what comes of them for one server.

Names are those of DRS's launch configuration and of EC2's launch templates, where AWS keeps them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from leeward.api.common import (
    AccountId,
    Model,
    Ref,
    ResourceId,
    TagKey,
    TagValue,
    Text,
    atomic,
    rules,
)

SubnetId = Annotated[str, Field(pattern=r"^subnet-[0-9a-f]{8,17}$", max_length=24)]
SecurityGroupId = Annotated[str, Field(pattern=r"^sg-[0-9a-f]{8,17}$", max_length=20)]
InstanceId = Annotated[str, Field(pattern=r"^i-[0-9a-f]{8,17}$", max_length=19)]
InstanceType = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9-]*\.[a-z0-9-]+$", min_length=3, max_length=32)
]
InstanceProfile = Annotated[
    str,
    Field(
        pattern=r"^(arn:aws[a-z-]*:iam::[0-9]{12}:instance-profile/)?[\w+=,.@/-]+$", max_length=512
    ),
]
"""Name, or ARN."""
Address = Annotated[str, Field(pattern=r"^([0-9]{1,3}\.){3}[0-9]{1,3}$", max_length=15)]
"""IPv4."""
RightSizing = Literal["NONE", "BASIC", "IN_AWS"]
RecoveryMode = Literal["FAST", "OPTIMAL"]


class Licensing(Model):
    """Licences of the operating system."""

    os_byol: bool | None = None
    """true: the server keeps its own licence of the operating system (bring your own licence)."""


class LaunchInto(Model):
    """An instance that is kept and gets the server's disks."""

    instance_id: Annotated[InstanceId, Field(alias="launchIntoEC2InstanceID")]
    """The instance: stopped, and tagged `AWSDRS=AllowLaunchingIntoThisInstance`."""


class Networking(Model):
    """Network of the launched instance."""

    create_public_ip: Annotated[bool | None, Field(alias="createPublicIP")] = None
    """Whether it gets a public address."""
    target_subnet_selection: Literal["AUTO", "MANUAL"] | None = None
    """AUTO: the subnet whose range holds the server's address, of `targetSubnetIds` or else of
    those tagged `drstarget=true`. MANUAL (also where only `targetSubnetIds` is given): that of
    `targetSubnetIds`; of several the one whose range holds the address."""
    target_subnet_ids: Annotated[list[SubnetId], Field(min_length=1, max_length=50)] | None = None
    """Subnets in the recovery Region."""
    security_group_ids: (
        Annotated[list[SecurityGroupId], Field(min_length=1, max_length=16)] | None
    ) = None
    """Security groups in the subnet's VPC."""
    private_ip_address: Address | None = None
    """Static private address, usually of one resource; needs a selection of the subnet."""


class LaunchSettings(Model):
    """One document of launch settings. What no layer names stays as AWS has it."""

    copy_private_ip: bool | None = None
    """Whether the instance gets the private address of the source server."""
    copy_tags: bool | None = None
    """Whether the instance gets the tags of the source server."""
    launch_disposition: Literal["STOPPED"] | None = None
    """Always STOPPED: Instantiate changes nothing for users, and Activate starts the instances."""
    licensing: Licensing | None = None
    """Licences."""
    target_instance_type_right_sizing_method: RightSizing | None = None
    """Whether DRS chooses the instance type. NONE is set wherever `instanceType` is given."""
    recovery_mode: RecoveryMode | None = None
    """FAST: without conversion. OPTIMAL: with it."""
    launch_into_instance_properties: LaunchInto | None = None
    """Launch into an existing instance; beside it only licensing and recoveryMode apply."""
    instance_type: InstanceType | None = None
    """Instance type."""
    iam_instance_profile: InstanceProfile | None = None
    """Instance profile, by name or ARN."""
    networking: Networking | None = None
    """Network."""


class TagSelector(Model):
    """A tag of a server."""

    key: TagKey
    """Key."""
    value: TagValue
    """Value, compared with regard to case."""


class InlineSettings(Model):
    """Launch settings in the plan itself."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "(has(self.accountId) ? 1 : 0) + (has(self.tag) ? 1 : 0) "
                "+ (has(self.resource) ? 1 : 0) <= 1",
                "at most one of accountId, tag and resource",
            )
        )
    )

    account_id: AccountId | None = None
    """Only servers in this account."""
    tag: TagSelector | None = None
    """Only servers with this tag."""
    resource: ResourceId | None = None
    """Only this server: its id or ARN, or the id of the EC2 instance that it replicates."""
    settings: LaunchSettings
    """The settings."""


class LaunchLayer(Model):
    """A layer of launch settings."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("has(self.configMapRef) != has(self.inline)", "one of configMapRef and inline")
        )
    )

    config_map_ref: Ref | None = None
    """ConfigMap with YAML files: `defaults.yml`, `defaults_for_account_ACCOUNT.yml`,
    `override_for_tag__KEY__VALUE.yml`, `override_for_resource__ID.yml`."""
    inline: InlineSettings | None = None
    """Settings in the plan."""


class Launch(Model):
    """Launch settings in layers, merged deeply: defaults, then accounts, tags, resources."""

    layers: Annotated[list[LaunchLayer], Field(max_length=20)] = []
    """Layers. Of settings of the same kind, those of a later layer win."""


class ServerLaunch(Model):
    """The settings of one server, as its layers come together. Absent: stays as AWS has it."""

    copy_private_ip: bool | None = None
    """copyPrivateIp of DRS."""
    copy_tags: bool | None = None
    """copyTags of DRS."""
    os_byol: bool | None = None
    """licensing.osByol of DRS."""
    target_instance_type_right_sizing_method: RightSizing | None = None
    """targetInstanceTypeRightSizingMethod of DRS."""
    recovery_mode: RecoveryMode | None = None
    """recoveryMode of DRS."""
    launch_into_instance: InstanceId | None = None
    """launchIntoEC2InstanceID of DRS."""
    instance_type: InstanceType | None = None
    """InstanceType of the launch template."""
    iam_instance_profile: InstanceProfile | None = None
    """IamInstanceProfile of the launch template, by name or ARN."""
    subnet_id: SubnetId | None = None
    """Subnet of its first network interface."""
    security_group_ids: (
        Annotated[list[SecurityGroupId], Field(max_length=16, json_schema_extra=atomic())] | None
    ) = None
    """Security groups of its first network interface."""
    private_ip_address: Address | None = None
    """Private address of its first network interface."""
    associate_public_ip_address: bool | None = None
    """Whether its first network interface gets a public address."""


class LaunchStatus(Model):
    """Launch settings as they were read last."""

    digest: Annotated[str, Field(max_length=80)]
    """Of the layers as they were read."""
    servers: int = 0
    """Servers that have settings."""
    reason: Annotated[str, Field(max_length=63)] = ""
    """CamelCase word for the first problem; empty: there is none."""
    problem_count: int = 0
    """What is wrong with the layers, or with them for single servers. Where something is, servers
    keep the settings that they had."""
    problems: Annotated[list[Text], Field(max_length=20, json_schema_extra=atomic())] = []
    """Some of it."""
    differing: int = 0
    """Servers for which AWS has something else; the next launch sets it."""
    examples: Annotated[list[Text], Field(max_length=5, json_schema_extra=atomic())] = []
    """Some of them, and what differs."""

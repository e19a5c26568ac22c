"""EC2 launch templates: versions made from another version, and which one is the default."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from botocore.model import ListShape, Shape, StructureShape

_ZONE: Final = ("AvailabilityZone", "AvailabilityZoneId")
ADDRESSES: Final = frozenset(
    {
        "PrivateIpAddress",
        "PrivateIpAddresses",
        "SecondaryPrivateIpAddressCount",
        "Ipv6Addresses",
        "Ipv6AddressCount",
        "Ipv4Prefixes",
        "Ipv4PrefixCount",
        "Ipv6Prefixes",
        "Ipv6PrefixCount",
        "PrimaryIpv6",
    }
)
"""Of a network interface: what ties it to the addresses of one subnet."""


def defaults(ec2: Any) -> Iterator[Mapping[str, Any]]:
    """The `$Default` version of every launch template of the account and Region.

    One call per 200 templates (DescribeLaunchTemplateVersions of `$Default` without a template).
    """
    pages = ec2.get_paginator("describe_launch_template_versions").paginate(
        Versions=["$Default"], PaginationConfig={"PageSize": 200}
    )
    for page in pages:
        yield from (v for v in page["LaunchTemplateVersions"] if v.get("DefaultVersion", True))


def ends(ec2: Any) -> Iterator[Mapping[str, Any]]:
    """The `$Default` and the `$Latest` version of every launch template; one where they are one.

    One call per 200 versions.
    """
    pages = ec2.get_paginator("describe_launch_template_versions").paginate(
        Versions=["$Default", "$Latest"], PaginationConfig={"PageSize": 200}
    )
    for page in pages:
        yield from page["LaunchTemplateVersions"]


def history(ec2: Any, template: str) -> Iterator[Mapping[str, Any]]:
    """All versions of one launch template. One call per 200."""
    pages = ec2.get_paginator("describe_launch_template_versions").paginate(
        LaunchTemplateId=template, PaginationConfig={"PageSize": 200}
    )
    for page in pages:
        yield from page["LaunchTemplateVersions"]


def of_a_drill(version: Mapping[str, Any]) -> bool:
    """Whether the version is one that a drill made for itself, and says nothing of production."""
    return str(version.get("VersionDescription", "")).startswith("leeward-drill ")


def first_interface(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The network interface of device index 0; empty where there is none."""
    interfaces = data.get("NetworkInterfaces") or [{}]
    of_index = (i for i in interfaces if int(i.get("DeviceIndex", 0)) == 0)
    found: Mapping[str, Any] = next(of_index, interfaces[0])
    return found


def new_version(
    ec2: Any,
    call: str,
    source: Mapping[str, Any],
    description: str,
    change: Callable[[dict[str, Any]], None],
) -> str:
    """Make a version that is like `source` but for what `change` does; answers its number.

    The client token comes from `call` and the template, so that a repeated call makes no second
    version. Security groups belong to the network interface, which DRS wants them at.

    Args:
        ec2: client.
        call: id of the batch.
        source: a version as EC2 describes it.
        description: of the new version, at most 255 characters.
        change: changes the launch template data in place, the request's form.
    """
    template, number = source["LaunchTemplateId"], str(source["VersionNumber"])
    shape = ec2.meta.service_model.shape_for("RequestLaunchTemplateData")
    data = _fit(source["LaunchTemplateData"], shape)
    before = first_interface(data)
    change(data)
    # With a source version, AWS adds what this client's model does not know. But what must go
    # cannot be inherited: groups beside a network interface, and the zone of another subnet.
    gone = []
    if data.get("NetworkInterfaces"):
        gone = [data.pop(key, None) for key in ("SecurityGroupIds", "SecurityGroups")]
    if first_interface(data).get("SubnetId") != before.get("SubnetId"):
        gone += [data.get("Placement", {}).pop(key, None) for key in _ZONE]
    inherits = not any(gone)
    answer = ec2.create_launch_template_version(
        LaunchTemplateId=template,
        VersionDescription=description,
        LaunchTemplateData=data,
        ClientToken=hashlib.sha256(f"{call}/{template}".encode()).hexdigest()[:64],
        **({"SourceVersion": number} if inherits else {}),
    )
    return str(answer["LaunchTemplateVersion"]["VersionNumber"])


def set_default(ec2: Any, template: str, number: str) -> None:
    """Make the version the one that is launched from."""
    ec2.modify_launch_template(LaunchTemplateId=template, DefaultVersion=number)


def _fit(value: Any, shape: Shape) -> Any:
    """The part of EC2's answer that the request's shape knows too."""
    if isinstance(shape, StructureShape):
        return {
            key: _fit(member, shape.members[key])
            for key, member in value.items()
            if key in shape.members
        }
    if isinstance(shape, ListShape):
        return [_fit(item, shape.member) for item in value]
    return value

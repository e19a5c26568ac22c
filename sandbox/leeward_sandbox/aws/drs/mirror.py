"""The EC2 side of a launch: recovery instances are instances of moto's EC2.

The launch template's $Default version is read when the launch starts, as everything in it
(subnet, security groups, instance type) is DRS's only source for where a server comes up.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from moto.core.exceptions import ServiceException
from moto.moto_api._internal import mock_random

from leeward_sandbox.aws.backend import World
from leeward_sandbox.aws.drs.timing import generator
from leeward_sandbox.aws.moto_images import DEFAULT_IMAGE

MANAGED_TAG = "AWSElasticDisasterRecoveryManaged"
SOURCE_SERVER_TAG = "AWSElasticDisasterRecoverySourceServerID"
LAUNCH_INTO_TAG = ("AWSDRS", "AllowLaunchingIntoThisInstance")
DEFAULT_PROFILE = "AWSElasticDisasterRecoveryRecoveryInstanceRole"
"""Instance profile of what DRS launches, unless the launch template names one."""

_STATES = {"pending": 0, "running": 16, "stopped": 80}


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and as what a server will be launched."""

    subnet: str
    groups: list[str]
    instance_type: str
    private_ip: str | None
    tags: dict[str, str]
    profile: str = DEFAULT_PROFILE


class LaunchError(Exception):
    """EC2 refuses the launch; the text is what DRS shows as `rawError`."""


class Ec2Mirror:
    """The EC2 of one account and Region as DRS uses it."""

    def __init__(self, world: World, account: str, region: str) -> None:
        self._ec2 = world.moto("ec2", account, region)
        self._iam = world.moto("iam", account, region)
        self._seed = world.seed
        self._region = region
        self._known: dict[str, Any] = {}

    def create_template(
        self, server_id: str, instance_type: str, subnet: str, groups: list[str]
    ) -> str:
        """Create the launch template of a source server and return its id."""
        state = mock_random.getstate()
        mock_random.seed(generator(self._seed, "launch-template", server_id).getrandbits(64))
        try:
            template = self._ec2.create_launch_template(
                f"created-and-used-by-drs-{server_id}",
                "created by Elastic Disaster Recovery",
                {
                    "InstanceType": instance_type,
                    "NetworkInterfaces": [
                        {"DeviceIndex": 0, "SubnetId": subnet, "Groups": list(groups)}
                    ],
                },
                {"launch-template": {MANAGED_TAG: "drs.amazonaws.com"}},
            )
        finally:
            mock_random.setstate(state)
        return str(template.id)

    def write_version(self, template_id: str, *, default: bool) -> None:
        """Write a version like the template's default one, without its description."""
        template = self._ec2.launch_templates[template_id]
        version = template.create_version(template.default_version().data, "")
        if default:
            template.default_version_number = version.number

    def delete_template(self, template_id: str) -> None:
        """Delete a launch template."""
        name = self._ec2.launch_templates[template_id].name
        self._ec2.delete_launch_template(name, template_id)

    def placement(self, template_id: str) -> Placement:
        """What the template's $Default version says now.

        Raises:
            LaunchError: template, subnet or security group do not exist, or do not fit.
        """
        template = self._ec2.launch_templates.get(template_id)
        if template is None:
            raise LaunchError(
                f"InvalidLaunchTemplateId.NotFound: The launch template {template_id} "
                f"does not exist"
            )
        data = template.default_version().data
        interfaces = data.get("NetworkInterfaces") or [{}]
        first = next((n for n in interfaces if int(n.get("DeviceIndex", 0)) == 0), interfaces[0])
        subnet = first.get("SubnetId")
        if not subnet:
            raise LaunchError(
                f"InvalidParameterValue: version {template.default_version_number} of launch "
                f"template {template_id} names no subnet for network interface 0"
            )
        groups = list(first.get("Groups") or data.get("SecurityGroupIds") or [])
        self._check_network(subnet, groups)
        return Placement(
            subnet=subnet,
            groups=groups,
            instance_type=data.get("InstanceType") or "m5.large",
            private_ip=first.get("PrivateIpAddress"),
            tags=_instance_tags(data),
            profile=_profile_name(data),
        )

    def _subnet(self, subnet_id: str) -> Any:
        zones = self._ec2.subnets.values()
        return next((zone[subnet_id] for zone in zones if subnet_id in zone), None)

    def _check_network(self, subnet_id: str, groups: list[str]) -> None:
        subnet = self._subnet(subnet_id)
        if subnet is None:
            raise LaunchError(
                f"InvalidSubnetID.NotFound: The subnet ID '{subnet_id}' does not exist"
            )
        for group_id in groups:
            group = self._ec2.get_security_group_from_id(group_id)
            if group is None:
                raise LaunchError(
                    f"InvalidGroup.NotFound: The security group '{group_id}' does not exist"
                )
            if group.vpc_id != subnet.vpc_id:
                raise LaunchError(
                    f"InvalidParameter: Security group {group_id} and subnet {subnet_id} belong "
                    f"to different networks."
                )

    def launch(self, place: Placement, tags: dict[str, str], at: datetime) -> str:
        """Start an instance in state pending and return its id; LaunchError as EC2 says."""
        self._check_address(place)
        try:
            reservation = self._ec2.run_instances(
                DEFAULT_IMAGE,
                1,
                None,
                [],
                instance_type=place.instance_type,
                is_instance_type_default=False,
                subnet_id=place.subnet,
                security_group_ids=list(place.groups),
                private_ip=place.private_ip,
                region_name=self._region,
                tags={"instance": place.tags | tags},
            )
        except ServiceException as error:
            raise LaunchError(str(error)) from error
        instance = reservation.instances[0]
        instance.launch_time = at.replace(tzinfo=None)
        self.set_state(instance.id, "pending")
        self._give_profile(str(instance.id), place.profile)
        return str(instance.id)

    def _give_profile(self, instance_id: str, name: str) -> None:
        if name == DEFAULT_PROFILE and name not in self._iam.instance_profiles:
            self._iam.create_instance_profile(name, "/service-role/", [])
        if name not in self._iam.instance_profiles:
            self.terminate(instance_id)
            raise LaunchError(
                f"InvalidParameterValue: Value ({name}) for parameter iamInstanceProfile.name is "
                f"invalid. Invalid IAM Instance Profile name"
            )
        state = mock_random.getstate()
        mock_random.seed(generator(self._seed, "profile", instance_id).getrandbits(64))
        try:
            self._ec2.associate_iam_instance_profile(instance_id, name)
        finally:
            mock_random.setstate(state)

    def has_profile(self, instance_id: str) -> bool:
        """Whether the instance has an instance profile."""
        return instance_id in self._ec2.iam_instance_profile_associations

    def _check_address(self, place: Placement) -> None:
        subnet = self._subnet(place.subnet)
        if subnet is None:
            raise LaunchError(
                f"InvalidSubnetID.NotFound: The subnet ID '{place.subnet}' does not exist"
            )
        if subnet.available_ip_address_count < 1:
            raise LaunchError(
                f"InsufficientFreeAddressesInSubnet: There are not enough free addresses in "
                f"subnet '{place.subnet}' to satisfy the requested number of instances."
            )
        if place.private_ip is None:
            return
        if ipaddress.ip_address(place.private_ip) not in subnet.cidr:
            raise LaunchError(
                f"InvalidParameterValue: Address {place.private_ip} does not fall within the "
                f"subnet's address range"
            )
        if place.private_ip in subnet._subnet_ips:
            raise LaunchError(f"InvalidIPAddress.InUse: Address {place.private_ip} is in use.")

    def take_over(self, instance_id: str, tags: dict[str, str]) -> None:
        """Launch into an existing instance: it must be stopped and carry the AWSDRS tag.

        Raises:
            LaunchError: it is neither.
        """
        problem = self.launch_into_problem(instance_id)
        if problem:
            raise LaunchError(problem)
        self._ec2.create_tags([instance_id], tags)
        self.set_state(instance_id, "pending")

    def launch_into_problem(self, instance_id: str) -> str | None:
        """Why DRS cannot launch into the instance, or None."""
        state = self.state(instance_id)
        if state == "NOT_FOUND":
            return f"InvalidInstanceID.NotFound: The instance ID '{instance_id}' does not exist"
        if state != "STOPPED":
            return (
                f"Instance {instance_id} needs to be in a stopped state but is in a "
                f"{state.lower()} state"
            )
        return None if self.may_be_launched_into(instance_id) else self.tag_problem(instance_id)

    def may_be_launched_into(self, instance_id: str) -> bool:
        """Whether the instance carries the tag that allows a launch into it."""
        key, value = LAUNCH_INTO_TAG
        return bool(self._ec2.tags.get(instance_id, {}).get(key) == value)

    def tag_problem(self, instance_id: str) -> str:
        """What DRS says of an instance without that tag."""
        key, value = LAUNCH_INTO_TAG
        return f"Instance {instance_id} must have the tag {key} with the value {value}"

    def set_state(self, instance_id: str, name: str) -> None:
        """Put the instance into a state without going through EC2's API."""
        instance = self._instance(instance_id)
        if instance is not None and instance.state != "terminated":
            instance._state.name = name
            instance._state.code = _STATES[name]

    def state(self, instance_id: str) -> str:
        """ec2InstanceState: the instance's state in capitals, or NOT_FOUND."""
        instance = self._instance(instance_id)
        return "NOT_FOUND" if instance is None else str(instance.state).upper()

    def terminate(self, instance_id: str) -> None:
        """Terminate the instance if it is there, whatever its protection."""
        instance = self._instance(instance_id)
        if instance is not None and instance.state != "terminated":
            subnet, address = self._subnet(instance.subnet_id), instance.private_ip
            instance.terminate()
            # Moto frees the address only when the object is collected.
            if subnet is not None and address:
                subnet.del_subnet_ip(address)

    def network(self, instance_id: str) -> tuple[str, list[str]] | None:
        """Subnet and security groups of the instance, or None if it is not there."""
        instance = self._instance(instance_id)
        if instance is None or not instance.subnet_id:
            return None
        return instance.subnet_id, [group.id for group in instance.security_groups]

    def any_network(self) -> tuple[str, list[str]] | None:
        """Some subnet of the Region, the default VPC's first, and no groups."""
        subnets = [s for zone in self._ec2.subnets.values() for s in zone.values()]
        subnets.sort(key=lambda s: (not s.default_for_az, s.id))
        return (subnets[0].id, []) if subnets else None

    def _instance(self, instance_id: str) -> Any:
        if instance_id not in self._known:
            for reservation in self._ec2.reservations.values():
                self._known.update((instance.id, instance) for instance in reservation.instances)
        return self._known.get(instance_id)


def _profile_name(data: dict[str, Any]) -> str:
    given = data.get("IamInstanceProfile") or {}
    return str(given.get("Name") or given.get("Arn", "").rpartition("/")[2] or DEFAULT_PROFILE)


def _instance_tags(data: dict[str, Any]) -> dict[str, str]:
    specifications = data.get("TagSpecifications") or []
    return {
        tag["Key"]: tag["Value"]
        for spec in specifications
        if spec.get("ResourceType") == "instance"
        for tag in spec.get("Tags") or spec.get("Tag") or []
    }

"""Whether the servers of an account would find room in the recovery Region.

DRS launches a server from the `$Default` version of the launch template that it keeps for it. What
that names must be there (subnet, security groups), be offered (instance type in the subnet's zone),
and suffice for all of the plan's servers together (addresses, vCPUs).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from leeward_adapters import drs_sources, ec2_capacity, launch_templates, quotas
from leeward_adapters.base import Finding, Scope, Target
from leeward_adapters.ec2 import place
from leeward_adapters.errors import classify


@dataclass(frozen=True, slots=True)
class _Launch:
    """How one server would be launched, by its settings and its template's `$Default` version."""

    target: str
    template: str
    type: str
    subnet: str
    groups: tuple[str, ...]
    drilling: bool = False
    """Whether the template is a drill's just now."""


def readiness(scope: Scope, targets: Sequence[Target]) -> list[Finding]:
    """What stands against launching all of `targets`, which DRS knows and which are not launched.

    Where AWS does not answer, one finding says so: a recovery is not held up by an estimate.
    """
    if not targets:
        return []
    try:
        launches, found = _launches(scope, targets)
        for check in _CHECKS:
            found += check(scope, launches)
    except (ClientError, BotoCoreError) as error:
        fault = classify(error)
        return [
            Finding(
                "Degraded",
                "CapacityNotChecked",
                f"whether {len(targets)} servers find room in {place(scope)} is not known: "
                f"{fault.code}: {fault.message}. Allow the read role "
                f"{', '.join(sorted(ec2_capacity.PERMISSIONS))}",
            )
        ]
    return found


def launch_settings(scope: Scope, targets: Sequence[Target]) -> Mapping[str, str]:
    """By server id: a digest of how it would be launched, which changes when that changes.

    Without the servers that are in a drill.
    """
    launches, _ = _launches(scope, targets)
    return {
        launch.target: hashlib.sha256(
            json.dumps([launch.type, launch.subnet, launch.groups]).encode()
        ).hexdigest()[:8]
        for launch in launches
        if not launch.drilling
    }


def _launches(scope: Scope, targets: Sequence[Target]) -> tuple[list[_Launch], list[Finding]]:
    versions = ec2_capacity.default_versions(scope)
    named = {v["LaunchTemplateName"]: t for t, v in versions.items() if "LaunchTemplateName" in v}
    launches, missing = [], []
    # One that is launched into an existing instance needs no room of its own.
    for target in (t for t in targets if not t.settings.get("launchIntoInstance")):
        name = f"{drs_sources.TEMPLATE_NAME}{target.id}"
        template = named.get(name) or drs_sources.template_of(scope, target.id)
        version = versions.get(template)
        if version is None:
            missing.append(_no_template(scope, target, template))
        else:
            launches.append(_launch(target, template, version))
    return launches, missing


def _launch(target: Target, template: str, version: Mapping[str, Any]) -> _Launch:
    """The target's settings stand over the template: `prepare` writes them there first.

    A drill's version says nothing of the network of a real launch.
    """
    data, wanted = version["LaunchTemplateData"], target.settings
    drilling = launch_templates.of_a_drill(version)
    first = {} if drilling else launch_templates.first_interface(data)
    groups = first.get("Groups") or ([] if drilling else data.get("SecurityGroupIds")) or []
    return _Launch(
        target=target.id,
        template=template,
        type=wanted.get("instanceType") or data.get("InstanceType", ""),
        subnet=wanted.get("subnetId") or first.get("SubnetId", ""),
        groups=tuple(wanted.get("securityGroupIds") or groups),
        drilling=drilling,
    )


def _no_template(scope: Scope, target: Target, template: str) -> Finding:
    message = (
        f"launch template {template or '(none)'} of {target.id} is not there in {place(scope)}, "
        "and DRS launches from nothing else: save the server's launch settings in the DRS "
        "console, which makes it anew"
    )
    return Finding("Blocking", "LaunchTemplateMissing", message, target.id)


def _networks(scope: Scope, launches: Sequence[_Launch]) -> Iterator[Finding]:
    """Subnets and security groups are there, in one VPC."""
    subnets, groups = ec2_capacity.subnets(scope), ec2_capacity.security_groups(scope)
    for launch in launches:
        where = f"launch template {launch.template} of {launch.target} in {place(scope)}"
        subnet = subnets.get(launch.subnet)
        if launch.subnet and subnet is None:
            message = f"{where} names subnet {launch.subnet}, which is not there: choose another"
            yield Finding("Blocking", "SubnetMissing", message, launch.target)
        lost = [g for g in launch.groups if g not in groups]
        strange = [g for g in launch.groups if subnet and groups.get(g, subnet.vpc) != subnet.vpc]
        if lost or strange:
            message = (
                f"{where} names security group {', '.join(lost or strange)}, which is "
                f"{'not there' if lost else f'not in the VPC of {launch.subnet}'}: choose another"
            )
            yield Finding("Blocking", "SecurityGroupMissing", message, launch.target)


def _types(scope: Scope, launches: Sequence[_Launch]) -> Iterator[Finding]:
    """The instance type is offered in the subnet's zone; without a subnet, in some zone."""
    wanted = {launch.type for launch in launches if launch.type}
    if not wanted:
        return
    offers, subnets = ec2_capacity.offered(scope, wanted), ec2_capacity.subnets(scope)
    for launch in launches:
        zones = sorted(zone for kind, zone in offers if kind == launch.type)
        subnet = subnets.get(launch.subnet)
        if not launch.type or (subnet.zone in zones if subnet else zones):
            continue
        instead = f"it is in {', '.join(zones)}" if zones else "in no zone of the Region"
        message = (
            f"{launch.target} would be launched as {launch.type}, which is not offered in "
            f"{subnet.zone if subnet else scope.region} of {place(scope)} ({instead}): choose "
            f"another type or subnet in launch template {launch.template}"
        )
        yield Finding("Blocking", "InstanceTypeNotOffered", message, launch.target)


def _addresses(scope: Scope, launches: Sequence[_Launch]) -> Iterator[Finding]:
    """Every subnet has an address for each server that would be launched there."""
    subnets = ec2_capacity.subnets(scope)
    for subnet_id, needed in sorted(Counter(launch.subnet for launch in launches).items()):
        subnet = subnets.get(subnet_id)
        if subnet is None or subnet.free >= needed:
            continue
        message = (
            f"{needed} server{'' if needed == 1 else 's'} would be launched into subnet "
            f"{subnet_id} in {place(scope)}, which has {subnet.free} free addresses "
            "(AWS keeps five of each subnet): free some, or spread the servers over other subnets "
            "in their launch templates"
        )
        yield Finding("Blocking", "SubnetFull", message)


def _vcpus(scope: Scope, launches: Sequence[_Launch]) -> Iterator[Finding]:
    """The On-Demand quota holds what runs and what would be launched."""
    types = Counter(launch.type for launch in launches if launch.type)
    needed = ec2_capacity.standard_vcpus(scope, types)
    if not needed:
        return
    quota = ec2_capacity.standard_quota(scope)
    used = ec2_capacity.standard_vcpus(scope, ec2_capacity.running(scope))
    what = f"{needed} vCPUs would be launched in {place(scope)}, where {used} run"
    name = f"quota {quota.known.code} ({quota.known.name})"
    if quota.source == "Documented":
        message = (
            f"{what}; whether that is within {name} is not known: {quota.why}. Allow the read "
            f"role {', '.join(sorted(quotas.PERMISSIONS))}"
        )
        yield Finding("Warning", "QuotaUnknown", message)
    elif used + needed > quota.value:
        message = (
            f"{what} and {name} allows {quota.value:g}: ask for {used + needed} (aws "
            f"service-quotas request-service-quota-increase --service-code ec2 --quota-code "
            f"{quota.known.code} --desired-value {used + needed} --region {scope.region})"
        )
        yield Finding("Blocking", "VcpuQuotaExceeded", message)


_CHECKS: Final[tuple[Callable[[Scope, Sequence[_Launch]], Iterator[Finding]], ...]] = (
    _networks,
    _types,
    _addresses,
    _vcpus,
)

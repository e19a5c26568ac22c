"""Setting up DRS in an account and Region: what is there, what is wanted, what is missing.

Templates are DRS's defaults for servers whose agents are installed later; servers that replicate
already keep their own settings (DRS user guide, default settings).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import ClientError

from leeward_adapters import drs_capacity, drs_lists, quotas
from leeward_adapters.base import Scope

Settings = Mapping[str, Any]
"""Members of a template, as in DRS's API."""

ROLES: Final = tuple(
    f"AWSElasticDisasterRecovery{name}Role"
    for name in (
        "Agent", "ConversionServer", "Failback", "RecoveryInstance",
        "RecoveryInstanceWithLaunchActions", "ReplicationServer",
    )
)  # fmt: skip
"""Roles that DRS uses, made by its console at the first use (DRS user guide, initialization)."""
REPLICATION_DEFAULTS: Final[Settings] = {
    "associateDefaultSecurityGroup": True,
    "autoReplicateNewDisks": True,
    "bandwidthThrottling": 0,
    "createPublicIP": False,
    "dataPlaneRouting": "PRIVATE_IP",
    "defaultLargeStagingDiskType": "GP3",
    "ebsEncryption": "DEFAULT",
    "pitPolicy": [
        {"ruleID": 1, "units": "MINUTE", "interval": 10, "retentionDuration": 60, "enabled": True},
        {"ruleID": 2, "units": "HOUR", "interval": 1, "retentionDuration": 24, "enabled": True},
        {"ruleID": 3, "units": "DAY", "interval": 1, "retentionDuration": 7, "enabled": True},
    ],
    "replicationServerInstanceType": "t3.small",
    "replicationServersSecurityGroupsIDs": [],
    "stagingAreaTags": {},
    "useDedicatedReplicationServer": False,
}
LAUNCH_DEFAULTS: Final[Settings] = {
    "copyPrivateIp": False,
    "copyTags": True,
    "launchDisposition": "STARTED",
    "licensing": {"osByol": False},
    "targetInstanceTypeRightSizingMethod": "NONE",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """The templates that there shall be; None: left alone."""

    replication: Settings | None = None
    launch: Settings | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What there is."""

    initialized: bool
    replication: Sequence[Settings] = ()
    launch: Sequence[Settings] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """One call that is missing."""

    text: str
    """What it does, for people."""
    operation: str
    """Name of the client's method."""
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the checklist."""

    ok: bool
    text: str
    """What was looked at, and if it is not in order, what to do."""


def wanted(given: Any, problem: Callable[[str], Exception], scope: Scope) -> Wanted:
    """What a settings file asks for, defaults filled in and checked against DRS's API model.

    Args:
        given: the file's content.
        problem: makes the exception that is raised, of all that is wrong.
        scope: where the client's model comes from.
    """
    wrong: list[str] = []
    if not isinstance(given, Mapping) or set(given) - {"replication", "launch"} or not given:
        raise problem("the settings must be a map with `replication`, `launch` or both")
    parts: dict[str, Settings] = {}
    operations = {
        "replication": ("CreateReplicationConfigurationTemplate", REPLICATION_DEFAULTS),
        "launch": ("CreateLaunchConfigurationTemplate", LAUNCH_DEFAULTS),
    }
    for name, (operation, defaults) in operations.items():
        if name in given:
            shape = scope.client("drs").meta.service_model.operation_model(operation).input_shape
            parts[name] = {**defaults, **(given[name] or {})}
            wrong += _wrong(shape, parts[name], name)
    if wrong:
        raise problem("; ".join(wrong))
    return Wanted(parts.get("replication"), parts.get("launch"))


def _wrong(shape: Any, value: Any, where: str) -> Iterator[str]:
    """What of a value the API's model refuses."""
    kinds: dict[str, Any] = {
        "structure": Mapping,
        "map": Mapping,
        "list": list,
        "string": str,
        "boolean": bool,
    }
    kind: Any = kinds.get(shape.type_name, int)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        yield f"{where} must be a {shape.type_name}, not {value!r}"
    elif shape.type_name == "structure":
        for name in sorted(set(value) - set(shape.members)):
            yield f"{where}.{name}: DRS has no such setting"
        for name in shape.required_members:
            if name not in value:
                yield f"{where}.{name} is missing"
        for name, item in value.items():
            if name in shape.members:
                yield from _wrong(shape.members[name], item, f"{where}.{name}")
    elif shape.type_name == "list":
        least, most = shape.metadata.get("min", 0), shape.metadata.get("max", len(value))
        if not least <= len(value) <= most:
            yield f"{where} must have {least} to {most} entries, not {len(value)}"
        for number, item in enumerate(value):
            yield from _wrong(shape.member, item, f"{where}[{number}]")
    elif shape.type_name == "string":
        if shape.enum and value not in shape.enum:
            yield f"{where} must be one of {', '.join(shape.enum)}, not {value!r}"
        pattern = shape.metadata.get("pattern")
        if pattern and not re.fullmatch(pattern, value):
            yield f"{where} must look like {pattern}, not {value!r}"


def look(scope: Scope) -> Found:
    """What there is. Read-only."""
    drs = scope.client("drs")
    try:
        return Found(
            True,
            list(drs_lists.items(drs, "describe_replication_configuration_templates")),
            list(drs_lists.items(drs, "describe_launch_configuration_templates")),
        )
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "UninitializedAccountException":
            raise
        return Found(initialized=False)


def changes(found: Found, want: Wanted) -> list[Change]:
    """The calls that lead from what is found to what is wanted; none where it is there. Pure."""
    calls = []
    if not found.initialized:
        calls.append(Change("initialise DRS", "initialize_service", {}))
    for name, there, settings in (
        ("replication", found.replication, want.replication),
        ("launch", found.launch, want.launch),
    ):
        if settings is None:
            continue
        method = f"{name}_configuration_template"
        if not there:
            what = f"create the {name} configuration template"
            calls.append(Change(what, f"create_{method}", dict(settings)))
        elif different := _different(there[0], settings):
            key = f"{name}ConfigurationTemplateID"
            what = f"update the {name} configuration template {there[0][key]}: " + ", ".join(
                f"{k} {there[0].get(k)!r} → {v!r}" for k, v in sorted(different.items())
            )
            arguments = {key: there[0][key], **different}
            calls.append(Change(what, f"update_{method}", arguments))
    return calls


def _different(there: Settings, settings: Settings) -> dict[str, Any]:
    """Members that are set otherwise; `tags` of a template are not what it does."""
    return {k: v for k, v in settings.items() if k != "tags" and there.get(k) != v}


def carry_out(scope: Scope, change: Change) -> None:
    """Make the call, once; the scope's credentials must be an administrator's."""
    getattr(scope.client("drs", once=True), change.operation)(**change.arguments)


def checklist(scope: Scope, want: Wanted) -> list[Check]:
    """Everything that must be in order before agents are installed. Read-only."""
    found = look(scope)
    checks = [_initialized(found, scope), *_templates(found, want)]
    subnet = next((t.get("stagingAreaSubnetId") for t in found.replication), None)
    if subnet:
        checks += _network(scope, str(subnet), found.replication[0])
    checks.append(_roles(scope))
    if found.initialized:
        checks += _capacity(scope)
    return checks


def _initialized(found: Found, scope: Scope) -> Check:
    where = f"DRS in {scope.account_id}, {scope.region}"
    if found.initialized:
        return Check(True, f"{where} is initialised")
    return Check(False, f"{where} was never initialised: leeward drs init")


def _templates(found: Found, want: Wanted) -> Iterator[Check]:
    for name, there, settings in (
        ("replication", found.replication, want.replication),
        ("launch", found.launch, want.launch),
    ):
        what = f"{name} configuration template"
        if not there:
            yield Check(False, f"{what}: there is none: leeward drs init -f SETTINGS")
        elif settings and (different := _different(there[0], settings)):
            yield Check(
                False, f"{what} differs in {', '.join(sorted(different))}: leeward drs init"
            )
        else:
            yield Check(True, f"{what} {'as wanted' if settings else 'is there'}")


def _network(scope: Scope, subnet_id: str, template: Settings) -> Iterator[Check]:
    ec2 = scope.client("ec2")
    try:
        (subnet,) = ec2.describe_subnets(SubnetIds=[subnet_id])["Subnets"]
    except ClientError as error:
        yield Check(False, f"staging subnet {subnet_id}: {error.response['Error']['Code']}")
        return
    free = subnet["AvailableIpAddressCount"]
    yield Check(free > 0, f"staging subnet {subnet_id} has {free} free addresses")
    groups = list(template.get("replicationServersSecurityGroupsIDs") or ())
    if not groups:
        return
    try:
        described = ec2.describe_security_groups(GroupIds=groups)["SecurityGroups"]
    except ClientError as error:
        yield Check(
            False, f"security groups {', '.join(groups)}: {error.response['Error']['Code']}"
        )
        return
    strange = [g["GroupId"] for g in described if g["VpcId"] != subnet["VpcId"]]
    if strange:
        text = (
            f"security groups {', '.join(strange)} are not of {subnet['VpcId']}, the subnet's VPC"
        )
        yield Check(False, text)
    else:
        yield Check(True, f"security groups {', '.join(groups)} are of the subnet's VPC")


def _roles(scope: Scope) -> Check:
    iam, missing = scope.client("iam"), []
    for name in ROLES:
        try:
            iam.get_role(RoleName=name)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "NoSuchEntity":
                code = error.response.get("Error", {}).get("Code")
                return Check(False, f"roles of DRS cannot be looked at: {code}")
            missing.append(name)
    if missing:
        return Check(
            False,
            f"roles of DRS are missing: {', '.join(missing)}; its console makes them when its "
            "settings are saved for the first time",
        )
    return Check(True, "roles of DRS are there")


def _capacity(scope: Scope) -> Iterator[Check]:
    used = drs_capacity.look(scope)
    limit = quotas.read(scope, quotas.DRS_REPLICATING)
    free = int(limit.value) - used.replicating
    source = "" if limit.source != "Documented" else " (documented value: quotas cannot be read)"
    text = f"{used.replicating} of {int(limit.value)} source servers replicate, {free} free{source}"
    yield Check(free > 0, text)

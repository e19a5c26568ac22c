"""Launch settings of single servers: DRS's launch configuration and the EC2 launch template.

A target's settings say what is wanted; what they do not name stays as AWS has it. Everything is
compared first and only what differs is set, so that a second time changes nothing. The image, user
data, disks and name of a launch template are DRS's own and never touched (DRS user guide, Editing
the launch template).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from leeward_adapters import ec2_capacity, launch_templates
from leeward_adapters.base import Finding, Scope, Step, Target
from leeward_adapters.ec2 import Instance, place

DIFFER: Final = "LaunchSettingsDiffer"
POST_LAUNCH: Final = "PostLaunchActionsSkipped"
_FRESH: Final = 900
"""Seconds for which readiness believes a launch configuration, which costs a call per server."""

_CONFIGURATION: Final = {
    "copyPrivateIp": "copyPrivateIp",
    "copyTags": "copyTags",
    "targetInstanceTypeRightSizingMethod": "targetInstanceTypeRightSizingMethod",
    "recoveryMode": "recoveryMode",
}
"""Settings that are members of the launch configuration under their own name."""
_OF_A_DRILL: Final = frozenset(
    {
        "copyTags",
        "osByol",
        "targetInstanceTypeRightSizingMethod",
        "recoveryMode",
        "instanceType",
        "iamInstanceProfile",
    }
)
"""Settings that a drill has too; its network and addresses are its own."""


def for_drill(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a drill is launched with as well."""
    return {key: value for key, value in settings.items() if key in _OF_A_DRILL}


def digest(settings: Mapping[str, Any]) -> str:
    """Eight characters that stand for the settings, for a version's description."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]


# --- the launch configuration ------------------------------------------------------------------


def configuration(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The members of UpdateLaunchConfiguration that the settings ask for."""
    wanted = {ours: settings[key] for key, ours in _CONFIGURATION.items() if key in settings}
    if "osByol" in settings:
        wanted["licensing"] = {"osByol": settings["osByol"]}
    if into := settings.get("launchIntoInstance"):
        wanted["launchIntoInstanceProperties"] = {"launchIntoEC2InstanceID": into}
    return wanted


def _unlike(wanted: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """The members of `wanted` that the launch configuration has otherwise."""
    return {key: value for key, value in wanted.items() if config.get(key) != value}


# --- the launch template -----------------------------------------------------------------------

_TEMPLATE: Final = (
    "instanceType",
    "iamInstanceProfile",
    "subnetId",
    "securityGroupIds",
    "privateIpAddress",
    "associatePublicIpAddress",
)
"""Settings that are kept in the launch template."""


def _of_template(data: Mapping[str, Any]) -> dict[str, Any]:
    """A launch template's data in the settings' words."""
    interface = launch_templates.first_interface(data)
    profile = data.get("IamInstanceProfile") or {}
    return {
        "instanceType": data.get("InstanceType"),
        "iamInstanceProfile": profile.get("Arn") or profile.get("Name"),
        "subnetId": interface.get("SubnetId"),
        "securityGroupIds": interface.get("Groups") or data.get("SecurityGroupIds"),
        "privateIpAddress": interface.get("PrivateIpAddress") or _primary(interface),
        "associatePublicIpAddress": interface.get("AssociatePublicIpAddress"),
    }


def _primary(interface: Mapping[str, Any]) -> str | None:
    listed = interface.get("PrivateIpAddresses") or []
    return next((a.get("PrivateIpAddress") for a in listed if a.get("Primary")), None)


def _same(key: str, wanted: Any, found: Any) -> bool:
    if key == "securityGroupIds":
        return sorted(wanted) == sorted(found or [])
    if key == "iamInstanceProfile":
        # A name and its ARN mean the same; the last part of an ARN's path is the name.
        exact = ":" in str(wanted) and ":" in str(found)
        names = [str(text).rpartition("/")[2] for text in (wanted, found)]
        return bool(wanted == found if exact else names[0] == names[1])
    return bool(wanted == found)


def _off(settings: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Settings that the launch template has otherwise: found and wanted."""
    found = _of_template(data)
    return {
        key: (found[key], settings[key])
        for key in _TEMPLATE
        if key in settings and not _same(key, settings[key], found[key])
    }


def revise(data: dict[str, Any], settings: Mapping[str, Any]) -> None:
    """Put the settings into a launch template's data, as CreateLaunchTemplateVersion takes it."""
    if "instanceType" in settings:
        data["InstanceType"] = settings["instanceType"]
    if profile := settings.get("iamInstanceProfile"):
        data["IamInstanceProfile"] = {"Arn" if ":" in profile else "Name": profile}
    if not settings.keys() & set(_TEMPLATE[2:]):
        return
    interface = {"DeviceIndex": 0, **launch_templates.first_interface(data)}
    rest = [i for i in data.get("NetworkInterfaces", []) if int(i.get("DeviceIndex", 0)) != 0]
    moved = settings.get("subnetId", interface.get("SubnetId")) != interface.get("SubnetId")
    if moved or "privateIpAddress" in settings:
        interface = {k: v for k, v in interface.items() if k not in launch_templates.ADDRESSES}
    if groups := settings.get("securityGroupIds") or data.get("SecurityGroupIds"):
        interface["Groups"] = list(groups)
    for key, name in (
        ("subnetId", "SubnetId"),
        ("privateIpAddress", "PrivateIpAddress"),
        ("associatePublicIpAddress", "AssociatePublicIpAddress"),
    ):
        if key in settings:
            interface[name] = settings[key]
    data["NetworkInterfaces"] = [interface, *rest]


# --- applying ----------------------------------------------------------------------------------


def apply(scope: Scope, step: Step, call: str, batch: Sequence[Target]) -> None:
    """Give the targets their settings, and let them launch stopped; what is so already stays.

    One GetLaunchConfiguration per target and one listing of the account's templates; further calls
    only where something differs. It must not meet a drill's template as default: put those back
    before.
    """
    wanting = [target for target in batch if target.settings]
    if not wanting:
        return
    drs, ec2 = scope.client("drs"), scope.client("ec2")
    current = {v["LaunchTemplateId"]: v for v in launch_templates.defaults(ec2)}
    for target in wanting:
        config = drs.get_launch_configuration(sourceServerID=target.id)
        wanted = {"launchDisposition": "STOPPED", **configuration(target.settings)}
        if changes := _unlike(wanted, config):
            drs.update_launch_configuration(sourceServerID=target.id, **changes)
        # DRS may write the template when its configuration changes, so that comes first, and what
        # was listed before says nothing any more.
        template = config["ec2LaunchTemplateID"]
        known = None if changes else current.get(template)
        _apply_template(ec2, step, call, template, known, target.settings)


def _apply_template(
    ec2: Any,
    step: Step,
    call: str,
    template: str,
    default: Mapping[str, Any] | None,
    settings: Mapping[str, Any],
) -> None:
    if default is not None and not _off(settings, default["LaunchTemplateData"]):
        return
    versions = ec2.describe_launch_template_versions(
        LaunchTemplateId=template, Versions=["$Default", "$Latest"]
    )["LaunchTemplateVersions"]
    default = next(v for v in versions if v["DefaultVersion"])
    if not _off(settings, default["LaunchTemplateData"]):
        return
    description = f"leeward-launch settings={digest(settings)} source={default['VersionNumber']}"
    known = next((v for v in versions if v.get("VersionDescription") == description), None)
    if known is not None and not _off(settings, known["LaunchTemplateData"]):
        # An earlier attempt made it and could not make it the default.
        number = str(known["VersionNumber"])
    else:
        number = launch_templates.new_version(
            ec2, call, default, description, lambda data: revise(data, settings)
        )
    launch_templates.set_default(ec2, template, number)


# --- drift -------------------------------------------------------------------------------------


def readiness(scope: Scope, targets: Sequence[Target]) -> list[Finding]:
    """Servers for which AWS has something else than their settings say, or has what never runs.

    A server whose template is a drill's just now is passed over.
    """
    wanting = [target for target in targets if target.settings]
    if not wanting:
        return []
    current = ec2_capacity.default_versions(scope)
    found = []
    for target in wanting:
        config = configuration_of(scope, target.id, _FRESH)
        if config.get("postLaunchEnabled"):
            found.append(_post_launch(scope, target.id))
        version = current.get(config.get("ec2LaunchTemplateID", ""))
        if version is None or launch_templates.of_a_drill(version):
            continue
        if differences := _differences(target.settings, config, version["LaunchTemplateData"]):
            message = (
                f"{target.id} in {place(scope)}: {', '.join(differences)}; the next launch sets "
                "what the plan wants"
            )
            found.append(Finding("Warning", DIFFER, message, target.id))
    return found


def configuration_of(scope: Scope, server: str, fresh: float) -> Mapping[str, Any]:
    """GetLaunchConfiguration of a server, at most `fresh` seconds old."""

    def look() -> Mapping[str, Any]:
        config: Mapping[str, Any] = scope.client("drs").get_launch_configuration(
            sourceServerID=server
        )
        return config

    return scope.cached(("launch-configuration", server), fresh, look)


def launches_into(config: Mapping[str, Any]) -> str:
    """The existing instance that a launch configuration names; empty: a new one is launched."""
    into = config.get("launchIntoInstanceProperties", {})
    return str(into.get("launchIntoEC2InstanceID", ""))


def _post_launch(scope: Scope, server: str) -> Finding:
    message = (
        f"{server} in {place(scope)} has DRS's post-launch actions on, and they never run: DRS "
        "runs them in what it launches running, and Leeward has it launch stopped. Have their work "
        "done by tasks of the plan after the start (type Automation, with an SSM document), and "
        "switch them off in the server's launch settings"
    )
    return Finding("Warning", POST_LAUNCH, message, server)


def _differences(
    settings: Mapping[str, Any], config: Mapping[str, Any], data: Mapping[str, Any]
) -> list[str]:
    """`SETTING is FOUND, wanted WANTED` for each."""
    unlike = {k: (config.get(k), v) for k, v in _unlike(configuration(settings), config).items()}
    return [
        f"{key} is {_shown(found)}, wanted {_shown(wanted)}"
        for key, (found, wanted) in {**unlike, **_off(settings, data)}.items()
    ]


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(_shown(one) for one in value.values())
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    return "not set" if value is None else str(value)


# --- the proof ---------------------------------------------------------------------------------


def proof(settings: Mapping[str, Any], machine: Instance) -> list[str]:
    """What of the launched instance is not as the settings say; empty: it is."""
    shown = {
        "subnetId": machine.subnet,
        "instanceType": machine.type,
        "privateIpAddress": machine.address,
    }
    return [
        f"{key} is {found}, wanted {settings[key]}"
        for key, found in shown.items()
        if key in settings and found and found != settings[key]
    ]

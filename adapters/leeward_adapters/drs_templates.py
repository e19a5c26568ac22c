"""Launch settings of DRS source servers, and the launch template versions of drills.

DRS has one EC2 launch template per server and launches from its `$Default` version, drill or not.
A Test therefore makes a version that names the drill network, makes it the default, and puts the
default back when the launch is over. The version's description says everything that is needed
to put it back, so that whoever comes next can (a later pass, a Failover in mid-drill, Cleanup),
whatever became of the run that made it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from leeward_adapters import drs_settings, launch_templates
from leeward_adapters.base import Scope, Seen, State, Step, Target

PREPARE: Final = "prepare"
RESTORE: Final = "restore"
_REMEMBERED: Final = 120.0
"""Seconds for which a setting that this task made is not made again, so that a batch that AWS
refused is soon through when it is asked for again, whole or in halves."""

_DRILL: Final = re.compile(
    r"leeward-drill server=(?P<server>s-\w+) source=(?P<source>\d+) "
    r"disposition=(?P<disposition>STARTED|STOPPED) copy-ip=(?P<copy_ip>yes|no) "
    r"subnet=(?P<subnet>\S+) groups=(?P<groups>\S+)"
    r"(?: was=(?P<was>[NBI][yn][yn][FO]) settings=(?P<settings>[0-9a-f]{8}))?"
)
_SIZING: Final = {"N": "NONE", "B": "BASIC", "I": "IN_AWS"}
_MODE: Final = {"F": "FAST", "O": "OPTIMAL"}


@dataclass(frozen=True, slots=True)
class Network:
    """Where a Test launches."""

    subnet: str
    groups: tuple[str, ...]

    @classmethod
    def of(cls, step: Step) -> Network | None:
        """The drill network of the step's settings; None if it has none."""
        block = step.settings.get("drillNetwork")
        if not block:
            return None
        return cls(block["subnetId"], tuple(block["securityGroupIds"]))


@dataclass(frozen=True, slots=True)
class DrillVersion:
    """A launch template version that Leeward made for a drill."""

    server: str
    source: str
    """Version that was the default before."""
    disposition: str
    """launchDisposition before."""
    copy_ip: bool
    """copyPrivateIp before."""
    network: Network
    was: str = ""
    """Where the servers have launch settings: four letters for right-sizing, licensing, copyTags
    and recoveryMode before."""
    settings: str = ""
    """Where the servers have launch settings: their digest."""
    template: str = ""
    number: str = ""

    @classmethod
    def parse(cls, version: Mapping[str, Any]) -> DrillVersion | None:
        """The version as EC2 describes it, if it is a drill's."""
        match = _DRILL.fullmatch(version.get("VersionDescription", ""))
        if match is None:
            return None
        return cls(
            server=match["server"],
            source=match["source"],
            disposition=match["disposition"],
            copy_ip=match["copy_ip"] == "yes",
            network=Network(match["subnet"], tuple(match["groups"].split(","))),
            was=match["was"] or "",
            settings=match["settings"] or "",
            template=version["LaunchTemplateId"],
            number=str(version["VersionNumber"]),
        )

    @property
    def description(self) -> str:
        """VersionDescription; at most 255 characters with the five groups that the API allows."""
        more = f" was={self.was} settings={self.settings}" if self.was else ""
        return (
            f"leeward-drill server={self.server} source={self.source} "
            f"disposition={self.disposition} copy-ip={'yes' if self.copy_ip else 'no'} "
            f"subnet={self.network.subnet} groups={','.join(self.network.groups)}{more}"
        )

    @property
    def configuration(self) -> dict[str, Any]:
        """What the launch configuration was before, but for launchDisposition."""
        before: dict[str, Any] = {"copyPrivateIp": self.copy_ip}
        if self.was:
            sizing, byol, tags, mode = tuple(self.was)
            before |= {
                "targetInstanceTypeRightSizingMethod": _SIZING[sizing],
                "licensing": {"osByol": byol == "y"},
                "copyTags": tags == "y",
                "recoveryMode": _MODE[mode],
            }
        return before

    def same_as(self, other: DrillVersion | None) -> bool:
        """Whether both mean the same, wherever they are kept."""
        return other is not None and self.description == other.description


def drill_defaults(ec2: Any) -> dict[str, DrillVersion]:
    """Servers whose template's default is a drill's version now, in the whole account and Region.

    One call per 200 templates.
    """
    drills = (DrillVersion.parse(version) for version in launch_templates.defaults(ec2))
    return {drill.server: drill for drill in drills if drill is not None}


def pre_state(config: Mapping[str, Any]) -> str:
    """What a Test changes of a server's launch configuration, as JSON."""
    return json.dumps(
        {
            "copyPrivateIp": config.get("copyPrivateIp", False),
            "launchDisposition": config.get("launchDisposition", "STARTED"),
            "was": _letters(config),
        },
        sort_keys=True,
    )


def _letters(config: Mapping[str, Any]) -> str:
    """`DrillVersion.was` of a launch configuration."""
    byol = config.get("licensing", {}).get("osByol", False)
    return "".join(
        (
            config.get("targetInstanceTypeRightSizingMethod", "NONE")[0],
            "y" if byol else "n",
            "y" if config.get("copyTags", True) else "n",
            config.get("recoveryMode", "OPTIMAL")[0],
        )
    )


def restore_needed(server: str) -> Seen:
    """The launch template of a server must be put back."""
    return Seen(
        State.NEEDED,
        action=RESTORE,
        message=f"the launch template of {server} still names the drill network",
    )


def prepare(scope: Scope, step: Step, call: str, batch: Sequence[Target]) -> str:
    """Let the servers launch stopped, and into the network of this operation.

    Every value is set, not switched, so it may be repeated. The answer says that all was done.
    A template that a drill left behind is put back by `ensure`, right before the launch.
    """
    if step.drill:
        network = Network.of(step)
        assert network is not None  # observe() refuses a Test without one
        scope.each(lambda t: _prepare_drill(scope, step, call, t, network), batch)
    else:
        own = [t for t in batch if t.settings]
        scope.each(lambda t: _launch_stopped(scope, step, t.id), [t for t in batch if t not in own])
        if own:
            _leave_drill(scope, own)
            drs_settings.apply(scope, step, call, own)
    return f"{len(batch)} prepared"


def _launch_stopped(scope: Scope, step: Step, server: str) -> None:
    """Not again for a server whose batch was refused because of another one."""

    def update() -> bool:
        drs = scope.client("drs")
        drs.update_launch_configuration(sourceServerID=server, launchDisposition="STOPPED")
        return True

    scope.cached(("drs-launches-stopped", step.token, server), _REMEMBERED, update)


def ensure(scope: Scope, step: Step, call: str, batch: Sequence[Target]) -> None:
    """Right before a launch: whatever else changed the templates meanwhile is put right.

    A drill that puts back what it changed also lets servers launch started again, after they were
    prepared for a launch that is none. Its version stays the template's newest one, and tells.
    """
    if not step.drill:
        _leave_drill(scope, batch)
        drs_settings.apply(scope, step, call, batch)
        return
    network = Network.of(step)
    found = drill_defaults(scope.client("ec2"))
    if network is not None:
        wrong = [t for t in batch if t.id not in found or found[t.id].network != network]
        scope.each(lambda t: _prepare_drill(scope, step, call, t, network), wrong)


def restore(scope: Scope, batch: Sequence[Target]) -> str:
    """Put launch configurations and default versions back to what they were before the drill."""
    drs, ec2 = scope.client("drs"), scope.client("ec2")

    def one(drill: DrillVersion) -> None:
        # The version is last: while it is the default, this can be done again.
        drs.update_launch_configuration(
            sourceServerID=drill.server,
            launchDisposition=drill.disposition,
            **drill.configuration,
        )
        launch_templates.set_default(ec2, drill.template, drill.source)

    scope.each(one, _drills_of(scope, batch))
    return f"{len(batch)} restored"


def _leave_drill(scope: Scope, batch: Sequence[Target]) -> None:
    """Put back what a drill left, but for launchDisposition: a real launch has its own.

    That is set for every server that a drill was made of since its template was changed last.
    """
    drs, ec2 = scope.client("drs"), scope.client("ec2")
    current: dict[str, DrillVersion] = {}
    drilled: set[str] = set()
    for version in launch_templates.ends(ec2):
        drill = DrillVersion.parse(version)
        if drill is not None:
            drilled.add(drill.server)
            if version.get("DefaultVersion"):
                current[drill.server] = drill

    def one(target: Target) -> None:
        drill = current.get(target.id)
        before = drill.configuration if drill is not None else {}
        drs.update_launch_configuration(
            sourceServerID=target.id, launchDisposition="STOPPED", **before
        )
        if drill is not None:
            launch_templates.set_default(ec2, drill.template, drill.source)

    scope.each(one, [t for t in batch if t.id in drilled])


def _drills_of(scope: Scope, batch: Sequence[Target]) -> list[DrillVersion]:
    """The drill versions that are the default for servers of the batch now."""
    found = drill_defaults(scope.client("ec2"))
    return [found[t.id] for t in batch if t.id in found]


def _prepare_drill(scope: Scope, step: Step, call: str, target: Target, network: Network) -> None:
    drs, ec2 = scope.client("drs"), scope.client("ec2")
    settings = drs_settings.for_drill(target.settings)
    # An address that is copied lies outside the drill's subnet, or belongs to production.
    config = drs.update_launch_configuration(
        sourceServerID=target.id,
        launchDisposition="STOPPED",
        copyPrivateIp=False,
        **drs_settings.configuration(settings),
    )
    template = config["ec2LaunchTemplateID"]
    versions = ec2.describe_launch_template_versions(
        LaunchTemplateId=template, Versions=["$Default", "$Latest"]
    )["LaunchTemplateVersions"]
    default = next(v for v in versions if v["DefaultVersion"])
    wanted = _wanted(step, target.id, network, default, settings)
    known = next((v for v in versions if wanted.same_as(DrillVersion.parse(v))), None)
    number = str(known["VersionNumber"]) if known else _make(ec2, call, template, wanted, settings)
    if not default["DefaultVersion"] or str(default["VersionNumber"]) != number:
        launch_templates.set_default(ec2, template, number)


def _wanted(
    step: Step,
    server: str,
    network: Network,
    default: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> DrillVersion:
    """The version that the drill needs, remembering what was before the first drill."""
    before = json.loads(step.pre_states.get(server) or "{}")
    left = DrillVersion.parse(default)
    kept = (left.was if left else "") or (before.get("was", "NnyO") if settings else "")
    return DrillVersion(
        server,
        left.source if left else str(default["VersionNumber"]),
        left.disposition if left else before.get("launchDisposition", "STARTED"),
        left.copy_ip if left else before.get("copyPrivateIp", False),
        network,
        was=kept,
        settings=drs_settings.digest(settings) if kept else "",
    )


def _make(
    ec2: Any, call: str, template: str, wanted: DrillVersion, settings: Mapping[str, Any]
) -> str:
    source = ec2.describe_launch_template_versions(
        LaunchTemplateId=template, Versions=[wanted.source]
    )["LaunchTemplateVersions"][0]

    def change(data: dict[str, Any]) -> None:
        drs_settings.revise(data, settings)
        data["NetworkInterfaces"] = [_interface(data, wanted.network)]

    return launch_templates.new_version(ec2, call, source, wanted.description, change)


_OF_PRODUCTION: Final = launch_templates.ADDRESSES | {
    "NetworkInterfaceId",
    "AssociateCarrierIpAddress",
}
"""Of the first network interface: what ties it to production. Further interfaces are left out of a
drill whole."""


def _interface(data: Mapping[str, Any], network: Network) -> dict[str, Any]:
    first = launch_templates.first_interface(data)
    kept = {key: value for key, value in first.items() if key not in _OF_PRODUCTION}
    return kept | {
        "DeviceIndex": 0,
        "AssociatePublicIpAddress": False,
        "SubnetId": network.subnet,
        "Groups": list(network.groups),
    }

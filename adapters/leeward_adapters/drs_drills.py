"""Launch template versions that drills made, and which launches would use one now.

A version's description says that it is a drill's. Whether UpdateLaunchConfiguration writes a
version of its own is documented nowhere: one would be like the default, a drill's network included,
and without its description. So a default that names the network of an older drill version of its
template counts as that drill, and the history of a template counts, not its newest version alone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from leeward_adapters import launch_templates
from leeward_adapters.base import Scope, Step

_KEPT: Final = 86400.0
"""Seconds for which is remembered what never changes: versions up to a number, a server's
template."""

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


@dataclass(frozen=True, slots=True)
class Drills:
    """What drills made of the launch templates of some servers."""

    current: Mapping[str, DrillVersion]
    """By server: the drill into whose network it would be launched now."""
    ever: frozenset[str]
    """Servers that a drill was made of."""


def drills(scope: Scope, servers: Collection[str], network: Network | None = None) -> Drills:
    """What drills made of the launch templates of the servers.

    One call per 200 versions of the account and Region. Where neither `$Default` nor `$Latest` of
    a template tells, its history is looked at, once for each number of its newest version. With
    `network` that is done for templates alone that name that network.
    """
    found: dict[str, DrillVersion] = {}
    current: dict[str, DrillVersion] = {}
    silent: dict[str, Sequence[Mapping[str, Any]]] = {}
    for template, ends in _by_template(launch_templates.ends(scope.client("ec2"))).items():
        told = list(filter(None, map(DrillVersion.parse, ends)))
        if not told:
            silent[template] = ends
        for drill in told:
            found[drill.server] = drill
        for drill in filter(None, (_of(_default(ends), one) for one in told)):
            current[drill.server] = drill
    asked = set(servers) - found.keys()
    for suspect in _suspects(scope, asked, network, silent):
        last = _last_drill(scope, suspect)
        if last is not None:
            found[last.server] = last
            if of_it := _of(_default(suspect), last):
                current[last.server] = of_it
    wanted = set(servers)
    chosen = {server: drill for server, drill in current.items() if server in wanted}
    return Drills(chosen, frozenset(found.keys() & wanted))


def left_in(scope: Scope, ends: Sequence[Mapping[str, Any]]) -> DrillVersion | None:
    """The drill that the default version is of, be it by way of a version that DRS wrote.

    `ends`: the `$Default` and the `$Latest` version of one template.
    """
    last = DrillVersion.parse(_default(ends)) or _last_drill(scope, ends)
    return _of(_default(ends), last) if last is not None else None


def template_of(scope: Scope, server: str) -> str:
    """Id of the server's launch template, which stays the same."""

    def look() -> str:
        config = scope.client("drs").get_launch_configuration(sourceServerID=server)
        return str(config["ec2LaunchTemplateID"])

    return scope.cached(("launch-template", server), _KEPT, look)


def _suspects(
    scope: Scope,
    servers: Collection[str],
    network: Network | None,
    silent: Mapping[str, Sequence[Mapping[str, Any]]],
) -> list[Sequence[Mapping[str, Any]]]:
    """Templates whose history must be looked at. One with a single version has none."""
    several = {t: ends for t, ends in silent.items() if _newest(ends) > 1}
    if network is not None:
        return [ends for ends in several.values() if _names(_default(ends), network)]
    if not several:
        return []
    scope.each(lambda server: template_of(scope, server), servers)
    own = {template_of(scope, server) for server in servers}
    chosen = [ends for template, ends in several.items() if template in own]
    scope.each(lambda ends: _last_drill(scope, ends), chosen)
    return chosen


def _last_drill(scope: Scope, ends: Sequence[Mapping[str, Any]]) -> DrillVersion | None:
    """The newest drill version of a template."""
    template, newest = ends[0]["LaunchTemplateId"], _newest(ends)
    if newest <= 1:
        return None

    def look() -> DrillVersion | None:
        versions = launch_templates.history(scope.client("ec2"), template)
        known = filter(None, map(DrillVersion.parse, versions))
        return max(known, key=lambda drill: int(drill.number), default=None)

    return scope.cached(("drill-version", template, newest), _KEPT, look)


def _of(default: Mapping[str, Any], drill: DrillVersion) -> DrillVersion | None:
    """The drill that a default version is, or was made from by DRS; None: of none."""
    if (itself := DrillVersion.parse(default)) is not None:
        return itself
    ours = str(default.get("VersionDescription", "")).startswith("leeward-")
    newer = int(default["VersionNumber"]) > int(drill.number)
    return drill if newer and not ours and _names(default, drill.network) else None


def _names(version: Mapping[str, Any], network: Network) -> bool:
    """Whether the version launches into the subnet of the network."""
    first = launch_templates.first_interface(version["LaunchTemplateData"])
    return first.get("SubnetId") == network.subnet


def _by_template(versions: Iterable[Mapping[str, Any]]) -> Mapping[str, list[Mapping[str, Any]]]:
    found: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for version in versions:
        found[version["LaunchTemplateId"]].append(version)
    return found


def _default(ends: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return next((v for v in ends if v.get("DefaultVersion")), ends[0])


def _newest(ends: Sequence[Mapping[str, Any]]) -> int:
    return max(int(version["VersionNumber"]) for version in ends)

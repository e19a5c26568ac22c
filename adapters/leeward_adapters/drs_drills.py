"""Launch template versions that drills made, and which launches would use one now.

A version's description says that it is a drill's. Whether UpdateLaunchConfiguration writes a
version of its own is documented nowhere: one would be like the default, a drill's network included,
and without its description. So a default that names the network of an older drill version of its
template counts as that drill, and the history of a template counts, not its newest version alone.
Which history can matter is told by the mark on the source server (`drs_sources.mark`): only that of
a template whose default names a subnet of a drill.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from leeward_adapters import drs_sources, launch_templates
from leeward_adapters.base import Scope, Step

_KEPT: Final = 86400.0
"""Seconds for which is remembered what never changes: versions up to a number."""

_DRILL: Final = re.compile(
    r"leeward-drill server=(?P<server>s-\w+) source=(?P<source>\d+) "
    r"disposition=(?P<disposition>STARTED|STOPPED) copy-ip=(?P<copy_ip>yes|no) "
    r"subnet=(?P<subnet>\S+) groups=(?P<groups>\S+)"
    r"(?: was=(?P<was>[NBI][yn][yn][FO]) settings=(?P<settings>[0-9a-f]{8}))?"
)
_Ends = Sequence[Mapping[str, Any]]
"""The `$Default` and the `$Latest` version of one template."""
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
    """Servers that a drill was made of, or begun."""


def drills(
    scope: Scope,
    servers: Collection[str],
    network: Network | None = None,
    as_of: float | None = None,
) -> Drills:
    """What drills made of the launch templates of the servers.

    One call per 200 versions of the account and Region. Where neither `$Default` nor `$Latest` of
    a template tells, its history is looked at, once for each number of its newest version, if its
    default names a subnet in which its server was rehearsed. Without `network` the source servers
    say which those are: one call per 200, or none.

    Args:
        scope: account and recovery Region.
        servers: ids of source servers.
        network: the only one of which drills are looked for that are not told at once.
        as_of: how new must be what the source servers say, see `Step.since`.
    """
    told, silent = _told(scope)
    wanted = set(servers)
    asked = sorted(wanted - {drill.server for _, drill in told})
    known: Mapping[str, Mapping[str, Any]] = {}
    if asked and silent and network is None:
        known = drs_sources.shared(scope, asked, as_of)
    suspects = _suspects(scope, network, known, silent)
    scope.each(lambda ends: _last_drill(scope, ends), suspects)
    found = [*told, *((e, last) for e in suspects if (last := _last_drill(scope, e)) is not None)]
    current = {last.server: of_it for e, last in found if (of_it := _of(_default(e), last))}
    marked = {server for server, raw in known.items() if drs_sources.drill_subnets(raw)}
    return Drills(
        {server: drill for server, drill in current.items() if server in wanted},
        frozenset(wanted & {drill.server for _, drill in found} | marked),
    )


def left_in(
    scope: Scope,
    ends: _Ends,
    server: Mapping[str, Any] | None,
    network: Network,
) -> DrillVersion | None:
    """The drill that the default version is of, be it by way of a version that DRS wrote.

    Args:
        scope: account and recovery Region.
        ends: `$Default` and `$Latest` of one template.
        server: its source server, as it was before a drill of it for `network`; None: not there.
        network: of that drill.
    """
    default = _default(ends)
    last = DrillVersion.parse(default)
    if last is None and _suspect(default, {network.subnet}, server):
        last = _last_drill(scope, ends)
    return _of(default, last) if last is not None else None


def _told(scope: Scope) -> tuple[list[tuple[_Ends, DrillVersion]], list[_Ends]]:
    """What the ends of the account's templates say of drills; those with a history that do not."""
    told, silent = [], []
    for ends in _by_template(launch_templates.ends(scope.client("ec2"))).values():
        drills_of_it = [drill for drill in map(DrillVersion.parse, ends) if drill is not None]
        told += [(ends, drill) for drill in drills_of_it]
        if not drills_of_it and _newest(ends) > 1:
            silent.append(ends)
    return told, silent


def _suspects(
    scope: Scope,
    network: Network | None,
    known: Mapping[str, Mapping[str, Any]],
    silent: Sequence[_Ends],
) -> list[_Ends]:
    """Templates whose history must be looked at, of those that have one."""
    if network is not None:
        return [ends for ends in silent if _names(_default(ends), {network.subnet})]
    own = {drs_sources.TEMPLATE_NAME + server: raw for server, raw in known.items()}
    named = {_name(ends) for ends in silent}
    # Whose template has another name is asked for it only where a drill is in question.
    asking = [
        server
        for server, raw in known.items()
        if drs_sources.TEMPLATE_NAME + server not in named and _in_question(raw)
    ]
    scope.each(lambda server: drs_sources.template_of(scope, server), asking)
    own |= {drs_sources.template_of(scope, server): known[server] for server in asking}

    def suspected(ends: _Ends) -> bool:
        server = own.get(_name(ends)) or own.get(ends[0]["LaunchTemplateId"])
        return server is not None and _suspect(_default(ends), set(), server)

    return [ends for ends in silent if suspected(ends)]


def _in_question(server: Mapping[str, Any]) -> bool:
    """Whether there may have been a drill of Leeward's of the server.

    One of a version of Leeward that left no mark, or whose mark somebody took off, is known only
    as DRS's last launch.
    """
    return bool(drs_sources.drill_subnets(server)) or drs_sources.launched_by_drill(server)


def _suspect(
    default: Mapping[str, Any], subnets: Collection[str], server: Mapping[str, Any] | None
) -> bool:
    """Whether a default that does not say so may be a drill's, into `subnets` or where the server
    was rehearsed."""
    marked = drs_sources.drill_subnets(server) if server is not None else ()
    if _names(default, {*subnets, *marked}):
        return True
    return server is not None and not marked and drs_sources.launched_by_drill(server)


def _last_drill(scope: Scope, ends: _Ends) -> DrillVersion | None:
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
    return drill if newer and not ours and _names(default, {drill.network.subnet}) else None


def _names(version: Mapping[str, Any], subnets: Collection[str]) -> bool:
    """Whether the version launches into one of the subnets."""
    first = launch_templates.first_interface(version["LaunchTemplateData"])
    return first.get("SubnetId") in subnets


def _name(ends: _Ends) -> str:
    return str(ends[0].get("LaunchTemplateName"))


def _by_template(versions: Iterable[Mapping[str, Any]]) -> Mapping[str, _Ends]:
    found: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for version in versions:
        found[version["LaunchTemplateId"]].append(version)
    return found


def _default(ends: _Ends) -> Mapping[str, Any]:
    return next((v for v in ends if v.get("DefaultVersion")), ends[0])


def _newest(ends: _Ends) -> int:
    return max(int(version["VersionNumber"]) for version in ends)

"""Source servers as DRS describes them, and the mark that a drill leaves on them.

Once a drill is prepared, its source server says by a tag into which subnets it was rehearsed. DRS
tells that with everything else, for two hundred servers in one call, while EC2 tells the history
of one launch template at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from leeward_adapters import drs_lists
from leeward_adapters.base import Scope

_NAMED: Final = 200
"""Source servers that one question can name (DescribeSourceServersRequestFilters)."""
TEMPLATE_NAME: Final = "created-and-used-by-drs-"
"""How DRS names a server's launch template, followed by the server's id."""
_TEMPLATE_KEPT: Final = 3600.0
"""Seconds for which is remembered which template a server has: DRS makes another one only where
somebody deleted it."""
DRILL_TAG: Final = "leeward:drill-subnets"
"""Tag of a source server: the subnets of its drills, the newest first, parted by spaces."""
_REMEMBERED: Final = 10
"""Subnets for which a tag's 256 characters suffice. The last but one already matters only to a
drill that broke off before it had put its own in place."""


def judged(raw: Mapping[str, Any]) -> dict[str, Any]:
    """What is looked at of a source server; a thousand whole ones would fill megabytes."""
    kept = {key: raw[key] for key in ("sourceServerID", "arn", "dataReplicationInfo") if key in raw}
    hints = raw.get("sourceProperties", {}).get("identificationHints", {})
    if DRILL_TAG in raw.get("tags", {}):
        kept["tags"] = {DRILL_TAG: raw["tags"][DRILL_TAG]}
    if launched_by_drill(raw):
        kept["lifeCycle"] = {"lastLaunch": {"initiated": {"type": "DRILL"}}}
    return {**kept, "sourceProperties": {"identificationHints": hints}}


def describe(drs: Any, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """The source servers that exist, by id (DescribeSourceServers)."""
    if not ids:
        return {}
    # More than one question can name are found faster among all.
    filters = {"sourceServerIDs": list(ids)} if len(ids) <= _NAMED else {}
    wanted = set(ids)
    found = drs_lists.items(drs, "describe_source_servers", filters=filters)
    return {s["sourceServerID"]: s for s in found if s["sourceServerID"] in wanted}


def shared(scope: Scope, ids: Sequence[str], as_of: float | None) -> dict[str, Mapping[str, Any]]:
    """What is judged of source servers, asked once for all who wait.

    Args:
        scope: account and recovery Region.
        ids: of source servers.
        as_of: how new the answer must be, see `Step.since`.
    """
    drs = scope.client("drs")

    def ask(some: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        return {server: judged(raw) for server, raw in describe(drs, some).items()}

    return scope.views.look_up("drs-servers", ids, as_of, ask)


def template_of(scope: Scope, server: str) -> str:
    """Id of the launch template that DRS keeps for a server; empty: it says none.

    For one whose template has another name than DRS gives it (`TEMPLATE_NAME`).
    """

    def ask() -> str:
        config = scope.client("drs").get_launch_configuration(sourceServerID=server)
        return str(config.get("ec2LaunchTemplateID", ""))

    return scope.cached(("drs-template", server), _TEMPLATE_KEPT, ask)


def launched_by_drill(server: Mapping[str, Any]) -> bool:
    """Whether the last launch of the server was a drill, whoever asked for it."""
    last = server.get("lifeCycle", {}).get("lastLaunch", {})
    return bool(last.get("initiated", {}).get("type") == "DRILL")


def drill_subnets(server: Mapping[str, Any]) -> tuple[str, ...]:
    """The subnets of Leeward's drills of the server, the newest first."""
    return tuple(server.get("tags", {}).get(DRILL_TAG, "").split())


def mark(scope: Scope, server: Mapping[str, Any], subnet: str) -> None:
    """Have the source server say that a drill of it goes to the subnet; nothing if it says so.

    That comes before anything else of the drill, so that there is no drill without it.
    """
    before = drill_subnets(server)
    if before[:1] == (subnet,):
        return
    subnets = (subnet, *(other for other in before if other != subnet))[:_REMEMBERED]
    scope.client("drs").tag_resource(resourceArn=server["arn"], tags={DRILL_TAG: " ".join(subnets)})

"""How much of DRS an account and Region already uses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from botocore.exceptions import ClientError

from leeward_adapters import drs_jobs, drs_lists
from leeward_adapters.base import Scope

PERMISSIONS: Final = frozenset(
    # DRS wants the last one for itself.
    {"drs:DescribeJobs", "drs:DescribeSourceServers", "ec2:DescribeInstances"}
)
"""IAM actions of `look`."""

_IDLE: Final = frozenset({"STOPPED", "DISCONNECTED"})
"""States in which a source server counts for no replication quota."""


@dataclass(frozen=True, slots=True)
class Use:
    """What DRS does in one account and Region."""

    initialized: bool
    servers: int = 0
    """Source servers of the account's own."""
    replicating: int = 0
    """Those that replicate: what the quota of 300 counts."""
    jobs: int = 0
    """Jobs in progress."""
    servers_in_jobs: int = 0


def look(scope: Scope) -> Use:
    """What DRS says of itself. Read-only.

    Raises:
        ClientError: DRS does not answer, or not us.
    """
    drs = scope.client("drs")
    try:
        servers = list(drs_lists.items(drs, "describe_source_servers", filters={}))
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == "UninitializedAccountException":
            return Use(initialized=False)
        raise
    own = [server for server in servers if _own(server)]
    running = [
        part
        for part in drs_jobs.since(drs, datetime.now(UTC) - drs_jobs.LONGEST_JOB)
        if part.active
    ]
    return Use(
        initialized=True,
        servers=len(own),
        replicating=sum(1 for server in own if _replicates(server)),
        jobs=len({part.job for part in running}),
        servers_in_jobs=len(running),
    )


def _own(server: dict[str, Any]) -> bool:
    """Not one that another account's staging area replicates, for which that account's counts."""
    return str(server.get("stagingArea", {}).get("status", "")) != "EXTENDED"


def _replicates(server: dict[str, Any]) -> bool:
    state = server.get("dataReplicationInfo", {}).get("dataReplicationState", "")
    return bool(state) and state not in _IDLE

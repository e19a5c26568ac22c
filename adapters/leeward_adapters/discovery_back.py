"""What discovery adds about the way back: who protects what was recovered, and what is retired.

The primary Region is asked only where something was recovered or failed back, and its silence
leaves the rest of an inventory as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from botocore.exceptions import BotoCoreError, ClientError

from leeward_adapters import drs_instances, drs_sides, drs_stale
from leeward_adapters.base import Scope, Target
from leeward_adapters.drs_instances import RecoveryInstance
from leeward_adapters.drs_sides import Raw
from leeward_adapters.ec2 import place

Instances = Mapping[str, Sequence[RecoveryInstance]]


def attributes(
    primary: Callable[[], Scope],
    servers: Sequence[Raw],
    instances: Instances,
    notes: list[str],
) -> dict[str, dict[str, str]]:
    """By source server: attributes about its way back, each only where known.

    `reversedServerId`, `reversedState`, `reversedLag` (ISO 8601 duration), `reversedError`: of the
    source server in the primary Region that protects the recovery instance; `failbackInstanceId`:
    what a failback launched from it; `retiredInstanceId`: the recovery instance that served until
    the failback.

    Args:
        primary: the account in the primary Region, through its read role.
        servers: source servers in the recovery Region.
        instances: recovery instances there, by source server.
        notes: is told where the primary Region does not answer.
    """
    concerned = [s for s in servers if _concerned(s, instances)]
    told = _of_primary(primary(), concerned, instances, notes) if concerned else {}
    for raw in servers:
        server = raw["sourceServerID"]
        live = drs_instances.production(instances.get(server, ()))
        if live is not None and drs_sides.superseded(live, raw, told.get(server, {})):
            told.setdefault(server, {})["retiredInstanceId"] = live.id
    return told


def _concerned(server: Raw, instances: Instances) -> bool:
    recovered = drs_instances.production(instances.get(server["sourceServerID"], ()))
    return recovered is not None or bool(server.get("reversedDirectionSourceServerArn"))


def _of_primary(
    scope: Scope, servers: Sequence[Raw], instances: Instances, notes: list[str]
) -> dict[str, dict[str, str]]:
    drs = scope.client("drs")
    try:
        back = drs_sides.reversed_of(
            drs_sides.listing(drs), [_target(s, instances) for s in servers]
        )
        launched = drs_instances.describe(drs, [b["sourceServerID"] for b in back.values()])
    except (ClientError, BotoCoreError) as error:
        notes.append(f"DRS in {place(scope)} does not say who protects what was recovered: {error}")
        return {}
    return {
        server: _of_reversed(raw, launched[raw["sourceServerID"]], instances.get(server, ()))
        for server, raw in back.items()
    }


def _target(server: Raw, instances: Instances) -> Target:
    live = drs_instances.production(instances.get(server["sourceServerID"], ()))
    noted = {"recoveryInstanceId": live.id} if live is not None else {}
    return Target(server["sourceServerID"], server["arn"], attributes=noted)


def _of_reversed(
    raw: Raw, launched: Sequence[RecoveryInstance], recovered: Sequence[RecoveryInstance]
) -> dict[str, str]:
    info = raw.get("dataReplicationInfo", {})
    known = {
        "reversedServerId": str(raw["sourceServerID"]),
        "reversedState": drs_sides.replication_state(raw),
        "reversedLag": info.get("lagDuration", ""),
        "reversedError": info.get("dataReplicationError", {}).get("error", ""),
    }
    home = drs_instances.production(launched)
    serving = next((i for i in recovered if i.id == drs_sides.protects(raw)), None)
    if home is not None and not drs_stale.older(home, serving):
        known["failbackInstanceId"] = home.id
    return {key: value for key, value in known.items() if value}

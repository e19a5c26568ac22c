"""Which way a run goes: the side that it leaves, and what of the estate it takes along.

A server keeps one identity in all operations, its DRS source server in the recovery Region, so that
history and records speak of one thing whichever way it moves. What is known of the other Region's
side of it stands in its attributes, which discovery refreshes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from leeward.api.plan import RecoveryPlan, Regions
from leeward.api.plan_record import Location
from leeward.api.task import TaskResource
from leeward.planning.estate.inventory import Located
from leeward.planning.estate.protection import (
    NOT_REVERSED,
    half_home,
    has_instance,
    recovered,
    servers,
    unfinished,
)

OUTWARD: Final = frozenset({"Failover", "Test"})
"""Operations that begin where the estate is at home."""
_HOMEWARD: Final = frozenset({"Failback", "Cleanup"})
"""Operations after which the primary Region serves."""
MOVES_TO: Final[Mapping[str, Location]] = {"Failover": "Recovery", "Failback": "Primary"}
"""By operation: the side that serves when a run of it is through."""
_AWAY: Final = frozenset({"Recovery", "Mixed", "Unknown"})


def sides(operation: str, regions: Regions) -> tuple[str, str]:
    """The Region that serves when the operation is through, and the other one."""
    if operation in _HOMEWARD:
        return regions.primary, regions.recovery
    return regions.recovery, regions.primary


def losing(operation: str, regions: Regions) -> str:
    """The Region in which the operation stops what writes."""
    return regions.recovery if operation == "Failback" else regions.primary


def takes(operation: str, found: Located) -> bool:
    """Whether the operation has something to do for a resource that tags select.

    Back comes what was recovered, also where an earlier failback ended on its way, and cleaned up
    is what a failback left that is through. Only DRS knows the way back.
    """
    if operation in OUTWARD:
        return True
    if found.resource.technology != "drs":
        return False
    if operation == "Cleanup":
        return bool(found.resource.attributes.get("retiredInstanceId")) and not unfinished(found)
    return recovered(found) or (operation == "Failback" and unfinished(found))


def toward(operation: str, found: Located) -> Located:
    """The resource as the operation sees it: on the way back the reversed replication counts."""
    if operation != "Failback" or found.resource.technology != "drs":
        return found
    attributes = dict(found.resource.attributes)
    for name, reversed_name in _REVERSED.items():
        attributes.pop(name, None)
        if value := attributes.get(reversed_name):
            attributes[name] = value
    if not attributes.get("reversedServerId"):
        attributes["replicationState"] = NOT_REVERSED
    resource = found.resource.model_copy(update={"attributes": attributes})
    return replace(found, resource=resource)


_REVERSED: Final = {
    "replicationState": "reversedState",
    "lag": "reversedLag",
    "error": "reversedError",
}
"""By what discovery notes of replication: the same of the way back."""


def launched(operation: str, resource: TaskResource) -> bool:
    """Whether the server was launched before, so that a run of the operation adopts it."""
    if operation == "Failback":
        return bool(resource.attributes.get("failbackInstanceId"))
    # What holds the newest data until a failback is through is kept as well.
    return has_instance(resource.attributes) or half_home(resource.attributes)


def away(plan: RecoveryPlan, wave: str, resources: Sequence[Located]) -> bool:
    """Whether anything of the wave serves from the recovery Region, or may.

    A run says so, or discovery: a recovery instance that no failback, or none that is through, has
    retired.
    """
    place = next((w.location for w in plan.status.waves if w.name == wave), "Unknown")
    mine = [found for found in resources if found.resource.wave == wave]
    return place in _AWAY or any(
        recovered(server) or unfinished(server) for server in servers(mine)
    )


def recovery_instance(found: Located, partition: str, region: str) -> TaskResource:
    """The EC2 instance that serves, or may, for the server in the recovery Region."""
    attributes = found.resource.attributes
    instance = attributes.get("recoveryInstanceId") or attributes["retiredInstanceId"]
    arn = f"arn:{partition}:ec2:{region}:{found.account_id}:instance/{instance}"
    return TaskResource(id=instance, arn=arn, name=found.resource.name)

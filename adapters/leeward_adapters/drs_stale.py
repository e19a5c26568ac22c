"""Recovery instances from before the last change of sides: never adopted, never in the way.

After a failback the instance that served in the recovery Region stays, stopped, until a Cleanup;
and DRS goes on to name it as the recovery instance of its source server. It must not be taken for
what a new failover wants, nor may a launch end it. So DRS's record of it is taken off: the EC2
instance and its volumes stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from leeward_adapters import drs_instances, drs_sides
from leeward_adapters.base import Scope, Seen, State, Step
from leeward_adapters.drs_instances import RecoveryInstance
from leeward_adapters.drs_sides import Raw
from leeward_adapters.ec2 import place

RELEASE: Final = "release"


def refused(scope: Scope, server: str, instance: RecoveryInstance) -> Seen:
    """What a step says of an instance from before the failback that it cannot work with."""
    return Seen(
        State.REFUSED,
        reason="RecoveryInstanceStale",
        message=f"recovery instance {instance.id} of {server} in {place(scope)} is from before the "
        "failback: its server serves at home again. Run a Cleanup first, which keeps its volumes "
        "in snapshots",
        reference=instance.id,
    )


def release_needed(scope: Scope, server: str, instance: RecoveryInstance) -> Seen:
    """DRS's record of the instance must go before the server can be launched."""
    return Seen(
        State.NEEDED,
        action=RELEASE,
        message=f"recovery instance {instance.id} of {server} in {place(scope)} is from before the "
        "last change of sides: DRS is told to forget it, and the instance stays",
        reference=instance.id,
    )


def release(scope: Scope, step: Step, servers: Mapping[str, Raw] | None, ids: Sequence[str]) -> str:
    """Take DRS's records of stale instances off (DeleteRecoveryInstance); EC2 keeps them.

    DRS is asked again which those are, right before.

    Args:
        scope: the Region that is recovered into.
        step: the step.
        servers: in a Failback, its reversed source servers by their own ids; else None.
        ids: source servers in the scope's Region.
    """
    drs = scope.client("drs")
    found = drs_instances.describe(drs, ids)
    live = {s: i for s in ids if (i := drs_instances.production(found[s])) is not None}
    over = {s for s, i in live.items() if i.failed_back}
    if servers is not None:
        rest = {s: i for s, i in live.items() if s not in over}
        over |= {*before_failover(drs_sides.other_side(scope, step), servers, rest)}
    old = [live[s] for s in ids if s in over]
    for instance in old:
        drs_sides.remove(drs.delete_recovery_instance, recoveryInstanceID=instance.id)
    return f"{len(old)} released"


def before_failover(
    there: Scope, servers: Mapping[str, Raw], instances: Mapping[str, RecoveryInstance]
) -> list[str]:
    """Reversed servers whose instance is older than the one that they protect now.

    Such an instance was the primary until the last failover. Told by the points in time that both
    were launched from: what comes out of a failback is younger than what it replaces.

    Args:
        there: the Region that is failed back from.
        servers: reversed source servers, by id.
        instances: their live recovery instances.
    """
    if not instances:
        return []
    serving = {drs_sides.protects(servers[s]) for s in instances} - {""}
    known = _with_ids(there.client("drs"), sorted(serving))
    return [
        s
        for s, instance in instances.items()
        if older(instance, known.get(drs_sides.protects(servers[s])))
    ]


def older(instance: RecoveryInstance, serving: RecoveryInstance | None) -> bool:
    """Whether the instance is from before the one that its server protects."""
    return serving is not None and serving.point_in_time > instance.point_in_time


def _with_ids(drs: Any, ids: Sequence[str]) -> dict[str, RecoveryInstance]:
    found: dict[str, RecoveryInstance] = {}
    paginator = drs.get_paginator("describe_recovery_instances")
    for start in range(0, len(ids), 200):
        filters = {"recoveryInstanceIDs": list(ids[start : start + 200])}
        for page in paginator.paginate(filters=filters):
            parsed = (drs_instances.parse(raw) for raw in page.get("items", []))
            found.update((instance.id, instance) for instance in parsed)
    return found

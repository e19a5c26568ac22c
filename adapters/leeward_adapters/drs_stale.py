"""Recovery instances from before the last change of sides: never adopted, never in the way.

After a failback the instance that served in the recovery Region stays, stopped, until a Cleanup;
and DRS goes on to name it as the recovery instance of its source server. It must not be taken for
what a new failover wants, nor may a launch end it. So DRS's record of it is taken off: the EC2
instance and its volumes stay as they are.

DRS calls a failback completed as soon as it launched something at home. Until what was launched is
protected in its turn, the recovery instance holds the newest data in its Region, and may serve.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from leeward_adapters import drs_instances, drs_lists, drs_servers, drs_sides, drs_sources
from leeward_adapters.base import Scope, Seen, State, Step, Target
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


def replaceable(
    scope: Scope, step: Step, target: Target, server: Raw | None, instance: RecoveryInstance
) -> bool:
    """Whether a launch of the server would give newer data than the instance holds.

    Its replication back was begun before the failback, so a point in time of the server that is
    younger than that is of what came home: the original was left by then, and was it not, the
    server must be seen to protect another one.

    Args:
        scope: the Region that is recovered into.
        step: the step.
        target: the source server.
        server: what DescribeSourceServers says of it; None: it is not there.
        instance: its live recovery instance.
    """
    if not instance.failed_back:
        return False
    if step.operation == "Failback":
        return True  # judged by `before_failover` before it comes to this
    if instance.state not in {"STOPPED", "STOPPING"} or not instance.reversed_at or server is None:
        return False
    if drs_servers.refusal(scope, target.id, server) is not None:
        return False
    at_home = target.attributes.get("failbackInstanceId")
    if at_home and drs_sides.protects(server) != at_home:
        return False
    newest = drs_servers.newest_point(scope, target.id)
    return newest is not None and newest > datetime.fromisoformat(instance.reversed_at)


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
    if servers is None:
        over = _replaceable(scope, step, live)
    else:
        over = {s for s, i in live.items() if i.failed_back}
        rest = {s: i for s, i in live.items() if s not in over}
        over |= {*before_failover(drs_sides.other_side(scope, step), servers, rest)}
    old = [live[s] for s in ids if s in over]
    for instance in old:
        drs_sides.remove(drs.delete_recovery_instance, recoveryInstanceID=instance.id)
    return f"{len(old)} released"


def _replaceable(scope: Scope, step: Step, live: Mapping[str, RecoveryInstance]) -> set[str]:
    targets = {t.id: t for t in step.targets if t.id in live}
    known = drs_sources.describe(scope.client("drs"), sorted(targets))
    return {s for s, t in targets.items() if replaceable(scope, step, t, known.get(s), live[s])}


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
    for start in range(0, len(ids), 200):
        filters = {"recoveryInstanceIDs": list(ids[start : start + 200])}
        raw = drs_lists.items(drs, "describe_recovery_instances", filters=filters)
        found.update((instance.id, instance) for instance in map(drs_instances.parse, raw))
    return found

"""Recovery instances from before the last change of sides: never adopted, never in the way.

After a failback the instance that served in the recovery Region stays, stopped, until a Cleanup;
and DRS goes on to name it as the recovery instance of its source server. It must not be taken for
what a new failover wants, nor may a launch end it. So DRS's record of it is taken off: the EC2
instance and its volumes stay as they are.

DRS calls a failback completed as soon as it launched something at home. Until what was launched is
protected in its turn, the recovery instance holds the newest data in its Region, and may serve. And
it takes that word back when somebody stops the failback. So a Cleanup marks what it retires, and of
what is not marked it counts which instance the source server protects, and since when.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from botocore.exceptions import ClientError

from leeward_adapters import (
    drs_instances,
    drs_jobs,
    drs_lists,
    drs_servers,
    drs_sides,
    drs_sources,
    ec2,
)
from leeward_adapters.base import Scope, Seen, State, Step, Target
from leeward_adapters.drs_instances import RecoveryInstance
from leeward_adapters.drs_sides import Raw
from leeward_adapters.ec2 import place

RELEASE: Final = "release"
_SAME: Final = timedelta(minutes=2)
"""How much newer a point in time may seem: DRS names the moment in which it was due."""
_LAUNCH: Final = timedelta(hours=1)
"""Within which a launch is through. What was stopped later than that served in between."""


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
    if step.operation == "Failback":
        return instance.failed_back  # judged by `before_failover` before it comes to this
    if not drs_sides.superseded(instance, server, target.attributes):
        return False
    # What a Cleanup began to retire was seen to be replaced; DRS may have forgotten since when.
    since = instance.reversed_at or (instance.point_in_time if instance.retired else "")
    if not instance.left or not since or server is None:
        return False
    if drs_servers.refusal(scope, target.id, server) is not None:
        return False
    at_home = target.attributes.get("failbackInstanceId")
    if not instance.retired and at_home and drs_sides.protects(server) != at_home:
        return False
    return target.id in drs_servers.with_points_since(scope, {target.id: since})


def outdated(
    scope: Scope,
    step: Step,
    instances: Mapping[str, RecoveryInstance],
    servers: Mapping[str, Raw],
) -> dict[str, Seen]:
    """By server: a refusal to adopt, unasked, an instance that is older than its points in time.

    It served and was stopped, and is not known to be replaced; and what was stopped holds nothing
    of what the points in time were made of after that. What merely was launched is judged before
    it is started (`drs_outdated`).

    Args:
        scope: the Region that is recovered into.
        step: the step.
        instances: live recovery instances that would be adopted, by server.
        servers: what DRS says of the servers, by id.
    """
    asked = {
        s: i
        for s, i in instances.items()
        if i.left and not i.failed_back and s in servers and s not in step.accepted
    }
    left = _left_at(scope, asked)
    told: dict[str, Seen] = {}

    def ask(server: str) -> None:
        newest = drs_servers.newest_point(scope, server)
        if newest is not None and newest > left[server] + _SAME:
            told[server] = _outdated(scope, asked[server], servers[server], left[server], newest)

    able = [s for s in left if drs_servers.refusal(scope, s, servers[s]) is None]
    scope.each(ask, able)
    return told


def _left_at(scope: Scope, instances: Mapping[str, RecoveryInstance]) -> dict[str, datetime]:
    """By server: when an instance that had served was stopped, or at the earliest could be."""
    if not instances:
        return {}
    machines = ec2.describe(scope.client("ec2"), (i.id for i in instances.values()))
    jobs = drs_jobs.with_ids(scope.client("drs"), {i.job for i in instances.values() if i.job})
    launched = {part.job: part.created for part in jobs}
    found: dict[str, datetime] = {}
    for server, instance in instances.items():
        stopped = machines[instance.id].stopped if instance.id in machines else None
        created = launched.get(instance.job)
        if instance.reversed_at:
            found[server] = stopped or datetime.fromisoformat(instance.reversed_at)
        elif stopped is not None and created is not None and stopped > created + _LAUNCH:
            found[server] = stopped
    return found


def _outdated(
    scope: Scope, instance: RecoveryInstance, server: Raw, left: datetime, newest: datetime
) -> Seen:
    name = instance.server
    return Seen(
        State.REFUSED,
        reason="FailoverOutdated",
        message=f"recovery instance {instance.id} of {name} in {place(scope)} served and was left "
        f"at {left:%FT%TZ}, and {name} holds points in time up to {newest:%FT%TZ}, of "
        f"{drs_sides.protects(server) or 'its source'}: what was written since would be lost. "
        f"`relaunch` of {name} launches the newest one and keeps the volumes of {instance.id} "
        "in snapshots; `accept-data-loss` takes that instance as it is",
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
    if servers is None:
        over = _replaceable(scope, step, live)
    else:
        over = {s for s, i in live.items() if i.failed_back}
        rest = {s: i for s, i in live.items() if s not in over}
        over |= {*before_failover(drs_sides.other_side(scope, step), servers, rest)}
    old = [live[s] for s in ids if s in over]
    for instance in old:
        _forget(scope, instance, disconnects=servers is None)
    return f"{len(old)} released"


def _forget(scope: Scope, instance: RecoveryInstance, *, disconnects: bool) -> None:
    """Take DRS's record off; where DRS wants it, the instance is disconnected first.

    Only of what served in the recovery Region: the server that protects it is the stale way back,
    which the next Reprotect makes anew. What served in the primary Region is protected by the first
    source server, and that one must stay.
    """
    drs = scope.client("drs")
    try:
        drs_sides.remove(drs.delete_recovery_instance, recoveryInstanceID=instance.id)
        return
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "ConflictException":
            raise
        if "disconnect" not in str(error).lower() or not disconnects:
            raise _explained(scope, instance, error) from error
    drs_sides.remove(drs.disconnect_recovery_instance, recoveryInstanceID=instance.id)
    drs_sides.remove(drs.delete_recovery_instance, recoveryInstanceID=instance.id)


def _explained(scope: Scope, instance: RecoveryInstance, error: ClientError) -> ClientError:
    """The error with what is to be done about it."""
    told = error.response.get("Error", {})
    message = (
        f"{told.get('Message', '')}. {instance.id} of {instance.server} in {place(scope)} is from "
        "before the last change of sides, and DRS does not forget it: delete the recovery instance "
        "in the DRS console, or disconnect and delete it there, then retry; the EC2 instance stays"
    )
    response: Any = {**error.response, "Error": {**told, "Message": message}}
    return ClientError(response, error.operation_name)


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

"""Instances of a failback that was called off: adopted while the other side holds nothing newer.

A failback launches in the primary Region, and may end there: the recovery instance is started again
and serves on, and its reversed source server goes on to copy it. Whoever fails back later finds
the first instance and must not take it for what holds the data.

That points in time are made after a launch says nothing by itself: an Unplanned failback does not
wait until the recovery instance is stopped, and DRS may make one of a server that is. So EC2 is
asked what that instance did: one that was started again has served since, one that was stopped
before the launch was asked for has not, and of one that merely ran on the points in time tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from leeward_adapters import drs_jobs, drs_servers, drs_sides, ec2
from leeward_adapters.base import Phase, Scope, Seen, State, Step
from leeward_adapters.drs_instances import RecoveryInstance
from leeward_adapters.drs_sides import Raw
from leeward_adapters.ec2 import place

_SAME: Final = timedelta(minutes=2)
"""How much newer a point in time may seem: DRS names the moment in which it was due."""
_RESUMED: Final = timedelta(minutes=10)
"""For how long after a launch an Unplanned run loses no more by adopting than it would have by not
being interrupted; points in time are made every 10 minutes (DRS user guide), launches take as
long."""


_LAUNCH: Final = timedelta(hours=1)
"""Within which a launch is through and its instance started. A start after that says nothing of
what the instance holds: somebody may start it while the other side serves."""


@dataclass(frozen=True, slots=True)
class _Launched:
    """An instance that would be adopted, and what it was launched from."""

    instance: RecoveryInstance
    asked: datetime
    """When the launch was asked for; what was stopped by then it holds."""
    until: datetime
    """Up to when a point in time of its server is not called newer."""
    source: ec2.Instance | None
    """The recovery instance that its server protects; None: it is gone."""


@dataclass(frozen=True, slots=True)
class _Newer:
    """Why the other side holds more than the instance."""

    point: datetime
    """The newest point in time of its server."""
    started: datetime | None
    """When the recovery instance was started again; None: it ran on."""


def refused(
    scope: Scope,
    step: Step,
    names: Mapping[str, str],
    servers: Mapping[str, Raw],
    instances: Mapping[str, RecoveryInstance],
) -> dict[str, Seen]:
    """By reversed server: that its instance is not adopted, where newer data can be launched.

    Nor is it started: people can call a failback off between the two. There it is not asked about
    recovery instances that merely ran on, because whoever left their fencing out has decided that.

    Costs three listings, and one question for each server whose recovery instance ran after the
    launch.

    Args:
        scope: the primary Region.
        step: `source_region` is failed back from.
        names: what the targets are called, by reversed source server.
        servers: reversed source servers, by id.
        instances: what was launched of them and would be adopted, by the same.
    """
    told: dict[str, Seen] = {}
    there = drs_sides.other_side(scope, step)
    for server, launched in _launched(scope, step, servers, instances).items():
        newer = _newer(scope, server, launched)
        if newer is not None and (newer.started or step.phase is Phase.INSTANTIATE):
            where = f"{drs_sides.protects(servers[server])} in {place(there)}"
            told[server] = _told(scope, names[server], server, launched, where, newer)
    return told


def _launched(
    scope: Scope,
    step: Step,
    servers: Mapping[str, Raw],
    instances: Mapping[str, RecoveryInstance],
) -> dict[str, _Launched]:
    known = {s: i for s, i in instances.items() if i.point_in_time}
    if not known:
        return {}
    guarded = {s: drs_sides.protects(servers[s]) for s in known}
    there = drs_sides.other_side(scope, step)
    sources = ec2.describe(there.client("ec2"), set(guarded.values()) - {""})
    machines = ec2.describe(scope.client("ec2"), (i.id for i in known.values()))
    jobs = drs_jobs.with_ids(scope.client("drs"), (i.job for i in known.values() if i.job))
    created = {part.job: part.created for part in jobs}
    return {
        s: _of_one(step, i, machines.get(i.id), created.get(i.job), sources.get(guarded[s]))
        for s, i in known.items()
    }


def _of_one(
    step: Step,
    instance: RecoveryInstance,
    machine: ec2.Instance | None,
    created: datetime | None,
    source: ec2.Instance | None,
) -> _Launched:
    point = datetime.fromisoformat(instance.point_in_time)
    asked, until = created or point, point + _SAME
    begun = machine.launched if machine is not None else None
    if begun is not None:
        begun = min(begun, asked + _LAUNCH)
    if machine is not None and machine.state == "running" and begun is not None:
        # It serves itself from then on.
        until = max(until, begun + _SAME)
    if step.unplanned:
        until = max(until, (begun or point) + _RESUMED)
    return _Launched(instance, asked, until, source)


def _newer(scope: Scope, server: str, launched: _Launched) -> _Newer | None:
    started = launched.source.launched if launched.source is not None else None
    again = started if started is not None and started > launched.asked else None
    ended = launched.source.stopped if launched.source is not None else None
    if again is None and ended is not None and ended <= max(launched.asked, launched.until):
        return None
    point = drs_servers.newest_point(scope, server)
    # Without a point in time there is nothing that could be launched in its place.
    if point is None or (again is None and point <= launched.until):
        return None
    return _Newer(point, again)


def _told(
    scope: Scope, name: str, server: str, launched: _Launched, where: str, newer: _Newer
) -> Seen:
    instance = launched.instance
    what = f"was started again at {newer.started:%FT%TZ}" if newer.started else "ran on"
    return Seen(
        State.REFUSED,
        reason="FailbackOutdated",
        message=f"instance {instance.id} of {name} in {place(scope)} was launched by an earlier "
        f"failback from the point in time {instance.point_in_time}, and {where} {what} after "
        f"that: {server} holds points in time up to {newer.point:%FT%TZ}, and what it served "
        f"since would be lost. `relaunch` of {name} launches the newest one and keeps the volumes "
        f"of {instance.id} in snapshots; `mark-done` takes that instance as it is",
        reference=instance.id,
    )

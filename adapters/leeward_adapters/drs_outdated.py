"""Instances that were launched, and are older than what the other side served since.

A failback launches in the primary Region, and may end there: the recovery instance is started again
and serves on, and its reversed source server goes on to copy it. Whoever fails back later finds
the first instance and must not take it for what holds the data. Nor may a run start what it
launched itself once the side that it leaves came back and served while people were asked: two
sides would serve, and the newer data be abandoned without a word.

That points in time are made after a launch says nothing by itself: an Unplanned failback does not
wait until the recovery instance is stopped, and DRS may make one of a server that is. So EC2 is
asked what that instance did: one that was started again has served since, one that was stopped
before the launch was asked for has not, and of one that merely ran on the points in time tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from leeward_adapters import drs_instances, drs_jobs, drs_servers, drs_sides, drs_sources, ec2
from leeward_adapters.base import Observed, Phase, Scope, Seen, State, Step
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
_STALLED: Final = 2 * _RESUMED
"""How old the newest point in time is, at a launch, of a source that did not replicate then."""


@dataclass(frozen=True, slots=True)
class _Launched:
    """An instance that would be adopted or started, and what it was launched from."""

    instance: RecoveryInstance
    asked: datetime
    """When the launch was asked for; what was stopped by then it holds."""
    until: datetime
    """Up to when a point in time of its server is not called newer."""
    source: ec2.Instance | None
    """The instance that its server protects; None: it is gone, or EC2 there is silent."""
    silent: bool = False
    """Whether EC2 did not say what its source does."""

    @property
    def again(self) -> datetime | None:
        """When its source was started again after the launch; None: it ran on, or nobody knows."""
        started = self.source.launched if self.source is not None else None
        return started if started is not None and started > self.asked else None


def activation(scope: Scope, step: Step) -> Observed:
    """State of what a Failover starts, told of what is not started without a person's word.

    A Planned Failover has stopped what it leaves and seen that before it launched; of others what
    came back since is asked for.
    """
    observed = drs_instances.observe_activate(scope, step)
    wanted = [s for s, one in observed.targets.items() if one.state is State.NEEDED]
    if step.operation != "Failover" or not step.unplanned or not wanted:
        return observed
    instances = drs_instances.launched(scope, wanted)
    servers = drs_sources.describe(scope.client("drs"), sorted(instances))
    known = {s: i for s, i in instances.items() if s in servers}
    told = refused(scope, step, {s: s for s in known}, servers, known)
    return replace(observed, targets={**observed.targets, **told})


def refused(
    scope: Scope,
    step: Step,
    names: Mapping[str, str],
    servers: Mapping[str, Raw],
    instances: Mapping[str, RecoveryInstance],
) -> dict[str, Seen]:
    """By server: that its instance is not adopted, or started, where newer data can be launched.

    Before a start only of two kinds it is asked whether there is newer data: sources that were
    started again since the launch, and those that the run could not fence. Of others that merely
    ran on whoever left their fencing out has decided.

    Costs three listings, and one question for each server whose source may have served.

    Args:
        scope: the Region that is recovered into.
        step: `source_region` is the one that is left.
        names: what the targets are called, by source server in the scope's Region.
        servers: those source servers, by id.
        instances: what was launched of them and would be adopted or started, by the same.
    """
    left = {s: i for s, i in instances.items() if s not in step.accepted}
    source = {s: drs_sides.protects(servers[s]) for s in left}
    found = _launched(scope, step, source, left)
    asked = {s: one for s, one in found.items() if _may_be_older(step, one, source[s])}
    points = _newest_points(scope, asked)
    return {
        s: _told(scope, step, names[s], s, one, source[s], points[s])
        for s, one in asked.items()
        if s in points and _is_older(one, points[s])
    }


def _newest_points(scope: Scope, servers: Iterable[str]) -> dict[str, datetime]:
    """Without a point in time there is nothing that could be launched in an instance's place."""
    found: dict[str, datetime] = {}

    def ask(server: str) -> None:
        if (point := drs_servers.newest_point(scope, server)) is not None:
            found[server] = point

    scope.each(ask, servers)
    return found


def _launched(
    scope: Scope,
    step: Step,
    guarded: Mapping[str, str],
    instances: Mapping[str, RecoveryInstance],
) -> dict[str, _Launched]:
    known = {s: i for s, i in instances.items() if i.point_in_time}
    if not known:
        return {}
    ids = sorted({guarded[s] for s in known} - {""})
    sources = _sources(drs_sides.other_side(scope, step), step, ids)
    machines = ec2.describe(scope.client("ec2"), (i.id for i in known.values()))
    jobs = drs_jobs.with_ids(scope.client("drs"), (i.job for i in known.values() if i.job))
    created = {part.job: part.created for part in jobs}
    found = {
        s: _of_one(step, i, machines.get(i.id), created.get(i.job), (sources or {}).get(guarded[s]))
        for s, i in known.items()
    }
    return {
        s: replace(one, silent=sources is None)
        for s, one in found.items()
        if step.operation == "Failback" or not _served(one, machines.get(one.instance.id))
    }


def _sources(there: Scope, step: Step, ids: Sequence[str]) -> dict[str, ec2.Instance] | None:
    """What EC2 says of the instances that are left; None: an Unplanned run got no answer.

    It is asked once for that: a Region that is lost holds nothing up.
    """
    if not step.unplanned:
        return ec2.describe(there.client("ec2"), ids)
    try:
        return ec2.describe(there.client("ec2", once=True), ids)
    except (ClientError, BotoCoreError):
        return None


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
    if step.phase is not Phase.INSTANTIATE and asked - point < _STALLED:
        # Its source replicated then and was not fenced: people know that it runs on.
        until = max(until, asked + _LAUNCH)
    return _Launched(instance, asked, until, source)


def _served(launched: _Launched, machine: ec2.Instance | None) -> bool:
    """Whether the instance held users itself after its launch, so that the point that it was
    launched from no longer says how old its data are.
    """
    ended = (machine.stopped or machine.launched) if machine is not None else None
    late = ended is not None and ended > launched.asked + _LAUNCH
    return late or bool(launched.instance.reversed_at)


def _may_be_older(step: Step, launched: _Launched, source: str) -> bool:
    """Whether its source may have served after the launch, so that DRS is asked."""
    if launched.again:
        return True
    if step.phase is not Phase.INSTANTIATE and source not in step.unfenced:
        return False
    ended = launched.source.stopped if launched.source is not None else None
    return ended is None or ended > max(launched.asked, launched.until)


def _is_older(launched: _Launched, newest: datetime) -> bool:
    return launched.again is not None or newest > launched.until


def _told(
    scope: Scope,
    step: Step,
    name: str,
    server: str,
    launched: _Launched,
    source: str,
    newest: datetime,
) -> Seen:
    instance, there = launched.instance, drs_sides.other_side(scope, step)
    if step.phase is Phase.INSTANTIATE:
        by, otherwise = " by an earlier failback", "takes that instance as it is"
    else:
        by, otherwise = "", "starts that instance as it is"
    return Seen(
        State.REFUSED,
        reason=f"{step.operation}Outdated",
        message=f"instance {instance.id} of {name} in {place(scope)} was launched{by} from the "
        f"point in time {instance.point_in_time}, and {source} in {place(there)} "
        f"{_since(launched)}: {server} holds points in time up to {newest:%FT%TZ}, and "
        f"what it served since would be lost. `relaunch` of {name} launches the newest one and "
        f"keeps the volumes of {instance.id} in snapshots; `accept-data-loss` {otherwise}",
        reference=instance.id,
    )


def _since(launched: _Launched) -> str:
    if launched.again:
        now = f" (now {launched.source.state})" if launched.source is not None else ""
        return f"was started again at {launched.again:%FT%TZ} after that{now}"
    if launched.silent:
        return (
            "was not fenced and wrote after that (EC2 there does not answer, whether it still "
            "runs is unknown)"
        )
    return "ran on after that"

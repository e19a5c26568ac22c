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

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from leeward_adapters import (
    drs_fenced,
    drs_instances,
    drs_jobs,
    drs_servers,
    drs_sides,
    drs_sources,
    ec2,
)
from leeward_adapters.base import Observed, Phase, Scope, Seen, State, Step
from leeward_adapters.drs_instances import RecoveryInstance
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
    """State of what a Failover starts, told of what is not started without a person's word."""
    observed = drs_instances.observe_activate(scope, step)
    wanted = [s for s, one in observed.targets.items() if one.state is State.NEEDED]
    if step.operation != "Failover" or not wanted:
        return observed
    instances = drs_instances.to_start(scope, step, wanted)
    told = refused(scope, step, {s: s for s in wanted}, origins(step), instances)
    return replace(observed, targets={**observed.targets, **told})


def launch(scope: Scope, step: Step, observed: Observed) -> Observed:
    """State of what a Failover launches, told of what is not launched without a person's word."""
    if step.operation != "Failover":
        return observed
    names = {t.id: t.id for t in step.targets}
    told = drs_fenced.before_launch(scope, step, observed.targets, names, origins(step))
    return replace(observed, targets={**observed.targets, **told})


def origins(step: Step) -> dict[str, str]:
    """By server: the instance that it replicates, by which the run fenced it as well.

    Discovery notes it. It changes only with a change of sides, after which the estate is looked at
    anew before the next run.
    """
    return {t.id: t.attributes.get("originInstanceId", "") for t in step.targets}


def refused(
    scope: Scope,
    step: Step,
    names: Mapping[str, str],
    sources: Mapping[str, str],
    instances: Mapping[str, RecoveryInstance],
) -> dict[str, Seen]:
    """By server: that its instance is not adopted, or started, where newer data can be launched,
    nor while what the run stopped for it runs again.

    Before a start only of some it is asked whether there is newer data: sources that were started
    again since the launch, those that the run could not fence, and those that a Planned one did
    not see stopped before the launch. Of others that merely ran on whoever left their fencing out
    has decided.

    Costs one question on the other side; what EC2 says here and when the jobs were asked for is
    mostly known. Where a source may have served, one of DRS and one for each such server.

    Args:
        scope: the Region that is recovered into.
        step: `source_region` is the one that is left.
        names: what the targets are called, by source server in the scope's Region.
        sources: the instances that the servers replicate, by the same; empty: outside EC2.
        instances: what was launched of them and would be adopted or started, by the same.
    """
    left = {s: i for s, i in instances.items() if s not in step.accepted}
    if not left:
        return {}
    ids = sorted({sources[s] for s in left} - {""})
    there = drs_fenced.look(drs_sides.other_side(scope, step), step, ids)
    found = _launched(scope, step, sources, left, there)
    asked = {s: one for s, one in found.items() if _may_be_older(step, one, sources[s])}
    points = _newest_points(scope, asked)
    running = {
        s: drs_fenced.refused(scope, step, names[s], source, i)
        for s, i in left.items()
        if drs_fenced.stays(step, sources[s])
        and (source := (there or {}).get(sources[s])) is not None
        and drs_fenced.writes(source)
    }
    return running | {
        s: _told(scope, step, names[s], s, one, sources[s], points[s])
        for s, one in asked.items()
        if s in points and _is_older(one, points[s])
    }


def _newest_points(scope: Scope, servers: Collection[str]) -> dict[str, datetime]:
    """Without a point in time there is nothing that could be launched in an instance's place."""
    found: dict[str, datetime] = {}

    def ask(server: str) -> None:
        if (point := drs_servers.newest_point(scope, server)) is not None:
            found[server] = point

    scope.each(ask, drs_sources.describe(scope.client("drs"), sorted(servers)))
    return found


def _launched(
    scope: Scope,
    step: Step,
    sources: Mapping[str, str],
    instances: Mapping[str, RecoveryInstance],
    there: Mapping[str, ec2.Instance] | None,
) -> dict[str, _Launched]:
    known = {s: i for s, i in instances.items() if i.point_in_time}
    # Whoever has just looked at them looked as of the same moment.
    machines = ec2.described(scope, [i.id for i in known.values()], step.since, checks=False)
    asked = drs_jobs.asked_at(scope, (i.job for i in known.values() if i.job))

    def of_one(server: str, instance: RecoveryInstance) -> _Launched:
        source = sources[server]
        stays = drs_fenced.stays(step, source)
        machine, origin = machines.get(instance.id), (there or {}).get(source)
        return _of_one(step, instance, machine, asked.get(instance.job), origin, stays=stays)

    found = {s: of_one(s, i) for s, i in known.items()}
    return {
        s: replace(one, silent=there is None)
        for s, one in found.items()
        if step.operation == "Failback" or not _served(one, machines.get(one.instance.id))
    }


def _of_one(
    step: Step,
    instance: RecoveryInstance,
    machine: ec2.Instance | None,
    created: datetime | None,
    source: ec2.Instance | None,
    *,
    stays: bool,
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
    if step.phase is not Phase.INSTANTIATE and not stays and asked - point < _STALLED:
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
    ended = launched.source.stopped if launched.source is not None else None
    if step.phase is Phase.INSTANTIATE or source in step.unfenced:
        return ended is None or ended > max(launched.asked, launched.until)
    # One that runs is refused for that; of one that is stopped and EC2 does not say since when
    # the run has seen it.
    late = ended is not None and ended > max(launched.asked, launched.until)
    return late and drs_fenced.stays(step, source)


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
        f"what it served since would be lost. {_stop_first(launched)}`relaunch` of {name} launches "
        f"the newest one and keeps the volumes of {instance.id} in snapshots; `accept-data-loss` "
        f"{otherwise}",
        reference=instance.id,
    )


def _stop_first(launched: _Launched) -> str:
    """What is written while it is launched anew would be asked about again."""
    return "Stop it there first; " if drs_fenced.writes(launched.source) else ""


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

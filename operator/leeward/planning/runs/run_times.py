"""The times of a run: estimate, replication lag at the start, and what it really took.

Objectives are counted from the start of the run, because those who wait for the estate do not care
why it is late. How long the run stood still for people (gates, decisions, pauses) is kept apart, so
that one sees which of the two to mend.

Only what changes when something happens is written, never a clock that runs: each write of a status
wakes the run again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal

from leeward.api.conditions import Type, holds
from leeward.api.execution import DRExecutionStatus, WaveProgress
from leeward.api.plan import RecoveryPlan, RecoveryPlanSpec
from leeward.api.plan_record import HistoryEntry
from leeward.api.run_times import Kept, LagRecord, RunObjectives, Wait, WaveActual, WaveTimes
from leeward.api.task import DRTaskSpec, TaskResource
from leeward.planning.durations import parse, render
from leeward.planning.estate.direction import MOVES_TO, OUTWARD, launched
from leeward.planning.estate.protection import lag, span
from leeward.planning.runs.forecast import Forecast, forecast
from leeward.planning.runs.freeze import Frozen
from leeward.planning.times import parse_time, render_time

_REPLICATE: Final = frozenset({"drs"})
"""Technologies whose resources lag."""
_WAITS: Final[Mapping[str, Literal["Approval", "Decision", "Resume"]]] = {
    "WaitingForApproval": "Approval",
    "WaitingForDecision": "Decision",
    "Paused": "Resume",
}
"""By the outcome of a pass: what it waits for."""
_REMEMBERED: Final = 5
"""Runs of a plan's history that keep the times of their waves."""


def frozen_objectives(plan: RecoveryPlan, frozen: Frozen, operation: str) -> RunObjectives:
    """What a run sets out with."""
    return at_start(plan.spec, frozen, forecast(operation, frozen, plan.status.history))


def at_start(plan: RecoveryPlanSpec, frozen: Frozen, foreseen: Forecast) -> RunObjectives:
    """The promises beside the estimate and the lag.

    Lag and targets are those that the frozen tasks carry; the tag `dr:rpo-target` of a resource
    replaces the plan's objective.
    """
    objective, tasks = span(plan.objectives.rpo), [task.spec for task in frozen.tasks]
    return RunObjectives(
        rpo_target=plan.objectives.rpo,
        rto_target=plan.objectives.rto,
        lag=_lag(tasks, objective),
        estimated=render(foreseen.recovered_after) if foreseen.stages else None,
        waves=[
            _wave(wave.name, [t for t in tasks if t.wave == wave.name], objective, foreseen)
            for wave in frozen.waves
        ],
    )


def _wave(
    name: str, tasks: Sequence[DRTaskSpec], objective: timedelta | None, foreseen: Forecast
) -> WaveTimes:
    targets = [parse(r.rto_target) for t in tasks for r in t.resources if r.rto_target]
    estimated = foreseen.wave(name)
    return WaveTimes(
        name=name,
        lag=_lag(tasks, objective),
        adopted=_adopted(tasks),
        rto_target=render(min(targets)) if targets else None,
        estimated=render(estimated) if estimated is not None else None,
    )


def _lag(tasks: Iterable[DRTaskSpec], objective: timedelta | None) -> LagRecord | None:
    servers = {
        (t.account_id, r.id): r
        for t in tasks
        if t.technology in _REPLICATE and (t.operation in MOVES_TO or t.operation in OUTWARD)
        for r in t.resources
    }
    if not servers:
        return None
    lags = [(resource, lag(resource.attributes)) for resource in servers.values()]
    known = [(behind, resource) for resource, behind in lags if behind is not None]
    worst, whose = max(known, key=lambda pair: pair[0], default=(None, None))
    above = sum(1 for behind, r in known if (most := _allowed(r, objective)) and behind > most)
    return LagRecord(
        servers=len(servers),
        worst=render(worst) if worst is not None else None,
        worst_server=(whose.name or whose.id)[:256] if whose else "",
        above=above,
        unknown=len(lags) - len(known),
    )


def _adopted(tasks: Iterable[DRTaskSpec]) -> int:
    """Servers that a run finds launched; a Test is refused over such."""
    return len(
        {
            (t.account_id, r.id)
            for t in tasks
            if t.operation in MOVES_TO
            for r in t.resources
            if launched(t.operation, r)
        }
    )


def _allowed(resource: TaskResource, objective: timedelta | None) -> timedelta | None:
    return parse(resource.rpo_target) if resource.rpo_target else objective


# --- while it runs -----------------------------------------------------------------------------


def kept(
    status: DRExecutionStatus,
    waves: Sequence[WaveProgress],
    state: str,
    wave: str | None,
    now: datetime,
) -> RunObjectives | None:
    """The times after a pass that came to `state` at `wave`, with `waves` as they are now.

    None for a run that has none, such as one that was refused.
    """
    record = status.objectives
    if record is None or status.start_time is None:
        return record
    start = parse_time(status.start_time)
    record = _completed(record, waves, start)
    record = _waited(record, _WAITS.get(state), wave, now)
    return _judged(record, waves, now - start)


def _completed(
    record: RunObjectives, waves: Sequence[WaveProgress], start: datetime
) -> RunObjectives:
    """With the times of what is complete now and was not before; those stay as they are then."""
    times: list[WaveTimes] = []
    begun = start
    progress = {wave.name: wave for wave in waves}
    for known in record.waves:
        ended = _ended(progress.get(known.name))
        if known.recovered_after:  # what people do with the wave afterwards changes nothing
            ended = start + parse(known.recovered_after)
        times.append(_with_end(known, record.waiting, begun, start, ended) if ended else known)
        begun = max(begun, ended or begun)
    record = record.model_copy(update={"waves": times})
    passed = all(wave.state in {"Complete", "Skipped"} for wave in waves)
    if not passed or begun == start or record.recovered_after:
        return record
    total = parse(record.waited) + _open(record.waiting, begun)
    update = {
        "recovered_after": render(begun - start),
        "actual": render(max(begun - start - total, timedelta())),
    }
    return record.model_copy(update=update)


def _ended(wave: WaveProgress | None) -> datetime | None:
    complete = wave is not None and wave.state == "Complete" and wave.completion_time
    return parse_time(wave.completion_time) if complete and wave and wave.completion_time else None


def _with_end(
    times: WaveTimes, waiting: Wait | None, begun: datetime, start: datetime, ended: datetime
) -> WaveTimes:
    if times.recovered_after:
        return times
    mine = waiting if waiting and waiting.wave == times.name else None
    waited = parse(times.waited) + _open(mine, ended)
    update = {
        "waited": render(waited),
        "actual": render(max(ended - begun - waited, timedelta())),
        "recovered_after": render(ended - start),
    }
    return times.model_copy(update=update)


def _open(waiting: Wait | None, until: datetime) -> timedelta:
    """How long a wait that still goes on has lasted by then."""
    return max(until - parse_time(waiting.since), timedelta()) if waiting else timedelta()


def _waited(
    record: RunObjectives,
    what: Literal["Approval", "Decision", "Resume"] | None,
    wave: str | None,
    now: datetime,
) -> RunObjectives:
    """With the wait that is over now counted, and a new one begun.

    A wait counts for its wave as long as that is not complete.
    """
    waiting = record.waiting
    if (waiting and (waiting.what, waiting.wave)) == (what and (what, wave)):
        return record
    update: dict[str, object] = {
        "waiting": Wait(since=render_time(now), what=what, wave=wave) if what else None
    }
    if waiting is not None:
        spent = _open(waiting, now)
        update["waited"] = render(parse(record.waited) + spent)
        update["waves"] = [
            w.model_copy(update={"waited": render(parse(w.waited) + spent)})
            if w.name == waiting.wave and not w.recovered_after
            else w
            for w in record.waves
        ]
    return record.model_copy(update=update)


def _judged(
    record: RunObjectives, waves: Sequence[WaveProgress], elapsed: timedelta
) -> RunObjectives:
    left_out = {wave.name for wave in waves if wave.state == "Skipped"}
    judged = [
        w
        if w.name in left_out
        else w.model_copy(update={"rto": _verdict(w.rto_target, w.recovered_after, elapsed)})
        for w in record.waves
    ]
    whole = _verdict(record.rto_target, record.recovered_after, elapsed)
    return record.model_copy(update={"waves": judged, "rto": whole})


def _verdict(target: str | None, recovered_after: str | None, elapsed: timedelta) -> Kept | None:
    """Whether the target was kept; None: there is none, or it still can be."""
    if target is None:
        return None
    took = parse(recovered_after) if recovered_after else elapsed
    if took > parse(target):
        return "Missed"
    return "Met" if recovered_after else None


# --- afterwards --------------------------------------------------------------------------------


def wave_actuals(status: DRExecutionStatus) -> list[WaveActual]:
    """How long the waves of a run took that succeeded; empty for others.

    A wave that found servers recovered already took less than it will the next time.
    """
    if status.objectives is None or not holds(status.conditions, Type.SUCCEEDED):
        return []
    return [
        WaveActual(name=w.name, seconds=round(parse(w.actual).total_seconds()))
        for w in status.objectives.waves
        if w.actual and not w.adopted
    ]


def remembered(history: Sequence[HistoryEntry], entry: HistoryEntry) -> list[HistoryEntry]:
    """The history with one more run; only the newest keep the times of their waves."""
    entries = [*history, entry]
    timed = [e.uid for e in entries if e.waves]
    old = set(timed[:-_REMEMBERED])
    return [e.model_copy(update={"waves": []}) if e.uid in old else e for e in entries]

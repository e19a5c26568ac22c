"""What runs stopped and left so, with nothing that serves in its place.

A run that is cancelled after fencing leaves users without service: the plan says so, and that its
waves are half-way, until another run moves them or AWS shows that they run again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from leeward.api.execution import DRExecution, WaveProgress
from leeward.api.plan_record import StoppedSource
from leeward.api.task import DRTask
from leeward.planning.estate.direction import MOVES_TO
from leeward.planning.runs import fencing
from leeward.planning.times import render_time
from leeward.planning.wording import clip, counted, some
from leeward_adapters.base import Seen, State

_MOST: Final = 100


def after_run(
    before: Sequence[StoppedSource], run: DRExecution, tasks: Sequence[DRTask], now: datetime
) -> list[StoppedSource]:
    """What is left stopped once the run has ended: its own, and earlier ones of waves that it did
    not move. A run of single resources moves no wave whole.

    Args:
        before: what the plan said so far.
        run: an execution that has ended.
        tasks: those of the run.
        now: the time.
    """
    if run.spec.operation not in MOVES_TO:
        return list(before)
    moved = {w.name for w in run.status.waves if _through(w)}
    new = [_left(t, now) for t in fencing.stopped(tasks) if t.spec.wave not in moved]
    if run.spec.resources is not None:
        moved = set()
    anew = {(s.wave, s.account_id, s.region) for s in new}
    kept = [
        s for s in before if s.wave not in moved and (s.wave, s.account_id, s.region) not in anew
    ]
    return [*kept, *new][-_MOST:]


def _through(wave: WaveProgress) -> bool:
    return wave.state == "Complete" and bool(wave.resources.complete or not wave.resources.total)


def _left(task: DRTask, now: datetime) -> StoppedSource:
    spec = task.spec
    stopped = [r.id for r in task.status.resources if r.state == "Complete"]
    return StoppedSource(
        task=task.metadata.name,
        execution=spec.execution_ref.name,
        wave=spec.wave,
        account=spec.account,
        account_id=spec.account_id,
        region=spec.region,
        count=len(stopped),
        examples=[clip(rid, 256) for rid in stopped[:5]],
        since=task.status.completion_time or render_time(now),
    )


def idle(tasks: Sequence[DRTask]) -> str:
    """What a run that ends stopped though nothing serves in its place, for its verdict; empty:
    nothing."""
    fences = fencing.idle_fences(tasks)
    if not fences:
        return ""
    regions = dict.fromkeys(f"{t.spec.region}, account {t.spec.account_id}" for t in fences)
    total = counted(sum(t.status.complete for t in fences), "resource")
    return (
        f". Nothing serves in place of {total} in {some(list(regions))}: start what is stopped "
        "there, unless another execution goes on (undo of Fence would have come before cancel)"
    )


def looked_at(source: StoppedSource, shown: Mapping[str, Seen]) -> StoppedSource | None:
    """The same once AWS answered there; None: nothing of it is stopped any more."""
    idle = [rid for rid, seen in shown.items() if seen.state is State.DONE]
    if not idle:
        return None
    examples = [clip(rid, 256) for rid in idle[:5]]
    return source.model_copy(update={"count": len(idle), "examples": examples})


def summary(left: Sequence[StoppedSource]) -> str:
    """In one line for people: how much is stopped where, by which runs, and what to do."""
    places = dict.fromkeys(f"{s.account} ({s.account_id}, {s.region})" for s in left)
    runs = dict.fromkeys(s.execution for s in left)
    waves = dict.fromkeys(s.wave for s in left)
    total = sum(s.count for s in left)
    return (
        f"{counted(total, 'resource')} of wave {some(list(waves))} {_are(total)} stopped in "
        f"{some(list(places))}, such as {left[0].examples[0]}: {some(list(runs))} fenced "
        f"{'them' if total > 1 else 'it'} and ended before anything served instead. Start "
        f"{'them' if total > 1 else 'it'} there, or go on with another run of the operation"
    )


def _are(number: int) -> str:
    return "is" if number == 1 else "are"

"""A task that asks nothing of AWS because its account was taken away, and what that costs it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from leeward.api.task import DRTaskStatus, TaskResourceStatus
from leeward.planning.tasks.withdrawn import ACCOUNT_REFUSED
from leeward.planning.times import parse_time, render_time


def resources(
    after: Sequence[TaskResourceStatus], wanted: Collection[str], why: str
) -> list[TaskResourceStatus]:
    """The resources, of which those that something is `wanted` for say why it is not done."""
    update = {"reason": ACCOUNT_REFUSED, "message": why[:1024]}
    return [r.model_copy(update=update) if r.id in wanted else r for r in after]


def barred_for(status: DRTaskStatus, now: datetime) -> timedelta:
    """How long the present attempt was barred; that does not count as the task's time."""
    since = status.barred_since
    running = now - parse_time(since) if since else timedelta(0)
    return timedelta(seconds=status.barred_seconds) + running


def noted(status: DRTaskStatus, now: datetime, *, barred: bool) -> Mapping[str, object]:
    """What of the status changes as the task is barred, or is no longer."""
    if barred:
        return {"barred_since": status.barred_since or render_time(now)}
    if status.barred_since is None:
        return {}
    seconds = int(barred_for(status, now).total_seconds())
    return {"barred_since": None, "barred_seconds": seconds}

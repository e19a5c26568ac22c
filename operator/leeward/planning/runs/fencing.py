"""Fencing: stopping writers on the side that is left.

A Planned run waits until everything is fenced. An Unplanned one tries for a while beside its
launches; what does not answer becomes a duty for the day on which the Region answers again, and
never holds the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal

from leeward.api.conditions import Reason
from leeward.api.execution import DRExecution
from leeward.api.plan import RecoveryPlan
from leeward.api.plan_record import DeferredFence, RecoveryPlanStatus
from leeward.api.task import DRTask, DRTaskStatus, TaskResourceStatus
from leeward.planning.durations import parse
from leeward.planning.times import parse_time, render_time
from leeward.planning.wording import clip, counted, some
from leeward_adapters.base import Seen, State

FENCE: Final = "Fence"
_MOST_DUTIES: Final = 100
_SETTLED: Final = frozenset({"Complete", "Skipped"})


def unplanned(execution: DRExecution) -> bool:
    """Whether the run goes on without waiting for the side that is left."""
    return execution.mode == "Unplanned"


def given_up(task: DRTask, now: datetime) -> DRTaskStatus | None:
    """The status of a task of an Unplanned run that fences no more; None: it goes on as it is.

    What failed is given up at once, what is under way when the task's limit has passed.
    """
    spec, status = task.spec, task.status
    if spec.recovery_phase != FENCE or status.state not in {"InProgress", "Failed"}:
        return None
    if status.state == "InProgress" and time_left(task, now) > timedelta(0):
        return None
    known = {r.id: r for r in status.resources}
    resources = [
        _deferred(known.get(r.id) or TaskResourceStatus(id=r.id, state="NotStarted"), task)
        for r in spec.resources
    ]
    left = sum(1 for r in resources if r.reason == Reason.FENCE_DEFERRED)
    update = {
        "state": "Skipped" if all(r.state == "Skipped" for r in resources) else "Complete",
        "resources": resources,
        "message": f"{left} of {len(resources)} not fenced: a duty for when {spec.region} answers",
    }
    return status.model_copy(update=update)


def called_off(task: DRTask, now: datetime) -> DRTaskStatus | None:
    """The status of a fencing task of a cancelled Unplanned run that is followed no more; None: it
    goes on as it is.

    What was asked for is followed as long as AWS shows it. In the dark that ends with the task's
    limit, so that the run that corrects this one does not wait for the side that is left. It is
    no duty: a run that was called off wants nothing stopped.
    """
    spec, status = task.spec, task.status
    unseen = spec.recovery_phase == FENCE and status.unseen_since is not None
    if not unseen or status.state != "InProgress" or time_left(task, now) > timedelta(0):
        return None
    message = clip(f"cancelled; whether all of it stopped is not known: {status.message}", 1024)
    return status.model_copy(update={"state": "Abandoned", "stopped": True, "message": message})


def time_left(task: DRTask, now: datetime) -> timedelta:
    """How long an Unplanned run still tries to fence; endless for what is no such task."""
    started, limit = task.status.start_time, task.spec.fence_limit
    if task.status.state != "InProgress" or not started or not limit:
        return timedelta.max
    return max(parse_time(started) + parse(limit) - now, timedelta(0))


def until_let_go(
    execution: DRExecution, tasks: Iterable[DRTask], now: datetime, *, cancelling: bool
) -> timedelta | None:
    """In how long the run lets go of fencing by itself, of the first such task; None: of none.

    A cancelled run follows what AWS shows however long it takes, and only lets go in the dark.
    """
    if not unplanned(execution):
        return None
    ends = (time_left(t, now) for t in tasks if not cancelling or t.status.unseen_since)
    return min((d for d in ends if d < timedelta.max), default=None)


def _deferred(resource: TaskResourceStatus, task: DRTask) -> TaskResourceStatus:
    if resource.state in _SETTLED:
        return resource
    why = resource.message or task.status.message or "no answer"
    where = f"account {task.spec.account_id}, {task.spec.region}"
    update = {
        "state": "Skipped",
        "reason": Reason.FENCE_DEFERRED,
        "message": clip(f"may still write in {where}; last seen: {why}", 1024),
    }
    return resource.model_copy(update=update)


def deferred(task: DRTask) -> list[TaskResourceStatus]:
    """Resources of the task that may still write on the side that was left."""
    return [r for r in task.status.resources if r.reason == Reason.FENCE_DEFERRED]


def proved(task: DRTask) -> list[TaskResourceStatus]:
    """Resources of the task that were seen to write no more; a person's word is no proof."""
    if task.spec.recovery_phase != FENCE:
        return []
    return [r for r in task.status.resources if r.state == "Complete" and r.reason != "Asserted"]


def findings(wave: str, tasks: Iterable[DRTask]) -> list[str]:
    """What approvers of a wave should know of its fencing; empty: it has none."""
    mine = [t for t in tasks if t.spec.wave == wave and t.spec.recovery_phase == FENCE]
    total = sum(len(t.spec.resources) for t in mine)
    if not total:
        return []
    done = sum(1 for t in mine for r in t.status.resources if r.state == "Complete")
    left = [(t, r) for t in mine for r in deferred(t)]
    words = f"Fence: {done} of {total} fenced"
    if not left:
        return [words]
    accounts = dict.fromkeys(f"{t.spec.account} ({t.spec.region})" for t, _ in left)
    said = f"{words}, {len(left)} not, which may still write: {some(list(accounts))}"
    return [clip(f"{said}; such as {left[0][1].id}: {left[0][1].message}", 256)]


def duties(tasks: Sequence[DRTask], now: datetime) -> list[DeferredFence]:
    """What a run leaves to be fenced later, by task."""
    return [
        DeferredFence(
            task=t.metadata.name,
            execution=t.spec.execution_ref.name,
            account=t.spec.account,
            account_id=t.spec.account_id,
            region=t.spec.region,
            count=len(left),
            examples=[clip(f"{r.id}: {r.message}", 256) for r in left[:5]],
            since=t.status.completion_time or render_time(now),
        )
        for t in tasks
        if (left := deferred(t))
    ]


def left_behind(
    before: Sequence[DeferredFence], tasks: Sequence[DRTask], now: datetime, *, part: bool = False
) -> list[DeferredFence]:
    """The plan's duties after a run: its own, and earlier ones that it did not make up for.

    A task that never ran proves nothing, and a run of a part leaves the rest as it was. What is
    kept too long goes when the operator looks; what is dropped too soon nobody looks for again.
    A duty that was noted while the run lived stays as it was seen since.

    Args:
        before: the plan's duties so far.
        tasks: those of the run.
        now: the time.
        part: whether the run was of some resources of its waves alone.
    """
    fences = [t for t in tasks if t.spec.recovery_phase == FENCE]
    known = {duty.task: duty for duty in before}
    new = [known.get(duty.task, duty) for duty in duties(tasks, now)]
    own = {duty.task for duty in new}
    kept = [d for d in before if d.task not in own and not _made_up_for(d, fences, part=part)]
    return [*kept, *new][-_MOST_DUTIES:]


def _made_up_for(duty: DeferredFence, fences: Sequence[DRTask], *, part: bool) -> bool:
    """Whether tasks fenced all that the duty speaks of, or made duties of their own of it.

    A duty names its first resources and counts them all, so both are compared. Of a run of single
    resources the number proves nothing: it may be that of others.
    """
    if part and duty.count > len(duty.examples):
        return False
    wave = duty.task.removeprefix(f"{duty.execution}-w").partition("-fence-")[0]
    answered = {
        r.id
        for t in fences
        if (t.spec.account_id, t.spec.region) == (duty.account_id, duty.region)
        and str(t.spec.wave_ordinal) == wave
        for r in t.status.resources
        if r.state == "Complete" or r.reason == Reason.FENCE_DEFERRED
    }
    named = (any(e.startswith(f"{i}: ") for i in answered) for e in duty.examples)
    return all(named) and duty.count <= len(answered)


def may_fence(operation: str, plan: RecoveryPlan, wave: str) -> bool:
    """Whether a run of the operation may stop what writes for the wave on the side that is left.

    Nobody is asked before a Reprotect fences. So it does where a run has moved the users away,
    and not where a failover was called off and the side that it left may still serve them.
    """
    place = next((w.location for w in plan.status.waves if w.name == wave), "Unknown")
    return operation != "Reprotect" or place == "Recovery"


def looked_at(duty: DeferredFence, shown: Mapping[str, Seen]) -> DeferredFence | None:
    """The duty once AWS answered there; None: everything of it is fenced now."""
    left = {rid: seen for rid, seen in shown.items() if seen.state is not State.DONE}
    if not left:
        return None
    return duty.model_copy(
        update={
            "count": len(left),
            "examples": [clip(f"{i}: {s.message}", 256) for i, s in list(left.items())[:5]],
            "seen": "Running",
        }
    )


def returned(known: Sequence[DeferredFence], tasks: Sequence[DRTask]) -> str:
    """What approvers should know of what the tasks could not fence, once it is seen again."""
    names = {t.metadata.name for t in tasks}
    back = [duty for duty in known if duty.task in names and duty.seen == "Running"]
    if not back:
        return ""
    return clip(f"the side that is left answers again and may serve: {summary(back)}; ", 256)


def summary(left: Sequence[DeferredFence]) -> str:
    """The duties in one line for people."""
    total = sum(d.count for d in left)
    places = dict.fromkeys(f"{d.account} ({d.account_id}, {d.region})" for d in left)
    return f"{counted(total, 'resource')} may still write: {some(list(places))}"


def verdict(status: RecoveryPlanStatus) -> tuple[Literal["True", "False"], str, str] | None:
    """Status, reason and message of the condition `SourceFenced`; None: nothing was left."""
    if left := status.deferred_fence:
        back = [duty for duty in left if duty.seen == "Running"]
        said = summary(back or left)
        if back:
            message = f"the side that was left answers again: {said}; stop them there now"
            return "False", Reason.SOURCE_RETURNED, message
        message = f"{said}; they are looked for until the side that was left answers again"
        return "False", Reason.FENCE_DEFERRED, message
    if status.location not in {"Recovery", "Mixed"}:
        return None
    return "True", Reason.FENCED, "nothing of the last failover is left to be fenced"

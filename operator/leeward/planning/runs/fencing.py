"""Fencing: stopping writers on the side that is left.

A Planned run waits until everything is fenced, and again once people undo it. An Unplanned one
tries for a while beside its launches (`letting_go`); what does not answer becomes a duty for the
day on which the Region answers again, and never holds the run. So does what people leave out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, Literal

from leeward.api.conditions import Reason
from leeward.api.execution import DRExecution
from leeward.api.plan import RecoveryPlan
from leeward.api.plan_record import DeferredFence, RecoveryPlanStatus
from leeward.api.task import DRTask, TaskResourceStatus
from leeward.planning.runs.begun import activated
from leeward.planning.tasks.manual import TECHNOLOGY as MANUAL
from leeward.planning.times import render_time
from leeward.planning.wording import clip, counted, some
from leeward_adapters.base import Seen, State

FENCE: Final = "Fence"
UNDONE: Final = "Undone"
"""Reason of what was brought back to what it was before the task."""
LEFT_OUT: Final = "LeftOut"
"""Reason of what people left out."""
_UNFENCED: Final = frozenset({Reason.FENCE_DEFERRED, LEFT_OUT, UNDONE})
_DEEDS: Final = frozenset({MANUAL, "automation"})
_MOST_DUTIES: Final = 100


def unplanned(execution: DRExecution) -> bool:
    """Whether the run goes on without waiting for the side that is left."""
    return execution.spec.mode == "Unplanned" or execution.status.unplanned


def undone(task: DRTask) -> list[TaskResourceStatus]:
    """Resources that the task fenced and people had started again."""
    return [r for r in deferred(task) if r.reason == UNDONE]


def given_up_on(task: DRTask) -> list[TaskResourceStatus]:
    """Resources that an Unplanned run did not wait for."""
    return [r for r in deferred(task) if r.reason == Reason.FENCE_DEFERRED]


def deferred(task: DRTask) -> list[TaskResourceStatus]:
    """Resources of the task that may still write on the side that was left, by the run's decision
    or by people's: given up, left out, or fenced and undone."""
    if task.spec.recovery_phase != FENCE:
        return []
    return [r for r in task.status.resources if r.state == "Skipped" and r.reason in _UNFENCED]


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


def fenced(task: DRTask) -> list[TaskResourceStatus]:
    """Resources that the task stopped, or found so."""
    if task.spec.recovery_phase != FENCE:
        return []
    return [r for r in task.status.resources if r.state == "Complete"]


def stopped(tasks: Iterable[DRTask]) -> list[DRTask]:
    """Tasks that stopped something of which AWS shows whether it runs.

    Of what people do, or a document, it shows that it was done, and not how things are since.
    """
    return [t for t in tasks if t.spec.technology not in _DEEDS and fenced(t)]


def idle_fences(tasks: Sequence[DRTask]) -> list[DRTask]:
    """Tasks that fenced something of waves of which nothing serves on the other side yet."""
    return [t for t in stopped(tasks) if not activated(t.spec.wave, tasks)]


def before_cancel(namespace: str, tasks: Sequence[DRTask]) -> str:
    """What comes before a cancel where nothing serves yet for what was fenced; empty: nothing.

    A run that is being cancelled undoes nothing, and what it stopped stays so.
    """
    idle = [t.metadata.name for t in idle_fences(tasks)]
    if not idle:
        return ""
    more = f", and so for {some(idle[1:], 2)}" if idle[1:] else ""
    return (
        f". cancel leaves stopped what was fenced; before it, to start that again: kubectl "
        f'annotate drt {idle[0]} -n {namespace} leeward.dev/undo="YOU"{more}'
    )


def duties(tasks: Sequence[DRTask], now: datetime) -> list[DeferredFence]:
    """What a run leaves to be fenced later, by task.

    What people left out or undid counts once something of the wave serves on the other side: a
    wave that was called off before that is to serve where it was.
    """
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
        if (left := _left(t, tasks))
    ]


def _left(task: DRTask, tasks: Sequence[DRTask]) -> list[TaskResourceStatus]:
    """Resources of the task that are a duty."""
    wave = task.spec.wave
    starts = any((t.spec.wave, t.spec.recovery_phase) == (wave, "Activate") for t in tasks)
    return deferred(task) if activated(wave, tasks) or not starts else given_up_on(task)


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
    known = {duty.task: duty for duty in before}
    new = [known.get(duty.task, duty) for duty in duties(tasks, now)]
    own = {duty.task for duty in new}
    kept = [d for d in before if d.task not in own and not _made_up_for(d, tasks, part=part)]
    return [*kept, *new][-_MOST_DUTIES:]


def _made_up_for(duty: DeferredFence, tasks: Sequence[DRTask], *, part: bool) -> bool:
    """Whether tasks fenced all that the duty speaks of, or made duties of their own of it.

    A duty names its first resources and counts them all, so both are compared. Of a run of single
    resources the number proves nothing: it may be that of others.
    """
    if part and duty.count > len(duty.examples):
        return False
    wave = duty.task.removeprefix(f"{duty.execution}-w").partition("-fence-")[0]
    answered = {
        r.id
        for t in tasks
        if t.spec.recovery_phase == FENCE
        and (t.spec.account_id, t.spec.region) == (duty.account_id, duty.region)
        and str(t.spec.wave_ordinal) == wave
        for r in (*_left(t, tasks), *(r for r in t.status.resources if r.state == "Complete"))
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

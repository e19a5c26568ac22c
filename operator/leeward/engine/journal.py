"""The journal of a DRTask: what was decided, written before it is done, and what AWS answered."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from leeward.api.task import DRTask, DRTaskStatus, Intent, PreState
from leeward.engine.context import Context
from leeward.engine.kube import ApiError, ApiUnavailable
from leeward.engine.objects import Held, put_status, read
from leeward.planning.runs.progress import only_progress
from leeward.planning.runs.record import compose_task
from leeward.planning.tasks import barred
from leeward.planning.tasks.step import Batch, StepDecision
from leeward.planning.tasks.step_sent import with_intent
from leeward.planning.times import parse_time, render_time
from leeward_adapters.base import ActionTraits, Call, ErrorClass, Observed
from leeward_adapters.errors import Fault

_CALLS = uuid.UUID("6f0f2b5e-2c0b-5d0a-9d4e-6b1f5a1c7e10")
"""Namespace of the ids of batches: the same batch has the same id after a crash."""
_PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds between the tries to record an answer; shorter together than a Lease lasts."""


def decided(status: DRTaskStatus, decision: StepDecision, now: datetime) -> DRTaskStatus:
    """The task's status with what a pass over it came to."""
    return status.model_copy(
        update={
            "state": decision.state,
            "message": decision.message,
            "resources": list(decision.resources),
            "journal": _with_absent(status.journal, decision.absent),
            "stopped": decision.state == "Abandoned",
            **barred.noted(status, now, barred=decision.barred),
        }
    )


async def write(context: Context, task: Held[DRTask], status: DRTaskStatus) -> Held[DRTask]:
    """The task with `status` as its record: counts, times and conditions worked out.

    Our epoch goes along, so that whatever is on the object says which leader wrote it. Mere
    progress is written at intervals: until then the model alone has it. Raises `ApiError` 409 when
    anybody wrote the task since it was read.
    """
    now, uid = context.now(), task.model.metadata.uid
    composed = compose_task(task.model, status, now)
    if composed == task.stored:
        return replace(task.ahead(composed), behind=None)
    if only_progress(task.stored, composed) and not context.pace.allows(uid, now):
        return task.ahead(composed)
    composed = composed.model_copy(update={"epoch": context.lease.epoch})
    written = await put_status(context.kube, task, composed)
    context.pace.wrote(uid, now)
    return written


async def write_intent(
    context: Context, task: Held[DRTask], decision: StepDecision, batch: Batch, observed: Observed
) -> tuple[Held[DRTask], Intent]:
    """Write the intent and the pre-states, in one conditional write.

    Raises `ApiError` 409 when anybody wrote the task since it was read: then nothing is sent.
    """
    status = decided(task.model.status, decision, context.now())
    # Each id follows from the one before, and so is no other's, whatever was taken off the journal.
    last = status.journal[-1].id if status.journal else ""
    number = f"{context.settings.hub}/{task.model.metadata.uid}/{last}"
    intent = Intent(
        id=uuid.uuid5(_CALLS, number).hex,
        action=batch.action,
        resources=list(batch.resources),
        epoch=context.lease.epoch,
        time=render_time(context.now()),
        attempt=status.attempt,
    )
    known = {p.id for p in status.pre_states}
    fresh = [
        PreState(id=r, value=observed.targets[r].pre_state)
        for r in batch.resources
        if r not in known and observed.targets[r].pre_state
    ]
    changed = status.model_copy(
        update={
            "journal": with_intent(status.journal, intent, decision.settled, decision.forgotten),
            "pre_states": [*status.pre_states, *fresh],
        }
    )
    return await write(context, task, changed), intent


async def write_answer(
    context: Context, task: Held[DRTask], intent: Intent, update: Mapping[str, str | bool]
) -> Held[DRTask]:
    """Record AWS's answer to an intent, whoever annotated the task meanwhile.

    An API server that is away for a moment is asked again: what it is not told stays in doubt in
    the journal, and has to be looked up.
    """
    update = {**update, "answer_time": render_time(context.now())}
    for pause in _PAUSES:
        try:
            return await _answered(context, task, intent, update)
        except ApiUnavailable:
            await asyncio.sleep(pause)
        except ApiError as error:
            if error.status < 500 and error.status != 429:
                raise
            await asyncio.sleep(pause)
    return await _answered(context, task, intent, update)


async def _answered(
    context: Context, task: Held[DRTask], intent: Intent, update: Mapping[str, str | bool]
) -> Held[DRTask]:
    while True:
        status = task.model.status
        journal = [
            i.model_copy(update=dict(update)) if i.id == intent.id else i for i in status.journal
        ]
        try:
            answered = status.model_copy(update={"journal": journal})
            written = await put_status(context.kube, task, answered)
            context.pace.wrote(task.model.metadata.uid, context.now())
            return written
        except ApiError as error:
            if error.status != 409:
                raise
            metadata = task.model.metadata
            task = await read(context.kube, DRTask, metadata.namespace, metadata.name)
            if task.model.status.epoch > context.lease.epoch:
                context.lease.fence(f"{metadata.name} belongs to epoch {task.model.status.epoch}")


def answer_of(fault: Fault, repeatable: bool) -> dict[str, str | bool]:
    """What the journal says of a call that did not go through.

    A repeatable call whose answer was lost is simply sent again: that is what makes it so. That it
    may have happened, or may still, stays on record, beside an error class that every version
    knows: a live run may go back to an older one.
    """
    lost = fault.kind is ErrorClass.IN_DOUBT
    return {
        "outcome": "InDoubt" if lost and not repeatable else "Refused",
        "error_class": (ErrorClass.TRANSIENT if lost else fault.kind).value,
        "answer_lost": lost and repeatable,
        "code": fault.code[:256],
        "message": fault.message[:1024],
        "request_id": fault.request_id[:256],
    }


def calls_of(status: DRTaskStatus, actions: Mapping[str, ActionTraits]) -> dict[str, Call]:
    """By resource: the batch of this attempt by which AWS can be asked for it.

    That is the newest one that AWS may have taken; one that is not repeatable goes before the
    others, because it alone must be found again. An action that the adapter no longer has counts
    as not repeatable.
    """

    def repeatable(intent: Intent) -> bool:
        return intent.action in actions and actions[intent.action].repeatable

    calls: dict[str, Call] = {}
    taken = [
        i for i in status.journal
        if i.attempt == status.attempt and i.outcome not in {"Refused", "Absent"}
    ]  # fmt: skip
    for intent in sorted(taken, key=lambda i: not repeatable(i)):
        call = Call(
            intent.id,
            intent.action,
            parse_time(intent.time),
            intent.outcome in {"Pending", "InDoubt"},
            intent.reference,
        )
        calls.update(dict.fromkeys(intent.resources, call))
    return calls


def _with_absent(journal: list[Intent], absent: frozenset[str]) -> list[Intent]:
    return [i.model_copy(update={"outcome": "Absent"}) if i.id in absent else i for i in journal]

"""What people asked for single resources, as a pass over their task resolves it."""

from __future__ import annotations

import json
from datetime import timedelta

from leeward.api.task import DRTaskStatus, Intent, TaskResourceStatus
from leeward.planning.tasks import step_messages as messages
from leeward.planning.tasks import step_sent
from leeward.planning.tasks.step_types import (
    FINAL_STATES,
    LOSS_ACCEPTED,
    StepInput,
    Tally,
    failed,
)
from leeward_adapters.base import UNDO, Seen, State


def kept(was: TaskResourceStatus | None, after: TaskResourceStatus) -> TaskResourceStatus:
    """`after`, with what a person asked for as long as it is not at its end."""
    if was is None or was.request is None or after.state in FINAL_STATES:
        return after
    # `InProgress` also before the first batch: a request is never a beginning.
    update = {
        "state": "InProgress", "request": was.request, "requested_by": was.requested_by
    }  # fmt: skip
    return after.model_copy(update=update)


def marked_done(was: TaskResourceStatus, seen: Seen | None) -> TaskResourceStatus:
    """A resource that a person calls done, after one more look at it.

    AWS's proof counts more than their word; without it the record says whose word it is.
    """
    if seen is None:
        return asserted(was, "nothing")
    if seen.state is State.DONE:
        return TaskResourceStatus(
            id=was.id, state="Complete", reason=seen.reason[:63], message=seen.message[:1024],
            reference=seen.reference[:256],
        )  # fmt: skip
    shows = seen.state.value + (f": {seen.message}" if seen.message else "")
    return asserted(was, shows, seen.reference)


def asserted(was: TaskResourceStatus, shows: str, reference: str = "") -> TaskResourceStatus:
    """A resource that is done because a person says so, and what AWS shows of it."""
    message = messages.marked_done(was.requested_by or "", shows)
    return TaskResourceStatus(
        id=was.id, state="Complete", reason="Asserted", message=message,
        reference=(reference or was.reference)[:256],
    )  # fmt: skip


def accepted(was: TaskResourceStatus | None, after: TaskResourceStatus) -> TaskResourceStatus:
    """`after`, once complete with the word of whoever accepted that something newer is lost."""
    if was is None or was.request != "AcceptDataLoss" or after.state != "Complete":
        return after
    message = messages.loss_accepted(was.requested_by or "", after.message)
    return after.model_copy(update={"reason": LOSS_ACCEPTED, "message": message})


def undone(
    given: StepInput, was: TaskResourceStatus, seen: Seen, tally: Tally
) -> TaskResourceStatus:
    """A resource on its way back to what it was before the task first changed it.

    The undo is sent unless it is back already, whatever AWS is doing with it; then AWS is
    followed until it shows the pre-state. An undo whose answer nobody recorded is sent again:
    it sets absolute values, and its reference may be part of the proof.
    """
    asked = step_sent.sent(given, was.id, UNDO)
    last = asked[-1] if asked else None
    if _is_back(given.status, was.id, seen, last):
        message = messages.undone(was.requested_by or "", seen.message)
        return TaskResourceStatus(
            id=was.id, state="Skipped", reason="Undone", message=message,
            reference=seen.reference[:256],
        )  # fmt: skip
    if last is not None and last.outcome == "Sent":
        if seen.state is State.RUNNING:
            tally.waits.append(given.poll)
            return TaskResourceStatus(
                id=was.id, state="InProgress", message=seen.message[:1024],
                reference=seen.reference[:256],
            )  # fmt: skip
        settled = step_sent.left(given, last, given.rules.settle) == timedelta(0)
        if settled and seen.state in {State.FAILED, State.REFUSED}:
            message = f"it cannot be brought back: {seen.message}"
            return failed(was.id, seen.reason, message, seen.reference[:256])
    missing = Seen(State.NEEDED, action=UNDO, message="to be brought back to what it was")
    return step_sent.needed(given, was.id, missing, was, tally)


def _is_back(status: DRTaskStatus, rid: str, seen: Seen, last: Intent | None) -> bool:
    """Whether AWS shows the resource as it was recorded before the task first acted."""
    if seen.state is not State.NEEDED or (last is not None and last.outcome == "Pending"):
        return False
    before = next((p.value for p in status.pre_states if p.id == rid), "")
    return bool(before and seen.pre_state) and json.loads(before) == json.loads(seen.pre_state)


def losses_accepted(status: DRTaskStatus) -> frozenset[str]:
    """Ids of the resources with which the task goes on although something newer is known."""
    return frozenset(r.id for r in status.resources if r.request == "AcceptDataLoss")


def relaunched(status: DRTaskStatus, *, stopping: bool) -> frozenset[str]:
    """Ids of the resources that are to be launched anew.

    When the run is being cancelled a relaunch for which nothing was asked yet is dropped: what
    is there stays, and is looked at as it would be without it.
    """
    asked = {
        rid for i in status.journal if i.attempt == status.attempt for rid in i.resources
    }  # fmt: skip
    return frozenset(
        r.id
        for r in status.resources
        if r.request == "Relaunch" and (r.id in asked or not stopping)
    )

"""Which news of a record can wait: counts and words, of which the next ones say as much.

What must not be lost, or what others act on, cannot: states, the journal, answers, requests, times,
conditions. It is written when it happens.
"""

from __future__ import annotations

from typing import Final

from leeward.api.common import Model
from leeward.api.execution import DRExecutionStatus
from leeward.api.task import DRTaskStatus


def only_progress(
    before: DRTaskStatus | DRExecutionStatus, after: DRTaskStatus | DRExecutionStatus
) -> bool:
    """Whether a record of something under way says nothing new but how far it is.

    What waits for people, or has ended, is under way no more: they read every word of that.
    """
    return after.state in _UNDER_WAY and _lasting(before) == _lasting(after)


_UNDER_WAY: Final = frozenset({"InProgress", "Running"})


def _lasting(status: DRTaskStatus | DRExecutionStatus) -> Model:
    """The record without counts and words."""
    judged = [(c.type, c.status, c.reason) for c in status.conditions]
    update: dict[str, object] = {"message": None, "conditions": judged}
    if isinstance(status, DRTaskStatus):
        resources = [(r.id, r.state, r.request, r.requested_by) for r in status.resources]
        update |= {"resources": resources, "complete": 0, "failed": 0}
    else:
        waves = [w.model_copy(update={"resources": None}) for w in status.waves]
        update |= {"waves": waves, "resources": None}
    return status.model_copy(update=update)

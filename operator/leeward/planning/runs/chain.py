"""Executions that follow one another: what the operator creates when a run has succeeded.

A chain goes on by itself only after a whole success. Within a tolerance something was left behind,
and whether the next step is right then, people must say: they create it themselves.
"""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256
from typing import Any, Final

from leeward.api.chain import FOLLOWS_LABEL, FOLLOWS_UID_LABEL, FollowUp
from leeward.api.common import PREFIX
from leeward.api.conditions import Reason, Type, find
from leeward.api.execution import DRExecution, DRExecutionSpec
from leeward.planning.times import parse_time, render_time
from leeward.planning.wording import clip

_LONGEST: Final = 63
START_WITHIN: Final = timedelta(hours=1)
"""How long after the end of a run the one that follows may begin."""


def wanted(execution: DRExecution) -> FollowUp | None:
    """The execution that should follow and of which nothing is recorded yet; None: there is none.

    With a message it is not to be created.
    """
    spec, status = execution.spec, execution.status
    succeeded = find(status.conditions, Type.SUCCEEDED)
    if not spec.then or status.next is not None or spec.dry_run != "None" or succeeded is None:
        return None
    operation = spec.then[0].operation
    name = follower_name(execution.metadata.name, operation)
    if succeeded.status == "True" and succeeded.reason == Reason.SUCCEEDED:
        return FollowUp(name=name, operation=operation)
    message = (
        f"not created, because this run ended {status.state} ({succeeded.reason}): look at what "
        f"was left, then create a {operation} yourself"
    )
    return FollowUp(name=name, operation=operation, message=clip(message, 1024))


def follower_name(name: str, operation: str) -> str:
    """Name of the execution that follows: the same whenever it is worked out."""
    whole = f"{name}-{operation.lower()}"
    if len(whole) <= _LONGEST:
        return whole
    mark = sha256(whole.encode()).hexdigest()[:8]
    tail = f"-{mark}-{operation.lower()}"
    return name[: _LONGEST - len(tail)].rstrip("-.") + tail


def metadata(execution: DRExecution) -> dict[str, Any]:
    """Labels and annotations of the execution that follows.

    Whoever asked for the first run asked for all of them: four eyes hold through the chain.
    """
    requester = execution.status.requested_by or ""
    return {
        "labels": {
            FOLLOWS_LABEL: execution.metadata.name,
            FOLLOWS_UID_LABEL: execution.metadata.uid,
        },
        "annotations": {f"{PREFIX}requested-by": requester},
    }


def spec_of(execution: DRExecution) -> DRExecutionSpec:
    """Spec of the execution that follows."""
    spec = execution.spec
    ended = parse_time(execution.status.completion_time or "")
    return DRExecutionSpec(
        plan_ref=spec.plan_ref,
        operation=spec.then[0].operation,
        mode="Planned",
        approval_mode="Required",
        waves=spec.waves,
        resources=spec.resources,
        reason=clip(f"follows {execution.metadata.name}: {spec.reason or 'no reason given'}", 1024),
        incident=spec.incident,
        start_before=render_time(ended + START_WITHIN),
        then=spec.then[1:],
    )


def follows(execution: DRExecution, other: DRExecution) -> bool:
    """Whether `other` is the execution that the operator made to follow `execution`."""
    labels = other.metadata.labels
    return (
        labels.get(FOLLOWS_LABEL) == execution.metadata.name
        and labels.get(FOLLOWS_UID_LABEL) == execution.metadata.uid
    )

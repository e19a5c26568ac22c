"""What a task says to people about its resources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from leeward.api.common import PREFIX
from leeward.api.task import DRTaskSpec, Intent, TaskResourceStatus
from leeward.planning.wording import clip
from leeward_adapters.base import UNDO

JOURNAL_FULL = (
    "the task's journal is full, and nothing is asked of AWS that is not in it. Skip what is open, "
    "or cancel the run and create another execution: what is done is found as it should be"
)


def count(resources: Sequence[TaskResourceStatus], final: frozenset[str]) -> str:
    """`3 of 5 done, 1 failed`; states outside `final` are still open."""
    failed = sum(1 for r in resources if r.state == "Failed")
    done = sum(1 for r in resources if r.state in final) - failed
    return f"{done} of {len(resources)} done" + (f", {failed} failed" if failed else "")


def asked(resources: Sequence[TaskResourceStatus]) -> str:
    """`undo asked for by ann: `, if a person asked for something that is under way; else empty."""
    first = next((r for r in resources if r.request is not None), None)
    if first is None:
        return ""
    return f"{_VERBS[first.request or '']} asked for by {first.requested_by}: "


_VERBS: Final = {
    "MarkDone": "mark-done",
    "Undo": "undo",
    "Relaunch": "relaunch",
    "AcceptDataLoss": "accept-data-loss",
}


def done(resources: Sequence[TaskResourceStatus]) -> str:
    """A task that has nothing left to do."""
    states, reasons = Counter(r.state for r in resources), Counter(r.reason for r in resources)
    undone = reasons["Undone"]
    left_out = states["Skipped"] - undone
    parts = [
        f"{states['Complete']} done" if states["Complete"] else "",
        f"{reasons['Adopted']} of them found as they should be" if reasons["Adopted"] else "",
        f"{reasons['Asserted']} of them as people say" if reasons["Asserted"] else "",
        f"{left_out} left out" if left_out else "",
        f"{undone} undone" if undone else "",
    ]
    return ", ".join(part for part in parts if part)


def failures(failed: Sequence[TaskResourceStatus], total: int) -> str:
    """A task that failed: the first resources and why."""
    named = "; ".join(f"{r.id}: {r.reason}: {r.message}" for r in failed[:5])
    more = f" and {len(failed) - 5} more" if len(failed) > 5 else ""
    return f"{len(failed)} of {total} failed: {named}"[: 1024 - len(more)] + more


def refusal(spec: DRTaskSpec, action: str, last: Intent, times: int) -> str:
    """An action that AWS refused for good."""
    often = f" {times} times" if times > 1 else ""
    return (
        f"AWS refused {action}{often} in account {spec.account_id} ({spec.account}), "
        f"{spec.region}: {last.code}: {last.message}. Mend the cause, then "
        f"{'undo it again' if action == UNDO else 'retry the task'}"
    )


def unseen(spec: DRTaskSpec, namespace: str, code: str, said: str, *, planned: bool) -> str:
    """That AWS could not be looked at.

    Before it launches and starts a Planned run looks at the side that is left as well, and waits
    for it. Where that is lost a person makes the run Unplanned.
    """
    silent = planned and spec.recovery_phase in _LOOK_BACK and spec.source_region in said
    region = spec.source_region if silent else spec.region
    why = f"cannot look at account {spec.account_id} ({spec.account}), {region}: {code}: "
    if not silent:
        return why + said
    way_on = (
        f". If {region} is lost: kubectl annotate drx {spec.execution_ref.name} -n {namespace} "
        f'{PREFIX}unplanned="YOU"'
    )
    return why + clip(said, 400) + way_on


_LOOK_BACK: Final = frozenset({"Instantiate", "Activate"})


def timed_out(spec: DRTaskSpec, resource: TaskResourceStatus) -> str:
    """A resource that was not done in the task's time."""
    return (
        f"not done after {spec.timeout} in account {spec.account_id}, {spec.region}; last seen: "
        f"{resource.message or 'nothing'}. {_AGAIN[resource.request]}"
    )


_AGAIN: Final = {
    None: "Retry looks again and repeats only what is missing",
    "MarkDone": "Mark it done again",
    "Undo": "Undo looks again and repeats only what is missing; retry brings it forward instead",
    "Relaunch": "Retry takes the recovery instance that is there, relaunch replaces it",
    "AcceptDataLoss": "Retry looks again and asks again whether data may be lost",
}


def marked_done(user: str, shows: str) -> str:
    """A resource that is done because a person says so; `shows` is empty where AWS has no part."""
    return f"done as {user} says{f'; AWS shows: {shows}' if shows else ''}"[:1024]


def loss_accepted(user: str, shows: str) -> str:
    """A resource that is older than what could be had, as a person wanted it."""
    return f"the loss of newer data was accepted by {user}{f'; {shows}' if shows else ''}"[:1024]


def undone(user: str, before: str) -> str:
    """A resource that is back as it was."""
    return f"undone by {user}; AWS shows: {before or 'it is as it was before'}"[:1024]

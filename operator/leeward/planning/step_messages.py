"""What a task says to people about its resources."""

from __future__ import annotations

from collections.abc import Sequence

from leeward.api.task import DRTaskSpec, Intent, TaskResourceStatus

JOURNAL_FULL = (
    "the task's journal is full, and nothing is asked of AWS that is not in it. Skip what is open, "
    "or cancel the run and create another execution: what is done is found as it should be"
)


def count(resources: Sequence[TaskResourceStatus], final: frozenset[str]) -> str:
    """`3 of 5 done, 1 failed`; states outside `final` are still open."""
    failed = sum(1 for r in resources if r.state == "Failed")
    done = sum(1 for r in resources if r.state in final) - failed
    return f"{done} of {len(resources)} done" + (f", {failed} failed" if failed else "")


def done(resources: Sequence[TaskResourceStatus]) -> str:
    """A task that is complete."""
    adopted = sum(1 for r in resources if r.reason == "Adopted")
    skipped = sum(1 for r in resources if r.state == "Skipped")
    return (
        f"{len(resources) - skipped} done"
        + (f", {adopted} of them found as they should be" if adopted else "")
        + (f", {skipped} left out" if skipped else "")
    )


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
        f"{spec.region}: {last.code}: {last.message}. Mend the cause, then retry the task"
    )


def timed_out(spec: DRTaskSpec, last_seen: str) -> str:
    """A resource that was not done in the task's time."""
    return (
        f"not done after {spec.timeout} in account {spec.account_id}, {spec.region}; last seen: "
        f"{last_seen or 'nothing'}. Retry looks again and repeats only what is missing"
    )

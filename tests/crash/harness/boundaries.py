"""The moments at which a run can be interrupted, each named by what it is and never by time.

They are read off a reference run: each write of the operator to the API server, and each call to
AWS that changes something, both before it is done and after, when its answer is still under way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Literal

from harness.runs import Run
from leeward_sandbox.cluster.proxy import Side, Write

SIDES: Final[tuple[Side, ...]] = ("before", "after")
System = Literal["Kubernetes", "AWS"]


@dataclass(frozen=True, order=True, slots=True)
class Boundary:
    """One moment of one kind of run."""

    run: str
    """`failover`, `drill` or `failback`."""
    system: System
    call: str
    """`PUT drtasks/status w1-activate-drs`, `drs StartRecovery`."""
    nth: int
    """Which of the run's calls of that name, from 1."""
    side: Side

    def __str__(self) -> str:
        return f"{self.run}: {self.call} #{self.nth} {self.side}"


def call_of(write: Write, run: Run) -> str | None:
    """What a write is called, if it belongs to the run; None: it does not.

    The Lease does not: it is renewed by time, and tests/engine/test_lease.py has it.
    """
    what = f"{write.method} {write.resource}"
    if write.resource == "events":
        regarding = write.body.get("regarding", {})
        mine = regarding.get("name", "").startswith(run.name)
        return f"{what} {write.body['reason']}" if mine else None
    if write.resource.startswith("recoveryplans"):
        if write.name != run.application.name:
            return None
        held = "activeExecution" in write.body.get("status", {})
        return f"{what} {'held' if held else 'free'}"
    if write.resource.startswith("recoveryinventories"):
        return what if write.name.startswith(run.application.name) else None
    if write.name == run.name:
        return what
    if write.resource.startswith("drtasks") and write.name.startswith(f"{run.name}-"):
        # wave, phase and technology or the task's name; account, Region and part say no more.
        return f"{what} {'-'.join(write.name.removeprefix(f'{run.name}-').split('-')[:3])}"
    return None


def listed(
    kind: str, run: Run, writes: Iterable[Write], calls: Sequence[dict[str, Any]]
) -> list[Boundary]:
    """All boundaries of a run that went through, by the writes and AWS calls that it made."""
    named = [(call, "Kubernetes") for w in writes if (call := call_of(w, run)) is not None]
    named += [(f"{c['service']} {c['operation']}", "AWS") for c in calls]
    counted: Counter[str] = Counter()
    found = []
    for call, system in named:
        counted[call] += 1
        found += [Boundary(kind, system, call, counted[call], side) for side in SIDES]
    return found


def drawn(boundaries: Sequence[Boundary], pinned: Sequence[Boundary], seed: int) -> list[Boundary]:
    """The pinned boundaries first, then all others in an order that the seed says."""
    others = [b for b in boundaries if b not in pinned]
    return [*pinned, *Random(seed).sample(others, len(others))]

"""How much of a wave may fail before people are asked.

Only recovery is tolerated half, never fencing: what still writes on the side that is left is a
danger to everything that was recovered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import ceil
from typing import Final, Literal

from leeward.api.execution import WaveProgress
from leeward.api.plan import Tolerance
from leeward.api.task import DRTask, DRTaskSpec, TaskResource

TOLERANT: Final = frozenset({"Instantiate", "Activate"})
"""Phases whose failures may be tolerated."""

Key = tuple[str, str]
"""What one resource is within a wave: technology, and ARN with id."""


def key_of(spec: DRTaskSpec, resource: TaskResource) -> Key:
    """The resource's identity in all tasks of its wave."""
    return spec.technology, resource.arn + resource.id


def criticality(
    tolerance: Tolerance | None, identity: str, arn: str
) -> Literal["Critical", "Optional"]:
    """Whether the failure of a resource of the wave holds the run."""
    optional = tolerance.optional if tolerance else []
    return "Optional" if identity in optional or arn in optional else "Critical"


def required(tolerance: Tolerance | None, specs: Iterable[DRTaskSpec]) -> int | None:
    """Critical resources of a wave that must succeed; None: all of them.

    `specs` are the frozen tasks of the wave. A percentage is rounded up: 95 % of 10 are 10. A
    count above what there is means all.
    """
    if tolerance is None or tolerance.min_success is None:
        return None
    total = len(_critical(specs))
    text = str(tolerance.min_success)
    if text.endswith("%"):
        return ceil(total * int(text[:-1]) / 100)
    return min(int(text), total)


def _critical(specs: Iterable[DRTaskSpec]) -> set[Key]:
    return {
        key_of(spec, resource)
        for spec in specs
        if spec.recovery_phase in TOLERANT
        for resource in spec.resources
        if resource.criticality == "Critical"
    }


def within(wave: WaveProgress, tasks: Sequence[DRTask]) -> bool:
    """Whether what failed of the wave so far is within its frozen tolerance."""
    mine = [t for t in tasks if t.spec.wave == wave.name]
    if any(t.status.state == "Failed" and not t.spec.resources for t in mine):
        return False  # nothing that could be counted, so nothing that could be left out
    critical = _critical(t.spec for t in mine)
    failed = {key for task, key, _ in _failures(mine) if key in critical}
    least = len(critical) if wave.required is None else wave.required
    return len(critical) - len(failed) >= least


def tolerated(waves: Sequence[WaveProgress], tasks: Sequence[DRTask]) -> frozenset[str]:
    """Names of the failed tasks whose failures the plan tolerates."""
    lenient = {w.name for w in waves if within(w, tasks)}
    failed = [t for t in tasks if t.status.state == "Failed" and t.spec.wave in lenient]
    return frozenset(t.metadata.name for t in failed if t.spec.recovery_phase in TOLERANT)


def failed_ids(tasks: Sequence[DRTask]) -> list[str]:
    """Ids of the resources that failed in recovery, each once, in the order of the tasks."""
    return list(dict.fromkeys(resource.id for _, _, resource in _failures(tasks)))


def _failures(tasks: Iterable[DRTask]) -> Iterator[tuple[DRTask, Key, TaskResource]]:
    for task in tasks:
        if task.spec.recovery_phase not in TOLERANT:
            continue
        states = {r.id: r.state for r in task.status.resources}
        over = task.status.state == "Failed"
        for resource in task.spec.resources:
            state = states.get(resource.id, "NotStarted")
            # Of a failed task, whatever is not through has failed.
            if state == "Failed" or (over and state not in {"Complete", "Skipped"}):
                yield task, key_of(task.spec, resource), resource

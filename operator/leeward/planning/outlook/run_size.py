"""What of a run would not fit into its record, judged before anything is made of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from leeward.planning.problem import Problem
from leeward.planning.runs.freeze import Frozen

MOST_TASKS: Final = 1000
"""Tasks of one execution; its `status.tasks` holds no more."""
MOST_GATES: Final = 60
"""Gates of one execution; its `status.gates` holds no more."""


def fits(frozen: Frozen) -> Iterator[Problem]:
    """The frozen run has no more tasks and gates than its record holds."""
    tasks, gates, waves = len(frozen.tasks), len(frozen.gates), len(frozen.waves)
    if tasks > MOST_TASKS:
        yield Problem(
            "TooManyTasks",
            f"the run would have {tasks} tasks in {waves} waves, at most {MOST_TASKS} fit (one for "
            "each wave, phase, account, Region and technology, and more for many servers); create "
            "executions that name fewer waves each (spec.waves), or divide the plan",
        )
    if gates > MOST_GATES:
        yield Problem(
            "TooManyGates",
            f"the run would have {gates} gates in {waves} waves, at most {MOST_GATES} fit; create "
            "executions that name fewer waves each (spec.waves), or take gates off the plan",
        )

"""What does not fit into the record of a run is refused before anything is made of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from leeward.planning.outlook.run_size import MOST_GATES, MOST_TASKS, fits


@pytest.mark.parametrize(
    ("tasks", "gates", "reasons"),
    [
        (MOST_TASKS, MOST_GATES, []),
        (MOST_TASKS + 1, 0, ["TooManyTasks"]),
        (1, MOST_GATES + 1, ["TooManyGates"]),
    ],
)
def test_a_run_that_is_too_large_for_its_record_is_refused(
    tasks: int, gates: int, reasons: list[str]
) -> None:
    frozen: Any = SimpleNamespace(tasks=[0] * tasks, gates=[0] * gates, waves=[0] * 7)
    problems = list(fits(frozen))
    assert [p.reason for p in problems] == reasons
    assert all("in 7 waves" in p.message and "spec.waves" in p.message for p in problems)

"""What each server costs before the request that launches it, as estimates have it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from leeward.planning.runs.forecast import FIGURES

pytestmark = pytest.mark.aws

FIGURE = FIGURES["drs", "Instantiate"]
SETTINGS = {"instanceType": "c5.xlarge", "copyPrivateIp": True}


def _before_the_launch(task: Any) -> Counter[str]:
    """How often each operation is asked for until a launch is."""
    while not task.sandbox.calls("StartRecovery"):
        task.advance_once()
    calls = task.sandbox.control.calls()
    last = next(n for n, c in enumerate(calls) if c["operation"] == "StartRecovery")
    return Counter(call["operation"] for call in calls[:last] if call["part"] == "adapter.drs")


@pytest.mark.parametrize(
    ("operation", "settings", "expected"),
    [
        pytest.param("Failover", {}, FIGURE.calls, id="launch"),
        pytest.param("Failover", SETTINGS, FIGURE.calls + FIGURE.launch_calls, id="settings"),
        pytest.param("Test", {}, FIGURE.calls + FIGURE.drill_calls, id="first drill"),
    ],
)
def test_a_server_more_costs_as_many_calls_more_as_an_estimate_says(
    make_sandbox: Any,
    make_task: Any,
    operation: str,
    settings: dict[str, Any],
    expected: int,
) -> None:
    asked = []
    for servers in (1, 2):
        sandbox = make_sandbox(servers)
        block = {"drillNetwork": sandbox.drill_network()} if operation == "Test" else {}
        task = make_task(sandbox, sandbox.servers(), operation=operation, settings=block)
        task.targets = tuple(replace(target, settings=settings) for target in task.targets)
        asked.append(_before_the_launch(task))

    assert (asked[1] - asked[0]).total() == expected, asked[1] - asked[0]

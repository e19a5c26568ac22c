"""What the adapters really call is what they say that they need."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

import rights
from leeward_adapters import discovery
from leeward_adapters.base import Phase
from leeward_adapters.registry import adapter

pytestmark = pytest.mark.aws


def _needed(calls: Iterable[dict[str, Any]]) -> set[str]:
    return {rights.action(c["service"], c["operation"]) for c in calls if c["service"] != "sts"}


@pytest.mark.parametrize("operation", ["Failover", "Test"])
def test_drs_calls_only_what_each_phase_declares(
    sandbox: Any, make_task: Any, operation: str
) -> None:
    servers = sandbox.servers()
    sandbox.change(servers[1], fault={"failAt": "LAUNCH", "rawError": "none", "times": 1})
    permissions = adapter("drs").permissions
    phases = [Phase.INSTANTIATE, Phase.ACTIVATE]
    phases += [Phase.CLEANUP] if operation == "Test" else []
    for phase in phases:
        task = make_task(sandbox, servers, operation=operation, phase=phase)
        last = sandbox.control.last_seq()
        task.run()
        used = _needed(sandbox.control.calls(since=last))
        assert used <= permissions["Read"] | permissions[str(phase)]


def test_readiness_and_discovery_call_only_what_they_declare(sandbox: Any, make_task: Any) -> None:
    sandbox.change(sandbox.servers()[0], state="INITIAL_SYNC", snapshots=False)
    task = make_task(sandbox, sandbox.servers())
    last = sandbox.control.last_seq()
    task.adapter.readiness(sandbox.scope(), task.targets)
    assert _needed(sandbox.control.calls(since=last)) <= adapter("drs").permissions["Read"]
    last = sandbox.control.last_seq()

    reached = sandbox.reached()
    discovery.discover(
        lambda region: sandbox.aws.scope(reached, region), regions=("us-east-1", "us-east-2")
    )

    assert _needed(sandbox.control.calls(since=last)) <= discovery.PERMISSIONS


def test_looking_changes_nothing(sandbox: Any, make_task: Any) -> None:
    for operation in ("Failover", "Test"):
        for phase in (Phase.INSTANTIATE, Phase.ACTIVATE, Phase.CLEANUP):
            task = make_task(sandbox, sandbox.servers(), operation=operation, phase=phase)
            task.observe()
            task.adapter.verify(sandbox.scope(), task.step)
            task.adapter.readiness(sandbox.scope(), task.targets)

    mutating = [c["operation"] for c in sandbox.control.calls(mutating=True)]
    assert set(mutating) <= {"AssumeRole"}

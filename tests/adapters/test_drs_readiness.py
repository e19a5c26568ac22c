"""Readiness of DRS source servers, with a remedy in every finding."""

from __future__ import annotations

from typing import Any

import pytest

from leeward_adapters.base import Finding

pytestmark = pytest.mark.aws


def _findings(sandbox: Any, make_task: Any, ids: list[str]) -> list[Finding]:
    task = make_task(sandbox, ids)
    return list(task.adapter.readiness(sandbox.scope(), task.targets))


def test_a_server_that_replicates_has_no_findings(sandbox: Any, make_task: Any) -> None:
    assert _findings(sandbox, make_task, sandbox.servers()) == []


@pytest.mark.parametrize(
    ("change", "severity", "reason"),
    [
        ({"state": "DISCONNECTED"}, "Blocking", "NotReplicating"),
        ({"state": "STOPPED"}, "Blocking", "NotReplicating"),
        ({"state": "INITIAL_SYNC", "snapshots": False}, "Blocking", "NeverSynchronised"),
        (
            {"state": "STALLED", "error": "AGENT_NOT_SEEN", "lag": "PT2H"},
            "Degraded",
            "ReplicationStalled",
        ),
        ({"state": "PAUSED"}, "Degraded", "ReplicationPaused"),
        ({"state": "RESCAN"}, "Degraded", "ReplicationRescan"),
        ({"state": "BACKLOG", "lag": "PT12M"}, "Degraded", "ReplicationBacklog"),
    ],
)
def test_replication_states(
    sandbox: Any, make_task: Any, change: dict[str, Any], severity: str, reason: str
) -> None:
    first, second = sandbox.servers()
    sandbox.change(first, **change)

    (finding,) = _findings(sandbox, make_task, [first, second])

    assert (finding.severity, finding.reason, finding.target) == (severity, reason, first)
    assert change["state"] in finding.message
    assert sandbox.account in finding.message
    assert "us-east-2" in finding.message
    assert change.get("error", "") in finding.message


def test_an_account_without_drs_is_one_finding(sandbox: Any, make_task: Any) -> None:
    servers = sandbox.servers()
    sandbox.change([], initialized=False)

    (finding,) = _findings(sandbox, make_task, servers)

    assert (finding.severity, finding.reason, finding.target) == (
        "Blocking",
        "DrsUninitialized",
        None,
    )
    assert "--region us-east-2`" in finding.message


def test_missing_and_unprotected_servers_are_blocking(sandbox: Any, make_task: Any) -> None:
    unknown, instance = "s-00000000000000000", "i-0123456789abcdef0"

    found = _findings(sandbox, make_task, [*sandbox.servers(), unknown, instance])

    assert {(f.target, f.severity, f.reason) for f in found} == {
        (unknown, "Blocking", "SourceServerMissing"),
        (instance, "Blocking", "NoSourceServer"),
    }


def test_running_jobs_and_existing_instances_are_warned_of(
    make_sandbox: Any, make_task: Any
) -> None:
    sandbox = make_sandbox(3)
    first, second, third = sandbox.servers()
    sandbox.launch_by_hand([first])
    sandbox.launch_by_hand([second], drill=True)
    sandbox.control.advance(3600)
    job = sandbox.launch_by_hand([third])

    found = _findings(sandbox, make_task, [first, second, third])

    assert sorted((f.target, f.severity, f.reason) for f in found) == sorted(
        [
            (first, "Warning", "LiveRecoveryInstance"),
            (first, "Warning", "NotReversed"),
            (second, "Warning", "DrillInstance"),
            (third, "Warning", "ServerInJob"),
        ]
    )
    assert any(job in f.message for f in found if f.target == third)


def test_an_account_without_drs_is_one_finding_for_instances_that_nothing_protects(
    sandbox: Any, make_task: Any
) -> None:
    sandbox.change([], initialized=False)
    (finding,) = _findings(sandbox, make_task, ["i-0123456789abcdef0"])
    assert finding.reason == "DrsUninitialized"

"""What a RecoveryInventory keeps of its findings, and what is counted all the same."""

from __future__ import annotations

from typing import Any

import pytest

from leeward.api.inventory import Finding, RecoveryInventory
from leeward.planning.estate.findings import all_of, kept
from leeward.planning.estate.inventory import Located
from leeward.planning.launch.launch_estate import drift
from leeward.planning.plans.readiness import readiness


def finding(severity: str, reason: str, resource: str | None = None) -> Finding:
    return Finding.model_validate(
        {"severity": severity, "reason": reason, "message": "said", "resource": resource}
    )


def test_what_refuses_a_run_is_kept_however_many_warnings_come_before_it() -> None:
    warnings = [finding("Warning", f"W{n}") for n in range(600)]
    full, degraded = finding("Blocking", "SubnetFull"), finding("Degraded", "ReplicationStalled")
    listed = kept([*warnings, degraded, full], 500)["findings"]
    assert listed[:3] == [full, degraded, warnings[0]]
    assert len(listed) == 500


def inventory(build: Any, number: int, *, most: int) -> RecoveryInventory:
    """A part of `number` servers, each with two findings, and one of the account as a whole."""
    servers = [build.server(n) for n in range(number)]
    found = [
        finding("Warning" if reason == "LaunchSettingsDiffer" else "Degraded", reason, s["id"])
        for s in servers
        for reason in ("Slow", "LaunchSettingsDiffer")
    ]
    part = build.inventory(*servers)
    cut = kept([*found, finding("Warning", "DiscoveryFragile")], most)
    return part.model_copy(update={"status": part.status.model_copy(update=cut)})


@pytest.mark.parametrize("most", [2000, 500, 400, 1], ids=lambda most: f"{most} listed")
def test_counts_are_those_of_all_findings_however_few_are_listed(build: Any, most: int) -> None:
    part = inventory(build, 500, most=most)
    assert len(part.status.findings) == min(most, 1001)
    located = [Located("prod", build.account_id, r) for r in part.status.resources[:450]]
    counts = {p.reason: p.count for p in readiness(build.plan().spec, [part], located)}
    assert counts == {"Slow": 450, "LaunchSettingsDiffer": 450, "DiscoveryFragile": 1}
    assert len(drift([part])) == 500
    assert len(drift([part], {r.id for r in part.status.resources[:10]})) == 10


def test_an_inventory_with_room_has_nothing_beyond(build: Any) -> None:
    part = inventory(build, 3, most=500)
    assert part.status.further == []
    assert [*all_of(part)] == part.status.findings

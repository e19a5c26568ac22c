"""What a RecoveryInventory keeps of its findings."""

from __future__ import annotations

from leeward.api.inventory import Finding
from leeward.planning.plans.readiness import gravest


def finding(severity: str, reason: str) -> Finding:
    return Finding.model_validate({"severity": severity, "reason": reason, "message": "said"})


def test_what_refuses_a_run_is_kept_however_many_warnings_come_before_it() -> None:
    warnings = [finding("Warning", f"W{n}") for n in range(600)]
    full, degraded = finding("Blocking", "SubnetFull"), finding("Degraded", "ReplicationStalled")
    kept = gravest([*warnings, degraded, full], 500)
    assert kept[:3] == [full, degraded, warnings[0]]
    assert len(kept) == 500

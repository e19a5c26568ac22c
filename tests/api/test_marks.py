"""What is stored and does nothing is listed, by the marks that the CRD refuses it with."""

from typing import Any

import pytest

from leeward.api.execution import DRExecution
from leeward.api.marks import supported_part, unsupported
from leeward.api.plan import RecoveryPlan

MANUAL = {"name": "call", "type": "Manual", "manual": {"instructions": "Call the bank."}}
CHECK = {"name": "ping", "type": "Check", "check": {"url": "https://example.com"}}


def _plan(wave: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "orders", "namespace": "orders"},
        "spec": {
            "customer": "CustomerA",
            "environment": "Production",
            "regions": {"primary": "us-east-1", "recovery": "us-east-2"},
            "accounts": [{"name": "orders-app"}],
            "waves": [{"name": "data"}, {"name": "app", **(wave or {})}],
            **spec,
        },
    }


@pytest.mark.parametrize(
    ("plan", "findings"),
    [
        (_plan(), []),
        (_plan({"prewarm": "WhenInert", "tolerance": {"minSuccess": "95%"}}), []),
        (_plan({"before": [], "after": []}), []),
        (_plan({"after": [MANUAL]}), ["spec.waves[1].after: actions"]),
        (
            _plan({"tasks": [MANUAL, CHECK]}),
            [
                "spec.waves[1].tasks[1].type=Check: scripts and checks come with a later version",
                "spec.waves[1].tasks[1].check: scripts and checks come with a later version",
            ],
        ),
        (
            _plan({"gates": [{"before": "Fence"}, {"before": "Replicate"}]}),
            [],
        ),
        (
            _plan({"technologies": [{"type": "drs", "priority": "high"}]}),
            ["spec.waves[1].technologies[0].priority: order by priority inside a wave"],
        ),
        (_plan(objectives={"rpo": "15m", "rto": "4h"}), []),
        (
            _plan(recoveryPhases=["Instantiate"]),
            ["spec.recoveryPhases: the operation decides the phases"],
        ),
    ],
)
def test_each_stored_field_or_value_without_effect_is_listed(
    plan: dict[str, Any], findings: list[str]
) -> None:
    assert unsupported(RecoveryPlan.model_validate(plan)) == findings


def test_an_execution_is_judged_by_its_own_marks() -> None:
    execution = DRExecution.model_validate(
        {
            "spec": {
                "planRef": {"name": "orders"},
                "operation": "Failback",
                "dryRun": "Plan",
                "waves": ["app"],
                "priority": 0,
            }
        }
    )
    assert unsupported(execution) == [
        "spec.priority: runs share AWS evenly",
    ]


def test_a_spec_alone_is_judged_too() -> None:
    plan = RecoveryPlan.model_validate(_plan(recoveryPhases=["Instantiate"]))
    assert unsupported(plan.spec) == ["recoveryPhases: the operation decides the phases"]


def test_the_list_always_fits_into_the_status() -> None:
    tasks = [{**CHECK, "name": f"ask-{number}"} for number in range(50)]
    stored = RecoveryPlan.model_validate(_plan({"tasks": tasks, "after": [MANUAL]}))
    findings = unsupported(stored)
    assert len(findings) == 50
    assert findings[-1] == "and 52 more"


def test_what_the_server_would_refuse_is_taken_out_and_named() -> None:
    plan = _plan(
        {"technologies": [{"type": "drs", "priority": "high"}], "after": [MANUAL]},
        recoveryPhases=["Instantiate"],
    )
    kept, dropped = supported_part(plan, RecoveryPlan)
    assert kept == _plan({"technologies": [{"type": "drs"}]})
    assert dropped == [
        "spec.waves[1].technologies[0].priority: order by priority inside a wave",
        "spec.waves[1].after: actions",
        "spec.recoveryPhases: the operation decides the phases",
    ]


def test_a_value_without_effect_is_left_for_a_person_to_replace() -> None:
    plan = _plan({"gates": [{"before": "Replicate"}]})
    assert supported_part(plan, RecoveryPlan) == (plan, [])

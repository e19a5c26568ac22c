"""A manifest of version 2.0 becomes a plan and comes back unchanged."""

import copy
import itertools
from typing import Any

import pytest

from leeward.api.marks import supported_part, unsupported
from leeward.api.plan import RecoveryPlan
from leeward.planning.manifest import ManifestError, from_manifest, to_manifest

FULL: dict[str, Any] = {
    "manifestVersion": "2.0",
    "customer": "CustomerA",
    "environment": "Production",
    "phases": ["INSTANTIATE", "ACTIVATE", "CLEANUP", "REPLICATE"],
    "waves": [
        {
            "waveNumber": 1,
            "waveName": "Data Tier",
            "pauseBeforeWave": True,
            "technologies": [{"type": "database", "priority": "critical"}],
        },
        {
            "waveNumber": 2,
            "waveName": "app",
            "pauseBeforeWave": False,
            "technologies": [
                {"type": "drs", "priority": "high"},
                {"type": "ecs", "priority": "low"},
            ],
        },
    ],
    "approvalWorkflow": {
        "enabled": True,
        "approvers": ["approver-a@example.com", "approver-b@example.com"],
        "timeout": 1800,
    },
    "healthChecks": {
        "enabled": True,
        "timeout": 300,
        "endpoints": [{"url": "https://shop.example.com/health", "expectedStatus": 204}],
    },
    "notifications": {
        "snsTopicArn": "arn:aws:sns:us-east-2:999999999999:recovery",
        "emailRecipients": ["team@example.com"],
    },
}


def _plan(manifest: dict[str, Any]) -> dict[str, Any]:
    return from_manifest(
        manifest,
        name="orders",
        namespace="orders",
        regions=("us-east-1", "us-east-2"),
        accounts=["orders-data", "orders-app"],
    )


def _with(**changes: Any) -> dict[str, Any]:
    """The full manifest with fields replaced, or taken out where the value is `...`."""
    manifest = copy.deepcopy(FULL) | changes
    return {key: value for key, value in manifest.items() if value is not ...}


def _wave(number: int = 1, name: str = "data", **more: Any) -> dict[str, Any]:
    wave = {"waveNumber": number, "waveName": name, "pauseBeforeWave": False, "technologies": []}
    return {**wave, **more}


_PHASES = [
    ["INSTANTIATE"],
    ["INSTANTIATE", "ACTIVATE", "CLEANUP", "REPLICATE"],
    ["REPLICATE", "CLEANUP"],
    ...,
]
_WORKFLOWS = [
    {"enabled": False, "approvers": [], "timeout": 1},
    {"enabled": True, "approvers": ["a: b@example.com"], "timeout": 86399},
    {"enabled": False},
    ...,
]
_CHECKS = [
    {"enabled": False, "timeout": 90, "endpoints": []},
    {"enabled": True, "timeout": 3601, "endpoints": FULL["healthChecks"]["endpoints"] * 2},
    ...,
]
_NOTIFICATIONS = [
    {"emailRecipients": []},
    {"snsTopicArn": "arn:aws:sns:us-east-2:999999999999:t", "emailRecipients": ["x@example.com"]},
    ...,
]
_WAVES = [
    [_wave()],
    [_wave(7, "Données & co", pauseBeforeWave=True), _wave(3, "  ", pauseBeforeWave=True)],
    [_wave(number, "Web Tier of the Shop in Europe") for number in range(1, 12)],
    [_wave(1, "数据"), _wave(2, "Web Tier"), _wave(3, "web-tier"), _wave(4, "WEB TIER")],
    [_wave(1, technologies=[{"type": "drs"}, {"type": "rds", "priority": "medium"}])],
]


@pytest.mark.parametrize("waves", _WAVES)
def test_a_manifest_comes_back_unchanged(waves: Any) -> None:
    others = itertools.product(_PHASES, _WORKFLOWS, _CHECKS, _NOTIFICATIONS)
    for phases, workflow, checks, notifications in others:
        manifest = _with(
            waves=waves,
            phases=phases,
            approvalWorkflow=workflow,
            healthChecks=checks,
            notifications=notifications,
        )
        assert to_manifest(_plan(manifest)) == manifest


def test_the_full_manifest_becomes_this_plan() -> None:
    assert _plan(FULL) == {
        "apiVersion": "leeward.dev/v1alpha1",
        "kind": "RecoveryPlan",
        "metadata": {"name": "orders", "namespace": "orders"},
        "spec": {
            "customer": "CustomerA",
            "environment": "Production",
            "regions": {"primary": "us-east-1", "recovery": "us-east-2"},
            "accounts": [{"name": "orders-data"}, {"name": "orders-app"}],
            "waves": [
                {
                    "name": "data-tier",
                    "number": 1,
                    "description": "Data Tier",
                    "technologies": [{"type": "database", "priority": "critical"}],
                    "gates": [{"before": "Fence"}],
                },
                {
                    "name": "app",
                    "number": 2,
                    "technologies": [
                        {"type": "drs", "priority": "high"},
                        {"type": "ecs", "priority": "low"},
                    ],
                },
            ],
            "recoveryPhases": ["Instantiate", "Activate", "Cleanup", "Replicate"],
            "approval": {
                "automatic": "Refused",
                "approvers": {"users": ["approver-a@example.com", "approver-b@example.com"]},
                "timeout": "30m",
            },
            "healthChecks": {
                "activation": "Enabled",
                "timeout": "5m",
                "endpoints": [{"url": "https://shop.example.com/health", "expectedStatus": 204}],
            },
            "notifications": {
                "snsTopicArns": ["arn:aws:sns:us-east-2:999999999999:recovery"],
                "emails": ["team@example.com"],
            },
        },
    }


def test_a_sparse_manifest_gets_its_defaults_written_out() -> None:
    sparse = {
        "manifestVersion": "2.0",
        "customer": "CustomerA",
        "environment": "Production",
        "waves": [{"waveNumber": 1, "waveName": "data"}],
        "healthChecks": {"endpoints": [{"url": "https://shop.example.com"}]},
    }
    back = to_manifest(_plan(sparse))
    assert back["waves"] == [_wave()]
    assert back["healthChecks"] == {
        "enabled": True,
        "timeout": 300,
        "endpoints": [{"url": "https://shop.example.com", "expectedStatus": 200}],
    }
    assert back.keys() == sparse.keys()


def test_the_supported_part_of_an_imported_plan_has_nothing_unsupported() -> None:
    plan, dropped = supported_part(_plan(FULL), RecoveryPlan)
    assert unsupported(RecoveryPlan.model_validate(plan)) == []
    assert [line.split(":")[0] for line in dropped] == [
        "spec.waves[0].technologies[0].priority",
        "spec.waves[1].technologies[0].priority",
        "spec.waves[1].technologies[1].priority",
        "spec.recoveryPhases",
        "spec.healthChecks",
        "spec.notifications.emails",
    ]


@pytest.mark.parametrize(
    ("manifest", "problem"),
    [
        (_with(manifestVersion="1.0"), "manifestVersion"),
        (_with(customer=...), "customer: Field required"),
        (_with(phases=["FENCE"]), "phases.0"),
        (_with(regions=[]), "regions: Extra inputs are not permitted"),
        (_with(waves=[_wave(owner="me")]), "waves.0.owner: Extra inputs are not permitted"),
        (_with(waves=[_wave("1")]), "waves.0.waveNumber"),  # type: ignore[arg-type]
        (_with(waves=[_wave(100)]), "spec.waves.0.number"),
        (_with(waves=[]), "spec.waves"),
        (_with(waves=[_wave(1, "a"), _wave(1, "b")]), "waves: waveNumber 1 is twice"),
        (_with(waves=[_wave(technologies=[{"type": "drs"}] * 2)]), '"data": type drs is twice'),
        (_with(waves=[_wave(technologies=[{"type": "Oracle DB"}])]), "technologies.0.type"),
        (_with(approvalWorkflow={"enabled": True, "timeout": 0}), "approvalWorkflow.timeout"),
        (_with(environment="x" * 51), "spec.environment"),
    ],
)
def test_a_manifest_that_no_plan_can_hold_is_refused_with_the_field(
    manifest: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ManifestError) as raised:
        _plan(manifest)
    assert problem in str(raised.value)


def test_wave_names_are_different_labels_and_titles_are_kept() -> None:
    waves = _plan(_with(waves=_WAVES[3]))["spec"]["waves"]
    assert [wave["name"] for wave in waves] == ["wave-1", "web-tier", "web-tier-2", "web-tier-3"]
    assert [wave.get("description") for wave in waves] == [
        "数据",
        "Web Tier",
        "web-tier",
        "WEB TIER",
    ]


def test_a_plan_with_two_topics_has_no_manifest() -> None:
    plan = _plan(FULL)
    plan["spec"]["notifications"]["snsTopicArns"] = [
        f"arn:aws:sns:us-east-2:999999999999:{name}" for name in "ab"
    ]
    with pytest.raises(ManifestError, match="2 SNS topics"):
        to_manifest(plan)


def test_a_plan_with_a_phase_unknown_to_manifests_has_none() -> None:
    plan = _plan(_with(phases=...))
    plan["spec"]["recoveryPhases"] = ["Fence"]
    with pytest.raises(ManifestError, match="no phase Fence"):
        to_manifest(plan)


def test_only_a_gate_before_instantiate_is_a_pause() -> None:
    plan = _plan(_with(waves=[_wave(1, "a"), _wave(2, "b")]))
    plan["spec"]["waves"][0]["gates"] = [{"before": "Activate"}]
    plan["spec"]["waves"][1]["gates"] = [{}, {"before": "Instantiate"}]
    paused = [wave["pauseBeforeWave"] for wave in to_manifest(plan)["waves"]]
    assert paused == [False, True]

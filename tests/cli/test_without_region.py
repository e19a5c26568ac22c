"""What of an installation needs a Region: what names it, and what AWS runs there."""

from __future__ import annotations

from typing import Any

import pytest

from leeward.cli import without_region
from leeward.cli.findings import Finding, failed, shown

Object = dict[str, Any]
GONE, OTHER = "us-east-1", "us-east-2"
REGIONS = {"primary": GONE, "recovery": OTHER}


def plan(**spec: Any) -> Object:
    base = {"regions": REGIONS, "waves": [], **spec}
    return {"metadata": {"name": "orders", "namespace": "shop"}, "spec": base}


def looked(*plans: Object, inventories: tuple[Object, ...] = ()) -> list[Finding]:
    return list(without_region.plans(GONE, plans, inventories))


def lease(region: str | None) -> Object:
    annotations = {"leeward.dev/base-region": region} if region else {}
    return {"metadata": {"annotations": annotations}}


@pytest.mark.parametrize(("base", "verdict"), [(GONE, "problem"), (OTHER, "ok"), (None, "unknown")])
def test_the_operator_needs_the_region_of_its_sts(base: str | None, verdict: str) -> None:
    (found,) = without_region.operator(GONE, lease(base), [], [])
    assert found.verdict == verdict


def test_nodes_images_and_settings_of_the_operator_are_looked_at() -> None:
    container = {
        "name": "operator",
        "image": f"111111111111.dkr.ecr.{GONE}.amazonaws.com/leeward:1",
        "env": [
            {"name": "AWS_REGION", "value": GONE},
            {"name": "KEY", "value": f"arn:aws:kms:{GONE}:111111111111:key/1"},
            {"name": "NOTE", "value": "us-east-10 and xus-east-1x are others"},
        ],
    }
    deployment = {
        "kind": "Deployment", "metadata": {"name": "leeward"},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }  # fmt: skip
    node = {"metadata": {"labels": {"topology.kubernetes.io/region": GONE}}}
    found = list(
        without_region.operator(GONE, lease(OTHER), [deployment], [node, {"metadata": {}}])
    )
    problems = "\n".join(f.text for f in found if f.verdict == "problem")
    for part in ("1 of 2 nodes", "image is", "env[AWS_REGION].value", "arn:aws:kms"):
        assert part in problems
    assert "xus-east" not in problems


TOPIC = f"arn:aws:sns:{GONE}:111111111111:alarms"
SWITCH = {"name": "web", "tasks": [{"name": "names", "type": "Route53"}]}
AT_HOME = {
    "name": "web",
    "tasks": [
        {"name": "close", "recoveryPhase": "Fence", "automation": {"region": "Primary"}},
        {"name": "ledger", "recoveryPhase": "Activate", "automation": {"region": "Primary"}},
    ],
}
CHECK = {"name": "shop", "type": "Route53HealthCheck"}


@pytest.mark.parametrize(
    ("spec", "verdict", "said"),
    [
        ({}, "ok", "names nothing of us-east-1"),
        ({"notifications": {"snsTopicArns": [TOPIC]}}, "problem", "snsTopicArns[0] is arn:aws:sns"),
        ({"waves": [SWITCH]}, "problem", "task names changes records through Route 53's control"),
        ({"waves": [AT_HOME]}, "problem", "task ledger of phase Activate works in us-east-1"),
        ({"dependencies": [CHECK]}, "unknown", "dependency shop is asked of Route 53's control"),
        ({"regions": {"primary": OTHER, "recovery": GONE}}, "problem", "cannot without it"),
    ],
)
def test_a_plan_is_searched_for_what_needs_the_region(
    spec: Object, verdict: str, said: str
) -> None:
    (found,) = looked(plan(**spec))
    assert found.verdict == verdict
    assert said in found.text
    assert "plan shop/orders" in found.text


def test_an_aggregator_elsewhere_is_named_with_its_account() -> None:
    part = {
        "metadata": {"namespace": "shop"},
        "spec": {"planRef": {"name": "orders"}, "account": "east"},
        "status": {"findings": [{"reason": "DiscoveryFragile", "message": "local index only"}]},
    }
    (found,) = looked(plan(), inventories=(part,))
    assert (found.verdict, "east: local index only" in found.text) == ("problem", True)


@pytest.mark.parametrize(("region", "number"), [(GONE, 1), ("us-gov-west-1", 1), (OTHER, 0)])
def test_control_planes_of_a_partition_are_where_aws_runs_them(region: str, number: int) -> None:
    assert len(list(without_region.control_planes(region))) == number


def test_findings_are_counted_and_steer_no_terminal() -> None:
    text = shown([Finding("ok", "a"), Finding("problem", "\x1b[2Jb")], color=False)
    assert text.splitlines()[-1] == "1 ok, 0 unknown, 1 problem"
    assert "\x1b" not in text
    assert failed([Finding("problem", "b")])
    assert not failed([Finding("unknown", "b")])

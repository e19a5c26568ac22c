"""The files: what the package ships is what the chart ships, and the API server understands it."""

from __future__ import annotations

import copy
import json
import time
from pathlib import Path
from typing import Any

import pytest

from leeward import policies
from leeward.api.common import OPERATOR_USER
from leeward_sandbox import chart

ROOT = Path(__file__).parents[2]
World = Any  # conftest.World
KINDS = ("recoveryplans", "drexecutions", "drtasks", "recoveryinventories", "targetaccounts")


def test_the_chart_ships_the_packages_policies() -> None:
    shipped = ROOT / "charts" / "leeward" / "policies"
    assert {file.name: file.read_text() for file in shipped.iterdir()} == policies.render()


def test_every_policy_has_its_binding_and_denies_but_for_the_one_that_warns() -> None:
    found = {(o["kind"], o["metadata"]["name"]): o["spec"] for o in policies.load()}
    names = {name for kind, name in found if kind.endswith("Policy")}
    assert len(found) == 2 * len(names)
    for (kind, name), spec in found.items():
        if kind.endswith("Binding"):
            assert spec["policyName"] == name
            warns = name == "leeward-lookalikes.leeward.dev"
            if not kind.startswith("Mutating"):
                assert set(spec) == {"policyName", "validationActions"}
                assert spec["validationActions"] == (["Warn"] if warns else ["Deny", "Audit"])
        else:
            assert spec["failurePolicy"] == "Fail"


def test_the_policies_speak_of_the_operators_identity() -> None:
    text = "".join(policies.render().values())
    assert f"'{OPERATOR_USER}'" in text
    accounts = {w.strip("'\",") for w in text.split() if "system:serviceaccount:leeward" in w}
    assert accounts == {OPERATOR_USER}


@pytest.mark.cluster
def test_the_live_policies_equal_the_files(world: World) -> None:
    for shipped in policies.load():
        name = shipped["metadata"]["name"]
        live = json.loads(world.cluster.kubectl("get", shipped["kind"], name, "-o", "json").stdout)
        assert live["spec"] == shipped["spec"]


def _typed(policy: dict[str, Any]) -> dict[str, Any]:
    """The policy with versions and resources named, which is when the server checks types."""
    typed = copy.deepcopy(policy)
    typed["metadata"]["name"] = "typed-" + policy["metadata"]["name"]
    for rule in typed["spec"]["matchConstraints"]["resourceRules"]:
        rule["apiVersions"] = ["v1alpha1"]
        if rule["resources"] == ["*"]:
            rule["resources"] = list(KINDS)
        if rule["resources"] == ["*/status"]:
            rule["resources"] = [f"{kind}/status" for kind in KINDS]
    return typed


@pytest.mark.cluster
def test_the_expressions_fit_the_types_of_the_crds(world: World) -> None:
    validating = [o for o in policies.load() if o["kind"] == "ValidatingAdmissionPolicy"]
    typed = [_typed(policy) for policy in validating]
    broken = _typed(validating[0])
    broken["metadata"]["name"] = "typed-and-wrong"
    broken["spec"]["validations"][0]["expression"] = "oldObject.spec.planRefs.name == ''"
    world.cluster.apply(*typed, broken)
    for policy in [*typed, broken]:
        warnings = _warnings(world, policy["metadata"]["name"])
        assert bool(warnings) == (policy is broken), warnings


def _warnings(world: World, name: str) -> list[dict[str, str]]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        kubectl = world.cluster.kubectl("get", "validatingadmissionpolicy", name, "-o", "json")
        status = json.loads(kubectl.stdout).get("status", {})
        if "observedGeneration" in status:
            found: list[dict[str, str]] = status["typeChecking"].get("expressionWarnings", [])
            return found
        time.sleep(0.1)
    raise AssertionError(f"the types of {name} were not checked")


@pytest.mark.cluster
def test_only_the_operators_own_secrets_are_read_one_by_one_and_no_role_uses_wildcards() -> None:
    for found in chart.objects(ROOT / "charts" / "leeward"):
        for rule in found.get("rules", []):
            if "secrets" in rule["resources"]:
                where = (found["kind"], found["metadata"]["namespace"])
                assert (where, rule["verbs"]) == (("Role", "leeward-system"), ["get"])
            assert "*" not in [*rule["resources"], *rule["verbs"], *rule["apiGroups"]]

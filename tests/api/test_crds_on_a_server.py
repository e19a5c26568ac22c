"""A real API server takes the CRDs and the examples, and refuses what must not be written."""

import copy
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from leeward.api import crd
from leeward.api.kinds import KINDS
from leeward_sandbox.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]
ROOT = Path(__file__).parents[2]
SMALL = ROOT / "examples" / "small"
_DEADLINE_SECONDS = 60.0


def _example(file: str, name: str = "") -> dict[str, Any]:
    documents = list(yaml.safe_load_all((SMALL / file).read_text()))
    found: dict[str, Any] = copy.deepcopy(documents[0])
    if name:
        found["metadata"]["name"] = name
    return found


def _set(value: Any, path: str, new: Any) -> None:
    """Set what `path` such as `spec.waves.1.prewarm` names; `...` takes it out."""
    *parents, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in parents:
        value = value.setdefault(step, {}) if isinstance(step, str) else value[step]
    if new is ...:
        del value[last]
    else:
        value[last] = new


def _refusal(cluster: Cluster, stored: dict[str, Any], *flags: str) -> str:
    """What the API server says to a creation; empty if it would take the object."""
    done = cluster.kubectl(
        "create", "--dry-run=server", *flags, "-f", "-", input=json.dumps(stored), check=False
    )
    return "" if done.returncode == 0 else done.stderr


def _until(read: Callable[[], str], wanted: Callable[[str], bool]) -> str:
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while not wanted(text := read()):
        assert time.monotonic() < deadline, text
        time.sleep(0.1)
    return text


def test_every_crd_is_established_and_nothing_is_held_against_it(cluster: Cluster) -> None:
    listed = json.loads(cluster.kubectl("get", "crd", "-o", "json").stdout)["items"]
    assert len(listed) == len(KINDS)
    for found in listed:
        held = {item["type"]: item["status"] for item in found["status"]["conditions"]}
        assert held == {"NamesAccepted": "True", "Established": "True"}, found["metadata"]["name"]


def test_the_server_stores_the_schemas_as_they_are_generated(cluster: Cluster) -> None:
    for kind, model in KINDS.items():
        name = f"{model.PLURAL}.leeward.dev"
        stored = json.loads(cluster.kubectl("get", "crd", name, "-o", "json").stdout)
        made = crd.definition(model)["spec"]["versions"][0]["schema"]
        assert stored["spec"]["versions"][0]["schema"] == made, kind


def test_the_category_lists_objects_of_all_kinds(cluster: Cluster) -> None:
    names = cluster.kubectl("get", "leeward", "-n", "orders", "-o", "name").stdout.split()
    assert "recoveryplan.leeward.dev/orders" in names
    assert "drexecution.leeward.dev/orders-failover-1" in names
    assert "targetaccount.leeward.dev/orders-data" in names


@pytest.mark.parametrize("kind", KINDS)
def test_short_names_and_columns_are_served(cluster: Cluster, kind: str) -> None:
    model = KINDS[kind]
    done = cluster.kubectl("get", model.SHORT, "-n", "orders", "-o", "json")
    assert json.loads(done.stdout)["kind"] == "List"
    if kind in ("RecoveryPlan", "DRExecution", "TargetAccount"):
        header = cluster.kubectl("get", model.SHORT, "-n", "orders").stdout.splitlines()[0]
        assert header.split() == ["NAME", *(name.upper() for name, _, _ in model.COLUMNS)]


def test_explain_shows_our_descriptions(cluster: Cluster) -> None:
    def explain() -> str:
        return cluster.kubectl("explain", "recoveryplan.spec.waves", check=False).stdout

    text = " ".join(_until(explain, lambda text: "FIELDS" in text).split())
    assert "The order of recovery." in text
    assert "Name of the wave, part of the names of its gate and tasks." in text
    assert "Not supported by this version: actions." in text


def test_defaults_of_scalars_are_filled_in(cluster: Cluster) -> None:
    stored = json.loads(
        cluster.kubectl("get", "drx", "orders-drill-1", "-n", "orders", "-o", "json").stdout
    )
    assert stored["spec"]["mode"] == "Planned"
    assert stored["spec"]["approvalMode"] == "Required"
    assert "recoveryPoint" not in stored["spec"]


_ROUTE53 = "spec.waves.2.tasks.0"
_NOT_SUPPORTED = "is not supported by this version of Leeward"
_MANUAL = {"name": "call", "type": "Manual", "manual": {"instructions": "Call."}}
_CHECK = {"name": "ping", "type": "Check", "check": {"url": "https://example.com"}}
_WAVE = {"name": "w", "number": 1}
_UNSUPPORTED: list[tuple[str, str, Any, str]] = [
    (
        "recoveryplan.yaml",
        "spec.waves.1.technologies",
        [{"type": "drs", "priority": "high"}],
        f"waves[].technologies[].priority {_NOT_SUPPORTED}: order by priority inside a wave",
    ),
    (
        "recoveryplan.yaml",
        "spec.waves.1.before",
        [_MANUAL],
        f"waves[].before {_NOT_SUPPORTED}: actions",
    ),
    (
        "recoveryplan.yaml",
        "spec.waves.2.tasks",
        [_CHECK],
        f"waves[].tasks[].type: Check {_NOT_SUPPORTED}: scripts and checks come with a later",
    ),
    (
        "recoveryplan.yaml",
        "spec.notifications",
        {"emails": ["ops@example.com"]},
        f"notifications.emails {_NOT_SUPPORTED}: subscribe the addresses to one of snsTopicArns",
    ),
    (
        "recoveryplan.yaml",
        "spec.recoveryPhases",
        ["Instantiate"],
        f"recoveryPhases {_NOT_SUPPORTED}: the operation decides the phases",
    ),
    ("failover.yaml", "spec.parameters", {"a": "b"}, f"parameters {_NOT_SUPPORTED}"),
    ("failover.yaml", "spec.priority", 0, f"priority {_NOT_SUPPORTED}"),
]
_BAD: list[tuple[str, str, Any, str]] = [
    (
        "recoveryplan.yaml",
        "spec.regions.recovery",
        "us-east-1",
        "spec.regions: Invalid value: primary and recovery must be different Regions",
    ),
    ("recoveryplan.yaml", "spec.regions.recovery", "Ohio", "spec.regions.recovery"),
    (
        "failover.yaml",
        "spec.then",
        [{"operation": "Reprotect"}, {"operation": "Cleanup"}],
        "never Cleanup before Replicate",
    ),
    ("recoveryplan.yaml", "spec.waves", [], "spec.waves in body should have at least 1 items"),
    ("recoveryplan.yaml", "spec.waves", [_WAVE] * 21, "must have at most 20 items"),
    ("recoveryplan.yaml", "spec.waves", [_WAVE, _WAVE], "spec.waves[1]: Duplicate value"),
    ("recoveryplan.yaml", "spec.waves.0.name", "Data", "spec.waves[0].name"),
    ("recoveryplan.yaml", "spec.customer", ..., "spec.customer: Required value"),
    ("recoveryplan.yaml", "spec.approval.timeout", "0s", "must be longer than 0s"),
    (
        "recoveryplan.yaml",
        "spec.notifications",
        {"snsTopicArns": ["ops@example.com"]},
        "spec.notifications.snsTopicArns[0]",
    ),
    (
        "recoveryplan.yaml",
        "spec.notifications",
        {"reminderInterval": "500ms"},
        "reminderInterval must be at least 1s",
    ),
    (
        "recoveryplan.yaml",
        "spec.notifications",
        {"tasks": [{"name": "web", "mode": "Override"}]},
        "mode Override needs topics",
    ),
    ("recoveryplan.yaml", "spec.approval.timeout", "30", "spec.approval.timeout"),
    (
        "recoveryplan.yaml",
        f"{_ROUTE53}.route53",
        ...,
        "type Route53 needs the block route53",
    ),
    (
        "recoveryplan.yaml",
        f"{_ROUTE53}.route53.records.1.recovery",
        {"ttl": 5},
        "give values, alias or weight",
    ),
    ("recoveryplan.yaml", f"{_ROUTE53}.route53.hostedZoneId", "orders", "hostedZoneId"),
    ("recoveryplan.yaml", "spec.drill.networks.0.securityGroupIds", [], "securityGroupIds"),
    ("recoveryplan.yaml", "spec.colour", "red", 'unknown field "spec.colour"'),
    ("recoveryplan.yaml", "spec.waves.0.wave", 1, 'unknown field "spec.waves[0].wave"'),
    ("recoveryplan.yaml", "metadata.name", "a" * 64, "must have at most 63 characters"),
    ("recoveryplan.yaml", "metadata.name", "orders.east", "must have at most 63 characters"),
    (
        "failover.yaml",
        "metadata.name",
        "a" * 64,
        "metadata.name must have at most 63 characters of a-z, 0-9 and -",
    ),
    ("failover.yaml", "spec.operation", "Explode", 'Unsupported value: "Explode"'),
    ("failover.yaml", "spec.startBefore", "tomorrow", "spec.startBefore"),
    ("failover.yaml", "spec.incident", "INC 1", "spec.incident"),
    ("targetaccounts.yaml", "spec.accountId", "12345", "spec.accountId"),
    ("targetaccounts.yaml", "spec.accountId", 111111111111, "must be of type string"),
    (
        "targetaccounts.yaml",
        "spec.readRoleArn",
        "arn:aws:iam::999999999999:role/LeewardRead",
        "readRoleArn must be a role of accountId",
    ),
    (
        "targetaccounts.yaml",
        "spec.recoveryRoleArn",
        "arn:aws:iam::999999999999:role/LeewardRecovery",
        "recoveryRoleArn must be a role of accountId",
    ),
    ("targetaccounts.yaml", "spec.recoveryRoleArn", "LeewardRecovery", "spec.recoveryRoleArn"),
    ("targetaccounts.yaml", "spec.allow.namespaces", [], "spec.allow.namespaces"),
]


@pytest.mark.parametrize(("file", "path", "value", "message"), _UNSUPPORTED + _BAD)
def test_what_must_not_be_written_is_refused_with_a_message(
    cluster: Cluster, file: str, path: str, value: Any, message: str
) -> None:
    stored = _example(file, "another")
    assert _refusal(cluster, stored) == ""
    _set(stored, path, value)
    assert message in _refusal(cluster, stored)


def test_lists_and_maps_without_effect_may_be_written_empty(cluster: Cluster) -> None:
    stored = _example("recoveryplan.yaml", "another")
    stored["spec"]["waves"][0] |= {"before": [], "after": []}
    stored["spec"] |= {"dependencies": [], "recoveryPhases": []}
    account = _example("targetaccounts.yaml", "another")
    account["spec"]["sessionTags"] = {}
    assert _refusal(cluster, stored) == ""
    assert _refusal(cluster, account) == ""


@pytest.mark.parametrize("file", ["recoveryplan.yaml", "failover.yaml", "targetaccounts.yaml"])
def test_what_the_models_write_is_accepted(cluster: Cluster, file: str) -> None:
    """All fields with their defaults, as the operator writes its own objects."""
    stored = _example(file, "another")
    model = KINDS[stored["kind"]].model_validate(stored)
    assert _refusal(cluster, stored | {"spec": model.spec.to_api()}) == ""


@pytest.mark.parametrize("file", ["failover.yaml", "drill.yaml"])
def test_the_spec_of_an_execution_never_changes(cluster: Cluster, file: str) -> None:
    stored = _example(file)
    changes: list[dict[str, Any]] = [{"reason": "another"}, {"mode": "Unplanned"}, {"waves": []}]
    for patch in changes:
        done = cluster.kubectl(
            *("patch", "drx", stored["metadata"]["name"], "-n", "orders", "--type=merge"),
            f"-p={json.dumps({'spec': patch})}",
            check=False,
        )
        assert "the spec of an execution never changes; create another execution" in done.stderr


def _without_marks(definition: dict[str, Any]) -> dict[str, Any]:
    """The CRD of a version that supports what this one does not."""

    def walk(node: Any) -> Any:
        if isinstance(node, list):
            return [walk(item) for item in node]
        if not isinstance(node, dict):
            return node
        kept = {key: walk(value) for key, value in node.items()}
        if "x-kubernetes-validations" in kept:
            rules = kept["x-kubernetes-validations"]
            kept["x-kubernetes-validations"] = [
                rule for rule in rules if _NOT_SUPPORTED not in rule["message"]
            ]
        return kept

    result: dict[str, Any] = walk(definition)
    return result


@pytest.fixture
def stored_by_a_newer_version(cluster: Cluster) -> Iterator[str]:
    """A plan with fields that this version's CRD, in force again, refuses to be written."""
    plan = _example("recoveryplan.yaml", "from-tomorrow")
    plan["spec"]["waves"][1] |= {"after": [_MANUAL]}
    plan["spec"]["launch"] = {"layers": []}
    now = crd.definition(KINDS["RecoveryPlan"])
    cluster.apply(_without_marks(now))
    # Each API server notices a changed CRD a moment after it is stored.
    _until(lambda: _refusal(cluster, plan), lambda refusal: not refusal)
    cluster.kubectl("create", "-f", "-", input=json.dumps(plan))
    cluster.apply(now)
    probe = plan | {"metadata": {"name": "probe", "namespace": "orders"}}
    _until(lambda: _refusal(cluster, probe), lambda refusal: _NOT_SUPPORTED in refusal)
    yield "from-tomorrow"
    cluster.kubectl("delete", "rp", "from-tomorrow", "-n", "orders")


def test_a_stored_unsupported_plan_takes_status_metadata_and_other_edits(
    cluster: Cluster, stored_by_a_newer_version: str
) -> None:
    def patch(body: dict[str, Any], *flags: str, check: bool = True) -> str:
        done = cluster.kubectl(
            *("patch", "rp", stored_by_a_newer_version, "-n", "orders", "--type=merge"),
            *(f"-p={json.dumps(body)}", *flags),
            check=check,
        )
        return done.stderr

    patch(
        {"status": {"summary": "seen", "unsupported": ["spec.launch: x"]}}, "--subresource=status"
    )
    patch({"metadata": {"labels": {"team": "dr"}, "annotations": {"note": "kept"}}})
    patch({"metadata": {"finalizers": ["leeward.dev/run"]}})
    patch({"metadata": {"finalizers": None}})
    patch({"spec": {"description": "Another description."}})
    waves = _example("recoveryplan.yaml")["spec"]["waves"]
    waves[1] |= {"after": [_MANUAL], "taskTimeout": "3h"}
    patch({"spec": {"waves": waves}})
    waves[0] |= {"after": [_MANUAL]}
    assert "spec.waves[0].after" in patch({"spec": {"waves": waves}}, check=False)

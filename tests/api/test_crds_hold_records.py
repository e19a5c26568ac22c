"""What the operator writes is stored whole."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from leeward.api import crd
from leeward.api.kinds import KINDS
from leeward.api.task import DRTask
from leeward_sandbox.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]
SMALL = Path(__file__).parents[2] / "examples" / "small"
_EXAMPLES = {
    "RecoveryPlan": "recoveryplan.yaml",
    "DRExecution": "failover.yaml",
    "TargetAccount": "targetaccounts.yaml",
    "DRSchedule": "drschedule.yaml",
}


def _task(name: str) -> dict[str, Any]:
    servers = [
        {"id": f"s-{n:017x}", "arn": f"arn:aws:drs:us-east-2:111111111111:source-server/s-{n:017x}"}
        for n in range(100)
    ]
    spec = {
        "executionRef": {"name": "orders-failover-1", "uid": "u"},
        "plan": "orders",
        "operation": "Failover",
        "mode": "Planned",
        "wave": "data",
        "waveOrdinal": 1,
        "recoveryPhase": "Instantiate",
        "technology": "drs",
        "account": "orders-data",
        "accountId": "111111111111",
        "region": "us-east-2",
        "sourceRegion": "us-east-1",
        "resources": servers,
    }
    metadata = {"name": name, "namespace": "orders"}
    made = {"apiVersion": "leeward.dev/v1alpha1", "kind": "DRTask", "metadata": metadata}
    return made | {"spec": DRTask.model_validate({"spec": spec}).spec.to_api()}


def test_a_task_is_stored_as_the_operator_writes_it_and_never_changes(cluster: Cluster) -> None:
    made = _task("orders-failover-1-w1-instantiate-drs-111111111111-use2-0")
    cluster.kubectl("create", "--validate=strict", "-f", "-", input=json.dumps(made))
    name = made["metadata"]["name"]
    stored = json.loads(cluster.kubectl("get", "drt", name, "-n", "orders", "-o", "json").stdout)
    assert stored["spec"] == made["spec"]
    patch = '{"spec": {"timeout": "9h"}}'
    done = cluster.kubectl(
        *("patch", "drt", name, "-n", "orders", "--type=merge", f"-p={patch}"), check=False
    )
    assert "the spec of a task never changes" in done.stderr


_SAMPLES = {
    "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$": "some-name",
    "^[0-9]{12}$": "111111111111",
    "^[a-z]{2}(-[a-z]+)+-[0-9]$": "us-east-1",
    "^arn:aws[a-z-]*:iam::[0-9]{12}:role/[\\w+=,.@/-]+$": "arn:aws:iam::111111111111:role/leeward",
    "^([0-9]+(\\.[0-9]+)?(h|m|s|ms))+$": "30m",
    "^i-[0-9a-f]{8,17}$": "i-0123456789abcdef0",
    "^subnet-[0-9a-f]{8,17}$": "subnet-0123456789abcdef0",
    "^sg-[0-9a-f]{8,17}$": "sg-0123456789abcdef0",
    "^[a-z][a-z0-9-]*\\.[a-z0-9-]+$": "m5.large",
    "^(arn:aws[a-z-]*:iam::[0-9]{12}:instance-profile/)?[\\w+=,.@/-]+$": "recovered",
    "^([0-9]{1,3}\\.){3}[0-9]{1,3}$": "10.0.0.10",
}


def _sample(schema: dict[str, Any]) -> Any:
    """A value with every field of the schema, and two of everything that may be many."""
    if "enum" in schema:
        return schema["enum"][0]
    if schema["type"] == "string":
        if schema.get("format") == "date-time":
            return "2026-03-01T02:00:00Z"
        return _SAMPLES[schema["pattern"]] if "pattern" in schema else "text"
    if schema["type"] == "array":
        items = [_sample(schema["items"]) for _ in range(2)]
        distinct = schema.get("x-kubernetes-list-type") != "map"
        return items if distinct else items[:1]
    if "additionalProperties" in schema:
        return {key: _sample(schema["additionalProperties"]) for key in ("dr:wave", "Name")}
    if schema["type"] == "object":
        return {name: _sample(child) for name, child in schema["properties"].items()}
    return {"integer": schema.get("minimum", 0), "boolean": True}[schema["type"]]


def _object(kind: str) -> dict[str, Any]:
    if kind == "DRTask":
        return _task("full-status")
    if kind == "RecoveryInventory":
        account = {"account": "orders-data", "accountId": "111111111111"}
        made: dict[str, Any] = {
            "apiVersion": "leeward.dev/v1alpha1",
            "kind": kind,
            "metadata": {"namespace": "orders"},
            "spec": {"planRef": {"name": "orders"}, **account},
        }
    else:
        text = (SMALL / _EXAMPLES[kind]).read_text()
        made = next(iter(yaml.safe_load_all(text)))
    made["metadata"]["name"] = "full-status"
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_a_status_with_every_field_is_stored_whole(cluster: Cluster, kind: str) -> None:
    made = _object(kind)
    cluster.kubectl("create", "--validate=strict", "-f", "-", input=json.dumps(made))
    schema = crd.definition(KINDS[kind])["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    status = _sample(schema["properties"]["status"])
    where = [KINDS[kind].PLURAL, "full-status", "-n", "orders"]
    cluster.kubectl(
        *("patch", *where, "--subresource=status", "--type=merge"),
        f"-p={json.dumps({'status': status})}",
    )
    stored = json.loads(cluster.kubectl("get", *where, "-o", "json").stdout)["status"]
    assert stored == status
    assert KINDS[kind].model_validate(made | {"status": stored}).status.to_api() == status

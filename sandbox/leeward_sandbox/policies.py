"""Waits until the API server enforces Leeward's admission policies."""

import json
import time
from collections.abc import Mapping
from typing import Any

from leeward_sandbox.cluster import Cluster, ExistingCluster
from leeward_sandbox.cluster.progress import Progress

_SECONDS = 60.0
_POLL_SECONDS = 0.05


def _probe(kind: str, spec: Mapping[str, Any], **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "leeward.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": "probe", "namespace": "default", **metadata},
        "spec": spec,
    }


_TASK = {
    "executionRef": {"name": "probe", "uid": "probe"},
    **{"plan": "probe", "operation": "Test", "mode": "Planned", "wave": "probe"},
    **{"waveOrdinal": 1, "recoveryPhase": "Instantiate", "technology": "drs"},
    **{"account": "probe", "accountId": "999999999999", "region": "us-east-2"},
    "sourceRegion": "us-east-1",
}
_PROBES = (
    (
        "leeward-requests.leeward.dev",
        _probe(
            "DRExecution",
            {"planRef": {"name": "probe"}, "operation": "Test"},
            annotations={"leeward.dev/requested-by": "nobody"},
        ),
    ),
    ("leeward-record.leeward.dev", _probe("DRTask", _TASK)),
)
"""Policies that refuse a creation as a dry run, and what they refuse."""
_STAMPED = _probe("DRExecution", {"planRef": {"name": "probe"}, "operation": "Test"})
_SCHEMA_NOT_KNOWN = "There can be a delay between when CustomResourceDefinitions are created"
"""Of a mutating policy that has not read the schema of a new CRD yet."""


def await_policies(cluster: Cluster | ExistingCluster, progress: Progress) -> None:
    """Wait until the policies bite, each of which the API server takes up in its own time.

    What somebody wrote before that would have been neither stamped nor checked. Policies that are
    not installed are not waited for; one that never bites is reported, not raised.
    """
    installed = cluster.kubectl("get", "validatingadmissionpolicies", "-o", "name").stdout
    began, waiting = time.monotonic(), [p for p in _PROBES if p[0] in installed]
    while waiting and time.monotonic() - began < _SECONDS:
        waiting = [(name, body) for name, body in waiting if not _refuses(cluster, name, body)]
        time.sleep(_POLL_SECONDS)
    while not _stamps(cluster) and time.monotonic() - began < _SECONDS:
        time.sleep(_POLL_SECONDS)
    for name, _ in waiting:
        progress(f"policy {name} was not in force after {_SECONDS:.0f} s")


def _refuses(cluster: Cluster | ExistingCluster, policy: str, body: Mapping[str, Any]) -> bool:
    return policy in _said(cluster, body)


def _stamps(cluster: Cluster | ExistingCluster) -> bool:
    return _SCHEMA_NOT_KNOWN not in _said(cluster, _STAMPED)


def _said(cluster: Cluster | ExistingCluster, body: Mapping[str, Any]) -> str:
    """What is said against creating it, as a dry run."""
    command = ("create", "--dry-run=server", "-f", "-")
    return cluster.kubectl(*command, input=json.dumps(body), check=False).stderr

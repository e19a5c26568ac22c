"""kstatus' rules for custom resources, by which Helm and Flux wait.

Source: https://github.com/fluxcd/cli-utils/blob/v1.2.2/pkg/kstatus/status (generic.go, status.go);
`make test-gitops` compares this with the real one.
"""

from __future__ import annotations

from typing import Any


def compute(obj: dict[str, Any]) -> str:
    """Terminating, InProgress, Failed or Current."""
    metadata, status = obj["metadata"], obj.get("status") or {}
    if metadata.get("deletionTimestamp"):
        return "Terminating"
    generation, observed = metadata.get("generation"), status.get("observedGeneration")
    if generation is not None and observed is not None and observed != generation:
        return "InProgress"
    conditions = status.get("conditions") or []
    for condition in conditions:
        if condition["type"] == "Reconciling" and condition["status"] == "True":
            return "InProgress"
        if condition["type"] == "Stalled" and condition["status"] == "True":
            return "Failed"
    for condition in conditions:
        if condition["type"] == "Ready":
            return "Current" if condition["status"] == "True" else "InProgress"
    return "Current"

"""Whether all who wait for an object come to the same verdict."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from leeward import argocd
from leeward.api.common import Model, Resource
from verdicts import kstatus, lua

CUSTOMIZATIONS = Path(str(argocd.customizations()))
_ARGO_CD = {
    "Current": {"Healthy"},
    "Failed": {"Degraded"},
    # Who waits for a person is told so by Argo CD alone.
    "InProgress": {"Progressing", "Suspended"},
}
_WAITED_FOR = {"DRExecution": "Succeeded", "DRTask": "Succeeded"}


def conflicts_of(obj: Resource, status: Model) -> list[str]:
    """`conflicts` of a model, if it had that status."""
    body = obj.model_copy(update={"status": status, "kind": type(obj).KIND}).to_api()
    return list(conflicts(body))


def conflicts(obj: dict[str, Any]) -> Iterator[str]:
    """What two judges of an object, or its own conditions, say against each other."""
    metadata, status = obj["metadata"], obj.get("status") or {}
    told = {c["type"]: c for c in status.get("conditions") or []}
    holds = {name: condition["status"] == "True" for name, condition in told.items()}
    verdict = kstatus.compute(obj)
    if verdict == "Terminating":
        return
    health = lua.health(CUSTOMIZATIONS / obj["kind"], obj)
    if health["status"] not in _ARGO_CD[verdict]:
        yield f"kstatus says {verdict}, Argo CD {health['status']}"
    observed = status.get("observedGeneration")
    if observed is None:
        yield "status has no observedGeneration"
    elif observed > metadata["generation"]:
        yield "status speaks of a generation that is not there yet"
    if observed != metadata["generation"]:
        return
    goal = _WAITED_FOR.get(obj["kind"], "Ready")
    if holds.get(goal, False) != (verdict == "Current"):
        yield f"kubectl wait --for=condition={goal}: {holds.get(goal)}, kstatus says {verdict}"
    if holds.get("Stalled", False) != (verdict == "Failed"):
        yield f"kubectl wait --for=condition=Stalled: {holds.get('Stalled')}, kstatus {verdict}"
    yield from _against_each_other(told, holds)


def _against_each_other(told: dict[str, Any], holds: dict[str, bool]) -> Iterator[str]:
    """The rules of Flux's checker (fluxcd/pkg, runtime/conditions/check)."""
    if "Ready" not in told:
        yield "there is no Ready"
    for name in ("Reconciling", "Stalled"):
        if name in told and not holds[name]:
            yield f"{name} is there and is not True"
        if holds.get(name) and holds.get("Ready"):
            yield f"{name} and Ready are both True"
    if told.get("Ready", {}).get("status") == "False" and not {"Reconciling", "Stalled"} & {*told}:
        yield "Ready=False, and neither Reconciling nor Stalled"
    if holds.get("Reconciling") and holds.get("Stalled"):
        yield "Reconciling and Stalled are both True"
    if holds.get("Stalled") and told.get("Ready", {}).get("status") != "False":
        yield "Stalled without Ready=False"
    for name, condition in told.items():
        if not condition.get("reason") or condition.get("observedGeneration") is None:
            yield f"{name} lacks a reason or its observedGeneration"

"""What parts of the engine find around them when a test has them work beside a real API server."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

from leeward.api.execution import DRExecution
from leeward.api.plan import RecoveryPlan
from leeward.api.task import DRTask, DRTaskSpec
from leeward.engine.context import Context
from leeward.engine.events import Recorder
from leeward.engine.kube import Kube, path_of
from leeward.engine.objects import LIVE_LABEL, Held, read

NAMESPACE = "default"
NOW = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)


def surroundings(kube: Kube) -> Context:
    """Those of a leader with a valid Lease, whose clock stands at `NOW`."""
    leading = SimpleNamespace(assert_valid=lambda: None)
    recorder = Recorder(kube, "test")
    return cast(
        Context, SimpleNamespace(kube=kube, lease=leading, recorder=recorder, now=lambda: NOW)
    )


async def execution(
    kube: Kube, name: str, spec: dict[str, Any], status: dict[str, Any] | None = None
) -> Held[DRExecution]:
    """An execution of the plan `orders`, with that status."""
    body = _object("DRExecution", name, {"planRef": {"name": "orders"}, **spec})
    await _created(kube, "drexecutions", body, status)
    return await read(kube, DRExecution, NAMESPACE, name)


async def live_task(kube: Kube, name: str, spec: DRTaskSpec) -> Held[DRTask]:
    """A task of a live run."""
    body = _object("DRTask", name, spec.to_api())
    body["metadata"]["labels"] = {LIVE_LABEL: "true"}
    await _created(kube, "drtasks", body, None)
    return await read(kube, DRTask, NAMESPACE, name)


async def plan(kube: Kube, name: str, holder: Held[DRExecution] | None) -> Held[RecoveryPlan]:
    """A plan that an execution holds, or (None) no one."""
    spec = {
        "customer": "acme",
        "environment": "production",
        "regions": {"primary": "us-east-1", "recovery": "us-east-2"},
        "accounts": [{"name": "prod"}],
        "waves": [{"name": "data"}],
    }
    body = _object("RecoveryPlan", name, spec)
    status = None
    if holder is not None:
        metadata = holder.model.metadata
        status = {"activeExecution": {"name": metadata.name, "uid": metadata.uid}}
    await _created(kube, "recoveryplans", body, status)
    return await read(kube, RecoveryPlan, NAMESPACE, name)


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE}
    return {
        "apiVersion": "leeward.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec
    }  # fmt: skip


async def _created(
    kube: Kube, plural: str, body: dict[str, Any], status: dict[str, Any] | None
) -> None:
    made = await kube.create(path_of(plural, NAMESPACE), body)
    if status:
        path = path_of(plural, NAMESPACE, body["metadata"]["name"])
        await kube.replace(f"{path}/status", {**made, "status": status})

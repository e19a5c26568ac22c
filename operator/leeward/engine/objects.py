"""Objects as they were read, with what is needed to write them back by compare-and-set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from leeward.api.account import TargetAccount
from leeward.api.common import API_VERSION, PREFIX, Model
from leeward.api.execution import DRExecution
from leeward.api.inventory import RecoveryInventory
from leeward.api.plan import RecoveryPlan
from leeward.api.task import DRTask
from leeward.engine.kube import Kube, Object, path_of
from leeward.planning.digests import digest

EXECUTION_LABEL = f"{PREFIX}execution"
PLAN_LABEL = f"{PREFIX}plan"
LIVE_LABEL = f"{PREFIX}live"
INCIDENT_LABEL = f"{PREFIX}incident"

K = TypeVar(
    "K", RecoveryPlan, DRExecution, DRTask, RecoveryInventory, TargetAccount, covariant=True
)


@dataclass(frozen=True, slots=True)
class Held(Generic[K]):
    """An object as the server gave it, and the same as a model."""

    raw: Object
    model: K

    @property
    def path(self) -> str:
        """Path of the object."""
        metadata = self.raw["metadata"]
        return path_of(self.model.PLURAL, metadata.get("namespace"), metadata["name"])

    @property
    def version(self) -> str:
        """Its resourceVersion."""
        return str(self.raw["metadata"]["resourceVersion"])


def hold(kind: type[K], raw: Object) -> Held[K]:
    """`raw` with its model."""
    return Held(raw, kind.model_validate(raw))


async def read(kube: Kube, kind: type[K], namespace: str | None, name: str) -> Held[K]:
    """The object of that name, from the quorum. Raises `ApiError` 404 when there is none."""
    return hold(kind, await kube.get(path_of(kind.PLURAL, namespace, name)))


async def read_all(
    kube: Kube, kind: type[K], namespace: str | None, selector: str | None = None
) -> list[Held[K]]:
    """All objects of a kind, in one namespace or (None) in all."""
    bodies = await kube.list(path_of(kind.PLURAL, namespace), selector=selector)
    return [hold(kind, b) for b in bodies]


async def put_status(kube: Kube, held: Held[K], status: Model) -> Held[K]:
    """Write the whole status if it differs from what was read; `ApiError` 409 if it moved on."""
    wanted = status.to_api()
    if wanted == held.model.status.to_api() and "status" in held.raw:
        return held
    raw = await kube.replace(f"{held.path}/status", held.raw | {"status": wanted})
    return hold(type(held.model), raw)


async def patch_metadata(kube: Kube, held: Held[K], metadata: Object) -> Held[K]:
    """Merge `metadata` into the object's, unless it moved on."""
    raw = await kube.patch(held.path, {"metadata": metadata}, resource_version=held.version)
    return hold(type(held.model), raw)


def label_value(text: str) -> str:
    """`text` as a label's value: itself, or a hash where it is longer than 63 characters."""
    return text if len(text) <= 63 else digest(text)[7:47]


def new_object(kind: type[K], namespace: str | None, name: str, spec: Model) -> Object:
    """A fresh object of a kind, without status."""
    metadata: Object = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {
        "apiVersion": API_VERSION,
        "kind": kind.KIND,
        "metadata": metadata,
        "spec": spec.to_api(),
    }

"""Objects as they were read, with what is needed to write them back by compare-and-set."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from leeward.api.account import TargetAccount
from leeward.api.common import API_VERSION, PREFIX, Model, ObjectMeta
from leeward.api.execution import DRExecution
from leeward.api.inventory import RecoveryInventory
from leeward.api.plan import RecoveryPlan
from leeward.api.schedule import DRSchedule
from leeward.api.task import DRTask
from leeward.engine.kube import Kube, Object, path_of
from leeward.planning.digests import digest

EXECUTION_LABEL = f"{PREFIX}execution"
PLAN_LABEL = f"{PREFIX}plan"
LIVE_LABEL = f"{PREFIX}live"
INCIDENT_LABEL = f"{PREFIX}incident"
ENDED_LABEL = f"{PREFIX}ended"
"""On executions of which the operator wants nothing any more: it neither lists nor watches them."""
NOT_ENDED = f"!{ENDED_LABEL}"

_BODIES = 25
"""Whole objects that are listed at a time: those of a page are in memory as text, too."""

K = TypeVar(
    "K",
    RecoveryPlan,
    DRExecution,
    DRTask,
    RecoveryInventory,
    TargetAccount,
    DRSchedule,
    covariant=True,
)


@dataclass(frozen=True, slots=True)
class Held(Generic[K]):
    """An object as the server gave it: a model, and what of it the next write must carry."""

    raw: Object
    """apiVersion, kind and metadata (without managedFields); `status` is empty, or not there where
    the server has none. Of thousands of objects one copy of the rest is enough."""
    model: K
    behind: Model | None = None
    """The server's status, where the model's is ahead of it: the next write takes that along."""

    @property
    def path(self) -> str:
        """Path of the object."""
        metadata = self.raw["metadata"]
        return path_of(self.model.PLURAL, metadata.get("namespace"), metadata["name"])

    @property
    def version(self) -> str:
        """Its resourceVersion."""
        return str(self.raw["metadata"]["resourceVersion"])

    @property
    def stored(self) -> Any:
        """The status that the server holds."""
        return self.model.status if self.behind is None else self.behind

    def ahead(self, status: Model) -> Held[K]:
        """The object with a status that is not written yet."""
        model = self.model.model_copy(update={"status": status})
        return replace(self, model=model, behind=self.stored)

    def written(self, metadata: Object, status: Model | None = None) -> Held[K]:
        """The object after a write to which the server answered with its new metadata."""
        update: Object = {"metadata": ObjectMeta.model_validate(metadata)}
        if status is None:
            raw = self.raw | {"metadata": metadata}
            return replace(self, raw=_slim(raw), model=self.model.model_copy(update=update))
        raw = self.raw | {"metadata": metadata, "status": {}}
        return Held(_slim(raw), self.model.model_copy(update=update | {"status": status}))


def hold(kind: type[K], raw: Object) -> Held[K]:
    """`raw` as its model."""
    return Held(_slim(raw), kind.model_validate(raw))


def _slim(raw: Object) -> Object:
    metadata = {k: v for k, v in raw["metadata"].items() if k != "managedFields"}
    kept = {k: raw[k] for k in ("apiVersion", "kind") if k in raw} | {"metadata": metadata}
    return kept | ({"status": {}} if "status" in raw else {})


async def read(kube: Kube, kind: type[K], namespace: str | None, name: str) -> Held[K]:
    """The object of that name, from the quorum. Raises `ApiError` 404 when there is none."""
    return hold(kind, await kube.get(path_of(kind.PLURAL, namespace, name)))


async def read_all(
    kube: Kube, kind: type[K], namespace: str | None, selector: str | None = None
) -> list[Held[K]]:
    """All objects of a kind, in one namespace or (None) in all."""
    return [held async for held in read_each(kube, kind, namespace, selector)]


async def read_each(
    kube: Kube, kind: type[K], namespace: str | None, selector: str | None = None
) -> AsyncIterator[Held[K]]:
    """The same one after the other: of thousands no more than a page is in memory."""
    path = path_of(kind.PLURAL, namespace)
    async for body in kube.each(path, selector=selector, at_once=_BODIES):
        yield hold(kind, body)


async def put_status(kube: Kube, held: Held[K], status: Model) -> Held[K]:
    """Write the whole status if it differs from what was read; `ApiError` 409 if it moved on.

    The spec is not sent along, nor anything but metadata read back: a task's body is tens of KB.
    """
    wanted = status.to_api()
    if wanted == held.stored.to_api() and "status" in held.raw:
        return replace(held, behind=None)
    body = held.raw | {"status": wanted}
    answer = await kube.replace(f"{held.path}/status", body, whole=False)
    return held.written(answer["metadata"], status)


async def patch_metadata(kube: Kube, held: Held[K], metadata: Object) -> Held[K]:
    """Merge `metadata` into the object's, unless it moved on."""
    answer = await kube.patch(
        held.path, {"metadata": metadata}, resource_version=held.version, whole=False
    )
    return held.written(answer["metadata"])


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

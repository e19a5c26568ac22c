"""Resources and settings of tasks as adapters see them."""

from __future__ import annotations

from typing import Final

from leeward.api.inventory import InventoryResource
from leeward.api.task import DRTaskSpec, TaskResource
from leeward.api.tasks import BLOCKS
from leeward_adapters.base import Target

_BLOCKS: Final = {"drill_network", *BLOCKS.values()}


def settings_of(spec: DRTaskSpec) -> dict[str, object]:
    """The blocks of a task's spec, camelCase as in the API."""
    return spec.model_dump(mode="json", by_alias=True, exclude_none=True, include=_BLOCKS)


def target_of(resource: TaskResource | InventoryResource) -> Target:
    """The resource of a task, or of an inventory, as a step or a readiness check takes it."""
    launch = resource.launch.to_api() if resource.launch else {}
    return Target(
        resource.id, resource.arn, resource.name, dict(resource.attributes), settings=launch
    )

"""Resources as adapters see them."""

from __future__ import annotations

from leeward.api.inventory import InventoryResource
from leeward.api.task import TaskResource
from leeward_adapters.base import Target


def target_of(resource: TaskResource | InventoryResource) -> Target:
    """The resource of a task, or of an inventory, as a step or a readiness check takes it."""
    launch = resource.launch.to_api() if resource.launch else {}
    return Target(
        resource.id, resource.arn, resource.name, dict(resource.attributes), settings=launch
    )

"""AWS Resource Explorer, which moto does not have."""

from leeward_sandbox.aws.resource_explorer.backend import ResourceExplorerBackend
from leeward_sandbox.aws.resource_explorer.settings import ResourceExplorerSettings

__all__ = ["ResourceExplorerBackend", "ResourceExplorerSettings"]

"""What an estate may set about Resource Explorer."""

from __future__ import annotations

from pydantic import Field

from leeward_sandbox.aws.drs.settings import Setting


class ResourceExplorerSettings(Setting):
    """Switches of Resource Explorer.

    Attributes:
        rate_limits: enforce 5 Search and 3 other calls per virtual second, account and Region.
        indexing_lag: seconds from a change until the index shows it.
        lingering: seconds that a deleted resource stays in the index.
        organization: ARN of the organisation; views of that scope see all accounts.
        administrator: the account that may create views of organisation scope.
    """

    rate_limits: bool = False
    indexing_lag: float = Field(default=60.0, ge=0)
    lingering: float = Field(default=600.0, ge=0)
    organization: str | None = None
    administrator: str | None = None

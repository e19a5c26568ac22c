"""AWS Elastic Disaster Recovery, which moto does not have."""

from leeward_sandbox.aws.drs.backend import DrsBackend
from leeward_sandbox.aws.drs.seeding import SourceServerSpec
from leeward_sandbox.aws.drs.settings import (
    DrsSettings,
    FaultPlan,
    LaunchSettings,
    Pages,
    Quotas,
    Replication,
    ReplicationState,
)

__all__ = [
    "DrsBackend",
    "DrsSettings",
    "FaultPlan",
    "LaunchSettings",
    "Pages",
    "Quotas",
    "Replication",
    "ReplicationState",
    "SourceServerSpec",
]

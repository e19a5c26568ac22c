"""A DynamoDB global table (version 2019.11.21) with a replica in the recovery Region."""

from __future__ import annotations

from typing import Final

from botocore.exceptions import ClientError

from leeward_adapters.base import Scope
from leeward_adapters.dependencies.contract import Dependency, Verdict
from leeward_adapters.ec2 import place

PERMISSIONS: Final = frozenset({"dynamodb:DescribeTable"})
_USABLE: Final = frozenset({"ACTIVE", "UPDATING"})


def check(scope: Scope, dependency: Dependency) -> Verdict:
    """Whether the table (name or ARN) is usable in the recovery Region, as a replica.

    Every replica takes reads and writes, so nothing is to be activated. How far it lags, no metric
    says with certainty (DynamoDB developer guide, global tables); it is not asked for.
    """
    name = dependency.target.rpartition("/")[2]
    try:
        table = scope.client("dynamodb").describe_table(TableName=name)["Table"]
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "ResourceNotFoundException":
            raise
        message = f"there is no table {name} in {place(scope)}: add that Region as a replica"
        return Verdict(False, message)
    what = f"table {name} in {place(scope)}"
    # Whether AWS lists the Region that it was asked in is not documented: it is what was found.
    replicas = {r["RegionName"]: r.get("ReplicaStatus", "") for r in table.get("Replicas", [])}
    here = replicas.get(scope.region, "ACTIVE")
    if table["TableStatus"] not in _USABLE or here not in _USABLE:
        message = f"{what} is {table['TableStatus']}, its replica {here}: wait, or mend it there"
        return Verdict(False, message)
    if dependency.primary_region not in replicas:
        message = (
            f"{what} has no replica in {dependency.primary_region} (only "
            f"{', '.join(sorted(replicas)) or 'itself'}), so what is written there is not in it: "
            "make it a global table over both Regions"
        )
        return Verdict(False, message)
    return Verdict(True, f"{what} is {table['TableStatus']} and replicates {sorted(replicas)}")

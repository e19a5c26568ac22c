"""An Aurora global database with a member in the recovery Region that could take over.

https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-global-database-disaster-recovery.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from botocore.exceptions import ClientError

from leeward_adapters.base import Scope
from leeward_adapters.dependencies.contract import Dependency, Verdict
from leeward_adapters.ec2 import place

PERMISSIONS: Final = frozenset(
    {"rds:DescribeDBClusters", "rds:DescribeDBInstances", "rds:DescribeGlobalClusters"}
)


def check(scope: Scope, dependency: Dependency) -> Verdict:
    """Whether the global database (its identifier) could be failed over to there."""
    name = dependency.target.rpartition(":")[2]
    whole = _global_cluster(scope, name)
    if whole is None:
        return Verdict(False, f"there is no global database {name} as {place(scope)} sees it")
    what = f"global database {name} in {place(scope)}"
    if whole.get("FailoverState"):
        state = whole["FailoverState"].get("Status", "under way")
        return Verdict(False, f"a failover of {what} is {state}: wait for its end")
    member = _member(scope, whole.get("GlobalClusterMembers", []))
    if member is None:
        return Verdict(False, f"{what} has no member cluster: add a secondary one")
    connected = member.get("SynchronizationStatus", "not told")
    if not member.get("IsWriter") and connected != "connected":
        message = f"the member of {what} is {connected}, not connected: see its events in RDS"
        return Verdict(False, message)
    return _cluster(scope, str(member["DBClusterArn"]).rpartition(":")[2], what)


def _global_cluster(scope: Scope, name: str) -> Mapping[str, Any] | None:
    try:
        answer = scope.client("rds").describe_global_clusters(GlobalClusterIdentifier=name)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == "GlobalClusterNotFoundFault":
            return None
        raise
    found = answer["GlobalClusters"]
    return next((one for one in found if one["GlobalClusterIdentifier"] == name.lower()), None)


def _member(scope: Scope, members: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    return next((m for m in members if m["DBClusterArn"].split(":")[3] == scope.region), None)


def _cluster(scope: Scope, cluster: str, what: str) -> Verdict:
    rds = scope.client("rds")
    status = rds.describe_db_clusters(DBClusterIdentifier=cluster)["DBClusters"][0]["Status"]
    pages = rds.get_paginator("describe_db_instances").paginate(
        Filters=[{"Name": "db-cluster-id", "Values": [cluster]}]
    )
    states = [i["DBInstanceStatus"] for page in pages for i in page["DBInstances"]]
    said = f"cluster {cluster} of {what} is {status}, with {states.count('available')} instances"
    if status != "available":
        return Verdict(False, f"{said}: wait until it is available")
    if "available" not in states:
        return Verdict(
            False, f"{said} that are available: a member without one cannot take over; add one"
        )
    return Verdict(True, said)

"""A bucket in the recovery Region that another bucket is replicated into."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from botocore.exceptions import ClientError

from leeward_adapters.base import Scope
from leeward_adapters.dependencies.contract import Dependency, Verdict
from leeward_adapters.ec2 import place

PERMISSIONS: Final = frozenset({"s3:GetBucketVersioning", "s3:GetReplicationConfiguration"})
_MISSING: Final = frozenset({"NoSuchBucket", "ReplicationConfigurationNotFoundError"})


def check(scope: Scope, dependency: Dependency) -> Verdict:
    """Whether the bucket (its name) is there and versioned, and is replicated into.

    Parameter: `source`, the bucket in the primary Region. Its rules are asked for there, so while
    that Region is down the check gets no answer; without `source` only the replica is looked at.
    """
    bucket, source = dependency.target, dependency.parameters.get("source", "")
    what = f"bucket {bucket} in {place(scope)}"
    try:
        versioning = scope.client("s3").get_bucket_versioning(Bucket=bucket).get("Status", "")
        if versioning != "Enabled":
            message = f"{what} is not versioned, and replication needs that: enable versioning"
            return Verdict(False, message)
        if not source:
            return Verdict(True, f"{what} is there and versioned")
        s3 = scope.client("s3", region=dependency.primary_region)
        rules = s3.get_bucket_replication(Bucket=source)["ReplicationConfiguration"]["Rules"]
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") not in _MISSING:
            raise
        message = f"{what} is not replicated into: {error.response['Error'].get('Message', '')}"
        return Verdict(False, message)
    if not _into(rules, f"arn:{scope.partition}:s3:::{bucket}"):
        message = f"bucket {source} has no enabled rule that replicates it into {bucket}: add one"
        return Verdict(False, message)
    return Verdict(True, f"bucket {source} is replicated into {what}")


def _into(rules: Iterable[Mapping[str, Any]], arn: str) -> bool:
    return any(r["Status"] == "Enabled" and r["Destination"]["Bucket"] == arn for r in rules)

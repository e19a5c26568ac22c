"""CloudWatch, as metrics of executions go to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from leeward_adapters import cloudwatch
from leeward_adapters.aws import Account
from leeward_adapters.cloudwatch import Datum, Statistics

pytestmark = pytest.mark.aws
HUB = {"Hub": "hub-a"}


def own(sandbox: Any) -> Any:
    """The operator's own account."""
    return sandbox.aws.scope(Account(id=""), "us-east-2")


def test_values_and_statistics_arrive(sandbox: Any) -> None:
    at = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=2)
    data = [
        Datum("ExecutionCount", 1, "Count", at, HUB),
        Datum("CrossAccountLatency", Statistics(2, 0.8, 0.2, 0.6), "Seconds", at, HUB),
    ]
    cloudwatch.put(own(sandbox), "Leeward", data)
    (call,) = sandbox.calls("PutMetricData")
    assert {f"{call['service']}:{call['operation']}"} == cloudwatch.PERMISSIONS
    watch = sandbox.client("cloudwatch", account="999999999999")
    found = watch.get_metric_statistics(
        Namespace="Leeward", MetricName="ExecutionCount", Period=60, Statistics=["Sum"],
        StartTime=at - timedelta(minutes=5), EndTime=at + timedelta(minutes=5),
        Dimensions=[{"Name": "Hub", "Value": "hub-a"}],
    )["Datapoints"]  # fmt: skip
    assert [point["Sum"] for point in found] == [1]


def test_a_refusal_is_raised_and_nothing_is_sent_again(sandbox: Any) -> None:
    sandbox.control.add_fault(
        service="cloudwatch", action="error", code="ThrottlingException", status=400
    )
    datum = Datum("ExecutionCount", 1, "Count", datetime.now(UTC), HUB)
    with pytest.raises(ClientError):
        cloudwatch.put(own(sandbox), "Leeward", [datum])
    assert len(sandbox.calls("PutMetricData")) == 1

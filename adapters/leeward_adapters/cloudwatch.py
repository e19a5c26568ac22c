"""Amazon CloudWatch: putting values of metrics of our own.

PutMetricData knows no doubles: what is put twice counts twice. So a call is never repeated, and
after one that leaves doubt nobody should try again.
Source: CloudWatch API reference, PutMetricData, MetricDatum, StatisticSet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from leeward_adapters.attribution import asking
from leeward_adapters.base import Scope

PERMISSIONS: Final = frozenset({"cloudwatch:PutMetricData"})
"""Knows no resources; confine it by the condition `cloudwatch:namespace`."""
MOST: Final = 500
"""Values of one call; AWS takes 1000, in at most 1 MB."""


Unit = Literal["Count", "Seconds", "None"]


@dataclass(frozen=True, slots=True)
class Statistics:
    """Some values of a metric, taken together."""

    count: int
    total: float
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Datum:
    """One value of one metric."""

    name: str
    value: float | Statistics
    unit: Unit
    at: datetime
    """CloudWatch takes what is at most two weeks old."""
    dimensions: Mapping[str, str]
    """At most 30; ASCII, no empty values."""


@asking("metrics")
def put(scope: Scope, namespace: str, data: Sequence[Datum]) -> None:
    """Put at most `MOST` values once.

    Args:
        scope: The account and Region in whose CloudWatch they are kept.
        namespace: CloudWatch's namespace of the metrics, 1 to 255 characters.
        data: The values.

    Raises:
        ClientError: AWS refused them.
        BotoCoreError: it was not reached, or gave no answer.

    """
    client = scope.client("cloudwatch", once=True)
    client.put_metric_data(Namespace=namespace, MetricData=[_entry(datum) for datum in data])


def _entry(datum: Datum) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "MetricName": datum.name,
        "Dimensions": [{"Name": k, "Value": v} for k, v in datum.dimensions.items()],
        "Timestamp": datum.at,
        "Unit": datum.unit,
    }
    if isinstance(datum.value, Statistics):
        return entry | {
            "StatisticValues": {
                "SampleCount": float(datum.value.count),
                "Sum": datum.value.total,
                "Minimum": datum.value.least,
                "Maximum": datum.value.most,
            }
        }
    return entry | {"Value": float(datum.value)}

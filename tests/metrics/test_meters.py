"""What the operator exports, in Prometheus's text format."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from leeward.api.execution import DRExecution
from leeward.metrics import definitions as d
from leeward.metrics.estate import Sample
from leeward.metrics.meters import PLACES, Meters
from leeward.metrics.runs import Ended, Started
from leeward_adapters.calls import Attempt, Outcome

PATIENCE = 30.0
PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def scraped(meters: Meters, *gauges: Sample) -> dict[tuple[str, tuple[str, ...]], float]:
    """By name and values of labels, sorted by their names."""
    text = meters.render(gauges).decode()
    return {
        (s.name, tuple(value for _, value in sorted(s.labels.items()))): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


def attempt(
    account: str = "111111111111", outcome: Outcome = "Ok", seconds: float = 0.2
) -> Attempt:
    return Attempt(account, "us-east-1", "drs", "DescribeJobs", seconds, outcome)


def a_run() -> DRExecution:
    return DRExecution.model_validate(
        {
            "metadata": {"name": "orders-1", "namespace": "orders"},
            "spec": {"planRef": {"name": "orders"}, "operation": "Failover"},
        }
    )


def test_every_metric_is_exported_with_its_help_even_before_it_has_a_value() -> None:
    text = Meters().render(()).decode()
    for metric in d.METRICS:
        assert f"# TYPE {metric.name} {metric.kind}\n" in text
        assert f"# HELP {metric.name} " in text
    assert "_created " not in text


def test_calls_to_aws_are_counted_by_place_and_outcome() -> None:
    meters = Meters()
    meters.aws(attempt())
    meters.aws(attempt(outcome="Throttled"))
    meters.aws(attempt(outcome="NotSent"))
    meters.aws(attempt(account=""))
    found = scraped(meters)
    place = ("111111111111",)
    rest = ("us-east-1", "drs")
    assert found["leeward_aws_calls_total", (*place, "Ok", *rest)] == 1
    assert found["leeward_aws_calls_total", (*place, "Throttled", *rest)] == 1
    assert found["leeward_aws_call_duration_seconds_count", (*place, *rest)] == 2
    assert found["leeward_aws_calls_total", ("own", "Ok", *rest)] == 1


def test_accounts_without_end_are_counted_together() -> None:
    meters = Meters()
    for number in range(PLACES + 20):
        meters.aws(attempt(account=f"{number:012}"))
    found = scraped(meters)
    assert found["leeward_aws_calls_total", ("other", "Ok", "other", "other")] == 20
    assert found["leeward_aws_calls_total", ("other", "Throttled", "other", "other")] == 0
    measured = [key for key in found if key[0] == "leeward_aws_call_duration_seconds_count"]
    assert len(measured) == PLACES + 1


def test_counters_of_a_tenant_begin_at_zero_so_that_the_first_increase_is_seen() -> None:
    meters = Meters()
    meters.tenant("orders")
    key = ("leeward_executions_ended_total", ("orders", "Failover", "Failed"))
    begun = scraped(meters)
    assert begun[key] == 0
    assert begun["leeward_execution_duration_seconds_count", ("Failover", "Failed")] == 0
    assert begun["leeward_execution_resources_total", ("orders", "Failover", "Complete")] == 0
    end = Ended("Failed", timedelta(minutes=90), timedelta(minutes=5), {"Complete": 2}, ("Failed",))
    meters.happened(a_run(), Started())
    meters.happened(a_run(), end)
    found = scraped(meters)
    assert found[key] == 1
    assert found["leeward_execution_duration_seconds_sum", ("Failover", "Failed")] == 5400
    assert found["leeward_execution_waves_total", ("orders", "Failover", "Failed")] == 1


def test_a_gauge_that_nothing_says_any_more_is_not_exported() -> None:
    meters = Meters()
    key = ("leeward_plan_resources", ("orders", "orders"))
    assert scraped(meters, Sample(d.PLAN_RESOURCES, ("orders", "orders"), 45))[key] == 45
    assert key not in scraped(meters)


def test_no_call_waits_to_be_counted_until_everything_is_rendered() -> None:
    meters = Meters()
    counted: list[bool] = []

    class WhileRendering(tuple[Sample, ...]):
        def __iter__(self) -> Iterator[Sample]:
            call = threading.Thread(target=meters.aws, args=[attempt()], daemon=True)
            call.start()
            call.join(PATIENCE)
            counted.append(not call.is_alive())
            return iter(())

    meters.render(WhileRendering())

    assert counted == [True]


@pytest.mark.parametrize("metric", d.METRICS, ids=lambda metric: str(metric.name))
def test_names_and_labels_keep_to_prometheuss_practices(metric: d.Metric) -> None:
    assert re.fullmatch(r"leeward_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    if metric.kind == "histogram":
        assert metric.name.endswith("_seconds")
        assert metric.buckets == tuple(sorted(metric.buckets))
    assert metric.help.endswith(".") or metric.help.endswith("version.")
    assert len(set(metric.labels)) == len(metric.labels)


def test_the_page_of_metrics_lists_each_with_its_labels_and_no_other() -> None:
    rows = re.findall(r"^\| `(leeward_\w+)` \| (\w+) \| ([^|]*) \|", PAGE.read_text(), re.MULTILINE)
    listed = {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert listed == {metric.name: (metric.kind, metric.labels) for metric in d.METRICS}

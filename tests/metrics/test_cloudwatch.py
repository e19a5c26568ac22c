"""Metrics of executions in CloudWatch: each value once, dropped rather than counted twice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.parsers import ResponseParserError

from leeward.api.execution import DRExecution
from leeward.metrics import cloudwatch
from leeward.metrics.cloudwatch import Publisher
from leeward.metrics.runs import Ended, GateAsked, GateEnded, Started
from leeward_adapters.breaker import CircuitOpenError
from leeward_adapters.calls import Attempt
from leeward_adapters.cloudwatch import Datum, Statistics

AT = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
RUN = DRExecution.model_validate(
    {
        "metadata": {"name": "orders-1", "namespace": "orders"},
        "spec": {"planRef": {"name": "orders"}, "operation": "Failover"},
    }
)
END = Ended("Failed", timedelta(minutes=90), timedelta(), {"Complete": 3, "Failed": 1}, ("Failed",))


class Watch:
    """A CloudWatch that does what the test says."""

    def __init__(self) -> None:
        self.took: list[Datum] = []
        self.errors: list[Exception] = []
        self.counted: dict[str, int] = {}
        self.publisher = Publisher(self._put, "hub-a", lambda: AT, self._count)

    def _put(self, data: Sequence[Datum]) -> None:
        if self.errors:
            raise self.errors.pop()
        self.took += data

    def _count(self, outcome: str, number: int) -> None:
        self.counted[outcome] = self.counted.get(outcome, 0) + number

    def publish(self) -> None:
        asyncio.run(self.publisher.publish())

    def values(self, **dimensions: str) -> dict[str, Any]:
        """By name: the values with exactly these dimensions beside the hub's."""
        wanted = {"Hub": "hub-a", **dimensions}
        return {d.name: d.value for d in self.took if d.dimensions == wanted}


def test_all_that_happens_to_an_execution_is_told_as_a_whole_and_by_tenant() -> None:
    watch = Watch()
    for what in (Started(), GateAsked(), GateEnded("TimedOut", timedelta(minutes=30)), END):
        watch.publisher.happened(RUN, what)
    watch.publish()
    told = {
        "ExecutionCount": 1, "ApprovalTimeout": 1, "ExecutionSuccess": 0, "ExecutionFailure": 1,
        "ExecutionDuration": 90, "ResourceCount": 4, "WaveCount": 1,
    }  # fmt: skip
    assert watch.values() == told
    assert watch.values(Namespace="orders", Operation="Failover") == told
    watch.publish()
    assert watch.counted == {"Sent": 14}


def test_latency_of_a_minute_is_one_value_for_each_account() -> None:
    watch = Watch()
    for account, seconds in (("111111111111", 0.2), ("111111111111", 0.6), ("", 9.0)):
        attempt = Attempt(account, "us-east-1", "drs", "DescribeJobs", seconds, "Ok")
        watch.publisher.aws(attempt)
    watch.publish()
    (datum,) = watch.took
    assert datum.dimensions == {"Hub": "hub-a", "AccountId": "111111111111"}
    assert datum.value == Statistics(2, pytest.approx(0.8), 0.2, 0.6)


def test_what_was_not_sent_waits_and_what_may_have_arrived_is_dropped() -> None:
    watch = Watch()
    closed = CircuitOpenError(
        service="cloudwatch", region="us-east-2", failures=5, cause="ReadTimeoutError", seconds=5.0
    )
    watch.publisher.happened(RUN, Started())
    watch.errors = [closed]
    watch.publish()
    assert watch.counted == {}
    watch.publish()
    assert watch.counted == {"Sent": 2}

    watch.publisher.happened(RUN, Started())
    watch.errors = [ReadTimeoutError(endpoint_url="http://cloudwatch")]
    watch.publish()
    watch.publish()
    assert watch.counted == {"Sent": 2, "Dropped": 2}


def test_a_refusal_drops_the_values_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    watch = Watch()
    answer: Any = {
        "Error": {"Code": "AccessDenied", "Message": "cloudwatch:PutMetricData"},
        "ResponseMetadata": {"HTTPStatusCode": 403},
    }
    watch.publisher.happened(RUN, Started())
    watch.errors = [ClientError(answer, "PutMetricData")]
    watch.publish()
    assert watch.counted == {"Dropped": 2}
    assert "AccessDenied: cloudwatch:PutMetricData" in caplog.text


def test_the_oldest_values_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloudwatch, "ROOM", 4)
    watch = Watch()
    for _ in range(3):
        watch.publisher.happened(RUN, Started())
    watch.publish()
    assert watch.counted == {"Dropped": 2, "Sent": 4}


def test_an_error_that_is_not_aws_s_is_logged_once_and_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cloudwatch, "EVERY", 0)
    watch = Watch()
    watch.errors = [ResponseParserError("a proxy's page"), LookupError("no such metric")]

    async def scenario() -> None:
        forever = asyncio.create_task(watch.publisher.publish_forever())
        async with asyncio.timeout(60):
            while not watch.took:
                watch.publisher.happened(RUN, Started())
                await asyncio.sleep(0.01)
        assert not forever.done()
        forever.cancel()

    asyncio.run(scenario())
    (record,) = [r for r in caplog.records if r.name == cloudwatch.__name__]
    assert record.exc_info is not None
    assert watch.counted["Dropped"] >= 4

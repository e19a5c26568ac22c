"""Counts what happens in this process, and renders everything in Prometheus's text format."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from leeward.api.execution import DRExecution
from leeward.metrics import definitions as d
from leeward.metrics.estate import Sample
from leeward.metrics.runs import Ended, GateAsked, GateEnded, Happening, Started
from leeward_adapters.calls import Attempt

PLACES: Final = 500
"""Account, Region and service together; calls beyond so many are counted as `other`. Receivers of
notices are named by tenants, who could otherwise make up accounts without end."""
OWN: Final = "own"
"""Stands for the operator's own account."""
_OTHER: Final = ("other", "other", "other")
_OPERATIONS: Final = ("Failover", "Reprotect", "Failback", "Test", "Cleanup")
_VERBS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
_VERDICTS: Final = ("Succeeded", "Failed", "Cancelled", "Expired")
_OUTCOMES: Final = ("Approved", "Automatic", "Rejected", "TimedOut")
_RESULTS: Final = ("Complete", "Failed", "Skipped", "Open")


class Meters:
    """The counters and histograms of one process; safe to use from many threads.

    What alerts and dashboards watch for an increase begins at zero: Prometheus sees none in a
    counter or histogram that appears with its first value.
    """

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._counters = {m.name: self._counter(m) for m in d.METRICS if m.kind == "counter"}
        self._histograms = {m.name: self._histogram(m) for m in d.METRICS if m.kind == "histogram"}
        self._gauges = _Gauges()
        self._registry.register(self._gauges)
        self._places: set[tuple[str, str, str]] = set()
        self._namespaces: set[str] = set()
        self._lock = threading.Lock()
        self._rendering = threading.Lock()
        for verb in _VERBS:
            self.count(d.KUBE_REQUESTS, verb, "429", by=0)
        self._begin_histograms()

    def _counter(self, metric: d.Metric) -> Counter:
        return Counter(metric.name, metric.help, metric.labels, registry=self._registry)

    def _histogram(self, metric: d.Metric) -> Histogram:
        return Histogram(
            metric.name, metric.help, metric.labels, registry=self._registry, buckets=metric.buckets
        )

    def _begin_histograms(self) -> None:
        """Of executions; they have no tenant among their labels, so a standby begins them too."""
        for operation in _OPERATIONS:
            self._histograms[d.WAITED.name].labels(operation)
            for state in _VERDICTS:
                self._histograms[d.DURATION.name].labels(operation, state)
            for outcome in _OUTCOMES:
                self._histograms[d.GATE_WAIT.name].labels(operation, outcome)

    def count(self, metric: d.Metric, *labels: str, by: float = 1) -> None:
        """Add to a counter."""
        self._counters[metric.name].labels(*labels).inc(by)

    def measure(self, metric: d.Metric, *labels: str, value: float) -> None:
        """Add a value to a histogram."""
        self._histograms[metric.name].labels(*labels).observe(value)

    def aws(self, attempt: Attempt) -> None:
        """An attempt of a call to AWS."""
        place = self._place(attempt)
        self.count(d.AWS_CALLS, *place, attempt.outcome)
        if attempt.outcome != "NotSent":
            self.measure(d.AWS_SECONDS, *place, value=attempt.seconds)

    def _place(self, attempt: Attempt) -> tuple[str, str, str]:
        place = (attempt.account_id or OWN, attempt.region, attempt.service)
        with self._lock:
            if place not in self._places and len(self._places) >= PLACES:
                place = _OTHER
            new = place not in self._places
            self._places.add(place)
        if new:
            self.count(d.AWS_CALLS, *place, "Throttled", by=0)
        return place

    def kube(self, verb: str, status: int, seconds: float) -> None:
        """A request to the API server; status 0: it did not answer."""
        self.count(d.KUBE_REQUESTS, verb, str(status))
        self.measure(d.KUBE_SECONDS, verb, value=seconds)

    def passed(self, kind: str, outcome: str, seconds: float) -> None:
        """A pass over an object ended."""
        self.count(d.PASSES, kind, "Error", by=0)
        self.count(d.PASSES, kind, outcome)
        self.measure(d.PASS_SECONDS, kind, value=seconds)

    def tenant(self, namespace: str) -> None:
        """A namespace has plans: what may be counted of it begins at zero."""
        if namespace in self._namespaces:
            return
        self._namespaces.add(namespace)
        for operation in _OPERATIONS:
            self.count(d.GATES_ASKED, namespace, operation, by=0)
            for state in _VERDICTS:
                self.count(d.ENDED, namespace, operation, state, by=0)
            for result in _RESULTS:
                self.count(d.RESOURCES, namespace, operation, result, by=0)
            for outcome in _OUTCOMES:
                self.count(d.GATES_ENDED, namespace, operation, outcome, by=0)
            for mode in ("Planned", "Unplanned"):
                self.count(d.STARTED, namespace, operation, mode, by=0)

    def happened(self, run: DRExecution, what: Happening) -> None:
        """Something happened to an execution."""
        tenant, operation = run.metadata.namespace, run.spec.operation
        self.tenant(tenant)
        match what:
            case Started():
                self.count(d.STARTED, tenant, operation, run.spec.mode)
            case GateAsked():
                self.count(d.GATES_ASKED, tenant, operation)
            case GateEnded(outcome, waited):
                self.count(d.GATES_ENDED, tenant, operation, outcome)
                self.measure(d.GATE_WAIT, operation, outcome, value=waited.total_seconds())
            case Ended():
                self._ended(tenant, operation, what)

    def _ended(self, tenant: str, operation: str, end: Ended) -> None:
        self.count(d.ENDED, tenant, operation, end.state)
        if end.lasted is None:
            return
        self.measure(d.DURATION, operation, end.state, value=end.lasted.total_seconds())
        self.measure(d.WAITED, operation, value=end.waited.total_seconds())
        for result, number in end.resources.items():
            self.count(d.RESOURCES, tenant, operation, result, by=number)
        for state in end.waves:
            self.count(d.WAVES, tenant, operation, state)

    def render(self, gauges: Sequence[Sample]) -> bytes:
        """Everything in the text format 0.0.4; `gauges`: what the gauges are now."""
        with self._rendering:  # which takes a second, for which no call is to wait
            self._gauges.samples = gauges
            return generate_latest(self._registry)


class _Gauges(Collector):
    """Gauges, whose values are found anew for each scrape: what is gone is not exported."""

    def __init__(self) -> None:
        self.samples: Iterable[Sample] = ()

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Any] = {}
        for metric in d.METRICS:
            if metric.kind == "gauge":
                families[metric.name] = GaugeMetricFamily(
                    metric.name, metric.help, labels=metric.labels
                )
        for sample in self.samples:
            families[sample.metric.name].add_metric(sample.labels, sample.value)
        yield from families.values()

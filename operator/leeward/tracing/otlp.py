"""OpenTelemetry: spans as OTLP over HTTP, to the collector that OTEL_* variables name.

The one module that needs the extra `leeward[tracing]`. Ids are given, which the SDK lets an
`IdGenerator` do, and so are times; nothing is sampled away, since runs are few.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode

from leeward.planning.wording import clip
from leeward.tracing.spans import Event, Span

_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_SAMPLED: Final = trace.TraceFlags(trace.TraceFlags.SAMPLED)
_REASON: Final = 300
_EXPORTER: Final = "opentelemetry.exporter.otlp.proto.http.trace_exporter"


class Otlp:
    """Sends spans; used by one thread.

    Args:
        hub: identity of the hub.
        version: Leeward's.

    `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` go before what is said here.
    """

    def __init__(self, hub: str, version: str) -> None:
        self._said = _Said.of(_EXPORTER)
        ours = {"service.name": "leeward", "service.version": version, "leeward.hub": hub}
        given = OTELResourceDetector().detect().attributes
        self._ids = _GivenIds()
        self._ended = _Ended()
        provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource.create({**ours, **given}),
            shutdown_on_exit=False,
            id_generator=self._ids,
        )
        provider.add_span_processor(self._ended)
        self._tracer = provider.get_tracer("leeward", version)
        self._exporter = OTLPSpanExporter()

    def send(self, spans: Sequence[Span]) -> str:
        """Send the spans; why the collector did not take them, or an empty string."""
        for span in spans:
            self._make(span)
        self._said.first = ""
        if self._exporter.export(self._ended.taken()) is SpanExportResult.SUCCESS:
            return ""
        return clip(self._said.first or "no reason given", _REASON)

    def _make(self, span: Span) -> None:
        self._ids.trace, self._ids.span = span.trace, span.id
        made = self._tracer.start_span(
            span.name,
            context=_parent(span),
            kind=SpanKind.CLIENT if span.outward else SpanKind.INTERNAL,
            attributes=span.attributes,
            start_time=_nanoseconds(span.start),
            record_exception=False,
        )
        for event in span.events:
            _add(made, event)
        if span.error is not None:
            made.set_status(Status(StatusCode.ERROR, span.error))
        made.end(_nanoseconds(span.end))


def _parent(span: Span) -> Context:
    """A context of its own for each span: what else is traced in this process is no parent."""
    context = Context()
    if span.parent is None:
        return context
    parent = SpanContext(span.trace, span.parent, is_remote=True, trace_flags=_SAMPLED)
    return trace.set_span_in_context(NonRecordingSpan(parent), context)


def _add(made: trace.Span, event: Event) -> None:
    made.add_event(event.name, event.attributes, _nanoseconds(event.time))


def _nanoseconds(moment: datetime) -> int:
    """Since the epoch, exact to the microsecond, so that the same moment is always the same."""
    since = moment - _EPOCH
    return ((since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds) * 1000


class _Said(logging.Filter):
    """Keeps what the exporter logs instead, since it does so at each try that fails."""

    first = ""
    """What it said first since this was emptied: why, before that it gives up."""

    @classmethod
    def of(cls, logger: str) -> _Said:
        """In place of any other of that logger."""
        made = cls()
        logging.getLogger(logger).setLevel(logging.WARNING)
        logging.getLogger(logger).filters[:] = [made]
        return made

    def filter(self, record: logging.LogRecord) -> bool:
        self.first = self.first or record.getMessage()
        return False


class _GivenIds(IdGenerator):
    """Gives the ids that it was given."""

    trace = 0
    span = 0

    def generate_trace_id(self) -> int:
        return self.trace

    def generate_span_id(self) -> int:
        return self.span


class _Ended(SpanProcessor):
    """Keeps the spans that have ended until they are taken."""

    def __init__(self) -> None:
        self._spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self._spans.append(span)

    def taken(self) -> list[ReadableSpan]:
        """All of them; none is kept."""
        taken, self._spans = self._spans, []
        return taken

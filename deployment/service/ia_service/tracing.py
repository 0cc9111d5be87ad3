"""Traces of this service: a span for each request, sent over OTLP, and never at the expense of a request.

Spans wait in a queue of bounded length for a thread that sends them. When the collector is gone the oldest are dropped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers
from starlette.types import Scope

from ia_service.release import Release
from ia_service.settings import Settings

UNTRACED = frozenset(
    {"/health", "/ready", "/metrics", "/v1/traces"}
)  # else what is sent to ourselves makes more to send
_QUEUED = 8192
_BATCH = 512
_EVERY_MS = 1000
_ANSWER_S = 2.0


class _Counted(SpanExporter):
    """An exporter that tells how many spans it could send and how many not."""

    def __init__(self, exporter: SpanExporter, count: Callable[[str, int], None]) -> None:
        self._exporter = exporter
        self._count = count

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        self._count("sent" if result is SpanExportResult.SUCCESS else "failed", len(spans))
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class TracedRequest:
    """The span of one request."""

    def __init__(self, span: trace.Span) -> None:
        """Stand for ``span``."""
        self._span = span
        self.trace_id = f"{span.get_span_context().trace_id:032x}"

    def describe(self, method: str, route: str, status: int) -> None:
        """Say what became of the request."""
        self._span.update_name(f"{method} {route}")
        self._span.set_attribute("http.route", route)
        self._span.set_attribute("http.response.status_code", status)
        if status >= 500:  # noqa: PLR2004  # server error
            self._span.set_status(trace.StatusCode.ERROR)


class Tracing:
    """The tracer of one replica and what sends its spans."""

    def __init__(self, settings: Settings, release: Release, count: Callable[[str, int], None]) -> None:
        """Start the thread that sends; ``count`` is told how many spans were sent and how many could not be."""
        headers = {"authorization": f"Bearer {settings.otlp_api_key}"} if settings.otlp_api_key else None
        exporter = OTLPSpanExporter(
            endpoint=f"{settings.otlp_endpoint.rstrip('/')}/v1/traces", headers=headers, timeout=_ANSWER_S
        )
        self._provider = TracerProvider(
            resource=Resource.create(
                {
                    "service.name": "ia-service",
                    "service.version": release.release,
                    "service.instance.id": settings.name,
                }
            ),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                _Counted(exporter, count),
                max_queue_size=_QUEUED,
                schedule_delay_millis=_EVERY_MS,
                max_export_batch_size=_BATCH,
            )
        )
        self.tracer = self._provider.get_tracer("ia_service")
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def request(self, scope: Scope, request_id: str) -> Iterator[TracedRequest | None]:
        """Make a span of one request, a child of the caller's when it sent a ``traceparent``; not of every request."""
        if scope["type"] != "http" or scope["path"] in UNTRACED:
            yield None
            return
        attributes = {"http.request.method": scope["method"], "url.path": scope["path"], "request.id": request_id}
        with self.tracer.start_as_current_span(
            scope["method"], context=self._callers(scope), kind=trace.SpanKind.SERVER, attributes=attributes
        ) as span:
            yield TracedRequest(span)

    def close(self, within_s: float) -> None:
        """Send what waits, for at most so long."""
        # The SDK takes up to half a minute for this.
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(within_s)

    def _callers(self, scope: Scope) -> Context:
        headers = Headers(scope=scope)
        return self._propagator.extract(
            {name: headers[name] for name in ("traceparent", "tracestate") if name in headers}
        )

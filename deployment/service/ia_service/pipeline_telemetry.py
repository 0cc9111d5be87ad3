"""The library's telemetry of pipelines: its metrics for its exporters, its spans for our traces.

Left to itself the library keeps every span of every execution in memory, for ever. Its own OpenTelemetry tracer prints
spans to the console and knows no parents, so this one gives them to the tracer of the replica.
"""

from __future__ import annotations

from typing import Any

from ia_modules.telemetry.integration import PipelineTelemetry
from ia_modules.telemetry.metrics import MetricsCollector
from ia_modules.telemetry.tracing import Span, Tracer
from opentelemetry import trace

_STATUS = {"ok": trace.StatusCode.OK, "error": trace.StatusCode.ERROR}


class Telemetry:
    """What pipelines report to, all of them to one collector."""

    def __init__(self, tracer: trace.Tracer | None) -> None:
        """Trace with ``tracer``, or not at all."""
        self.collector = MetricsCollector()
        self._tracer = tracer
        self._untraced = PipelineTelemetry(self.collector, Untraced())

    def of(self, execution_id: str) -> Any:
        """Return the library's telemetry for one execution."""
        if self._tracer is None:
            return self._untraced
        return PipelineTelemetry(self.collector, Traced(self._tracer, execution_id))


class Untraced(Tracer):  # type: ignore[misc]  # the library has no types
    """A tracer that keeps nothing."""

    def start_span(self, name: str, attributes: dict[str, Any] | None = None, parent: Any = None) -> Any:
        """Return a span that nobody will see."""
        return Span(name, "", "", parent and parent.span_id, attributes)

    def end_span(self, span: Any) -> None:
        """Forget the span."""
        span.finish()


class TracedSpan(Span):  # type: ignore[misc]
    """A span of the library that is one of a trace."""

    def __init__(self, name: str, span: trace.Span) -> None:
        """Stand for ``span``."""
        context = span.get_span_context()
        super().__init__(name, f"{context.trace_id:032x}", f"{context.span_id:016x}")
        self.traced = span

    def set_attribute(self, key: str, value: Any) -> None:
        """Set an attribute."""
        self.traced.set_attribute(key, value if isinstance(value, (bool, int, float)) else _sendable(str(value)))

    def set_status(self, status: str, description: str | None = None) -> None:
        """Say how it ended."""
        if status in _STATUS:
            self.traced.set_status(_STATUS[status], _sendable(description or "") if status == "error" else None)


class Traced(Tracer):  # type: ignore[misc]
    """A tracer whose spans belong to the request that started the execution."""

    def __init__(self, tracer: trace.Tracer, execution_id: str) -> None:
        """Trace one execution with ``tracer``."""
        self._tracer = tracer
        self._execution = {"execution.id": execution_id}

    def start_span(self, name: str, attributes: dict[str, Any] | None = None, parent: Any = None) -> Any:
        """Start a span below ``parent``, else below what is traced at present."""
        context = trace.set_span_in_context(parent.traced) if parent else None
        return TracedSpan(
            name, self._tracer.start_span(name, context, attributes={**self._execution, **(attributes or {})})
        )

    def end_span(self, span: Any) -> None:
        """End the span."""
        span.finish()
        span.traced.end()


def _sendable(text: str) -> str:
    """Return ``text`` without halves of characters, which JSON may bring in: no batch with one could be sent."""
    return text.encode(errors="replace").decode()

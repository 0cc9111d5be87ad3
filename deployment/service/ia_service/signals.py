"""What a replica sends and receives of telemetry; a part whose setting does not ask for it is not even loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ia_service import keys, spans
from ia_service.database import PooledDatabase
from ia_service.metrics import Metrics
from ia_service.pipeline_telemetry import Telemetry
from ia_service.release import Release
from ia_service.settings import Settings
from ia_service.span_receiver import SpanReceiver

if TYPE_CHECKING:
    from ia_service.metrics_export import MetricsExport
    from ia_service.otlp import Batch
    from ia_service.tracing import Tracing

_END_S = 2.0


class Signals:
    """Traces and metrics going out, spans coming in."""

    def __init__(self, settings: Settings, release: Release, metrics: Metrics, database: PooledDatabase) -> None:
        """Make what the settings ask for; nothing is sent or received before ``start``."""
        self._metrics = metrics
        self._database = database
        self.tracing = _tracing(settings, release, metrics) if settings.otlp_endpoint else None
        self.telemetry = Telemetry(self.tracing.tracer if self.tracing else None)
        self._export = _export(settings, self.telemetry) if _exports(settings) else None
        self._receiver = (
            SpanReceiver(settings.otlp_grpc_listen, settings.max_body_bytes, self._check_key, self._store_request)
            if settings.otlp_grpc_listen
            else None
        )
        metrics.watch("otlp_grpc_up", "Whether spans are received over gRPC", lambda: self.receives_grpc)

    @property
    def receives_grpc(self) -> bool:
        """Return whether spans are received over gRPC at this moment."""
        return self._receiver is not None and self._receiver.up

    def start(self) -> None:
        """Begin, in the background."""
        for part in (self._export, self._receiver):
            if part:
                part.start()

    def stop(self) -> None:
        """Send what waits and receive no more, within a few seconds."""
        for part in (self._export, self._receiver):
            if part:
                part.stop()
        if self.tracing:
            self.tracing.close(_END_S)

    def store(self, transport: str, batch: Batch) -> None:
        """Store the spans of one request; raises ServiceError."""
        stored = spans.store(self._database, batch.spans)
        for outcome, count in (
            ("stored", stored),
            ("duplicate", len(batch.spans) - stored),
            ("rejected", len(batch.rejected)),
        ):
            self._metrics.spans.labels(transport, outcome).inc(count)

    def _check_key(self, authorization: str) -> None:
        keys.authenticate(self._database, authorization)

    def _store_request(self, body: bytes) -> bytes:
        from ia_service import otlp  # noqa: PLC0415  # see span_api

        batch = otlp.read_protobuf(body)
        self.store("grpc", batch)
        return bytes(batch.answer().SerializeToString())


def _tracing(settings: Settings, release: Release, metrics: Metrics) -> Tracing:
    from ia_service.tracing import Tracing  # noqa: PLC0415  # a fifth of the time of a start

    return Tracing(settings, release, lambda outcome, count: metrics.spans_exported.labels(outcome).inc(count))


def _exports(settings: Settings) -> bool:
    return bool(settings.statsd_address or settings.cloudwatch_namespace or settings.datadog_api_key)


def _export(settings: Settings, telemetry: Telemetry) -> MetricsExport:
    from ia_service.metrics_export import MetricsExport  # noqa: PLC0415  # only where it is asked for

    return MetricsExport(telemetry.collector, settings)

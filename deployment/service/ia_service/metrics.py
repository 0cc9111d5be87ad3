"""What Prometheus can ask a replica."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics import disable_created_metrics
from prometheus_client.process_collector import ProcessCollector

from ia_service.release import Release

SPAN_OUTCOMES = ("stored", "duplicate", "rejected")
OUTCOMES = ("completed", "failed", "cancelled", "lost")
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 30.0)


disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which no rule asks for


class Metrics:
    """The metrics of one replica, in a registry of their own."""

    def __init__(self, release: Release, replica: str, config: str) -> None:
        """Register everything at zero."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.requests = Counter(
            "ia_service_http_requests", "Requests answered", ["method", "route", "status"], registry=self.registry
        )
        self.latency = Histogram(
            "ia_service_http_request_duration_seconds",
            "Time from request to answer",
            ["method", "route"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.executions = Counter(
            "ia_service_executions", "Executions ended", ["pipeline", "outcome"], registry=self.registry
        )
        self.execution_time = Histogram(
            "ia_service_execution_duration_seconds",
            "Time from start to end of an execution, waiting included",
            ["pipeline"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.live_dropped = Counter(
            "ia_service_live_updates_dropped", "Live updates that nobody could be told", registry=self.registry
        )
        self.spans = Counter(
            "ia_service_spans", "Spans received over OTLP", ["transport", "outcome"], registry=self.registry
        )
        self.spans_exported = Counter(
            "ia_service_spans_exported",
            "Spans of this replica, sent over OTLP or not",
            ["outcome"],
            registry=self.registry,
        )
        self.cache_reads = Counter(
            "ia_service_cache_reads",
            "Reads of what is kept for a while, by how they were answered",
            ["cache", "outcome"],
            registry=self.registry,
        )
        self.database_up = self._gauge("db_up", "Whether the database answered the last probe")
        self.redis_up = self._gauge("redis_up", "Whether Redis answered the last probe")
        self.pending_migrations = self._gauge("migrations_pending", "Migrations of this release not yet applied")
        self.stuck = self._gauge("executions_stuck", "Executions that run and that no replica works on")
        info = Gauge(
            "ia_service_info",
            "Always 1; the labels tell what runs here",
            ["release", "service_version", "ia_modules_version", "replica"],
            registry=self.registry,
        )
        info.labels(release.release, release.service_version, release.ia_modules_version, replica).set(1)
        config_info = Gauge(
            "ia_service_config_info",
            "Always 1; replicas with the same settings have the same config",
            ["config", "replica"],
            registry=self.registry,
        )
        config_info.labels(config, replica).set(1)

    def expect(self, pipelines: Iterable[str]) -> None:
        """Publish 0 for every count to come: without a sample from before, no rate sees the first failures."""
        for pipeline in pipelines:
            for outcome in OUTCOMES:
                self.executions.labels(pipeline, outcome)

    def expect_spans(self) -> None:
        """Publish 0 for every count of spans."""
        for outcome in SPAN_OUTCOMES:
            for transport in ("http", "grpc"):
                self.spans.labels(transport, outcome)
        for outcome in ("sent", "failed"):
            self.spans_exported.labels(outcome)

    def watch(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Publish a value that is read whenever Prometheus asks."""
        self._gauge(name, text).set_function(read)

    def page(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"ia_service_{name}", text, registry=self.registry)

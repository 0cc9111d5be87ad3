"""What the evidence says, as metrics of Prometheus: a file of the site, and what ``status --metrics`` prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily

from runbook_checks.status import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from runbook_checks.report import Entry
    from runbook_checks.site.publication import Publication

_LABELS = ("procedure", "page", "environment", "owner")


def publish(site: Publication) -> None:
    """Write ``metrics.prom``."""
    site.write("metrics.prom", exposition(site.entries, site.built_at))


def exposition(entries: Iterable[Entry], generated_at: datetime) -> str:
    """Return the metrics of entries in Prometheus's text format; a moment that is not known has no sample.

    What has expired since ``generated_at`` is told by its expiry, not by its status: readers compare that with their
    own clock, so that a file that nobody writes anew does not stay green.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(tuple(entries), generated_at))
    return generate_latest(registry).decode()


@dataclass(frozen=True, slots=True)
class _Collected:
    entries: tuple[Entry, ...]
    generated_at: datetime

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield each metric with its samples."""
        status = GaugeMetricFamily(
            "runbook_procedure_status",
            "1 for what the procedure was worth when this was written, 0 for every other status.",
            labels=(*_LABELS, "status"),
        )
        success = GaugeMetricFamily(
            "runbook_procedure_last_success_timestamp_seconds", "When the procedure was last verified.", labels=_LABELS
        )
        expires = GaugeMetricFamily(
            "runbook_procedure_expires_timestamp_seconds",
            "When the last pass stops to count: compare it with time().",
            labels=_LABELS,
        )
        duration = GaugeMetricFamily(
            "runbook_procedure_duration_seconds", "How long the run took that decides the status.", labels=_LABELS
        )
        for entry in self.entries:
            told = (entry.procedure.id, entry.procedure.page, entry.environment, entry.runbook.owner)
            labels = tuple(text.encode(errors="replace").decode() for text in told)  # UTF-8 has no half a character
            for each in Status:
                status.add_metric((*labels, each.value), float(entry.status is each))
            if entry.verified_at:
                success.add_metric(labels, entry.verified_at.timestamp())
            if entry.expires_at:
                expires.add_metric(labels, entry.expires_at.timestamp())
            if entry.took_s is not None:
                duration.add_metric(labels, entry.took_s)
        yield from (status, success, expires, duration)
        yield GaugeMetricFamily(
            "runbook_evidence_generated_timestamp_seconds",
            "When this was made from the evidence.",
            value=self.generated_at.timestamp(),
        )

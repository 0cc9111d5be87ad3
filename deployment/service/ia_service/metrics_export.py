"""The library's metrics of pipelines, sent by the library's exporters to StatsD, CloudWatch and Datadog.

The library counts from the start and its exporters send what they are given, while all three receivers add up what they
get: so each is given what has happened since the last time. Its StatsD exporter puts labels between the name and the
value, which no StatsD understands; for that one they become parts of the name.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ia_modules.telemetry.exporters import CloudWatchExporter, DatadogExporter, StatsDExporter
from ia_modules.telemetry.metrics import Metric, MetricsCollector, MetricType

from ia_service.settings import Settings

logger = logging.getLogger(__name__)

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_END_S = 1.0


@dataclass(frozen=True, slots=True)
class Total:
    """How far a counter, or sum and count of a histogram, had come."""

    sum: float
    count: int = 0


Totals = dict[tuple[str, tuple[tuple[str, str], ...]], Total]


def changes(metrics: Sequence[Any], before: Totals) -> tuple[list[Any], Totals]:
    """Return gauges as they are and of all else what was added since ``before``, with the totals for the next time."""
    changed, totals = [], Totals()
    for metric in metrics:
        if metric.metric_type is MetricType.GAUGE:
            changed.append(metric)
            continue
        key = (metric.name, tuple(sorted(metric.labels.items())))
        total = _total(metric)
        totals[key] = total
        last = before.get(key, Total(0))
        if total != last:
            changed.append(replace(metric, value=_value(metric, Total(total.sum - last.sum, total.count - last.count))))
    return changed, totals


def for_statsd(metric: Any) -> Any:
    """Return a metric with its labels in its name, and times as their mean in milliseconds, which is StatsD's."""
    labels = (_UNSAFE.sub("_", label.strip()).strip("_").lower() or "none" for label in metric.labels.values())
    name, value = metric.name, metric.value
    if isinstance(value, dict):
        name, value = name.removesuffix("_seconds"), {"sum": round(value["sum"] * 1000 / max(value["count"], 1), 3)}
    return Metric(".".join((name, *labels)), metric.metric_type, value)


def exporters(settings: Settings) -> tuple[Callable[[list[Any]], None], ...]:
    """Return what sends metrics to where the settings say."""
    senders: list[Callable[[list[Any]], None]] = []
    if settings.statsd_address:
        host, _, port = settings.statsd_address.rpartition(":")
        statsd = StatsDExporter(host, int(port))
        senders.append(lambda metrics: statsd.export([for_statsd(metric) for metric in metrics]))
    if settings.cloudwatch_namespace:
        senders.append(CloudWatchExporter(settings.cloudwatch_namespace, settings.cloudwatch_region).export)
    if settings.datadog_api_key:
        from datadog import initialize  # noqa: PLC0415  # a tenth of a second that only Datadog is worth

        # Else two replicas on one machine are one host there, and of two values of one second one is lost.
        initialize(host_name=settings.name)
        # It sends counters and gauges and leaves out the rest.
        senders.append(DatadogExporter(settings.datadog_api_key, settings.datadog_app_key).export)
    return tuple(senders)


class MetricsExport:
    """A thread that sends what has changed, again and again."""

    def __init__(self, collector: MetricsCollector, settings: Settings) -> None:
        """Start nothing yet."""
        self._collector = collector
        self._settings = settings
        self._totals = Totals()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics-export", daemon=True)

    def start(self) -> None:
        """Begin to send, in the background: the libraries of some receivers take long to load."""
        self._thread.start()

    def stop(self) -> None:
        """Send once more, if that does not take long."""
        self._stopping.set()
        self._thread.join(_END_S)

    def _run(self) -> None:
        senders = exporters(self._settings)
        while not self._stopping.wait(self._settings.metrics_export_s):
            self._send(senders)
        self._send(senders)

    def _send(self, senders: Sequence[Callable[[list[Any]], None]]) -> None:
        changed, self._totals = changes(self._collector.collect_all(), self._totals)
        for send in senders:
            try:
                send(changed)
            except Exception:  # one receiver's trouble, of whatever kind, must not keep the others waiting for ever
                logger.exception("metrics were not exported")


def _total(metric: Any) -> Total:
    if isinstance(metric.value, dict):
        return Total(metric.value["sum"], metric.value["count"])
    return Total(metric.value)


def _value(metric: Any, change: Total) -> Any:
    return {"sum": change.sum, "count": change.count} if isinstance(metric.value, dict) else change.sum

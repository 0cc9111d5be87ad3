"""What the stack says: which alerts fire and were delivered, which releases ran, how many executions fail."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from incident.record import clock, moment, stamp

ERROR_RATIO = "job:pipeline_errors:ratio_rate5m"


def ask(variable: str, path: str, **query: str) -> Any:  # noqa: ANN401 - JSON
    """Return what a server of the stack answers, or None when it does not."""
    base = os.environ.get(variable)
    if not base:
        return None
    url = f"{base}{path}{'?' + urllib.parse.urlencode(query) if query else ''}"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - an address of the environment
            return json.load(answer)
    except (OSError, ValueError, urllib.error.URLError):
        return None


def firing() -> list[dict[str, str]] | None:
    """Return the alerts that fire and are neither silenced nor inhibited."""
    alerts = ask("ALERTMANAGER_URL", "/api/v2/alerts", active="true", silenced="false", inhibited="false")
    if alerts is None:
        return None
    found = [{"alert": title_of(alert["labels"]), "since": alert["startsAt"]} for alert in alerts]
    return sorted(found, key=lambda alert: moment(alert["since"]))


def title_of(labels: dict[str, str]) -> str:
    """Return an alert's name and what tells it from others of that name."""
    shown = [f"{name}={labels[name]}" for name in ("severity", "replica", "server", "mountpoint") if name in labels]
    return labels["alertname"] + (f" ({', '.join(shown)})" if shown else "")


def error_ratio() -> str | None:
    """Return which part of the executions fails now, in words."""
    answer = ask("PROMETHEUS_URL", "/api/v1/query", query=ERROR_RATIO)
    if not answer or not answer["data"]["result"]:
        return None
    return f"{float(answer['data']['result'][0]['value'][1]) * 100:.1f} % of the executions fail"


def silences() -> list[str] | None:
    """Return the silences in force."""
    answer = ask("ALERTMANAGER_URL", "/api/v2/silences")
    if answer is None:
        return None
    return [
        f"{', '.join(matcher['name'] + '=' + matcher['value'] for matcher in silence['matchers'])} until "
        f"{clock(moment(silence['endsAt']))}, {silence['createdBy']}: {silence['comment']}"
        for silence in answer
        if silence["status"]["state"] == "active"
    ]


def shedding() -> str:
    """Return how much load is turned away at the load balancer, in words."""
    answer = ask("LOAD_BALANCER_ADMIN_URL", "/runtime")
    if answer is None:
        return "not known, the load balancer does not answer"
    percent = answer["entries"].get("shed.executions", {}).get("final_value") or "0"
    return f"{percent} % of new executions are turned away"


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a timeline."""

    at: datetime
    what: str
    text: str
    source: str


def alerts_between(start: datetime, end: datetime) -> tuple[list[Event], list[str]]:
    """Return when alerts fired and were over, as delivered or else as Prometheus saw it, and what is missing."""
    name = os.environ.get("NOTIFICATIONS")
    if not name or not Path(name).exists():
        return _alerts_of_prometheus(start, end)
    events: dict[tuple[str, str, str], Event] = {}
    unreadable = 0
    for line in Path(name).read_bytes().splitlines():
        try:
            kept = json.loads(line)
            received = moment(kept["received_at"])
            alerts = kept["notification"]["alerts"]
        except (ValueError, TypeError, KeyError):
            unreadable += 1
            continue
        if not start <= received <= end:
            continue
        for alert in alerts:
            if moment(alert["startsAt"]) < start:
                continue  # it began to fire before, and is told again and again
            key = (alert["fingerprint"], alert["startsAt"], alert["status"])
            text = f"{title_of(alert['labels'])}: {alert['annotations'].get('summary', 'no summary')}"
            fires = alert["status"] == "firing"
            events.setdefault(key, Event(received, "alert" if fires else "alert resolved", text, "Alertmanager"))
    return list(events.values()), [f"alerts: {unreadable} notifications cannot be read"] if unreadable else []


def _alerts_of_prometheus(start: datetime, end: datetime) -> tuple[list[Event], list[str]]:
    found = _series('ALERTS{alertstate="firing"}', start, end)
    if found is None:
        return [], ["alerts: no file of delivered notifications ($NOTIFICATIONS), and Prometheus does not answer"]
    step_s, series = found
    events = []
    for labels, samples in series:
        begins, ends = [samples[0][0]], []
        for (before, _), (when, _) in pairwise(samples):
            if when - before > step_s * 1.5:
                ends.append(before + step_s)
                begins.append(when)
        if samples[-1][0] + step_s * 1.5 < end.timestamp():
            ends.append(samples[-1][0] + step_s)
        fired = [when for when in begins if when - start.timestamp() >= step_s]  # else it fired before
        for what, times in (("alert", fired), ("alert resolved", ends)):
            events += [Event(datetime.fromtimestamp(when, UTC), what, title_of(labels), "Prometheus") for when in times]
    return events, []


def _series(query: str, start: datetime, end: datetime) -> tuple[int, list[tuple[dict[str, str], list[Any]]]] | None:
    """Return the samples of a query over a time, by their labels, and their distance; None without an answer."""
    step_s = max(1, round((end - start).total_seconds() / 5000))
    answer = ask(
        "PROMETHEUS_URL",
        "/api/v1/query_range",
        query=query,
        start=stamp(start),
        end=stamp(end),
        step=str(step_s),
    )
    if answer is None:
        return None
    return step_s, [(series["metric"], series["values"]) for series in answer["data"]["result"]]


def releases_between(start: datetime, end: datetime) -> tuple[list[Event], list[str]]:
    """Return when each replica began to run another release, as Prometheus saw it, and what could not be found out."""
    found = _series("max by (replica, release) (ia_service_info)", start, end)
    if found is None:
        return [], ["releases: Prometheus does not answer ($PROMETHEUS_URL)"]
    seen: dict[str, list[tuple[float, str]]] = {}
    for labels, values in found[1]:
        seen.setdefault(labels["replica"], []).extend((when, labels["release"]) for when, _ in values)
    events = []
    for replica, samples in seen.items():
        samples.sort()
        for (_, before), (when, after) in pairwise(samples):
            if before != after:
                text = f"replica {replica} runs {after}, before {before}"
                events.append(Event(datetime.fromtimestamp(when, UTC), "release", text, "Prometheus"))
    return events, []

"""The monitoring configuration of an instance: production's files on a faster clock, with local receivers."""

from __future__ import annotations

import re
from pathlib import Path

MONITORING = Path(__file__).parent.parent.parent / "monitoring"
TIME_SCALE = 30  # production's times are divided by this
LEAST_INTERVAL_MS = 1000

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "y": 31_536_000_000}
_PART = r"\d+(?:ms|[smhdwy])"
_DURATION = rf"(?:{_PART})+"
_INTERVALS = ("scrape_interval", "scrape_timeout", "evaluation_interval", "interval")
_WAITS = ("for", "keep_firing_for", "group_wait", "group_interval", "repeat_interval", "resolve_timeout")
_KEYS = "|".join(_INTERVALS + _WAITS)
_SETTING = re.compile(rf"(?m)^(?P<before>[\s-]*(?P<key>{_KEYS}):\s*)(?P<duration>{_DURATION})(?=\s*(?:#.*)?$)")
_RANGE = re.compile(rf"\[(?P<range>{_DURATION})(?P<colon>:)?(?P<resolution>{_DURATION})?\]")
_OFFSET = re.compile(rf"(?P<before>\boffset\s+-?)(?P<duration>{_DURATION})\b")
_ADDRESSES = "# Addresses:"


def configuration(webhook_url: str, smtp_address: str) -> dict[str, str]:
    """Return the files of a staging instance by their names in its ``conf`` folder."""
    prometheus = MONITORING / "prometheus"
    names = ("prometheus.yml", "recording_rules.yml", "alerts.yml")
    return {
        **{name: scaled((prometheus / name).read_text(), TIME_SCALE) for name in names},
        "alertmanager.yml": scaled(alertmanager(webhook_url, smtp_address), TIME_SCALE),
    }


def alertmanager(webhook_url: str, smtp_address: str) -> str:
    """Return Alertmanager's configuration: production's routes and inhibitions, staging's receivers."""
    folder = MONITORING / "alertmanager"
    routes, marker, _production = (folder / "config.yml").read_text().partition(_ADDRESSES)
    if not marker:
        raise ValueError(f"{folder / 'config.yml'} has no line that begins with {_ADDRESSES!r}")
    receivers = (folder / "receivers-staging.yml").read_text()
    return routes + receivers.replace("WEBHOOK_URL", webhook_url).replace("SMTP_ADDRESS", smtp_address)


def scaled(text: str, factor: int) -> str:
    """Return a configuration or rule file of Prometheus or Alertmanager with every duration divided by ``factor``.

    Durations are those of settings, range selectors, subqueries and offsets; names such as ``ratio_rate5m`` and plain
    numbers stay. The result is in whole milliseconds; how often something is scraped or evaluated is never below 1 s.
    """
    text = _SETTING.sub(lambda found: found["before"] + _scaled_setting(found["key"], found["duration"], factor), text)
    text = _RANGE.sub(lambda found: _scaled_range(found, factor), text)
    return _OFFSET.sub(lambda found: found["before"] + _scaled(found["duration"], factor), text)


def _scaled_setting(key: str, duration: str, factor: int) -> str:
    return _scaled(duration, factor, LEAST_INTERVAL_MS if key in _INTERVALS else 1)


def _scaled_range(found: re.Match[str], factor: int) -> str:
    resolution = _scaled(found["resolution"], factor, LEAST_INTERVAL_MS) if found["resolution"] else ""
    return f"[{_scaled(found['range'], factor)}{found['colon'] or ''}{resolution}]"


def _scaled(duration: str, factor: int, least_ms: int = 1) -> str:
    parts = re.findall(r"(\d+)(ms|[smhdwy])", duration)
    total_ms = sum(int(number) * _UNITS_MS[unit] for number, unit in parts)
    if total_ms == 0:
        return duration
    result_ms = max(round(total_ms / factor), least_ms)
    return f"{result_ms // 1000}s" if result_ms % 1000 == 0 else f"{result_ms}ms"

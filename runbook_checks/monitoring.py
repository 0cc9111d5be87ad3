"""What a drill asks of monitoring: which alerts fire, who was told, and what must be the same afterwards."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runbook_checks.command import complete
from runbook_checks.http_request import Request, send

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from runbook_checks.config import DrillSettings
    from runbook_checks.links import Fault
    from runbook_checks.model import Procedure

_ANSWER_TIMEOUT_S = 10.0
_SNAPSHOT_TIMEOUT_S = 60.0
_OK = 200
_SHOWN = 300  # characters of what a command said


class NoAnswerError(Exception):
    """Monitoring did not answer, or not as agreed: nobody can say for now."""


@dataclass(frozen=True, slots=True)
class Notification:
    """One delivered notification about one alert; ``at`` is its arrival in seconds since the epoch."""

    at: float
    alert: str
    status: str
    runbook_url: str = ""
    receiver: str = ""


@dataclass(frozen=True, slots=True)
class Monitoring:
    """The monitoring of one stack: the address of its Prometheus, and the commands that say the rest.

    ``leads`` says where the address in a notification leads; what is told of an answer is redacted before it is cut.
    """

    settings: DrillSettings
    prometheus_url: str
    root: Path
    environ: Mapping[str, str]
    leads: Callable[[str], Procedure | Fault]
    redact: Callable[[str], str] = str

    def alerts(self) -> Mapping[str, str]:
        """Return the state of each alert that is not silent, ``firing`` before ``pending``; raises NoAnswerError."""
        url = f"{self.prometheus_url.rstrip('/')}/api/v1/alerts"
        answer = send(Request("GET", url), _ANSWER_TIMEOUT_S)
        if not answer.passed or answer.status != _OK:
            raise NoAnswerError(f"Prometheus: {answer.message or f'{url} answered {answer.status} {answer.reason}'}")
        return read_alert_states(answer.body, self.redact)

    def notifications(self) -> tuple[Notification, ...]:
        """Return what was delivered, in the order of the command; raises NoAnswerError."""
        text = self._printed(self.settings.notifications, "notifications", _ANSWER_TIMEOUT_S)
        return read_notifications(text, self.redact)

    def snapshot(self) -> tuple[str, ...]:
        """Return the lines that must be the same before and after, none without a command; raises NoAnswerError."""
        if not self.settings.snapshot:
            return ()
        command = self.settings.snapshot
        lines = tuple(self._printed(command, "snapshot", _SNAPSHOT_TIMEOUT_S).splitlines())
        if not any(map(str.strip, lines)):
            raise NoAnswerError(f"snapshot: `{command}` printed nothing: print a line in any case, such as a count")
        return lines

    def _printed(self, command: str, what: str, timeout_s: float) -> str:
        done = complete(command, cwd=self.root, environ=self.environ, timeout_s=timeout_s)
        if done.expired:
            raise NoAnswerError(f"{what}: `{command}` took longer than {timeout_s:g} s")
        if done.status != 0:
            said = self.redact((done.stderr or done.stdout).strip())[-_SHOWN:]
            raise NoAnswerError(f"{what}: `{command}` exited with {done.status}" + (f": {said}" if said else ""))
        if done.cut:
            raise NoAnswerError(f"{what}: `{command}` printed more than we keep; print less")
        return done.stdout


def read_alert_states(body: bytes, redact: Callable[[str], str] = str) -> dict[str, str]:
    """Return the state of each alert in an answer of ``/api/v1/alerts``; raises NoAnswerError for another answer."""
    states: dict[str, str] = {}
    try:
        for alert in json.loads(body)["data"]["alerts"]:
            name, state = str(alert["labels"]["alertname"]), str(alert["state"])
            if states.get(name) != "firing":
                states[name] = state
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        said = redact(body.decode(errors="replace"))[:_SHOWN]
        raise NoAnswerError(f"Prometheus: this is no answer about alerts: {said!r}") from error
    return states


def read_notifications(text: str, redact: Callable[[str], str] = str) -> tuple[Notification, ...]:
    """Return the notifications of JSON lines; raises NoAnswerError for a line that is none."""
    return tuple(_notification(line, redact) for line in text.splitlines() if line.strip())


def _notification(line: str, redact: Callable[[str], str]) -> Notification:
    try:
        told: dict[str, Any] = json.loads(line)
        url, receiver = told.get("runbook_url") or "", told.get("receiver") or ""
        return Notification(_seconds(told["at"]), str(told["alert"]), str(told["status"]), str(url), str(receiver))
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, OSError, RecursionError) as error:
        raise NoAnswerError(f"notifications: this is no notification: {redact(line)[:_SHOWN]}") from error


def _seconds(at: str | float) -> float:
    """Return seconds since the epoch; raise ValueError for a time without a zone, or one that no calendar has."""
    moment = datetime.fromisoformat(at) if isinstance(at, str) else datetime.fromtimestamp(float(at), UTC)
    if moment.tzinfo is None:
        raise ValueError("no time zone")
    return moment.timestamp()

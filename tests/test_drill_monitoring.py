"""What a drill hears from monitoring, and what it does not take for an answer."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from runbook_checks.command import LARGEST_READ
from runbook_checks.config import DrillSettings
from runbook_checks.links import Fault
from runbook_checks.monitoring import (
    Monitoring,
    NoAnswerError,
    Notification,
    read_alert_states,
    read_notifications,
)
from runbook_checks.redact import Redactor

if TYPE_CHECKING:
    from pathlib import Path


def answer(*alerts: tuple[str, str]) -> bytes:
    listed = [{"labels": {"alertname": name}, "state": state} for name, state in alerts]
    return json.dumps({"data": {"alerts": listed}}).encode()


def test_one_series_that_fires_is_enough() -> None:
    assert read_alert_states(answer(("A", "pending"), ("A", "firing"), ("A", "pending"), ("B", "pending"))) == {
        "A": "firing",
        "B": "pending",
    }


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"data": {"alerts": [{"state": "firing"}]}}', b"\xff"]
)
def test_another_answer_is_none(body: bytes) -> None:
    with pytest.raises(NoAnswerError, match="this is no answer about alerts"):
        read_alert_states(body)


def test_notifications_are_read_with_times_as_text_or_as_seconds() -> None:
    text = (
        '{"at": "1970-01-01T00:01:00+00:00", "alert": "A", "status": "firing", "runbook_url": "u", "receiver": "r"}\n'
        '\n{"at": 61.5, "alert": "A", "status": "resolved", "runbook_url": null}\n'
    )
    assert read_notifications(text) == (
        Notification(60.0, "A", "firing", "u", "r"),
        Notification(61.5, "A", "resolved"),
    )


@pytest.mark.parametrize(
    "line",
    [
        "text",
        "[]",
        "5",
        '{"at": 1, "alert": "A"}',
        '{"at": "1970-01-01T00:01:00", "alert": "A", "status": "firing"}',
        '{"at": null, "alert": "A", "status": "firing"}',
        '{"at": NaN, "alert": "A", "status": "firing"}',
        '{"at": Infinity, "alert": "A", "status": "firing"}',
        '{"at": 1764167370000, "alert": "A", "status": "firing"}',
        "[" * 100_000,
    ],
)
def test_a_line_that_is_no_notification_is_named(line: str) -> None:
    with pytest.raises(NoAnswerError, match="this is no notification"):
        read_notifications(line)


def monitoring(tmp_path: Path, **settings: Any) -> Monitoring:
    asked = DrillSettings("", **{"notifications": "true", **settings})
    return Monitoring(
        asked, "http://127.0.0.1:9", tmp_path, {"PATH": os.environ["PATH"]}, lambda _: Fault("leads nowhere")
    )


def test_a_prometheus_that_is_not_there_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(NoAnswerError, match=r"Prometheus: http://127\.0\.0\.1:9/api/v1/alerts: connection refused"):
        monitoring(tmp_path).alerts()


def test_a_command_that_fails_is_no_answer_and_says_why(tmp_path: Path) -> None:
    with pytest.raises(NoAnswerError, match="notifications: `echo why >&2; exit 3` exited with 3: why"):
        monitoring(tmp_path, notifications="echo why >&2; exit 3").notifications()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("false | sort", "printed nothing: print a line in any case, such as a count"),
        ("echo", "printed nothing: print a line in any case, such as a count"),
        (f"echo broken; yes | head -c {LARGEST_READ}", "printed more than we keep"),
    ],
)
def test_a_snapshot_that_shows_nothing_or_not_all_is_no_answer(tmp_path: Path, command: str, said: str) -> None:
    with pytest.raises(NoAnswerError, match=said):
        monitoring(tmp_path, snapshot=command).snapshot()


def test_what_is_told_of_an_answer_is_redacted_before_it_is_cut(tmp_path: Path) -> None:
    secret = "hunter2-correct-horse-battery"
    redact = Redactor([secret]).redact
    asked = monitoring(tmp_path, notifications=f"echo {secret}{'.' * 290}; exit 3")
    with pytest.raises(NoAnswerError) as failed:
        replace(asked, redact=redact).notifications()
    assert str(failed.value).endswith(f"exited with 3: [redacted]{'.' * 290}")
    no_answer = f"{'.' * 285}{secret}"
    with pytest.raises(NoAnswerError) as told:
        read_alert_states(no_answer.encode(), redact)
    assert "hunter2" not in str(told.value)
    with pytest.raises(NoAnswerError) as told:
        read_notifications(no_answer, redact)
    assert "hunter2" not in str(told.value)


def test_without_a_command_the_snapshot_is_empty(tmp_path: Path) -> None:
    assert monitoring(tmp_path).snapshot() == ()
    assert monitoring(tmp_path, snapshot="echo a; echo b").snapshot() == ("a", "b")

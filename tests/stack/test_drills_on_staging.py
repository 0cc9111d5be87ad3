"""What a drill asks of the real stack: its snapshot, and who was told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from runbook_checks.monitoring import read_notifications

if TYPE_CHECKING:
    from pathlib import Path

    from stack.running_stack import Stack


def test_the_snapshot_is_the_same_until_something_is_left_behind(stack: Stack) -> None:
    before = stack.run("snapshot").stdout.splitlines()
    assert {line.split()[0] for line in before} == {
        "service",
        "program",
        "file",
        "schema",
        "indexes",
        "settings",
        "rows",
    }
    assert stack.run("snapshot").stdout.splitlines() == before
    left = stack.folder / "conf/left"
    left.write_text("")
    try:
        after = stack.run("snapshot").stdout.splitlines()
    finally:
        left.unlink()
    assert set(after) - set(before) == {next(line for line in after if line.startswith("file left "))}


def test_what_is_not_known_is_no_snapshot(other: Stack) -> None:
    other.up()
    assert other.shell("supervisorctl stop postgres").returncode == 0
    done = other.run("snapshot")
    assert (done.returncode, "psql said nothing: " in done.stderr) == (1, True)


def test_notifications_for_a_drill_are_lines_of_json_and_none_is_no_failure(stack: Stack, tmp_path: Path) -> None:
    labels, url = {"alertname": "RedisDown"}, "https://example.org/troubleshooting/#redis-down"
    alert = {"status": "firing", "labels": labels, "annotations": {"runbook_url": url}}
    kept = {"received_at": "2026-11-21T12:00:00+00:00", "path": "/slack", "notification": {"alerts": [alert]}}
    notifications, mailbox = tmp_path / "notifications", tmp_path / "mailbox"
    notifications.write_text(json.dumps(kept) + "\n")
    mailbox.write_text("")
    environ = {"NOTIFICATIONS": str(notifications), "MAILBOX": str(mailbox)}
    (told,) = read_notifications(stack.shell("deployment/scripts/notified.sh --json", **environ).stdout)
    assert (told.alert, told.status, told.runbook_url, told.receiver) == ("RedisDown", "firing", url, "webhook /slack")
    none = stack.shell("deployment/scripts/notified.sh --json NoSuchAlert", **environ)
    assert (none.returncode, none.stdout, none.stderr) == (0, "", "")

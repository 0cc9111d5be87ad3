"""What a drill asks of the real stack: its snapshot, and who was told."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
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


def test_the_snapshot_asks_what_a_file_says_and_not_how_a_script_has_written_it(stack: Stack) -> None:
    before = stack.run("snapshot").stdout.splitlines()
    shares, configuration = "deployment/scripts/weights.sh", "deployment/scripts/reconfigure.sh"

    def differ_after(command: str) -> set[str]:
        done = stack.shell(command)
        assert done.returncode == 0, done.stdout + done.stderr
        return {line.split()[1] for line in set(stack.run("snapshot").stdout.splitlines()) - set(before)}

    assert differ_after(f"{shares} b=60 a=40") == {"endpoints.json"}
    assert differ_after(f"{shares} b=50 a=50") == set()
    assert differ_after(f"{configuration} POOL_SIZE=11") == {"service.env"}
    assert differ_after(f"{configuration} POOL_SIZE=10") == set()
    endpoints = stack.folder / "conf/endpoints.json"
    whole = endpoints.read_text()
    assert differ_after(f"echo '{{' >{endpoints}") == {"endpoints.json"}
    endpoints.write_text(whole)


def test_a_program_that_is_on_its_way_up_is_waited_for(stack: Stack) -> None:
    before = stack.run("snapshot").stdout.splitlines()
    starting = "supervisorctl stop valkey-exporter; supervisorctl start valkey-exporter >/dev/null 2>&1 & sleep 0.5"
    assert "STARTING" in stack.shell(f"{starting}; supervisorctl status valkey-exporter || test $? = 3").stdout
    assert stack.run("snapshot").stdout.splitlines() == before


def test_what_is_not_known_is_no_snapshot(other: Stack) -> None:
    other.up()
    assert other.shell("supervisorctl stop postgres").returncode == 0
    done = other.run("snapshot")
    assert (done.returncode, "psql said nothing: " in done.stderr) == (1, True)


def test_quiet_refuses_an_alert_that_is_only_pending_and_waits_until_it_is_over(stack: Stack) -> None:
    pending = 'promtool query instant "$PROMETHEUS_URL" \'ALERTS{alertname="RedisDown"}\' | grep -q .'
    stopped = stack.shell(
        f"supervisorctl stop valkey; for _ in {{1..300}}; do {pending} && exit; sleep 0.1; done; exit 1"
    )
    try:
        refused = stack.shell("deployment/staging/quiet.sh RedisDown", QUIET_S="0")
    finally:
        started = stack.shell("supervisorctl start valkey")
    assert (stopped.returncode, started.returncode) == (0, 0)
    assert (refused.returncode, "quiet.sh: still there after 0 s: " in refused.stderr) == (1, True)
    assert stack.shell("deployment/staging/quiet.sh RedisDown").returncode == 0
    assert stack.shell(pending).returncode == 1


def test_quiet_waits_until_everybody_was_told_that_it_is_over(stack: Stack, tmp_path: Path) -> None:
    told = tmp_path / "told"
    environ = {"NOTIFICATIONS": str(told), "MAILBOX": str(tmp_path / "mailbox"), "QUIET_S": "0"}
    (tmp_path / "mailbox").write_text("")
    now = datetime.now(UTC)

    def tell(path: str, after_s: float, *alerts: str) -> None:
        told_now = [{"status": one.partition(" ")[0], "labels": {"alertname": one.partition(" ")[2]}} for one in alerts]
        received_at = (now + timedelta(seconds=after_s)).isoformat(timespec="milliseconds")
        line = json.dumps({"received_at": received_at, "path": path, "notification": {"alerts": told_now}})
        told.write_text((told.read_text() if told.exists() else "") + line + "\n")

    def quiet() -> tuple[int, list[tuple[str, str]]]:
        done = stack.shell("deployment/staging/quiet.sh Other OverAgain", **environ)
        untold = done.stderr.partition("; the end was not told: ")[2].splitlines()
        return done.returncode, [(one["alert"], one["receiver"]) for one in map(json.loads, untold)]

    tell("/slack", -601, "firing OverAgain")
    tell("/slack", -60, "firing OverAgainAndAgain")
    assert quiet() == (0, [])
    tell("/slack", -4, "firing OverAgain")
    tell("/pagerduty", -4, "firing OverAgain")
    tell("/pagerduty", -2, "resolved OverAgain")
    assert quiet() == (1, [("OverAgain", "webhook /slack")])
    tell("/slack", -2, "resolved OverAgain", "firing OverAgain")
    assert quiet() == (1, [("OverAgain", "webhook /slack")])
    tell("/slack", -1, "resolved OverAgain", "resolved OverAgain")
    assert quiet() == (0, [])


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

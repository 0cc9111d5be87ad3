"""The record of an incident, and triage: run by hand as it were."""

from __future__ import annotations

import json
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from stack.running_stack import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stack.running_stack import Stack

SCRIPTS = "deployment/scripts"
INCIDENT = f"{SCRIPTS}/incident.sh"

Run = subprocess.CompletedProcess[str]


@pytest.fixture
def incident(tmp_path: Path) -> Callable[..., Run]:
    """incident.sh with a folder of its own, and nothing of a stack but the notifications that a test writes."""
    environ = {"PATH": os.environ["PATH"], "USER": "ana", "INCIDENTS_DIR": str(tmp_path / "incidents")}

    def run(*arguments: str, **more: str) -> Run:
        return subprocess.run(
            [INCIDENT, *arguments], cwd=ROOT, env=environ | more, capture_output=True, text=True, check=False
        )

    return run


@pytest.fixture
def opened(incident: Callable[..., Run]) -> Callable[..., Run]:
    """The same, with an incident `one` of severity 2."""
    done = incident("open", "2", "Executions fail", "--impact", "Half of them fail.", "--id", "one")
    assert done.returncode == 0, done.stderr
    return incident


def record(tmp_path: Path) -> Path:
    return tmp_path / "incidents/one/timeline.jsonl"


def entries(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in record(tmp_path).read_text().splitlines()]


def test_an_incident_has_the_id_that_it_was_given_or_one_of_its_time(incident: Callable[..., Run]) -> None:
    done = incident("open", "3", "Slow", "--impact", "Slow.")
    assert re.search(r"^incident inc-\d{8}T\d{6}Z is open, severity 3$", done.stdout, re.MULTILINE)


def test_declaring_goes_on_without_alertmanager_and_says_what_is_missing(
    opened: Callable[..., Run], tmp_path: Path
) -> None:
    (declared,) = entries(tmp_path)
    assert declared["firing"] is None
    again = opened("open", "2", "x", "--impact", "y", "--id", "two")
    assert "alerts that fire: not known" in again.stdout
    assert "Alertmanager does not answer" in again.stderr


def test_a_second_incident_of_one_id_is_refused_and_changes_nothing(opened: Callable[..., Run], tmp_path: Path) -> None:
    before = record(tmp_path).read_bytes()
    done = opened("open", "1", "Other", "--impact", "Other.", "--id", "one")
    assert done.returncode == 1
    assert "there is an incident one already; add to it" in done.stderr
    assert record(tmp_path).read_bytes() == before


@pytest.mark.parametrize("name", ["../other", "a/b", "", ".hidden"])
def test_an_id_cannot_leave_the_folder(incident: Callable[..., Run], name: str, tmp_path: Path) -> None:
    done = incident("note", name, "x") if not name else incident("open", "3", "x", "--impact", "y", "--id", name)
    assert done.returncode == 1
    assert "is no id" in done.stderr
    assert not (tmp_path / "other").exists()


def test_no_line_is_lost_when_many_write_at_once(opened: Callable[..., Run], tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda n: opened("note", "one", f"note {n}"), range(24)))
    assert {each.returncode for each in done} == {0}
    assert sorted(entry["text"] for entry in entries(tmp_path)[1:]) == sorted(f"note {n}" for n in range(24))


def test_a_line_that_was_torn_off_swallows_no_other_and_is_named(opened: Callable[..., Run], tmp_path: Path) -> None:
    with record(tmp_path).open("a") as file:
        file.write('{"at": "2026-')
    assert opened("note", "one", "after the crash").returncode == 0
    done = opened("timeline", "one")
    assert "| note | after the crash | ana |" in done.stdout
    assert "timeline.jsonl:2 cannot be read and is left out" in done.stderr


def test_what_was_seen_earlier_stands_where_it_happened(opened: Callable[..., Run], tmp_path: Path) -> None:
    assert opened("note", "one", "first", "--at", "2026-01-01T00:00:00Z").returncode == 0
    assert opened("note", "one", "a | b\nc").returncode == 0
    rows = [line.split(" | ")[2:4] for line in opened("timeline", "one").stdout.splitlines()[2:5]]
    assert [row[0] for row in rows] == ["note", "declared", "note"]
    assert rows[2][1] == r"a \| b c"
    assert entries(tmp_path)[1]["written_at"] > "2026-01-01T00:00:00Z"


def test_nothing_happens_in_the_future_and_nothing_begins_after_its_declaration(opened: Callable[..., Run]) -> None:
    future = opened("note", "one", "x", "--at", "2999-01-01T00:00:00Z")
    assert (future.returncode, "is in the future" in future.stderr) == (1, True)
    late = opened("began", "one", "2999-01-01T00:00:00Z", "x")
    assert (late.returncode, "must have been before" in late.stderr) == (1, True)


def notified(tmp_path: Path, *alerts: tuple[str, str, str, str]) -> str:
    """A file of notifications: received, status, name, since."""
    file = tmp_path / "notifications.jsonl"
    for received, status, name, since in alerts:
        alert = {"status": status, "labels": {"alertname": name}, "annotations": {"summary": "s"}}
        kept = {**alert, "startsAt": since, "fingerprint": name}
        with file.open("a") as out:
            out.write(json.dumps({"received_at": received, "notification": {"alerts": [kept]}}) + "\n")
    return str(file)


def written(tmp_path: Path, *lines: dict[str, Any]) -> None:
    """A record with its own times."""
    record(tmp_path).parent.mkdir(parents=True)
    declared = {"severity": 2, "title": "T", "impact": "I.", "roles": {"commander": "ana"}, "firing": []}
    first = {"at": "2026-01-01T03:02:00.000Z", "kind": "declared", "by": "ana", **declared}
    record(tmp_path).write_text("".join(json.dumps({"by": "ana", **line}) + "\n" for line in (first, *lines)))


STORY: tuple[dict[str, Any], ...] = (
    {"at": "2026-01-01T03:00:00.000Z", "kind": "began", "text": "graph"},
    {"at": "2026-01-01T03:10:00.000Z", "kind": "status", "status": "mitigated", "text": "rolled back"},
    {"at": "2026-01-01T04:00:00.000Z", "kind": "status", "status": "resolved", "text": "well"},
    {"at": "2026-01-01T04:30:00.000Z", "kind": "closed", "text": "over"},
)


def test_the_four_times_are_those_of_the_record_and_of_the_first_alert(
    incident: Callable[..., Run], tmp_path: Path
) -> None:
    written(tmp_path, *STORY)
    alerts = notified(
        tmp_path,
        ("2026-01-01T03:00:30.000+00:00", "firing", "BadDeploy", "2026-01-01T03:00:29.123456789Z"),
        ("2026-01-01T03:01:30.000+00:00", "firing", "BadDeploy", "2026-01-01T03:00:29.123456789Z"),
    )
    assert [line.split(" (")[0] for line in incident("times", "one", NOTIFICATIONS=alerts).stdout.splitlines()] == [
        "time to detect: 30.0 s",
        "time to acknowledge: 90.0 s",
        "time to mitigate: 600.0 s",
        "time to resolve: 3600.0 s",
    ]


def test_what_is_not_known_is_said_to_be_not_known(incident: Callable[..., Run], tmp_path: Path) -> None:
    written(tmp_path)
    assert incident("times", "one").stdout.splitlines() == [
        "time to detect: not known (when it began is not known)",
        "time to acknowledge: 0.0 s (from 03:02:00 UTC, when it was detected, to 03:02:00 UTC)",
        "time to mitigate: not known (it is not mitigated yet)",
        "time to resolve: not known (it is not resolved yet)",
    ]
    page = incident("post-mortem", "one").stdout
    assert "Not known: alerts: no file of delivered notifications ($NOTIFICATIONS), and Prometheus does not" in page
    assert "Not known: releases: Prometheus does not answer" in page


def test_each_alert_stands_once_in_the_timeline_and_older_ones_do_not(
    incident: Callable[..., Run], tmp_path: Path
) -> None:
    written(tmp_path, *STORY)
    alerts = notified(
        tmp_path,
        ("2026-01-01T03:00:30.000+00:00", "firing", "BadDeploy", "2026-01-01T03:00:29Z"),
        ("2026-01-01T03:00:31.000+00:00", "firing", "BadDeploy", "2026-01-01T03:00:29Z"),
        ("2026-01-01T03:00:40.000+00:00", "firing", "BackupTooOld", "2025-12-31T00:00:00Z"),
        ("2026-01-01T03:20:00.000+00:00", "resolved", "BadDeploy", "2026-01-01T03:00:29Z"),
        ("2026-01-01T05:00:00.000+00:00", "firing", "AfterIt", "2026-01-01T05:00:00Z"),
    )
    rows = incident("timeline", "one", NOTIFICATIONS=alerts).stdout.splitlines()[2:9]
    assert [tuple(row.split(" | "))[2] for row in rows if row.startswith("|")] == [
        *("began", "alert", "declared", "status", "alert resolved", "status", "closed"),
    ]
    assert "| +30.0 s | alert | BadDeploy: s | Alertmanager |" in rows[1]


def test_messages_hold_the_facts_and_nothing_to_be_filled_in(opened: Callable[..., Run]) -> None:
    first = opened("message", "one", "first").stdout
    assert re.fullmatch(
        r"\[SEV2\] Investigating: Executions fail\nSince \d\d:\d\d UTC: Half of them fail\.\n"
        r"We are working on it\. Next update by \d\d:\d\d UTC\.\n",
        first,
    )
    bare = opened("message", "one", "update")
    assert (bare.returncode, "add --text" in bare.stderr) == (1, True)
    early = opened("message", "one", "resolved", "--text", "x")
    assert (early.returncode, "one is investigating; first" in early.stderr) == (1, True)
    texts = [first, opened("message", "one", "update", "--text", "We know more.").stdout]
    assert opened("status", "one", "resolved", "well").returncode == 0
    texts.append(opened("message", "one", "resolved", "--text", "It is over.").stdout)
    for text in texts:
        assert not re.search(r"[<>{}$…]|None|TODO|\.\.\.", text), text


def test_the_severity_decides_when_the_next_message_is_due(incident: Callable[..., Run]) -> None:
    due = {}
    for severity in "1234":
        incident("open", severity, "T", "--impact", "I.", "--id", f"s{severity}")
        due[severity] = incident("message", f"s{severity}", "first").stdout.rpartition("by ")[2]
    assert len(set(due.values())) == 4


def test_a_handover_makes_the_other_one_commander(opened: Callable[..., Run]) -> None:
    said = opened("handover", "one", "--to", "ben", "--text", "look at the queue").stdout
    assert "commander: ben, before ana" in said
    assert "- ana says: look at the queue" in said
    assert said.count("- not known, Alertmanager does not answer") == 2
    assert opened("list").stdout == "one: severity 2, investigating, ben: Executions fail\n"


def test_an_incident_is_closed_only_when_it_is_resolved_and_somebody_can_tell(opened: Callable[..., Run]) -> None:
    assert "one is investigating; first" in opened("close", "one", "x").stderr
    opened("status", "one", "resolved", "well")
    done = opened("close", "one", "x")
    assert (done.returncode, "nobody can say whether an alert fires" in done.stderr) == (1, True)


def test_a_closed_incident_takes_notes_and_nothing_else(incident: Callable[..., Run], tmp_path: Path) -> None:
    written(tmp_path, *STORY)
    for command in (("status", "one", "resolved", "x"), ("severity", "one", "1", "x"), ("message", "one", "first")):
        assert "one is closed" in incident(*command).stderr
    assert incident("note", "one", "found the cause").returncode == 0
    assert incident("list").stdout == "no incident is open\n"


@pytest.mark.parametrize("script", ["incident", "triage"])
def test_each_script_explains_itself_and_says_what_it_lacks(script: str) -> None:
    def run(*arguments: str) -> Run:
        command = ["env", "-i", "PATH=/usr/bin:/bin", f"{SCRIPTS}/{script}.sh", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert run("--help").stdout.startswith(f"Usage: {SCRIPTS}/{script}.sh")
    bare = run(*(("list",) if script == "incident" else ()))
    assert (bare.returncode, "set; take" in bare.stderr) == (2, True)
    assert run("--what").returncode == 2


def test_a_wrong_command_is_no_incident(incident: Callable[..., Run]) -> None:
    for wrong in (("open", "5", "x", "--impact", "y"), ("what",), ("status", "one", "dead", "x"), ("note", "one")):
        assert incident(*wrong).returncode == 2


@pytest.fixture
def without_redis(stack: Stack) -> Iterator[Stack]:
    assert stack.shell("supervisorctl stop valkey").returncode == 0
    yield stack
    stack.shell("supervisorctl start valkey")


@pytest.fixture
def without_prometheus(stack: Stack) -> Iterator[Stack]:
    assert stack.shell("supervisorctl stop prometheus").returncode == 0
    yield stack
    stack.shell("supervisorctl start prometheus")


def test_without_delivered_notifications_prometheus_tells_which_alerts_fired(
    without_redis: Stack, tmp_path: Path
) -> None:
    def run(command: str) -> Run:
        return without_redis.shell(command, INCIDENTS_DIR=str(tmp_path), NOTIFICATIONS="")

    fires = "amtool --alertmanager.url=$ALERTMANAGER_URL alert query alertname=RedisDown | grep -q RedisDown"
    assert run(f"began=$(date +%s); for i in {{1..60}}; do {fires} && break; sleep 0.5; done; {INCIDENT} open 3 T "
               f"--impact I. --id one && {INCIDENT} began one $((began - 2)) x").returncode == 0  # fmt: skip
    run(f"supervisorctl start valkey; for i in {{1..60}}; do {fires} || break; sleep 0.5; done; sleep 3")
    rows = [line.split(" | ") for line in run(f"{INCIDENT} timeline one").stdout.splitlines() if "RedisDown" in line]
    assert [(row[2], row[3], row[4]) for row in rows] == [
        ("alert", "RedisDown (severity=warning)", "Prometheus |"),
        ("alert resolved", "RedisDown (severity=warning)", "Prometheus |"),
    ]


def test_triage_finds_nothing_where_nothing_is_wrong(stack: Stack) -> None:
    done = stack.shell(f"for i in {{1..60}}; do {SCRIPTS}/triage.sh && break; sleep 1; done")
    assert done.stdout.endswith("nothing is wrong\n"), done.stdout
    assert "within 0 ms" not in done.stdout  # of no execution
    assert stack.shell(f"{SCRIPTS}/triage.sh").returncode == 0


def test_triage_names_the_dependency_that_is_gone(without_redis: Stack) -> None:
    done = without_redis.shell(f"{SCRIPTS}/triage.sh")
    assert done.returncode == 1
    assert "not reached by service-a service-b -> troubleshooting.md#redis-down" in done.stdout
    assert done.stdout.endswith("go on with: docs/operations/troubleshooting.md#redis-down\n")


def test_what_triage_cannot_see_is_no_comfort(without_prometheus: Stack) -> None:
    done = without_prometheus.shell(f"{SCRIPTS}/triage.sh")
    assert done.returncode == 1
    assert re.search(r"^errors +unknown", done.stdout, re.MULTILINE)
    assert done.stdout.endswith("go on with: docs/operations/monitoring.md\n")


def test_an_incident_is_not_closed_while_an_alert_fires(stack: Stack, tmp_path: Path) -> None:
    def run(command: str) -> Run:
        return stack.shell(command, INCIDENTS_DIR=str(tmp_path))

    alert = 'amtool --alertmanager.url="$ALERTMANAGER_URL" alert add alertname=Late severity=info'
    assert run(f"{alert} --start=$(date -u +%FT%TZ) --end=$(date -u -d '+5 minutes' +%FT%TZ)").returncode == 0
    assert "alerts that fire: Late (severity=info)" in run(f"{INCIDENT} open 4 T --impact I. --id one").stdout
    run(f"{INCIDENT} status one resolved x")
    refused = run(f"{INCIDENT} close one x")
    assert (refused.returncode, "still firing: Late (severity=info)" in refused.stderr) == (1, True)
    handed = run(f"{INCIDENT} handover one --to ben").stdout
    assert "- Late (severity=info), since " in handed
    assert "- load shedding: 0 % of new executions are turned away" in handed
    run(f"{alert} --start=$(date -u -d '-1 minute' +%FT%TZ) --end=$(date -u +%FT%TZ)")
    closed = run(f"for i in {{1..20}}; do {INCIDENT} close one x && break; sleep 0.5; done")
    assert "incident one is closed after" in closed.stdout

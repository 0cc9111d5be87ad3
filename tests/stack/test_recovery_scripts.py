"""The scripts of disaster recovery refuse what would make it worse, and say why; what the page proves is left to it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from stack.running_stack import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stack.running_stack import Stack

SCRIPTS = "deployment/scripts"
NOW = "to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"


@pytest.fixture
def backups(stack: Stack, tmp_path: Path) -> Path:
    """Three dumps in a folder of the test's own, made for its BACKUP_DIR."""
    for _ in range(3):
        done = stack.shell(f"{SCRIPTS}/backup.sh", BACKUP_DIR=str(tmp_path))
        assert done.returncode == 0, done.stderr
    return tmp_path


@pytest.fixture(scope="module")
def base(stack: Stack) -> Iterator[str]:
    """A base backup of the shared stack; returns its id."""
    done = stack.shell(f"{SCRIPTS}/base-backup.sh")
    assert done.returncode == 0, done.stderr
    yield done.stdout.split()[2].rstrip(",")
    stack.shell('rm -rf "$BACKUP_DIR/base"')


def dumps(folder: Path) -> list[Path]:
    return sorted(manifest.parent for manifest in folder.glob("*/manifest.json"))


def damage(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_a_standby_is_not_promoted_while_the_primary_answers(stack: Stack) -> None:
    done = stack.shell(f"{SCRIPTS}/promote.sh")
    assert (done.returncode, done.stdout) == (1, "")
    assert "postgres still answers and is writable" in done.stderr
    assert stack.query("select pg_is_in_recovery()") == "f"
    standby = stack.shell('psql -XAt "$REPLICA_DATABASE_URL" -c "select pg_is_in_recovery()"')
    assert standby.stdout == "t\n", standby.stderr


def test_a_server_whose_password_we_lack_is_not_taken_for_dead(stack: Stack) -> None:
    url = stack.env()["DATABASE_URL"]
    password = url.split(":")[2].partition("@")[0]
    done = stack.shell(f"{SCRIPTS}/promote.sh", DATABASE_URL=url.replace(password, "wrong"))
    assert done.returncode == 1
    assert "postgres answers, but not to us" in done.stderr
    assert stack.query("select pg_is_in_recovery()") == "f"


def test_what_the_standby_lacks_is_unknown_when_the_wal_of_the_old_primary_cannot_be_read(other: Stack) -> None:
    other.up()
    assert other.shell("supervisorctl stop postgres").returncode == 0
    for segment in (Path(other.env()["DATABASE_DIR"]) / "pg_wal").glob("0*"):
        segment.write_bytes(bytes(segment.stat().st_size))
    done = other.shell(f"{SCRIPTS}/promote.sh")
    assert done.stdout.splitlines()[-1:] == ["promoted postgres-replica, unknown bytes behind"], done.stderr


def test_what_an_earlier_test_left_running_is_ended(stack: Stack) -> None:
    order = '{"pipeline": "transform", "input": {"text": "one"}, "wait_s": 10}'
    assert stack.shell(f"curl -fsS \"$API_URL/api/execute/pipeline\" --json '{order}'").returncode == 0
    stack.query("update pipeline_executions set status = 'running', completed_at = null")
    left = int(stack.query("select count(*) from pipeline_executions where status = 'running'"))
    assert left > 0
    done = stack.shell("deployment/staging/settle.sh")
    assert (done.returncode, done.stderr) == (0, "")
    ended = "status = 'cancelled' and error_message = 'abandoned by an earlier test'"
    assert stack.query(f"select count(*) from pipeline_executions where {ended}") == str(left)
    assert stack.query("select count(*) from pipeline_executions where status = 'running'") == "0"
    assert stack.shell("deployment/staging/settle.sh", DATABASE_URL="").returncode == 2
    nobody = "postgresql://ia:ia@127.0.0.1:9/ia_modules"
    assert stack.shell("deployment/staging/settle.sh", DATABASE_URL=nobody).returncode == 1


def test_a_writable_server_is_not_rebuilt_and_one_that_streams_is_left_alone(stack: Stack) -> None:
    refused = stack.shell(f"{SCRIPTS}/rejoin.sh primary")
    assert refused.returncode == 1
    assert "postgres-replica is standby, no primary that postgres could follow" in refused.stderr
    done = stack.shell(f"{SCRIPTS}/rejoin.sh replica")
    assert done.stdout.startswith("postgres-replica streams from postgres, "), done.stderr
    assert not Path(stack.env()["REPLICA_DATABASE_DIR"] + ".before-rejoin").exists()


@pytest.mark.parametrize(
    ("time", "status", "reason"),
    [
        ("2020-01-01 00:00:00", 1, "no base backup is old enough: the oldest ended at 2"),
        ("2999-01-01T00:00:00Z", 1, "2999-01-01 00:00:00.000000 UTC has not come yet"),
        ("2020-01-01 00:00:00+02", 2, "expected a time in UTC"),
        ("yesterday", 2, "expected a time in UTC"),
    ],
)
def test_a_time_that_cannot_be_reached_is_refused(stack: Stack, base: str, time: str, status: int, reason: str) -> None:
    done = stack.shell(f"{SCRIPTS}/restore-to-time.sh '{time}'")
    assert (done.returncode, reason in done.stderr) == (status, True), f"{base}: {done.stderr}"


def test_a_damaged_base_backup_is_refused_and_named(stack: Stack, base: str, tmp_path: Path) -> None:
    shutil.copytree(Path(stack.env()["BACKUP_DIR"]) / "base", tmp_path / "base")
    damage(tmp_path / "base" / base / "data/base.tar.gz")
    time = stack.query(f"select {NOW}")
    done = stack.shell(f"{SCRIPTS}/restore-to-time.sh '{time}'", BACKUP_DIR=str(tmp_path))
    assert done.returncode == 1
    assert f"base backup {base} is damaged" in done.stderr
    assert not Path(stack.env()["SCRATCH_DATABASE_DIR"]).joinpath("PG_VERSION").exists()
    looked = stack.shell(f"{SCRIPTS}/verify-backup.sh base/{base}", BACKUP_DIR=str(tmp_path))
    assert (looked.returncode, looked.stdout) == (1, f"base backup {base}: damaged\n0 good, 1 damaged\n")


def test_a_gap_in_the_archive_is_refused(stack: Stack, base: str) -> None:
    archive = Path(stack.env()["WAL_ARCHIVE_DIR"])
    for _ in range(3):
        assert stack.shell(f"{SCRIPTS}/large-transactions.sh").returncode == 0
    missing = sorted(path for path in archive.iterdir() if len(path.name) == 24)[-2]
    time = stack.query(f"select {NOW}")
    kept = missing.read_bytes()
    missing.rename(archive / "aside")
    try:
        done = stack.shell(f"{SCRIPTS}/restore-to-time.sh '{time}'")
    finally:
        (archive / "aside").rename(missing)
    assert done.returncode == 1
    assert "the archive has a gap after ????????" in done.stderr
    assert f"from base backup {base}" in done.stderr
    assert missing.read_bytes() == kept


def test_the_whole_database_of_a_moment_ago_can_take_the_place_of_the_live_one(stack: Stack, base: str) -> None:
    stack.query("create table precious as select generate_series(1, 50) n")
    time = stack.query(f"select {NOW}")
    stack.query("drop table precious")
    try:
        done = stack.shell(f"{SCRIPTS}/restore-to-time.sh '{time}' --base {base}")
        assert done.stdout.startswith("recovered to "), done.stderr
        again = stack.shell(f"{SCRIPTS}/restore-to-time.sh '{time}'")
        assert "the scratch server runs" in again.stderr
        put_back = stack.shell(
            f'DATABASE_URL="$SCRATCH_DATABASE_URL" {SCRIPTS}/backup.sh && {SCRIPTS}/restore.sh --latest --replace'
        )
        assert put_back.returncode == 0, put_back.stderr
        assert stack.query("select count(*) from precious") == "50"
        stack.query("drop table precious")
    finally:
        stack.shell('supervisorctl stop postgres-scratch; find "$SCRATCH_DATABASE_DIR" -mindepth 1 -delete')


def test_the_transaction_that_deleted_most_is_found_by_its_time(stack: Stack) -> None:
    stack.query("create table precious as select generate_series(1, 500) n")
    stack.query("delete from precious where n > 100")
    stack.query("select pg_sleep(1)")  # the time below has no fractions
    time = stack.query("select to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')")
    stack.query("delete from precious where n > 50")
    stack.query("drop table precious")
    everything = stack.shell(f"{SCRIPTS}/large-transactions.sh").stdout.splitlines()
    recent = stack.shell(f"{SCRIPTS}/large-transactions.sh --since '{time}'").stdout.splitlines()
    assert everything[0].startswith("400 rows deleted, committed 2"), everything
    assert recent[0].startswith("50 rows deleted, committed 2"), recent


def test_the_newest_dump_is_still_the_latest_beside_a_base_backup(stack: Stack, base: str) -> None:
    made = stack.shell(f"{SCRIPTS}/backup.sh").stdout.split()[1]
    done = stack.shell(f"{SCRIPTS}/restore.sh --latest --into proof")
    assert done.stdout.endswith(f"from backup {made}\n"), f"{base}: {done.stderr}"
    stack.query("drop database proof")


def test_old_backups_go_and_the_newest_stay(stack: Stack, backups: Path) -> None:
    oldest, *newer = dumps(backups)
    done = stack.shell(f"{SCRIPTS}/prune.sh --keep 2", BACKUP_DIR=str(backups), WAL_ARCHIVE_DIR="")
    assert done.stdout == f"removed backup {oldest.name}\nkept 2 backups and 0 base backups\n", done.stderr
    assert dumps(backups) == newer


def test_the_newest_good_backup_stays_even_when_newer_ones_are_damaged(stack: Stack, backups: Path) -> None:
    oldest, good, damaged = dumps(backups)
    damage(damaged / "database.dump")
    done = stack.shell(f"{SCRIPTS}/prune.sh --keep 1", BACKUP_DIR=str(backups), WAL_ARCHIVE_DIR="")
    assert done.stdout == f"removed backup {oldest.name}\nkept 2 backups and 0 base backups\n", done.stderr
    assert dumps(backups) == [good, damaged]


def test_what_is_young_enough_stays(stack: Stack, backups: Path) -> None:
    done = stack.shell(f"{SCRIPTS}/prune.sh --keep 1 --older-than 1", BACKUP_DIR=str(backups), WAL_ARCHIVE_DIR="")
    assert done.stdout == "kept 3 backups and 0 base backups\n", done.stderr


@pytest.mark.parametrize("arguments", ["", "--keep 0", "--keep", "--keep two", "--keep 1 --older-than x"])
def test_nothing_is_pruned_by_a_slip(stack: Stack, tmp_path: Path, arguments: str) -> None:
    done = stack.shell(f"{SCRIPTS}/prune.sh {arguments}", BACKUP_DIR=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")


def test_wal_goes_only_when_no_base_backup_needs_it(stack: Stack, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    for number in range(1, 7):
        (archive / f"0000000100000000{number:08X}").touch()
    for number in (2, 4, 6):
        folder = tmp_path / f"base/2026010{number}T000000Z"
        folder.mkdir(parents=True)
        (folder / "base.json").write_text(
            json.dumps({"id": folder.name, "first_wal": f"0000000100000000{number:08X}"}, indent=2)
        )
    done = stack.shell(f"{SCRIPTS}/prune.sh --keep 2", BACKUP_DIR=str(tmp_path), WAL_ARCHIVE_DIR=str(archive))
    assert done.stdout.splitlines() == [
        "removed base backup 20260102T000000Z",
        "removed 3 WAL segments",
        "kept 0 backups and 2 base backups",
    ], done.stderr
    assert sorted(path.name[-1] for path in archive.iterdir()) == ["4", "5", "6"]


def test_a_backup_tells_monitoring_when_it_was_made(stack: Stack, tmp_path: Path) -> None:
    made = stack.shell(f"{SCRIPTS}/backup.sh", BACKUP_DIR=str(tmp_path), METRICS_DIR=str(tmp_path)).stdout.split()
    told = (tmp_path / "backup.prom").read_text().splitlines()
    values = dict(line.split() for line in told if not line.startswith("#"))
    assert (values["ia_backup_rows"], values["ia_backup_size_bytes"]) == (made[3], made[5])
    assert values["ia_backup_last_success_timestamp_seconds"].isdigit()
    assert [line.split()[2] for line in told if line.startswith("# TYPE")] == list(values)


def test_a_backup_that_fails_does_not_end_the_schedule(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/backup-schedule.env").write_text("BACKUP_EVERY=1\nBACKUP_KEEP=5\n")
    (tmp_path / "backups").touch()  # no folder can be made there
    done = stack.shell(
        f"timeout --signal=TERM 10 {SCRIPTS}/backup-schedule.sh 2>&1",
        STACK_DIR=str(tmp_path),
        BACKUP_DIR=str(tmp_path / "backups"),
        METRICS_DIR=str(tmp_path),
    )
    told = (tmp_path / "backup-schedule.prom").read_text().splitlines()
    assert told[-1] == "ia_backup_schedule_interval_seconds 1"
    assert done.stdout.count("the next round tries again") >= 2, done.stdout
    assert done.stdout.splitlines()[0].endswith("the next backup is in 1 s; 5 are kept")
    assert done.stdout.splitlines()[-1].endswith("stopped")


def test_a_record_is_begun_once_and_not_ended_before_it_was_begun(stack: Stack, tmp_path: Path) -> None:
    record = tmp_path / "recovery.md"
    script = f"{SCRIPTS}/recovery-record.sh"
    assert "start one with" in stack.shell(f"{script} end {record} --recovered-to '2026-01-01 00:00:00'").stderr
    assert stack.shell(f"{script} begin {record} 'only a test'").stdout.startswith("declared at 2")
    assert "is there already" in stack.shell(f"{script} begin {record} 'another'").stderr
    assert record.read_text().count("only a test") == 2


@pytest.mark.parametrize(
    "script", sorted(path.name for path in (ROOT / SCRIPTS).glob("*.sh") if path.stat().st_mode & 1)
)
def test_every_script_says_how_it_is_used(script: str) -> None:
    command = (f"{SCRIPTS}/{script}", "--help")
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: ")
    assert script in done.stdout.splitlines()[0]

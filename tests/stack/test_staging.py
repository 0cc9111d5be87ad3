"""The embedded staging stack keeps its promises: side by side, restartable, nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path
from smtplib import SMTP
from typing import TYPE_CHECKING
from urllib.request import urlopen

import psutil
import pytest

if TYPE_CHECKING:
    from stack.running_stack import Stack

VARIABLES = {
    "DATABASE_URL",
    "REDIS_URL",
    "API_URL",
    "SERVICE_A_URL",
    "SERVICE_B_URL",
    "PROMETHEUS_URL",
    "ALERTMANAGER_URL",
    "NOTIFICATIONS",
    "STACK_DIR",
    "BACKUP_DIR",
    "RELEASES_DIR",
    "REPLICA_DATABASE_URL",
    "WAL_ARCHIVE_DIR",
    "SERVICE_ENV",
    "MAILBOX",
    "METRICS_DIR",
    "PATH",
}

JOBS = ("service", "load-balancer", "postgres", "valkey", "node", "prometheus", "alertmanager")


def state(stack: Stack) -> dict[str, dict[str, int]]:
    read: dict[str, dict[str, int]] = json.loads((stack.folder / "state.json").read_text())
    return read


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def supervised(stack: Stack) -> list[psutil.Process]:
    supervisor = psutil.Process(int((stack.folder / "supervisord.pid").read_text()))
    return [supervisor, *supervisor.children(recursive=True)]


def still_runs(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that run; one that has ended and only waits for init to notice does not."""
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def test_everything_answers_after_up_and_a_second_up_is_quick_and_says_so(stack: Stack) -> None:
    assert stack.run("health").stdout == "everything answers\n"
    begun = time.monotonic()
    assert stack.up().startswith("already up:")
    assert time.monotonic() - begun < 5


def test_env_names_all_that_procedures_need_and_it_is_true(stack: Stack) -> None:
    variables = stack.env()
    assert variables.keys() >= VARIABLES
    for name in ("API_URL", "SERVICE_A_URL", "SERVICE_B_URL"):
        with urlopen(f"{variables[name]}/health", timeout=5) as answer:
            assert json.load(answer)["status"] == "healthy"
    assert stack.query("select current_database()") == "ia_modules"
    found = stack.shell("command -v psql pg_dump pg_restore promtool amtool supervisorctl")
    assert found.stdout.splitlines() == [f"{stack.folder}/bin/{Path(path).name}" for path in found.stdout.split()]
    assert len(found.stdout.split()) == 6


def test_services_have_names_and_versions(stack: Stack) -> None:
    lines = stack.run("services").stdout.splitlines()
    services = dict(line.split(" ", 1) for line in lines)
    assert lines[0].startswith("service-a "), "the site names the first one as what was tested"
    assert services.keys() >= {"postgres", "valkey", "envoy", "prometheus", "alertmanager", "service-a", "service-b"}
    assert all(version[0].isdigit() for version in services.values())


def test_prometheus_scrapes_all_of_it(stack: Stack) -> None:
    url = f"{stack.env()['PROMETHEUS_URL']}/api/v1/query?query=up"
    jobs: dict[str, str] = {}
    deadline = time.monotonic() + 60
    while jobs != dict.fromkeys(JOBS, "1") and time.monotonic() < deadline:
        with urlopen(url, timeout=5) as answer:
            result = json.load(answer)["data"]["result"]
        jobs = {sample["metric"]["job"]: sample["value"][1] for sample in result}
        time.sleep(0.2)
    assert jobs == dict.fromkeys(JOBS, "1")


def test_a_dead_replica_makes_health_say_so_while_the_other_serves(stack: Stack) -> None:
    assert stack.shell("supervisorctl stop service-b").returncode == 0
    try:
        health = stack.run("health")
        assert health.returncode == 1
        assert "service-b: " in health.stdout
        with urlopen(f"{stack.env()['API_URL']}/health", timeout=5) as answer:
            assert json.load(answer)["replica"] == "service-a"
        assert "it was up, but not well: starting anew" in stack.run("up").stdout
    finally:
        stack.up()
    assert stack.run("health").returncode == 0


def test_a_second_primary_is_a_finding(other: Stack) -> None:
    other.up()
    promote = 'psql -XqAt "${REPLICA_DATABASE_URL%/*}/postgres" -c "select pg_promote()"'
    assert other.shell(promote).stdout == "t\n"
    health = other.run("health")
    assert (health.returncode, health.stdout) == (1, "replication: 2 servers take writes\n")


def test_mail_is_kept(stack: Stack) -> None:
    port = state(stack)["ports"]["mailbox"]
    with SMTP("127.0.0.1", port) as server:
        server.sendmail("from@here.example", ["to@there.example"], "Subject: lost disk\r\n\r\nwhich one?\r\n")
    kept = map(json.loads, Path(stack.env()["MAILBOX"]).read_text().splitlines())
    (mail,) = [mail for mail in kept if mail["to"] == ["to@there.example"]]  # alerts are mailed, too
    assert (mail["subject"], mail["body"]) == ("lost disk", "which one?\r\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount the volume for backups")
def test_the_volume_for_backups_is_small_and_goes_with_the_stack(other: Stack) -> None:
    other.up()
    backups = Path(other.env()["BACKUP_DIR"])
    assert backups.is_mount()
    assert shutil.disk_usage(backups).total == 512 * 1024 * 1024
    assert other.run("down").returncode == 0
    assert not backups.exists()
    assert str(backups) not in Path("/proc/mounts").read_text()


def test_stacks_live_side_by_side_and_down_leaves_nothing_of_its_own(stack: Stack, other: Stack) -> None:
    other.up()
    ports, processes = state(other)["ports"], supervised(other)
    database = Path(str(state(other)["database_folder"]))
    assert not set(ports.values()) & set(state(stack)["ports"].values())
    assert len(processes) > 10

    assert other.run("down").returncode == 0
    assert still_runs(processes) == []
    assert [port for port in ports.values() if listens(port)] == []
    assert not other.folder.exists()
    assert not database.exists()
    assert other.run("down").stdout.startswith("nothing runs in ")
    assert stack.run("health").returncode == 0


def test_up_cleans_a_stack_whose_supervisor_was_killed(other: Stack) -> None:
    other.up()
    supervisor, *children = supervised(other)
    supervisor.kill()
    assert len(still_runs(children)) > 10  # some of them come and go, as the workers of a database do
    assert other.up().startswith("it was up, but not well: starting anew\nup in ")
    assert still_runs(children) == []
    assert other.run("health").returncode == 0


def test_data_survives_when_it_is_kept(other: Stack) -> None:
    other.up()
    other.query("create table kept as select 42 as answer")
    url = other.env()["DATABASE_URL"]
    assert other.run("down", "--keep-data").returncode == 0
    assert not listens(state(other)["ports"]["postgres"])
    other.up()
    assert other.query("select answer from kept") == "42"
    assert other.env()["DATABASE_URL"] == url


def test_a_stack_that_is_not_there_is_said_to_be_not_there(other: Stack) -> None:
    for command in ("env", "health", "services", "logs"):
        done = other.run(command)
        assert done.returncode == 1
        assert f"no stack in {other.folder}; start one with: " in done.stderr
    assert other.run("fly").returncode == 2


def test_a_missing_program_is_named_with_the_command_that_installs_it(other: Stack) -> None:
    with tempfile.TemporaryDirectory() as bare:
        Path(bare).chmod(0o755)
        (Path(bare) / "python3").symlink_to(sys.executable)
        done = other.run("up", PATH=bare, RUNBOOK_STAGING_CACHE=f"{bare}/cache")
    assert done.returncode == 1
    installer = "brew" if sys.platform == "darwin" else "apt-get"
    for program in ("prometheus", "alertmanager", "promtool", "amtool"):
        assert f"  {program}: {installer} install " in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's PostgreSQL is dropped to another user")
def test_a_cache_that_the_database_user_cannot_reach_is_refused(other: Stack, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    done = other.run("up", RUNBOOK_STAGING_CACHE=str(closed / "cache"))
    assert done.returncode == 1
    assert "the user nobody cannot pass" in done.stderr
    shutil.rmtree(closed)

"""What the infrastructure page makes its trouble with, and what it looks with."""

from __future__ import annotations

import re
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from stack.running_stack import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stack.running_stack import Stack

FAULTS = "deployment/staging/faults"


@pytest.fixture
def scratch(stack: Stack) -> Iterator[Stack]:
    stack.query("CREATE DATABASE t_hold")
    yield stack
    stack.query("DROP DATABASE IF EXISTS t_hold WITH (FORCE)")


def test_every_service_is_well_until_one_is_not(stack: Stack) -> None:
    deadline = time.monotonic() + 30  # a stack that has just come up was not scraped yet
    while (well := stack.shell("deployment/scripts/services.sh")).returncode and time.monotonic() < deadline:
        time.sleep(0.5)
    assert (well.returncode, well.stdout.splitlines()[-1]) == (0, "14 services, 0 down"), well.stdout
    stack.shell("supervisorctl stop valkey")
    try:
        ill = stack.shell("deployment/scripts/services.sh")
    finally:
        stack.shell("supervisorctl start valkey")
    assert ill.returncode == 1
    down = {line.split()[0] for line in ill.stdout.splitlines() if " DOWN " in line}
    assert {"valkey", "service-a", "service-b"} <= down
    assert not down & {"postgres", "postgres-replica", "replication", "envoy", "api", "prometheus", "alertmanager"}


def test_two_servers_that_both_take_writes_are_not_well(stack: Stack) -> None:
    done = stack.shell('REPLICA_DATABASE_URL="$DATABASE_URL" deployment/scripts/services.sh')
    assert done.returncode == 1
    assert re.search(r"^replication +DOWN role: takes writes role: takes writes", done.stdout, re.MULTILINE)


def test_nothing_that_does_not_answer_is_well(stack: Stack) -> None:
    gone = "http://127.0.0.1:1"
    done = stack.shell(
        f"PROMETHEUS_URL={gone} ALERTMANAGER_URL={gone} API_URL={gone} deployment/scripts/services.sh | grep -c DOWN"
    )
    assert done.stdout.strip() == "6"


@pytest.mark.parametrize(
    "script",
    ["deployment/scripts/services.sh", f"{FAULTS}/hold-table.sh x y 1", "deployment/staging/trial.sh /nowhere",
     "deployment/staging/old-database.sh x V001"],
)  # fmt: skip
def test_each_explains_itself_and_says_what_it_lacks(stack: Stack, script: str) -> None:
    name = script.split(maxsplit=1)[0]
    assert stack.shell(f"{name} --help").stdout.startswith(f"Usage: {name}")
    assert stack.shell(f"{name} --unknown").returncode == 2
    bare = stack.shell(f"env -i PATH=$PATH {script}")
    assert (bare.returncode, "is not set; take it from" in bare.stderr) == (2, True)


def test_a_table_is_held_when_it_says_so_and_one_that_is_not_there_is_told(scratch: Stack) -> None:
    scratch.shell('psql -Xq "${DATABASE_URL%/*}/t_hold" -c "CREATE TABLE t (a int)"')
    begun = time.monotonic()
    held = scratch.shell(f"{FAULTS}/hold-table.sh t_hold t 60")
    assert held.returncode == 0, held.stderr
    assert time.monotonic() - begun < 30
    read = scratch.shell('psql -Xq "${DATABASE_URL%/*}/t_hold" -c "SET lock_timeout = 100" -c "SELECT count(*) FROM t"')
    assert "canceling statement due to lock timeout" in read.stderr
    missing = scratch.shell(f"{FAULTS}/hold-table.sh t_hold nowhere 60")
    assert missing.returncode == 1


def test_a_line_passes_until_it_is_told_otherwise(stack: Stack, tmp_path: Path) -> None:
    variables = stack.env()
    server = variables["DATABASE_URL"].split("@")[1].split("/")[0]
    line = subprocess.Popen([ROOT / FAULTS / "line.py", server, tmp_path / "state", tmp_path / "port"])
    try:
        deadline = time.monotonic() + 20
        while not (tmp_path / "port").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        port = (tmp_path / "port").read_text().strip()

        def ask() -> str:
            url = variables["DATABASE_URL"].replace(server, f"127.0.0.1:{port}")
            done = stack.shell('PGCONNECT_TIMEOUT=2 psql -XAt "$URL" -c "SELECT 41 + 1"', URL=url)
            return done.stdout.strip() or done.stderr

        assert ask() == "42"
        (tmp_path / "state").write_text("silent\n")
        assert "timeout expired" in ask()
        (tmp_path / "state").write_text("nonsense\n")
        assert ask() != "42"  # the number of a port may hold these digits
        (tmp_path / "state").write_text("pass\n")
        assert ask() == "42"
    finally:
        line.terminate()
        line.wait()


def test_mariadb_answers_with_a_driver_for_it_and_leaves_nothing(stack: Stack, tmp_path: Path) -> None:
    folder = tmp_path / "server"
    server = subprocess.Popen([ROOT / "deployment/staging/mariadb", folder])
    try:
        deadline = time.monotonic() + 120
        while not (folder / "env").exists():
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        again = subprocess.run(
            [ROOT / "deployment/staging/mariadb", folder], capture_output=True, text=True, check=False
        )
        assert (again.returncode, "is there already" in again.stderr) == (1, True)
        asked = stack.shell(
            f'. {folder}/env && PYTHONPATH=$MARIADB_PYTHONPATH python3 -c "import pymysql, sys, urllib.parse as p; '
            "u = p.urlparse(sys.argv[1]); c = pymysql.connect(host=u.hostname, port=u.port, user=u.username, "
            "password=u.password, database=u.path[1:]).cursor(); c.execute('SELECT version()'); "
            'print(c.fetchone()[0])" "$MARIADB_URL"'
        )
        assert asked.stdout.startswith("10.11."), asked.stderr
        assert (folder / "env").stat().st_mode & 0o077 == 0
        assert not (folder / "first.sql").exists()
    finally:
        server.terminate()
        assert server.wait(30) == 0
    assert not folder.exists()

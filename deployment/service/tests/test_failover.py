"""A primary and its standby, both named in DATABASE_URL: who dies, who takes over, and what the service notices."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import (
    NOBODY,
    RunningReplica,
    Server,
    StartReplica,
    make_database_directory,
    postgres_server,
    postgres_tool,
    query,
    run_service,
    wait_until,
)
from line import Line


@dataclass(frozen=True, slots=True)
class Pair:
    primary: Server
    standby: Server

    def url(self, *ports: int, options: str = "?target_session_attrs=read-write") -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports or (self.primary.port, self.standby.port))
        return f"postgresql://ia:secret@{hosts}/postgres{options}"

    def kill_primary(self) -> None:
        # An immediate shutdown is a crash: nothing is written, nobody is told.
        os.kill(self.primary.pid, signal.SIGQUIT)

    def promote(self) -> None:
        query(self.url(self.standby.port, options=""), "SELECT pg_promote()")


@pytest.fixture
def pair(place: Path, request: pytest.FixtureRequest) -> Iterator[Pair]:
    folder = place / request.node.name
    folder.mkdir()
    if NOBODY is not None:
        os.chown(folder, NOBODY, NOBODY)
    make_database_directory(folder / "one")
    with ExitStack() as stack:
        primary = stack.enter_context(postgres_server(folder / "one"))
        source = f"host=127.0.0.1 port={primary.port} user=ia"
        # --write-recovery-conf: standby.signal and where the primary is.
        postgres_tool("pg_basebackup", "-d", source, "-D", folder / "two", "--write-recovery-conf", "-c", "fast")
        standby = stack.enter_context(postgres_server(folder / "two"))
        yield Pair(primary, standby)


def replayed(pair: Pair) -> bool:
    url = pair.url(pair.standby.port, options="")
    return query(url, "SELECT to_regclass('service_jobs') IS NOT NULL") == [(True,)]


def accepted(replica: RunningReplica) -> bool:
    return replica.http.post("/api/execute/pipeline", json={"pipeline": "transform"}).status_code == 202


def test_migrations_and_executions_go_to_the_primary_wherever_it_stands(
    pair: Pair, start_replica: StartReplica
) -> None:
    standby_first = pair.url(pair.standby.port, pair.primary.port)
    assert run_service("migrate", "--check", DATABASE_URL=standby_first).returncode == 1
    migrated = run_service("migrate", DATABASE_URL=standby_first)
    assert (migrated.returncode, migrated.stderr) == (0, "")
    replica = start_replica(standby_first)
    assert replica.execute("transform", text="x")["status"] == "completed"
    assert replica.http.get("/health").status_code == 200


def test_after_a_promotion_the_pool_finds_the_new_primary_without_a_restart(
    pair: Pair, start_replica: StartReplica
) -> None:
    assert run_service("migrate", DATABASE_URL=pair.url()).returncode == 0
    replica = start_replica(pair.url(), POOL_SIZE="3")
    job = replica.execute("transform", text="before")["job_id"]
    wait_until(lambda: replayed(pair), "the standby has the tables")
    assert replica.http.get("/health").status_code == 200
    pair.kill_primary()
    refused = replica.http.post("/api/execute/pipeline", json={"pipeline": "transform"})
    assert (refused.status_code, refused.json()["error"]) == (503, "database_unavailable")
    assert replica.http.get("/health").status_code == 503
    pair.promote()
    wait_until(lambda: replica.http.get("/health").status_code == 200, "health returns")
    assert replica.execute("transform", text="after")["status"] == "completed"
    assert replica.http.get(f"/api/execute/status/{job}").json()["status"] == "completed"
    assert run_service("migrate", "--check", DATABASE_URL=pair.url()).returncode == 0


def test_a_silent_first_server_is_tried_once_and_then_passed_by(pair: Pair, start_replica: StartReplica) -> None:
    assert run_service("migrate", DATABASE_URL=pair.url()).returncode == 0
    wait_until(lambda: replayed(pair), "the standby has the tables")
    with Line("127.0.0.1", pair.primary.port) as line:
        url = pair.url(line.port, pair.standby.port)
        replica = start_replica(url, QUERY_TIMEOUT_SECONDS="1.5")
        assert replica.execute("transform", text="x")["status"] == "completed"
        line.freeze()
        pair.promote()
        refused = replica.http.post("/api/execute/pipeline", json={"pipeline": "transform"})
        assert (refused.status_code, refused.json()["error"]) == (503, "database_unavailable")
        assert replica.execute("transform", text="x")["status"] == "completed"


def test_a_server_that_turned_read_only_counts_as_unavailable_and_its_connections_are_dropped(
    pair: Pair, start_replica: StartReplica
) -> None:
    assert run_service("migrate", DATABASE_URL=pair.url()).returncode == 0
    replica = start_replica(pair.url())
    assert replica.execute("transform", text="x")["status"] == "completed"
    primary = pair.url(pair.primary.port, options="")
    query(primary, "ALTER SYSTEM SET default_transaction_read_only = on")
    query(primary, "SELECT pg_reload_conf()")
    wait_until(lambda: query(primary, "SHOW default_transaction_read_only") == [("on",)], "the primary is read-only")
    refused = replica.http.post("/api/execute/pipeline", json={"pipeline": "transform"})
    assert (refused.status_code, refused.json()["error"]) == (503, "database_unavailable")
    assert replica.metric("ia_service_db_pool_idle") == 0
    wait_until(lambda: replayed(pair), "the standby has the tables")
    pair.promote()
    wait_until(lambda: accepted(replica), "the new primary takes executions")
    assert "read-only" in replica.log.read_text()

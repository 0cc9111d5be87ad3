"""What a replica does while its dependencies are silent, gone, and back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg2
import pytest
from conftest import RunningReplica, StartReplica, create_database, free_port, query, replica_starter, wait_until
from line import Line


def through(line: Line, url: str) -> str:
    return f"postgresql://ia@127.0.0.1:{line.port}/{url.rpartition('/')[2]}"


@pytest.fixture(scope="module")
def behind_line(place: Path, postgres: int, valkey: str, migrated: str, line: Line) -> Iterator[RunningReplica]:
    """A replica that every test leaves with a mended line."""
    with replica_starter(place, valkey) as start:
        yield start(through(line, create_database(postgres, migrated)), QUERY_TIMEOUT_SECONDS="1")


def test_a_lost_database_is_a_clear_503_and_comes_back_without_a_restart(
    behind_line: RunningReplica, line: Line
) -> None:
    assert behind_line.execute("transform", text="x")["status"] == "completed"
    line.cut()
    answer = behind_line.http.post("/api/execute/pipeline", json={"pipeline": "transform"})
    assert (answer.status_code, answer.json()["error"]) == (503, "database_unavailable")
    health = behind_line.http.get("/health")
    assert (health.status_code, health.json()["checks"]["database"]["ok"]) == (503, False)
    assert behind_line.http.get("/ready").status_code == 200
    assert behind_line.metric("ia_service_db_up") == 0
    line.mend()
    assert behind_line.execute("transform", text="x")["status"] == "completed"
    assert behind_line.http.get("/health").status_code == 200


def test_a_silent_database_holds_up_neither_health_nor_requests(behind_line: RunningReplica, line: Line) -> None:
    assert behind_line.http.get("/health").status_code == 200
    line.freeze()
    started = time.monotonic()
    health = behind_line.http.get("/health")
    assert time.monotonic() - started < 5
    assert health.json()["checks"]["database"]["ok"] is False
    started = time.monotonic()
    answer = behind_line.http.get("/api/execute/status/any")
    assert (answer.status_code, answer.json()["error"]) == (503, "database_unavailable")
    assert time.monotonic() - started < 4
    line.thaw()
    wait_until(lambda: behind_line.http.get("/health").status_code == 200, "health returns")


def test_a_silent_database_does_not_make_a_scrape_late_and_the_next_ones_say_so(
    behind_line: RunningReplica, line: Line
) -> None:
    scraped_s: list[float] = []

    def up() -> float:
        started = time.monotonic()
        page = behind_line.http.get("/metrics", headers={"X-Prometheus-Scrape-Timeout-Seconds": "2"})
        scraped_s.append(time.monotonic() - started)
        assert page.status_code == 200
        return float(page.text.split("\nia_service_db_up ")[1].split()[0])

    wait_until(lambda: up() == 1, "the database is up")
    line.freeze()
    scraped_s.clear()
    wait_until(lambda: up() == 0, "the metrics say that the database is silent")
    assert len(scraped_s) > 1  # the first ones answer from before
    assert sorted(scraped_s)[len(scraped_s) // 2] < 2
    line.thaw()
    wait_until(lambda: up() == 1, "the database is back")


@pytest.mark.parametrize("hint", ["nan", "-1", "0", "inf", "soon", ""])
def test_a_scrape_that_does_not_say_how_long_it_waits_gets_a_look(behind_line: RunningReplica, hint: str) -> None:
    page = behind_line.http.get("/metrics", headers={"X-Prometheus-Scrape-Timeout-Seconds": hint})
    assert "\nia_service_db_up 1.0\n" in page.text


def test_a_replica_starts_without_its_database_and_serves_once_it_is_there(
    line: Line, database: str, start_replica: StartReplica
) -> None:
    line.cut()
    late = start_replica(through(line, database), "late")
    assert late.http.get("/health").status_code == 503
    line.mend()
    assert late.execute("transform", text="x")["status"] == "completed"


def test_an_end_that_could_not_be_recorded_is_recorded_when_the_database_is_back(
    behind_line: RunningReplica, line: Line
) -> None:
    job = behind_line.execute("slow", wait_s=0, seconds=4)["job_id"]
    line.cut()
    time.sleep(1.5)  # it records each second how far it is
    line.mend()
    status = f"/api/execute/status/{job}"
    wait_until(lambda: behind_line.http.get(status).json()["status"] == "failed", "the failure is recorded")
    assert "database does not answer" in behind_line.http.get(status).json()["error"]


def test_without_redis_the_api_serves_and_health_says_so(database: str, start_replica: StartReplica) -> None:
    alone = start_replica(database, REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    assert alone.execute("transform", text="x")["status"] == "completed"
    health = alone.http.get("/health")
    assert health.status_code == 503
    assert {n: c["ok"] for n, c in health.json()["checks"].items()} == {
        "database": True,
        "redis": False,
        "migrations": True,
    }


def test_what_waits_for_a_lock_is_given_up_in_the_database_too(database: str, start_replica: StartReplica) -> None:
    impatient = start_replica(database, QUERY_TIMEOUT_SECONDS="0.5")
    holder = psycopg2.connect(database)
    try:
        holder.cursor().execute("LOCK TABLE pipeline_executions IN EXCLUSIVE MODE")
        answer = impatient.http.post("/api/execute/pipeline", json={"pipeline": "transform"})
        assert (answer.status_code, answer.json()["error"]) == (503, "database_unavailable")
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        wait_until(lambda: query(database, waiting) == [(0,)], "no session waits on")
    finally:
        holder.close()
    assert query(database, "SELECT count(*) FROM pipeline_executions") == [(0,)]


def test_an_exhausted_pool_is_a_clear_503(database: str, line: Line, start_replica: StartReplica) -> None:
    narrow = start_replica(
        through(line, database),
        POOL_SIZE="1",
        POOL_TIMEOUT_SECONDS="0.2",
        QUERY_TIMEOUT_SECONDS="20",
    )
    assert narrow.execute("transform", text="x")["status"] == "completed"
    job = narrow.execute("slow", wait_s=0, seconds=4)["job_id"]
    line.freeze()
    time.sleep(1.5)  # it records each second how far it is
    answer = narrow.http.get("/api/execute/status/any")
    line.thaw()
    assert (answer.status_code, answer.json()["error"]) == (503, "pool_exhausted")
    assert narrow.metric("ia_service_db_pool_exhausted") >= 1
    wait_until(lambda: narrow.http.get(f"/api/execute/status/{job}").json()["status"] == "completed", "the job ends")


def test_an_order_that_is_refused_half_way_does_not_stay_running(database: str, start_replica: StartReplica) -> None:
    narrow = start_replica(database, POOL_SIZE="1", POOL_TIMEOUT_SECONDS="0.01")
    order = {"pipeline": "transform", "input": {"text": "x"}}

    def refused_half_way() -> bool:
        with ThreadPoolExecutor(10) as callers:
            answers = list(callers.map(lambda _: narrow.http.post("/api/execute/pipeline", json=order), range(30)))
        assert {answer.status_code for answer in answers} <= {202, 503}
        return query(database, refused) != [(0,)]

    refused = "SELECT count(*) FROM pipeline_executions WHERE error_message = 'refused: pool_exhausted'"
    wait_until(refused_half_way, "an order is refused between its two statements")
    running = "SELECT count(*) FROM pipeline_executions WHERE status = 'running'"
    wait_until(lambda: query(database, running) == [(0,)], "nothing runs any more")

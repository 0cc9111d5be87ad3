"""Checkpoints that live in Redis: the same as in the database, until their time is over."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import VALKEY, StartReplica, answers, free_port, process, query, wait_until

IN_REDIS = {"CHECKPOINTS": "redis", "STUCK_AFTER_SECONDS": "2"}


def checkpoints(http: Any, job: object, **page: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = http.get(f"/api/checkpoints/{job}", params=page).json()["checkpoints"]
    return found


def test_every_step_has_its_checkpoint_and_the_database_has_none(database: str, start_replica: StartReplica) -> None:
    redis, plain = start_replica(database, "redis", **IN_REDIS), start_replica(database, "plain")
    jobs = [each.execute("transform", text="kept")["job_id"] for each in (redis, plain)]
    found = [checkpoints(each.http, job) for each, job in zip((redis, plain), jobs, strict=True)]
    said = [[(c["step"], c["step_index"], sorted(c["state"])) for c in each] for each in found]
    assert said[0] == said[1]
    assert len(said[0]) >= 2
    assert checkpoints(redis.http, jobs[0], limit=1, offset=1) == found[0][1:2]
    assert query(database, "SELECT DISTINCT thread_id FROM pipeline_checkpoints") == [(jobs[1],)]


def test_a_killed_execution_goes_on_from_its_newest_checkpoint(database: str, start_replica: StartReplica) -> None:
    doomed, other = start_replica(database, "doomed", **IN_REDIS), start_replica(database, "other", **IN_REDIS)
    job = doomed.execute("slow", wait_s=0, seconds=12)["job_id"]
    wait_until(lambda: len(checkpoints(other.http, job)) >= 2, "two checkpoints")
    os.kill(doomed.pid, signal.SIGKILL)
    os.waitpid(doomed.pid, 0)
    wait_until(lambda: other.metric("ia_service_executions_stuck") == 1, "it is stuck")
    ended = other.http.post(f"/api/execute/{job}/resume", json={"wait_s": 20}).json()
    assert (ended["status"], ended["metadata"]["resumed_from"]) == ("completed", "wait_2")
    assert ended["output"]["waited"] == 12.0


def test_a_checkpoint_lasts_as_long_as_it_was_told(database: str, start_replica: StartReplica) -> None:
    replica = start_replica(database, "short", CHECKPOINT_SECONDS="4", **IN_REDIS)
    begun = time.monotonic()
    job = replica.execute("transform", text="brief")["job_id"]
    assert checkpoints(replica.http, job)
    wait_until(lambda: not checkpoints(replica.http, job), "they are gone")
    assert time.monotonic() - begun >= 4


@pytest.fixture
def redis_to_stop(place: Path) -> Any:
    port = free_port()
    options = ("--port", str(port), "--save", "", "--dir", place)
    with process(VALKEY, *options, log=place / "redis-to-stop.log") as pid:
        wait_until(lambda: answers(port), "Redis answers")
        yield f"redis://127.0.0.1:{port}/0", pid


def test_without_redis_executions_run_and_checkpoints_are_a_clear_503(
    database: str, start_replica: StartReplica, redis_to_stop: tuple[str, int]
) -> None:
    url, pid = redis_to_stop
    replica = start_replica(database, "lost", REDIS_URL=url, **IN_REDIS)
    job = replica.execute("transform", text="before")["job_id"]
    os.kill(pid, signal.SIGSTOP)  # it hangs, which is worse than being gone
    try:
        started = time.monotonic()
        assert replica.execute("transform", text="without")["status"] == "completed"
        assert time.monotonic() - started < 15
        answer = replica.http.get(f"/api/checkpoints/{job}")
        assert (answer.status_code, answer.json()["error"]) == (503, "redis_unavailable")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert checkpoints(replica.http, job)

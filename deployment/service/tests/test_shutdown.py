from __future__ import annotations

import os
import signal
import time

import httpx
import pytest
from conftest import StartReplica, query, wait_until


def test_on_sigterm_a_replica_is_unready_first_and_still_serves(database: str, start_replica: StartReplica) -> None:
    replica = start_replica(database, DRAIN_SECONDS="1")
    os.kill(replica.pid, signal.SIGTERM)
    wait_until(lambda: replica.http.get("/ready").status_code == 503, "ready says no", 0.5)
    assert replica.http.get("/ready").json()["state"] == "draining"
    assert replica.execute("transform", text="x")["status"] == "completed"
    status = os.waitpid(replica.pid, 0)[1]
    assert os.waitstatus_to_exitcode(status) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{replica.url}/ready")


def test_executions_in_flight_finish_before_a_replica_ends(database: str, start_replica: StartReplica) -> None:
    replica = start_replica(database)
    job = replica.execute("slow", wait_s=0, seconds=1)["job_id"]
    os.kill(replica.pid, signal.SIGTERM)
    os.waitpid(replica.pid, 0)
    assert query(database, f"SELECT status FROM pipeline_executions WHERE execution_id = '{job}'") == [("completed",)]


def test_what_does_not_finish_in_time_is_recorded_as_interrupted_with_its_checkpoints(
    database: str, start_replica: StartReplica
) -> None:
    replica = start_replica(database, SHUTDOWN_SECONDS="0.5", MAX_RUNNING="1")
    job = replica.execute("slow", wait_s=0, seconds=8)["job_id"]
    queued = replica.execute("transform", wait_s=0, text="x")["job_id"]
    wait_until(lambda: replica.http.get(f"/api/checkpoints/{job}").json()["checkpoints"] != [], "a checkpoint")
    started = time.monotonic()
    os.kill(replica.pid, signal.SIGTERM)
    os.waitpid(replica.pid, 0)
    assert time.monotonic() - started < 4
    rows = query(database, "SELECT execution_id, status, left(error_message, 11) FROM pipeline_executions")
    assert sorted(rows) == sorted([(job, "cancelled", "interrupted"), (queued, "cancelled", "interrupted")])
    assert query(database, f"SELECT step_id FROM pipeline_checkpoints WHERE thread_id = '{job}'") == [("wait_1",)]


def test_a_full_queue_is_recorded_before_a_replica_ends(database: str, start_replica: StartReplica) -> None:
    replica = start_replica(database, SHUTDOWN_SECONDS="0", MAX_RUNNING="1")
    for _ in range(400):
        replica.execute("slow", wait_s=0, seconds=600)
    os.kill(replica.pid, signal.SIGTERM)
    os.waitpid(replica.pid, 0)
    rows = query(database, "SELECT status, left(error_message, 11), count(*) FROM pipeline_executions GROUP BY 1, 2")
    assert rows == [("cancelled", "interrupted", 400)]

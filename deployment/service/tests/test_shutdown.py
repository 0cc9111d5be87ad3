from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from conftest import StartReplica, query, wait_until

from ia_service.live import cancel


def test_on_sigterm_a_replica_is_unready_first_and_still_serves(database: str, start_replica: StartReplica) -> None:
    replica = start_replica(database, DRAIN_SECONDS="300")
    os.kill(replica.pid, signal.SIGTERM)
    wait_until(lambda: replica.http.get("/ready").status_code == 503, "ready says no")
    assert replica.http.get("/ready").json()["state"] == "draining"
    assert replica.execute("transform", text="x")["status"] == "completed"
    os.kill(replica.pid, signal.SIGTERM)  # who does not want to wait that long
    status = os.waitpid(replica.pid, 0)[1]
    assert os.waitstatus_to_exitcode(status) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{replica.url}/ready")


def test_no_request_of_a_drain_is_lost_and_no_connection_outlives_its_answer(
    database: str, start_replica: StartReplica
) -> None:
    replica = start_replica(database, DRAIN_SECONDS="300")
    os.kill(replica.pid, signal.SIGTERM)
    wait_until(lambda: replica.http.get("/ready").status_code == 503, "ready says no")

    def ask(_: int) -> tuple[int, str]:
        answer = replica.http.get("/version")
        return answer.status_code, answer.headers["connection"]

    with ThreadPoolExecutor(6) as clients:
        assert set(clients.map(ask, range(300))) == {(200, "close")}
    os.kill(replica.pid, signal.SIGTERM)


def test_executions_in_flight_finish_before_a_replica_ends(database: str, start_replica: StartReplica) -> None:
    replica = start_replica(database, DRAIN_SECONDS="0.2")
    job = replica.execute("slow", wait_s=0, seconds=1)["job_id"]
    os.kill(replica.pid, signal.SIGTERM)
    os.waitpid(replica.pid, 0)
    assert query(database, f"SELECT status FROM pipeline_executions WHERE execution_id = '{job}'") == [("completed",)]


def test_what_does_not_finish_in_time_is_recorded_as_interrupted_with_its_checkpoints(
    database: str, start_replica: StartReplica
) -> None:
    replica = start_replica(database, SHUTDOWN_SECONDS="0.5", MAX_RUNNING="1")
    job = replica.execute("slow", wait_s=0, seconds=24)["job_id"]
    queued = replica.execute("transform", wait_s=0, text="x")["job_id"]
    wait_until(lambda: replica.http.get(f"/api/checkpoints/{job}").json()["checkpoints"] != [], "a checkpoint")
    started = time.monotonic()
    os.kill(replica.pid, signal.SIGTERM)
    os.waitpid(replica.pid, 0)
    assert time.monotonic() - started < 15  # what is left of the execution takes longer
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


def test_requests_and_executions_share_the_time_they_have_to_end(database: str, start_replica: StartReplica) -> None:
    replica = start_replica(database, SHUTDOWN_SECONDS="8", DRAIN_SECONDS="0")
    waiting = threading.Thread(target=wait_for_result, args=(replica.url,))
    waiting.start()
    wait_until(lambda: query(database, "SELECT count(*) FROM service_jobs") == [(1,)], "the execution is taken")
    started = time.monotonic()
    os.kill(replica.pid, signal.SIGTERM)
    os.waitpid(replica.pid, 0)
    # The server waits 9 s for the request; another 8 s for the execution would be 17 s.
    assert time.monotonic() - started < 16
    waiting.join()
    assert query(database, "SELECT status FROM pipeline_executions") == [("cancelled",)]


def wait_for_result(url: str) -> None:
    order = {"pipeline": "slow", "input": {"seconds": 600}, "wait_s": 30}
    with contextlib.suppress(httpx.HTTPError):
        httpx.post(f"{url}/api/execute/pipeline", json=order, timeout=60)


def test_a_lost_cancellation_is_said_again() -> None:
    async def scenario() -> int:
        lost = 0

        async def loses_two() -> None:
            nonlocal lost
            while True:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    if lost == 2:
                        raise
                    lost += 1

        task = asyncio.create_task(loses_two())
        await asyncio.sleep(0)
        await asyncio.wait_for(cancel(task), timeout=5)
        return lost

    assert asyncio.run(scenario()) == 2


def test_an_end_that_hangs_says_where_and_ends(tmp_path: Path) -> None:
    program = tmp_path / "hangs.py"
    program.write_text("""
import asyncio, socket, threading
from types import SimpleNamespace
import uvicorn
from ia_service.server import DrainingServer

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        print("up", flush=True)
        await receive()
        await hang()

async def hang():
    await asyncio.get_running_loop().run_in_executor(None, sleep_for_ever)

def sleep_for_ever():
    threading.Event().wait()

replica = SimpleNamespace(
    draining=False, drain=lambda: None, stop_soon=lambda: None, end_within_s=0.5, settings=SimpleNamespace(drain_s=0)
)
listener = socket.create_server(("127.0.0.1", 0))
DrainingServer(uvicorn.Config(app, log_config=None), replica).run(sockets=[listener])
""")
    command = [sys.executable, str(program)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "sleep_for_ever" in said

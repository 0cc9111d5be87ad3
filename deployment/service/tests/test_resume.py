"""Executions whose replica is gone, or that ended too early, go on from their newest checkpoint."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import RunningReplica, StartReplica, query, wait_until

STUCK = "ia_service_executions_stuck"


def steps(database: str, job: object) -> list[tuple[object, ...]]:
    sql = f"SELECT step_id, status FROM step_executions WHERE execution_id = '{job}' ORDER BY started_at"
    return query(database, sql)


def after_checkpoints(replica: RunningReplica, job: object, count: int) -> None:
    path = f"/api/checkpoints/{job}"
    wait_until(lambda: len(replica.http.get(path).json()["checkpoints"]) >= count, f"checkpoint {count}")


def kill(replica: RunningReplica) -> None:
    os.kill(replica.pid, signal.SIGKILL)
    os.waitpid(replica.pid, 0)


def resume(replica: RunningReplica, job: object, wait_s: float = 20) -> tuple[int, dict[str, Any]]:
    answer = replica.http.post(f"/api/execute/{job}/resume", json={"wait_s": wait_s})
    return answer.status_code, answer.json()


def refusal(answer: tuple[int, dict[str, Any]]) -> tuple[int, object]:
    return answer[0], answer[1].get("error")


def test_an_execution_of_a_killed_replica_is_stuck_and_goes_on_elsewhere_without_repeating_a_step(
    database: str, start_replica: StartReplica
) -> None:
    quick = {"STUCK_AFTER_SECONDS": "5"}
    doomed, other = start_replica(database, "doomed", **quick), start_replica(database, "other", **quick)
    job = doomed.execute("slow", wait_s=0, seconds=12)["job_id"]
    after_checkpoints(other, job, 2)
    kill(doomed)
    assert refusal(resume(other, job)) == (409, "not_resumable")
    wait_until(lambda: other.metric(STUCK) == 1, "it counts as stuck")
    status, ended = resume(other, job)
    assert (status, ended["status"], ended["job_id"]) == (200, "completed", job)
    assert ended["output"]["waited"] == 12.0
    assert ended["metadata"]["resumed_from"] == "wait_2"
    assert (ended["completed_steps"], ended["failed_steps"], ended["error"]) == (4, 1, None)
    assert steps(database, job) == [
        ("wait_1", "completed"),
        ("wait_2", "completed"),
        ("wait_3", "failed"),
        ("wait_3", "completed"),
        ("wait_4", "completed"),
    ]
    assert other.metric(STUCK) == 0
    assert refusal(resume(other, job)) == (409, "not_resumable")
    assert other.http.get("/api/reliability/metrics").json()["total_workflows"] == 1


def test_what_its_owner_works_on_is_neither_stuck_nor_resumable_however_long_a_step_takes(
    database: str, start_replica: StartReplica
) -> None:
    quick = {"STUCK_AFTER_SECONDS": "4", "MAX_RUNNING": "1", "SHUTDOWN_SECONDS": "0"}
    owner, other = start_replica(database, "owner", **quick), start_replica(database, "other", **quick)
    running = owner.execute("slow", wait_s=0, seconds=60)["job_id"]
    queued = owner.execute("transform", wait_s=0, text="x")["job_id"]
    until = time.monotonic() + 9
    while time.monotonic() < until:
        assert (owner.metric(STUCK), other.metric(STUCK)) == (0, 0)
        time.sleep(0.1)
    for replica in (owner, other):
        assert refusal(resume(replica, running)) == (409, "not_resumable")
        assert refusal(resume(replica, queued)) == (409, "not_resumable")


def test_an_execution_that_was_interrupted_at_shutdown_goes_on_at_once(
    database: str, start_replica: StartReplica
) -> None:
    stopped = start_replica(database, "stopped", SHUTDOWN_SECONDS="0.2")
    job = stopped.execute("slow", wait_s=0, seconds=6)["job_id"]
    after_checkpoints(stopped, job, 1)
    os.kill(stopped.pid, signal.SIGTERM)
    os.waitpid(stopped.pid, 0)
    other = start_replica(database, "other")
    assert "its checkpoints are kept" in other.http.get(f"/api/execute/{job}").json()["error"]
    status, ended = resume(other, job)
    assert (status, ended["status"], ended["output"]["waited"]) == (200, "completed", 6.0)
    assert [step for step, state in steps(database, job) if state == "completed"] == [
        "wait_1",
        "wait_2",
        "wait_3",
        "wait_4",
    ]
    assert [step for step, _ in steps(database, job)].count("wait_1") == 1


def test_a_failed_execution_repeats_only_the_step_that_failed(replica: RunningReplica) -> None:
    job = replica.execute("fail", fail=True)["job_id"]
    status, ended = resume(replica, job)
    assert (status, ended["status"]) == (200, "failed")
    assert "asked for a failure" in ended["error"]
    tried = replica.http.get(f"/api/execute/{job}").json()["steps"]
    assert [(s["step"], s["status"]) for s in tried] == [
        ("prepare", "completed"),
        ("fail", "failed"),
        ("fail", "failed"),
    ]


def test_an_execution_without_a_checkpoint_starts_from_the_beginning_with_its_input(replica: RunningReplica) -> None:
    job = replica.execute("slow", wait_s=0, seconds=-1)["job_id"]
    wait_until(lambda: replica.http.get(f"/api/execute/{job}").json()["status"] == "failed", "it fails")
    assert replica.http.get(f"/api/checkpoints/{job}").json()["checkpoints"] == []
    answer = replica.http.post(f"/api/execute/{job}/resume")
    assert answer.status_code == 202
    assert answer.json() == {"job_id": job, "pipeline": "slow", "status": "running", "resumed_from": None}
    wait_until(lambda: len(replica.http.get(f"/api/execute/{job}").json()["steps"]) == 2, "it was tried again")


@pytest.mark.parametrize(
    ("pipeline", "data"),
    [
        ("transform", {"text": "the end of the line"}),
        ("conditional", {"items": [{"price": 900}]}),
        ("parallel", {"values": [1, 2, 6]}),
        ("loop", {"number": 16}),
        ("slow", {"seconds": 0}),
    ],
)
def test_resumed_anywhere_every_pipeline_ends_as_if_it_had_never_stopped(
    database: str, start_replica: StartReplica, pipeline: str, data: dict[str, Any]
) -> None:
    replica = start_replica(database)
    whole = replica.execute(pipeline, **data)
    job = whole["job_id"]
    order = [step for step, _ in steps(database, job)]
    output = {name: value for name, value in whole["output"].items() if not name.startswith("_")}  # type: ignore[attr-defined]
    for kept in reversed(range(len(order) + 1)):
        # As if the replica had been killed right after this checkpoint.
        query(database, f"DELETE FROM pipeline_checkpoints WHERE thread_id = '{job}' AND step_index >= {kept}")
        query(
            database,
            f"UPDATE pipeline_executions SET status = 'failed', output_data = NULL WHERE execution_id = '{job}'",
        )
        query(database, f"DELETE FROM step_executions WHERE execution_id = '{job}'")
        query(
            database,
            "INSERT INTO step_executions (step_execution_id, execution_id, step_id, step_name, status, started_at)"
            f" SELECT gen_random_uuid(), thread_id, step_id, step_id, 'completed', timestamp"
            f" FROM pipeline_checkpoints WHERE thread_id = '{job}'",
        )
        status, ended = resume(replica, job)
        assert (status, ended["status"]) == (200, "completed"), ended
        again = {name: value for name, value in ended["output"].items() if not name.startswith("_")}
        assert again == output
        assert [step for step, _ in steps(database, job)][kept:] == order[kept:]
        assert ended["completed_steps"] == len(order)


def test_of_many_that_resume_at_once_one_wins(database: str, start_replica: StartReplica) -> None:
    replicas = [start_replica(database, name, SHUTDOWN_SECONDS="0") for name in ("one", "two")]
    jobs = [replicas[0].execute("slow", seconds=0, wait_s=20)["job_id"] for _ in range(5)]
    for job in jobs:
        query(database, f"DELETE FROM pipeline_checkpoints WHERE thread_id = '{job}' AND step_index > 0")
        query(
            database,
            "UPDATE pipeline_executions SET status = 'failed', input_data = '{\"seconds\": 2}'"
            f" WHERE execution_id = '{job}'",
        )
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda n, job=job: refusal(resume(replicas[n % 2], job, 0)), range(8)))
        assert sorted(answers, key=str) == [(202, None)] + [(409, "not_resumable")] * 7


def test_who_slept_through_a_resume_writes_nothing_more_about_the_execution(
    database: str, start_replica: StartReplica
) -> None:
    quick = {"STUCK_AFTER_SECONDS": "1"}
    sleeper, other = start_replica(database, "sleeper", **quick), start_replica(database, "other", **quick)
    job = sleeper.execute("slow", wait_s=0, seconds=6)["job_id"]
    after_checkpoints(sleeper, job, 1)
    os.kill(sleeper.pid, signal.SIGSTOP)
    try:
        wait_until(lambda: other.metric(STUCK) == 1, "it counts as stuck")
        assert resume(other, job)[1]["status"] == "completed"
    finally:
        os.kill(sleeper.pid, signal.SIGCONT)
    before = query(database, f"SELECT * FROM pipeline_executions WHERE execution_id = '{job}'")
    wait_until(lambda: sleeper.metric('ia_service_executions_total{outcome="lost"') == 1, "the sleeper lets go")
    assert query(database, f"SELECT * FROM pipeline_executions WHERE execution_id = '{job}'") == before
    assert sleeper.http.get(f"/api/execute/{job}").json()["status"] == "completed"


def test_what_cannot_be_resumed_is_refused_with_the_reason(replica: RunningReplica) -> None:
    assert refusal(resume(replica, "nope")) == (404, "not_found")
    job = replica.execute("transform", text="x")["job_id"]
    status, body = resume(replica, job)
    assert (status, body["error"], body["message"]) == (409, "not_resumable", "this execution is completed")
    assert replica.http.post(f"/api/execute/{job}/resume", json={"wait": 1}).status_code == 422


def test_a_paused_pipeline_is_not_resumed(database: str, start_replica: StartReplica) -> None:
    job = start_replica(database, "one").execute("fail", fail=True)["job_id"]
    paused = start_replica(database, "two", PAUSED_PIPELINES="fail")
    assert refusal(resume(paused, job)) == (503, "pipeline_paused")


def test_stuck_executions_are_counted_quickly_among_many_that_have_ended(
    database: str, start_replica: StartReplica
) -> None:
    query(
        database,
        "INSERT INTO pipeline_executions (execution_id, pipeline_id, status, started_at)"
        " SELECT 'x' || n, 'slow', CASE WHEN n <= 3 THEN 'running' ELSE 'completed' END, now() - interval '1 day'"
        " FROM generate_series(1, 100000) AS n",
    )
    query(
        database,
        "INSERT INTO service_jobs (execution_id, replica, release, taken_at)"
        " SELECT 'x' || n, 'gone', 'r', now() - interval '1 day' FROM generate_series(1, 100000) AS n WHERE n <> 2",
    )
    replica = start_replica(database)
    assert replica.metric(STUCK) == 3
    took_s = []
    for _ in range(5):
        started = time.monotonic()
        assert replica.http.get("/health").status_code == 200
        took_s.append(time.monotonic() - started)
    assert sorted(took_s)[2] < 0.5
    status, body = resume(replica, "x2")
    assert (status, body["status"]) == (200, "completed"), body
    assert replica.metric(STUCK) == 2

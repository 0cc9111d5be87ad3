from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import RunningReplica, StartReplica, wait_until
from websockets.sync.client import connect


def test_a_replica_with_all_its_dependencies_is_healthy(replica: RunningReplica) -> None:
    answer = replica.http.get("/health")
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "healthy"
    assert {name: check["ok"] for name, check in body["checks"].items()} == {
        "database": True,
        "redis": True,
        "migrations": True,
    }


def test_health_names_the_migrations_that_are_missing(empty_database: str, start_replica: StartReplica) -> None:
    bare = start_replica(empty_database)
    answer = bare.http.get("/health")
    assert answer.status_code == 503
    assert answer.json()["checks"]["migrations"]["pending"][0] == "V001__complete_schema"
    refused = bare.http.post("/api/execute/pipeline", json={"pipeline": "transform"})
    assert (refused.status_code, refused.json()["error"]) == (503, "not_migrated")


def test_the_version_is_the_installed_one(replica: RunningReplica) -> None:
    body = replica.http.get("/version").json()
    assert body["release"] == f"{body['service_version']}+ia{body['ia_modules_version']}"


def test_every_listed_pipeline_runs_on_its_own_example(replica: RunningReplica) -> None:
    pipelines = replica.http.get("/api/pipelines").json()["pipelines"]
    assert [p["id"] for p in pipelines] == ["conditional", "fail", "loop", "parallel", "slow", "transform"]
    ended = {p["id"]: replica.execute(p["id"], **p["example_input"])["status"] for p in pipelines}
    assert ended == dict.fromkeys(ended, "completed") | {"fail": "failed"}


@pytest.mark.parametrize(("price", "decision"), [(100, "approved"), (100.01, "review"), (1, "approved")])
def test_a_condition_chooses_the_branch(replica: RunningReplica, price: float, decision: str) -> None:
    ended = replica.execute("conditional", items=[{"price": price}])
    assert ended["output"]["decision"] == decision  # type: ignore[index]


def test_parallel_branches_come_together(replica: RunningReplica) -> None:
    ended = replica.execute("parallel", values=[1, 2, 6])
    assert ended["output"]["summary"]["mean"] == 3.0  # type: ignore[index]
    assert ended["completed_steps"] == 5


def test_a_loop_repeats_until_its_condition_holds(replica: RunningReplica) -> None:
    ended = replica.execute("loop", number=16)
    assert round(ended["output"]["guess"], 6) == 4.0  # type: ignore[index]
    assert ended["output"]["iterations"] > 1  # type: ignore[index]


def test_a_failed_execution_says_why_and_names_its_step(replica: RunningReplica) -> None:
    ended = replica.execute("fail", fail=True)
    assert ended["status"] == "failed"
    assert "asked for a failure" in str(ended["error"])
    steps = replica.http.get(f"/api/execute/{ended['job_id']}").json()["steps"]
    assert [(s["step"], s["status"]) for s in steps] == [("prepare", "completed"), ("fail", "failed")]


def test_a_running_execution_can_be_watched_and_leaves_a_checkpoint_per_step(replica: RunningReplica) -> None:
    started = replica.execute("slow", wait_s=0, seconds=3)
    assert started["status"] == "running"
    job = started["job_id"]
    status = f"/api/execute/status/{job}"
    assert replica.http.get(status).json()["status"] == "running"
    wait_until(lambda: replica.http.get(status).json()["status"] == "completed", "the execution ends")
    found = replica.http.get(f"/api/checkpoints/{job}").json()["checkpoints"]
    assert [c["step"] for c in found] == ["wait_4", "wait_3", "wait_2", "wait_1"]
    assert found[0]["state"]["current_data"]["waited"] == 3.0


def test_reliability_counts_what_was_executed(database: str, start_replica: StartReplica) -> None:
    fresh = start_replica(database)
    fresh.execute("transform", text="a b")
    fresh.execute("fail", fail=True)
    report = fresh.http.get("/api/reliability/metrics").json()
    assert (report["total_workflows"], report["total_steps"]) == (2, 4)
    assert report["step_validity_rate"] == 0.75
    assert report["steps"]["fail"] == {"total": 1, "successful": 0, "validity_rate": 0.0}


def test_a_replica_knows_and_watches_what_the_other_one_executes(database: str, start_replica: StartReplica) -> None:
    one, other = start_replica(database, "one"), start_replica(database, "other")
    job = one.execute("slow", wait_s=0, seconds=3)["job_id"]
    seen: list[dict[str, Any]] = []
    with connect(f"{other.url.replace('http', 'ws')}/ws/executions/{job}") as socket:
        snapshot = json.loads(socket.recv(timeout=30))
        assert (snapshot["type"], snapshot["data"]["metadata"]["replica"]) == ("snapshot", "one")
        while not seen or seen[-1]["data"]["status"] != "completed" or seen[-1]["type"] != "execution_update":
            seen.append(json.loads(socket.recv(timeout=30)))
    assert "step_update" in {update["type"] for update in seen}
    assert other.http.get(f"/api/execute/status/{job}").json()["status"] == "completed"


def test_a_socket_for_an_unknown_execution_is_told_so(replica: RunningReplica) -> None:
    with connect(f"{replica.url.replace('http', 'ws')}/ws/executions/nope") as socket:
        assert json.loads(socket.recv(timeout=30))["data"]["error"] == "not_found"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/nowhere", None, 404, "not_found"),
        ("GET", "/api/execute/status/nope", None, 404, "not_found"),
        ("GET", "/api/execute/status/'%20OR%201=1--", None, 404, "not_found"),
        ("GET", "/api/checkpoints/nope", None, 404, "not_found"),
        ("GET", "/api/checkpoints/nope?limit=0", None, 422, "invalid_request"),
        ("DELETE", "/api/pipelines", None, 405, "method_not_allowed"),
        ("POST", "/api/execute/pipeline", {"pipeline": "nope"}, 404, "not_found"),
        ("POST", "/api/execute/pipeline", {"pipeline": "slow", "input": 3}, 422, "invalid_request"),
        ("POST", "/api/execute/pipeline", {"pipeline": "slow", "wait_s": 31}, 422, "invalid_request"),
        ("POST", "/api/execute/pipeline", {"pipeline": "slow", "wait": 1}, 422, "invalid_request"),
        ("POST", "/api/execute/pipeline", {"pipeline": "transform", "input": {"text": "a\x00b"}}, 202, None),
    ],
)
def test_errors_are_json_with_a_code_and_the_request_id(
    replica: RunningReplica, method: str, path: str, body: object, status: int, code: str | None
) -> None:
    answer = replica.http.request(method, path, json=body, headers={"X-Request-ID": "mine-1"})
    assert answer.status_code == status
    assert answer.headers["x-request-id"] == "mine-1"
    assert answer.json().get("error") == code
    if code:
        assert answer.json()["request_id"] == "mine-1"
        assert "SELECT" not in answer.text
        assert "Traceback" not in answer.text


def test_a_harmful_request_id_is_replaced(replica: RunningReplica) -> None:
    answer = replica.http.get("/ready", headers={"X-Request-ID": 'a" b'})
    assert answer.headers["x-request-id"] != 'a" b'


def test_logs_are_json_and_carry_the_request_id(replica: RunningReplica) -> None:
    replica.http.get("/version", headers={"X-Request-ID": "find-me"})

    def found() -> list[dict[str, object]]:
        lines = [json.loads(line) for line in replica.log.read_text().splitlines()]
        return [line for line in lines if line.get("request_id") == "find-me"]

    wait_until(lambda: bool(found()), "the request is logged")
    assert found()[0]["path"] == "/version"


def test_metrics_count_requests_by_template_and_executions_by_outcome(replica: RunningReplica) -> None:
    failed = 'ia_service_executions_total{outcome="failed",pipeline="fail"}'
    before = replica.metric(failed)
    job = replica.execute("fail", fail=True)["job_id"]
    replica.http.get(f"/api/execute/status/{job}")
    assert replica.metric(failed) == before + 1
    page = replica.http.get("/metrics").text
    assert 'route="/api/execute/status/{job}",status="200"' in page
    assert str(job) not in page
    assert replica.metric("ia_service_db_up") == 1
    assert replica.metric("ia_service_db_pool_size") == 10
    assert replica.metric("process_resident_memory_bytes") > 10_000_000


def test_what_exceeds_the_queue_is_refused_and_the_rest_completes(database: str, start_replica: StartReplica) -> None:
    small = start_replica(database, MAX_RUNNING="2", MAX_QUEUED="1")

    def start(_: int) -> tuple[int, str]:
        answer = small.http.post("/api/execute/pipeline", json={"pipeline": "slow", "input": {"seconds": 3}})
        return answer.status_code, answer.json().get("error", "")

    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(start, range(6)))
    assert sorted(answers) == [(202, "")] * 3 + [(503, "busy")] * 3
    wait_until(lambda: small.metric("ia_service_executions_in_flight") == 0, "all executions end")
    assert small.metric('ia_service_executions_total{outcome="completed",pipeline="slow"}') == 3


def test_a_hundred_executions_at_once_all_complete(replica: RunningReplica) -> None:
    started = time.monotonic()
    with ThreadPoolExecutor(20) as threads:
        ended = list(threads.map(lambda n: replica.execute("transform", text=f"text {n}")["status"], range(100)))
    assert ended == ["completed"] * 100
    assert time.monotonic() - started < 30
    assert replica.metric("ia_service_db_pool_exhausted") == 0


def test_many_callers_that_wait_hold_up_nobody_else(database: str, start_replica: StartReplica) -> None:
    busy = start_replica(database, MAX_RUNNING="60")
    with ThreadPoolExecutor(50) as threads:
        waiting = [threads.submit(busy.execute, "slow", seconds=8) for _ in range(50)]
        wait_until(lambda: busy.metric("ia_service_executions_in_flight") == 50, "all are waiting")
        started = time.monotonic()
        assert busy.http.get("/api/execute/status/nope").status_code == 404
        assert time.monotonic() - started < 4
        assert {future.result()["status"] for future in waiting} == {"completed"}

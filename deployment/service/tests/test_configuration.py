from __future__ import annotations

import dataclasses
import json

import pytest
from conftest import RunningReplica, StartReplica, query, run_service

from ia_service.fingerprint import VARIABLES, fingerprint, shown
from ia_service.settings import Settings, read_settings

GOOD = {"DATABASE_URL": "postgresql://u:secret@h/d", "REDIS_URL": "redis://:secret@h:6379/0"}

OTHER = {
    "DATABASE_URL": "postgresql://u:other@h/d",
    "REDIS_URL": "redis://:other@h:6379/0",
    "LOG_LEVEL": "DEBUG",
    "PAUSED_PIPELINES": "fail",
    "ANONYMOUS": "refuse",
    "SESSION_SECRET": "s" * 32,
    "COOKIE_SECURE": "no",
    "ALLOWED_ORIGINS": "https://ops.example.com",
    "MAX_BODY_BYTES": "4096",
    "CHECKPOINTS": "redis",
    "OTLP_ENDPOINT": "http://c:4318",
    "OTLP_GRPC_LISTEN": "h:7",
    "STATSD_ADDRESS": "h:7",
    "RATE_LIMIT": "none",
    "SIGN_IN_PER_ACCOUNT": "7/minute",
    "SIGN_IN_PER_ADDRESS": "7/minute",
}


def changed(name: str) -> dict[str, str]:
    return GOOD | {name: OTHER.get(name, "7")}


def test_every_setting_has_its_variable() -> None:
    assert list(VARIABLES) == [field.name for field in dataclasses.fields(Settings)]
    for name, variable in VARIABLES.items():
        assert getattr(read_settings(changed(variable)), name) != getattr(read_settings(GOOD), name)


def test_the_fingerprint_follows_every_setting_but_what_is_each_replicas_own() -> None:
    same = fingerprint(read_settings(GOOD))
    assert len(same) == 8
    assert int(same, 16) >= 0
    for variable in VARIABLES.values():
        assert (fingerprint(read_settings(changed(variable))) == same) == (
            variable in {"SERVICE_NAME", "OTLP_GRPC_LISTEN"}
        )
    spelled_out = {"POOL_SIZE": "10", "LOG_LEVEL": "info", "PAUSED_PIPELINES": " , "}
    assert fingerprint(read_settings(GOOD | spelled_out)) == same


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("DATABASE_URL", "postgresql://u:secret@h:5432,i:5433/d", "postgresql://u:***@h:5432,i:5433/d"),
        ("DATABASE_URL", "postgresql://u:secret:@secret#@h/d", "postgresql://u:***@h/d"),
        ("DATABASE_URL", "postgresql://u:?secret@h/d", "postgresql://u:***@h/d"),
        ("DATABASE_URL", "postgresql://h/d?user=u&password=secret", "postgresql://h/d?user=u&password=***"),
        ("DATABASE_URL", "postgresql://u@h:5432/d", "postgresql://u@h:5432/d"),
        ("REDIS_URL", "redis://:secret@h:6379/0", "redis://:***@h:6379/0"),
        ("REDIS_URL", "redis://h:6379/0?password=secret", "redis://h:6379/0?password=***"),
        ("OTLP_ENDPOINT", "http://u:secret@h:4318", "http://u:***@h:4318"),
        ("OTLP_API_KEY", "secret", "***"),
        ("DATADOG_API_KEY", "secret", "***"),
        ("DATADOG_APP_KEY", "secret", "***"),
    ],
)
def test_settings_are_shown_without_passwords(variable: str, value: str, expected: str) -> None:
    assert shown(read_settings(GOOD | {variable: value}))[variable] == expected


def test_the_command_prints_the_effective_settings_and_the_hash_of_a_running_replica(
    database: str, start_replica: StartReplica, valkey: str
) -> None:
    with_password = database.replace("ia@", "ia:secret@")
    one = start_replica(with_password, "one")
    other = start_replica(with_password, "other")
    different = start_replica(with_password, "different", MAX_QUEUED="7")
    same = {"DRAIN_SECONDS": "0", "RELIABILITY_CACHE_SECONDS": "0"}
    printed = run_service("config", DATABASE_URL=with_password, REDIS_URL=valkey, **same)
    assert printed.returncode == 0
    assert "secret" not in printed.stdout + printed.stderr
    body = json.loads(printed.stdout)
    assert body["settings"]["STUCK_AFTER_SECONDS"] == 300
    assert one.http.get("/version").json()["config"] == body["config"]
    for name, replica in (("one", one), ("other", other)):
        assert replica.metric(f'ia_service_config_info{{config="{body["config"]}",replica="{name}"}}') == 1
    assert different.http.get("/version").json()["config"] != body["config"]
    assert different.metric("ia_service_executions_limit") == 16 + 7


def test_the_command_refuses_what_serve_refuses() -> None:
    assert run_service("config").returncode == 2


def test_a_paused_pipeline_is_refused_and_marked_and_the_others_run(database: str, start_replica: StartReplica) -> None:
    replica = start_replica(database, PAUSED_PIPELINES="slow, fail")
    refused = replica.http.post("/api/execute/pipeline", json={"pipeline": "fail"})
    assert (refused.status_code, refused.json()["error"]) == (503, "pipeline_paused")
    assert int(refused.headers["retry-after"]) > 0
    assert query(database, "SELECT count(*) FROM pipeline_executions") == [(0,)]
    assert replica.execute("transform", text="x")["status"] == "completed"
    listed = replica.http.get("/api/pipelines").json()["pipelines"]
    assert {each["id"] for each in listed if each["paused"]} == {"slow", "fail"}


def test_nothing_is_paused_by_default(replica: RunningReplica) -> None:
    listed = replica.http.get("/api/pipelines").json()["pipelines"]
    assert [each["paused"] for each in listed] == [False] * 6


@pytest.mark.parametrize("command", ["serve", "migrate", "config"])
def test_an_unknown_pipeline_cannot_be_paused(command: str) -> None:
    run = run_service(command, **GOOD, PAUSED_PIPELINES="fail,flow")
    known = "conditional, fail, loop, parallel, slow, transform"
    assert (run.returncode, run.stderr) == (2, f"ia-service: PAUSED_PIPELINES names flow; there are: {known}\n")

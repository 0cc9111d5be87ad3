from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import RunningReplica, StartReplica, free_port, query, wait_until
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from otlp_client import Client, make_key

from ia_service.pipeline_telemetry import Traced


@pytest.fixture
def traced(start_replica: StartReplica, database: str) -> tuple[RunningReplica, Client]:
    """A replica whose collector is the next one."""
    key = make_key(database)
    collector = start_replica(database, "collector")
    replica = start_replica(database, "traced", OTLP_ENDPOINT=collector.url, OTLP_API_KEY=key)
    return replica, Client(collector.http, key)


def arrive(client: Client, count: int, **parameters: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def enough() -> bool:
        found[:] = client.get("/api/spans", **parameters)["spans"]
        return len(found) >= count

    wait_until(enough, f"{count} spans with {parameters}")
    return found


def test_a_request_its_execution_and_its_steps_are_one_trace(traced: tuple[RunningReplica, Client]) -> None:
    replica, client = traced
    answer = replica.http.post(
        "/api/execute/pipeline",
        json={"pipeline": "transform", "input": {"text": "traced"}, "wait_s": 20},
        headers={"x-request-id": "unique-17", "traceparent": f"00-{'4' * 32}-{'5' * 16}-01"},
    )
    assert (answer.json()["status"], answer.headers["x-trace-id"]) == ("completed", "4" * 32)
    (request,) = arrive(client, 1, attribute="request.id=unique-17")
    assert (request["trace_id"], request["parent_span_id"], request["kind"]) == ("4" * 32, "5" * 16, 2)
    assert request["name"] == "POST /api/execute/pipeline"
    assert request["attributes"]["http.response.status_code"] == 200
    assert request["resource"]["service.instance.id"] == "traced"
    spans = arrive(client, 3, attribute=f"execution.id={answer.json()['job_id']}")
    (pipeline,) = (span for span in spans if span["name"].startswith("pipeline."))
    steps = [span for span in spans if span["name"].startswith("step.")]
    assert pipeline["parent_span_id"] == request["span_id"]
    assert {step["parent_span_id"] for step in steps} == {pipeline["span_id"]}
    assert len(steps) == answer.json()["total_steps"]
    assert {span["trace_id"] for span in spans} == {"4" * 32}
    assert {span["status"] for span in (pipeline, *steps)} == {1}


def test_a_failed_step_and_a_refused_request_say_so(traced: tuple[RunningReplica, Client]) -> None:
    replica, client = traced
    job = replica.execute("fail", fail=True)["job_id"]
    assert replica.http.get("/api/execute/none", headers={"x-request-id": "gone"}).status_code == 404
    spans = arrive(client, 2, attribute=f"execution.id={job}")
    failed = [span for span in spans if span["status"] == 2]
    assert {span["name"].partition(".")[0] for span in failed} == {"pipeline", "step"}
    assert all("the input asked for a failure" in span["attributes"]["error.message"] for span in failed)
    (gone,) = arrive(client, 1, attribute="request.id=gone")
    assert (gone["attributes"]["http.response.status_code"], gone["status"]) == (404, 0)


def test_probes_scrapes_and_received_spans_make_no_spans(traced: tuple[RunningReplica, Client]) -> None:
    replica, client = traced
    for path in ("/health", "/ready", "/metrics"):
        replica.http.get(path)
    # Else what a replica sends to itself would make more to send, for ever.
    assert Client(replica.http, client.headers["authorization"].split()[1]).send(b"").status_code == 200
    replica.http.get("/api/pipelines", headers={"x-request-id": "last"})
    arrive(client, 1, attribute="request.id=last")
    assert [span["attributes"]["url.path"] for span in client.get("/api/spans")["spans"]] == ["/api/pipelines"]


def test_a_resumed_execution_is_traced_too(traced: tuple[RunningReplica, Client]) -> None:
    replica, client = traced
    job = replica.execute("fail", fail=True)["job_id"]
    answer = replica.http.post(f"/api/execute/{job}/resume", json={"wait_s": 20}, headers={"x-request-id": "resumed"})
    assert answer.status_code == 200, answer.text
    (request,) = arrive(client, 1, attribute="request.id=resumed")
    trace = f"/api/traces/{request['trace_id']}"
    wait_until(lambda: len(client.get(trace)["spans"]) >= 3, "its steps too")
    assert client.get(trace)["spans"][0]["span_id"] == request["span_id"]


@pytest.fixture
def silent() -> Any:
    """A collector that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("collector", ["gone", "silent"])
def test_a_collector_that_is_gone_or_silent_holds_up_no_request_and_no_end(
    start_replica: StartReplica, database: str, silent: str, collector: str
) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}" if collector == "gone" else silent
    replica = start_replica(database, "lonely", OTLP_ENDPOINT=endpoint)
    took = []
    for _ in range(40):
        started = time.monotonic()
        assert replica.http.get("/api/pipelines").status_code == 200
        took.append(time.monotonic() - started)
    assert sorted(took)[20] < 0.1
    wait_until(
        lambda: replica.metric('ia_service_spans_exported_total{outcome="failed"}') >= 40, "failures are counted"
    )
    started = time.monotonic()
    os.kill(replica.pid, signal.SIGTERM)
    wait_until(lambda: "stopped" in replica.log.read_text(), "it ends")
    assert time.monotonic() - started < 6


def test_without_an_endpoint_nothing_is_traced_or_kept(start_replica: StartReplica, database: str) -> None:
    replica = start_replica(database, "plain")
    answer = replica.http.get("/api/pipelines", headers={"traceparent": f"00-{'4' * 32}-{'5' * 16}-01"})
    assert "x-trace-id" not in answer.headers
    assert replica.execute("transform", text="plain")["status"] == "completed"
    assert query(database, "SELECT count(*) FROM spans") == [(0,)]
    assert Path(replica.log).read_text().count("opentelemetry") == 0


def test_half_a_character_does_not_keep_a_batch_from_being_sent() -> None:
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    tracer = Traced(provider.get_tracer("test"), "e-1")
    span = tracer.start_span("step.clean")
    span.set_attribute("error.message", "half: \ud800")
    span.set_status("error", "half: \ud800")
    tracer.end_span(span)
    assert b"half: ?" in encode_spans(spans.get_finished_spans()).SerializeToString()

from __future__ import annotations

import gzip
import json
import os
import socket
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import boto3  # type: ignore[import-untyped]  # ships none
import pytest
from conftest import StartReplica, answers, free_port, process, wait_until
from ia_modules.telemetry.metrics import Metric, MetricsCollector, MetricType

from ia_service.metrics_export import changes, for_statsd

OFTEN = {"METRICS_EXPORT_SECONDS": "0.2"}


def test_a_counter_is_sent_as_what_was_added_since_the_last_time() -> None:
    collector = MetricsCollector()
    counter = collector.counter("runs", labels=["status"])
    counter.inc(3, status="good")
    first, totals = changes(collector.collect_all(), {})
    counter.inc(2, status="good")
    counter.inc(1, status="bad")
    second, totals = changes(collector.collect_all(), totals)
    third, _ = changes(collector.collect_all(), totals)
    assert [(m.value, m.labels["status"]) for m in first] == [(3, "good")]
    assert [(m.value, m.labels["status"]) for m in second] == [(2, "good"), (1, "bad")]
    assert third == []


def test_a_histogram_is_sent_as_what_was_added_and_a_gauge_as_it_is() -> None:
    collector = MetricsCollector()
    histogram, gauge = collector.histogram("seconds"), collector.gauge("active")
    histogram.observe(1.5)
    gauge.set(4)
    _, totals = changes(collector.collect_all(), {})
    histogram.observe(0.5)
    histogram.observe(0.25)
    changed, _ = changes(collector.collect_all(), totals)
    assert [(m.name, m.value) for m in changed] == [("seconds", {"sum": 0.75, "count": 2}), ("active", 4)]


@pytest.mark.parametrize(
    ("metric", "name", "value"),
    [
        (Metric("runs", MetricType.COUNTER, 2, {"p": "Clean: the text|c", "s": ""}), "runs.clean_the_text_c.none", 2),
        (Metric("run_seconds", MetricType.HISTOGRAM, {"sum": 0.75, "count": 2}), "run", {"sum": 375.0}),
    ],
)
def test_statsd_gets_names_that_it_can_read(metric: Any, name: str, value: Any) -> None:
    named = for_statsd(metric)
    assert (named.name, named.value, named.labels) == (name, value, {})


@pytest.fixture
def udp() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(20)
        yield receiver


def test_statsd_is_told_of_every_execution_once(start_replica: StartReplica, database: str, udp: socket.socket) -> None:
    replica = start_replica(database, "statsd", STATSD_ADDRESS=f"127.0.0.1:{udp.getsockname()[1]}", **OFTEN)
    for _ in range(5):
        replica.execute("transform", text="counted")
    counted, kinds, quiet_at = 0.0, set(), time.monotonic() + 20
    while time.monotonic() < quiet_at:
        name, _, rest = udp.recv(4096).decode().partition(":")
        value, kind = rest.split("|")
        kinds.add(kind)
        if name == "ia_modules_pipeline_executions_total.transform.success":
            counted += float(value)
            if counted == 5:
                quiet_at = time.monotonic() + 1  # five more exports, in which nothing has changed
    assert counted == 5
    assert kinds == {"c", "g", "ms"}


def test_cloudwatch_adds_up_what_it_is_sent(start_replica: StartReplica, database: str, place: Path) -> None:
    port = free_port()
    environ = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
    }  # fmt: skip
    command = (sys.executable, "-m", "moto.server", "-p", str(port))
    with process(*command, env={"PATH": os.environ["PATH"]}, log=place / "moto.log"):
        wait_until(lambda: answers(port), "the CloudWatch server answers")
        replica = start_replica(database, "cloud", CLOUDWATCH_NAMESPACE="Tests", **OFTEN, **environ)
        for _ in range(3):
            replica.execute("transform", text="counted")
            time.sleep(0.3)  # more than one export
        client = boto3.client(
            "cloudwatch", "us-east-1", endpoint_url=environ["AWS_ENDPOINT_URL"],
            aws_access_key_id="test", aws_secret_access_key="test",
        )  # fmt: skip

        def total() -> float:
            found: list[Any] = client.list_metrics(Namespace="Tests", MetricName="pipeline_executions_total")["Metrics"]
            return sum(
                float(point["Sum"])
                for each in {str(each["Dimensions"]): each for each in found}.values()  # listed once for each value
                for point in client.get_metric_statistics(
                    Namespace="Tests", MetricName=each["MetricName"], Dimensions=each["Dimensions"],
                    StartTime=time.time() - 600, EndTime=time.time() + 60, Period=60, Statistics=["Sum"],
                )["Datapoints"]
            )  # fmt: skip

        wait_until(lambda: total() == 3, "three executions are counted", 60)
        time.sleep(1)
        assert total() == 3


class DatadogApi(BaseHTTPRequestHandler):
    received: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        match self.headers.get("content-encoding"):
            case "deflate":
                body = zlib.decompress(body)
            case "gzip":
                body = gzip.decompress(body)
        DatadogApi.received += [{**each, "path": self.path} for each in json.loads(body)["series"]]
        self.send_response(202)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(b'{"status": "ok"}')

    def log_message(self, *_: object) -> None:
        pass


def test_datadog_is_sent_counts_with_tags(start_replica: StartReplica, database: str) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), DatadogApi) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"http://127.0.0.1:{server.server_address[1]}"
        replica = start_replica(database, "dog", DATADOG_API_KEY="k", DATADOG_HOST=host, **OFTEN)
        replica.execute("transform", text="counted")
        name = "ia_modules_pipeline_executions_total"

        def sent() -> list[dict[str, Any]]:
            return [each for each in DatadogApi.received if each["metric"] == name]

        wait_until(lambda: bool(sent()), "the count arrives")
        server.shutdown()
    (series,) = sent()
    assert (series["type"], series["points"][0][1], series["path"].partition("?")[0]) == ("count", 1, "/api/v1/series")
    assert "status:success" in series["tags"]
    assert series["host"] == "dog"


def test_a_receiver_that_is_gone_holds_up_no_execution(start_replica: StartReplica, database: str) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    gone = {"STATSD_ADDRESS": nobody, "DATADOG_API_KEY": "k", "DATADOG_HOST": f"http://{nobody}"}
    replica = start_replica(database, "lonely", **gone, **OFTEN)
    for _ in range(3):
        assert replica.execute("transform", text="alone")["status"] == "completed"
        time.sleep(0.3)
    assert replica.http.get("/health").status_code == 200

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from conftest import RunningReplica, StartReplica, free_port, query, wait_until
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from otlp_client import Client, make_key, make_request, make_span

UP = "ia_service_otlp_grpc_up"


@pytest.fixture
def start(start_replica: StartReplica, database: str) -> Callable[..., tuple[RunningReplica, str]]:
    def start_receiving(**environ: str) -> tuple[RunningReplica, str]:
        address = f"127.0.0.1:{free_port()}"
        return start_replica(database, "grpc", OTLP_GRPC_LISTEN=address, **environ), address

    return start_receiving


def is_up(replica: RunningReplica) -> bool:
    return replica.metric(UP) == 1


def code(call: Callable[[], object]) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as refusal:
        call()
    found: grpc.StatusCode = refusal.value.code()
    return found


def test_spans_are_taken_over_grpc_by_whoever_has_a_key(
    start: Callable[..., tuple[RunningReplica, str]], database: str
) -> None:
    replica, address = start(MAX_BODY_BYTES="50000")
    key = make_key(database)
    wait_until(lambda: is_up(replica), "gRPC is up")
    request = make_request([make_span(n) for n in range(10)])
    with grpc.insecure_channel(address) as channel:
        stub: Any = TraceServiceStub(channel)  # type: ignore[no-untyped-call]  # generated

        def send(sent: object = request, given: str = key) -> Any:
            return stub.Export(sent, timeout=20, metadata=(("authorization", f"Bearer {given}"),))

        assert code(lambda: stub.Export(request, timeout=20)) is grpc.StatusCode.UNAUTHENTICATED
        assert code(lambda: send(given="iak_wrong")) is grpc.StatusCode.UNAUTHENTICATED
        assert query(database, "SELECT count(*) FROM spans") == [(0,)]
        assert not send().HasField("partial_success")
        assert query(database, "SELECT count(*) FROM spans") == [(10,)]
        broken = make_request([make_span(), make_span()])
        broken.resource_spans[0].scope_spans[0].spans[0].trace_id = b"short"
        assert send(broken).partial_success.rejected_spans == 1
        assert query(database, "SELECT count(*) FROM spans") == [(11,)]
        large = make_request([make_span(text="x" * 60_000)])
        assert code(lambda: send(large)) is grpc.StatusCode.RESOURCE_EXHAUSTED
        raw: Any = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        metadata = (("authorization", f"Bearer {key}"),)
        assert code(lambda: raw(b"\xff\xff", timeout=20, metadata=metadata)) is grpc.StatusCode.INVALID_ARGUMENT
        query(database, "DROP TABLE spans")
        assert code(send) is grpc.StatusCode.UNAVAILABLE
    assert replica.metric('ia_service_spans_total{outcome="stored",transport="grpc"}') == 11


def test_http_serves_while_grpc_cannot_have_its_port_and_grpc_comes_when_it_can(
    start_replica: StartReplica, database: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        replica = start_replica(database, "grpc", OTLP_GRPC_LISTEN=address)
        client = Client(replica.http, make_key(database))
        wait_until(lambda: "is taken; trying again" in Path(replica.log).read_text(), "the log says it")
        assert not is_up(replica)
        assert client.send(make_request([make_span()])).status_code == 200
        assert replica.http.get("/health").json()["status"] == "healthy"
    wait_until(lambda: is_up(replica), "gRPC is up")
    assert Path(replica.log).read_text().count("is taken; trying again") == 1


def test_without_its_setting_nothing_of_grpc_is_even_loaded(start_replica: StartReplica, database: str) -> None:
    replica = start_replica(database, "plain")
    maps = Path(f"/proc/{replica.pid}/maps").read_text()
    assert "cygrpc" not in maps
    assert replica.metric(UP) == 0

"""Many clients that send spans at the same moment, each in one request."""

from __future__ import annotations

import importlib
import secrets
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spans.service import RefusedError, Service

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

TRIES = 10
Message = Any  # of protobuf
GRPC_METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
# Imported by name: the checker's environment has no OpenTelemetry, a release has.
_trace: Any = importlib.import_module("opentelemetry.proto.trace.v1.trace_pb2")
_common: Any = importlib.import_module("opentelemetry.proto.common.v1.common_pb2")
_export: Any = importlib.import_module("opentelemetry.proto.collector.trace.v1.trace_service_pb2")


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of one client's request."""

    taken: int
    rejected: int
    again: int
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """What the receiver said: to come back, or why not, or how many spans it rejected."""

    rejected: int = 0
    come_back_s: float | None = None
    refused: str = ""


def send(options: argparse.Namespace) -> int:
    """Send what was asked for, and print what came of it."""
    service, trace_id = Service(), secrets.token_bytes(16)
    same = [_span(trace_id, number, options.bytes) for number in range(options.spans)] if options.same else None
    bodies = [
        _body(same or [_span(trace_id, number, options.bytes) for number in range(options.spans)], options.malformed)
        for _ in range(options.clients)
    ]
    export = _over_grpc(service, options.grpc) if options.grpc else _over_http(service)
    together = threading.Barrier(options.clients + 1)

    def client(body: bytes) -> Sent:
        together.wait()
        return _client(export, body, options.spans)

    with ThreadPoolExecutor(options.clients) as pool:
        clients = [pool.submit(client, body) for body in bodies]
        together.wait()
        begun = time.monotonic()
        sent = [each.result() for each in clients]
        seconds = time.monotonic() - begun
    refused = [each.refused for each in sent if each.refused]
    print(
        f"trace {trace_id.hex()}: {options.spans * options.clients} spans from {options.clients} clients "
        f"in {seconds:.3f} s: {sum(s.taken for s in sent)} taken, {sum(s.rejected for s in sent)} rejected, "
        f"{len(refused)} refused, {sum(s.again for s in sent)} sent again"
    )
    for reason in sorted(set(refused)):
        print(f"spans.sh: {reason}", file=sys.stderr)
    return 1 if refused else 0


def _client(export: Callable[[bytes], Told], body: bytes, spans: int) -> Sent:
    for tried in range(TRIES):
        try:
            told = export(body)
        except RefusedError as error:
            return Sent(0, 0, tried, str(error))
        if told.come_back_s is None:
            return Sent(0 if told.refused else spans, told.rejected, tried, told.refused)
        time.sleep(told.come_back_s)
    return Sent(0, 0, TRIES, told.refused)


def _over_http(service: Service) -> Callable[[bytes], Told]:
    def export(body: bytes) -> Told:
        answer = service.ask("POST", "/v1/traces", body, "application/x-protobuf")
        match answer.status:
            case 200:
                return Told(_rejected(answer.body))
            case 429 | 502 | 503 | 504:
                return Told(come_back_s=answer.retry_after_s, refused=answer.error())
            case _:
                return Told(refused=answer.error())

    return export


def _over_grpc(service: Service, address: str) -> Callable[[bytes], Told]:
    grpc = importlib.import_module("grpc")
    call = grpc.insecure_channel(address).unary_unary(GRPC_METHOD)

    def export(body: bytes) -> Told:
        try:
            return Told(_rejected(call(body, timeout=30, metadata=(("authorization", service.authorization),))))
        except grpc.RpcError as error:
            said = f"{error.code().name} {error.details()}"
            busy = error.code().name == "UNAVAILABLE" and "pool_exhausted" in said
            return Told(come_back_s=1 if busy else None, refused=said)

    return export


def _rejected(answer: bytes) -> int:
    return int(_export.ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans)


def _body(spans: list[Message], malformed: int) -> bytes:
    request = _export.ExportTraceServiceRequest()
    source = request.resource_spans.add()
    source.resource.attributes.append(_attribute("service.name", "spans.sh"))
    # Among the good ones, not after them.
    broken = [_trace.Span(trace_id=b"short", span_id=bytes(8), name="malformed") for _ in range(malformed)]
    source.scope_spans.add().spans.extend(broken[::2] + spans + broken[1::2])
    return bytes(request.SerializeToString())


def _span(trace_id: bytes, number: int, size: int) -> Message:
    begun = time.time_ns()
    attributes = [_attribute("number", number)]
    if size:
        attributes.append(_attribute("large", secrets.token_urlsafe(size)[:size]))
    return _trace.Span(
        trace_id=trace_id, span_id=secrets.token_bytes(8), name=f"span {number}", kind=3,
        start_time_unix_nano=begun, end_time_unix_nano=begun + 1_000_000, attributes=attributes,
    )  # fmt: skip


def _attribute(key: str, value: str | int) -> Message:
    kind = "string_value" if isinstance(value, str) else "int_value"
    return _common.KeyValue(key=key, value=_common.AnyValue(**{kind: value}))

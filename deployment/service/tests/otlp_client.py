"""What sends spans, as OpenTelemetry's clients do."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any

import httpx
import psycopg2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ia_service import keys
from ia_service.database import Pool, PooledDatabase

BEGUN_NS = 1_700_000_000_000_000_000
PROTOBUF = "application/x-protobuf"


def make_key(database_url: str) -> str:
    """Make a user and return an API key of theirs."""
    connection = psycopg2.connect(database_url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO users (name, password_hash, role) VALUES (%s, '', 'member') RETURNING user_id",
            (secrets.token_hex(8),),
        )
        user_id = str(cursor.fetchone()[0])  # type: ignore[index]  # there is one
    connection.close()
    pool = Pool(database_url, size=1, wait_s=5, query_s=5, name="test")
    key = keys.create(PooledDatabase(database_url, pool), user_id, "test", None)["key"]
    pool.close()
    return str(key)


def make_span(number: int = 0, *, trace_id: str | None = None, span_id: str | None = None, **attributes: Any) -> Span:
    return Span(
        trace_id=bytes.fromhex(trace_id or secrets.token_hex(16)),
        span_id=bytes.fromhex(span_id or secrets.token_hex(8)),
        name=f"span {number}",
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=BEGUN_NS + number * 1000,
        end_time_unix_nano=BEGUN_NS + number * 1000 + 500,
        attributes=[KeyValue(key=name, value=_value(value)) for name, value in attributes.items()],
    )


def make_request(spans: Iterable[Span], service: str = "tests") -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    source = request.resource_spans.add()
    source.resource.attributes.append(KeyValue(key="service.name", value=AnyValue(string_value=service)))
    source.scope_spans.add().spans.extend(spans)
    return request


class Client:
    """Sends to one replica with one key."""

    def __init__(self, http: httpx.Client, key: str) -> None:
        self.http = http
        self.headers = {"authorization": f"Bearer {key}"}

    def send(self, body: bytes | ExportTraceServiceRequest, kind: str = PROTOBUF, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else body.SerializeToString()
        return self.http.post("/v1/traces", content=content, headers={**self.headers, "content-type": kind, **headers})

    def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        answer = self.http.get(path, params=parameters, headers=self.headers)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


def _value(value: Any) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case _:
            return AnyValue(string_value=value)

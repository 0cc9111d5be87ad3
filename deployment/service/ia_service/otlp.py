"""OTLP requests in, spans out: protobuf and JSON, each span judged by itself."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

from ia_service.errors import MalformedSpansError, TooLargeError
from ia_service.spans import SPAN_ID, TRACE_ID, Span

MAX_SPANS = 10_000
MAX_SPAN_BYTES = 1024 * 1024  # of one span, its attributes and events as JSON
_LAST_NS = 2**63 - 1
_REASONS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Batch:
    """What one request held: the spans that can be stored, and why the others cannot."""

    spans: tuple[Span, ...]
    rejected: tuple[str, ...]

    def answer(self) -> Any:
        """Return OTLP's answer, which tells how many spans were rejected and why the first ones were."""
        answer = ExportTraceServiceResponse()
        if self.rejected:
            answer.partial_success.rejected_spans = len(self.rejected)
            answer.partial_success.error_message = "; ".join(self.rejected[:_REASONS_SHOWN])
        return answer


class _RejectedError(Exception):
    """One span cannot be stored; the text says why."""


def read_protobuf(body: bytes) -> Batch:
    """Return the spans of an ``ExportTraceServiceRequest``; raises MalformedSpansError, TooLargeError."""
    try:
        request = _Envelope.FromString(body)
    except DecodeError:
        raise MalformedSpansError("the body is no OTLP trace request in protobuf") from None
    return _batch(_protobuf_spans(request), sum(len(s.spans) for r in request.resource_spans for s in r.scope_spans))


def read_json(body: bytes) -> Batch:
    """Return the spans of a request in OTLP's JSON; raises MalformedSpansError, TooLargeError."""
    try:
        request = json.loads(body)
        sources = [
            (each.get("resource") or {}, [span for scope in each.get("scopeSpans") or () for span in scope["spans"]])
            for each in request.get("resourceSpans") or ()
        ]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise MalformedSpansError("the body is no OTLP trace request in JSON") from None
    return _batch(_json_spans(sources), sum(len(spans) for _, spans in sources))


def _envelope() -> Any:
    """Return the request's message type with its spans left as bytes, so that a broken one breaks nothing else."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="ia_service/envelope.proto", package="ia_service", syntax="proto3")
    for message, fields in (
        ("Scope", (("spans", 2, field.TYPE_BYTES, None),)),
        ("Source", (("resource", 1, field.TYPE_BYTES, None), ("scope_spans", 2, field.TYPE_MESSAGE, "Scope"))),
        ("Request", (("resource_spans", 1, field.TYPE_MESSAGE, "Source"),)),
    ):
        added = file.message_type.add(name=message)
        for name, number, kind, of in fields:
            label = field.LABEL_OPTIONAL if name == "resource" else field.LABEL_REPEATED
            added.field.add(
                name=name, number=number, type=kind, label=label, type_name=f".ia_service.{of}" if of else None
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("ia_service.Request"))


_Envelope = _envelope()


def _protobuf_spans(request: Any) -> Iterator[tuple[Resource, SpanMessage] | str]:
    for source in request.resource_spans:
        try:
            resource = Resource.FromString(source.resource)
        except DecodeError:
            yield from ("its resource is broken" for scope in source.scope_spans for _ in scope.spans)
            continue
        for scope in source.scope_spans:
            for span in scope.spans:
                try:
                    yield resource, SpanMessage.FromString(span)
                except DecodeError:
                    yield "it is no span"


def _json_spans(sources: list[tuple[Any, list[Any]]]) -> Iterator[tuple[Resource, SpanMessage] | str]:
    for described, spans in sources:
        try:
            resource = json_format.ParseDict(described, Resource(), ignore_unknown_fields=True)
        except (json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError):
            yield from ("its resource is broken" for _ in spans)
            continue
        for span in spans:
            try:
                yield resource, _span_from_json(span)
            except (json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError):
                yield "it is no span"


def _span_from_json(given: Any) -> SpanMessage:
    # OTLP writes ids in hex, where protobuf's own JSON has base64.
    links = [_with_base64_ids(link) for link in given.get("links") or ()]
    return json_format.ParseDict(_with_base64_ids(given) | {"links": links}, SpanMessage(), ignore_unknown_fields=True)


def _with_base64_ids(given: Any) -> dict[str, Any]:
    ids = {name: given[name] for name in ("traceId", "spanId", "parentSpanId") if given.get(name) is not None}
    return {**given, **{name: base64.b64encode(bytes.fromhex(text)).decode() for name, text in ids.items()}}


def _batch(found: Iterator[tuple[Resource, SpanMessage] | str], count: int) -> Batch:
    if count > MAX_SPANS:
        raise TooLargeError(f"{count} spans in one request; {MAX_SPANS} may be")
    spans, rejected = [], []
    for position, each in enumerate(found):
        try:
            spans.append(_span(each))
        except _RejectedError as reason:
            rejected.append(f"span {position}: {reason}")
    return Batch(tuple(spans), tuple(rejected))


def _span(found: tuple[Resource, SpanMessage] | str) -> Span:
    if isinstance(found, str):
        raise _RejectedError(found)
    resource, message = found
    about = _values(resource.attributes)
    parent = message.parent_span_id.hex()
    span = Span(
        trace_id=_id(message.trace_id, TRACE_ID, "trace id"),
        span_id=_id(message.span_id, SPAN_ID, "span id"),
        parent_span_id=_id(message.parent_span_id, SPAN_ID, "parent's span id") if parent.strip("0") else None,
        name=_text(message.name),
        kind=message.kind,
        service=str(about.get("service.name", "unknown_service")),
        started_ns=_time(message.start_time_unix_nano),
        ended_ns=_time(message.end_time_unix_nano),
        status=message.status.code,
        status_message=_text(message.status.message),
        attributes=_values(message.attributes),
        resource=about,
        events=tuple(
            {"name": _text(e.name), "at_ns": e.time_unix_nano, "attributes": _values(e.attributes)}
            for e in message.events
        ),
        links=tuple(
            {"trace_id": e.trace_id.hex(), "span_id": e.span_id.hex(), "attributes": _values(e.attributes)}
            for e in message.links
        ),
    )
    if not (0 <= span.kind < 2**15 and 0 <= span.status < 2**15):
        raise _RejectedError("its kind or status is none")
    if message.ByteSize() > MAX_SPAN_BYTES // 8 and len(json.dumps(asdict(span))) > MAX_SPAN_BYTES:
        raise _RejectedError(f"it is larger than {MAX_SPAN_BYTES} bytes")
    return span


def _id(given: bytes, pattern: re.Pattern[str], what: str) -> str:
    text = given.hex()
    if not pattern.fullmatch(text) or not text.strip("0"):
        raise _RejectedError(f"its {what} is {len(given)} bytes, or zero")
    return text


def _time(nanoseconds: int) -> int:
    if nanoseconds > _LAST_NS:
        raise _RejectedError("its times are after the year 2262")
    return nanoseconds


def _values(attributes: Any) -> dict[str, Any]:
    return {_text(each.key): _value(each.value) for each in attributes}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    given: Any = getattr(value, kind) if kind else None
    match kind:
        case "string_value":
            given = _text(given)
        case "bytes_value":
            given = base64.b64encode(given).decode()
        case "double_value" if not math.isfinite(given):
            # JSON has no such numbers; OTLP's own JSON writes them as text.
            given = str(given)
        case "array_value":
            given = [_value(each) for each in given.values]
        case "kvlist_value":
            given = _values(given.values)
    return given


def _text(text: str) -> str:
    # The one character that PostgreSQL does not store.
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")

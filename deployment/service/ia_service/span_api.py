"""Spans over HTTP: OTLP in, pages of what was stored out."""

from __future__ import annotations

import zlib
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from ia_service import spans
from ia_service.caller import Caller, Means
from ia_service.errors import (
    InvalidQueryError,
    MalformedSpansError,
    MediaTypeError,
    NotFoundError,
    TooLargeError,
    UnauthenticatedError,
)
from ia_service.replica import Replica

router = APIRouter()

PROTOBUF, JSON = "application/x-protobuf", "application/json"
INGESTION = "/v1/traces"

Limit = Annotated[int, Query(ge=1, le=spans.MAX_PAGE)]


@router.post(INGESTION)
async def ingest(request: Request) -> Response:
    """Store the spans of one OTLP request; what cannot be stored is told in ``partial_success``."""
    replica: Replica = request.app.state.replica
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in {PROTOBUF, JSON}:
        raise MediaTypeError(f"send {PROTOBUF} or {JSON}")
    _known(request, only=Means.KEY)
    body = await request.body()
    encoding = request.headers.get("content-encoding", "").strip().lower()
    answer = await run_in_threadpool(_store, replica, body, kind, encoding)
    return Response(answer, media_type=kind)


@router.get("/api/traces/{trace_id}")
def trace(request: Request, trace_id: str, after: str = "0.", limit: Limit = spans.MAX_PAGE) -> Response:
    """List the spans of a trace, the first ones first."""
    _known(request)
    wanted = trace_id.lower()
    if not spans.TRACE_ID.fullmatch(wanted):
        raise InvalidQueryError("trace_id: expected 32 hex digits")
    found = spans.read_trace(_database(request), wanted, _position(after), limit)
    if not found.rows and after == "0.":
        raise NotFoundError(f"there is no trace {wanted}")
    return _page(found, "{started_ns}.{span_id}")


@router.get("/api/spans")
def page(
    request: Request, after: Annotated[int, Query(ge=0, lt=2**63)] = 0, limit: Limit = 100, attribute: str | None = None
) -> Response:
    """List the stored spans in the order in which they came, all or those with an attribute, ``name=value``."""
    _known(request)
    if attribute is None:
        return _page(spans.read_page(_database(request), after, limit), "{number}")
    name, equals, value = attribute.partition("=")
    if not name or not equals or "\0" in attribute:
        raise InvalidQueryError("attribute: expected name=value")
    return _page(spans.find(_database(request), name, value, after, limit), "{number}")


def _known(request: Request, *, only: Means | None = None) -> None:
    """Raise UnauthenticatedError unless the guard in front has found out who asks, and by what means."""
    caller: Caller | None = request.state.caller
    if caller is None or (only and caller.means is not only):
        raise UnauthenticatedError("this needs an API key; send it as: Authorization: Bearer iak_…")


def _database(request: Request) -> Any:
    return request.app.state.replica.database


def _store(replica: Replica, body: bytes, kind: str, encoding: str) -> bytes:
    # Imported here: protobuf and its messages take as long as a tenth of the start of a replica.
    from google.protobuf.json_format import MessageToJson  # noqa: PLC0415

    from ia_service import otlp  # noqa: PLC0415

    if encoding not in {"", "identity", "gzip"}:
        raise MediaTypeError("send the body as it is, or with gzip")
    plain = _unzipped(body, replica.settings.max_body_bytes) if encoding == "gzip" else body
    batch = otlp.read_protobuf(plain) if kind == PROTOBUF else otlp.read_json(plain)
    replica.signals.store("http", batch)
    answer = batch.answer()
    return MessageToJson(answer, indent=None).encode() if kind == JSON else bytes(answer.SerializeToString())


def _unzipped(body: bytes, limit: int) -> bytes:
    unzip = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        plain = unzip.decompress(body, limit + 1)
    except zlib.error:
        raise MalformedSpansError("the body is not what gzip makes") from None
    if len(plain) > limit:
        raise TooLargeError(f"the body is larger than {limit} bytes once it is unzipped")
    if not unzip.eof:
        raise MalformedSpansError("the body breaks off")
    return plain


def _position(after: str) -> tuple[int, str]:
    started, dot, span_id = after.partition(".")
    if not (dot and started.isdecimal() and int(started) < 2**63 and spans.SPAN_ID.fullmatch(span_id or "0" * 16)):
        raise InvalidQueryError("after: expected what an answer gave as next")
    return int(started), span_id


def _page(found: spans.Page, position: str) -> Response:
    following = position.format(**found.rows[-1]) if found.more else None
    rows = [{**row, "received_at": row["received_at"].isoformat()} for row in found.rows]
    # A response of its own: the framework would go through every attribute of every span in search of what is no JSON.
    return JSONResponse({"spans": rows, "next": following})

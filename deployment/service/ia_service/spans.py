"""Spans in PostgreSQL: stored once by trace id and span id, found by trace and by attribute, read in pages."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ia_service.database import PooledDatabase, Row

MAX_PAGE = 1000
MAX_PAGE_BYTES = 8 * 1024 * 1024
_COUNTED = frozenset({"available", "bytes_before"})
TRACE_ID = re.compile(r"[0-9a-f]{32}")
SPAN_ID = re.compile(r"[0-9a-f]{16}")

# In the order of the key, so that two batches with spans in common never wait for each other in a circle.
_STORE = """
WITH stored AS (
    INSERT INTO spans (trace_id, span_id, parent_span_id, name, kind, service, started_ns, ended_ns,
                       status, status_message, attributes, resource, events, links, size_bytes)
    SELECT trace_id, span_id, parent_span_id, name, kind, service, started_ns, ended_ns,
           status, status_message, attributes, resource, events, links, size_bytes
    FROM json_to_recordset(CAST(:batch AS json)) AS batch (
        trace_id text, span_id text, parent_span_id text, name text, kind smallint, service text,
        started_ns bigint, ended_ns bigint, status smallint, status_message text,
        attributes jsonb, resource jsonb, events jsonb, links jsonb, size_bytes integer)
    ORDER BY trace_id, span_id
    ON CONFLICT (trace_id, span_id) DO NOTHING
    RETURNING 1
)
SELECT count(*) AS stored FROM stored
"""

# Of what was asked for, as much as fits into an answer, one row at least; `available` tells whether that is all.
_BOUNDED = """
SELECT * FROM (
    SELECT *, count(*) OVER () AS available, sum(size_bytes) OVER (ORDER BY {order}) - size_bytes AS bytes_before
    FROM ({page}) AS page
) AS bounded
WHERE bytes_before < :most ORDER BY {order}
"""

_TRACE = _BOUNDED.format(
    order="started_ns, span_id",
    page="""
    SELECT * FROM spans WHERE trace_id = :trace_id AND (started_ns, span_id) > (:started_ns, :span_id)
    ORDER BY started_ns, span_id LIMIT :limit + 1
    """,
)

_PAGE = _BOUNDED.format(
    order="number", page="SELECT * FROM spans WHERE number > :after ORDER BY number LIMIT :limit + 1"
)

_FOUND = _BOUNDED.format(
    order="number",
    page="""
    SELECT * FROM spans
    WHERE (attributes @> CAST(:as_text AS jsonb) OR attributes @> CAST(:as_json AS jsonb)) AND number > :after
    ORDER BY number LIMIT :limit + 1
    """,
)


@dataclass(frozen=True, slots=True)
class Page:
    """Some spans, and whether more follow."""

    rows: tuple[Row, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class Span:
    """One span as it is stored; ids are lower-case hex, times are nanoseconds since 1970."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    kind: int
    service: str
    started_ns: int
    ended_ns: int
    status: int
    status_message: str
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]
    events: tuple[Mapping[str, Any], ...]
    links: tuple[Mapping[str, Any], ...]


def store(database: PooledDatabase, spans: Sequence[Span]) -> int:
    """Store what is not stored yet, in one statement, and return how many spans that were."""
    if not spans:
        return 0
    rows = [asdict(span) for span in spans]
    batch = json.dumps([{**row, "size_bytes": len(json.dumps(row))} for row in rows])
    return int(database.execute(_STORE, {"batch": batch})[0]["stored"])


def read_trace(database: PooledDatabase, trace_id: str, after: tuple[int, str], limit: int) -> Page:
    """Return the spans of a trace that began after a span, the first ones first."""
    started_ns, span_id = after
    return _page(database, _TRACE, limit, trace_id=trace_id, started_ns=started_ns, span_id=span_id)


def read_page(database: PooledDatabase, after: int, limit: int) -> Page:
    """Return the spans that were stored after a number."""
    return _page(database, _PAGE, limit, after=after)


def find(database: PooledDatabase, name: str, text: str, after: int, limit: int) -> Page:
    """Return the spans with an attribute of this value, be it text or what the text says as JSON."""
    as_text, as_json = (json.dumps({name: value}) for value in (text, _meaning(text)))
    return _page(database, _FOUND, limit, as_text=as_text, as_json=as_json, after=after)


def _page(database: PooledDatabase, query: str, limit: int, **values: str | int) -> Page:
    found = database.fetch_all(query, {**values, "limit": limit, "most": MAX_PAGE_BYTES})
    shown = tuple({name: value for name, value in row.items() if name not in _COUNTED} for row in found[:limit])
    return Page(shown, more=bool(found) and found[0]["available"] > len(shown))


def _meaning(text: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, (bool, int, float)) and value == value else text  # noqa: PLR0124  # not a number

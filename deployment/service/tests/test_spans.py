from __future__ import annotations

import gzip
import json
import math
import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import RunningReplica, StartReplica, create_database, query, replica_starter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from otlp_client import BEGUN_NS, PROTOBUF, Client, make_key, make_request, make_span

MARK = "a" * 32


@pytest.fixture(scope="module")
def emptied(place: Path, postgres: int, valkey: str, migrated: str) -> Iterator[tuple[RunningReplica, str, str]]:
    """A replica for all tests of this file, its database, and a key."""
    url = create_database(postgres, migrated)
    with replica_starter(place, valkey) as start:
        yield start(url, "spans"), url, make_key(url)


@pytest.fixture
def spans_database(emptied: tuple[RunningReplica, str, str]) -> str:
    query(emptied[1], "TRUNCATE spans")
    return emptied[1]


@pytest.fixture
def client(emptied: tuple[RunningReplica, str, str], spans_database: str) -> Client:
    assert spans_database
    return Client(emptied[0].http, emptied[2])


def stored(database: str) -> int:
    return int(str(query(database, "SELECT count(*) FROM spans")[0][0]))


def partial_success(body: bytes) -> tuple[int, str]:
    answer = ExportTraceServiceResponse.FromString(body).partial_success
    return answer.rejected_spans, answer.error_message


def test_a_span_arrives_as_it_was_sent(client: Client) -> None:
    sent = make_span(7, trace_id=MARK, span_id="b" * 16, text="Grüße", count=2**40, ratio=0.5, good=True, raw=b"\0\1")
    answer = client.send(make_request([sent], "orders"))
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, b"", PROTOBUF)
    (span,) = client.get(f"/api/traces/{MARK}")["spans"]
    assert (span["span_id"], span["parent_span_id"], span["name"], span["service"]) == (
        "b" * 16,
        None,
        "span 7",
        "orders",
    )
    assert (span["started_ns"], span["ended_ns"], span["kind"]) == (BEGUN_NS + 7000, BEGUN_NS + 7500, 2)
    assert span["attributes"] == {"text": "Grüße", "count": 2**40, "ratio": 0.5, "good": True, "raw": "AAE="}
    assert span["resource"] == {"service.name": "orders"}


def test_json_has_ids_in_hex_and_ignores_what_it_does_not_know(client: Client) -> None:
    span = {
        "traceId": MARK.upper(),
        "spanId": "00000000000000ff",
        "parentSpanId": "00000000000000fe",
        "name": "json",
        "kind": 3,
        "startTimeUnixNano": str(BEGUN_NS),
        "endTimeUnixNano": BEGUN_NS + 1,
        "attributes": [{"key": "n", "value": {"intValue": "42"}}],
        "links": [{"traceId": "c" * 32, "spanId": "d" * 16}],
        "events": [{"name": "e", "timeUnixNano": "5", "attributes": []}],
        "tomorrow": "new",
    }
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    answer = client.send(json.dumps(body).encode(), "application/json; charset=utf-8")
    assert (answer.status_code, answer.json()) == (200, {})
    (found,) = client.get(f"/api/traces/{MARK}")["spans"]
    assert (found["parent_span_id"], found["kind"], found["service"]) == ("00000000000000fe", 3, "unknown_service")
    assert found["attributes"] == {"n": 42}
    assert found["links"] == [{"trace_id": "c" * 32, "span_id": "d" * 16, "attributes": {}}]
    assert found["events"] == [{"name": "e", "at_ns": 5, "attributes": {}}]


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer iak_0000", "Basic {key}", "Bearer {key}x"])
def test_without_a_valid_key_nothing_is_stored_and_nothing_is_shown(
    client: Client, spans_database: str, authorization: str
) -> None:
    given = authorization.format(key=client.headers["authorization"].split()[1])
    headers = {"authorization": given} if given else {}
    post = client.http.post("/v1/traces", content=b"", headers={**headers, "content-type": PROTOBUF})
    pages = [client.http.get(path, headers=headers) for path in (f"/api/traces/{MARK}", "/api/spans")]
    for answer in (post, *pages):
        assert (answer.status_code, answer.json()["error"]) == (401, "unauthenticated")
    assert stored(spans_database) == 0


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"\xff\xff\xff", PROTOBUF, 400, "malformed_spans"),
        (b"{", "application/json", 400, "malformed_spans"),
        (b"[]", "application/json", 400, "malformed_spans"),
        (b'{"resourceSpans": 3}', "application/json", 400, "malformed_spans"),
        (b'{"resourceSpans": [{"scopeSpans": [{}]}]}', "application/json", 400, "malformed_spans"),
        (b"[" * 100_000, "application/json", 400, "malformed_spans"),
        (b"", "text/plain", 415, "unsupported_media_type"),
        (b"", "", 415, "unsupported_media_type"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(client: Client, body: bytes, kind: str, status: int, code: str) -> None:
    answer = client.send(body, kind)
    assert (answer.status_code, answer.json()["error"]) == (status, code)


def test_malformed_spans_do_not_take_valid_ones_down(client: Client, spans_database: str) -> None:
    good = [make_span(n, trace_id=MARK) for n in range(3)]
    short, zero, late, foreign = (make_span(n) for n in range(4))
    short.trace_id, zero.span_id, foreign.parent_span_id = b"short", bytes(8), b"parent"
    late.start_time_unix_nano = 2**63
    huge = make_span(9, text="x" * 1_200_000)
    request = make_request([good[0], short, zero, good[1], late, foreign, huge, good[2]])
    answer = client.send(request)
    assert answer.status_code == 200
    count, message = partial_success(answer.content)
    assert count == 5
    assert message.startswith(
        "span 1: its trace id is 5 bytes, or zero; span 2: its span id is 8 bytes, or zero; span 4"
    )
    assert stored(spans_database) == len(client.get(f"/api/traces/{MARK}")["spans"]) == 3
    # Protobuf as a whole is broken by one byte that is not UTF-8; here only the span with it is.
    broken = make_request([make_span(0, trace_id=MARK), make_span(1, text="bad text")]).SerializeToString()
    answer = client.send(broken.replace(b"bad text", b"bad \xff\xfext"))
    assert (answer.status_code, partial_success(answer.content)) == (200, (1, "span 1: it is no span"))
    assert stored(spans_database) == 4


def test_malformed_spans_in_json_do_not_take_valid_ones_down(client: Client, spans_database: str) -> None:
    good = {"traceId": MARK, "spanId": "b" * 16, "name": "good"}
    bad: list[Any] = [
        3, None, {}, {**good, "traceId": "xyz"}, {**good, "traceId": 5}, {**good, "spanId": "b"},
        {**good, "startTimeUnixNano": -1}, {**good, "attributes": {"a": 1}}, {**good, "links": [{"traceId": []}]},
    ]  # fmt: skip
    nested: Any = {"stringValue": "deep"}
    for _ in range(200):
        nested = {"arrayValue": {"values": [nested]}}
    bad.append({**good, "attributes": [{"key": "deep", "value": nested}]})
    resources = [{"scopeSpans": [{"spans": [*bad, good]}]}, {"resource": 5, "scopeSpans": [{"spans": [good]}]}]
    answer = client.send(json.dumps({"resourceSpans": resources}).encode(), "application/json")
    assert answer.status_code == 200, answer.text
    assert answer.json()["partialSuccess"]["rejectedSpans"] == str(len(bad) + 1)
    assert stored(spans_database) == 1


def test_what_postgresql_cannot_store_is_replaced_and_what_json_cannot_say_is_text(client: Client) -> None:
    client.send(make_request([make_span(trace_id=MARK, text="a\0b", none=math.nan, most=-math.inf)]))
    spans = [
        {"traceId": MARK, "spanId": "b" * 16, "name": "\0"},
        {"traceId": MARK, "spanId": "c" * 16, "name": "half a character: \ud800"},
    ]
    answer = client.send(
        json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode(), "application/json"
    )
    assert answer.json()["partialSuccess"] == {"rejectedSpans": "1", "errorMessage": "span 1: it is no span"}
    by_id = {span["span_id"]: span for span in client.get(f"/api/traces/{MARK}")["spans"]}
    assert by_id.pop("b" * 16)["name"] == "\N{REPLACEMENT CHARACTER}"
    (other,) = by_id.values()
    assert other["attributes"] == {"text": "a\N{REPLACEMENT CHARACTER}b", "none": "nan", "most": "-inf"}


def test_an_attribute_of_100_kb_is_kept_and_found(client: Client) -> None:
    long = "ö" * 50_000
    client.send(make_request([make_span(trace_id=MARK, long=long), make_span()]))
    (span,) = client.get(f"/api/traces/{MARK}")["spans"]
    assert span["attributes"]["long"] == long
    assert len(client.get("/api/spans", attribute=f"long={'ö' * 5_000}")["spans"]) == 0


def test_the_size_of_a_body_is_limited_zipped_or_not(start_replica: StartReplica, database: str) -> None:
    replica = start_replica(database, "small", MAX_BODY_BYTES="100000")
    client = Client(replica.http, make_key(database))
    large = make_request([make_span(text="x" * 200_000)]).SerializeToString()
    small = make_request([make_span()]).SerializeToString()
    assert client.send(large).status_code == 413
    assert client.send(gzip.compress(large), **{"content-encoding": "gzip"}).status_code == 413
    assert client.send(gzip.compress(small), **{"content-encoding": "gzip"}).status_code == 200
    assert client.send(small, **{"content-encoding": "br"}).status_code == 415
    for broken in (b"no gzip", gzip.compress(small)[:-9]):
        assert client.send(broken, **{"content-encoding": "gzip"}).json()["error"] == "malformed_spans"
    assert stored(database) == 1


def test_a_page_has_as_many_spans_as_fit_into_8_mib_and_the_others_follow(client: Client) -> None:
    for _ in range(12):
        client.send(make_request([make_span(text="x" * 1_000_000) for _ in range(2)]))
    ids: list[str] = []
    sizes, after = [], "0"
    while after is not None:
        page = client.get("/api/spans", limit=1000, after=after)
        ids += [span["span_id"] for span in page["spans"]]
        sizes.append(len(page["spans"]))
        after = page["next"]
    assert sizes == [9, 9, 6]
    assert len(set(ids)) == 24


def test_the_number_of_spans_in_a_request_is_limited(client: Client, spans_database: str) -> None:
    many = {"resourceSpans": [{"scopeSpans": [{"spans": [0] * 10_001}]}]}
    answer = client.send(json.dumps(many).encode(), "application/json")
    assert (answer.status_code, answer.json()["error"]) == (413, "too_large")
    assert stored(spans_database) == 0


def test_the_same_span_sent_by_five_clients_is_stored_once_and_the_first_stays(
    emptied: tuple[RunningReplica, str, str], client: Client, spans_database: str
) -> None:
    counts = ["stored", "duplicate"]
    before = [emptied[0].metric(f'ia_service_spans_total{{outcome="{each}",transport="http"}}') for each in counts]
    body = make_request([make_span(n, trace_id=MARK, span_id=f"{n + 1:016x}") for n in range(20)])
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: client.send(body).status_code, range(5)))
    assert answers == [200] * 5
    assert stored(spans_database) == 20
    client.send(make_request([make_span(0, trace_id=MARK, span_id=f"{1:016x}", late=True)] * 2))
    assert client.get(f"/api/traces/{MARK}", limit=1)["spans"][0]["attributes"] == {}
    after = [emptied[0].metric(f'ia_service_spans_total{{outcome="{each}",transport="http"}}') for each in counts]
    assert [new - old for new, old in zip(after, before, strict=True)] == [20, 82]


def test_fifty_writers_with_the_same_spans_in_any_order_do_not_deadlock(client: Client, spans_database: str) -> None:
    spans = [make_span(n, trace_id=secrets.token_hex(16)) for n in range(60)]
    orders = [spans if n % 2 else spans[::-1] for n in range(50)]
    start = threading.Barrier(50)

    def send(order: list[Any]) -> int:
        start.wait()
        status = 503
        while status == 503:  # a pool of ten for fifty: some are told to come back
            status = client.send(make_request(order)).status_code
        return status

    with ThreadPoolExecutor(50) as pool:
        assert set(pool.map(send, orders)) == {200}
    assert stored(spans_database) == 60


def test_a_trace_is_read_in_pages_in_the_order_of_time(client: Client) -> None:
    order = [5, 3, 8, 1, 1, 0, 9]
    client.send(make_request([make_span(n, trace_id=MARK) for n in order]))
    names, after = [], "0."
    while after:
        page = client.get(f"/api/traces/{MARK}", limit=2, after=after)
        assert len(page["spans"]) <= 2
        names += [span["name"] for span in page["spans"]]
        after = page["next"]
    assert names == [f"span {n}" for n in sorted(order)]


def test_all_spans_are_read_in_pages_and_none_twice(client: Client) -> None:
    for part in range(5):
        client.send(make_request([make_span(part * 7 + n) for n in range(7)]))
    ids, after, pages = [], 0, 0
    while after is not None:
        page = client.get("/api/spans", limit=10, after=after)
        ids += [span["span_id"] for span in page["spans"]]
        after, pages = page["next"], pages + 1
    assert (len(ids), len(set(ids)), pages) == (35, 35, 4)


@pytest.mark.parametrize(
    ("attribute", "found"),
    [("order=o-17", 1), ("count=5", 2), ("count=6", 0), ("ok=true", 1), ("order", None), ("=1", None)],
)
def test_spans_are_found_by_an_attribute_whatever_its_type(client: Client, attribute: str, found: int | None) -> None:
    client.send(
        make_request([make_span(order="o-17", count=5), make_span(count="5", ok=True), make_span(order="o-18")])
    )
    answer = client.http.get("/api/spans", params={"attribute": attribute}, headers=client.headers)
    if found is None:
        assert (answer.status_code, answer.json()["error"]) == (422, "invalid_request")
    else:
        assert len(answer.json()["spans"]) == found


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/api/traces/{'0' * 31}1", 404),
        ("/api/traces/short", 422),
        (f"/api/traces/{MARK}?after=5", 422),
        (f"/api/traces/{MARK}?after=99999999999999999999.", 422),
        (f"/api/traces/{MARK}?after=1.' OR 1=1", 422),
        ("/api/spans?limit=1001", 422),
        ("/api/spans?after=-1", 422),
        ("/api/spans?after=99999999999999999999", 422),
        ("/api/spans?attribute=a%00=b", 422),
    ],
)
def test_a_bad_question_gets_a_clear_answer(client: Client, path: str, status: int) -> None:
    answer = client.http.get(path, headers=client.headers)
    assert answer.status_code == status
    assert answer.json()["error"] == {404: "not_found", 422: "invalid_request"}[status]


def test_an_old_schema_is_a_503_that_says_what_to_do(start_replica: StartReplica, database: str) -> None:
    client = Client(start_replica(database, "old").http, make_key(database))
    query(database, "DROP TABLE spans")
    answer = client.send(make_request([make_span()]))
    assert (answer.status_code, answer.json()["error"]) == (503, "not_migrated")

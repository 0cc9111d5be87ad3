"""A comparison against Prometheus' HTTP API.

The server here is a small real one that speaks `/api/v1/query` and knows the answers to a few expressions; the real
Prometheus answers the same command in the tests of the staging stack.
"""

from __future__ import annotations

import io
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from runbook_checks.errors import UsageError
from runbook_checks.promql import Selector, check, curl, main, run, selectors, without_comparison

if TYPE_CHECKING:
    from collections.abc import Iterator

RATIO = {"__name__": "errors:ratio", "job": "api", "instance": 'a"1'}
NO_SERIES = "promql: nothing: there is no such series now; ask for it with absent() if it may be missing\n"
Answer = tuple[int, dict[str, object]]


def vector(*found: tuple[dict[str, str], str]) -> Answer:
    return 200, {"resultType": "vector", "result": [{"metric": labels, "value": [0, value]} for labels, value in found]}


ANSWERS: dict[str, Answer] = {
    "errors:ratio < 0.5": vector((RATIO, "0.25")),
    "errors:ratio < 0.01": vector(),
    "errors:ratio": vector((RATIO, "0.25")),
    "min(timestamp(errors:ratio))": vector(({}, "1700000090")),
    "empty:ratio != 1": vector(({"__name__": "empty:ratio"}, "NaN")),
    "empty:ratio": vector(({"__name__": "empty:ratio"}, "NaN")),
    "min(timestamp(empty:ratio))": vector(({}, "1700000090")),
    "nothing > 1": vector(),
    "(nothing or vector(0)) < 1": vector(({}, "0")),
    "absent(nothing) == 1": vector(({}, "1")),
    "absent(nothing) == 1 or nothing < 1": vector(({}, "1")),
    "min(timestamp(nothing))": vector(),
    "up == 1": vector(*(({"__name__": "up", "job": job}, "1") for job in ("b", "a"))),
    "up offset 1s == 1": vector(({}, "1")),
    "up == 1 and up offset 1s == 1": vector(({}, "1")),
    "min(timestamp(up))": vector(({}, "1700000090")),
    "min(timestamp(up offset 1s))": vector(({}, "1700000089")),
    "scalar(x) > scalar(y)": (200, {"resultType": "scalar", "result": [1, "1"]}),
    **{f"min(timestamp({name}))": vector(({}, "1700000090")) for name in ("x", "y", "too")},
}


class Prometheus(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path != "/api/v1/query":
            status, body = 404, b"<html>"
        else:
            query = parse_qs(parts.query)["query"][0]
            if query in ANSWERS:
                status, data = ANSWERS[query]
                body = json.dumps({"status": "success", "data": data}).encode()
            elif query == "too > 1":
                status, body = 422, b'{"status": "error", "errorType": "execution", "error": "too many samples"}'
            else:
                status, body = 400, b'{"status": "error", "errorType": "bad_data", "error": "1:1: parse error"}'
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Prometheus) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def command(text: str, url: str, *argv: str, **environ: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    status = main(argv, io.StringIO(text), out, err, {"PROMETHEUS_URL": url, **environ})
    return status, out.getvalue(), err.getvalue()


def test_a_comparison_that_returns_samples_holds_and_prints_them(url: str) -> None:
    assert command("errors:ratio < 0.5\n", url) == (0, 'errors:ratio{instance="a\\"1", job="api"} 0.25\n', "")
    assert command("up == 1\n", url + "/") == (0, 'up{job="a"} 1\nup{job="b"} 1\n', "")


def test_one_that_returns_none_fails_and_says_the_values(url: str) -> None:
    assert command("errors:ratio < 0.01\n", url) == (
        1,
        "",
        'promql: does not hold; the values are\nerrors:ratio{instance="a\\"1", job="api"} 0.25\n',
    )
    no_number = "promql: does not hold; the values are\nempty:ratio NaN\n"
    assert command("empty:ratio != 1\n", url) == (1, "", no_number), "nothing divided by nothing is not 1"
    assert command("nothing > 1\n", url) == (1, "", NO_SERIES)
    assert command("(nothing or vector(0)) < 1", url) == (1, "", NO_SERIES)


@pytest.mark.parametrize(("since", "code"), [("1700000089.5", 0), ("1700000090", 1), ("1700000200", 1)])
def test_only_samples_newer_than_the_last_step_count(url: str, since: str, code: int) -> None:
    for argv, environ in ((["--since", since], {}), ([], {"RUNBOOK_CHECKS_SINCE": since})):
        status, _, err = command("errors:ratio < 0.5\n", url, *argv, **environ)
        assert status == code
        assert ("errors:ratio: no sample newer than the last step yet" in err) == (code == 1)


@pytest.mark.parametrize(
    ("text", "fresh_after_s"),
    [
        ("up offset 1s == 1", 1700000089),
        ("up == 1 and up offset 1s == 1", 1700000090),
        ("absent(nothing) == 1", 1700000090),
        ("absent(nothing) == 1 or nothing < 1", 1700000090),
    ],
)
def test_what_looks_back_or_asks_for_what_is_missing_needs_new_samples_too(
    url: str, text: str, fresh_after_s: int
) -> None:
    assert run(text, url, since_s=fresh_after_s - 0.5).passed
    late = run(text, url, since_s=fresh_after_s)
    assert (late.passed, "no sample newer than the last step yet" in late.message) == (False, True)


def test_variables_are_expanded(url: str) -> None:
    assert command("errors:ratio < $LIMIT", url, LIMIT="0.5")[0] == 0
    assert command("errors:ratio < $LIMIT", url)[0] == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("up", "needs a comparison"),
        ('up{job=~"a>b"} # > 1', "needs a comparison"),
        ("up == bool 1", "compare without it"),
        ("vector(1) == 1", "needs a series"),
        ("time() > 0", "needs a series"),
        ("max_over_time((up)[5m:] offset 1h) == 0", "`offset 1h` belongs right behind the series"),
        ("(up) @ 5 == 1", "`@ 5` belongs right behind the series"),
        ("up >>> 1", "Prometheus refuses the expression: 1:1: parse error"),
        ("scalar(x) > scalar(y)", "is a scalar"),
    ],
)
def test_what_cannot_be_judged_is_refused(url: str, text: str, said: str) -> None:
    status, out, err = command(text, url)
    assert (status, out, said in err) == (2, "", True), err


def test_no_address_is_refused() -> None:
    status, _, err = command("up == 1", "")
    assert (status, "$PROMETHEUS_URL is not set" in err) == (2, True)


def test_nobody_there_and_a_wrong_place_are_failures(url: str) -> None:
    with socket.socket() as deaf:  # nobody else gets its port, and nobody listens there
        deaf.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        assert command("up == 1", nobody) == (1, "", f"promql: {nobody}: connection refused\n")
    status, _, err = command("up == 1", f"{url}/elsewhere")
    assert (status, "404 Not Found, which is no answer of Prometheus" in err) == (1, True)
    assert "too many samples" in run("too > 1", url).message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'sum by (job) (rate(a{code=~"5..",x="}>"}[5m])) / sum(rate(b[5m])) > 0.5',
            [Selector('a{code=~"5..",x="}>"}'), Selector("b")],
        ),
        ("up == 1 and on(instance) foo offset 5m > 2", [Selector("up"), Selector("foo", "offset 5m")]),
        ('{__name__="x"}[5m] offset 1h > 1', [Selector('{__name__="x"}', "offset 1h")]),
        ("time() - foo > 3 # bar", [Selector("foo")]),
        ("sum(up offset 1m30s) by (job) >= 2", [Selector("up", "offset 1m30s")]),
        ("x @ 1609746000 > 1", [Selector("x", "@ 1609746000")]),
        ('x{a="b"} @ end() offset -5m == 1', [Selector('x{a="b"}', "@ end() offset -5m")]),
        ("a / on(x) group_left(y) b > 3", [Selector("a"), Selector("b")]),
        ("max_over_time(a[5m:1m] OFFSET 1h) > 1e3 or a > Inf", [Selector("a", "OFFSET 1h"), Selector("a")]),
        (
            'absent(sum(a{x=")"})) == 1 or b < 1',
            [Selector('a{x=")"}', absent=True), Selector("b")],
        ),
        ("absent_over_time(a[1m]) == 1", [Selector("a", absent=True)]),
    ],
)
def test_the_selectors_of_an_expression(text: str, expected: list[Selector]) -> None:
    check(text)
    assert list(selectors(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a < 1", "a"),
        ("2 >= a{x='<'}", "a{x='<'}"),
        ("sum(a > 1) != 1e-3", "sum(a > 1)"),
        ("a > b", ""),
        ("a > 1 and b", ""),
        ("(a > 1)", ""),
    ],
)
def test_what_is_compared_with_a_number(text: str, expected: str) -> None:
    assert without_comparison(text) == expected


@pytest.mark.parametrize(
    ("text", "idle"),
    [
        ("sum(rate(errors[5m])) or vector(0) < 0.01", "sum(rate(errors[5m]))"),
        ("((a > 1) or vector(0))", "vector(0)"),
        ("a < 1 OR (b or c > 1)", "b"),
        ("a < 1 or vector(0) < 1", "vector(0) < 1"),
        ('a{x=" or "} < 1 or on(job) b', "b"),
        ("a < 1 or on(job) (b > 1 or vector(0))", "vector(0)"),
        ("sum(a < 1 or vector(0))", "sum(a < 1 or vector(0))"),
        ("a and on() (vector(1) > 0)", "a and on() (vector(1) > 0)"),
    ],
)
def test_a_side_of_or_that_always_holds_is_refused(text: str, idle: str) -> None:
    with pytest.raises(UsageError) as caught:
        check(text)
    assert str(caught.value).startswith(f"`{idle}` always holds")


@pytest.mark.parametrize(
    "text",
    [
        "(sum(rate(errors[5m])) or vector(0)) < 0.01",
        "sum(a or vector(0)) < 1",
        "a < 1 or absent(a)",
        "(a < 1) or (b unless c)",
        "hour() < 6 or a < 1",
        'a{x=" or "} < 1 # or b',
        "job:errors:or:rate5m < 1",
        "sum by (job) (a < 1 or b < 1)",
        "(a or vector(0)) and on() sum(b < 1)",
        "a > 1 or ignoring(code) b > 2",
    ],
)
def test_sides_of_or_that_can_fail_are_left_alone(text: str) -> None:
    check(text)


def test_the_curl_command_asks_the_same() -> None:
    assert curl("up < 1\n") == (
        """curl -sS --fail-with-body --get "$PROMETHEUS_URL/api/v1/query" --data-urlencode 'query=up < 1'"""
    )
    with pytest.raises(UsageError):
        curl("up")

"""One request as a page writes it, against a real server on the loopback."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_checks import http_request
from runbook_checks.errors import UsageError
from runbook_checks.http_request import curl, expand, expects, main, parse, quote, run

if TYPE_CHECKING:
    from collections.abc import Iterator


class Echo(BaseHTTPRequestHandler):
    """Answer with what came; `/status/N` answers with N, `/slow` never finishes."""

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status = int(self.path.removeprefix("/status/")) if self.path.startswith("/status/") else 200
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        if self.path == "/slow":
            with contextlib.suppress(ConnectionError):
                for _ in range(600):
                    self.wfile.write(b".")
                    time.sleep(0.05)
            return
        lines = [
            f"{self.command} {self.path}",
            *(f"{k}: {v}" for k, v in self.headers.items() if k in {"X-A", "Content-Type"}),
        ]
        self.wfile.write("\n".join([*lines, ""]).encode() + body)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def command(text: str, *argv: str, **environ: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    status = main(argv, io.StringIO(text), out, err, environ)
    return status, out.getvalue(), err.getvalue()


def test_a_request_is_sent_as_written(url: str) -> None:
    text = '# a comment\n\nPOST $API/things?q=1 HTTP/1.1\nX-A: ${WHO}s\n\n{"a": "$WHO",\n\n "price": "$$5"}\n'
    status, out, err = command(text, API=url, WHO="me")
    assert out == 'POST /things?q=1\nX-A: mes\nContent-Type: application/json\n{"a": "me",\n\n "price": "$5"}\n'
    assert status == 0
    assert err.startswith("HTTP 200 OK in ")


@pytest.mark.parametrize(
    ("status", "expected", "code"),
    [(200, "", 0), (204, "", 0), (404, "", 1), (404, "404", 0), (404, "200|404", 0), (503, "5xx", 0), (200, "404", 1)],
)
def test_the_status_decides(url: str, status: int, expected: str, code: int) -> None:
    got, _, err = command(f"GET {url}/status/{status}\n", "--status", expected)
    assert got == code
    assert (f"expected status {expected or '2xx'}, got {status}" in err) == (code == 1)


def test_a_redirect_is_not_followed(url: str) -> None:
    got, _, err = command(f"GET {url}/status/302\n")
    assert (got, "got 302 Found (redirects are not followed)" in err) == (1, True)
    assert command(f"GET {url}/status/302\n", "--status", "302")[0] == 0


def test_nobody_there_is_a_failure_in_plain_words() -> None:
    with socket.socket() as deaf:  # nobody else gets its port, and nobody listens there
        deaf.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
        assert command(f"GET {url}\n") == (1, "", f"http: {url}: connection refused\n")
    assert command("GET http://no.such.host.invalid/\n")[0] == 1


def test_the_timeout_is_for_the_whole_answer(url: str) -> None:
    begun_s = time.monotonic()
    status, out, err = command(f"GET {url}/slow\n", "--timeout", "200ms")
    assert (status, out) == (1, "")
    assert "no whole answer within 0.2 s" in err
    assert time.monotonic() - begun_s < 5


def answered(bytes_sent: bytes, method: str = "GET") -> tuple[int, str, str]:
    """Send a request to a server that answers these bytes, whatever it gets, and closes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(bytes_sent)

        thread = threading.Thread(target=answer)
        thread.start()
        done = command(f"{method} http://127.0.0.1:{server.getsockname()[1]}/\n")
        thread.join()
    return done


def test_what_is_not_http_is_a_failure() -> None:
    status, _, err = answered(b"SSH-2.0-OpenSSH\r\n")
    assert (status, "this is no HTTP answer" in err) == (1, True)


def test_an_answer_that_is_cut_short_is_a_failure() -> None:
    status, out, err = answered(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"status": "healthy"}')
    assert (status, out) == (1, '{"status": "healthy"}\n')
    assert "the connection closed after 21 of the 1000 bytes of the body" in err
    for chunks in (b"ff\r\nfew", b"3\r\nfew\r\n", b""):
        status, _, err = answered(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
        assert (status, "closed before the whole answer came" in err) == (1, True)


@pytest.mark.parametrize("head", [b" 200 OK", b" 200 OK\r\n", b" 200 OK\r\nServer: x\r\n", b" 200 OK\r\nContent-Le"])
def test_an_answer_that_breaks_off_in_its_head_is_a_failure(head: bytes) -> None:
    status, _, err = answered(b"HTTP/1.1" + head)
    assert (status, "closed before the whole answer came" in err) == (1, True)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"Content-Length: many", "its Content-Length is no length"),
        (b"Content-Length: -2", "its Content-Length is no length"),
        (b"Content-Length: 2\r\nContent-Length: 1000", "its Content-Length is no length"),
        (b"no header\r\nContent-Length: 1000", "a line of its head is no header"),
        (b"Transfer-Encoding: gzip, chunked", "its Transfer-Encoding is none that we can read"),
    ],
)
def test_an_answer_that_does_not_say_where_it_ends_is_a_failure(line: bytes, said: str) -> None:
    status, _, err = answered(b"HTTP/1.1 200 OK\r\n" + line + b"\r\n\r\nok")
    assert (status, said in err) == (1, True)


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 1000\r\n\r\n"),
        ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nall\r\n0\r\n\r\n"),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nall"),
        ("GET", b"HTTP/1.1 200 OK\r\n\r\nall"),
        ("GET", b"HTTP/1.0 200 OK\r\nX: a\r\n b\r\nY: \xc3\x85 \xe9\r\n\r\nall"),
        ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nall\r\n0\r\nX: y\r\n\r\n"),
        ("GET", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\nContent-Length: 3 \nContent-Length: 3\n\nall"),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Type: multipart/mixed\r\nContent-Length: 3\r\n\r\nall"),
    ],
)
def test_a_whole_answer_passes(method: str, answer: bytes) -> None:
    assert answered(answer, method)[0] == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: no request"),
        ("\nget http://x/", "line 2: 'get http://x/' is no request"),
        ("GET http://x/\nno header\n", "line 2: 'no header' is no header"),
        ("GET $NOWHERE/\n", "$NOWHERE is not set"),
        ("GET ftp://x/\n", "'ftp://x/' is no http:// or https:// address"),
        ("GET http://x:port/\n", "'http://x:port/' cannot be sent"),
    ],
)
def test_a_request_that_cannot_be_read_names_its_line(text: str, said: str) -> None:
    status, _, err = command(text)
    assert (status, said in err) == (2, True), err


def test_a_header_cannot_be_smuggled_in_by_a_variable(url: str) -> None:
    status, _, err = command(f"GET {url}/\nX-A: $V\n", V="a\r\nX-B: b")
    assert (status, "cannot be sent" in err) == (2, True)


def test_a_wrong_expected_status_is_refused() -> None:
    with pytest.raises(UsageError, match="'20x' is no status"):
        expects("20x")


def test_a_value_is_not_expanded_again() -> None:
    assert expand("$A ${A}b $$A $. $1", {"A": "$B"}) == "$B $Bb $A $. $1"


def test_run_gives_a_result(url: str) -> None:
    result = run("DELETE $U/x\n", {"U": url}, expected_status="2xx", timeout_s=5)
    assert (result.passed, result.status, result.message, result.body) == (True, 200, "", b"DELETE /x\n")
    assert 0 < result.duration_s < 5


def test_parsing_keeps_variables() -> None:
    assert parse("GET $A/b\n") == http_request.Request("GET", "$A/b")


@given(st.lists(st.sampled_from(["${A}", "$$", "$ ", "!", "'", '"', "\\", "`", "\n", "@", "a", "é", "#"]), min_size=1))
def test_a_quoted_word_is_one_word_with_variables_expanded(pieces: list[str]) -> None:
    text = "".join(pieces)
    done = subprocess.run(["bash", "-c", f"printf %s {quote(text)}"], capture_output=True, env={"A": "x y"}, check=True)
    if "${A}" in text:  # without a variable in it, `$$` too stays as it is written
        assert done.stdout.decode() == expand(text, {"A": "x y"})


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_the_curl_command_does_the_same(url: str) -> None:
    text = 'POST $API/things\nX-A: it\'s "$WHO"!\n\n@{"a": "$WHO `id` $$5 \\\\"}\n'
    environ = {"API": url, "WHO": "m e"}
    mine = command(text, **environ)
    theirs = subprocess.run(["bash", "-c", curl(text)], capture_output=True, env={**os.environ, **environ}, check=True)
    assert theirs.stdout.decode() == mine[1].removesuffix("\n")
    assert command("GET $API/x\n", "--curl") == (0, 'curl -sS --fail-with-body "${API}/x"\n', "")

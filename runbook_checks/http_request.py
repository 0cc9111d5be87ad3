"""The ``http`` command: one request as a page writes it, sent as written, judged by its status."""

from __future__ import annotations

import argparse
import http.client
import re
import shlex
import time
from dataclasses import dataclass
from email.errors import FirstHeaderLineIsContinuationDefect, MissingHeaderBodySeparatorDefect
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO
from urllib.parse import urlsplit

from runbook_checks.durations import seconds
from runbook_checks.errors import RunbookError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

TIMEOUT_S = 30.0
_REQUEST_LINE = re.compile(r"(?P<method>[A-Z]+)[ \t]+(?P<url>\S+)(?:[ \t]+HTTP/1\.[01])?")
_HEADER = re.compile(r"(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(?P<value>.*)")
_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<braced>[A-Za-z_]\w*)\}|(?P<plain>[A-Za-z_]\w*))", re.ASCII)
_GLOBBED = re.compile(r"[\[\]{}]")  # curl would make several addresses of one
_LENGTH = re.compile(r"[0-9]+", re.ASCII)
_NO_HEADER = (MissingHeaderBodySeparatorDefect, FirstHeaderLineIsContinuationDefect)
_STATUS = re.compile(r"[1-5](?:\d\d|xx)")


@dataclass(frozen=True, slots=True)
class Request:
    """A request as written, its variables still in it."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""


@dataclass(frozen=True, slots=True)
class HttpResult:
    """What came back; ``status`` is None when no answer did, ``message`` says why the request does not pass."""

    passed: bool
    message: str
    status: int | None = None
    reason: str = ""
    body: bytes = b""
    duration_s: float = 0.0


class _Lines:
    """A file that remembers the last line that was read from it."""

    def __init__(self, file: Any) -> None:  # noqa: ANN401 - what http.client reads from
        self.file = file
        self.last = b""

    def readline(self, limit: int = -1) -> bytes:
        self.last = self.file.readline(limit)
        return self.last

    def __getattr__(self, name: str) -> object:
        return getattr(self.file, name)


class _Response(http.client.HTTPResponse):
    """An answer whose head is whole: http.client takes any part of one for all of it."""

    def begin(self) -> None:
        """Read the head; raise IncompleteRead for a part of one, HTTPException for one that does not say how long."""
        file: Any = self.fp
        if self.headers is not None:  # read already
            return
        self.fp = lines = _Lines(file)
        super().begin()
        if self.fp is not None:
            self.fp = file
        if lines.last not in {b"\r\n", b"\n"}:
            raise http.client.IncompleteRead(lines.last)
        if any(isinstance(one, _NO_HEADER) for one in self.headers.defects):
            raise http.client.HTTPException("a line of its head is no header")
        if not self.chunked and self.headers.get("Transfer-Encoding", "identity").lower() != "identity":
            raise http.client.HTTPException("its Transfer-Encoding is none that we can read")
        lengths = {length.strip() for length in self.headers.get_all("Content-Length", ())}
        if not self.chunked and lengths and (len(lengths) > 1 or not _LENGTH.fullmatch(lengths.pop())):
            raise http.client.HTTPException("its Content-Length is no length")


def parse(text: str) -> Request:
    """Return the request of a text: ``METHOD URL [HTTP/1.1]``, header lines, an empty line, the body.

    Empty lines and ``#`` lines before the request are skipped. A body without a Content-Type gets one: JSON if it
    begins like JSON, plain text otherwise. Raises UsageError that names the line.
    """
    lines = text.split("\n")
    start = next((at for at, line in enumerate(lines) if line.strip() and not line.startswith("#")), None)
    if start is None:
        raise UsageError("line 1: no request; write `GET $URL/path`")
    match = _REQUEST_LINE.fullmatch(lines[start].strip())
    if match is None:
        raise UsageError(f"line {start + 1}: {lines[start]!r} is no request; write `METHOD URL`, as in `GET $URL/path`")
    headers = []
    at = start + 1
    while at < len(lines) and lines[at].strip():
        header = _HEADER.fullmatch(lines[at].strip())
        if header is None:
            raise UsageError(
                f"line {at + 1}: {lines[at]!r} is no header; write `Name: value`, and an empty line before a body"
            )
        headers.append((header["name"], header["value"]))
        at += 1
    body = "\n".join(lines[at + 1 :]).removesuffix("\n")
    if body and not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(
            (
                "Content-Type",
                "application/json" if body.lstrip().startswith(("{", "[")) else "text/plain; charset=utf-8",
            )
        )
    return Request(match["method"], match["url"], tuple(headers), body)


def expand(text: str, environ: Mapping[str, str]) -> str:
    """Return the text with ``$NAME`` and ``${NAME}`` replaced; ``$$`` is a dollar, and so is one before anything else.

    Raises UsageError for a name that the environment does not have.
    """

    def value(match: re.Match[str]) -> str:
        name = match["braced"] or match["plain"]
        if name is None:
            return "$"
        if name not in environ:
            raise UsageError(f"${name} is not set; export it, or write `$${name}` for a plain dollar")
        return environ[name]

    return _VARIABLE.sub(value, text)


def references(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield where a text names a variable, from and up to which character, and which one; as ``expand`` sees it."""
    for match in _VARIABLE.finditer(text):
        if name := match["braced"] or match["plain"]:
            yield match.start(), match.end(), name


def variables(text: str) -> Iterator[tuple[int, int, str]]:
    """Return where a request names a variable; not in the comments before it, which nobody sends."""
    skipped = 0
    for line in text.splitlines(keepends=True):
        if line.strip() and not line.startswith("#"):
            break
        skipped += len(line)
    return ((start, end, name) for start, end, name in references(text) if start >= skipped)


def expects(expected_status: str) -> Callable[[int], bool]:
    """Return the judgement that ``200``, ``2xx`` or ``200|404`` stands for; '' is ``2xx``. Raises UsageError."""
    wanted = (expected_status or "2xx").lower().split("|")
    for each in wanted:
        if not _STATUS.fullmatch(each):
            raise UsageError(f"{expected_status!r} is no status; write 200, 2xx or 200|404")
    return lambda status: any(each in {str(status), f"{status // 100}xx"} for each in wanted)


def run(
    text: str, environ: Mapping[str, str], *, expected_status: str = "", timeout_s: float = TIMEOUT_S
) -> HttpResult:
    """Send a request and judge the answer; redirects are answers, never followed, and proxies are not used.

    An answer that does not come is a result too. Raises UsageError for a text that is no request.
    """
    judge = expects(expected_status)
    written = parse(text)
    request = Request(
        written.method,
        expand(written.url, environ),
        tuple((name, expand(value, environ)) for name, value in written.headers),
        expand(written.body, environ),
    )
    result = send(request, timeout_s)
    if result.status is None or judge(result.status):
        return result
    message = f"expected status {expected_status or '2xx'}, got {result.status} {result.reason}".rstrip()
    if result.status // 100 == 3:  # noqa: PLR2004
        message += " (redirects are not followed)"
    return HttpResult(False, message, result.status, result.reason, result.body, result.duration_s)  # noqa: FBT003


def send(request: Request, timeout_s: float) -> HttpResult:
    """Send a request whose variables are expanded; the answer passes when it is whole, whatever its status."""
    parts = urlsplit(request.url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError(f"{request.url!r} is no http:// or https:// address")
    begun_s = time.monotonic()
    connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        connection = connect(parts.hostname, parts.port, timeout=timeout_s)
        connection.response_class = _Response
        connection.request(
            request.method,
            (parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
            request.body.encode() or None,
            dict(request.headers),
        )
        socket = connection.sock
        response = connection.getresponse()
        promised = response.length  # None without a Content-Length, 0 for what has no body (HEAD, 204, 304)
        body = bytearray()
        while chunk := response.read1(64 * 1024):
            body += chunk
            socket.settimeout(max(0.001, begun_s + timeout_s - time.monotonic()))  # of the whole, not of each part
        connection.close()
    except (http.client.InvalidURL, UnicodeError, ValueError) as error:
        raise UsageError(f"{request.url!r} cannot be sent: {error}") from error
    except TimeoutError:
        return HttpResult(passed=False, message=f"{request.url}: no whole answer within {timeout_s:g} s")
    except http.client.IncompleteRead:
        return HttpResult(passed=False, message=f"{request.url}: the connection closed before the whole answer came")
    except http.client.HTTPException as error:
        return HttpResult(
            passed=False, message=f"{request.url}: this is no HTTP answer ({type(error).__name__} {error})"
        )
    except OSError as error:
        return HttpResult(passed=False, message=f"{request.url}: {(error.strerror or str(error)).lower()}")
    cut = f"after {len(body)} of the {promised} bytes of the body" if len(body) < (promised or 0) else ""
    return HttpResult(
        passed=not cut,
        message=cut and f"{request.url}: the connection closed {cut}",
        status=response.status,
        reason=response.reason,
        body=bytes(body),
        duration_s=time.monotonic() - begun_s,
    )


def curl(text: str, expected_status: str = "") -> str:
    """Return the curl command that does the same, its variables left to the shell of whoever pastes it."""
    request = parse(text)
    words = ["curl -sS"]
    words.append(r"-w '\nHTTP %{http_code}\n'" if expected_status else "--fail-with-body")
    if _GLOBBED.search(_VARIABLE.sub("", request.url)):
        words.append("--globoff")
    if request.method == "HEAD":
        words.append("--head")
    elif request.method != "GET" or request.body:
        words.append(f"-X {request.method}")
    words.append(quote(request.url))
    words += [f"-H {quote(f'{name}: {value}')}" for name, value in request.headers]
    if request.body:
        words.append(f"--data-raw {quote(request.body)}")  # not --data, which takes @ for a file
    return " ".join(words)


def quote(text: str) -> str:
    """Return one word of shell: variables expand, everything else is as it is, also where history expansion is on."""
    if not _VARIABLE.search(text):
        return shlex.quote(text)
    pieces = []
    shown = 0
    for match in _VARIABLE.finditer(text):
        name = match["braced"] or match["plain"]
        pieces += [_within_quotes(text[shown : match.start()]), f"${{{name}}}" if name else r"\$"]
        shown = match.end()
    pieces.append(_within_quotes(text[shown:]))
    return f'"{"".join(pieces)}"'


def _within_quotes(text: str) -> str:
    return re.sub(r'([\\"`$])', r"\\\1", text).replace("!", "\"'!'\"")


def main(argv: Sequence[str], stdin: TextIO, stdout: TextIO, stderr: TextIO, environ: Mapping[str, str]) -> int:
    """Run the ``http`` command: 0 as expected, 1 another status or no answer, 2 a request that cannot be read."""
    parser = argparse.ArgumentParser(
        prog="runbook-checks http",
        description="Send one HTTP request: METHOD URL, headers, an empty line, the body. $NAME and ${NAME} come from "
        "the environment, $$ is a dollar. Redirects are not followed.",
    )
    parser.add_argument("file", nargs="?", help="where the request is; standard input if not given")
    parser.add_argument("--status", default="", help="200, 2xx or 200|404; 2xx if not given")
    parser.add_argument("--timeout", default=f"{TIMEOUT_S:g}s", help="for the whole answer; %(default)s if not given")
    parser.add_argument(
        "--curl", action="store_true", help="print the curl command that does the same, and send nothing"
    )
    options = parser.parse_args(argv)
    try:
        text = Path(options.file).read_text(encoding="utf-8") if options.file else stdin.read()
        if options.curl:
            print(curl(text, options.status), file=stdout)
            return 0
        result = run(text, environ, expected_status=options.status, timeout_s=seconds(options.timeout))
    except (RunbookError, OSError, ValueError) as error:
        print(f"http: {error}", file=stderr)
        return 2
    if result.status is not None:
        body = result.body.decode("utf-8", "replace")
        stdout.write(body if body.endswith("\n") or not body else body + "\n")
        print(f"HTTP {result.status} {result.reason} in {result.duration_s * 1000:.0f} ms", file=stderr)
    if not result.passed:
        print(f"http: {result.message}", file=stderr)
    return 0 if result.passed else 1

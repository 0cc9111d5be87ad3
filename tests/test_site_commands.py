"""What is copied does in a plain bash what the tool itself does: asked of the same server, with the same answer."""

from __future__ import annotations

import http.server
import io
import json
import os
import shutil
import subprocess
import threading
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from runbook_checks import http_request, promql
from runbook_checks.languages import DEFAULTS
from runbook_checks.model import Block, Role, Span
from runbook_checks.site.commands import heredoc, runnable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENVIRON = {"PART": "a b/ü?&'$(reboot)", "WHO": """it's "$HOME" `id` \\ !""", "JOB": """a"b"""}
Asked = list[tuple[str, str, str, str, str]]


@pytest.fixture
def served() -> Iterator[tuple[str, Asked]]:
    """Answer every request, and keep method, path, two headers and body of each."""
    asked: Asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            kept = (self.headers.get("X-Who", ""), self.headers.get("Content-Type", ""))
            asked.append((self.command, self.path, *kept, body))
            status = 404 if "missing" in self.path else 200
            answer = json.dumps({"status": "success", "data": {"resultType": "vector", "result": []}}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - the names that http.server calls

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()


def block(text: str, language: str, **more: str) -> Block:
    return Block("b", Role.CHECK, language, text, Span(1, 3), **more)  # type: ignore[arg-type]  # http_status only


def paste(command: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "no_proxy": "*", **environ}
    return subprocess.run(
        ["bash", "--norc", "-c", command], env=environ, capture_output=True, text=True, check=False, timeout=20
    )


@pytest.mark.parametrize(
    "text",
    [
        "GET $API_URL/health\n",
        "# a comment with $NOTHING\n\nDELETE $API_URL/x?price=$$5&list={a,b}&of=[1-3]\nX-Who: $WHO\n",
        'POST $API_URL/run HTTP/1.1\nX-Who: ${WHO}\n\n{"who": "it\'s ${JOB}", "price": "$$5", "b": "!!"}\n\n`id` \\\n',
        "PUT $API_URL/run\nContent-Type: text/csv\n\n@file,$JOB\n",
        "GET $API_URL/missing\n",
    ],
)
def test_a_copied_request_sends_what_the_tool_sends(served: tuple[str, Asked], text: str) -> None:
    url, asked = served
    environ = {**ENVIRON, "API_URL": url}
    result = http_request.run(text, environ)
    pasted = paste(runnable(block(text, "http"), DEFAULTS), environ)
    ours, theirs = asked
    assert theirs == ours
    assert pasted.stdout.encode() == result.body
    assert (pasted.returncode == 0) == result.passed


def test_a_copied_request_that_expects_a_status_shows_which_one_came(served: tuple[str, Asked]) -> None:
    url, _ = served
    command = runnable(block("GET $API_URL/missing\n", "http", http_status="404"), DEFAULTS)
    pasted = paste(command, {"API_URL": url})
    assert pasted.returncode == 0
    assert pasted.stdout.splitlines()[-1] == "HTTP 404"


@pytest.mark.parametrize("text", ['up{job="$JOB", who=~"it\'s.*!"} < 1 # $$', 'sum(\n  up{a="`$JOB`"}\n) == 2\n'])
def test_a_copied_query_asks_what_the_tool_asks(served: tuple[str, Asked], text: str) -> None:
    url, asked = served
    environ = {"JOB": "api", "PROMETHEUS_URL": url}
    out = io.StringIO()
    promql.main([], io.StringIO(text), out, out, environ)
    of_tool = {parse_qs(urlsplit(path).query)["query"][0] for _, path, *_ in asked}
    asked.clear()
    assert paste(runnable(block(text, "promql"), DEFAULTS), environ).returncode == 0
    ((_, path, *_),) = asked
    assert urlsplit(path).path == "/api/v1/query"
    assert parse_qs(urlsplit(path).query)["query"][0] == http_request.expand(text, environ).strip()
    assert any("timestamp(" in query for query in of_tool)  # the tool asks the age of its samples first


def test_a_copied_statement_reaches_psql_as_the_tool_gives_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    fake = folder / "psql"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\ncat\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    text = "SELECT '$HOME', \"it's\", `x`, $$END$$;\nEND\nEND_"
    pasted = paste(runnable(block(text + "\n", "sql"), DEFAULTS), {"DATABASE_URL": "postgresql://a b/c"})
    assert pasted.stdout == f"-X\n-v\nON_ERROR_STOP=1\npostgresql://a b/c\n{text}\n"


@pytest.mark.parametrize("text", ["print('$HOME', \"it's\", `1`)", 'END = 1\nprint("\\\\", "$(id)")\nEND\nEND_'])
def test_any_text_goes_through_a_heredoc_as_it_is(text: str) -> None:
    assert paste(heredoc("cat", text), {}).stdout == text + "\n"


def test_a_copied_python_block_runs() -> None:
    text = 'import os\nprint(os.environ["X"], "$X")\nEND = "it\'s"\nEND\n'
    assert paste(runnable(block(text, "python"), DEFAULTS), {"X": "a'b"}).stdout == "a'b $X\n"


def test_bash_is_copied_as_it_is_and_what_nobody_can_run_too() -> None:
    assert runnable(block("echo hi\n", "bash"), DEFAULTS) == "echo hi"
    assert runnable(block("hello\n", "cobol"), DEFAULTS) == "hello"


def test_a_command_of_the_configuration_gets_the_text() -> None:
    table = {**DEFAULTS, "http": "http-runner --quiet"}
    assert runnable(block("GET /\n", "http"), table) == "http-runner --quiet <<'END'\nGET /\nEND"


@pytest.mark.parametrize("language", ["http", "promql"])
def test_what_has_no_curl_goes_to_the_tool_which_says_why(language: str) -> None:
    assert runnable(block("nonsense\n", language), DEFAULTS) == f"runbook-checks {language} <<'END'\nnonsense\nEND"


def test_curl_is_here_for_these_tests() -> None:
    assert shutil.which("curl"), "install curl: `apt-get install curl`"

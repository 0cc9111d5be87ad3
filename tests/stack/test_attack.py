"""The attacks, on a service that has none of the guards: each must say so. On the real one, the runbook runs them."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from stack.running_stack import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ATTACK = "deployment/scripts/attack.sh"
DEPENDENCIES = "deployment/scripts/dependencies.sh"
Run = subprocess.CompletedProcess[str]


class Naive(BaseHTTPRequestHandler):
    """A service that believes everybody, keeps nobody out, and tells the database's own words."""

    def do_GET(self) -> None:
        """Show whatever is asked for."""
        if self.path == "/api/session":
            self._answer(200, {"name": "ada", "role": "admin", "csrf_token": "t"})
        elif self.path == "/api/keys":
            self._answer(200, {"keys": []})
        elif "'" in self.path or "%27" in self.path:
            self._answer(500, {"error": "psycopg2.errors.SyntaxError: SELECT * FROM users WHERE name = ''"})
        else:
            self._answer(200, {"job_id": "j", "input": {"text": "something else"}, "output": 31337 * 31337})

    def do_POST(self) -> None:
        """Take whatever comes."""
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.path == "/api/session":
            self._answer(200, {"name": "ada", "role": "admin", "csrf_token": "t"}, cookie="s=one.two.three; Path=/")
        elif self.path == "/api/execute/pipeline":
            self._answer(200, {"job_id": "j"})
        else:
            self._answer(201, {"key": "iak_same", "key_id": "k", "prefix": "p", "name": "x"})

    def do_DELETE(self) -> None:
        """Do as if something was deleted."""
        self._answer(204, None)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, status: int, body: Any, cookie: str = "") -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if cookie:
            self.send_header("Set-Cookie", cookie)
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture(scope="module")
def naive() -> Iterator[str]:
    """The address of a service without guards."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Naive)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def attack(naive: str, tmp_path: Path) -> Callable[..., Run]:
    """attack.sh with a folder of its own, aimed at that service."""
    environ = {"PATH": os.environ["PATH"], "STACK_DIR": str(tmp_path), "API_URL": naive}
    (tmp_path / "logs").mkdir()

    def run(*arguments: str, **more: str) -> Run:
        command = [ATTACK, *arguments]
        return subprocess.run(command, cwd=ROOT, env=environ | more, capture_output=True, text=True, check=False)

    return run


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("race", "5"), "first users: 5, expected 1"),
        (("forge",), "cookie "),
        (("sign-ins", "9"), "different cookies: 1, expected 9"),
        (("keys", "5"), "keys: (5, 1, 1), expected (5, 5, 5)"),
        (("delete-while-read",), "other answers: "),
        (("others",), "eve: GET /api/execute/status/j: 200, expected 404"),
        (("cross-site",), "from another site: False, expected True"),
        (("guess", "5"), "the right password after that: 200, expected 429"),
    ],
)
def test_an_attack_that_gets_through_is_named_with_status_1(
    attack: Callable[..., Run], command: tuple[str, ...], says: str
) -> None:
    assert attack("accounts").stdout == "accounts: ada, bob, eve\n"
    done = attack(*command)
    assert done.returncode == 1, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_every_way_to_break_on_a_payload_is_named(attack: Callable[..., Run]) -> None:
    attack("accounts")
    done = attack("inject")
    assert done.returncode == 1
    assert ", guards broken 0" not in done.stdout
    for says in (
        "an answer: False, expected True",
        "words of our insides: ['select ', 'psycopg'",
        "signs that it was executed: ['982007569'], expected []",
        "the input as it was stored: {'text': 'something else'}",
        "bob's role: 'admin', expected 'member'",
    ):
        assert says in done.stderr


def test_a_payload_that_somebody_adds_is_sent(attack: Callable[..., Run], tmp_path: Path) -> None:
    attack("accounts")
    own = tmp_path / "own.toml"
    own.write_text('leaks = ["secret sauce"]\n[[payload]]\nclass = "mine"\ntext = "hello"\n')
    done = attack("inject", "--payloads", str(own))
    assert done.stdout.startswith("mine: payloads 1, requests ")
    unknown = attack("inject", "--payloads", str(own), "--class", "sql")
    assert (unknown.returncode, unknown.stderr) == (2, f"attack.sh: {own} has no class 'sql'; there are: mine\n")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("leaks = [", ": this is no TOML: "),
        ('leaks = ["x"]\n', ": there is no [[payload]]"),
        ('[[payload]]\nclass = "a"\ntext = "b"\n', ": `leaks` must be a list of words"),
        ('leaks = ["x"]\nleak = 1\n', ": unknown key 'leak'; there are: leaks, payload"),
        ('leaks = ["x"]\n\n[[payload]]\ntext = "b"\n', ":3: a payload needs a `class`"),
        ('leaks = ["x"]\n[[payload]]\nclass = "a"\n', ":2: a payload needs either `text` or `json`"),
        ('leaks = ["x"]\n[[payload]]\nclass = "a"\ntext = "b"\njson = "1"\n', ":2: a payload needs either `text` or"),
        ('leaks = ["x"]\n[[payload]]\nclass = "a"\njson = "{"\n', ":2: `json` is no JSON: "),
        ('leaks = ["x"]\n[[payload]]\nclass = "a"\ntext = "b"\nnevr = []\n', ":2: unknown key 'nevr'"),
        ('leaks = ["x"]\n[[payload]]\nclass = "a"\ntext = "abc"\nnever = ["b"]\n', ":2: the payload itself holds"),
        ('leaks = ["x"]\n[[payload]]\nclass = "a"\ntext = "b"\nnever = "c"\n', ":2: `never` must be a list of texts"),
    ],
)
def test_a_bad_file_of_payloads_is_refused_at_its_line_before_anything_is_sent(
    attack: Callable[..., Run], tmp_path: Path, source: str, says: str
) -> None:
    (tmp_path / "bad.toml").write_text(source)
    done = attack("inject", "--payloads", str(tmp_path / "bad.toml"))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{tmp_path / 'bad.toml'}{says}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.1:80",
        "http://example.com",
        "https://127.0.0.1:8000",
        "http://127.0.0.1.example.com",
        "127.0.0.1",
    ],
)
def test_nothing_but_this_machine_is_attacked(attack: Callable[..., Run], url: str) -> None:
    done = attack("race", API_URL=url)
    assert (done.returncode, done.stdout) == (2, "")
    assert "only http:// addresses of this machine are attacked" in done.stderr


@pytest.mark.parametrize(
    "command",
    [("race", "0"), ("race", "100000"), ("keys", "many"), ("hack",), ("secrets", "/none"), ("-f",), ()],
)
def test_a_wrong_command_line_is_status_2(attack: Callable[..., Run], command: tuple[str, ...]) -> None:
    assert attack(*command).returncode == 2


def test_without_accounts_an_attack_says_what_to_run_first(attack: Callable[..., Run]) -> None:
    done = attack("forge")
    assert (done.returncode, done.stderr.endswith("run: deployment/scripts/attack.sh accounts\n")) == (2, True)
    assert attack("secrets").returncode == 2


def test_a_secret_is_found_in_a_log_and_in_a_command_line_and_not_printed(
    attack: Callable[..., Run], tmp_path: Path
) -> None:
    attack("accounts")
    secret = json.loads((tmp_path / "attack/bob.json").read_text())["password"]
    assert attack("secrets").returncode == 0
    (tmp_path / "logs/service.log").write_text(f"password={secret}\n")
    holder = subprocess.Popen(["/bin/sh", "-c", "read line", secret], stdin=subprocess.PIPE)
    try:
        done = attack("secrets")
    finally:
        holder.communicate()
    assert done.returncode == 1
    assert f"is in {tmp_path}/logs/service.log" in done.stderr
    assert f"is in process {holder.pid}" in done.stderr
    assert secret not in done.stdout + done.stderr


def test_the_services_own_secrets_are_looked_for_too(attack: Callable[..., Run], tmp_path: Path) -> None:
    attack("accounts")
    environment = tmp_path / "service.env"
    environment.write_text(
        "DATABASE_URL='postgresql://ia:a-long-password@h:1,i:2/d'\nSESSION_SECRET=old-and-long-enough,new-and-long-enough\n"
    )
    (tmp_path / "logs/x.log").write_text("a-long-password new-and-long-enough")
    done = attack("secrets", SERVICE_ENV=str(environment))
    assert done.returncode == 1
    assert "the password of DATABASE_URL is in " in done.stderr
    assert "SESSION_SECRET is in " in done.stderr


def test_what_is_kept_is_for_its_owner_alone(attack: Callable[..., Run], tmp_path: Path) -> None:
    attack("accounts")
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "attack").iterdir()}
    assert modes == {"ada.json": 0o600, "bob.json": 0o600, "eve.json": 0o600, "seen": 0o600}
    assert (tmp_path / "attack").stat().st_mode & 0o777 == 0o700


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of three packages: a real environment, but not ours to spend a minute on."""
    folder = tmp_path_factory.mktemp("releases")
    release = folder / "1.2.0+ia0.2.0"
    subprocess.run(["python3", "-m", "venv", str(release)], check=True)
    pins = ("packaging==26.4", "itsdangerous==2.2.0", "limits==5.8.0")
    subprocess.run([str(release / "bin/pip"), "install", "--quiet", "--no-deps", *pins], check=True)
    return folder


def test_what_is_missing_altered_or_unmet_in_a_release_is_named(releases: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "RELEASES_DIR": str(releases)}

    def compare(*arguments: str) -> Run:
        command = [DEPENDENCIES, *arguments]
        return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)

    done = compare("0.2.0", "--left-out", "deprecated")
    assert done.returncode == 1
    assert "lock: 3 packages, " in done.stdout
    assert " 0 altered or missing" in done.stdout
    assert "1 not met, 1 left out" in done.stdout
    assert "fastapi is not installed, the lock says ==" in done.stderr
    assert "limits needs typing" in done.stderr
    (altered,) = releases.glob("*/lib/*/site-packages/itsdangerous/signer.py")
    altered.write_text(altered.read_text() + "\n")
    assert "itsdangerous/signer.py of itsdangerous is not as it was installed" in compare("0.2.0").stderr
    assert compare("9.9").returncode == 2
    assert compare().returncode == 2

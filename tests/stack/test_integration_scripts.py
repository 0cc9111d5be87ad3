"""The scripts of the integrations page: what they do on a real stack, and what they refuse."""

from __future__ import annotations

import re
import socket
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stack.running_stack import Stack

SPANS = "deployment/scripts/spans.sh"
KEY = "deployment/scripts/api-key.sh"


@pytest.fixture
def key(stack: Stack) -> Iterator[Path]:
    """The file with an API key of a user who was made for it."""
    file = Path(stack.env()["STACK_DIR"]) / "api-key"
    password = "correct horse battery staple"
    made = stack.shell('deployment/staging/user.sh tester <<<"$PASSWORD"', PASSWORD=password)
    assert made.stdout == "tester can sign in\n", made.stderr
    done = stack.shell(f'{KEY} tester tests <<<"$PASSWORD"', PASSWORD=password)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(rf"[0-9a-f]{{16}} of tester is in {re.escape(str(file))}\n", done.stdout)
    yield file
    file.unlink(missing_ok=True)


def sent(output: str) -> tuple[str, dict[str, int]]:
    said = re.match(r"trace (\w{32}): (.*)\n", output)
    assert said, output
    return said[1], {what: int(n) for n, what in re.findall(r"(\d+) (taken|rejected|refused|spans)", said[2])}


def test_a_key_is_in_a_file_for_its_owner_alone_and_neither_printed_nor_left_signed_in(stack: Stack, key: Path) -> None:
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert key.read_text().startswith("iak_")
    assert (
        stack.query("select count(*) from user_sessions s join users u using (user_id) where u.name = 'tester'") == "0"
    )


def test_a_wrong_password_makes_no_key_and_is_not_repeated(stack: Stack, key: Path) -> None:
    before = key.read_text()
    done = stack.shell(f"{KEY} tester tests <<<'not this one at all'")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("api-key.sh: POST /api/session was refused: 401 ")
    assert "not this one" not in done.stderr
    assert key.read_text() == before


def test_without_a_service_or_a_file_to_write_no_key_is_made(stack: Stack) -> None:
    gone = stack.shell(f"{KEY} tester tests <<<x", API_URL="http://127.0.0.1:9")
    assert (gone.returncode, gone.stderr[:40]) == (1, "api-key.sh: no answer to POST /api/sessi")
    nowhere = stack.shell(f"unset STACK_DIR; {KEY} tester tests <<<x")
    assert (nowhere.returncode, nowhere.stderr) == (
        2,
        "api-key.sh: neither --into nor STACK_DIR says where the key goes\n",
    )


@pytest.mark.usefixtures("key")
def test_spans_are_sent_found_and_read(stack: Stack) -> None:
    trace, counts = sent(stack.shell(f"{SPANS} send --clients 3 --spans 7 --malformed 2").stdout)
    assert counts == {"spans": 21, "taken": 21, "rejected": 6, "refused": 0}
    lines = stack.shell(f"{SPANS} trace {trace}").stdout.splitlines()
    assert re.fullmatch(r"21 spans, 0 twice, read in \d+ ms", lines[-1])
    paged = stack.shell(f"{SPANS} page {trace} --limit 5").stdout
    assert re.match(r"21 spans of the trace in \d+ pages, 0 twice, median ", paged)
    found = stack.shell(f"{SPANS} find number=6 --attribute number").stdout
    assert found.count(f"{trace}: span 6 6\n") == 3
    over_grpc, counts = sent(stack.shell(f'{SPANS} send --spans 4 --grpc "$SERVICE_B_OTLP"').stdout)
    assert counts["taken"] == 4
    assert stack.shell(f"{SPANS} trace {over_grpc}").stdout.startswith("span 0\nspan 1\n")


def test_what_is_refused_is_said_and_fails(stack: Stack, key: Path) -> None:
    large = stack.shell(f"{SPANS} send --bytes 3000000")
    assert (large.returncode, sent(large.stdout)[1]["refused"]) == (1, 1)
    assert large.stderr.startswith("spans.sh: 413 too_large")
    nobody = stack.shell(f"{SPANS} send --grpc 127.0.0.1:9")
    assert (nobody.returncode, nobody.stderr[:21]) == (1, "spans.sh: UNAVAILABLE")
    none = stack.shell(f"{SPANS} trace {'0' * 31}1")
    assert (none.returncode, none.stderr[:23]) == (1, "spans.sh: 404 not_found")
    key.write_text("iak_0000000000000000_wrong\n")
    for command in ("send", "find a=b", 'send --grpc "$SERVICE_A_OTLP"'):
        done = stack.shell(f"{SPANS} {command}")
        assert done.returncode == 1
        assert "unauthenticated" in done.stderr


def test_without_a_key_nothing_is_sent(stack: Stack) -> None:
    done = stack.shell(f"{SPANS} send", API_KEY_FILE="/nonexistent")
    assert (done.returncode, done.stderr[:40]) == (2, "spans.sh: no API key in API_KEY_FILE; ma")


@pytest.mark.parametrize("arguments", ["", "fly", "send --spans 0", "send --spans many", "trace", "page a --limit"])
@pytest.mark.usefixtures("key")
def test_a_wrong_command_line_is_a_usage_error(stack: Stack, arguments: str) -> None:
    assert stack.shell(f"{SPANS} {arguments}").returncode == 2


@pytest.mark.parametrize(
    "script",
    [
        "scripts/spans.sh",
        "scripts/prune-spans.sh",
        "scripts/api-key.sh",
        "scripts/statsd.sh",
        "scripts/cloudwatch.sh",
        "staging/receiver.sh",
        "staging/user.sh",
    ],
)
def test_each_script_explains_itself(stack: Stack, script: str) -> None:
    done = stack.shell(f"deployment/{script} --help")
    assert (done.returncode, done.stdout[: len(f"Usage: deployment/{script}")]) == (0, f"Usage: deployment/{script}")
    assert stack.shell(f"deployment/{script} --no-such-option").returncode == 2


@pytest.mark.usefixtures("key")
def test_only_spans_older_than_told_are_removed(stack: Stack) -> None:
    old, new = (sent(stack.shell(f"{SPANS} send --spans 30").stdout)[0] for _ in range(2))
    stack.query(f"update spans set received_at = now() - interval '2 days 1 minute' where trace_id = '{old}'")
    assert stack.shell("deployment/scripts/prune-spans.sh --older-than 3").stdout.startswith("removed 0 spans, ")
    assert stack.shell("deployment/scripts/prune-spans.sh --older-than 2").stdout.startswith("removed 30 spans, ")
    assert stack.query(f"select count(*) from spans where trace_id = '{new}'") == "30"
    for arguments in ("", "--older-than 0", "--older-than", "--older-than 1.5", "--older-than 1 2"):
        assert stack.shell(f"deployment/scripts/prune-spans.sh {arguments}").returncode == 2
    lost = stack.shell(
        "deployment/scripts/prune-spans.sh --older-than 2", DATABASE_URL="postgresql://ia@127.0.0.1:9/ia"
    )
    assert (lost.returncode, lost.stdout) == (1, "")


def test_statsd_that_is_not_there_or_is_none_is_an_error(stack: Stack) -> None:
    gone = stack.shell("deployment/scripts/statsd.sh")  # nobody has started it
    assert (gone.returncode, gone.stderr[:30]) == (1, "statsd.sh: nobody answers at 1")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            with listener.accept()[0] as connection:
                connection.recv(100)
                connection.sendall(b"who are you?\n")

        threading.Thread(target=hang_up, daemon=True).start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        other = stack.shell("deployment/scripts/statsd.sh", STATSD_ADMIN_ADDRESS=address)
    assert (other.returncode, other.stderr) == (1, f"statsd.sh: what answers at {address} is no StatsD\n")


def test_cloudwatch_that_is_not_there_is_an_error(stack: Stack) -> None:
    environ = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    done = stack.shell(
        "deployment/scripts/cloudwatch.sh N m", AWS_DEFAULT_REGION="us-east-1", AWS_MAX_ATTEMPTS="1", **environ
    )
    assert (done.returncode, done.stdout, done.stderr[:15]) == (1, "", "cloudwatch.sh: ")


def test_an_unknown_receiver_is_a_usage_error(stack: Stack) -> None:
    for arguments in ("install graphite", "run graphite 1", "run statsd", "install"):
        assert stack.shell(f"deployment/staging/receiver.sh {arguments}").returncode == 2

"""Blocks of every language run in the one session, and share its variables."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_checks import shell
from runbook_checks.errors import UsageError
from runbook_checks.languages import DEFAULTS, assign, known, script
from runbook_checks.model import Block, Role, Span
from runbook_checks.shell import How, Session

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

BASH = shell.find_bash(os.environ)


def block(language: str, text: str, http_status: str = "") -> Block:
    return Block("it", Role.STEP, language, text, Span(1, 3), http_status=http_status)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with Session(tmp_path, os.environ, BASH) as opened:
        yield opened


def run(session: Session, one: Block, table: Mapping[str, str] = DEFAULTS) -> shell.Ended:
    return session.run(script(one, table), timeout_s=20)


def test_bash_is_run_as_it_is() -> None:
    assert script(block("bash", "echo a\n"), {}) == "echo a\n"


def test_the_table_says_what_is_known() -> None:
    assert known(DEFAULTS) == {"bash", "sh", "python", "sql", "http", "promql"}
    with pytest.raises(KeyError):
        script(block("perl", "1;\n"), DEFAULTS)


def test_a_program_sees_shell_variables_that_it_names_and_nothing_stays_exported(session: Session) -> None:
    session.run(assign("backup_id", "it's $1\n`x`"), timeout_s=10)
    ended = run(session, block("python", "import os\nprint(repr(os.environ['backup_id']))\n"))
    assert ended.stdout.decode() == repr("it's $1\n`x`") + "\n"
    assert session.run("! env | grep ^backup_id", timeout_s=10).status == 0


def test_a_failing_program_fails_the_block_and_counts_its_own_lines(session: Session) -> None:
    ended = run(session, block("python", "x = 1\n\nraise SystemError\n"))
    assert (ended.how, ended.status) == (How.EXIT, 1)
    assert b"line 3" in ended.stderr


def test_sh_stops_at_its_first_failing_command_and_nothing_eats_its_text(session: Session) -> None:
    ended = run(session, block("sh", "read x || echo eof\ncat\nfalse\necho no\n"))
    assert (ended.how, ended.status, ended.stdout) == (How.EXIT, 1, b"eof\n")


def test_the_text_arrives_as_written_whatever_it_holds(session: Session) -> None:
    text = "RUNBOOK_CHECKS_END\n$HOME `id` \\ \\\\ 'x' \"y\"\nRUNBOOK_CHECKS_END_\n\tno newline"
    assert run(session, block("raw", text), {"raw": "cat"}).stdout.decode() == text + "\n"


def test_a_pipeline_may_be_a_language(session: Session) -> None:
    assert run(session, block("loud", "abc\n"), {"loud": "cat | tr a-z A-Z"}).stdout == b"ABC\n"


def test_a_pipeline_fails_with_any_of_its_commands(session: Session) -> None:
    assert run(session, block("loud", "abc\n"), {"loud": "false | cat"}).status == 1
    assert run(session, block("loud", "abc\n"), {"loud": "false; cat"}).status == 1


@pytest.mark.parametrize(
    "shadow",
    [
        "python3() { true; }; cat() { echo true; }",
        "python3() { true; }; cat() { echo true; }; export -f python3 cat",
        "shopt -s expand_aliases; alias python3=true cat='echo true'",
        "hash -p /bin/true python3; hash -p /bin/true cat; hash -p /bin/true sh",
        "command() { true; }; exec() { true; }; export() { true; }; bash() { true; }; sh() { true; }",
        "echo 'python3() { true; }; cat() { echo true; }' > env; export BASH_ENV=$PWD/env ENV=$PWD/env",
    ],
)
def test_no_name_of_the_session_stands_in_for_the_command_of_a_language(session: Session, shadow: str) -> None:
    assert session.run(shadow, timeout_s=10).status == 0
    assert run(session, block("python", "raise SystemExit(7)  # BASH_ENV ENV\n")).status == 7
    assert run(session, block("sh", "exit 7\n")).status == 7
    assert run(session, block("raw", "exit 7\n"), {"raw": 'bash -c "$(cat)"'}).status == 7


def test_a_function_of_a_page_cannot_answer_for_our_own_command(session: Session) -> None:
    session.run("runbook-checks() { echo shadowed; }", timeout_s=10)
    ended = run(session, block("http", "no request\n"))
    assert ended.status not in {0, None}
    assert b"shadowed" not in ended.stdout


def test_the_status_of_an_http_block_is_an_option() -> None:
    assert "export -- API_URL GET checks http runbook x;" in script(block("http", "GET $API_URL/x\n"), DEFAULTS)
    text = script(block("http", "GET /\n", "200|404"), {"http": "printf '%s,'"})
    done = subprocess.run([BASH, "-c", text], capture_output=True, check=True)
    assert done.stdout == b"--status,200|404,"


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_an_assignment_gives_exactly_the_value(value: str) -> None:
    done = subprocess.run([BASH, "-c", assign("it", value) + 'printf %s "$it"'], capture_output=True, check=True)
    assert done.stdout.decode() == value


@pytest.mark.parametrize(("name", "value"), [("a-b", ""), ("1a", ""), ("a b", ""), ("a", "\0"), ("é", "")])
def test_what_bash_cannot_hold_is_refused(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=re.escape(name)):
        assign(name, value)

"""What bash says about scripts before anything runs, many of them read by one bash."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from runbook_checks import bash
from runbook_checks.bash import Syntax, check_syntax, find_bash

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest

BASH = find_bash(os.environ)

# Texts that end, or open, what others could close: each is wrong alone, or only looks so.
ODD = [
    "cat <<END\nx",
    "END",
    "echo 'a",
    "b'",
    'echo "a',
    'b"',
    "x=$(echo",
    ")",
    "echo ${x",
    "}",
    "{",
    "} ; { true",
    "}\ntouch ran\nf() {",
    "if true; then",
    "fi",
    "while read x; do",
    "done",
    "case x in",
    "case x in y)",
    ";; y) true",
    ";;",
    ";\\\n; esac",
    "es\\\nac",
    "esac\ncase y in y)",
    "esac; case y in y) true",
    "x) true",
    "((1 +",
    "[[ a",
    "echo `a",
    "foo &&",
    "foo |",
    "foo \\",
    "f()",
    "function f",
    "!",
    "time",
    "",
    "# nothing",
    "cat <<'}'\nx\n}",
    "cat <<esac\nx\nesac",
    "x=$(cat <<E\nfoo\n)",
    "cat <<''\nx\n",
    "echo $(if)",
    "f() { local x=$(date); }",
    "for i in 1 2; do echo $i; done",
    "shopt -s extglob\nls !(a)",
    "a \0 b",
    "\udcff",
]


def alone(script: str) -> bool:
    """Tell whether `bash -n` reads a script in silence."""
    done = subprocess.run(
        [BASH, "--norc", "--noprofile", "-n"],
        input=script.encode("utf-8", "surrogateescape"),
        capture_output=True,
        env={"LC_ALL": "C"},
        check=False,
    )
    return not done.stderr and done.returncode == 0


def test_what_one_bash_reads_of_many_is_what_each_says_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [not said for said in check_syntax(ODD, BASH)] == [alone(script) for script in ODD]
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=60)
@given(st.lists(st.lists(st.sampled_from(ODD), min_size=1, max_size=4).map("\n".join), min_size=1, max_size=5))
def test_no_script_closes_what_another_or_itself_has_opened(scripts: list[str]) -> None:
    assert [not said for said in check_syntax(scripts, BASH)] == [alone(script) for script in scripts]


def test_a_bash_that_takes_no_functions_from_its_environment_is_asked_about_each(tmp_path: Path) -> None:
    closed = tmp_path / "bash"
    closed.write_text(f'#!/bin/sh\ncase "$*" in *declare*) exec env -i {BASH} "$@";; esac\nexec {BASH} "$@"\n')
    closed.chmod(0o755)
    assert check_syntax(["true", "fi"], closed)[0] == ""
    assert "syntax error" in check_syntax(["true", "fi"], closed)[1]


def test_large_scripts_are_read_alone_and_many_in_several_goes() -> None:
    large = "echo 1234567\n" * 20_000
    scripts = [large, f"{large}fi", *(f"echo {number}" for number in range(700)), "fi"]
    said = check_syntax(scripts, BASH)
    assert [number for number, text in enumerate(said) if text] == [1, 702]


def test_what_comes_next_is_read_along_and_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Sequence[str]] = []
    real = bash.check_syntax

    def counting(scripts: Sequence[str], path: Path, *, posix: bool = False) -> tuple[str, ...]:
        asked.append(scripts)
        return real(scripts, path, posix=posix)

    monkeypatch.setattr(bash, "check_syntax", counting)
    syntax = Syntax()
    syntax.expect(["echo 1", "echo 2", "fi"])
    assert syntax.check(["echo 1"], BASH) == ("",)
    assert asked == [["echo 1", "echo 2", "fi"]]
    assert "syntax error" in syntax.check(["echo 2", "fi"], BASH)[1]
    assert syntax.check(["echo 3"], BASH) == ("",)  # one that nobody expected
    assert asked[1:] == [["echo 3"]]


def test_for_sh_each_is_read_as_a_posix_shell_does(tmp_path: Path) -> None:
    telling = tmp_path / "bash"
    telling.write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/asked\nexec {BASH} "$@"\n')
    telling.chmod(0o755)
    assert "syntax error" in Syntax().check(["true", "fi"], telling, posix=True)[1]
    assert (tmp_path / "asked").read_text() == "--norc --noprofile --posix -n\n" * 2


def test_what_was_asked_long_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bash, "_REMEMBERED", 2)
    syntax = Syntax()
    for number in range(5):
        assert syntax.check([f"echo {number}", "true"], BASH) == ("", "")
    assert len(vars(syntax)["_known"]) == 2

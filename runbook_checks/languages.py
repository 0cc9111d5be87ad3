"""How a block of any language becomes bash text for the session: a table of commands that get the text on stdin."""

from __future__ import annotations

import re
import shlex
from types import MappingProxyType
from typing import TYPE_CHECKING

from runbook_checks.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbook_checks.model import Block

SESSION_LANGUAGE = "bash"

DEFAULTS: Mapping[str, str] = MappingProxyType(
    {
        "sh": 'sh -ec "$(cat)"',  # as an argument: what the script calls cannot eat the rest of it from stdin
        "python": "PYTHONOPTIMIZE= python3 -",  # empty is unset: with a value no `assert` is run
        "sql": 'psql -X -v ON_ERROR_STOP=1 "${DATABASE_URL:?}"',
        "http": "runbook-checks http",
        "promql": "runbook-checks promql",
    }
)
"""A language and the command that gets the block's text on standard input; ``bash`` needs none."""

_IDENTIFIER = re.compile(r"(?<![A-Za-z0-9_])[A-Za-z_][A-Za-z0-9_]*")
_BASH = '"$BASH" -p -o errexit -o pipefail -c'  # -p: nor functions, options or a start-up file from the environment
_END = "RUNBOOK_CHECKS_END"


def known(table: Mapping[str, str]) -> frozenset[str]:
    """Return the languages that a marked block may have."""
    return frozenset({SESSION_LANGUAGE, *table})


def assign(name: str, value: str) -> str:
    """Return a line of bash that sets a shell variable to the value; raise UsageError for what it cannot hold."""
    if not _IDENTIFIER.fullmatch(name):
        raise UsageError(f"{name!r} is no name of a shell variable")
    if "\0" in value:
        raise UsageError(f"the value of {name} holds a NUL character, which no shell variable can")
    return f"{name}={shlex.quote(value)}\n"


def script(block: Block, table: Mapping[str, str]) -> str:
    """Return what the session runs for a block; raise KeyError for a language that is not ``known``.

    Bash is run as it is. Any other text becomes standard input of the language's command, in a subshell that
    exports every shell variable that the text names: programs see captures, and nothing stays exported. The command is
    run by a bash of its own, that knows no function, alias or remembered path of the session: a page's ``python3()``
    cannot answer for Python. What bash says about such a block is about its line 1; the program itself counts the
    lines of the text.
    """
    if block.language == SESSION_LANGUAGE:
        return block.text
    command = table[block.language]
    if block.language == "http" and block.http_status:
        command += f" --status {shlex.quote(block.http_status)}"
    names = sorted({*_IDENTIFIER.findall(block.text), *_IDENTIFIER.findall(command)} - {"_"})
    end = _END
    while end in block.text:
        end += "_"
    text = block.text if block.text.endswith("\n") else block.text + "\n"
    run = f"\\builtin exec {_BASH} {shlex.quote(command)}"
    return f"(\\builtin export -- {' '.join(names)}; {run}) <<'{end}'\n{text}{end}\n"

#!/usr/bin/env python3
"""Write the commands of `runbook-checks` into docs/reference/cli.md, between its markers; `--check` only compares."""

from __future__ import annotations

import argparse
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from runbook_checks.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "cli.md"
BEGIN, END = "<!-- commands: written by scripts/docs_cli.py -->", "<!-- end of commands -->"
_READERS = ("http", "promql")  # of standard input; their parsers are not the command line's


class _FoundError(Exception):
    """Carries the parser of a command line out, in place of what it would have parsed."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__()
        self.parser = parser


def parser_of(*arguments: str) -> argparse.ArgumentParser:
    """Return the parser that reads a command line."""

    def stop(self: argparse.ArgumentParser, *_: object, **__: object) -> None:
        raise _FoundError(self)

    with patch.object(argparse.ArgumentParser, "parse_args", stop), patch("sys.stdin", io.StringIO()):
        try:
            main(arguments)
        except _FoundError as found:
            return found.parser
    raise AssertionError(f"nothing parses {arguments}")


def commands() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield every command that does something, such as ``stack up``, and its parser."""
    yield from _below(parser_of(), ())


def _below(parser: argparse.ArgumentParser, words: tuple[str, ...]) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way to look at a parser
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for name, one in action.choices.items():
                yield from _below(one, (*words, name))
            return
    yield " ".join(words), parser_of(*words) if words[0] in _READERS else parser


def options(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    """Yield each option or argument of a parser as a reader types it, and what it is for; not ``--help``."""
    formatter = parser._get_formatter()  # noqa: SLF001
    for action in parser._actions:  # noqa: SLF001
        if isinstance(action, argparse._HelpAction):  # noqa: SLF001
            continue
        value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
        names = ", ".join(f"`{name}{value}`" for name in action.option_strings) or f"`{action.dest.upper()}`"
        yield names + (" …" if action.nargs == "*" else ""), formatter._expand_help(action)  # noqa: SLF001


def render() -> str:
    """Return the part of the page between its markers."""
    lines = [BEGIN, ""]
    for name, parser in commands():
        lines += [f"### `runbook-checks {name}` {{ #{name.replace(' ', '-')} }}", "", parser.description or "", ""]
        if rows := list(options(parser)):
            lines += ["| option | meaning |", "|---|---|"]
            lines += [f"| {names} | {text.replace('|', chr(92) + '|')} |" for names, text in rows]
            lines.append("")
    return "\n".join([*lines, END])


def rewritten(page: str) -> str:
    """Return the page with the commands as they are now."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + render() + after


if __name__ == "__main__":
    written = PAGE.read_text(encoding="utf-8")
    wanted = rewritten(written)
    if sys.argv[1:] == ["--check"]:
        sys.exit(f"{PAGE}: not what the commands say; run {os.path.relpath(__file__)}" if wanted != written else 0)
    PAGE.write_text(wanted, encoding="utf-8")

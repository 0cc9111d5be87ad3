"""A table is what rich makes of it, but for the spaces at the ends of its lines."""

from __future__ import annotations

import io

import pytest
from rich.table import Table
from rich.text import Text

from runbook_checks.console import PlainConsole


def table(*rows: tuple[str, ...], wrap: bool = True) -> Table:
    made = Table(box=None, pad_edge=False)
    for heading in ("outcome", "procedure", "why"):
        made.add_column(heading, overflow="fold", no_wrap=not wrap)
    for row in rows:
        made.add_row(Text(row[0], "green"), *row[1:])
    return made


def lines(console: PlainConsole) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize(
    "rows",
    [
        (),
        (("passed", "page/one", ""), ("failed", "page/longer-one", "docs/page.md:3: exited with 1")),
        (("passed", "page/ünïcödé", "数据库 is down"), ("passed", "x", "é\u0301")),
        (("passed", "page/one", "two\nlines"), ("passed", "x", "")),
        (("passed", "page/one", "word " * 80), ("passed", "x", "")),
        (("passed", "page/one", "bell \a and \r return"),),
    ],
)
def test_a_table_looks_as_rich_prints_it(rows: tuple[tuple[str, ...], ...]) -> None:
    ours, theirs = PlainConsole(io.StringIO()), PlainConsole(io.StringIO())
    ours.print_table(table(*rows))
    theirs.print(table(*rows))
    assert lines(ours) == lines(theirs)

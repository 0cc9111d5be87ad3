"""What was measured, as tables: for a terminal, and as Markdown between two marks of a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table as RichTable

if TYPE_CHECKING:
    from collections.abc import Iterable

BEGIN = "<!-- figures: written by scripts/bench/{} -->"
END = "<!-- /figures -->"


class NoMarksError(Exception):
    """The page has no place for the figures."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table under a heading; the first column is text, the others are figures."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    anchor: str = ""
    note: str = ""

    def markdown(self) -> str:
        """Return it with its heading."""
        rule = ("---", *("---:" for _ in self.columns[1:]))
        lines = [_line(self.columns), _line(rule), *map(_line, self.rows)]
        heading = f"### {self.title}" + (f" {{ #{self.anchor} }}" if self.anchor else "")
        return "\n".join([heading, "", *([self.note, ""] if self.note else []), *lines, ""])

    def rich(self) -> RichTable:
        """Return it for a terminal."""
        table = RichTable(title=self.title, caption=self.note or None)
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="right" if number else "left")
        for row in self.rows:
            table.add_row(*row)
        return table


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure that must stay on the right side of its bound."""

    name: str
    value: float
    bound: float
    unit: str
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Return whether it does."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def row(self) -> tuple[str, ...]:
        """Return it as the row of a table."""
        wanted = f"{'≥' if self.at_least else '≤'} {self.bound:g} {self.unit}"
        return self.name, wanted, f"{rounded(self.value)} {self.unit}", "met" if self.met else "**missed**"


def of_goals(goals: Iterable[Goal]) -> Table:
    """Return the goals as a table."""
    return Table("Goals", ("goal", "wanted", "measured", ""), tuple(goal.row() for goal in goals), anchor="goals")


def rounded(value: float) -> str:
    """Return a figure with three digits that count."""
    if value == 0:
        return "0"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2  # noqa: PLR2004 - three digits in all
    return f"{value:.{digits}f}"


def between_marks(page: str, script: str, text: str) -> str:
    """Return a page with the text between the marks that name the script; raises NoMarksError without them."""
    begin = BEGIN.format(script)
    before, found, rest = page.partition(begin)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise NoMarksError(f"the page needs the lines {begin!r} and {END!r}, in this order")
    return f"{before}{begin}\n\n{text.strip()}\n\n{END}{after}"


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"

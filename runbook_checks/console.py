"""The console on which the command line shows tables and progress."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Never

from rich.cells import cell_len
from rich.console import Console
from rich.control import strip_control_codes
from rich.text import Text

if TYPE_CHECKING:
    from rich.table import Table

_LOG_WIDTH = 160  # where there is no terminal to ask
_BETWEEN = "  "  # two columns


class PlainConsole(Console):
    """A console that prints what it is given, and leaves it to the command line what to do when nobody reads on."""

    def __init__(self, file: IO[str]) -> None:
        """Print to a file, as wide as its terminal."""
        width = None if file.isatty() else _LOG_WIDTH
        super().__init__(file=file, width=width, highlight=False, markup=False, emoji=False)

    def print_line(self, head: str, style: str, rest: str) -> None:
        """Print one line, however long; where there is no terminal without rich, which takes much longer."""
        if self.is_terminal:
            self.print(Text.assemble((head, style), rest), soft_wrap=True)
        else:
            self.file.write(f"{strip_control_codes(head + rest)}\n")
            self.file.flush()

    def print_table(self, table: Table) -> None:
        """Print a table without lines; where there is no terminal, and it needs no wrapping, without rich, as above."""
        columns = [[Text(strip_control_codes(str(one.header)), "bold"), *one.cells] for one in table.columns]
        texts = [[cell.plain if isinstance(cell, Text) else str(cell) for cell in column] for column in columns]
        widths = [max(map(cell_len, column)) for column in texts]
        room = sum(widths) + len(_BETWEEN) * (len(widths) - 1) <= self.width
        if self.is_terminal or not room or any("\n" in text for column in texts for text in column):
            self.print(table)
            return
        for row in zip(*texts, strict=True):
            cells = (text + " " * (width - cell_len(text)) for text, width in zip(row, widths, strict=True))
            self.file.write(f"{strip_control_codes(_BETWEEN.join(cells)).rstrip()}\n")

    def on_broken_pipe(self) -> Never:
        """Raise BrokenPipeError; rich itself would end the process, with the exit code of a failed procedure."""
        raise BrokenPipeError

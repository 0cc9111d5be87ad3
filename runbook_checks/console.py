"""The console on which the command line shows tables and progress."""

from __future__ import annotations

from typing import IO, Never

from rich.console import Console

_LOG_WIDTH = 160  # where there is no terminal to ask


class PlainConsole(Console):
    """A console that prints what it is given, and leaves it to the command line what to do when nobody reads on."""

    def __init__(self, file: IO[str]) -> None:
        """Print to a file, as wide as its terminal."""
        width = None if file.isatty() else _LOG_WIDTH
        super().__init__(file=file, width=width, highlight=False, markup=False, emoji=False)

    def on_broken_pipe(self) -> Never:
        """Raise BrokenPipeError; rich itself would end the process, with the exit code of a failed procedure."""
        raise BrokenPipeError

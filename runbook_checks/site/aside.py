"""Holds finished pages against what is run in a process of its own, while MkDocs renders the next ones."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING, Generic, TypeVar

from runbook_checks.errors import UsageError
from runbook_checks.site.meanwhile import can_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkProcess

_Found = TypeVar("_Found")


class Aside(Generic[_Found]):
    """A check of pages, each its path and its HTML; what it found on each is there in the end."""

    def __init__(self, check: Callable[[str, str], _Found]) -> None:
        """Start nothing: the process has what ``check`` knows when the first page comes."""
        self._check = check
        self._found: list[_Found] = []
        self._process: ForkProcess | None = None
        self._line: Connection | None = None
        self._begun = self._broken = False

    def ask(self, path: str, html: str) -> None:
        """Check a page, at once where a second process would gain nothing."""
        if not self._begun:
            self._begun = True
            self._start()
        if self._line is None:
            self._found.append(self._check(path, html))
            return
        try:
            self._line.send((path, html))
        except OSError:
            self._broken = True  # which finish() tells

    def finish(self) -> Sequence[_Found]:
        """Return what was found on all pages, in order; raises UsageError when some may not have been checked."""
        if self._line is not None and self._process is not None:
            try:
                self._line.send(None)
                self._found.extend(self._line.recv())
                if self._broken:
                    raise UsageError(_ENDED)
            except (EOFError, OSError) as error:
                raise UsageError(_ENDED) from error
            finally:
                self.stop()
        return self._found

    def stop(self) -> None:
        """End the process, whatever it is at."""
        if self._line is not None and self._process is not None:
            self._line.close()
            self._process.join()
            self._line = self._process = None

    def _start(self) -> None:
        if not can_fork():
            return
        context = multiprocessing.get_context("fork")  # it has all that is known of the pages without a copy
        self._line, theirs = context.Pipe()
        self._process = context.Process(target=_answer, args=(theirs, self._line, self._check), daemon=True)
        self._process.start()
        theirs.close()


_ENDED = "the process that compares the pages with what is run ended before it was done"


def _answer(line: Connection, other_end: Connection, check: Callable[[str, str], _Found]) -> None:
    other_end.close()  # so that the end of the build ends this process too
    found: list[_Found] = []
    try:
        while (page := line.recv()) is not None:
            found.append(check(*page))
        line.send(found)
    except (EOFError, OSError):
        return

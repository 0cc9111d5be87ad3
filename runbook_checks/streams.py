"""Standard streams that are there, whichever of them the caller has closed."""

from __future__ import annotations

import os
import sys
from typing import IO


def open_missing() -> bool:
    """Give each standard stream that is closed a descriptor: else the next file would get it, and take what is printed.

    Return whether standard output was closed: writing to it is an OSError, as it is for other programs. What goes to
    standard error is lost.
    """
    closed = sys.stdout is None
    if sys.stdin is None:
        sys.stdin = _stream(0, os.O_RDONLY, "r")
    if sys.stdout is None:
        sys.stdout = _stream(1, os.O_RDONLY, "w")  # nothing can be written to what is open for reading
    if sys.stderr is None:
        sys.stderr = _stream(2, os.O_WRONLY, "w")
    return closed


def give_up_unwritten() -> None:
    """Forget what standard output cannot take: at its end, Python would try once more, and change the exit code."""
    try:
        sys.stdout.flush()
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def _stream(number: int, flags: int, mode: str) -> IO[str]:
    descriptor = os.open(os.devnull, flags)
    if descriptor != number:  # something else had it meanwhile
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.set_inheritable(number, True)  # noqa: FBT003 - positional only
    return os.fdopen(number, mode, encoding="utf-8", errors="backslashreplace", closefd=False)

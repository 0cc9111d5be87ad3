"""A process that outlives a killed runner just long enough to end what it started."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from runbook_checks import marks

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def guarded(mark: str) -> Iterator[None]:
    """Have every process with ``mark`` ended when this block is left, or when this process dies, however it dies."""
    reader, writer = os.pipe()  # close-on-exec: nothing that we start keeps the writing end open
    environ = {name: value for name, value in os.environ.items() if name != marks.VARIABLE}
    guardian = subprocess.Popen(
        [sys.executable, "-m", "runbook_checks.guardian", mark],
        stdin=reader,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environ,
        start_new_session=True,
    )
    os.close(reader)
    try:
        yield
    finally:
        os.close(writer)
        guardian.wait()


def main(mark: str) -> None:
    """Wait for the end of standard input, then end every process that carries the mark."""
    sys.stdin.buffer.read()
    marks.end_marked(mark)


if __name__ == "__main__":
    main(sys.argv[1])

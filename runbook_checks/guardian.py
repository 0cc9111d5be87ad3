"""A process that outlives a killed runner just long enough to end what it started."""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from runbook_checks import marks
from runbook_checks.errors import StackError
from runbook_checks.processes import Death, folder_bases, folder_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator

_POLL_S = 0.02


@contextmanager
def guarded(mark: str, *, controller: int | None = None) -> Iterator[None]:
    """Have every process with ``mark`` ended when this block is left, or when this process dies, however it dies.

    ``controller`` is a process without which this one must not go on: when that dies, this one is killed first.
    Raises StackError on leaving the block when something with the mark could not be ended.
    """
    reader, writer = os.pipe()  # close-on-exec: nothing that we start keeps the writing end open
    environ = {name: value for name, value in os.environ.items() if name != marks.VARIABLE}
    environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    guardian = subprocess.Popen(
        # -P: a user's folder may hold modules with the names of ours
        [sys.executable, "-P", *_module(mark), str(controller or "")],
        stdin=reader,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environ,
        start_new_session=True,
    )
    os.close(reader)
    try:
        yield
    finally:
        os.close(writer)
        _, said = guardian.communicate()
        if guardian.returncode:
            raise StackError(f"not everything that this run started could be ended: {said.decode(errors='replace')}")


def await_guardian(mark: str, *, within_s: float = 10.0) -> None:
    """Wait until the guardian of a run that died is done, if there is one, for ``within_s`` at most.

    Until then it would end what takes the stack down.
    """
    end = time.monotonic() + within_s
    while any((one.info["cmdline"] or [])[2:5] == _module(mark) for one in psutil.process_iter(["cmdline"])):
        if time.monotonic() > end:
            return
        time.sleep(_POLL_S)


def _module(mark: str) -> list[str]:
    return ["-m", "runbook_checks.guardian", mark]


def main(mark: str, controller: str) -> None:
    """Wait for the end of standard input, or of the controller, then end and remove what carries the mark."""
    runner = os.getppid()
    ended: set[object] = set()
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin, selectors.EVENT_READ)
        with suppress(ProcessLookupError):
            if controller:
                selector.register(Death(int(controller)), selectors.EVENT_READ)
            while not ended:
                ended = {key.fileobj for key, _ in selector.select()}
                if sys.stdin in ended and os.read(sys.stdin.fileno(), 64 * 1024):
                    ended.remove(sys.stdin)  # something that a block has written to a descriptor which it found
    if sys.stdin not in ended and os.getppid() == runner:
        os.kill(runner, signal.SIGKILL)
    try:
        marks.end_marked(mark)
    except TimeoutError as error:
        raise SystemExit(str(error)) from error
    for base in folder_bases():
        for folder in Path(base).glob(f"{folder_prefix(mark)}*"):
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

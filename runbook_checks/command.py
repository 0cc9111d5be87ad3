"""A configured shell command, run to its end or to its deadline."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import psutil

from runbook_checks import marks

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SHELL = ("/bin/sh", "-c")
_GRACE_S = 2.0
_LOOK_S = 0.5
_GONE_LOOKS = 4  # a process that is being started has no command line yet
LARGEST_READ = 1024 * 1024  # from the end


@dataclass(frozen=True, slots=True)
class Completed:
    """How a command ended, and the last mebibyte of what it printed."""

    status: int
    stdout: str
    stderr: str
    expired: bool = False  # it was ended at its deadline
    cut: bool = False  # it printed more to standard output than is kept


def complete(command: str, *, cwd: Path, environ: Mapping[str, str], timeout_s: float) -> Completed:
    """Run a command of ``/bin/sh`` in its own process group, with nothing shown.

    Returns when the command itself has ended: what it leaves running may keep its output open. At the deadline, or on
    an interrupt, the process group is ended.
    """
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            [*SHELL, command],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            cwd=cwd,
            env=environ,
            start_new_session=True,
        )
        expired = False
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            expired = True
        finally:
            if process.poll() is None:
                _end(process)
        cut = stdout.seek(0, os.SEEK_END) > LARGEST_READ
        return Completed(process.returncode, _tail(stdout), _tail(stderr), expired, cut)


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)


def _tail(file: IO[bytes]) -> str:
    file.seek(max(0, file.seek(0, os.SEEK_END) - LARGEST_READ))
    return file.read().decode("utf-8", errors="replace")


def complete_shown(command: str, *, cwd: Path, environ: Mapping[str, str], timeout_s: float, mark: str) -> Completed:
    """Run a command of ``/bin/sh`` and print what it prints to standard error, as it comes.

    At the deadline, or on an interrupt, everything with the mark is ended; so it is, as if expired, when the command
    has ended and something that it left running keeps its output open: nobody can say then that all of it was shown.
    """
    import subprocess_tee  # noqa: PLC0415 - asyncio is a heavy import

    with ThreadPoolExecutor(max_workers=1) as thread:
        running = thread.submit(
            subprocess_tee.run,
            [*SHELL, command],
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            stderr=sys.stderr,
            cwd=str(cwd),
            env={**environ, marks.VARIABLE: mark},
        )
        expired = False
        try:
            expired = not _ends(running, command, time.monotonic() + timeout_s)
        finally:
            if not running.done():
                marks.end_marked(mark)
        done = running.result()
    return Completed(done.returncode, done.stdout, done.stderr, expired)


def _ends(running: Future[Any], command: str, deadline_s: float) -> bool:
    """Wait for a command whose output is read elsewhere; False at the deadline, or when only its output lives on."""
    gone = 0
    while gone < _GONE_LOOKS and (left_s := deadline_s - time.monotonic()) > 0:
        if wait([running], timeout=min(left_s, _LOOK_S)).done:
            return True
        children = psutil.Process().children()
        alive = [child for child in children if child.status() != psutil.STATUS_ZOMBIE and command in child.cmdline()]
        gone = 0 if alive else gone + 1
    return running.done()

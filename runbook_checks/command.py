"""A configured shell command, run to its end or to its deadline."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_STDERR = 2
_GRACE_S = 2.0
_LARGEST_READ = 1024 * 1024  # from the end


@dataclass(frozen=True, slots=True)
class Completed:
    """How a command ended, and the last mebibyte of what it printed; both empty when it was shown instead."""

    status: int
    stdout: str
    stderr: str
    expired: bool = False  # it was ended at its deadline


def complete(
    command: str, *, cwd: Path, environ: Mapping[str, str], timeout_s: float, shown: bool = False
) -> Completed:
    """Run a command of ``/bin/sh`` in its own process group; ``shown`` lets it print to standard error as it goes.

    Returns when the command itself has ended: what it leaves running may keep its output open. At the deadline, or on
    an interrupt, the process group is ended.
    """
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=_STDERR if shown else stdout,
            stderr=_STDERR if shown else stderr,
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
        return Completed(process.returncode, _tail(stdout), _tail(stderr), expired)


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)


def _tail(file: IO[bytes]) -> str:
    file.seek(max(0, file.seek(0, os.SEEK_END) - _LARGEST_READ))
    return file.read().decode("utf-8", errors="replace")

"""One run at a time in an environment that all runs share: a second one is refused, and told of the first."""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from runbook_checks.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runbook_checks.config import Environment

FOLDER = ".runbook-checks/runs"
_SHARED_S = 10.0  # for another process of ours to write down a line
_LONGEST = 4096  # of what the first run has written down


@contextmanager
def occupied(root: Path, environment: Environment, run: str) -> Iterator[None]:
    """Hold an environment for a run as long as this block, and this process, last; its other processes may join.

    With a stack of its own each run has the environment for itself, and nothing is held. Raises StackError, which names
    the other run, when that one has it.
    """
    if environment.stack is not None:
        yield
        return
    path = root / FOLDER / f"{environment.name}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise StackError(f"{path}: cannot be written: {error.strerror}") from error
    try:
        _occupy(descriptor, path, environment.name, run)
        yield
    finally:
        os.close(descriptor)


def _occupy(descriptor: int, path: Path, environment: str, run: str) -> None:
    if _locked(descriptor, fcntl.LOCK_EX):  # nobody has it
        ours = {"run": run, "pid": os.getpid(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(ours).encode(), 0)
        except OSError as error:
            raise StackError(f"{path}: cannot be written: {error.strerror}") from error
    until = time.monotonic() + _SHARED_S
    while not _locked(descriptor, fcntl.LOCK_SH):  # which gives the other lock up first: somebody may come between
        if time.monotonic() > until:
            raise StackError(f"{path}: another program has locked this file")
        time.sleep(0.01)
    first = _first(descriptor)
    if first.get("run") != run:
        raise StackError(
            f"environment {environment} is in use by another run, process {first.get('pid', 'unknown')}, since"
            f" {first.get('since', 'a moment ago')}: wait for its end, or end it"
        )


def _locked(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _first(descriptor: int) -> dict[str, str]:
    """Return what the first run has written down; empty for what is none of that."""
    try:
        found = json.loads(os.pread(descriptor, _LONGEST, 0))
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}

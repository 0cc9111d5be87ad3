"""The exit codes that others rely on, and the one that a run ends with."""

from __future__ import annotations

import signal
from enum import IntEnum
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from types import FrameType

    from runbook_checks.progress import Progress


class Exit(IntEnum):
    """The exit codes that others rely on."""

    VERIFIED = 0
    FAILED = 1
    USAGE = 2
    STACK = 3
    INTERRUPTED = 130  # as a shell reports it
    BROKEN_PIPE = 141
    TERMINATED = 143


class Termination:
    """SIGTERM taken for an interrupt, so that cleanup blocks run and the stack goes down; it ends by its own code."""

    def __init__(self) -> None:
        """Begin without one."""
        self.asked = False

    def take(self) -> None:
        """Take the signals from now on."""
        signal.signal(signal.SIGTERM, self._interrupt)

    def code(self, code: int) -> int:
        """Return the exit code of a command that would end with ``code``."""
        return Exit.TERMINATED if self.asked and code == Exit.INTERRUPTED else code

    def _interrupt(self, number: int, frame: FrameType | None) -> NoReturn:
        del number, frame
        self.asked = True
        raise KeyboardInterrupt


def exit_code(code: int, progress: Progress) -> int:
    """Return the exit code of a run, given that of pytest and what was seen."""
    if progress.interrupted:
        return Exit.INTERRUPTED
    if progress.errors:
        return max(progress.errors.values())
    if progress.failures or any(one.changed for one in progress.ended.values()):
        return Exit.FAILED  # what changed while it ran has proven nothing
    match code:
        case 0:
            return Exit.VERIFIED
        case 2:  # a worker was interrupted, or a plugin of the user's ended the session
            return Exit.INTERRUPTED
        case _:  # pytest has said why
            return Exit.USAGE

"""What the runner and session.bash say to each other: orders, and reports that carry the key of their order."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from dataclasses import dataclass
from enum import Enum

_REPORT = re.compile(rb"^(\w+) (\w+) (\d+) (\d+) (\d*)$", re.MULTILINE)
_FIRST_KEY = b"0" * 16  # session.bash begins with it
_ORDER_BYTES = 48  # session.bash reads as many at once


class How(Enum):
    """How a block ended; only END and EXIT are ends that the session itself reported in order."""

    END = "end"  # its last command was reached
    EXIT = "exit"  # errexit, `exit N`, an unset variable, a syntax error
    TIMEOUT = "timeout"
    LOST = "lost"  # the shell is gone: `exec`, `kill -9 $$`, or what it is told and tells by, in the temporary folder
    STRAY = "stray"  # a `break` or `continue` outside of any loop


_ENDS = {b"end": How.END, b"exit": How.EXIT, b"stray": How.STRAY, b"break": How.STRAY}
_LAST_WORDS = frozenset({b"exit", b"break"})  # of a shell that ends; its fork says when it is ready


@dataclass(slots=True)
class Report:
    """What the session said about the block that runs."""

    how: How | None = None
    status: int | None = None
    line: int | None = None
    trap: bool = False  # at the end of the session: a trap that a block has set for it has begun


class Dialogue:
    """The two FIFOs of a session, what it was told last, and what it has said since."""

    def __init__(self, folder: str) -> None:
        """Make the FIFOs; both are opened both ways, so that no side waits for the other and the reports never end."""
        self._paths = (f"{folder}/in", f"{folder}/ctl")
        for path in self._paths:
            os.mkfifo(path, 0o600)
        self._in, self._ctl = (os.open(path, os.O_RDWR | os.O_NONBLOCK) for path in self._paths)
        self._last_key = self._key = _FIRST_KEY  # of the order that is carried out; its reports carry it
        self._order = b""
        self.report = Report()
        self.shell = 0  # the process that waits for the next order, or is going to: the first one need not say so
        self.shells: set[int] = set()

    def begin(self, shell: int) -> None:
        """Take a process for the shell, before it has said anything: an order can wait for it."""
        self.shell = shell
        self.shells.add(shell)

    def order(self, word: bytes, files: int) -> None:
        """Let the shell begin: with the block, and the outputs, whose files end in this number."""
        self.report = Report()
        self._last_key, self._key = self._key, secrets.token_hex(8).encode()
        self._order = b"%s %s %s %d" % (word, self._key, self._last_key, files)
        os.write(self._in, self._order.ljust(_ORDER_BYTES - 1) + b"\n")

    def take_back(self) -> bool:
        """Take the order back, if the shell has not begun, and never will; return whether that was so."""
        with contextlib.suppress(BlockingIOError):
            if os.read(self._in, 2 * _ORDER_BYTES).rstrip() == self._order:
                self._key = self._last_key
                return True
        return False

    def listen(self) -> None:
        """Note what was said; without the key of the order it is something that a block has printed."""
        with contextlib.suppress(BlockingIOError):
            for key, word, number, pid, line in _REPORT.findall(os.read(self._ctl, 64 * 1024)):
                if key == self._key:
                    self._note(word, int(number), int(pid), int(line) if line else None)

    def _note(self, word: bytes, number: int, pid: int, line: int | None) -> None:
        report = self.report
        if word == b"ready":
            self.begin(pid)
        elif word == b"at":
            report.line = report.line or line
        elif word == b"bye":
            report.trap = True
        elif how := _ENDS.get(word):
            if word in _LAST_WORDS:
                self.shell = 0
            report.how, report.status, report.line = how, number, report.line or line

    def is_whole(self) -> bool:
        """Return whether the shell finds our FIFOs where they were made; raise OSError when there is nothing at all."""
        ours = (os.fstat(self._in), os.fstat(self._ctl))
        found = map(os.stat, self._paths)
        return all(map(os.path.samestat, found, ours))

    def fileno(self) -> int:
        """Return what becomes readable when the session has said something."""
        return self._ctl

    def close(self) -> None:
        """Close the FIFOs."""
        os.close(self._in)
        os.close(self._ctl)

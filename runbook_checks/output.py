"""What a block prints: read from a pipe, redacted on the way, kept within bounds, counted where it was cut."""

from __future__ import annotations

import contextlib
import os
import selectors
from typing import TYPE_CHECKING

from runbook_checks.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable

    from runbook_checks.model import Stream

_CHUNK_BYTES = 64 * 1024  # also what a pipe holds, on Linux and macOS


class Kept:
    """The head and the tail of a long output, half of the limit each."""

    def __init__(self, limit_bytes: int) -> None:
        """Start empty."""
        self._half = limit_bytes // 2
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def add(self, data: bytes) -> None:
        """Keep the data, and drop from the middle what is too much."""
        room = self._half - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        if len(self._tail) > 2 * self._half:  # trimmed seldom: moving the tail for every line would cost
            self._trim()

    def _trim(self) -> None:
        excess = len(self._tail) - self._half
        if excess > 0:
            del self._tail[:excess]
            self._dropped += excess

    def result(self) -> tuple[bytes, int]:
        """Return what was kept, with a line that says where and how much is missing, and the count of those bytes."""
        self._trim()
        if not self._dropped:
            return bytes(self._head + self._tail), 0
        gap = b"\n[... %d bytes left out ...]\n" % self._dropped
        return bytes(self._head + gap + self._tail), self._dropped


class Output:
    """The reading end of one FIFO and what came through it for one block, or after that block had ended."""

    def __init__(self, path: str, stream: Stream, secrets: tuple[str, ...], limit_bytes: int) -> None:
        """Create the FIFO and open its reading end."""
        os.mkfifo(path, 0o600)
        self.stream = stream
        self._path = path
        self._limit_bytes = limit_bytes
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._writer = -1
        self._selector: selectors.BaseSelector | None = None
        self._redactor = Redactor(secrets)
        self._tell: Callable[[Stream, bytes], None] | None = None
        self.kept = Kept(limit_bytes)
        self.ended = False

    def begin(self, tell: Callable[[Stream, bytes], None] | None) -> None:
        """Make ready for a block."""
        self._tell = tell
        self.kept = Kept(self._limit_bytes)
        self.ended = False

    def hold(self) -> None:
        """Keep the FIFO from ending while the block has closed its output, by a writing end of our own."""
        with contextlib.suppress(FileNotFoundError):  # the block has removed it
            self._writer = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK)

    def watch(self, selector: selectors.BaseSelector) -> None:
        """Let the selector's owner take what comes until the FIFO ends; that is at once unless somebody holds it.

        Here and below an interrupt may come between any two lines: each holds whatever the one before it has done.
        """
        self._selector = selector
        with contextlib.suppress(KeyError):  # watched already
            selector.register(self, selectors.EVENT_READ, self._take)

    def _take(self) -> None:
        self.read()
        if self.ended:  # a background job's: that of the running block is held
            self.close()

    def _unwatch(self) -> None:
        if self._selector is not None:
            with contextlib.suppress(KeyError):  # not watched
                self._selector.unregister(self)
            self._selector = None

    def read(self) -> int:
        """Take what is there, at most one chunk, and return its size; at the end of the FIFO set ``ended``."""
        try:
            data = os.read(self._fd, _CHUNK_BYTES)
        except BlockingIOError:
            return 0
        if data:
            self._pass_on(self._redactor.feed(data))
        else:
            self.ended = True
            self._pass_on(self._redactor.flush())
        return len(data)

    def end(self) -> None:
        """Read what the block itself wrote; ``ended`` stays unset when a background job still holds the FIFO open."""
        self._release()
        # One more than a pipe holds: the end comes after it. More can only be a background job's, perhaps without end.
        left = _CHUNK_BYTES + 1 if self._fd >= 0 else 0
        while left > 0 and not self.ended:
            size = self.read()
            if not size:
                break
            left -= size
        if self.ended:
            self._unwatch()

    def _release(self) -> None:
        """Close our own writing end."""
        if self._writer >= 0:
            writer, self._writer = self._writer, -1  # first: to close it twice would close another's
            os.close(writer)

    def mute(self) -> None:
        """Tell nobody any more: it is the listener that was interrupted, or that failed."""
        self._tell = None

    def result(self) -> tuple[bytes, int]:
        """Return what was kept, and the count of bytes that were left out."""
        kept, cut_bytes = self.kept.result()
        return self._redactor.unwrap(kept), cut_bytes

    def renew(self) -> None:
        """Keep apart what comes from now on: the block has been reported, the rest is late."""
        self.kept = Kept(self._limit_bytes)

    def close(self) -> None:
        """Take what is left and close the FIFO; a second call does nothing."""
        if self._fd < 0:
            return
        self.end()
        self._pass_on(self._redactor.flush())
        self._unwatch()
        fd, self._fd = self._fd, -1
        os.close(fd)
        with contextlib.suppress(FileNotFoundError):  # a block may have removed it
            os.unlink(self._path)  # noqa: PTH108  (a Path for every block would cost)

    def exists(self) -> bool:
        """Return whether a block can still write to it."""
        return os.access(self._path, os.F_OK)

    def fileno(self) -> int:
        """Return the reading end, for a selector."""
        return self._fd

    def _pass_on(self, data: bytes) -> None:
        if data:
            self.kept.add(data)
            if self._tell is not None:
                self._tell(self.stream, data)

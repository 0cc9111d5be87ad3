"""The files that a block goes through: its script, and the FIFOs that it prints to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runbook_checks.model import Stream
from runbook_checks.output import Output

if TYPE_CHECKING:
    import selectors
    from collections.abc import Callable

_OVERWRITE = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # no link, and wait for nobody


class Channel:
    """The files of one block; reused by the next one unless a background job holds them."""

    def __init__(self, folder: str, name: int, secrets: tuple[str, ...], limit_bytes: int) -> None:
        """Make the FIFOs; their names, and the script's, end in the number."""
        self.name = name
        self.block = 0  # whose it is
        self._script = f"{folder}/block.{name}"
        self.outputs = tuple(
            Output(f"{folder}/{short}.{name}", stream, secrets, limit_bytes)
            for short, stream in (("out", Stream.STDOUT), ("err", Stream.STDERR))
        )

    def is_whole(self) -> bool:
        """Return whether the FIFOs are still there: a block may have removed them."""
        return all(output.exists() for output in self.outputs)

    def begin(self, block: int, tell: Callable[[Stream, bytes], None] | None) -> None:
        """Make ready for what a block prints."""
        self.block = block
        for output in self.outputs:
            output.begin(tell)

    def write(self, script: bytes) -> None:
        """Write what the shell is to run, over what the block before was; raise OSError.

        A new file for every block would cost much of what a block costs. It is closed at once: a block that
        prints to every descriptor that it finds must not hit the script of the next one.
        """
        fd = self._open()
        try:
            left = memoryview(script)
            while left:
                left = left[os.write(fd, left) :]
            os.ftruncate(fd, len(script))
        finally:
            os.close(fd)

    def _open(self) -> int:
        try:
            return os.open(self._script, _OVERWRITE, 0o600)
        except OSError:  # a block has put something else there
            os.unlink(self._script)  # noqa: PTH108  (a Path for every block would cost)
            return os.open(self._script, _OVERWRITE | os.O_EXCL, 0o600)

    def watch(self, selector: selectors.BaseSelector) -> None:
        """Let the selector's owner take what the block prints as it comes."""
        for output in self.outputs:
            output.hold()
            output.watch(selector)

    def end(self) -> None:
        """Read what the block itself wrote."""
        for output in self.outputs:
            output.end()

    def is_held(self) -> bool:
        """Return whether a background job can still write to it; known after the end."""
        return not all(output.ended for output in self.outputs)

    def leave(self, selector: selectors.BaseSelector) -> None:
        """Leave it to the background jobs that hold it; the selector's owner takes what they print."""
        for output in self.outputs:
            if output.ended:
                output.close()
            else:
                output.watch(selector)

    def results(self) -> tuple[tuple[bytes, int], ...]:
        """Return what was kept of standard output and error, and how many bytes of each were left out."""
        return tuple(output.result() for output in self.outputs)

    def mute(self) -> None:
        """Tell nobody any more: it is the listener that was interrupted, or that failed."""
        for output in self.outputs:
            output.mute()

    def renew(self) -> None:
        """Keep apart what comes from now on: the block has been reported, the rest is late."""
        for output in self.outputs:
            output.renew()

    def close(self) -> None:
        """Take what is left and close it; a second call does nothing."""
        for output in self.outputs:
            output.close()

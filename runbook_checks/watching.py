"""Whether anything in some folders has changed since they were looked at, as the kernel tells it: Linux's inotify."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

_CHANGES = 0x2 | 0x4 | 0x8 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800  # everything of <sys/inotify.h> but reading
_FOLDERS_ONLY = 0x01000000 | 0x02000000  # IN_ONLYDIR, and no links
_READ_BYTES = 64 * 1024
_KNOWN = frozenset({"btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs"})
_ESCAPED = ("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")  # in the table of mounts


class Watch:
    """Tells whether folders are as they were: what a process does there is told before it goes on.

    Not told: what another machine does to a shared disk (see tells_all), what is done to a file by another name of it
    in a folder that is not watched, and what a process writes into memory that it has mapped a file to.
    """

    def __init__(self) -> None:
        """Begin without folders; where there is no inotify, no folder can be watched."""
        self._inotify = _inotify()
        self._descriptor = self._inotify[0](os.O_NONBLOCK | os.O_CLOEXEC) if self._inotify else -1

    def __enter__(self) -> Self:
        """Return this."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give everything back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def begin(self, folder: str) -> bool:
        """Watch a folder, not what is below it, and return whether that can be; one may be given again."""
        if self._descriptor < 0 or self._inotify is None:
            return False
        return self._inotify[1](self._descriptor, os.fsencode(folder), _CHANGES | _FOLDERS_ONLY) >= 0

    def quiet(self) -> bool:
        """Return whether nothing has changed since the last call; False when nobody can know."""
        if self._descriptor < 0:
            return False
        changed = False
        while True:
            try:
                changed = (
                    bool(os.read(self._descriptor, _READ_BYTES)) or changed
                )  # that too many changed is told as well
            except BlockingIOError:
                return not changed


def tells_all(folder: str, mounts: str) -> bool:
    """Return whether all that happens to a folder's disk happens on this machine, by the table of its mounts.

    ``mounts`` is the text of /proc/self/mountinfo.
    """
    best, kind = "", ""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        place = before.split(" ")[4] if before.count(" ") > 3 else ""  # noqa: PLR2004 - its fifth field
        for written, meant in _ESCAPED:
            place = place.replace(written, meant)
        if place and len(place) >= len(best) and f"{folder}/".startswith(f"{place.rstrip('/')}/"):
            best, kind = place, after.partition(" ")[0]  # of two at one place, the later one is on top
    return kind in _KNOWN


@cache
def _inotify() -> tuple[Callable[[int], int], Callable[[int, bytes, int], int]] | None:
    """Return inotify_init1 and inotify_add_watch; None on a system that has none."""
    library = ctypes.CDLL(None)
    try:
        return library.inotify_init1, library.inotify_add_watch
    except AttributeError:
        return None

"""Which processes belong to a session, and which of them are younger than a moment."""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if sys.platform != "linux":
    import psutil

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

TOKEN_VARIABLE = "RUNBOOK_CHECKS_SESSION"  # noqa: S105  (the name of a variable)


_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_LINE_BYTES = 4096  # of the kernel's; to ask for much more maps and unmaps memory each time
_ENVIRONMENT_BYTES = 1024 * 1024
_IN_MEMORY = "/dev/shm"  # noqa: S108 - for folders of our own, that others cannot read
_ROOM_BYTES, _ROOM_FILES = 1024 * 1024, 64  # many times what a session needs: others take some meanwhile


@dataclass(frozen=True, slots=True, order=True)
class Moment:
    """A point in the order in which processes are born: the kernel's clock, then the process id within one tick."""

    time: float
    pid: int


@dataclass(frozen=True, slots=True)
class Process:
    """A running process; ``session`` is its POSIX session id."""

    pid: int
    parent: int
    session: int
    born: Moment


class Clock:
    """Tells moments; on Linux it keeps a file of the kernel's open, as it is asked before every block."""

    def __init__(self) -> None:
        """Open the file."""
        if sys.platform == "linux":
            self._fd = os.open("/proc/loadavg", os.O_RDONLY)

    def now(self) -> Moment:
        """Return the present moment; a process born later compares greater.

        Start times tick every 10 ms on Linux, too coarse to tell a job of the last block from one of the next. Ids
        are given out in rising order: within a tick the last one given out decides (``/proc/loadavg``; proc(5)).
        """
        if sys.platform == "linux":
            ticks = time.clock_gettime_ns(time.CLOCK_BOOTTIME) * _TICKS_PER_S // 1_000_000_000
            return Moment(ticks, int(os.pread(self._fd, _LINE_BYTES, 0).rsplit(b" ", 1)[1]))
        return Moment(time.time(), 0)  # untested: start times are in microseconds there

    def close(self) -> None:
        """Close the file."""
        if sys.platform == "linux":
            os.close(self._fd)


def members(session: int) -> tuple[int, ...]:
    """Return the living processes of a POSIX session."""
    near = (pid for pid in _pids() if _session_of(pid) == session)
    return tuple(process.pid for process in _living(near) if process.session == session)


def belonging(session: int, token: str) -> tuple[Process, ...]:
    """Return the living processes of a session: its members, all their descendants, and those that carry its token."""
    found = tuple(_living(_pids()))
    children: dict[int, list[Process]] = {}
    for process in found:
        children.setdefault(process.parent, []).append(process)
    needle = f"{TOKEN_VARIABLE}={token}".encode()
    queue = [p for p in found if p.session == session or needle in _environment(p.pid)]
    ours: dict[int, Process] = {}
    while queue:
        process = queue.pop()
        if process.pid not in ours:
            ours[process.pid] = process
            queue += children.get(process.pid, ())
    return tuple(ours.values())


def started_since(moment: Moment, ours: Iterable[Process], shells: Collection[int]) -> tuple[Process, ...]:
    """Return those that were started after the moment by one of the shells, or whose starter is gone: daemons.

    What an older process of ours starts meanwhile, such as the workers of a background server, is not among them.
    """
    by_pid = {process.pid: process for process in ours}

    def is_new(process: Process) -> bool:
        while process.born > moment:
            parent = by_pid.get(process.parent)
            if parent is None or parent.pid in shells:
                return True
            process = parent
        return False

    return tuple(process for process in by_pid.values() if process.pid not in shells and is_new(process))


def folder_base() -> str:
    """Return where the temporary folders of sessions lie: in memory, unless somebody has said where with ``TMPDIR``.

    Their FIFOs hold nothing, but on a disk each is an inode, made and freed again for every procedure. The memory of a
    container is often small, and others fill it: without room there, they lie on the disk.
    """
    *in_memory, on_disk = folder_bases()
    return next((base for base in in_memory if _has_room(base)), on_disk)


def folder_bases() -> tuple[str, ...]:
    """Return all places of which folder_base() may be one."""
    if "TMPDIR" not in os.environ and os.access(_IN_MEMORY, os.W_OK | os.X_OK):
        return _IN_MEMORY, tempfile.gettempdir()
    return (tempfile.gettempdir(),)


def _has_room(folder: str) -> bool:
    disk = os.statvfs(folder)
    size_bytes = disk.f_bavail * disk.f_frsize if disk.f_blocks else _ROOM_BYTES  # 0 where there is no bound
    files = disk.f_favail if disk.f_files else _ROOM_FILES
    return size_bytes >= _ROOM_BYTES and files >= _ROOM_FILES


def folder_prefix(marker: str) -> str:
    """Return how the names of the temporary folders of a run's sessions begin, so that a killed run's can be found."""
    return f"runbook-{hashlib.sha256(marker.encode()).hexdigest()[:12]}-"


class Death:
    """A file object that becomes readable when the process ends: a pidfd on Linux, a kqueue elsewhere (untested)."""

    def __init__(self, pid: int) -> None:
        """Watch the process; raise ProcessLookupError when it is gone already."""
        if sys.platform == "linux":
            self._fd = os.pidfd_open(pid)
        else:
            self._queue = select.kqueue()
            event = select.kevent(pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD, select.KQ_NOTE_EXIT)
            self._queue.control([event], 0)
            self._fd = self._queue.fileno()

    def fileno(self) -> int:
        """Return what a selector watches."""
        return self._fd

    def close(self) -> None:
        """Stop watching."""
        if sys.platform == "linux":
            os.close(self._fd)
        else:
            self._queue.close()

    def __enter__(self) -> Self:
        """Return the watch itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop watching."""
        self.close()


def send(pids: Iterable[int], number: int) -> None:
    """Send a signal to processes that may be gone, or that this user may not touch (daemons started through sudo)."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _pids() -> Iterable[int]:
    if sys.platform == "linux":
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208  (hundreds of names)
    else:
        pids = psutil.pids()
    return pids


def _session_of(pid: int) -> int:
    """Return the POSIX session of a process, or 0 when it is gone; many times as fast as to read all about it."""
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return 0


def _living(pids: Iterable[int]) -> Iterator[Process]:
    """Yield those that are still there and have not ended."""
    for pid in pids:
        if sys.platform == "linux":
            with contextlib.suppress(OSError):  # gone meanwhile
                # pid (comm) state ppid pgrp session … starttime: fields 1-6 and 22 of proc_pid_stat(5)
                fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
                if fields[0] not in {b"Z", b"X"}:
                    yield Process(pid, int(fields[1]), int(fields[3]), Moment(int(fields[19]), pid))
        else:
            with contextlib.suppress(psutil.Error, OSError):
                each = psutil.Process(pid)
                if each.status() != psutil.STATUS_ZOMBIE:
                    yield Process(pid, each.ppid(), os.getsid(pid), Moment(each.create_time(), pid))


def _read(path: str, most_bytes: int = _LINE_BYTES) -> bytes:
    """Return what the kernel says there: in one piece, and three times as fast as a Path, as this is asked often."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.read(fd, most_bytes)
    finally:
        os.close(fd)


def _environment(pid: int) -> bytes:
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # gone, or another user's
            return _read(f"/proc/{pid}/environ", _ENVIRONMENT_BYTES)
    else:
        with contextlib.suppress(psutil.Error):
            return "\0".join(f"{name}={value}" for name, value in psutil.Process(pid).environ().items()).encode()
    return b""

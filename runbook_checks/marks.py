"""Processes of a run carry its mark in their environment, so that all of them can be found and ended."""

from __future__ import annotations

import contextlib
import os
import time

import psutil

VARIABLE = "RUNBOOK_CHECKS_RUN"
_GRACE_S = 1.0


def marked(mark: str) -> list[psutil.Process]:
    """Return the living processes that carry a mark, and all their descendants, this process excepted.

    Descendants count because some servers overwrite their environment with a title for ``ps``.
    """
    living: list[psutil.Process] = []
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter(["ppid", "status"]):
        if process.pid == os.getpid() or process.info["status"] == psutil.STATUS_ZOMBIE:
            continue
        living.append(process)
        with contextlib.suppress(psutil.Error):  # gone, or not ours to look into
            if process.environ().get(VARIABLE) == mark:
                found[process.pid] = process
    grown = True
    while grown and found:
        children = [one for one in living if one.info["ppid"] in found and one.pid not in found]
        found.update((child.pid, child) for child in children)
        grown = bool(children)
    return list(found.values())


def end_marked(mark: str, *, within_s: float = 4.0) -> None:
    """End every process that carries a mark, children that they start meanwhile included.

    Asks first (TERM) and insists after a second (KILL). Raises TimeoutError when some outlive ``within_s``.
    """
    deadline = time.monotonic() + within_s
    asked: set[int] = set()
    while processes := marked(mark):
        if time.monotonic() > deadline:
            pids = ", ".join(str(process.pid) for process in processes)
            raise TimeoutError(f"processes {pids} are still alive after {within_s:g} s")
        for process in processes:
            with contextlib.suppress(psutil.Error):  # gone, or not ours to end: then it is still alive at the deadline
                if process.pid in asked:
                    process.kill()
                else:
                    process.terminate()
        asked |= {process.pid for process in processes}
        psutil.wait_procs(processes, timeout=_GRACE_S)

"""Processes of a run carry its mark in their environment, so that all of them can be found and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import psutil

VARIABLE = "RUNBOOK_CHECKS_RUN"
_GRACE_S = 1.0
_POLL_S = 0.02  # waiting for each process would take a zombie, which its parent has yet to bury, for alive


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

    Asks them to (TERM), and after a second insists (KILL): asked again, a session's shell would fork again and again.
    Raises TimeoutError when some outlive ``within_s``.
    """
    begun = time.monotonic()
    _send(marked(mark), signal.SIGTERM)
    # looked at twice: a process may have forked and gone between the list of all and the look at it
    while processes := marked(mark) or marked(mark):
        elapsed_s = time.monotonic() - begun
        if elapsed_s > within_s:
            pids = ", ".join(str(process.pid) for process in processes)
            raise TimeoutError(f"processes {pids} are still alive after {within_s:g} s")
        if elapsed_s > _GRACE_S:
            _send(processes, signal.SIGKILL)
        time.sleep(_POLL_S)


def _send(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):  # gone, or not ours to end: then it is still alive at the deadline
            process.send_signal(number)

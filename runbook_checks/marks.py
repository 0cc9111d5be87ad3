"""Processes of a run carry its mark in their environment, so that all of them can be found and ended."""

from __future__ import annotations

import os
import time

import psutil

VARIABLE = "RUNBOOK_CHECKS_RUN"
_GRACE_S = 1.0


def marked(mark: str) -> list[psutil.Process]:
    """Return the living processes that carry a mark, this one excepted."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(VARIABLE) == mark:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # gone, or not ours: what we started runs as us, or as one whom we may look into
    return found


def end_marked(mark: str, *, within_s: float = 5.0) -> int:
    """End every process that carries a mark, children that they start meanwhile included; return how many there were.

    Asks first (TERM) and insists after a second (KILL). Raises TimeoutError when some outlive ``within_s``.
    """
    deadline = time.monotonic() + within_s
    ended: set[int] = set()
    while processes := [process for process in marked(mark) if process.status() != psutil.STATUS_ZOMBIE]:
        if time.monotonic() > deadline:
            names = ", ".join(f"{process.name()} ({process.pid})" for process in processes)
            raise TimeoutError(f"still alive after {within_s:g} s: {names}")
        for process in processes:
            first_time = process.pid not in ended
            ended.add(process.pid)
            try:
                process.terminate() if first_time else process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(processes, timeout=_GRACE_S)
    return len(ended)

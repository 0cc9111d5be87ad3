"""What nobody can go below on this machine: starting a process, and asking another process and getting its answer."""

from __future__ import annotations

import os
import statistics
import subprocess
from typing import TYPE_CHECKING

from blocks import TRUE
from measuring import FailedError, seconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_FORKS = 200
_ROUND_TRIPS = 2000
_MICRO = 1e6
_ANSWER = "exec <in >out; while read -r _; do echo; done"


def fork_and_exec() -> float:
    """Return the median time of a process that does nothing, in microseconds."""
    return _median_us(lambda: subprocess.run([TRUE], check=True), _FORKS)


def round_trip(folder: Path) -> float:
    """Return the median time from a line to a bash that waits for one until its answer is here, in microseconds."""
    for name in ("in", "out"):
        os.mkfifo(folder / name)
    with (
        subprocess.Popen(["bash", "-c", _ANSWER], cwd=folder) as bash,
        (folder / "in").open("wb", buffering=0) as asked,
        (folder / "out").open("rb", buffering=0) as answer,
    ):

        def ask() -> None:
            asked.write(b"\n")
            if answer.read(16) != b"\n":
                raise FailedError("bash gave no answer")

        middle = _median_us(ask, _ROUND_TRIPS)
        asked.close()
        bash.wait(10)
    return middle


def _median_us(act: Callable[[], object], times: int) -> float:
    return statistics.median(seconds(act) for _ in range(times)) * _MICRO

"""Run programs in turns, and say what each took."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

SLOW_S = 8.0  # what takes longer is not asked again
_KIB = 1024
_TAIL_CHARS = 2000


class FailedError(Exception):
    """A program did not end as it must: the bench would compare something else."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What one program took; ``peak_mb`` is that of its largest process."""

    wall_s: float
    peak_mb: float
    code: int
    said: str

    def good(self) -> Ran:
        """Return itself; raises FailedError with what was said when the exit status is not 0."""
        if self.code:
            raise FailedError(f"exit status {self.code}: …{self.said[-_TAIL_CHARS:]}")
        return self


def run(command: Sequence[str | Path], folder: Path, environ: Mapping[str, str] | None = None) -> Ran:
    """Run a program to its end."""
    with tempfile.TemporaryFile() as said:
        begun_s = time.perf_counter()
        with subprocess.Popen(
            command, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT
        ) as process:
            _, status, usage = os.wait4(process.pid, 0)
            wall_s = time.perf_counter() - begun_s
            process.returncode = os.waitstatus_to_exitcode(status)
        return Ran(wall_s, usage.ru_maxrss / _KIB, process.returncode, _tail(said))


def _tail(said: IO[bytes]) -> str:
    size = said.seek(0, os.SEEK_END)
    said.seek(max(0, size - 4 * _TAIL_CHARS))
    return said.read().decode(errors="replace")


def seconds(act: Callable[[], object]) -> float:
    """Return how long an act takes."""
    begun_s = time.perf_counter()
    act()
    return time.perf_counter() - begun_s


def in_turns(
    contestants: Mapping[str, Callable[[], float]],
    rounds: int,
    say: Callable[[str], object],
    slow_s: float = SLOW_S,
) -> dict[str, list[float]]:
    """Let each measure itself once per round, so that all see the same weather; the slow ones only in the first."""
    taken: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds):
        for name, measure in contestants.items():
            if number == 0 or statistics.median(taken[name]) < slow_s:
                say(f"round {number + 1}: {name}")
                taken[name].append(measure())
    return dict(taken)


def medians(taken: Mapping[str, list[float]]) -> dict[str, float]:
    """Return the median of each."""
    return {name: statistics.median(each) for name, each in taken.items()}

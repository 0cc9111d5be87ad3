"""What a second worker gains: for procedures that compute, and for procedures that wait."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
from typing import TYPE_CHECKING

from measuring import in_turns, run, seconds
from peers import CONFIG, commit
from tables import Goal, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

COMPUTING, WAITING = "computing", "waiting"
_PER_PAGE_S = 0.5
_PROBE_LOOPS = 200_000
_BOUNDS = {COMPUTING: 1.8, WAITING: 1.8}
_HEAD = "---\ntitle: Service {0}\nrunbook: {{}}\n---\n\n# Service {0}\n\n## Restart {{ #restart }}\n\n"
_COMPUTE = """\
```bash {{.step}}
for ((i = 0; i < {0}; i++)); do :; done
```
```bash {{.check}}
echo "$i"
```
```text {{.expect}}
{0}
```
"""
_WAIT = """\
```bash {{.step}}
due=$(($(date +%s%N) / 1000000 + {0}))
```
```bash {{.check within=30s every=50ms}}
test "$(($(date +%s%N) / 1000000))" -ge "$due"
```
"""


def _loops() -> int:
    """Return how many turns of an empty loop take bash as long as a procedure shall compute."""
    probe = ["bash", "-c", f"for ((i = 0; i < {_PROBE_LOOPS}; i++)); do :; done"]
    taken_s = statistics.median(seconds(lambda: subprocess.run(probe, check=True)) for _ in range(5))
    return round(_PROBE_LOOPS * _PER_PAGE_S / taken_s)


def measure(pages: int, rounds: int, folder: Path, say: Callable[[str], object]) -> dict[str, list[float]]:
    """Return how many seconds whole runs took, by what they do and the number of workers."""
    texts = {COMPUTING: _COMPUTE.format(_loops()), WAITING: _WAIT.format(round(_PER_PAGE_S * 1000))}
    acts = {}
    for name, text in texts.items():
        root = folder / name
        (root / "docs").mkdir(parents=True)
        (root / "runbook-checks.yml").write_text(CONFIG)
        (root / ".gitignore").write_text("/.runbook-checks/\n")
        for number in range(pages):
            (root / f"docs/page_{number:04d}.md").write_text(_HEAD.format(number) + text)
        commit(root)
        for workers in (1, 2):
            acts[f"{name}, {workers}"] = _timed(root, workers)
    return in_turns(acts, rounds, say)


def _timed(root: Path, workers: int) -> Callable[[], float]:
    command = (sys.executable, "-m", "runbook_checks", "verify", "--workers", str(workers))

    def timed() -> float:
        shutil.rmtree(root / ".runbook-checks", ignore_errors=True)
        return run(command, root).good().wall_s

    return timed


def table(taken: Mapping[str, Sequence[float]], pages: int) -> Table:
    """Return what was measured."""
    rows = tuple((name, *_walls(taken, name), f"{gain(taken, name):.2f}") for name in (COMPUTING, WAITING))
    note = f"{pages} procedures that each compute, or wait, for {_PER_PAGE_S:g} s, on {os.cpu_count()} processors."
    columns = ("procedures", "1 worker", "2 workers", "times faster")
    return Table("Two workers", columns, rows, anchor="workers", note=note)


def _walls(taken: Mapping[str, Sequence[float]], name: str) -> tuple[str, ...]:
    return tuple(f"{statistics.median(taken[f'{name}, {workers}']):.2f} s" for workers in (1, 2))


def gain(taken: Mapping[str, Sequence[float]], name: str) -> float:
    """Return how many times faster two workers are."""
    return statistics.median(taken[f"{name}, 1"]) / statistics.median(taken[f"{name}, 2"])


def goals(taken: Mapping[str, Sequence[float]]) -> Iterator[Goal]:
    """Yield what must hold."""
    for name, bound in _BOUNDS.items():
        yield Goal(f"two workers, procedures that are {name}", gain(taken, name), bound, "times", at_least=True)

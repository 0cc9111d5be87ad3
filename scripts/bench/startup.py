"""How long the commands take that somebody waits for: the version, the list, and pytest's collection."""

from __future__ import annotations

import os
import shutil
import statistics
import sys
from typing import TYPE_CHECKING

from blocks import ALONE, PER_PROCEDURE, corpus
from measuring import run
from peers import OURS
from tables import Goal, Table
from trusting import lay

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_OURS = (sys.executable, "-m", "runbook_checks")
_COLD = 3
VERSION, COLD, WARM, COLLECTION = "`--version`", "`list`, cold", "`list`, nothing changed", "pytest collection"
_BOUNDS_MS = {VERSION: 100, COLD: 1000, WARM: 200, COLLECTION: 2000}


def measure(pages: int, rounds: int, folder: Path) -> dict[str, list[float]]:
    """Return what each command took, in milliseconds, with so many pages of ten blocks.

    Cold is without anything that a run before has kept: our folder, and a cache folder that is empty. What the system
    keeps in memory of files is not thrown away, and Python's compiled modules are there.
    """
    lay(OURS, corpus(ALONE["mixed"], pages), folder)
    kept, cache = folder / ".runbook-checks", folder.with_name(f"{folder.name}-cache")
    environ = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    run((*_OURS, "list"), folder, environ).good()
    taken: dict[str, list[float]] = {VERSION: [], COLD: [], WARM: [], COLLECTION: []}
    for number in range(rounds):
        taken[VERSION] += [_ms((*_OURS, "--version"), folder, environ) for _ in range(3)]
        if number < _COLD:
            for path in (kept, cache):
                shutil.rmtree(path, ignore_errors=True)
            taken[COLD].append(_ms((*_OURS, "list"), folder, environ))
        taken[WARM].append(_ms((*_OURS, "list"), folder, environ))
        collect = (sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "docs")
        taken[COLLECTION].append(_ms(collect, folder, environ))
    return taken


def _ms(command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> float:
    return run(command, folder, environ).good().wall_s * 1000


def table(taken: Mapping[str, Sequence[float]], pages: int) -> Table:
    """Return what was measured."""
    rows = tuple(
        (name, str(len(each)), f"{statistics.median(each):.0f} ms", f"{max(each):.0f} ms")
        for name, each in taken.items()
    )
    note = f"{pages} pages with {pages * PER_PROCEDURE} blocks."
    return Table("Start-up and lists", ("command", "runs", "median", "worst"), rows, anchor="startup", note=note)


def goals(taken: Mapping[str, Sequence[float]]) -> Iterator[Goal]:
    """Yield what must hold for a thousand pages."""
    for name, bound_ms in _BOUNDS_MS.items():
        yield Goal(name, statistics.median(taken[name]), bound_ms, "ms")

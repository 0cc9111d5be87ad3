"""What a block costs, against the same commands in plain bash: in the session alone, and all in with ``verify``."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blocks import ALONE, PER_PROCEDURE, TRUE, bash, concatenated, corpus, script
from measuring import FailedError, in_turns, medians, run, seconds
from peers import OURS
from tables import Goal, Table, rounded
from trusting import lay

from runbook_checks.shell import How, Session, find_bash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from blocks import Corpus, Procedure
    from measuring import Ran

WAYS = ("one script", "scripts", "one session", "sessions", "verify")
_FORKS = 200
_MICRO = 1e6


@dataclass(frozen=True, slots=True)
class Costs:
    """Microseconds of one block more: the slope from the small to the large corpus, by way; and the peaks of memory."""

    kind: str
    us: dict[str, float]
    peaks_mb: tuple[float, float]

    def over(self, way: str, plain: str) -> float:
        """Return what a way costs beyond plain bash."""
        return self.us[way] - self.us[plain]


def fork_and_exec() -> float:
    """Return the median time of a process that does nothing, in microseconds."""
    return statistics.median(seconds(lambda: subprocess.run([TRUE], check=True)) for _ in range(_FORKS)) * _MICRO


def measure(kind: str, sizes: tuple[int, int], rounds: int, folder: Path, say: Callable[[str], object]) -> Costs:
    """Return what a block of a kind costs each way."""
    peaks: dict[int, list[float]] = {size: [] for size in sizes}
    contestants = {
        f"{kind}, {way}, {size}": act
        for size in sizes
        for way, act in _acts(corpus(ALONE[kind], size), folder / f"{kind}-{size}", peaks[size])
    }
    middle = medians(in_turns(contestants, rounds, say))
    small, large = sizes
    more = (large - small) * PER_PROCEDURE
    us = {way: (middle[f"{kind}, {way}, {large}"] - middle[f"{kind}, {way}, {small}"]) / more * _MICRO for way in WAYS}
    return Costs(kind, us, (max(peaks[small]), max(peaks[large])))


def _acts(made: Corpus, folder: Path, peaks: list[float]) -> Iterator[tuple[str, Callable[[], float]]]:
    lay(OURS, made, folder)
    plain = folder.with_name(f"{folder.name}-plain")  # beside the checkout, which must stay clean
    plain.mkdir()
    (plain / "all.sh").write_text(concatenated(made))
    scripts = [plain / f"{number}.sh" for number in range(len(made))]
    for path, procedure in zip(scripts, made, strict=True):
        path.write_text(script(procedure))
    joined = tuple(block for procedure in made for block in procedure)
    yield "one script", lambda: seconds(lambda: _plainly([plain / "all.sh"]))
    yield "scripts", lambda: seconds(lambda: _plainly(scripts))
    yield "one session", lambda: seconds(lambda: in_sessions([joined], folder))
    yield "sessions", lambda: seconds(lambda: in_sessions(made, folder))
    yield "verify", lambda: _verified(folder, len(made), peaks)


def _plainly(scripts: Iterable[Path]) -> None:
    for path in scripts:
        subprocess.run(["bash", path], stdout=subprocess.DEVNULL, check=True)


def in_sessions(made: Iterable[Procedure], folder: Path) -> None:
    """Run each procedure in a session of its own; raises FailedError for a block that does not do what it must."""
    program = find_bash(os.environ)
    for procedure in made:
        with Session(folder, os.environ, program) as session:
            for block in procedure:
                ended = session.run(bash(block), timeout_s=30)
                if ended.how is not How.END or ended.status or ended.stdout.decode() != block.output:
                    raise FailedError(f"{bash(block)}: {ended}")


def verify(folder: Path, procedures: int) -> Ran:
    """Return what a whole run takes, without what runs before have left; FailedError without all of its evidence."""
    shutil.rmtree(folder / ".runbook-checks", ignore_errors=True)
    ran = run(OURS.command(folder, folder), folder).good()
    kept = sum(1 for path in (folder / ".runbook-checks/evidence").rglob("*.jsonl") for _ in path.open())
    if kept != procedures:
        raise FailedError(f"{kept} records of {procedures} procedures")
    return ran


def _verified(folder: Path, procedures: int, peaks_mb: list[float]) -> float:
    ran = verify(folder, procedures)
    peaks_mb.append(ran.peak_mb)
    return ran.wall_s


def very_large(procedures: int, folder: Path) -> Ran:
    """Return what one whole run of so many procedures takes."""
    lay(OURS, corpus(ALONE["mixed"], procedures), folder)
    return verify(folder, procedures)


def tables(costs: Iterable[Costs], fork_us: float, sizes: tuple[int, int]) -> Iterator[Table]:
    """Yield what was measured."""
    small, large_ = sizes
    yield Table(
        "Against the limit",
        (
            "µs for one block more",
            "one script",
            "a script per procedure",
            "one session",
            "a session per procedure",
            "`verify`",
        ),
        tuple((each.kind, *(rounded(each.us[way]) for way in WAYS)) for each in costs),
        anchor="limit",
        note=f"The slope from {small}x{PER_PROCEDURE} to {large_}x{PER_PROCEDURE} blocks. "
        f"A fork and exec in the same run: {rounded(fork_us)} µs.",
    )
    yield Table(
        "Beyond plain bash",
        (
            "µs for one block more",
            "the session, a block",
            "the session, opened per procedure",
            "`verify`",
            "peak memory",
        ),
        tuple(
            (
                each.kind,
                rounded(each.over("one session", "one script")),
                rounded(each.over("sessions", "scripts")),
                rounded(each.over("verify", "scripts")),
                f"{rounded(each.peaks_mb[0])} → {rounded(each.peaks_mb[1])} MB",
            )
            for each in costs
        ),
        anchor="beyond",
    )


def goals(mixed: Costs, fork_us: float) -> Iterator[Goal]:
    """Yield what must hold for mixed blocks."""
    fork_bound = round(max(150.0, 0.2 * fork_us))
    yield Goal("session, a block more, over plain bash", mixed.over("one session", "one script"), fork_bound, "µs")
    yield Goal("the same with a session opened per procedure", mixed.over("sessions", "scripts"), fork_bound, "µs")
    yield Goal("`verify`, a block more, over plain bash", mixed.over("verify", "scripts"), 250, "µs")
    yield Goal("peak memory of `verify`", max(mixed.peaks_mb), 120, "MB")
    yield Goal("peak memory, large over small", mixed.peaks_mb[1] / mixed.peaks_mb[0], 1.1, "times")

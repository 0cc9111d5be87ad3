"""What a block costs, against the same commands in plain bash: in the session alone, and all in with ``verify``."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blocks import ALONE, PER_PROCEDURE, bash, concatenated, corpus, script
from measuring import FailedError, in_turns, medians, run, seconds
from peers import OURS
from tables import Goal, Table, rounded
from trusting import lay

from runbook_checks.shell import How, Session, find_bash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from blocks import Corpus, Procedure
    from measuring import Ran

_TITLES = {
    "one script": "one script",
    "scripts": "a script per procedure",
    "one session": "a session",
    "sessions": "a session per procedure",
    "verify": "`verify`",
    "long": "`verify`, longer procedures",
}
_LONG = 10 * PER_PROCEDURE
_MICRO = 1e6


@dataclass(frozen=True, slots=True)
class Floor:
    """What nobody can go below, in microseconds."""

    fork_us: float
    round_trip_us: float


@dataclass(frozen=True, slots=True)
class Costs:
    """Microseconds of one block more: the slope from the small to the large corpus, by way; and the peaks of memory.

    By the way "long" the large corpus has as many procedures as the small one, each with ten times the blocks.
    """

    kind: str
    us: dict[str, float]
    peaks_mb: tuple[float, float]

    def over(self, way: str, plain: str) -> float:
        """Return what a way costs beyond plain bash."""
        return self.us[way] - self.us[plain]


def measure(kind: str, sizes: tuple[int, int], rounds: int, folder: Path, say: Callable[[str], object]) -> Costs:
    """Return what a block of a kind costs each way."""
    peaks: dict[int, list[float]] = {size: [] for size in sizes}
    contestants = {
        f"{kind}, {way}, {size}": act
        for size in sizes
        for way, act in _acts(corpus(ALONE[kind], size), folder / f"{kind}-{size}", peaks[size])
    }
    small, large = sizes
    contestants[f"{kind}, long, {large}"] = _longer(corpus(ALONE[kind], small, _LONG), folder / f"{kind}-long")
    middle = medians(in_turns(contestants, rounds, say, slow_s=math.inf))
    middle[f"{kind}, long, {small}"] = middle[f"{kind}, verify, {small}"]
    more = dict.fromkeys(_TITLES, (large - small) * PER_PROCEDURE) | {"long": small * (_LONG - PER_PROCEDURE)}
    us = {
        way: (middle[f"{kind}, {way}, {large}"] - middle[f"{kind}, {way}, {small}"]) / more[way] * _MICRO
        for way in _TITLES
    }
    return Costs(kind, us, (max(peaks[small]), max(peaks[large])))


def _longer(made: Corpus, folder: Path) -> Callable[[], float]:
    lay(OURS, made, folder)
    return lambda: verify(folder, len(made)).wall_s


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


def very_large_told(ran: Ran, procedures: int, mixed: Costs) -> tuple[Table, tuple[Goal, Goal]]:
    """Return what was measured of it, and that it must be as good as the smaller corpora."""
    blocks = procedures * PER_PROCEDURE
    us = ran.wall_s / blocks * _MICRO
    row = (str(blocks), f"{ran.wall_s:.1f} s", rounded(us), f"{ran.peak_mb:.0f} MB")
    return Table("Very large", ("blocks", "wall", "µs a block", "peak memory"), (row,), anchor="large"), (
        Goal(f"{blocks} blocks in one run, a block over the slope", us / mixed.us["verify"], 1.2, "times"),
        Goal(f"{blocks} blocks in one run, peak memory", ran.peak_mb, 120, "MB"),
    )


def tables(costs: Sequence[Costs], floor: Floor, sizes: tuple[int, int]) -> Iterator[Table]:
    """Yield what was measured."""
    small, large = sizes
    yield Table(
        "Against plain bash",
        ("µs for one block more", *_TITLES.values()),
        tuple((each.kind, *(rounded(each.us[way]) for way in _TITLES)) for each in costs),
        anchor="limit",
        note=f"The slope from {small}x{PER_PROCEDURE} to {large}x{PER_PROCEDURE} blocks: all that a block costs.",
    )
    yield Table(
        "Beyond plain bash",
        ("µs for one block more", *list(_TITLES.values())[2:], "peak memory of `verify`"),
        tuple(
            (
                each.kind,
                rounded(each.over("one session", "one script")),
                rounded(each.over("sessions", "scripts")),
                rounded(each.over("verify", "scripts")),
                rounded(each.over("long", "one script")),
                f"{rounded(each.peaks_mb[0])} → {rounded(each.peaks_mb[1])} MB",
            )
            for each in costs
        ),
        anchor="beyond",
        note="A session and longer procedures are over the one plain script, the others over a script per procedure.",
    )
    yield _shares(costs[-1])
    yield Table(
        "The floor",
        ("what", "µs"),
        (
            ("a fork and exec of `true`", rounded(floor.fork_us)),
            ("a line to a waiting bash, and its answer", rounded(floor.round_trip_us)),
        ),
        anchor="floor",
    )


def _shares(each: Costs) -> Table:
    """Return what the time of a block in ``verify`` is made of; the parts add up to the whole."""
    start = each.over("scripts", "one script")
    parts = {
        "the commands, in plain bash": each.us["one script"],
        "a bash started for each procedure": start,
        "the session: order, report, output": each.over("one session", "one script"),
        "a session opened and closed, beyond starting bash": each.over("sessions", "one session") - start,
        "pytest, syntax check, git, digest, redaction, leak scan, record": each.over("verify", "sessions"),
    }
    whole = each.us["verify"]
    rows = [(name, rounded(us), f"{us / whole:.0%}") for name, us in parts.items()]
    return Table(
        "What the time goes into",
        (f"a {each.kind} block in `verify`", "µs", "share"),
        (*rows, ("all in", rounded(whole), "100%")),
        anchor="shares",
        note=f"What a procedure costs once is spread over its {PER_PROCEDURE} blocks.",
    )


def goals(mixed: Costs, floor: Floor) -> Iterator[Goal]:
    """Yield what must hold for mixed blocks."""
    fork_bound = round(max(150.0, 0.2 * floor.fork_us))
    yield Goal("session, a block more", mixed.over("one session", "one script"), fork_bound, "µs")
    yield Goal("the same, with its share of a session opened", mixed.over("sessions", "scripts"), fork_bound, "µs")
    yield Goal("`verify`, a block more in a procedure", mixed.over("long", "one script"), 250, "µs")
    yield Goal("the same, with its share of a procedure of ten", mixed.over("verify", "scripts"), 250, "µs")
    yield Goal("peak memory of `verify`", max(mixed.peaks_mb), 120, "MB")
    yield Goal("peak memory, large over small", mixed.peaks_mb[1] / mixed.peaks_mb[0], 1.1, "times")

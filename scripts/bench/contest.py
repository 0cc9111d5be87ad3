"""The same mixed blocks by every tool that can be had here, in turns: what each costs over one plain bash script."""

from __future__ import annotations

import math
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from blocks import ALONE, PER_PROCEDURE, concatenated, corpus
from installing import NotToBeHadError, install, version
from limit import verify
from measuring import FailedError, in_turns, run
from peers import MISSING, OURS, PEERS
from tables import Goal, Table, rounded
from trusting import Seen, lay, look

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from peers import Peer

_PLAIN = "one bash script"
_MILLI = 1e3


@dataclass(frozen=True, slots=True)
class Contestant:
    """A tool that is there and does what it must."""

    peer: Peer
    home: Path
    version: str
    seen: Seen


@dataclass(frozen=True, slots=True)
class Result:
    """What a tool took: in seconds for the large corpus, and in milliseconds per block over the plain script."""

    contestant: Contestant
    runs: int
    wall_s: float
    whole_ms: float  # with its start-up
    more_ms: float  # the slope from the small corpus to the large one


def gather(cache: Path, only: Sequence[str], say: Callable[[str], object]) -> tuple[list[Contestant], dict[str, str]]:
    """Install and look; return who takes part, and why the others do not. Raises FailedError when ours may not."""
    cache.mkdir(parents=True, exist_ok=True)
    found, out = [], dict(MISSING)
    for peer in (OURS, *PEERS):
        if only and peer is not OURS and peer.name not in only:
            continue
        say(f"looking at {peer.name}")
        try:
            home = install(peer, cache) if peer.package else cache
        except NotToBeHadError as error:
            out[peer.name] = f"cannot be installed: {_line(error)}"
            continue
        seen = look(peer, home)
        if fault := seen.fault(peer):
            out[peer.name] = fault
        else:
            found.append(Contestant(peer, home, version(peer, home), seen))
    if OURS.name in out:
        raise FailedError(f"{OURS.name}: {out[OURS.name]}")
    return found, out


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def measure(
    contestants: Sequence[Contestant],
    out: dict[str, str],
    sizes: tuple[int, int],
    rounds: int,
    say: Callable[[str], object],
) -> list[Result]:
    """Return what each took, ours first, then the fastest first; one that fails on the way is put among those out."""
    with tempfile.TemporaryDirectory() as temporary:
        acts = {}
        for size in sizes:
            made = corpus(ALONE["mixed"], size)
            (Path(temporary) / f"{size}.sh").write_text(concatenated(made))
            acts[f"{_PLAIN}, {size}"] = _timed(["bash", f"{size}.sh"], Path(temporary))
            for one in contestants:
                folder = Path(temporary) / one.peer.name / str(size)
                lay(one.peer, made, folder)
                acts[f"{one.peer.name}, {size}"] = _by(one, folder, size, out)
        taken = in_turns(acts, rounds, say)
    wall = {name: statistics.median(each) for name, each in taken.items()}

    def result(one: Contestant) -> Result:
        name, large = one.peer.name, sizes[1]
        over = [wall[f"{name}, {size}"] - wall[f"{_PLAIN}, {size}"] for size in sizes]
        blocks = [size * PER_PROCEDURE for size in sizes]
        return Result(
            one,
            len(taken[f"{name}, {large}"]),
            wall[f"{name}, {large}"],
            over[1] / blocks[1] * _MILLI,
            (over[1] - over[0]) / (blocks[1] - blocks[0]) * _MILLI,
        )

    results = (result(one) for one in contestants if one.peer.name not in out)
    return sorted(results, key=lambda one: (one.contestant.peer is not OURS, one.whole_ms))


def _timed(command: Sequence[str | Path], folder: Path) -> Callable[[], float]:
    return lambda: run(command, folder).good().wall_s


def _by(one: Contestant, folder: Path, procedures: int, out: dict[str, str]) -> Callable[[], float]:
    if one.peer is OURS:
        return lambda: verify(folder, procedures).wall_s
    act = _timed(one.peer.command(one.home, folder), folder)

    def timed() -> float:
        try:
            return act()
        except FailedError as error:
            out[one.peer.name] = f"failed with {procedures} pages: {_line(error)}"
            return math.inf  # not asked again

    return timed


def tables(results: Sequence[Result], out: dict[str, str], sizes: tuple[int, int]) -> Iterator[Table]:
    """Yield what was measured, and who is not in it."""
    ours, small, large = results[0], *sizes
    yield Table(
        "Against other tools",
        (
            *("tool", "version", "on pytest", "notices a wrong output", "notices a failure", "runs"),
            *("wall", "ms a block", "times ours", "ms a block more", "times ours"),
        ),
        tuple(_row(one, ours) for one in results),
        anchor="tools",
        note=f"{large}x{PER_PROCEDURE} mixed blocks. 'ms a block' is over one plain bash script, start-up included; "
        f"'ms a block more' is the slope from {small}x{PER_PROCEDURE} on, without the start-up.",
    )
    if out:
        yield Table("Not measured", ("tool", "why"), tuple(out.items()), anchor="not-measured")


def _row(one: Result, ours: Result) -> tuple[str, ...]:
    who = one.contestant
    return (
        who.peer.name + (f" ({who.peer.note})" if who.peer.note else ""),
        who.version,
        "yes" if who.peer.on_pytest else "",
        "yes" if who.seen.sees_output else "no",
        "yes" if who.seen.sees_failure else "no",
        str(one.runs),
        f"{one.wall_s:.2f} s",
        rounded(one.whole_ms),
        rounded(one.whole_ms / ours.whole_ms),
        rounded(one.more_ms),
        rounded(one.more_ms / ours.more_ms),
    )


def goals(results: Sequence[Result]) -> Iterator[Goal]:
    """Yield what must hold against the fastest that compares, and the fastest on pytest."""
    ours, others = results[0], results[1:]
    rivals = {
        "the fastest that compares output": (3, [one for one in others if one.contestant.seen.sees_output]),
        "the fastest on pytest": (10, [one for one in others if one.contestant.peer.on_pytest]),
    }
    for name, (bound, found) in rivals.items():
        if found:
            whole = min(found, key=lambda one: one.whole_ms)
            more = min(found, key=lambda one: one.more_ms)
            whole_name, more_name = whole.contestant.peer.name, more.contestant.peer.name
            yield Goal(
                f"{name} ({whole_name}), over ours", whole.whole_ms / ours.whole_ms, bound, "times", at_least=True
            )
            ratio = more.more_ms / ours.more_ms
            yield Goal(f"{name} ({more_name}), over ours, without start-up", ratio, bound, "times", at_least=True)

"""Made-up blocks that every contestant of the speed bench runs, each in the form that the contestant reads."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from enum import Enum
from itertools import chain, cycle, islice
from shlex import quote
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TRUE = shutil.which("true") or "/bin/true"
PER_PROCEDURE = 10


class Kind(Enum):
    """What a block does."""

    BUILTIN = "builtin only"
    FORK = "one fork"
    EXPECTATION = "with expectation"
    FAILING = "failing"  # only to see whether a contestant notices


@dataclass(frozen=True, slots=True)
class Block:
    """One block: what it does, and the whole lines that it must print; with ``trace`` it says in a file that it ran."""

    kind: Kind
    number: int
    output: str = ""
    said: str = ""  # what it really prints
    trace: str = ""


Procedure = tuple[Block, ...]
Corpus = tuple[Procedure, ...]

ALONE: dict[str, tuple[Kind, ...]] = {
    **{kind.value: (kind,) for kind in (Kind.BUILTIN, Kind.FORK, Kind.EXPECTATION)},
    "mixed": (Kind.BUILTIN, Kind.FORK, Kind.EXPECTATION),
}


def corpus(kinds: tuple[Kind, ...], procedures: int, blocks: int = PER_PROCEDURE) -> Corpus:
    """Return so many procedures of so many blocks, of these kinds in turns."""
    return tuple(
        tuple(_block(kind, number, procedure) for number, kind in enumerate(islice(cycle(kinds), blocks), 1))
        for procedure in range(1, procedures + 1)
    )


def _block(kind: Kind, number: int, procedure: int) -> Block:
    said = f"block {number} of {procedure}\nready\n" if kind is Kind.EXPECTATION else ""
    return Block(kind, number, said, said)


def traced(made: Corpus, path: Path) -> Corpus:
    """Return the corpus with blocks that also write a line into a file."""
    return tuple(tuple(replace(block, trace=str(path)) for block in procedure) for procedure in made)


def misled(made: Corpus) -> Corpus:
    """Return the corpus with one wrong expectation: the last one."""
    last = max((p, b) for p, procedure in enumerate(made) for b, block in enumerate(procedure) if block.output)
    return _changed(made, last, replace(made[last[0]][last[1]], output="block 0 of 0\nready\n"))


def broken(made: Corpus) -> Corpus:
    """Return the corpus with one failing command: the first block of the last procedure."""
    at = (len(made) - 1, 0)
    return _changed(made, at, replace(made[-1][0], kind=Kind.FAILING, output="", said=""))


def _changed(made: Corpus, at: tuple[int, int], block: Block) -> Corpus:
    procedure, place = at
    blocks = made[procedure]
    return (*made[:procedure], (*blocks[:place], block, *blocks[place + 1 :]), *made[procedure + 1 :])


def bash(block: Block) -> str:
    """Return a block as one line of bash, which any other shell of POSIX reads too."""
    match block.kind:
        case Kind.BUILTIN:
            line = f'n={block.number}; [ "$n" -eq {block.number} ]'
        case Kind.FORK:
            line = TRUE
        case Kind.EXPECTATION:
            line = " ".join(["printf '%s\\n'", *map(quote, block.said.splitlines())])
        case Kind.FAILING:
            line = "false"
    return line + (f" && echo ran >>{quote(block.trace)}" if block.trace else "")


def python(block: Block) -> str:
    """Return a block as lines of Python that do the same, and hold what they print against what they must print."""
    match block.kind:
        case Kind.BUILTIN:
            lines = [f"n = {block.number}", f"assert n == {block.number}"]
        case Kind.FORK:
            lines = ["import subprocess", f"subprocess.run([{TRUE!r}], check=True)"]
        case Kind.EXPECTATION:
            lines = [f"said = {block.said!r}", "print(said, end='')", f"assert said == {block.output!r}"]
        case Kind.FAILING:
            lines = ["assert False"]
    if block.trace:
        lines += [f"with open({block.trace!r}, 'a') as file:", "    file.write('ran\\n')"]
    return "".join(f"{line}\n" for line in lines)


def script(blocks: Procedure) -> str:
    """Return blocks as one plain bash script."""
    return "".join(f"{bash(block)}\n" for block in blocks)


def concatenated(made: Corpus) -> str:
    """Return all procedures as one plain bash script."""
    return script(tuple(chain.from_iterable(made)))

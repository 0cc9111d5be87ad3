"""See that a contestant really runs all blocks, and notices what is wrong: one that does nothing would be fast."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from blocks import ALONE, broken, corpus, misled, traced
from measuring import run
from peers import OURS, commit

if TYPE_CHECKING:
    from blocks import Corpus
    from measuring import Ran
    from peers import Peer

SAMPLE = corpus(ALONE["mixed"], 2)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a peer made of a right, a misled and a broken corpus."""

    passes: bool
    ran: int  # blocks of the right one
    sees_output: bool
    sees_failure: bool
    said: str = ""

    def fault(self, peer: Peer) -> str:
        """Return why its times would mean nothing, or nothing."""
        total = sum(map(len, SAMPLE))
        if not self.passes:
            return f"fails on a right page: {self.said}"
        if self.ran != total:
            return f"ran {self.ran} blocks of {total}"
        if peer.compares and not self.sees_output:
            return "does not notice a wrong output"
        return ""


def look(peer: Peer, home: Path) -> Seen:
    """Return what a peer makes of small corpora."""
    with tempfile.TemporaryDirectory() as temporary:
        folder, trace = Path(temporary), Path(temporary, "trace")
        right = tried(peer, home, traced(SAMPLE, trace), folder / "right")
        ran = len(trace.read_text().splitlines()) if trace.exists() else 0
        return Seen(
            passes=right.code == 0,
            ran=ran,
            sees_output=tried(peer, home, misled(SAMPLE), folder / "misled").code != 0,
            sees_failure=tried(peer, home, broken(SAMPLE), folder / "broken").code != 0,
            said=right.said[-300:] if right.code else "",
        )


def tried(peer: Peer, home: Path, made: Corpus, folder: Path) -> Ran:
    """Run a peer on a corpus, in a new folder that is removed afterwards."""
    lay(peer, made, folder)
    ran = run(peer.command(home, folder), folder)
    shutil.rmtree(folder)
    return ran


def lay(peer: Peer, made: Corpus, folder: Path) -> None:
    """Write a corpus for a peer, and for ours commit it."""
    peer.lay(made, folder)
    if peer is OURS:
        commit(folder)

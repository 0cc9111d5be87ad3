"""Where the time of a whole verification goes: read from its evidence, and the start of its stack, measured.

Run with the project's Python, after ``scripts/verify``: ``python scripts/bench/reference.py``. With ``--stacks 5`` it
also brings the stack up and takes it down five times.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from measuring import seconds
from rich.console import Console
from tables import Table, between_marks

from runbook_checks.config import FILE_NAME, load_config
from runbook_checks.report import load_catalog
from runbook_checks.stack import stack_of
from runbook_checks.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runbook_checks.config import Config, Environment
    from runbook_checks.record import BlockRecord, Record

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/reference/performance.md"
SLOWEST = 10


@dataclass(frozen=True, slots=True)
class Slow:
    """A block and how long it took, with the procedure that it belongs to."""

    procedure: str
    block: BlockRecord

    def row(self) -> tuple[str, ...]:
        """Return it as the row of a table."""
        name = f"`{self.procedure}`, {self.block.role} `{self.block.id}`"
        return name, f"{self.block.duration_s:.1f} s", str(self.block.attempts)


def newest_whole(records: Iterable[Record]) -> tuple[Record, ...]:
    """Return the records of the run that has the most of them; of several such runs, of the newest."""
    runs: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        runs[record.run].append(record)
    largest = max(runs.values(), key=lambda one: (len(one), _ended(one)), default=None)
    return tuple(largest or ())


def _ended(records: Sequence[Record]) -> datetime:
    return max(datetime.fromisoformat(record.ended_at) for record in records)


def wall_s(records: Sequence[Record]) -> float:
    """Return the time from the beginning of the first procedure to the end of the last."""
    begun = min(datetime.fromisoformat(record.started_at) for record in records)
    return (_ended(records) - begun).total_seconds()


def slowest(records: Iterable[Record]) -> tuple[Slow, ...]:
    """Return the ten slowest blocks, the slowest first."""
    blocks = (Slow(record.procedure, block) for record in records for block in record.blocks)
    return tuple(sorted(blocks, key=lambda one: -one.block.duration_s)[:SLOWEST])


def read(config: Config, environment: Environment, evidence: Path) -> tuple[Record, ...]:
    """Return the records of the whole run, out of a folder of evidence."""
    store, procedures = Store(evidence), load_catalog(config).procedures
    return newest_whole(record for one in procedures for record in store.read(environment.name, one.id))


def stack_starts(config: Config, environment: Environment, times: int) -> tuple[list[float], list[float]]:
    """Return how long bringing a new stack up, and taking it down, took each time, in seconds."""
    ups, downs = [], []
    for number in range(times):
        stack = stack_of(config.root, environment, f"bench-{number}")
        try:
            ups.append(seconds(stack.up))
        finally:
            downs.append(seconds(stack.down))
    return ups, downs


def tables(records: Sequence[Record], starts: tuple[list[float], list[float]] | None) -> list[Table]:
    """Return what was found."""
    outcomes = ", ".join(f"{n} {name}" for name, n in Counter(one.outcome.value for one in records).most_common())
    rows = [
        ("procedures", outcomes),
        ("blocks", str(sum(len(record.blocks) for record in records))),
        ("wall clock, first procedure to last", f"{wall_s(records):.0f} s"),
        ("all procedures, added up", f"{sum(record.duration_s for record in records):.0f} s"),
        ("all blocks, added up", f"{sum(block.duration_s for one in records for block in one.blocks):.0f} s"),
        ("evidence from", f"{_ended(records):%Y-%m-%d %H:%M} UTC"),
    ]
    if starts is not None:
        ups, downs = starts
        rows += [
            ("the whole run, with the first start of a stack", f"{wall_s(records) + statistics.median(ups):.0f} s"),
            ("a new stack comes up, median", f"{statistics.median(ups):.1f} s"),
            ("the first time", f"{ups[0]:.1f} s"),
            ("it is taken down, median", f"{statistics.median(downs):.1f} s"),
        ]
    return [
        Table("The whole run", ("what", "measured"), tuple(rows), anchor="whole-run"),
        Table(
            "The slowest blocks", ("block", "took", "attempts"), tuple(one.row() for one in slowest(records)), "slowest"
        ),
    ]


def main() -> int:
    """Print the tables, and write the page if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evidence", type=Path, help="a folder of records (default: the configured one)")
    parser.add_argument("--environment", default="", help="default: the first configured")
    parser.add_argument("--stacks", type=int, default=0, metavar="N", help="also bring a stack up and down N times")
    parser.add_argument("--write", action="store_true", help="write the figures into the page of the docs")
    asked = parser.parse_args()
    config = load_config(ROOT / FILE_NAME)
    environment = config.environment(asked.environment)
    records = read(config, environment, asked.evidence or config.root / config.evidence)
    if not records:
        parser.error(f"there is no evidence of {environment.name}: run scripts/verify first")
    starts = stack_starts(config, environment, asked.stacks) if asked.stacks else None
    found = tables(records, starts)
    for table in found:
        Console(width=120).print(table.rich())
    if asked.write:
        text = "\n".join(table.markdown() for table in found)
        PAGE.write_text(between_marks(PAGE.read_text(encoding="utf-8"), "reference.py", text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""How fast the runner is: against plain bash, against other tools, at its start, and with two workers.

Run with the project's Python, on a machine that does nothing else: ``python scripts/bench/speed.py``. Contestants take
turns, figures are medians of one run on one machine; compare them with each other, not with another machine's.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import contest
import floor
import limit
import spreading
import startup
from blocks import ALONE, PER_PROCEDURE
from installing import cache
from measuring import FailedError
from peers import PEERS
from rich.console import Console
from tables import Goal, Table, between_marks, of_goals

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = Path(__file__).parents[2] / "docs/reference/performance.md"
PARTS = ("limit", "tools", "startup", "workers")
_NAME = "speed.py"
_PAGES = 1000
_FEWEST = 100  # the smallest corpus has a hundredth of the pages
_WIDTH = 150
_LARGE = 10_000  # procedures of ten blocks
_SIDE_ROUNDS = 1  # for the kinds of block that the goals do not name: a slope over 9000 blocks is an average already


def measure(asked: argparse.Namespace, folder: Path, say: Callable[[str], object]) -> tuple[list[Table], list[Goal]]:
    """Return tables and goals of the parts that were asked for."""
    tables: list[Table] = []
    goals: list[Goal] = []
    sizes = (asked.pages // 10, asked.pages)
    if "limit" in asked.parts:
        lowest = limit.Floor(floor.fork_and_exec(), floor.round_trip(folder))
        costs = [
            limit.measure(kind, sizes, asked.rounds if kind == "mixed" else _SIDE_ROUNDS, folder, say) for kind in ALONE
        ]
        tables += limit.tables(costs, lowest, sizes)
        goals += limit.goals(costs[-1], lowest)
        if asked.large:
            say(f"{_LARGE}x{PER_PROCEDURE}")
            table, more = limit.very_large_told(limit.very_large(_LARGE, folder / "large"), _LARGE, costs[-1])
            tables.append(table)
            goals += more
    if "tools" in asked.parts:
        there, out = contest.gather(asked.cache, asked.only or (), say)
        peer_sizes = (asked.pages // 100, asked.pages // 10)
        results = contest.measure(there, out, peer_sizes, asked.rounds, say)
        tables += contest.tables(results, out, peer_sizes)
        goals += contest.goals(results)
    if "startup" in asked.parts:
        say("start-up and lists")
        started = startup.measure(asked.pages, 2 * asked.rounds, folder / "lists")
        tables.append(startup.table(started, asked.pages))
        goals += startup.goals(started)
    if "workers" in asked.parts:
        pages = max(4, asked.pages // 25)
        spread = spreading.measure(pages, min(asked.rounds, 2), folder / "workers", say)
        tables.append(spreading.table(spread, pages))
        goals += spreading.goals(spread)
    return tables, goals


def conditions(asked: argparse.Namespace, load: str, took_s: float) -> str:
    """Return on what and when this was measured, as a sentence."""
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {asked.rounds} rounds in {took_s / 60:.0f} minutes, on "
        f"{os.cpu_count()} processors ({platform.system()} {platform.machine()}, Python {platform.python_version()}). "
        f"Load when it began: {load}."
    )


def _fault(asked: argparse.Namespace) -> str:
    """Return what is wrong with what was asked for, or nothing."""
    tools = {peer.name for peer in PEERS}
    wrong = {
        f"write parts out of {', '.join(PARTS)}": set(asked.parts) - set(PARTS),
        f"--only: write one of {', '.join(sorted(tools))}": set(asked.only or ()) - tools,
        f"--pages: write at least {_FEWEST}": asked.pages < _FEWEST,
        "--write needs all parts and tools: the figures of a page come from one run": asked.write
        and (tuple(asked.parts) != PARTS or asked.only),
        f"--write needs --pages {_PAGES}: the goals are for so many": asked.write and asked.pages != _PAGES,
    }
    return next((fault for fault, is_so in wrong.items() if is_so), "")


def main() -> int:
    """Measure, print, and write the page if asked; return 1 when a goal is missed, 2 for no measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--pages", type=int, default=_PAGES, help=f"of the large corpus (default: {_PAGES})")
    parser.add_argument("--only", action="append", metavar="TOOL", help="measure this tool and no other; repeatable")
    parser.add_argument("--large", action="store_true", help=f"also run {_LARGE} procedures of ten blocks, once")
    parser.add_argument("--cache", type=Path, default=cache(), help="where the other tools are installed")
    parser.add_argument("--write", action="store_true", help="write the figures into the page of the docs")
    asked = parser.parse_args()
    asked.parts = asked.parts or PARTS
    if fault := _fault(asked):
        parser.error(fault)
    page = PAGE.read_text(encoding="utf-8") if asked.write else ""
    if asked.write:
        between_marks(page, _NAME, "")  # now, not after the minutes that it takes
    console, notes = Console(width=_WIDTH), Console(stderr=True)
    load, begun_s = f"{os.getloadavg()[0]:.1f}", time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as folder:
            tables, goals = measure(asked, Path(folder), notes.print)
    except FailedError as error:
        notes.print(f"nothing was measured: {error}", markup=False)
        return 2
    tables = [of_goals(goals), *tables]
    said = conditions(asked, load, time.monotonic() - begun_s)
    for table in tables:
        console.print(table.rich())
    console.print(said)
    if asked.write:
        text = "\n".join([said, "", *(table.markdown() for table in tables)])
        PAGE.write_text(between_marks(page, _NAME, text), encoding="utf-8")
    return 0 if all(goal.met for goal in goals) else 1


if __name__ == "__main__":
    sys.exit(main())

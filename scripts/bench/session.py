"""What a block costs in the session: against the same commands in one plain bash script, and a fork and exec.

Run with the project's Python: ``python scripts/bench/session.py``. Times are medians of one run on one machine; compare
them with each other, not with another machine's.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from runbook_checks.shell import Session, find_bash

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCKS = 1000
COMMAND = "x=1; echo line $x"
FAILING = "echo a; false"


def microseconds(act: Callable[[], object], times: int) -> float:
    """Return the median duration of an act."""
    durations = []
    for _ in range(times):
        begun_s = time.perf_counter()
        act()
        durations.append(time.perf_counter() - begun_s)
    return statistics.median(durations) * 1e6


def main() -> None:
    """Print a small table."""
    bash = find_bash(os.environ)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "all.sh"
        script.write_text(f"{COMMAND}\n" * BLOCKS)
        plain = microseconds(lambda: subprocess.run([bash, script], stdout=subprocess.DEVNULL, check=True), 5) / BLOCKS
        rows.append(("the same command in one plain script", plain))
        with Session(Path(folder), os.environ, bash) as session:
            block = microseconds(lambda: session.run(COMMAND, timeout_s=10), BLOCKS)
            rows.append(("a block", block))
            rows.append(("a block, beyond the plain script", block - plain))
            check = microseconds(lambda: session.run(COMMAND, timeout_s=10, subshell=True), BLOCKS // 2)
            rows.append(("a polled check (a subshell)", check))
            rows.append(
                (
                    "a failing block, with the next one's wait",
                    microseconds(lambda: session.run(FAILING, timeout_s=10), 50),
                )
            )
        with Session(Path(folder), os.environ, bash, secrets=("hunter2-secret", "another-secret")) as session:
            rows.append(("a block with two secrets", microseconds(lambda: session.run(COMMAND, timeout_s=10), BLOCKS)))

        def open_and_close() -> None:
            with Session(Path(folder), os.environ, bash) as session:
                session.run(":", timeout_s=10)

        rows.append(("a session, opened and closed", microseconds(open_and_close, 20)))
        rows.append(("fork and exec of `true`", microseconds(lambda: subprocess.run(["true"], check=True), 200)))
    for name, value in rows:
        print(f"{name:45} {value:9.0f} µs")


if __name__ == "__main__":
    main()

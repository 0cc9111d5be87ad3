"""Run each block by a process of its own, and compare: what a team writes first. Run in a peer's environment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def plainly(command: str) -> tuple[int, str]:
    """Run by subprocess.run."""
    done = subprocess.run(["bash", "-ec", command], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def teed(command: str) -> tuple[int, str]:
    """Run by subprocess_tee.run."""
    from subprocess_tee import run  # noqa: PLC0415 - it is in one of the two environments only

    done = run(["bash", "-ec", command], tee=False)
    return done.returncode, done.stdout


def main() -> int:
    """Return 1 when a block failed or printed something else."""
    way = {"subprocess": plainly, "subprocess_tee": teed}[sys.argv[1]]
    wrong = [one for one, output in json.loads(Path(sys.argv[2]).read_text()) if way(one) != (0, output)]
    print(*wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())

"""The sample repository of a user, procedures to put into it, and ways to run things in it as a user does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook_checks.record import Record, from_line

if TYPE_CHECKING:
    from collections.abc import Callable

SAMPLE = Path(__file__).parent / "samples" / "repo"
FRONT = "---\ntitle: Extra\nrunbook: {}\n---\n"
DEADLINE_S = 45.0  # for what a busy machine does; the blocks that hang here take longer
OKAY = """
## Okay { #okay }
```bash {.check}
true
```
"""
SLOW = """
## Slow { #slow }
```bash {.step}
echo begun >>slow.log
sleep 60
```
```bash {.check}
true
```
```bash {.cleanup}
echo cleaned >>slow.log
```
"""
_QUICK = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


@dataclass(frozen=True, slots=True)
class Repository:
    """A copy of the sample repository."""

    root: Path

    def write(self, name: str, text: str) -> None:
        """Write a file below the root."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def replace(self, name: str, old: str, new: str) -> None:
        """Edit a file, which must hold the old text."""
        text = (self.root / name).read_text(encoding="utf-8")
        assert old in text
        self.write(name, text.replace(old, new))

    def line(self, name: str, text: str) -> int:
        """Return the one-based number of the first line with a text."""
        lines = (self.root / name).read_text(encoding="utf-8").splitlines()
        return next(number for number, line in enumerate(lines, 1) if text in line)

    def only(self, *sections: str) -> None:
        """Make a page of sections the only runbook."""
        shutil.rmtree(self.root / "docs/runbooks")
        self.write("docs/runbooks/extra.md", FRONT + "\n".join(sections))

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run the command line to its end, without the plugins that only this project's own tests use."""
        return subprocess.run(
            [sys.executable, "-m", "runbook_checks", *arguments],
            cwd=self.root,
            env={**os.environ, **_QUICK, **environ},
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the command line."""
        return subprocess.Popen(
            [sys.executable, "-m", "runbook_checks", *arguments],
            cwd=self.root,
            env={**os.environ, **_QUICK},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def kill(self, process: subprocess.Popen[str]) -> None:
        """Kill a run, and see that within 5 seconds nothing runs of all that it started."""
        process.kill()
        process.communicate()
        killed = time.monotonic()
        wait_for(lambda: self.left()[0] == [])
        assert time.monotonic() - killed < 5

    def pytest(self, *arguments: str, autoload: bool = False) -> subprocess.CompletedProcess[str]:
        """Run plain pytest to its end; ``autoload`` finds plugins by their entry points, as a user's pytest does."""
        plugins = () if autoload else ("-p", "runbook_checks", "-p", "pytest_markdown_docs")
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *plugins, *arguments],
            cwd=self.root,
            env={**os.environ, **({} if autoload else _QUICK)},
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    def records(self, procedure: str, environment: str = "local") -> tuple[Record, ...]:
        """Return the records that are kept of a procedure, in the order of the file."""
        path = self.root / ".runbook-checks/evidence" / environment / f"{procedure}.jsonl"
        return tuple(map(from_line, path.read_text().splitlines())) if path.exists() else ()

    def left(self) -> tuple[list[str], list[str]]:
        """Return the processes and the stack folders that are left of runs in here."""
        processes = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if str(self.root).encode() in (process / "environ").read_bytes():
                    processes.append((process / "cmdline").read_bytes().decode())
            except OSError:
                continue
        return processes, [path.name for path in (self.root / ".runbook-checks/stack").glob("*")]


def copy_sample(folder: Path) -> Repository:
    """Return a copy of the sample in a folder."""
    shutil.copytree(SAMPLE, folder / "repo")
    return Repository(folder / "repo")


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return the one document that is the whole of standard output."""
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def outcomes(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Return what came of each procedure in the document of a run."""
    return {record["procedure"]: record["outcome"] for record in document(done)["records"]}


def wait_for_text(path: Path) -> None:
    """Wait until something is written in a file: a shell makes the file first, and writes a moment later."""
    wait_for(lambda: path.exists() and path.read_text())


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)

"""Kill a running ``verify`` at random moments, and look at what is left: of evidence, processes, stacks.

Run with the project's Python: ``python scripts/bench/kills.py 200``. Each round starts a run with two workers on a
small stack of its own, kills -9 one of its processes at a random moment (or all workers, one shortly after the other),
and then asks:

- Is every record that was reported on disk, and every line of the evidence whole? Has what passed really run?
- Are all processes gone in time?
- Does the next command work, without a hand's help, and leave nothing?
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from rich.console import Console
from rich.table import Table

from runbook_checks.processes import TOKEN_VARIABLE
from runbook_checks.record import Outcome, Record, from_line

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLE = Path(__file__).parents[2] / "tests/samples/repo"
GONE_S = 5.0  # after which nothing of a killed run lives
END_S = 60.0  # for a run of which only a part was killed
NAMES = ("p0", "p1", "p2", "p3", "p4", "p5")
STEPS = 4
VICTIMS = ("runner", "worker", "workers", "session", "supervisor")
STATE = ".runbook-checks"
MARK = "RUNBOOK_KILLS"  # in the environment of whatever a round starts, the runner and its workers too
_REPORTED = re.compile(r"^(passed|failed|error|blocked) +(kill/p\d)  ", re.MULTILINE)


@dataclass(slots=True)
class Figures:
    """What was seen of one kind of victim."""

    rounds: int = 0
    records: int = 0
    gone_s: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def add(self, seen: Seen) -> None:
        """Count one round."""
        self.rounds += 1
        self.records += len(seen.records)
        self.gone_s.append(seen.gone_s)
        self.outcomes.update(record.outcome.value for record in seen.records)
        self.wrong += [f"{seen.kind}: {what}\n{seen.said}" for what in seen.wrong()]


def make(folder: Path) -> Path:
    """Write a repository with a stack of one server and procedures that say in a file what has run."""
    root = folder / "repo"
    shutil.copytree(SAMPLE, root)
    shutil.rmtree(root / "docs")
    sections = ["---\ntitle: Kill\nrunbook: {}\n---\n"]
    for name in NAMES:
        step = f"```bash {{.step}}\nsleep 0.04; echo done >>{STATE}/{name}\n```\n"
        sections += [f"## {name} {{ #{name} }}\n", "```yaml {.procedure}\nreversible: false\n```\n"]
        sections += [f"```bash {{.setup}}\n: >{STATE}/{name}\n```\n", *[step] * STEPS]
        sections.append(f"```bash {{.check}}\nwc -l <{STATE}/{name}\n```\n```text {{.expect}}\n{STEPS}\n```\n")
        sections.append('```bash {.check}\n: <"/dev/tcp/127.0.0.1/${SITE_URL##*:}"\n```\n')
        sections.append("```bash {.cleanup}\ntrue\n```\n")
    (root / "docs/runbooks").mkdir(parents=True)
    (root / "docs/runbooks/kill.md").write_text("\n".join(sections))
    return root


def command(root: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start the tool in a repository; what it says goes to the file ``said``."""
    with (root / "said").open("wb") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "runbook_checks", *arguments],
            cwd=root,
            env={**os.environ, MARK: str(root)},
            stdout=said,
            stderr=subprocess.STDOUT,
        )


def victims(kind: str, root: Path, runner: psutil.Process) -> list[psutil.Process]:
    """Return the processes of a kind that can be killed now."""
    if kind == "runner":
        return [runner]
    if kind == "supervisor":
        pids = [path.read_text() for path in (root / STATE / "stack").glob("*/pid")]
        return [psutil.Process(int(pid)) for pid in pids if pid.strip() and psutil.pid_exists(int(pid))]
    children = runner.children(recursive=True)
    if kind in {"worker", "workers"}:
        return [one for one in children if one.ppid() == runner.pid and "-c" in one.cmdline()]
    return [one for one in children if one.name() == "bash" and TOKEN_VARIABLE in one.environ()]


def kill_one(kind: str, root: Path, runner: psutil.Process, dice: random.Random) -> bool:
    """Kill one victim, or all workers, at a random moment, shortly after so many procedures; tell if there was any."""
    ended, delay_s = dice.randrange(len(NAMES)), dice.uniform(0, 0.5)
    while runner.is_running() and len(_REPORTED.findall((root / "said").read_text())) < ended:
        time.sleep(0.002)
        if runner.status() == psutil.STATUS_ZOMBIE:
            return False
    time.sleep(delay_s)
    while runner.is_running() and runner.status() != psutil.STATUS_ZOMBIE:
        try:
            found = victims(kind, root, runner)
            if found:
                dice.shuffle(found)
                found[0].kill()
                for one in found[1:] if kind == "workers" else ():
                    time.sleep(dice.choice((0, dice.uniform(0, 1))))
                    with suppress(psutil.NoSuchProcess):
                        one.kill()
                return True
        except (psutil.Error, FileNotFoundError):
            continue  # gone while it was looked at
        time.sleep(0.002)
    return False


def left(root: Path) -> list[str]:
    """Return the living processes that rounds in a repository have started, whoever their parent is by now."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(root):
                found.append(f"{process.pid} {process.name()}")
        except psutil.Error:
            continue
    return found


def kept(root: Path) -> Iterator[Record]:
    """Yield the records on disk; raises ValueError for a line that is not whole."""
    for path in sorted((root / STATE / "evidence").rglob("*.jsonl")):
        text = path.read_text()
        if text and not text.endswith("\n"):
            raise ValueError(f"{path.name} ends in the middle of a line")
        yield from map(from_line, text.splitlines())


@dataclass(frozen=True, slots=True)
class Seen:
    """What was there after a kill, and after the command that followed."""

    kind: str
    code: int
    said: str
    records: list[Record]
    has_run: dict[str, int]  # procedure: how many of its steps wrote that they ran
    processes: list[str]
    gone_s: float
    followed: int
    stacks: list[str]

    def wrong(self) -> list[str]:
        """Return what must not be so."""
        codes = {-9} if self.kind == "runner" else {0, 1, 3}  # 3: a stack or a worker was killed before it could begin
        reported = {(name, outcome) for outcome, name in _REPORTED.findall(self.said)}
        passed = {one.procedure for one in self.records if one.outcome is Outcome.PASSED}
        found = {
            f"ended with {self.code}": self.code not in codes,
            "a traceback": "Traceback" in self.said,
            f"alive after {self.gone_s:.1f} s: {self.processes}": self.processes or self.gone_s > GONE_S,
            "reported and not kept": reported - {(one.procedure, one.outcome.value) for one in self.records},
            "passed and not run": {name for name in passed if self.has_run.get(name, 0) < STEPS},
            f"the next command ended with {self.followed}": self.followed,
            f"left: {self.stacks}": self.stacks,
        }
        return [what for what, is_so in found.items() if is_so]


def one_round(kind: str, root: Path, dice: random.Random) -> Seen | None:
    """Kill once and look; None when there was no victim any more.

    Raises ValueError for a record that is not whole, and TimeoutError for a run that hangs.
    """
    known = {one.run for one in kept(root)}
    wrote = {name: root / STATE / name for name in NAMES}
    for path in wrote.values():  # of the round before, or every pass would seem to have run
        path.unlink(missing_ok=True)
    begun = command(root, "verify", "--workers", "2")
    hit = kill_one(kind, root, psutil.Process(begun.pid), dice)
    killed_s = time.monotonic()
    try:
        code = begun.wait(END_S)
    except subprocess.TimeoutExpired:
        begun.kill()
        raise TimeoutError(f"without its {kind} the run hung:\n{(root / 'said').read_text()}") from None
    said = (root / "said").read_text()
    if kind != "runner":
        killed_s = time.monotonic()
    while (processes := left(root)) and time.monotonic() < killed_s + 2 * GONE_S:
        time.sleep(0.02)
    gone_s = time.monotonic() - killed_s
    records = [one for one in kept(root) if one.run not in known]
    has_run = {f"kill/{name}": len(path.read_text().split()) for name, path in wrote.items() if path.exists()}
    followed = command(root, "verify", "p0").wait(END_S)
    said += (root / "said").read_text() if followed else ""
    stacks = [path.name for path in (root / STATE / "stack").glob("*")]
    hit = hit and (kind, code) != ("runner", 0)  # the kernel takes the signal for a process that is already ending, too
    return Seen(kind, code, said, records, has_run, processes, gone_s, followed, stacks) if hit else None


def kill(rounds: int, seed: int, kinds: tuple[str, ...] = VICTIMS) -> dict[str, Figures]:
    """Return what was seen in so many rounds of all kinds together, in a folder that is removed."""
    dice = random.Random(seed)  # noqa: S311
    found = {kind: Figures() for kind in kinds}
    with tempfile.TemporaryDirectory() as folder:
        root = make(Path(folder))
        if command(root, "verify", "--workers", "2").wait(END_S):
            raise SystemExit(f"the undisturbed run failed:\n{(root / 'said').read_text()}")
        while sum(figures.rounds for figures in found.values()) < rounds:
            kind = min(found, key=lambda one: found[one].rounds)
            seen = one_round(kind, root, dice)
            if seen is not None:
                found[kind].add(seen)
    return found


def main() -> int:
    """Print a table, and what was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rounds", type=int, nargs="?", default=40)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    asked = parser.parse_args()
    found = kill(asked.rounds, asked.seed)
    table = Table(
        "killed", "rounds", "records kept", "outcomes", "gone after, worst", "wrong", title=f"seed {asked.seed}"
    )
    for kind, one in found.items():
        outcomes = ", ".join(f"{count} {name}" for name, count in sorted(one.outcomes.items()))
        table.add_row(
            kind, str(one.rounds), str(one.records), outcomes, f"{max(one.gone_s):.2f} s", str(len(one.wrong))
        )
    Console().print(table)
    wrong = [what for one in found.values() for what in one.wrong]
    print(*wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())

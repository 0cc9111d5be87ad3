"""What a block costs in the session: the slope from 100 blocks to 1000, so that starting and closing do not blur it.

Run with the project's Python: ``python scripts/bench/session.py [ROUNDS]``. Each round measures everything once, one
after the other; shown are the medians over the rounds. Times are of one run on one machine: compare them with each
other, and with a fork and exec in the same run, not with another machine's.

A block with a program costs more beyond plain bash than one without. Two kinds show where that goes: one only waits as
long as a program takes, so that everything has to come back into the processor's caches; one only forks, so that
what the shell writes next has to be copied. How often that is, the page faults tell.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook_checks.shell import Session, find_bash
from runbook_checks.spare import Spare

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 9
FEW, MANY = 100, 1000
KINDS = {
    "builtins only": "x=1; echo line $x",
    "one fork": "/bin/true",
    "a fork without a program": "(:)",
    "a wait without a fork": "read -r -t 0.0007 <>silence || x=1",
    "output of four lines": 'for word in ready healthy 3 done; do echo "state: $word"; done',
}
FAULTS = ("one fork: page faults, plain script", "one fork: page faults, session")
PING_PONG = 'while read -r -N 2 said <"$0/in"; do echo a >"$0/ctl"; done'


def microseconds(act: Callable[[], object]) -> float:
    """Return the duration of an act."""
    begun_s = time.perf_counter()
    act()
    return (time.perf_counter() - begun_s) * 1e6


def median(act: Callable[[], object], times: int) -> float:
    """Return the median duration of an act in microseconds."""
    return statistics.median(microseconds(act) for _ in range(times))


def cpu_s() -> float:
    """Return the CPU time of this process and of those that it has waited for."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def slope(cost: Callable[[int], float]) -> float:
    """Return what one more block costs."""
    return (cost(MANY) - cost(FEW)) / (MANY - FEW)


class Bench:
    """What is measured, in one folder with one bash."""

    def __init__(self, folder: Path) -> None:
        """Take a folder of its own."""
        self.folder = folder
        os.mkfifo(folder / "silence")
        self.bash = find_bash(os.environ)

    def round(self) -> dict[str, float]:
        """Measure everything once."""
        measured = {"fork and exec of /bin/true": median(self.fork_and_exec, 100)}
        measured["one line to bash and one back"] = self.ping_pong()
        for kind, command in KINDS.items():
            plain = slope(partial(self.plain, command))
            block = slope(partial(self.session, command))
            measured |= {f"{kind}: plain script": plain, f"{kind}: session": block, f"{kind}: beyond": block - plain}
            measured[f"{kind}: CPU time of both sides"] = slope(partial(self.cpu, command))
        first = KINDS["builtins only"]
        measured["with two secrets"] = slope(partial(self.session, first, secrets=("hunter2-secret", "another-secret")))
        with Session(self.folder, os.environ, self.bash) as session:
            measured["polled check"] = median(lambda: session.run(first, timeout_s=10, subshell=True), 100)
            measured["failing block"] = median(lambda: session.run("false", timeout_s=10), 20)
        measured["bash started and ended"] = median(lambda: self.plain(first, 1), 20)
        measured["session opened and closed"] = median(lambda: self.session(first, 1), 20)
        for name, wait_s in (("begins then", None), ("has begun before", 0.01)):
            costs = [self.first_block(wait_s) for _ in range(20)]
            measured[f"first block of a shell that {name}"] = statistics.median(costs)
        for name, act in zip(FAULTS, (self.plain, self.session), strict=True):
            measured[name] = slope(partial(self.faults, act, KINDS["one fork"]))
        return measured

    def fork_and_exec(self) -> None:
        """Start the smallest program there is, the cheapest way there is, and wait for its end."""
        os.waitpid(os.posix_spawn("/bin/true", ["true"], os.environ), 0)

    def plain(self, command: str, blocks: int) -> float:
        """Return what the blocks cost in one plain script."""
        script = self.folder / "all.sh"
        script.write_text(f"{command}\n" * blocks)
        return microseconds(
            lambda: subprocess.run([self.bash, script], cwd=self.folder, stdout=subprocess.DEVNULL, check=True)
        )

    def session(self, command: str, blocks: int, secrets: tuple[str, ...] = ()) -> float:
        """Return what the blocks cost in one session, with its start and its end."""

        def run() -> None:
            with Session(self.folder, os.environ, self.bash, secrets) as session:
                for _ in range(blocks):
                    session.run(command, timeout_s=10)

        return microseconds(run)

    def cpu(self, command: str, blocks: int) -> float:
        """Return the CPU time of the runner and of bash for the blocks: other work on the machine hardly changes it."""
        before_s = cpu_s()
        self.session(command, blocks)
        return (cpu_s() - before_s) * 1e6

    def faults(self, act: Callable[[str, int], float], command: str, blocks: int) -> float:
        """Return the page faults of bash and of what it starts, for the blocks; the kernel reads nothing for them."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt
        act(command, blocks)
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt - before

    def first_block(self, wait_s: float | None) -> float:
        """Return what it takes to get a session, and to run a block; one begun so long before, if that is given."""
        asked: dict[str, Any] = {"cwd": self.folder, "environ": dict(os.environ), "bash": self.bash}
        with Spare() as spare:
            if wait_s is not None:
                spare.begin(**asked)
                time.sleep(wait_s)
            begun_s = time.perf_counter()
            session = spare.take(**asked) or Session(**asked).__enter__()
            session.run(KINDS["builtins only"], timeout_s=10)
            took_s = time.perf_counter() - begun_s
            session.close()
        return took_s * 1e6

    def ping_pong(self) -> float:
        """Return what the least that can be said costs; bash opens the FIFOs each time, as a block may close any."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            for name in ("in", "ctl"):
                os.mkfifo(f"{folder}/{name}")
            orders, reports = (os.open(f"{folder}/{name}", os.O_RDWR) for name in ("in", "ctl"))
            with subprocess.Popen([self.bash, "-c", PING_PONG, folder]) as process:
                costs = [microseconds(lambda: (os.write(orders, b"a\n"), os.read(reports, 2))) for _ in range(MANY)]
                process.kill()
            os.close(orders)
            os.close(reports)
        return statistics.median(costs)


def main() -> None:
    """Print a table: microseconds, and as a share of a fork and exec."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        measured = [bench.round() for _ in range(rounds)]
    unit = statistics.median(one["fork and exec of /bin/true"] for one in measured)
    for name in measured[0]:
        cost = statistics.median(one[name] for one in measured)
        low, high = min(one[name] for one in measured), max(one[name] for one in measured)
        share = "" if name in FAULTS else f" µs {cost / unit:7.2f} x "
        print(f"{name:46} {cost:9.0f}{share}  ({low:.0f} to {high:.0f})")
    print(
        f"medians of {rounds} rounds; x: a fork and exec; load {load_before:.1f} before, {os.getloadavg()[0]:.1f} after"
    )


if __name__ == "__main__":
    main()

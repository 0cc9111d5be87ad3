"""What the plugin adds to a build of the site, and to a page: the same tree, built without it and with it.

Run with the project's Python: ``python scripts/bench/site.py``. Builds take turns, each in a process of its own. Times
are medians of one run on one machine; compare them with each other, not with another machine's. Where other programs
share the machine, look at the CPU time: the wall clock also counts their work.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from corpus import STEPS, config_name, write_corpus

PAIRS = (("plain", "ours"), ("plain", "ours, unaided"), ("plain, macros", "ours, macros"))
# As ours, without what the plugin does to Material's search and to the garbage collector, which also helps the rest.
UNAIDED = """
import gc
from runbook_checks.site import plugin
plugin.read_lighter = lambda plugins: None
gc.freeze = gc.unfreeze = lambda: None
gc.set_threshold = lambda *numbers: None
from mkdocs.__main__ import cli
cli()
"""
_KIB = 1024


@dataclass(frozen=True, slots=True)
class Build:
    """What one build took."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def build(folder: Path, variant: str) -> Build:
    """Build a variant of the corpus in a fresh process; raises CalledProcessError when it fails."""
    site = folder / f"site-{variant.replace(', ', '-')}"
    shutil.rmtree(site, ignore_errors=True)
    unaided = variant == "ours, unaided"
    program = ("-c", UNAIDED) if unaided else ("-m", "mkdocs")
    config = config_name("ours" if unaided else variant)
    command = (sys.executable, *program, "build", "--quiet", "--config-file", config)
    begun_s = time.perf_counter()
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    with subprocess.Popen((*command, "--site-dir", str(site)), cwd=folder, env=environment) as process:
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - begun_s
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Build(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / _KIB)


def weights(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Return what a runbook page weighs beyond the plain one, part by part, in bytes: raw and compressed."""
    plain, ours = folder / "site-plain", folder / "site-ours"
    page = "runbooks/team_000/service_0000/index.html"
    html = [(site / page).read_bytes() for site in (ours, plain)]
    found = [("HTML", len(html[0]) - len(html[1]), _compressed(html[0]) - _compressed(html[1]))]
    for kind in ("css", "js"):
        names = {path.relative_to(ours) for path in (ours / "assets").glob(f"*.{kind}")}
        added = [(ours / name).read_bytes() for name in names if not (plain / name).exists()]
        found.append((kind.upper(), sum(map(len, added)), sum(map(_compressed, added))))
    return (*found, ("all", sum(raw for _, raw, _ in found), sum(compressed for _, _, compressed in found)))


def _compressed(data: bytes) -> int:
    return len(gzip.compress(data, 6, mtime=0))


def report(builds: dict[str, list[Build]], pages: int) -> None:
    """Print the medians of each variant, and what ours costs beyond the plain one."""
    print(f"{'':16} {'wall':>8} {'CPU':>8} {'peak':>8}")
    median = {}
    for variant, taken in builds.items():
        wall_s, cpu_s, peak_mb = (statistics.median(getattr(each, name) for each in taken) for name in Build.__slots__)
        median[variant] = Build(wall_s, cpu_s, peak_mb)
        print(f"{variant:16} {wall_s:6.2f} s {cpu_s:6.2f} s {peak_mb:5.0f} MB")
    for plain, ours in PAIRS:
        if plain not in median or ours not in median:
            continue
        before, after = median[plain], median[ours]
        wall, cpu = after.wall_s / before.wall_s - 1, after.cpu_s / before.cpu_s - 1
        print(
            f"{ours} over {plain}: wall {wall:+.1%}, CPU {cpu:+.1%}, "
            f"{(after.cpu_s - before.cpu_s) / pages * 1000:.2f} ms CPU a page, "
            f"memory {after.peak_mb - before.peak_mb:+.0f} MB"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pages", type=int, default=1000, help=f"of {STEPS} steps each (default: 1000)")
    parser.add_argument("--rounds", type=int, default=3, help="builds of each kind (default: 3)")
    parser.add_argument("--runs", type=int, default=3, help="records of each procedure (default: 3)")
    parser.add_argument("--no-macros", action="store_true", help="leave the builds with mkdocs-macros out")
    parser.add_argument("--keep", type=Path, help="a folder for the corpus and the sites, used again when it is there")
    parser.add_argument("--at-most", type=float, metavar="PERCENT", help="fail when ours costs more CPU time than that")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        if not (folder / "docs").exists():
            write_corpus(folder, options.pages, options.runs)
        builds: dict[str, list[Build]] = defaultdict(list)
        for _ in range(options.rounds):
            for variant in ("plain", "ours", "ours, unaided", *(() if options.no_macros else PAIRS[-1])):
                builds[variant].append(build(folder, variant))
        print(f"{options.pages} pages, {options.rounds} rounds, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")
        report(builds, options.pages)
        print("\na runbook page over the plain one, in bytes")
        for name, raw, compressed in weights(folder):
            print(f"{name:5} {raw:7} raw {compressed:7} gzip")
    plain_s, ours_s = (statistics.median(each.cpu_s for each in builds[name]) for name in PAIRS[0])
    if options.at_most is not None and (ours_s / plain_s - 1) * 100 > options.at_most:
        sys.exit(f"the plugin may cost {options.at_most:g} % more, and costs {ours_s / plain_s - 1:.1%}")


if __name__ == "__main__":
    main()

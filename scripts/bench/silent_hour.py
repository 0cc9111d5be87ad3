"""Run a block that says nothing for an hour, and one that does for longer than it may, with clocks 300 times as fast.

Run with the project's Python, and with the library of libfaketime (Debian's package `libfaketime`), which speeds up the
clocks of the runner and of every program in the blocks:
``python scripts/bench/silent_hour.py /usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SAMPLE = Path(__file__).parents[2] / "tests/samples/repo"
FASTER = 300
HOUR_S = 3600
PAGE = """---
title: Silent
runbook: {}
---

## Hour { #hour }

```bash {.step timeout=2h}
sleep 3600
echo woke
```
```text {.expect}
woke
```

## Longer { #longer }

```bash {.step timeout=1h}
sleep 7200
```

```bash {.check}
true
```
"""


def main() -> int:
    """Print what the records say, and return 0 when it is right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=Path, help="libfaketime.so.1")
    library = parser.parse_args().library.resolve(strict=True)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "repo"
        shutil.copytree(SAMPLE, root)
        shutil.rmtree(root / "docs/runbooks")
        (root / "docs/runbooks").mkdir()
        (root / "docs/runbooks/silent.md").write_text(PAGE)
        begun_s = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "runbook_checks", "verify", "--environment", "box", "--json"],
            cwd=root,
            env={**os.environ, "LD_PRELOAD": str(library), "FAKETIME": f"+0 x{FASTER}"},
            stdout=subprocess.PIPE,
            check=False,
        )
    records = {record["procedure"]: record for record in json.loads(done.stdout)["records"]}
    hour, longer = records["silent/hour"], records["silent/longer"]
    for record in (hour, longer):
        print(f"{record['procedure']}: {record['outcome']} after {record['duration_s']:.0f} s {record['reason']}")
    print(f"({time.monotonic() - begun_s:.0f} s by the clock on the wall)")
    right = hour["outcome"] == "passed" and hour["duration_s"] >= HOUR_S and "within its 3600 s" in longer["reason"]
    return 0 if right else 1


if __name__ == "__main__":
    raise SystemExit(main())

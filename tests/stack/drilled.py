"""A site of one real page whose environment is a stack that runs already, so that many drills can share it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stack.running_stack import ROOT, STACK, Stack

from runbook_checks.record import Record, from_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = "docs/operations/troubleshooting.md"
RULES = "deployment/monitoring/prometheus/alerts.yml"
MKDOCS = "site_name: Operations\nsite_url: https://ia-modules.example/\n"
CONFIGURATION = """
pages: [docs]
alerts: [rules.yml]
environments:
  staging:
    secrets: [DATABASE_URL, REPLICA_DATABASE_URL, SCRATCH_DATABASE_URL, REDIS_URL]
    stack: {up: UP, env: STACK env, down: DOWN}
    drill:
      prometheus: $PROMETHEUS_URL
      notifications: deployment/scripts/notified.sh --json
      snapshot: STACK snapshot
      within: 30s
      hold: 2s
"""


def section(page: str, anchor: str) -> str:
    """Return the front matter of a page and one procedure of it; its checks wait less long, for they may fail here."""
    front = re.match(r"---\n.*?\n---\n", page, re.DOTALL)
    found = re.search(rf"^## [^\n]+ \{{ #{anchor} \}}\n.*?(?=^## |\Z)", page, re.DOTALL | re.MULTILINE)
    assert front is not None
    assert found is not None
    return f"{front[0]}\n{found[0]}".replace("within=60s", "within=10s")


def rule(rules: str, alert: str) -> str:
    """Return a rule file with one alert of another."""
    found = re.search(rf"^      - alert: {alert}\n(?:        .*\n)+", rules, re.MULTILINE)
    assert found is not None
    return f"groups:\n  - name: one\n    rules:\n{found[0]}"


def begun(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start our command in a folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "runbook_checks", *arguments],
        cwd=folder,
        env=os.environ | {"COLUMNS": "1000"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@dataclass(frozen=True, slots=True)
class Site:
    """A repository with the real redis-down page, the real rule of its alert, and what the commands need."""

    folder: Path
    stack: Stack | None = None  # that runs already; else each drill has one of its own

    def write(self) -> None:
        (self.folder / "deployment").symlink_to(ROOT / "deployment")
        (self.folder / "mkdocs.yml").write_text(MKDOCS)
        (self.folder / "rules.yml").write_text(rule((ROOT / RULES).read_text(), "RedisDown"))
        (self.folder / PAGE).parent.mkdir(parents=True)
        (self.folder / PAGE).write_text(section((ROOT / PAGE).read_text(), "redis-down"))
        if self.stack is None:
            ours, up, down = str(STACK), f"{STACK} up", f"{STACK} down"
        else:
            ours, up, down = f"RUNBOOK_STACK_DIR={self.stack.folder} {STACK}", "'true'", "'true'"
        text = CONFIGURATION.replace("UP", up).replace("DOWN", down).replace(" STACK ", f" {ours} ")
        (self.folder / "runbook-checks.yml").write_text(text)

    def weaken(self, name: str, old: str, new: str) -> None:
        """Replace a text, which must be there once, in a file."""
        text = (self.folder / name).read_text()
        assert text.count(old) == 1
        (self.folder / name).write_text(text.replace(old, new))

    def command(self, *arguments: str) -> subprocess.Popen[str]:
        return begun(self.folder, *arguments)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Return the exit code of a command, and what it said on standard output and error."""
        with self.command(*arguments) as started:
            out, err = started.communicate()
        return started.returncode, out, err

    def records(self) -> tuple[Record, ...]:
        kept = self.folder / ".runbook-checks/evidence/staging/troubleshooting/redis-down.jsonl"
        return tuple(map(from_line, kept.read_text().splitlines())) if kept.exists() else ()

    def fails(self) -> str:
        """Run the drill, which must fail, and return why."""
        code, out, err = self.run("drill")
        assert code == 1, out + err
        return self.records()[-1].reason


@contextmanager
def weakened_rules(stack: Stack, old: str, new: str) -> Iterator[None]:
    """Have a running stack's Prometheus go by rules with another text."""
    rules = stack.folder / "conf/alerts.yml"
    text = rules.read_text()
    assert text.count(old) == 1
    reload = 'curl --fail --silent --show-error -X POST "$PROMETHEUS_URL/-/reload"'
    try:
        rules.write_text(text.replace(old, new))
        assert stack.shell(reload).returncode == 0
        yield
    finally:
        rules.write_text(text)
        assert stack.shell(reload).returncode == 0

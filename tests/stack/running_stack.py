"""A real stack as tests talk to it: by its commands only."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
STACK = ROOT / "deployment/staging/stack"


@dataclass(frozen=True, slots=True)
class Stack:
    """An instance in a folder, talked to by its commands only."""

    folder: Path

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(STACK), *arguments],
            cwd=ROOT,
            env=os.environ | {"RUNBOOK_STACK_DIR": str(self.folder)} | environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def up(self) -> str:
        done = self.run("up")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def env(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.run("env").stdout.splitlines())

    def shell(self, command: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a command as a procedure would: with the instance's variables, from the repository's root."""
        return subprocess.run(
            ["bash", "-c", command],
            cwd=ROOT,
            env=os.environ | self.env() | environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def query(self, sql: str) -> str:
        done = self.shell('psql -XqAt -v ON_ERROR_STOP=1 "$DATABASE_URL" -c "$SQL"', SQL=sql)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

"""The stack behind an environment: the configured commands, run in the configuration's folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from runbook_checks import marks
from runbook_checks.errors import StackError
from runbook_checks.record import Service

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from runbook_checks.config import Environment, StackCommands

FOLDER = ".runbook-checks/stack"
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)")
_SHOWN_LINES = 40


@dataclass(frozen=True, slots=True)
class Stack:
    """One instance of an environment's stack: its commands, and a folder of its own that they get by name.

    The commands find the folder in ``RUNBOOK_STACK_DIR``; every process that they start carries ``mark``.
    """

    root: Path
    commands: StackCommands
    folder: Path
    mark: str
    live: bool = False  # whether the commands' output is shown as it comes

    def up(self) -> None:
        """Bring the stack up; safe to call twice. Raises StackError with the command's last lines."""
        self.folder.mkdir(parents=True, exist_ok=True)
        owner = {"pid": os.getpid(), "created": psutil.Process().create_time(), "mark": self.mark}
        (self.folder / "owner.json").write_text(json.dumps(owner), encoding="utf-8")
        self._run("up", self.commands.up)

    def healthy(self) -> bool:
        """Return whether the stack says that it is healthy; a stack without a health command is believed."""
        return not self.commands.health or self._complete(self.commands.health)[0] == 0

    def variables(self) -> dict[str, str]:
        """Return the ``NAME=value`` lines that the stack prints; raises StackError for any other line."""
        variables = {}
        for line in self._run("env", self.commands.env).splitlines() if self.commands.env else ():
            assignment = _ASSIGNMENT.fullmatch(line)
            if assignment is None:
                raise StackError(f"`{self.commands.env}` printed a line that is not NAME=value: {line!r}")
            variables[assignment[1]] = assignment[2]
        return variables

    def services(self) -> tuple[Service, ...]:
        """Return the services of the stack and their versions."""
        if not self.commands.services:
            return ()
        lines = self._run("services", self.commands.services).splitlines()
        return tuple(Service(*[*line.split(maxsplit=1), ""][:2]) for line in lines if line.strip())

    def down(self) -> None:
        """Take the stack down and remove its folder; raises StackError when something of it stays behind."""
        self._run("down", self.commands.down)
        try:
            marks.end_marked(self.mark)
        except TimeoutError as error:
            raise StackError(f"the stack is down, and yet {error}") from error
        shutil.rmtree(self.folder, ignore_errors=True)

    def show_logs(self) -> None:
        """Run the logs command with its output shown."""
        self._run("logs", self.commands.logs)

    def _run(self, what: str, command: str) -> str:
        status, stdout, stderr = self._complete(command)
        if status == 0:
            return stdout
        tail = "\n".join((stdout + stderr).splitlines()[-_SHOWN_LINES:])
        raise StackError(f"stack {what} failed: `{command}` exited with {status}\n{tail}".rstrip())

    def _complete(self, command: str) -> tuple[int, str, str]:
        import subprocess_tee  # noqa: PLC0415 - asyncio is a heavy import, and only stacks need it

        expired = threading.Event()

        def expire() -> None:
            expired.set()
            marks.end_marked(self.mark)

        deadline = threading.Timer(self.commands.timeout_s, expire)
        deadline.daemon = True
        deadline.start()
        try:
            done = subprocess_tee.run(
                ["/bin/sh", "-c", command],
                tee=self.live,
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr,  # standard output belongs to what the user asked for
                cwd=str(self.root),
                env=self._environ(os.environ),
            )
        finally:
            deadline.cancel()
        if expired.is_set():
            raise StackError(f"`{command}` was ended: it took longer than {self.commands.timeout_s:g} s")
        return done.returncode, done.stdout, done.stderr

    def _environ(self, environ: Mapping[str, str]) -> dict[str, str]:
        return {**environ, "RUNBOOK_STACK_DIR": str(self.folder), marks.VARIABLE: self.mark}


def stack_of(root: Path, environment: Environment, instance: str, *, live: bool = False) -> Stack:
    """Return an instance of an environment's stack by name; raises StackError when it has none."""
    if environment.stack is None:
        raise StackError(f"environment {environment.name} has no stack that could be brought up")
    folder = root / FOLDER / f"{environment.name}-{instance}"
    return Stack(root, environment.stack, folder, mark=f"{folder}", live=live)


def sweep(root: Path, environment: Environment) -> Iterator[str]:
    """Take down the instances that a killed run left behind, and yield the name of each."""
    if environment.stack is None:
        return
    for owner in sorted((root / FOLDER).glob(f"{environment.name}-run-*/owner.json")):
        left = json.loads(owner.read_text(encoding="utf-8"))
        if _lives(left["pid"], left["created"]):
            continue
        Stack(root, environment.stack, owner.parent, left["mark"]).down()
        yield owner.parent.name


def _lives(pid: int, created: float) -> bool:
    try:
        return psutil.Process(pid).create_time() == created
    except psutil.NoSuchProcess:
        return False

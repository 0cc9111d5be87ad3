"""The stack behind an environment: the configured commands, run in the configuration's folder."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runbook_checks import marks
from runbook_checks.command import Completed, complete, complete_shown
from runbook_checks.errors import StackError
from runbook_checks.guardian import await_guardian
from runbook_checks.keys import without_key
from runbook_checks.record import Service
from runbook_checks.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from runbook_checks.config import Environment, StackCommands

FOLDER = ".runbook-checks/stack"
_OWNER = ".owner"  # the end of the file that a living owner has locked: beside the folder, which belongs to the stack
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=([^\0]*)")
_SHOWN_LINES = 40
_HEALTH_TIMEOUT_S = 30.0  # who does not answer by then is not healthy


@dataclass(frozen=True, slots=True)
class Stack:
    """One instance of an environment's stack: its commands, and a folder of its own.

    The commands find the folder in ``RUNBOOK_STACK_DIR``; every process that they start carries ``mark``.
    """

    root: Path
    commands: StackCommands
    folder: Path
    live: bool = False  # whether what `up`, `down` and `logs` print is shown as it comes

    @property
    def mark(self) -> str:
        """Return the mark of the instance: the name of its folder."""
        return str(self.folder)

    def up(self) -> None:
        """Bring the stack up and see that it is healthy; safe to call twice. Raises StackError with its last lines."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._run("up", self.commands.up, shown=self.live)
        if self.commands.health:
            self._run("health", self.commands.health, timeout_s=_HEALTH_TIMEOUT_S)

    def healthy(self) -> bool:
        """Return whether the stack says that it is healthy; a stack without a health command is believed."""
        return not self.commands.health or self._complete(self.commands.health, _HEALTH_TIMEOUT_S).status == 0

    def variables(self) -> dict[str, str]:
        """Return the ``NAME=value`` lines that the stack prints; raises StackError for any other line."""
        variables = {}
        lines = self._run("env", self.commands.env).splitlines() if self.commands.env else []
        for number, line in enumerate(lines, 1):
            assignment = _ASSIGNMENT.fullmatch(line)
            if assignment is None:  # the line itself may hold a secret
                raise StackError(f"stack env: line {number} of what `{self.commands.env}` printed is not NAME=value")
            variables[assignment[1]] = assignment[2]
        return variables

    def services(self, secrets: Iterable[str] = ()) -> tuple[Service, ...]:
        """Return the services of the stack and their versions, from lines such as ``postgresql 18.1``, redacted."""
        if not self.commands.services:
            return ()
        lines = Redactor(secrets).redact(self._run("services", self.commands.services)).splitlines()
        return tuple(Service(*[*line.split(maxsplit=1), ""][:2]) for line in lines if line.strip())

    def down(self) -> None:
        """Take the stack down, end what it left running, and remove its folder; raises StackError for what stays."""
        try:
            self._run("down", self.commands.down, shown=self.live)
        finally:
            try:
                marks.end_marked(self.mark)
            except TimeoutError as error:
                raise StackError(f"the stack is down, and yet {error}") from error
        shutil.rmtree(self.folder, ignore_errors=True)

    def show_logs(self) -> None:
        """Run the logs command with its output shown; raises StackError without one."""
        if not self.commands.logs:
            raise StackError("the stack has no `logs:` command")
        self._run("logs", self.commands.logs, shown=True)

    def _run(self, what: str, command: str, *, shown: bool = False, timeout_s: float | None = None) -> str:
        done = self._complete(command, timeout_s or self.commands.timeout_s, shown=shown)
        if done.expired and done.status == 0:
            raise StackError(f"stack {what} failed: what `{command}` left running kept its output open; redirect it")
        if done.status == 0 and not done.expired:
            return done.stdout
        took = f"took longer than {timeout_s or self.commands.timeout_s:g} s and was ended"
        how = took if done.expired else f"exited with {done.status}"
        if shown:
            raise StackError(f"stack {what} failed: `{command}` {how}")
        printed = done.stderr if what == "env" else done.stdout + done.stderr  # what env prints may be secret
        tail = "\n".join(printed.splitlines()[-_SHOWN_LINES:])
        raise StackError(f"stack {what} failed: `{command}` {how}\n{tail}".rstrip())

    def _complete(self, command: str, timeout_s: float, *, shown: bool = False) -> Completed:
        environ = {**without_key(os.environ), "RUNBOOK_STACK_DIR": str(self.folder), marks.VARIABLE: self.mark}
        if shown:
            return complete_shown(command, cwd=self.root, environ=environ, timeout_s=timeout_s, mark=self.mark)
        return complete(command, cwd=self.root, environ=environ, timeout_s=timeout_s)


def stack_of(root: Path, environment: Environment, instance: str, *, live: bool = False) -> Stack:
    """Return an instance of an environment's stack by name; raises StackError when it has none."""
    if environment.stack is None:
        raise StackError(f"environment {environment.name} has no stack that could be brought up")
    return Stack(root, environment.stack, instance_folder(root, environment, instance), live=live)


def instance_folder(root: Path, environment: Environment, instance: str) -> Path:
    """Return the folder of an instance; its name is also the mark of what runs for it."""
    return root / FOLDER / f"{environment.name}-{instance}"


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Create a folder and own it as long as this block, and this process, last; raises StackError when it cannot.

    A folder that is still there at the end is what sweep() takes down later.
    """
    owner = folder.with_name(folder.name + _OWNER)
    unlocked = folder.with_name(f"{folder.name}{_OWNER}.new")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(unlocked, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StackError(f"{folder}: cannot be written: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        unlocked.rename(owner)  # once it can be seen it is locked
        yield
    finally:
        if not folder.exists():
            owner.unlink(missing_ok=True)
        os.close(descriptor)


def sweep(root: Path, environment: Environment, say: Callable[[str], None]) -> None:
    """Take down the instances of which no owner lives, and say so; what cannot be taken down is left for next time."""
    if environment.stack is None:
        return
    for owner in sorted((root / FOLDER).glob(f"{environment.name}-run-*{_OWNER}")):
        folder = owner.with_name(owner.name.removesuffix(_OWNER))
        try:
            descriptor = os.open(owner, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:  # swept by another run meanwhile
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            await_guardian(str(folder))
            Stack(root, environment.stack, folder).down()
            owner.unlink(missing_ok=True)
            say(f"took down {folder.name}, which a killed run had left behind")
        except BlockingIOError:
            continue  # its owner lives
        except StackError as error:
            say(f"{folder.name}, which a killed run left behind, could not be taken down: {error}")
        finally:
            os.close(descriptor)

"""Verify procedures on a stack of our own, prerequisites first, and keep the evidence."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from runbook_checks.digest import FileHashes
from runbook_checks.errors import StackError, UsageError
from runbook_checks.execute import Run, Target, execute
from runbook_checks.guardian import guarded
from runbook_checks.languages import DEFAULTS
from runbook_checks.model import Procedure, Role
from runbook_checks.record import Outcome, Record, Service
from runbook_checks.report import digest_in
from runbook_checks.shell import find_bash
from runbook_checks.stack import Stack, stack_of, sweep
from runbook_checks.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runbook_checks.catalog import Catalog
    from runbook_checks.config import Config, Environment

_OWNED_ONLY = {Role.SETUP, Role.FAULT}
_CHANGING = {Role.STEP, Role.SETUP, Role.CLEANUP, Role.ROLLBACK, Role.FAULT}
_GIT_TIMEOUT_S = 20.0


def refuse_unsafe(environment: Environment, procedures: Iterable[Procedure]) -> None:
    """Raise UsageError when a guard forbids to verify these procedures in an environment; nothing has run by then."""
    name = environment.name
    if environment.protected:
        raise UsageError(f"environment {name} is protected: verify never runs there")
    if environment.stack is not None:
        return
    trusted = environment.disposable or environment.identity is not None
    for procedure in procedures:
        roles = {block.role for block in procedure.blocks}
        if roles & _OWNED_ONLY:
            word = "setup" if Role.SETUP in roles else "fault"
            raise UsageError(
                f"{procedure.page}:{procedure.line}: {procedure.id} has a {word} block, and {name} has no stack of our"
                " own; such blocks never run elsewhere"
            )
        if roles & _CHANGING and not trusted:
            raise UsageError(
                f"{procedure.page}:{procedure.line}: {procedure.id} changes things, and nothing proves that {name} may"
                " be changed; give it a `stack:`, an `identity:` or `disposable: true`"
            )


class Verifier:
    """Runs procedures one after the other on one stack, as a context manager.

    A procedure that did not pass, or could not clean up, costs the stack: the next one gets a fresh stack. What ran on
    a stack is not run on it again: a later request gets the record that is there.
    """

    def __init__(self, config: Config, catalog: Catalog, environment: Environment, instance: str) -> None:
        """Prepare; nothing is started before the first procedure asks for it."""
        self.config = config
        self.catalog = catalog
        self.environment = environment
        self.store = Store(config.root / config.evidence)
        self.hashes = FileHashes(config.root)
        self.instance = instance
        self.stack: Stack | None = None
        self.target: Target | None = None
        self.broken: StackError | None = None
        self.done: dict[str, Record] = {}  # what has passed on the stack that is up
        self.failed: dict[str, Record] = {}  # what has failed in this run: asking again would not mend it
        self.resources = ExitStack()
        commit, dirty = _git_state(config.root)
        self.run = Run(
            id=uuid.uuid4().hex,
            root=config.root,
            bash=find_bash(os.environ),
            languages={**DEFAULTS, **dict(config.languages)},
            mark=str(config.root / instance),
            commit=commit,
            dirty=dirty,
        )

    def __enter__(self) -> Self:
        """Put the run under the guardian's eyes."""
        self.resources.enter_context(guarded(self.run.mark))
        return self

    def __exit__(self, *_: object) -> None:
        """Take the stack down; nothing that this run started is left."""
        try:
            self.discard()
        finally:
            self.resources.close()

    def verify(self, procedure: Procedure) -> Record:
        """Return the record of a procedure, after its prerequisites; raises StackError when there is no stack."""
        target = self._ready()
        for need in self.catalog.needs(procedure):
            record = self._once(need, target)
            if record.outcome is not Outcome.PASSED:
                return self._keep(
                    _blocked(record, procedure, self._digest(procedure), f"needs {need.id}, which failed")
                )
        return self._once(procedure, target)

    def discard(self) -> None:
        """Take the stack down, if there is one; the next procedure gets a fresh one."""
        stack, self.stack, self.target = self.stack, None, None
        self.done.clear()
        if stack is not None:
            stack.down()

    def _once(self, procedure: Procedure, target: Target) -> Record:
        known = self.done.get(procedure.id) or self.failed.get(procedure.id)
        if known is not None:
            return known
        record = self._keep(execute(procedure, self._digest(procedure), target, self.run))
        if record.outcome is Outcome.INTERRUPTED:
            raise KeyboardInterrupt
        if record.outcome is Outcome.PASSED:
            self.done[procedure.id] = record
        else:
            self.failed[procedure.id] = record
            self.discard()
        return record

    def _digest(self, procedure: Procedure) -> str:
        return digest_in(self.environment, procedure, self.catalog, self.hashes)

    def _keep(self, record: Record) -> Record:
        self.store.append(record)
        return record

    def _ready(self) -> Target:
        if self.broken is not None:
            raise self.broken
        if self.stack is not None and not self.stack.healthy():
            self.discard()
        if self.target is None:
            try:
                self.target = self._bring_up()
            except StackError as error:
                self.broken = error
                raise
        return self.target

    def _bring_up(self) -> Target:
        variables = dict(self.environment.variables)
        services: tuple[Service, ...] = ()
        if self.environment.stack is not None:
            self.stack = replace(stack_of(self.config.root, self.environment, self.instance), mark=self.run.mark)
            self.stack.up()
            variables |= self.stack.variables()
            services = self.stack.services()
        return Target(
            environment=self.environment.name,
            environ=_with_our_commands({**os.environ, **variables}),
            given=frozenset({*os.environ, *variables}),
            secrets=tuple(variables[name] for name in self.environment.secrets if variables.get(name)),
            services=services,
        )


def sweep_leftovers(config: Config, environment: Environment, say: Callable[[str], None]) -> None:
    """Take down what a killed run left behind, and say so."""
    for name in sweep(config.root, environment):
        say(f"took down {name}, which a killed run had left behind")


def _blocked(because: Record, procedure: Procedure, digest: str, reason: str) -> Record:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return replace(
        because,
        procedure=procedure.id,
        page=procedure.page,
        title=procedure.title,
        outcome=Outcome.BLOCKED,
        reason=reason,
        digest=digest,
        started_at=now,
        ended_at=now,
        duration_s=0.0,
        blocks=(),
        figures=(),
    )


def _with_our_commands(environ: dict[str, str]) -> dict[str, str]:
    """Return the environment with our own commands on PATH, last: what the user has there goes first."""
    if shutil.which("runbook-checks", path=environ.get("PATH")) is None:
        environ["PATH"] = os.pathsep.join((environ.get("PATH", os.defpath), str(Path(sys.executable).parent)))
    return environ


def _git_state(root: Path) -> tuple[str, bool]:
    """Return the commit and whether the tree differs from it; no commit outside a git checkout."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(root), *arguments],
                capture_output=True,
                text=True,
                timeout=_GIT_TIMEOUT_S,
                check=False,
            )
        except FileNotFoundError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    return commit or "", commit is None or git("status", "--porcelain") != ""

"""Verify procedures on a stack of our own, prerequisites first, and keep the evidence."""

from __future__ import annotations

import os
import shutil
import sys
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self
from weakref import ref

from runbook_checks import marks
from runbook_checks.addresses import site_map
from runbook_checks.checkout import Checkout, git_state
from runbook_checks.command import complete
from runbook_checks.digest import digest_of, parts, shortened
from runbook_checks.errors import StackError, UsageError
from runbook_checks.execute import InterruptedRun, execute
from runbook_checks.files import FileHashes
from runbook_checks.guardian import guarded
from runbook_checks.guards import refuse_unsafe
from runbook_checks.http_request import expand
from runbook_checks.keys import key_in_variable, secret_of, signer_of, without_key
from runbook_checks.languages import DEFAULTS
from runbook_checks.leaks import masked
from runbook_checks.links import follow
from runbook_checks.model import Procedure, acts, runs_in
from runbook_checks.monitoring import Monitoring
from runbook_checks.occupancy import occupied
from runbook_checks.record import CHANGED, Outcome, Record, Service, to_line
from runbook_checks.redact import Redactor
from runbook_checks.running import Blocks, Run, Target
from runbook_checks.shell import find_bash
from runbook_checks.signing import sign
from runbook_checks.spare import Spare
from runbook_checks.stack import Stack, instance_folder, owned, stack_of
from runbook_checks.store import Store, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from securesystemslib.signer import CryptoSigner

    from runbook_checks.catalog import Catalog
    from runbook_checks.config import Config, Environment

FOLDER = ".runbook-checks"  # what we keep for ourselves, in the configuration's folder
_IDENTITY_TIMEOUT_S = 60.0
_NAMED = 3  # of the things that changed while a procedure ran


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a run is evidence of: what the files are and what git says, when it begins."""

    covered: Mapping[str, str]  # the hash of each thing that a procedure depends on
    digest: str
    commit: str
    dirty: bool


class Verifier:
    """Runs procedures one after the other on one stack, as a context manager.

    A procedure that did not pass, or could not clean up, costs the stack: the next one gets a fresh stack. What ran on
    a stack is not run on it again: a later request gets the record that is there.
    """

    def __init__(  # noqa: PLR0913 - the last two are for few
        self,
        config: Config,
        catalog: Catalog,
        environment: Environment,
        instance: str,
        *,
        controller: int | None = None,
        signing_key: str = "",
        run_id: str = "",
    ) -> None:
        """Prepare; no stack is started before the first procedure asks for it. ``controller``: see ``guarded``.

        ``run_id`` is that of a run of several processes; empty for one of its own.
        ``signing_key`` is what RUNBOOK_CHECKS_SIGNING_KEY holds: it signs each record. Raises UsageError for no key.
        """
        self.config = config
        self.catalog = catalog
        self.environment = environment
        self.store = Store(config.root / config.evidence)
        pem = key_in_variable(signing_key) if signing_key else ""
        self.signer = signer_of(pem) if pem else None
        self.hidden = (secret_of(pem),) if pem else ()  # no block gets it; one that finds it does not publish it
        self.instance = instance
        self.controller = controller
        self.folder = instance_folder(config.root, environment, instance)
        self.stack: Stack | None = None
        self.target: Target | None = None
        self.broken: StackError | UsageError | None = None
        self.left_behind: list[str] = []  # why stacks could not be taken down
        self.done: set[str] = set()  # what has passed on the stack that is up
        self.failed: set[str] = set()  # what has failed in this run: asking again would not mend it
        self.needed: dict[str, Record | None] = {  # the newest record of what others ask for too
            need.id: None for procedure in catalog.procedures for need in catalog.needs(procedure)
        }
        self.resources = ExitStack()
        self.run = _new_run(config, str(self.folder), run_id)
        self.checkout = Checkout(config.root)
        self._covered: tuple[object, Callable[[], object], Mapping[str, str]] = (None, object, {})  # of what, in what

    def __enter__(self) -> Self:
        """See that evidence can be kept and nobody else is there, and put the run under the guardian's eyes."""
        self.store.prepare()
        _hide_from_git(self.config.root)
        self.resources.enter_context(self.checkout)
        self.resources.enter_context(occupied(self.config.root, self.environment, self.run.id))
        self.resources.enter_context(guarded(self.run.mark, controller=self.controller))
        self.run = replace(self.run, spare=self.resources.enter_context(Spare()))
        return self

    def __exit__(self, *_: object) -> None:
        """Take the stack down; raises StackError when something that this run started is left."""
        try:
            self.discard()
        finally:
            self.resources.close()
        if self.left_behind:
            raise StackError("\n".join(self.left_behind))

    def expect(self, procedures: Iterable[Procedure]) -> None:
        """Take what is going to be asked for, in its order, or some of it: bash reads blocks ahead, many at a time."""
        self.run.syntax.expect(
            block.text for procedure in procedures for block in procedure.blocks if block.language == "bash"
        )

    def verify(self, procedure: Procedure) -> Record:
        """Return the record of a procedure, after its prerequisites.

        Raises StackError when there is no stack, UsageError when a guard forbids it, StoreError when the evidence
        cannot be kept, and InterruptedRun, after cleaning up, when it was interrupted.
        """
        needs = [need for need in self.catalog.needs(procedure) if does_something_in(need, self.environment.name)]
        refuse_unsafe(self.environment, (*needs, procedure))
        target = self.ready()
        for need in needs:
            record = self._once(need, target)
            if record.outcome is not Outcome.PASSED:
                why = f"needs {need.id}, which failed"
                seen = self._look(procedure)
                return self._keep(_without_blocks(procedure, Outcome.BLOCKED, why, seen, target, self.run))
        return self._once(procedure, target)

    def discard(self) -> None:
        """Take the stack down, if there is one; the next procedure gets a fresh one."""
        stack, self.stack, self.target = self.stack, None, None
        self.done.clear()
        if self.run.spare is not None:
            self.run.spare.end()  # it carries the mark of what goes down
        if stack is not None:
            try:
                stack.down()
            except StackError as error:  # what was verified stays true; the end of the run says what is left
                self.left_behind.append(str(error))

    def _once(self, procedure: Procedure, target: Target) -> Record:
        if procedure.id in self.done or procedure.id in self.failed:
            return self._newest(procedure)
        try:
            with Blocks(procedure, target, self.run) as blocks:
                seen = self._look(procedure)  # bash starts meanwhile, and waits for the first block
                record = execute(blocks)
            record = self._keep(self._detailed(procedure, record, seen))
        except InterruptedRun as interrupt:
            interrupt.record = record = self._detailed(procedure, interrupt.record, seen)
            try:
                interrupt.record = self._keep(record)
            except StoreError as error:  # an interrupt all the same: nothing else runs, on this stack least of all
                interrupt.record = replace(record, reason=f"{record.reason}; {error}")
            raise
        except BaseException:  # nobody knows what it has left behind
            self.discard()
            raise
        if procedure.id in self.needed:
            self.needed[procedure.id] = record
        if record.outcome is Outcome.PASSED:
            self.done.add(procedure.id)
        else:
            self.failed.add(procedure.id)
            self.discard()
        return record

    def _newest(self, procedure: Procedure) -> Record:
        """Return the record of this run that a procedure has; most are asked for once, and kept on disk alone."""
        if (record := self.needed.get(procedure.id)) is not None:
            return record
        ours = [one for one in self.store.read(self.environment.name, procedure.id) if one.run == self.run.id]
        if not ours:
            raise StoreError(f"{self.store.path(self.environment.name, procedure.id)}: the record of this run is gone")
        return ours[-1]

    def covered(self, procedure: Procedure) -> Mapping[str, str]:
        """Return the hashes of what is in the files now: an earlier procedure may have changed them."""
        hashes = self.checkout.hashes()
        if self._covered[0] is not procedure or self._covered[1]() is not hashes:  # else nothing has changed
            found = parts(self.config, self.environment, procedure, self.catalog, hashes)
            self._covered = (procedure, ref(hashes), found)
        return self._covered[2]

    def _look(self, procedure: Procedure) -> _Seen:
        """Return how things are before a procedure runs; raises StoreError when evidence of it could not be kept."""
        state = self.checkout.state()  # before our own file is there: nobody may have had git ignore it
        self.store.make_ready(self.environment.name, procedure.id)
        covered = self.covered(procedure)
        return _Seen(covered, digest_of(covered), *state)

    def _detailed(self, procedure: Procedure, record: Record, seen: _Seen) -> Record:
        """Return the record with what it is evidence of: CHANGED for a digest if that has changed meanwhile."""
        now, covered = self.covered(procedure), seen.covered
        record = replace(record, digest=seen.digest, commit=seen.commit, dirty=seen.dirty)
        if now == covered:
            return replace(record, source=procedure.source, parts=shortened(covered))
        changed = sorted(name for name in {*now, *covered} if now.get(name) != covered.get(name))
        named = ", ".join(changed[:_NAMED]) + (f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else "")
        why = f"{CHANGED}: something that {procedure.page} depends on: {named}; have git ignore what a run writes"
        return replace(record, digest=CHANGED, reason=record.reason or why)

    def _keep(self, record: Record) -> Record:
        return _keep(self.store, record, self.signer)

    def ready(self) -> Target:
        """Return the target of the stack, which is brought up if none is, or none that is healthy."""
        if self.broken is not None:
            raise self.broken
        if self.stack is not None and not self.stack.healthy():
            self.discard()
        if self.target is None:
            try:
                self.target = self._bring_up()
            except (StackError, UsageError) as error:
                self.broken = error
                raise
        return self.target

    def _bring_up(self) -> Target:
        variables = dict(self.environment.variables)
        if self.environment.stack is None:
            target = self._target(variables)
        else:
            self.resources.enter_context(owned(self.folder))
            self.stack = stack_of(self.config.root, self.environment, self.instance)
            try:
                self.stack.up()
                variables |= self.stack.variables()
                target = self._target(variables, self.stack.services(self._secrets({**os.environ, **variables})))
            except StackError as error:
                secrets = self._secrets({**os.environ, **variables})
                raise StackError(Redactor(secrets).redact(str(error))) from error
        self._refuse_unknown_secrets(target)
        Redactor(target.secrets)  # refuses a secret that is too short, before anything runs
        self._identify(target)
        return target

    def _refuse_unknown_secrets(self, target: Target) -> None:
        """Raise UsageError for a secret that is no variable: its value, under its real name, would be published."""
        for name in self.environment.secrets:
            if name not in target.environ:
                raise UsageError(
                    f"environment {self.environment.name}: the secret {name} is no variable there; mend its name"
                )

    def _target(self, variables: dict[str, str], services: tuple[Service, ...] = ()) -> Target:
        environ = _with_our_commands({**without_key(os.environ), **variables})
        secrets = self._secrets(environ)
        return Target(
            environment=self.environment.name,
            environ=environ,
            given=frozenset(environ),
            secrets=secrets,
            services=services,
            monitoring=self._monitoring(environ, secrets),
        )

    def _secrets(self, environ: Mapping[str, str]) -> tuple[str, ...]:
        return (*(environ[name] for name in self.environment.secrets if environ.get(name)), *self.hidden)

    def _monitoring(self, environ: Mapping[str, str], secrets: Sequence[str]) -> Monitoring | None:
        """Return what drills ask; raises UsageError for an address with an unknown variable, or no mkdocs.yml."""
        drill = self.environment.drill
        if drill is None or self.environment.stack is None:
            return None
        ours = {"RUNBOOK_STACK_DIR": str(self.folder), marks.VARIABLE: self.run.mark}
        site = site_map(self.config, (runbook.path for runbook in self.catalog.runbooks))
        return Monitoring(
            drill,
            expand(drill.prometheus, environ),
            self.config.root,
            {**environ, **ours},
            leads=lambda url: follow(url, site, self.catalog.procedures),
            redact=Redactor(secrets).redact,
        )

    def _identify(self, target: Target) -> None:
        """Raise UsageError when the environment is not the place that it claims to be."""
        identity = self.environment.identity
        if identity is None:
            return
        done = complete(identity.run, cwd=self.config.root, environ=target.environ, timeout_s=_IDENTITY_TIMEOUT_S)
        if done.status != 0 or done.expired or done.stdout.strip() != identity.prints.strip():
            said = Redactor(target.secrets).redact(done.stdout + done.stderr).strip()
            raise UsageError(
                f"nothing proves that this is {self.environment.name}: `{identity.run}` exited with {done.status} and"
                f" printed {said!r}, not {identity.prints!r}"
            )


def keep_crashed(  # noqa: PLR0913, PLR0917 - what a record says
    config: Config,
    catalog: Catalog,
    environment: Environment,
    procedure: Procedure,
    signing_key: str = "",
    run_id: str = "",
) -> Record:
    """Keep and return the record of a procedure whose worker process died while it ran, in the run of that worker."""
    target = Target(environment=environment.name, environ={}, given=frozenset())
    covered = parts(config, environment, procedure, catalog, FileHashes(config.root))
    seen = _Seen(covered, digest_of(covered), *git_state(config.root))
    why = f"{procedure.page}:{procedure.line}: worker crashed: the process that ran the procedure died"
    record = _without_blocks(procedure, Outcome.FAILED, why, seen, target, _new_run(config, "", run_id))
    signer = signer_of(key_in_variable(signing_key)) if signing_key else None
    return _keep(Store(config.root / config.evidence), record, signer)


def _keep(store: Store, record: Record, signer: CryptoSigner | None) -> Record:
    record, _ = masked(record)  # once more: its source was not there when the blocks had run
    record = store.append(record)
    if signer is not None:
        store.append_signature(record, sign(record, to_line(record).encode().removesuffix(b"\n"), signer))
    return record


def _new_run(config: Config, mark: str, run_id: str) -> Run:
    return Run(
        id=run_id or uuid.uuid4().hex,
        root=config.root,
        bash=find_bash(os.environ),
        languages={**DEFAULTS, **dict(config.languages)},
        mark=mark,
    )


def does_something_in(procedure: Procedure, environment: str) -> bool:
    """Return whether a procedure does anything for those who need it, be it proven there or not."""
    return any(acts(block) and runs_in(block, environment) for block in procedure.blocks)


def _without_blocks(  # noqa: PLR0913, PLR0917 - what a record says
    procedure: Procedure, outcome: Outcome, reason: str, seen: _Seen, target: Target, run: Run
) -> Record:
    """Return the record of a procedure of which no block was run, or none is known."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return Record(
        run=run.id,
        procedure=procedure.id,
        page=procedure.page,
        title=procedure.title,
        outcome=outcome,
        reason=reason,
        digest=seen.digest,
        environment=target.environment,
        started_at=now,
        ended_at=now,
        duration_s=0.0,
        commit=seen.commit,
        dirty=seen.dirty,
        services=target.services,
    )


def _hide_from_git(root: Path) -> None:
    """Have git ignore what we keep for ourselves: else the first run would make the tree dirty for the second."""
    ignore = root / FOLDER / ".gitignore"
    if not ignore.exists():
        ignore.parent.mkdir(exist_ok=True)
        ignore.write_text("*\n", encoding="utf-8")


def _with_our_commands(environ: dict[str, str]) -> dict[str, str]:
    """Return the environment with our own commands on PATH, last: what the user has there goes first."""
    if shutil.which("runbook-checks", path=environ.get("PATH")) is None:
        environ["PATH"] = os.pathsep.join((environ.get("PATH", os.defpath), str(Path(sys.executable).parent)))
    return environ

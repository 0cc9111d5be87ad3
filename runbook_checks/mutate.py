"""The proof of need: run a procedure without each of its blocks in turn, each time on a fresh stack of our own."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from runbook_checks.digest import digest_of
from runbook_checks.errors import RunbookError, UsageError
from runbook_checks.execute import InterruptedRun, execute
from runbook_checks.guards import refuse_unsafe
from runbook_checks.model import Role
from runbook_checks.mutants import Kind, Mutant, Probe, mutants_of, probe_of
from runbook_checks.need import Need, Proof, held, signed_as, to_line
from runbook_checks.record import CHANGED, Outcome, Record
from runbook_checks.running import Blocks
from runbook_checks.signing import sign
from runbook_checks.verify import does_something_in
from runbook_checks.weighing import weigh

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runbook_checks.config import Environment
    from runbook_checks.model import Procedure
    from runbook_checks.need import Trial, Tried
    from runbook_checks.record import Service
    from runbook_checks.verify import Verifier

_NAMED = 3  # of the things that changed meanwhile


class BaselineError(RunbookError):
    """The procedure does not pass as it is written, so nothing can be learnt from leaving out a part of it."""

    exit_code = 1


class ChangedError(RunbookError):
    """What was tried is not what it was when that began, so nobody can say what is proven; nothing is kept."""

    exit_code = 1


class OutOfTimeError(RunbookError):
    """The time was over before the procedure was tried to its end; nothing of it is kept."""

    exit_code = 0


def refuse_elsewhere(environment: Environment, procedures: Sequence[Procedure]) -> None:
    """Raise UsageError when blocks cannot be left out of these procedures there; nothing has run by then."""
    if environment.stack is None:
        raise UsageError(
            f"environment {environment.name} has no stack of our own; blocks are left out of a procedure nowhere else"
        )
    refuse_unsafe(environment, procedures)


def prove(verifier: Verifier, procedure: Procedure, until: float | None = None) -> Need:
    """Return the proof of need of a procedure, after keeping it as evidence.

    No run begins after ``until``, seconds since the epoch. Nothing is kept when this raises: BaselineError when the
    procedure does not pass as it is, ChangedError when it is changed meanwhile, OutOfTimeError when the time is over,
    what Verifier.verify raises for a stack or a guard, and KeyboardInterrupt.
    """
    if until is not None and time.time() >= until:
        raise OutOfTimeError(f"{procedure.id}: not tried, the time is over")
    needed = verifier.catalog.needs(procedure)
    refuse_elsewhere(verifier.environment, (*needed, procedure))
    commit, dirty = verifier.checkout.state()
    covered = verifier.covered(procedure)
    started_at, started = datetime.now(UTC), time.monotonic()
    runner = _Runner(verifier, procedure, until)
    mutants = mutants_of(procedure, verifier.environment.name)
    trials: tuple[Trial, ...] = ()
    blocks: tuple[Tried, ...] = ()
    if mutants:
        trials, blocks = runner.trials(mutants)
    if changed := _changed(covered, verifier.covered(procedure)):
        raise ChangedError(f"{procedure.id}: {CHANGED}: {changed}; nothing is proven, and nothing kept")
    proof = Proof(
        run=verifier.run.id,
        procedure=procedure.id,
        page=procedure.page,
        title=procedure.title,
        digest=digest_of(covered),
        environment=verifier.environment.name,
        started_at=started_at.isoformat(timespec="milliseconds"),
        ended_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        duration_s=round(time.monotonic() - started, 3),
        commit=commit,
        dirty=dirty,
        services=runner.services,
        trials=trials,
        blocks=blocks,
    )
    line = to_line(proof).encode().removesuffix(b"\n")
    verifier.store.append_need(proof, sign(signed_as(proof), line, verifier.signer) if verifier.signer else b"")
    return held(proof, procedure)


def _changed(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


class _Runner:
    def __init__(self, verifier: Verifier, procedure: Procedure, until: float | None) -> None:
        self.verifier = verifier
        self.procedure = procedure
        self.until = until
        self.environment = verifier.environment.name
        self.services: tuple[Service, ...] = ()

    def trials(self, mutants: Sequence[Mutant]) -> tuple[tuple[Trial, ...], tuple[Tried, ...]]:
        """Run the baseline and the mutants, and return what they prove; one that can prove no more is left out."""
        baseline = self._run(self.procedure, Probe())
        if baseline.outcome is not Outcome.PASSED:
            raise BaselineError(f"{self.procedure.id} does not pass as it is: {baseline.reason}")
        runs: list[tuple[Mutant, Record]] = []
        trials, blocks = weigh(self.procedure, self.environment, runs)
        for mutant in mutants:
            checks = [one for one in blocks if one.role == Role.CHECK.value]
            known = frozenset(one.id for one in checks if one.proven)
            if mutant.kind in {Kind.FAULT, Kind.SETUP} and len(known) == len(checks):
                continue
            probe = probe_of(mutant, self.procedure, baseline, known)
            runs.append((mutant, self._run(mutant.of(self.procedure), probe)))
            trials, blocks = weigh(self.procedure, self.environment, runs)
        return trials, blocks

    def _run(self, procedure: Procedure, probe: Probe) -> Record:
        """Run a procedure after what it needs, on a fresh stack, and leave nothing of it in the evidence."""
        if self.until is not None and time.time() >= self.until:
            raise OutOfTimeError(f"{procedure.id}: not tried to its end, the time is over")
        verifier = self.verifier
        verifier.discard()
        target = verifier.ready()
        self.services = target.services
        try:
            for need in verifier.catalog.needs(self.procedure):
                if not does_something_in(need, self.environment):
                    continue
                with Blocks(need, target, verifier.run) as blocks:
                    record = execute(blocks)
                if record.outcome is not Outcome.PASSED:
                    reason = f"needs {need.id}, which failed: {record.reason}"
                    return replace(record, blocks=(), outcome=Outcome.BLOCKED, reason=reason)
            with Blocks(procedure, target, verifier.run, probe) as blocks:
                return execute(blocks)
        except InterruptedRun as interrupt:  # its record tells of a run with something left out
            raise KeyboardInterrupt from interrupt
        finally:
            verifier.discard()

"""Run one procedure in one environment, block by block, and return the evidence."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from runbook_checks.blocks import captures
from runbook_checks.drill import Answer, Drill
from runbook_checks.errors import RunbookError
from runbook_checks.expect import number_of
from runbook_checks.leaks import masked
from runbook_checks.model import DRILL_FIGURES, Block, Procedure, Role, is_drill, runs_in
from runbook_checks.record import Figure, Outcome, Record
from runbook_checks.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runbook_checks.model import FigureBound
    from runbook_checks.mutants import Probe
    from runbook_checks.running import Blocks, Run

    Act = Block | Callable[[], Answer]  # or a question of a drill

_FIRST = frozenset({Role.SETUP, Role.FAULT})
_ANYHOW = frozenset({Role.ROLLBACK, Role.CLEANUP})
_APART = frozenset({*_FIRST, Role.CLEANUP})  # from what the procedure itself does


class InterruptedRun(KeyboardInterrupt):
    """An interrupt, after cleaning up, with the record of the procedure that it hit: it may have failed before that."""

    def __init__(self, record: Record) -> None:
        """Keep the record."""
        super().__init__(record.reason)
        self.record = record


class UnjudgedError(RunbookError):
    """Something of our own, such as a full disk, kept a block from running: that says nothing of the procedure."""


def execute(blocks: Blocks) -> Record:
    """Run a procedure's blocks, whose session is open, to its end, and return what they did.

    The record does not say yet which files and which commit it is evidence of. Raises InterruptedRun, which carries it,
    when interrupted.

    Raises UnjudgedError, after cleaning up, when a block could not run for want of something of our own.

    Setup blocks come first, then steps, checks and rollbacks as the page has them. The first failure ends that, but for
    the rollbacks; cleanup blocks run in any case. With fault blocks it is a drill: they run after setup, and between
    the blocks monitoring is asked whether the fault was noticed and is over. With a probe it is a run for the proof of
    need, and differs as that says.
    """
    procedure, target, run = blocks.procedure, blocks.target, blocks.run
    started_at, started = datetime.now(UTC), time.monotonic()
    execution = _Execution(blocks)
    reason = _first_syntax_error(procedure, run)
    outcome = Outcome.FAILED if reason else execution.blocks_in_order()
    figures: tuple[Figure, ...] = ()
    if outcome is Outcome.PASSED:
        figures, answer = execution.figures()
        outcome, reason = execution.judged(answer), answer.reason
    elif execution.all_but_cleanup and blocks.probe is None:
        figures, answer = execution.figures()
        reason = "\n".join(filter(None, (execution.blocks.reason, answer.reason)))
    record, _ = masked(
        Record(
            run=run.id,
            procedure=procedure.id,
            page=procedure.page,
            title=procedure.title,
            outcome=outcome,
            reason=reason or execution.blocks.reason,
            digest="",
            environment=target.environment,
            started_at=started_at.isoformat(timespec="milliseconds"),
            ended_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            duration_s=round(time.monotonic() - started, 6),
            services=target.services,
            blocks=tuple(execution.blocks.records),
            figures=figures,
            moments=execution.drill.moments() if execution.drill else (),
        )
    )
    if execution.interrupted:
        raise InterruptedRun(record)
    if execution.unjudged:
        raise UnjudgedError(execution.why_unjudged())
    return record


def _told(error: OSError | RunbookError) -> str:
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    return f"{error.strerror}: {error.filename}" if error.filename else error.strerror


def _first_syntax_error(procedure: Procedure, run: Run) -> str:
    for language in ("bash", "sh"):
        blocks = [block for block in procedure.blocks if block.language == language]
        said = run.syntax.check([block.text for block in blocks], run.bash, posix=language == "sh")
        for block, message in zip(blocks, said, strict=True):
            if message:
                where = f"{procedure.page}:{block.span.first}"
                return f"{where}: nothing was run, {language} cannot read this block: {message}"
    return ""


class _Execution:
    def __init__(self, blocks: Blocks) -> None:
        self.blocks = blocks
        self.procedure = procedure = blocks.procedure
        self.target = target = blocks.target
        self.probe = blocks.probe
        self.interrupted = False
        self.unjudged: list[str] = []  # what could not begin or be asked, and why
        self.all_but_cleanup = False  # has passed, and something failed after that
        self.drill: Drill | None = None
        if target.monitoring is not None and is_drill(procedure, target.environment):
            self.drill = Drill(procedure, target.environment, target.monitoring, self.blocks.holds_now)

    def blocks_in_order(self) -> Outcome:
        cleanup = [block for block in self.procedure.blocks if block.role is Role.CLEANUP]
        outcome = self._work(self._acts())
        before, outcome = outcome, self._clean_up(cleanup, outcome)
        whole = not any(self._why_not(block) for block in cleanup)  # else it is no wonder that something is left
        outcome = self._work([self.drill.is_as_before] if self.drill and whole else [], outcome)
        try:
            self.blocks.close()
        except KeyboardInterrupt:
            outcome = self._interrupt("interrupted while the shell was closed", outcome)
            self.blocks.close()
        if outcome is Outcome.PASSED and self.blocks.reason and self.probe is None:  # a trap of EXIT was stopped
            outcome = Outcome.FAILED
        self.all_but_cleanup = before is Outcome.PASSED and outcome is Outcome.FAILED
        return outcome

    def _acts(self) -> list[Act]:
        blocks = self.procedure.blocks
        setup = [block for block in blocks if block.role is Role.SETUP]
        faults = [block for block in blocks if block.role is Role.FAULT]
        work = [block for block in blocks if block.role not in _APART]
        drill = self.drill
        if drill is None:
            return [*setup, *(one for one in faults if not runs_in(one, self.target.environment)), *work]
        noticed = (drill.is_noticed, drill.bites, drill.lasts)
        before = (drill.is_silent, drill.is_sound, drill.is_silent)  # the second may take a while
        return [drill.take_snapshot, *setup, *before, *faults, *noticed, *work, drill.heals]

    def _work(self, acts: Sequence[Act], outcome: Outcome = Outcome.PASSED) -> Outcome:
        try:
            for act in acts:
                if not isinstance(act, Block):
                    if outcome is Outcome.PASSED and (answer := self._answer(act)).reason:
                        self.blocks.reason = Redactor(self.target.secrets).redact(answer.reason)
                        outcome = self.judged(answer)
                elif self.probe is not None and self.probe.goes_on:
                    outcome = self._probe(self.probe, act, outcome)
                elif outcome is Outcome.FAILED and act.role is not Role.ROLLBACK:
                    self.blocks.skip(act, "not run: an earlier block failed")
                elif not self._passes(act):
                    outcome = Outcome.FAILED
        except KeyboardInterrupt:
            outcome = self._interrupt("interrupted", outcome)
        return outcome

    def _probe(self, probe: Probe, block: Block, outcome: Outcome) -> Outcome:
        """Run a block whatever has failed, unless nothing could be learnt from it, and return the outcome by now."""
        records = self.blocks.records
        failed = (one for one in records if one.outcome is Outcome.FAILED)
        if outcome is not Outcome.PASSED and not any(Role(one.role) not in _FIRST for one in failed):
            self.blocks.skip(block, "not run: an earlier block failed")
        elif probe.is_over(block, self.procedure.blocks, records, self.target.environment):
            self.blocks.skip(block, "not run: something has noticed, and all that is left has refused before")
        elif why := self._why_not(block):
            self.blocks.skip(block, why)
        elif not self._passes(self._in_time(probe, block, outcome)):
            return Outcome.FAILED
        return outcome

    def _passes(self, block: Block) -> bool:
        """Run a block and return whether it passed; what could not begin for want of our own files has not.

        What must run in any case is tried again as long as there is another place for them.
        """
        while True:
            try:
                return self.blocks.passes(block)
            except (OSError, RunbookError) as error:
                self.blocks.running = None
                again = isinstance(error, OSError) and self.blocks.make_room() and block.role in _ANYHOW
                if not again:
                    where = f"{self.procedure.page}:{block.span.first}: {block.role.value} {block.id}"
                    self.unjudged.append(f"{where} could not begin: {_told(error)}")
                    self.blocks.skip(block, self.unjudged[-1], Outcome.FAILED)
                    return False

    def _answer(self, ask: Callable[[], Answer]) -> Answer:
        try:
            return ask()
        except (OSError, RunbookError) as error:
            if isinstance(error, OSError):
                self.blocks.make_room()
            self.unjudged.append(f"{self.procedure.page}:{self.procedure.line}: {_told(error)}")
            return Answer(self.unjudged[-1])

    def why_unjudged(self) -> str:
        """Return what could not begin and why, and how cleaning up went all the same."""
        last = [one for one in self.blocks.records if Role(one.role) in _ANYHOW]
        failed = [one.message for one in last if one.outcome is Outcome.FAILED and one.message not in self.unjudged]
        cleaned = "" if failed or any(one.message in self.unjudged for one in last) else "; what cleans up has run"
        return "\n".join((*self.unjudged, *failed, f"{self.procedure.id} is not judged{cleaned}"))

    def _in_time(self, probe: Probe | None, block: Block, outcome: Outcome) -> Block:
        """Return a block of a run without others, with less time where it has decided already, or prepares in vain."""
        if probe is None or not probe.goes_on:
            return block
        decided = outcome is not Outcome.PASSED
        return probe.bounded(block) if decided or probe.prepares_in_vain(block) else block

    def _why_not(self, block: Block) -> str:
        """Return why a block would do harm, or nobody could judge it, without what was left out; else ''."""
        if self.probe is None or not self.probe.goes_on:
            return ""
        return self.probe.why_not(block, self.procedure.blocks, self.blocks.records, self.target.given)

    def _clean_up(self, blocks: list[Block], outcome: Outcome) -> Outcome:
        try:
            for block in blocks:
                if why := self._why_not(block):
                    self.blocks.skip(block, why)
                elif not self._passes(self._in_time(self.probe, block, outcome)) and outcome is Outcome.PASSED:
                    outcome = Outcome.FAILED
        except KeyboardInterrupt:
            outcome = self._interrupt("interrupted while cleaning up", outcome)
        return outcome

    def _interrupt(self, how: str, outcome: Outcome) -> Outcome:
        """Note an interrupt and return the outcome that it makes: what has failed before it has failed all the same."""
        self.interrupted = True
        block, self.blocks.running = self.blocks.running, None
        if block is not None:
            self.blocks.skip(block, how, Outcome.INTERRUPTED)
            how = f"{self.procedure.page}:{block.span.first}: {how}, in {block.role.value} {block.id}"
        if outcome is Outcome.FAILED:
            return outcome
        self.blocks.reason = how
        return Outcome.INTERRUPTED

    def judged(self, answer: Answer) -> Outcome:
        """Return what a question makes of the run; without a block, a missing answer decides nothing."""
        if not answer.reason:
            return Outcome.PASSED
        decided = not answer.unanswered or self.probe is None or not self.probe.goes_on
        return Outcome.FAILED if decided else Outcome.BLOCKED

    def figures(self) -> tuple[tuple[Figure, ...], Answer]:
        """Return the figures that the card lists or a drill measures, and whether the procedure fails on them."""
        durations = {record.id: record.duration_s for record in self.blocks.records if record.attempts}
        by_drill = self.drill.figures() if self.drill else {}
        listed = {bound.name for bound in self.procedure.card.figures}
        figures = [Figure(name, value, "s") for name, value in by_drill.items() if name not in listed]
        answer = Answer()
        for bound in self.procedure.card.figures:
            where = f"{self.procedure.page}:{self.procedure.card.line}"
            source = by_drill.get(bound.name, self.blocks.captures.get(bound.name, durations.get(bound.name)))
            if source is None and bound.name not in _measured(self.procedure, self.target.environment):
                continue  # a block for another environment measures it
            value = _number(source)
            if value is None:
                told = f"{where}: figure {bound.name} is not a number, but {str(source)!r}"
                answer = answer if answer.reason else Answer(told)
                continue
            figures.append(_held(bound, value, "s" if bound.name in by_drill else ""))
            if not figures[-1].kept and not answer.reason:
                late = bound.name in by_drill and self.drill is not None and self.drill.silent
                answer = Answer(f"{where}: {_broken(figures[-1])}", unanswered=late)
        return tuple(figures), answer


def _held(bound: FigureBound, value: float, unit: str) -> Figure:
    """Return what was measured, held against its bounds; ``unit`` is for a card that says none."""
    low, high = bound.minimum, bound.maximum
    kept = (low is None or value >= low) and (high is None or value <= high)
    return Figure(bound.name, value, bound.unit or unit, low, high, kept)


def _broken(figure: Figure) -> str:
    high = figure.maximum
    limit = f"at most {high:g}" if high is not None and figure.value > high else f"at least {figure.minimum:g}"
    return f"figure {figure.name} must be {limit} {figure.unit}".rstrip() + f", and is {figure.value:g}"


def _measured(procedure: Procedure, environment: str) -> set[str]:
    """Return what the blocks that run in an environment could measure."""
    blocks = [block for block in procedure.blocks if runs_in(block, environment)]
    captured = {name for block in blocks for one in block.expectations for name in captures(one)}
    by_drill = DRILL_FIGURES if is_drill(procedure, environment) else ()
    return {*captured, *by_drill, *(block.id for block in blocks)}


def _number(source: str | float | None) -> float | None:
    return number_of(source) if isinstance(source, str) else source

"""Run one procedure in one environment, block by block, and return the evidence."""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from runbook_checks.blocks import captures
from runbook_checks.expect import Verdict, compare
from runbook_checks.languages import assign, script
from runbook_checks.model import Block, Procedure, Role, Stream, runs_in
from runbook_checks.record import BlockRecord, Figure, Outcome, Record, Service
from runbook_checks.shell import Ended, How, Session, check_syntax

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

STEP_TIMEOUT_S = 300.0
CHECK_TIMEOUT_S = 30.0
CHECK_EVERY_S = 0.5
_LAST_WORDS_BYTES = 300
_BLOCK_FILE = re.compile(r"^\S*/block\.[0-9]+: (?:line [0-9]+: )?")
_NO_VALUE = re.compile("[\0\ud800-\udfff]")  # NUL, and half of a surrogate pair: JSON may name both


class InterruptedRun(KeyboardInterrupt):
    """An interrupt, after cleaning up, with the record of the procedure that it hit: it may have failed before that."""

    def __init__(self, record: Record) -> None:
        """Keep the record."""
        super().__init__(record.reason)
        self.record = record


@dataclass(frozen=True, slots=True)
class Target:
    """Where a procedure runs: the shell's whole environment, the values to redact, and what the stack is made of."""

    environment: str
    environ: Mapping[str, str]
    given: frozenset[str]  # names of variables that no capture may overwrite
    secrets: tuple[str, ...] = ()
    services: tuple[Service, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """What all procedures of one run have in common."""

    id: str
    root: Path
    bash: Path
    languages: Mapping[str, str]
    mark: str
    commit: str = ""
    dirty: bool = False


def execute(procedure: Procedure, digest: str, target: Target, run: Run) -> Record:
    """Run a procedure's blocks and return its record; raise InterruptedRun, which carries it, when interrupted.

    Setup blocks come first, then steps, checks and rollbacks as the page has them. The first failure ends that, but for
    the rollbacks; cleanup blocks run in any case. Fault blocks belong to drills and do not run.
    """
    started_at, started = datetime.now(UTC), time.monotonic()
    execution = _Execution(procedure, target, run)
    reason = _first_syntax_error(procedure, run)
    outcome = Outcome.FAILED if reason else execution.blocks_in_order()
    figures: tuple[Figure, ...] = ()
    if outcome is Outcome.PASSED:
        figures, reason = execution.figures()
        outcome = Outcome.FAILED if reason else outcome
    record = Record(
        run=run.id,
        procedure=procedure.id,
        page=procedure.page,
        title=procedure.title,
        outcome=outcome,
        reason=reason or execution.reason,
        digest=digest,
        environment=target.environment,
        started_at=started_at.isoformat(timespec="milliseconds"),
        ended_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        duration_s=round(time.monotonic() - started, 6),
        commit=run.commit,
        dirty=run.dirty,
        services=target.services,
        blocks=tuple(execution.records),
        figures=figures,
    )
    if execution.interrupted:
        raise InterruptedRun(record)
    return record


def _first_syntax_error(procedure: Procedure, run: Run) -> str:
    for language in ("bash", "sh"):
        blocks = [block for block in procedure.blocks if block.language == language]
        said = check_syntax([block.text for block in blocks], run.bash, posix=language == "sh")
        for block, message in zip(blocks, said, strict=True):
            if message:
                where = f"{procedure.page}:{block.span.first}"
                return f"{where}: nothing was run, {language} cannot read this block: {message}"
    return ""


class _Execution:
    def __init__(self, procedure: Procedure, target: Target, run: Run) -> None:
        self.procedure = procedure
        self.target = target
        self.run = run
        self.records: list[BlockRecord] = []
        self.reason = ""
        self.interrupted = False
        self.captures: dict[str, str] = {}
        self.started_by: dict[int, int] = {}  # the session's number of a block: the place of its record
        self.running: Block | None = None
        self.changed_at = time.time()  # when a block last changed something, or we began: seconds since the epoch

    def blocks_in_order(self) -> Outcome:
        blocks = [block for block in self.procedure.blocks if block.role is not Role.FAULT]
        work = sorted(
            (block for block in blocks if block.role is not Role.CLEANUP),
            key=lambda block: block.role is not Role.SETUP,
        )
        self.session = self._open()
        try:
            outcome = self._work(work)
            outcome = self._clean_up([block for block in blocks if block.role is Role.CLEANUP], outcome)
        except BaseException:
            self._close()
            raise
        try:
            self._close()
        except KeyboardInterrupt:
            outcome = self._interrupt("interrupted while the shell was closed", outcome)
            self._close()
        return outcome

    def _work(self, blocks: list[Block]) -> Outcome:
        outcome = Outcome.PASSED
        try:
            for block in blocks:
                if outcome is Outcome.FAILED and block.role is not Role.ROLLBACK:
                    self._skip(block, "not run: an earlier block failed")
                elif not self._passes(block):
                    outcome = Outcome.FAILED
        except KeyboardInterrupt:
            outcome = self._interrupt("interrupted", outcome)
        return outcome

    def _clean_up(self, blocks: list[Block], outcome: Outcome) -> Outcome:
        try:
            for block in blocks:
                if not self._passes(block) and outcome is Outcome.PASSED:
                    outcome = Outcome.FAILED
        except KeyboardInterrupt:
            outcome = self._interrupt("interrupted while cleaning up", outcome)
        return outcome

    def _interrupt(self, how: str, outcome: Outcome) -> Outcome:
        """Note an interrupt and return the outcome that it makes: what has failed before it has failed all the same."""
        self.interrupted = True
        block, self.running = self.running, None
        if block is not None:
            self._skip(block, how, Outcome.INTERRUPTED)
            how = f"{self.procedure.page}:{block.span.first}: {how}, in {block.role.value} {block.id}"
        if outcome is Outcome.FAILED:
            return outcome
        self.reason = how
        return Outcome.INTERRUPTED

    def figures(self) -> tuple[tuple[Figure, ...], str]:
        """Return the figures that the card lists, and why the procedure fails on them, if it does."""
        durations = {record.id: record.duration_s for record in self.records if record.attempts}
        figures, reason = [], ""
        for bound in self.procedure.card.figures:
            where = f"{self.procedure.page}:{self.procedure.card.line}"
            source = self.captures.get(bound.name, durations.get(bound.name))
            if source is None and bound.name not in _measured(self.procedure, self.target.environment):
                continue  # a block for another environment measures it
            value = _number(source)
            if value is None:
                reason = reason or f"{where}: figure {bound.name} is not a number, but {str(source)!r}"
                continue
            low, high = bound.minimum, bound.maximum
            kept = (low is None or value >= low) and (high is None or value <= high)
            figures.append(Figure(bound.name, value, bound.unit, low, high, kept))
            if not kept and not reason:
                limit = f"at most {high:g}" if high is not None and value > high else f"at least {low:g}"
                reason = f"{where}: figure {bound.name} must be {limit} {bound.unit}".rstrip() + f", and is {value:g}"
        return tuple(figures), reason

    def _passes(self, block: Block) -> bool:
        if not runs_in(block, self.target.environment):
            self._skip(block, f"not run: for environment {block.environment}")
            return True
        if not self.session.alive:
            self._reopen()
        if block.language == "promql":
            self._set("RUNBOOK_CHECKS_SINCE", f"{self.changed_at:.3f}", exported=True)
        started = time.monotonic()
        self.running = block
        ended, verdicts, attempts = self._attempt(block)
        self.running = None
        self.started_by[ended.number] = len(self.records)
        if block.role is not Role.CHECK:
            self.changed_at = time.time()
        message = self._message(block, ended, verdicts) or self._keep(block, verdicts)
        self.records.append(
            replace(
                _recorded(block, Outcome.FAILED if message else Outcome.PASSED, message),
                exit_status=ended.status,
                stdout=_text(ended.stdout),
                stderr=_text(ended.stderr),
                stdout_cut=ended.stdout_cut,
                stderr_cut=ended.stderr_cut,
                duration_s=round(time.monotonic() - started, 6),
                attempts=attempts,
            )
        )
        if message and not self.reason:
            self.reason = message
        return not message

    def _attempt(self, block: Block) -> tuple[Ended, tuple[Verdict, ...], int]:
        """Run a block: once, but for a check with a deadline, which is asked again until it holds."""
        text = script(block, self.run.languages)
        timeout_s = _timeout_s(block)
        if block.within_s is None:
            ended = self.session.run(text, timeout_s=timeout_s)
            return ended, self._verdicts(block, ended), 1
        deadline = time.monotonic() + block.within_s
        attempts, left_s, answer = 0, block.within_s, None
        while True:
            attempts += 1
            ended = self.session.run(text, timeout_s=min(timeout_s, left_s), subshell=True)
            left_s = deadline - time.monotonic()
            if left_s < 0:  # too late, even if it holds; an earlier answer says more than one that was cut short
                return *(answer or (replace(ended, how=How.TIMEOUT), self._verdicts(block, ended))), attempts
            answer = ended, self._verdicts(block, ended)
            if _exited(block, ended) and all(verdict.held for verdict in answer[1]):
                return *answer, attempts
            time.sleep(min(block.every_s or CHECK_EVERY_S, left_s))
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not self.session.alive:
                return *answer, attempts

    def _verdicts(self, block: Block, ended: Ended) -> tuple[Verdict, ...]:
        streams = {
            Stream.STDOUT: (_text(ended.stdout), ended.stdout_cut),
            Stream.STDERR: (_text(ended.stderr), ended.stderr_cut),
        }
        came = ((expectation, *streams[expectation.stream]) for expectation in block.expectations)
        return tuple(compare(one, text, self.procedure.page, cut_bytes=cut) for one, text, cut in came)

    def _message(self, block: Block, ended: Ended, verdicts: tuple[Verdict, ...]) -> str:
        """Return why a block failed, in a reader's words, or nothing."""
        lines = []
        if not _exited(block, ended):
            how = _how_it_ended(block, ended, _timeout_s(block))
            lines.append(f"{self._place(block, ended)}: {block.role.value} {block.id} {how}")
        lines += [verdict.difference for verdict in verdicts if not verdict.held]
        if lines and block.within_s is not None:
            lines.append(f"(asked again for {block.within_s:g} s)")
        return "\n".join(lines)

    def _place(self, block: Block, ended: Ended) -> str:
        offset = ended.line if ended.line is not None and block.language == "bash" else 0
        return f"{self.procedure.page}:{min(block.span.first + offset, block.span.last)}"

    def _keep(self, block: Block, verdicts: tuple[Verdict, ...]) -> str:
        """Make the captures of a block shell variables; return why that cannot be, or nothing."""
        for name, value in (capture for verdict in verdicts for capture in verdict.captures):
            if name in self.target.given:
                where = f"{self.procedure.page}:{block.span.first}"
                return f"{where}: the capture <{name}> would overwrite a variable of the environment; rename it"
            if _NO_VALUE.search(value):
                where = f"{self.procedure.page}:{block.span.first}"
                return f"{where}: the capture <{name}> holds a character that no shell variable can: {value!r}"
            if not self._set(name, value):
                where = f"{self.procedure.page}:{block.span.first}"
                return f"{where}: the capture <{name}> is no variable that the shell lets us set; rename it"
            self.captures[name] = value
        return ""

    def _set(self, name: str, value: str, *, exported: bool = False) -> bool:
        """Set a shell variable and return whether that went well."""
        if not self.session.alive:
            return False
        ended = self.session.run(("export " if exported else "") + assign(name, value), timeout_s=CHECK_TIMEOUT_S)
        return ended.how is How.END and ended.status == 0

    def _skip(self, block: Block, message: str, outcome: Outcome = Outcome.SKIPPED) -> None:
        self.records.append(_recorded(block, outcome, message))

    def _open(self) -> Session:
        return Session(
            self.run.root, self.target.environ, self.run.bash, secrets=self.target.secrets, marker=self.run.mark
        ).__enter__()

    def _reopen(self) -> None:
        """Give the blocks that are left a fresh shell, with the environment and the captures of the lost one."""
        self._close()
        self.session = self._open()
        for name, value in self.captures.items():
            self._set(name, value)

    def _close(self) -> None:
        """End the session; what background jobs printed late goes to the blocks that started them."""
        self.session.close()
        for late in self.session.late_output():
            place = self.started_by.get(late.number)
            if place is None:
                continue
            record = self.records[place]
            self.records[place] = replace(
                record,
                stdout=record.stdout + _text(late.stdout),
                stderr=record.stderr + _text(late.stderr),
                stdout_cut=record.stdout_cut + late.stdout_cut,
                stderr_cut=record.stderr_cut + late.stderr_cut,
            )
        self.started_by.clear()


def _measured(procedure: Procedure, environment: str) -> set[str]:
    """Return what the blocks that run in an environment could measure."""
    blocks = [block for block in procedure.blocks if runs_in(block, environment)]
    captured = {name for block in blocks for one in block.expectations for name in captures(one)}
    return captured | {block.id for block in blocks}


def _number(source: str | float | None) -> float | None:
    try:
        value = float(source) if source is not None else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _recorded(block: Block, outcome: Outcome, message: str) -> BlockRecord:
    return BlockRecord(
        id=block.id,
        role=block.role.value,
        language=block.language,
        line=block.span.first,
        command=block.text,
        outcome=outcome,
        message=message,
    )


def _exited(block: Block, ended: Ended) -> bool:
    return ended.how in {How.END, How.EXIT} and ended.status == block.exit_status


def _timeout_s(block: Block) -> float:
    return block.timeout_s or (CHECK_TIMEOUT_S if block.role is Role.CHECK else STEP_TIMEOUT_S)


def _how_it_ended(block: Block, ended: Ended, timeout_s: float) -> str:
    match ended.how:
        case How.TIMEOUT if block.within_s is None:
            return f"did not end within its {timeout_s:g} s and was stopped"
        case How.TIMEOUT:
            return "did not end in time and was stopped"
        case How.LOST:
            return "ended the shell itself, so nobody can say how it went (`exec`, `kill -9 $$` …)"
        case How.STRAY:
            return "left its own block (`break` or `continue` outside a loop)"
        case _:
            said = _last_words(ended.stderr)
            return f"exited with {ended.status}, expected {block.exit_status}" + (f": {said}" if said else "")


def _last_words(stderr: bytes) -> str:
    """Return the last line that a block wrote to standard error, without the name that bash gives the block's file."""
    lines = [line for line in _text(stderr[-_LAST_WORDS_BYTES:]).splitlines() if line.strip()]
    return _BLOCK_FILE.sub("", lines[-1]).strip() if lines else ""


def _text(output: bytes) -> str:
    return output.decode("utf-8", errors="replace")

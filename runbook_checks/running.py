"""Run blocks in one shell session, one after the other, and keep what each of them did."""

from __future__ import annotations

import re
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from runbook_checks.bash import Syntax
from runbook_checks.expect import Verdict, compare_all
from runbook_checks.languages import assign, script
from runbook_checks.model import Block, Procedure, Role, Stream, runs_in
from runbook_checks.processes import folder_base
from runbook_checks.record import BlockRecord, Outcome, Service
from runbook_checks.shell import FAREWELL_S, Ended, How, Session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbook_checks.monitoring import Monitoring
    from runbook_checks.mutants import Probe
    from runbook_checks.spare import Spare

STEP_TIMEOUT_S = 300.0
CHECK_TIMEOUT_S = 30.0
CHECK_EVERY_S = 0.5
_LAST_WORDS_BYTES = 300
_RESERVE_BYTES = 32 * 1024  # more than the blocks that clean up need, which must run when a disk is full too
_ELSEWHERE = (Path("/dev/shm"), Path("/var/tmp"))  # noqa: S108 - for a folder of our own, that others cannot read
_BLOCK_FILE = re.compile(r"^\S*/block\.[0-9]+: (?:line [0-9]+: )?")
_NO_VALUE = re.compile("[\0\ud800-\udfff]")  # NUL, and half of a surrogate pair: JSON may name both


@dataclass(frozen=True, slots=True)
class Target:
    """Where a procedure runs: the shell's whole environment, the values to redact, and what the stack is made of."""

    environment: str
    environ: Mapping[str, str]
    given: frozenset[str]  # names of variables that no capture may overwrite
    secrets: tuple[str, ...] = ()
    services: tuple[Service, ...] = ()
    monitoring: Monitoring | None = None  # what drills ask


@dataclass(frozen=True, slots=True)
class Run:
    """What all procedures of one run have in common."""

    id: str
    root: Path
    bash: Path
    languages: Mapping[str, str]
    mark: str
    syntax: Syntax = field(default_factory=Syntax)
    spare: Spare | None = None  # without one each shell begins when it is asked for


class Blocks:
    """The blocks of one procedure as they run: their session, their records, and the first reason for a failure.

    A context manager: the shell starts on entering it, and nobody waits for that before the first block.
    """

    def __init__(self, procedure: Procedure, target: Target, run: Run, probe: Probe | None = None) -> None:
        """Begin without a session. With a probe, an unset variable ends a block."""
        self.procedure = procedure
        self.target = target
        self.run = run
        self.probe = probe
        self.records: list[BlockRecord] = []
        self.reason = ""
        self.captures: dict[str, str] = {}
        self.running: Block | None = None
        self._reserve: IO[bytes] | None = None
        self._folder: Path | None = None  # for the files of the session, if not where those of all sessions are
        self._closed = False
        self._elsewhere = [run.root / ".runbook-checks", *_ELSEWHERE]
        self._started_by: dict[int, int] = {}  # the session's number of a block: the place of its record
        self._changed_at = time.time()  # when a block last changed something, or we began: seconds since the epoch

    def __enter__(self) -> Self:
        """Open it."""
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        """Close it, if nobody has."""
        if not self._closed:
            self.close()

    def passes(self, block: Block) -> bool:
        """Run a block, keep what it did, and return whether it passed; one for another environment is skipped."""
        if not runs_in(block, self.target.environment):
            self.skip(block, f"not run: for environment {block.environment}")
            return True
        self._prepare(block, self._changed_at)
        started = time.monotonic()
        self.running = block
        ended, verdicts, attempts = self._attempt(block)
        self.running = None
        self._started_by[ended.number] = len(self.records)
        if block.role is not Role.CHECK:
            self._changed_at = time.time()
        message = self._message(block, ended, verdicts) or self._keep(block, verdicts)
        self.records.append(
            _recorded(
                block,
                Outcome.FAILED if message else Outcome.PASSED,
                message,
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

    def holds_now(self, check: Block, since: float) -> bool:
        """Ask a check once and return whether it holds, by samples since then; nothing of it is kept or carried on."""
        self._prepare(check, since)
        ended = self._session.run(script(check, self.run.languages), timeout_s=_timeout_s(check), subshell=True)
        return _exited(check, ended) and all(verdict.held for verdict in self._verdicts(check, ended))

    def _prepare(self, block: Block, since: float) -> None:
        if not self._session.alive:
            self._reopen()
        if block.language == "promql":
            self._set("RUNBOOK_CHECKS_SINCE", f"{since:.3f}", exported=True)

    def _attempt(self, block: Block) -> tuple[Ended, tuple[Verdict, ...], int]:
        """Run a block: once, but for a check with a deadline, which is asked again until it holds."""
        text = script(block, self.run.languages)
        timeout_s = _timeout_s(block)
        if block.within_s is None:
            ended = self._session.run(text, timeout_s=timeout_s)
            return ended, self._verdicts(block, ended), 1
        deadline = time.monotonic() + block.within_s
        attempts, left_s, answer = 0, block.within_s, None
        while True:
            attempts += 1
            ended = self._session.run(text, timeout_s=min(timeout_s, left_s), subshell=True)
            left_s = deadline - time.monotonic()
            if left_s < 0:  # too late, even if it holds; an earlier answer says more than one that was cut short
                return *(answer or (replace(ended, how=How.TIMEOUT), self._verdicts(block, ended))), attempts
            answer = ended, self._verdicts(block, ended)
            if _exited(block, ended) and all(verdict.held for verdict in answer[1]):
                return *answer, attempts
            time.sleep(min(block.every_s or CHECK_EVERY_S, left_s))
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not self._session.alive:
                return *answer, attempts

    def _verdicts(self, block: Block, ended: Ended) -> tuple[Verdict, ...]:
        if not block.expectations:
            return ()
        streams = {
            Stream.STDOUT: (_text(ended.stdout), ended.stdout_cut),
            Stream.STDERR: (_text(ended.stderr), ended.stderr_cut),
        }
        return compare_all(block.expectations, streams, self.procedure.page, self.captures)

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
        if not self._session.alive:
            return False
        ended = self._session.run(("export " if exported else "") + assign(name, value), timeout_s=CHECK_TIMEOUT_S)
        return ended.how is How.END and ended.status == 0

    def skip(self, block: Block, message: str, outcome: Outcome = Outcome.SKIPPED) -> None:
        """Keep that a block did not run, or not to its end."""
        self.records.append(_recorded(block, outcome, message))

    def open(self) -> None:
        """Begin the session, with room kept for what must run when there is no more."""
        if any(block.role in {Role.CLEANUP, Role.ROLLBACK} for block in self.procedure.blocks):
            self._reserve = tempfile.TemporaryFile(buffering=0, dir=folder_base())  # noqa: SIM115 - make_room() or close() ends it
            self._reserve.write(bytes(_RESERVE_BYTES))
        self._open()

    def make_room(self) -> bool:
        """Have our own files kept in what was reserved, or elsewhere; return whether there is a way left to try."""
        if self._reserve is not None:
            self._reserve.close()
            self._reserve = None
            if self._session.alive:
                return True
        while self._elsewhere:
            self._folder = self._elsewhere.pop(0)
            with suppress(OSError):
                self._reopen()
                return True
        return False

    def _open(self) -> None:
        environ = self.target.environ if self.probe is None else self.probe.environ(self.target.environ)
        asked = self._asked(environ)
        begun = self.run.spare.take(**asked) if self.run.spare is not None else None
        self._session = begun or Session(**asked).__enter__()
        if self.probe is not None:
            self._session.run("set -u", timeout_s=CHECK_TIMEOUT_S)
            for name, value in self.probe.lent.items():
                self._set(name, value)

    def _asked(self, environ: Mapping[str, str]) -> dict[str, Any]:
        run = self.run
        return {
            "cwd": run.root,
            "environ": environ,
            "bash": run.bash,
            "secrets": self.target.secrets,
            "marker": run.mark,
            "folder": self._folder,
        }

    def _reopen(self) -> None:
        """Give the blocks that are left a fresh shell, with the environment and the captures of the lost one."""
        self._close()
        self._open()
        for name, value in self.captures.items():
            self._set(name, value)

    def close(self) -> None:
        """End the session; what background jobs printed late goes to the blocks that started them."""
        if self._reserve is not None:
            self._reserve.close()
        self._close()
        self._closed = True
        if self.run.spare is not None and self.probe is None and not self.reason:  # else the stack goes down
            self.run.spare.begin(**self._asked(self.target.environ))

    def _close(self) -> None:
        self._session.close()
        if self._session.cut_short and not self.reason:
            where = f"{self.procedure.page}:{self.procedure.line}"
            how = f"let that end within {FAREWELL_S:g} s, or use a cleanup block"
            self.reason = f"{where}: the shell could not be ended in order, with what a trap of EXIT does: {how}"
        for late in self._session.late_output():
            place = self._started_by.get(late.number)
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
        self._started_by.clear()


def _recorded(block: Block, outcome: Outcome, message: str, **came: Any) -> BlockRecord:  # noqa: ANN401 - its other fields
    return BlockRecord(
        id=block.id,
        role=block.role.value,
        language=block.language,
        line=block.span.first,
        command=block.text,
        outcome=outcome,
        message=message,
        **came,
    )


def _exited(block: Block, ended: Ended) -> bool:
    return (ended.how is How.END or ended.how is How.EXIT) and ended.status == block.exit_status


def _timeout_s(block: Block) -> float:
    return block.timeout_s or (CHECK_TIMEOUT_S if block.role is Role.CHECK else STEP_TIMEOUT_S)


def _how_it_ended(block: Block, ended: Ended, timeout_s: float) -> str:
    match ended.how:
        case How.TIMEOUT if block.within_s is None:
            return f"did not end within its {timeout_s:g} s and was stopped"
        case How.TIMEOUT:
            return "did not end in time and was stopped"
        case How.LOST:
            return "ended the shell itself, so nobody can say how it went (`exec`, `kill -9 $$`, our files removed …)"
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

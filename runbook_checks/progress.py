"""What a person sees while procedures run: live on a terminal, plain lines elsewhere; always on standard error."""

from __future__ import annotations

import io
import tempfile
import time
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING

import pytest
from rich.console import Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from runbook_checks import need
from runbook_checks.errors import RunbookError, StackError
from runbook_checks.leaks import kinds_in
from runbook_checks.pytest_plugin import INTERRUPTED
from runbook_checks.record import CHANGED, Figure, Outcome, Record, from_line, to_line
from runbook_checks.telling import ERROR, EXIT_CODE, NOT_TRIED, PROOF, RECORD, told

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from runbook_checks.console import PlainConsole

_STYLES = {Outcome.PASSED: "green", Outcome.BLOCKED: "yellow"}
_SHOWN_NODES = 8


@dataclass(frozen=True, slots=True)
class Ended:
    """What the end of a run needs of a record: ten thousand whole ones are more than fits into some machines."""

    procedure: str
    outcome: Outcome
    duration_s: float
    figures: tuple[Figure, ...]
    reason: str
    changed: bool  # something that it depends on, while it ran
    leaks: tuple[str, ...]  # where something that looks like a secret was masked
    at: int  # of its line among the lines that are kept


class Progress:
    """A pytest plugin that shows what runs, and keeps the results and messages for the end."""

    def __init__(self, console: PlainConsole, *, whole: bool = False) -> None:
        """Show on a console; ``whole`` keeps the records too, on disk, for lines()."""
        self.console = console
        self.whole = whole
        self.ended: dict[str, Ended] = {}
        # For as long as this is there.
        self._lines: IO[bytes] = tempfile.TemporaryFile() if whole else io.BytesIO()  # noqa: SIM115
        self.proofs: dict[str, need.Proof] = {}
        self.not_tried: list[str] = []
        self.failures: list[str] = []
        self.errors: dict[str, int] = {}  # what kept us from judging, and the exit code that it asks for
        self.interrupted = False
        self.total = 0
        self._running: dict[str, float] = {}
        self._reported: set[str] = set()
        self._lost_workers = 0
        self._live: Live | None = None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Learn how many procedures there are."""
        self.total = len(session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Learn from a worker how many procedures there are."""
        self.total = len(ids)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, error: object | None) -> None:
        """Learn that a worker was lost."""
        self._lost_workers += error is not None

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep what could not be read."""
        if report.failed:
            self.errors[str(report.longrepr)] = RunbookError.exit_code

    def pytest_internalerror(self, excrepr: object, excinfo: pytest.ExceptionInfo[BaseException]) -> bool:
        """Say in a line what went wrong in what the user gave us; only a mistake of ours is shown whole."""
        raised_by = str(excinfo.traceback[-1].frame.f_globals["__name__"]) if excinfo.traceback else ""
        gone = isinstance(excinfo.value, EOFError | OSError)  # a worker says nothing, or does not listen
        if gone and raised_by.startswith("execnet."):
            self._lost_workers += 1
            self._tell_of_lost_workers()  # a session that could not begin has no end that would tell
            return True
        known = isinstance(excinfo.value, RunbookError | OSError)
        text = str(excinfo.value) if known else f"this is a mistake of runbook-checks, please report it:\n{excrepr}"
        self.errors[text] = RunbookError.exit_code
        return True

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Learn whether somebody interrupted us; pytest also ends a session so, after ``-x``."""
        if isinstance(excinfo.value, pytest.exit.Exception):
            self.errors[str(excinfo.value)] = RunbookError.exit_code
        else:
            self.interrupted = type(excinfo.value) is KeyboardInterrupt

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Show a procedure as running."""
        self._running[nodeid] = time.monotonic()
        if self.console.is_terminal and self._live is None:
            self._live = Live(
                self,
                console=self.console,
                refresh_per_second=8,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep and show the end of a procedure."""
        carried = told(report)
        if ERROR in carried:
            self.errors[str(carried[ERROR])] = int(str(carried[EXIT_CODE]))
        elif report.failed:
            self.failures.append(str(report.longrepr))
        if report.when not in {"call", "???"} and not report.failed:
            return
        self._reported.add(report.nodeid)
        started = self._running.pop(report.nodeid, time.monotonic())
        if RECORD in carried:
            record = carried[RECORD]
            self._keep(record if isinstance(record, Record) else from_line(str(record)))
        elif PROOF in carried:
            self._keep_proof(need.from_line(str(carried[PROOF])), failed=report.failed)
        else:
            self.not_tried += [str(carried[NOT_TRIED])] if NOT_TRIED in carried else []
            took = f"{time.monotonic() - started:.1f} s"
            self.console.print(Text(f"{report.outcome:<11} {report.nodeid}  {took}"), soft_wrap=True)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        """Leave the terminal clean, and keep what is known only now: interrupted procedures, stacks that stay up."""
        try:
            yield
        except pytest.exit.Exception as error:
            self.errors[str(error)] = error.returncode or StackError.exit_code
        finally:
            if self._live is not None:
                self._live.stop()
                self._live = None
            for line in session.config.stash.get(INTERRUPTED, []):
                self.interrupted = True  # whatever the record says: it may have failed before that
                self._keep(from_line(line))
            asked_to_stop = self.interrupted or (self.failures and session.config.option.maxfail)
            if not asked_to_stop:
                self._tell_of_lost_workers()

    def _tell_of_lost_workers(self) -> None:
        left = self.total - len(self._reported)
        if self._lost_workers and (left or not self.total):
            what = f"{left} of {self.total} procedures were not run" if self._reported else "nothing was run"
            self.errors[f"workers were ended before they could begin: {what}"] = StackError.exit_code

    def lines(self) -> Iterator[str]:
        """Yield the records of a ``whole`` one as lines of JSON, one for each procedure."""
        for one in self.ended.values():
            self._lines.seek(one.at)
            yield self._lines.readline().decode()

    def _keep(self, record: Record) -> None:
        at = self._lines.tell()
        if self.whole:
            self._lines.write(to_line(record).encode())
        self.ended[record.procedure] = Ended(
            procedure=record.procedure,
            outcome=record.outcome,
            duration_s=record.duration_s,
            figures=record.figures,
            reason=record.reason,
            changed=record.digest == CHANGED,
            leaks=kinds_in(record),
            at=at,
        )
        style = _STYLES.get(record.outcome, "bold red")
        self.console.print_line(f"{record.outcome.value:<11}", style, f" {record.procedure}  {record.duration_s:.1f} s")

    def _keep_proof(self, proof: need.Proof, *, failed: bool) -> None:
        self.proofs[proof.procedure] = proof
        proven = sum(one.proven for one in proof.blocks)
        head, style = f"{proven:>3} of {len(proof.blocks):<3}", "bold red" if failed else "green"
        self.console.print_line(head, style, f"  {proof.procedure}  {proof.duration_s:.1f} s")

    def __rich__(self) -> Group:
        """Return what runs now, for how long, and how many have passed and failed."""
        now = time.monotonic()
        running = [
            Spinner("dots", Text(f" {_public_id(node)}  {now - started:.0f} s"))
            for node, started in list(self._running.items())[:_SHOWN_NODES]
        ]
        passed = sum(one.outcome is Outcome.PASSED for one in self.ended.values())
        failed = len(self.ended) - passed
        if self.proofs:
            return Group(*running, Text(f"{len(self.proofs)} of {self.total} done"))
        counts = Text(f"{len(self.ended)} of {self.total} done, ")
        counts.append(f"{passed} passed", "green").append(", ")
        counts.append(f"{failed} failed", "bold red" if failed else "")
        return Group(*running, counts)


def _public_id(node: str) -> str:
    page, _, anchor = node.partition("::")
    return f"{PurePosixPath(page).stem}/{anchor}"

"""What a person sees while procedures run: live on a terminal, plain lines elsewhere; always on standard error."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from runbook_checks.pytest_plugin import RECORD_PROPERTY, STACK_PROPERTY
from runbook_checks.record import Outcome, Record, from_line

if TYPE_CHECKING:
    import pytest

_STYLES = {Outcome.PASSED: "green", Outcome.BLOCKED: "yellow"}
_SHOWN_NODES = 8


class Progress:
    """A pytest plugin that shows what runs, and keeps the records and messages for the end."""

    def __init__(self, console: Console) -> None:
        """Show on a console."""
        self.console = console
        self.records: dict[str, Record] = {}
        self.failures: list[str] = []
        self.stack_errors: set[str] = set()
        self.source_errors: list[str] = []
        self.total = 0
        self._running: dict[str, float] = {}
        self._live: Live | None = None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Learn how many procedures there are."""
        self.total = len(session.items)

    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Learn from a worker how many procedures there are."""
        self.total = len(ids)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep what could not be read."""
        if report.failed:
            self.source_errors.append(str(report.longrepr))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Show a procedure as running."""
        self._running[nodeid] = time.monotonic()
        if self.console.is_terminal and self._live is None:
            self._live = Live(self, console=self.console, refresh_per_second=8, transient=True)
            self._live.start()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep and show the end of a procedure."""
        properties = dict(report.user_properties)
        if STACK_PROPERTY in properties:
            self.stack_errors.add(str(properties[STACK_PROPERTY]))
        elif report.failed:
            self.failures.append(str(report.longrepr))
        if report.when not in {"call", "???"} and not report.failed:
            return
        started = self._running.pop(report.nodeid, time.monotonic())
        if RECORD_PROPERTY in properties:
            record = from_line(str(properties[RECORD_PROPERTY]))
            self.records[record.procedure] = record
            line = Text.assemble((f"{record.outcome.value:<9}", _STYLES.get(record.outcome, "bold red")))
            line.append(f" {record.procedure}  {record.duration_s:.1f} s")
        else:
            line = Text(f"{report.outcome:<9} {report.nodeid}  {time.monotonic() - started:.1f} s")
        self.console.print(line, soft_wrap=True)

    def pytest_sessionfinish(self) -> None:
        """Leave the terminal clean."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def __rich__(self) -> Group:
        """Return what runs now, for how long, and how many have passed and failed."""
        now = time.monotonic()
        running = [
            Spinner("dots", Text(f" {node.rpartition('/')[2]}  {now - started:.0f} s"))
            for node, started in list(self._running.items())[:_SHOWN_NODES]
        ]
        passed = sum(record.outcome is Outcome.PASSED for record in self.records.values())
        failed = len(self.records) - passed
        counts = Text(f"{len(self.records)} of {self.total} done, ")
        counts.append(f"{passed} passed", "green").append(", ")
        counts.append(f"{failed} failed", "bold red" if failed else "")
        return Group(*running, counts)

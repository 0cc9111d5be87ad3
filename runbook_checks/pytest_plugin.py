"""The pytest plugin: a procedure is an item, ``docs/operations/disaster_recovery.md::restore-database``."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from runbook_checks.errors import RunbookError, SourceError, StackError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path

    from runbook_checks.catalog import Catalog
    from runbook_checks.config import Config
    from runbook_checks.model import Procedure
    from runbook_checks.record import Record
    from runbook_checks.verify import Verifier

RECORD_PROPERTY = "runbook_record"  # of a report's user properties: the record as a line of JSON
STACK_PROPERTY = "runbook_stack_error"


class Runbooks:
    """What the items of one pytest session share: configuration, catalog, and the verifier once an item needs it."""

    def __init__(self, config: Config, catalog: Catalog, environment: str, worker: str) -> None:
        """Keep the pages of a repository at hand."""
        self.config = config
        self.catalog = catalog
        self.environment = config.environment(environment)
        self.worker = worker
        self._verifier: Verifier | None = None

    def verifier(self) -> Verifier:
        """Return the verifier of this process, made at the first call."""
        from runbook_checks.verify import Verifier, sweep_leftovers  # noqa: PLC0415 - collecting needs none of it

        if self._verifier is None:
            sweep_leftovers(self.config, self.environment, print)
            instance = f"run-{os.getpid()}-{self.worker}"
            self._verifier = Verifier(self.config, self.catalog, self.environment, instance).__enter__()
        return self._verifier

    def close(self) -> None:
        """Take down whatever the verifier brought up."""
        verifier, self._verifier = self._verifier, None
        if verifier is not None:
            verifier.__exit__()


_RUNBOOKS = pytest.StashKey[Runbooks | None]()


class ProcedureFailedError(Exception):
    """Carries the record of a procedure that did not pass to pytest's report."""

    def __init__(self, record: Record) -> None:
        """Keep the record."""
        super().__init__(record.reason)
        self.record = record


class RunbookFile(pytest.File):
    """A runbook page."""

    def collect(self) -> Iterable[pytest.Item]:
        """Yield an item per procedure."""
        runbooks = runbooks_of(self.config, self.path)
        if runbooks is None:
            return
        page = self.path.resolve().relative_to(runbooks.config.root).as_posix()
        for procedure in runbooks.catalog.procedures:
            if procedure.page == page:
                yield ProcedureItem.from_parent(self, name=procedure.anchor, procedure=procedure, runbooks=runbooks)


class ProcedureItem(pytest.Item):
    """A procedure, run for real."""

    def __init__(self, *, procedure: Procedure, runbooks: Runbooks, **keywords: Any) -> None:  # noqa: ANN401 - pytest's own
        """Mark the item with the roles of its blocks, its tags, and `destructive` when it cannot be undone."""
        super().__init__(**keywords)
        self.procedure = procedure
        self.runbooks = runbooks
        runbook = runbooks.catalog.runbook_of(procedure)
        marks = {block.role.value for block in procedure.blocks} | set(procedure.card.tags) | set(runbook.tags)
        if not procedure.card.reversible:
            marks.add("destructive")
        for mark in sorted(marks):
            self.config.addinivalue_line("markers", f"{mark}: given by a runbook")
            self.add_marker(mark)

    def runtest(self) -> None:
        """Verify the procedure; whatever is not a pass is a failure of the item."""
        from runbook_checks.execute import applies  # noqa: PLC0415 - collecting needs none of it
        from runbook_checks.record import Outcome, to_line  # noqa: PLC0415

        environment = self.runbooks.environment.name
        if not any(applies(block, environment) for block in self.procedure.blocks):
            pytest.skip(f"every block of it is for another environment than {environment}")
        try:
            record = self.runbooks.verifier().verify(self.procedure)
        except StackError as error:
            self.user_properties.append((STACK_PROPERTY, str(error)))
            raise
        self.user_properties.append((RECORD_PROPERTY, to_line(record)))
        if record.outcome is not Outcome.PASSED:
            raise ProcedureFailedError(record)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:  # noqa: ANN401 - pytest's own
        """Show the block, its output and the difference; never our internals."""
        from runbook_checks.failure import describe  # noqa: PLC0415 - only failures pay for it

        if isinstance(excinfo.value, ProcedureFailedError):
            return describe(excinfo.value.record)
        if isinstance(excinfo.value, RunbookError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return the heading's place."""
        return self.path, self.procedure.line - 1, self.procedure.title


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that names the environment."""
    group = parser.getgroup("runbook-checks")
    group.addoption(
        "--runbook-environment", default="", metavar="NAME", help="run procedures there (default: the first configured)"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks that roles give."""
    for mark in ("step", "check", "setup", "cleanup", "rollback", "fault"):
        config.addinivalue_line("markers", f"{mark}: a procedure that has such a block")
    config.addinivalue_line("markers", "destructive: a procedure that cannot be undone")


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(
    file_path: Path, parent: pytest.Collector
) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Collect a runbook page as procedures, and let nobody else take it: its blocks are ours alone to run."""
    collectors = yield
    if file_path.suffix != ".md" or not _is_runbook(file_path):
        return collectors
    return [RunbookFile.from_parent(parent, path=file_path)]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put prerequisites before the procedures that need them, and leave everything else as it stands."""
    ours = [item for item in items if isinstance(item, ProcedureItem)]
    if not ours:
        return
    catalog = ours[0].runbooks.catalog
    rank = {one.id: number for number, one in enumerate(catalog.in_needs_order(item.procedure for item in ours))}
    in_order = iter(sorted(ours, key=lambda item: rank[item.procedure.id]))
    items[:] = [next(in_order) if isinstance(item, ProcedureItem) else item for item in items]


def pytest_sessionstart(session: pytest.Session) -> None:
    """Take a TERM signal for an interrupt, so that cleanup blocks run and the stack goes down."""
    if session.config.pluginmanager.hasplugin("runbook-checks-cli") or hasattr(session.config, "workerinput"):
        signal.signal(signal.SIGTERM, _interrupt)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Take the stack down."""
    runbooks = session.config.stash.get(_RUNBOOKS, None)
    if runbooks is None:
        return
    try:
        runbooks.close()
    except StackError as error:
        raise pytest.UsageError(str(error)) from error


def runbooks_of(config: pytest.Config, path: Path) -> Runbooks | None:
    """Return what a page belongs to, read once per session; None when no configuration names the page."""
    from runbook_checks.config import find_config, load_config  # noqa: PLC0415 - sessions without runbooks pay nothing
    from runbook_checks.report import load_catalog  # noqa: PLC0415

    if _RUNBOOKS not in config.stash:
        try:
            ours = load_config(find_config(path.parent))
            catalog = load_catalog(ours)
            environment = config.getoption("runbook_environment")
            worker = getattr(config, "workerinput", {}).get("workerid", "main")
            config.stash[_RUNBOOKS] = Runbooks(ours, catalog, environment, worker)
        except SourceError as error:
            raise pytest.Collector.CollectError(str(error)) from error
        except RunbookError:
            config.stash[_RUNBOOKS] = None
    return config.stash[_RUNBOOKS]


def _is_runbook(path: Path) -> bool:
    from runbook_checks.card import front_matter, read_runbook  # noqa: PLC0415 - sessions without pages pay for none of it

    front, _ = front_matter(path.read_text(encoding="utf-8", errors="replace"))
    runbook, problems = read_runbook(front, path.name)
    return runbook is not None or bool(problems)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt

"""The pytest plugin: a procedure is an item, ``docs/operations/disaster_recovery.md::restore-database``."""

from __future__ import annotations

import contextlib
import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runbook_checks.errors import RunbookError, StackError, UsageError
from runbook_checks.keys import take_key
from runbook_checks.sharing import (
    CHOSEN,
    RUN_INPUT,
    RUNBOOKS,
    SIGNING_KEY,
    Runbooks,
    choice_of,
    procedures_of,
    runbooks_of,
    why_missing,
    worker_of,
)
from runbook_checks.tags import marks_of
from runbook_checks.telling import ERROR, EXIT_CODE, NOT_TRIED, NOTHING, PROOF, RECORD, tell

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from runbook_checks.model import Procedure
    from runbook_checks.need import Need
    from runbook_checks.record import Record

CHOSEN_INPUT = "runbook_checks_chosen"  # node ids for a worker of xdist
INTERRUPTED = pytest.StashKey[list[str]]()  # records, as lines of JSON, of what an interrupt hit: no report has them

_NAMED = pytest.StashKey[frozenset[Path]]()  # the pages and folders that somebody asked for
_NAMED_INPUT = "runbook_checks_named"
_KEY_INPUT = "runbook_checks_key"
_INTERRUPTED_OUTPUT = "runbook_interrupted"  # the same on its way from a worker of xdist
_STACK_OUTPUT = "runbook_stack_error"
_GONE_OUTPUT = "runbook_gone"
_CLEANING_UP_S = 120.0


class ProcedureFailedError(Exception):
    """Carries the record of a procedure that did not pass to pytest's report."""

    def __init__(self, record: Record) -> None:
        """Keep the record."""
        super().__init__(record.reason)
        self.record = record


class UnprovenError(Exception):
    """Carries what a proof of need could not prove to pytest's report."""

    def __init__(self, need: Need) -> None:
        """Keep it."""
        super().__init__(need.standing.value)
        self.need = need


class RunbookFile(pytest.File):
    """A runbook page."""

    def collect(self) -> Iterable[pytest.Item]:
        """Yield an item per procedure."""
        try:
            runbooks = runbooks_of(self.config, self.path)
        except RunbookError as error:
            raise self.CollectError(str(error)) from error
        if runbooks is not None:
            choice = self.config.stash.get(CHOSEN, None)
            for procedure in procedures_of(runbooks, self.path):
                if choice is None or f"{self.nodeid}::{procedure.anchor}" in choice.places:
                    yield ProcedureItem.from_parent(self, name=procedure.anchor, procedure=procedure, runbooks=runbooks)


class ProcedureItem(pytest.Item):
    """A procedure, run for real."""

    def __init__(self, *, procedure: Procedure, runbooks: Runbooks, **keywords: Any) -> None:  # noqa: ANN401 - pytest's own
        """Mark the item with the roles of its blocks, its tags, and `destructive` when it cannot be undone."""
        super().__init__(**keywords)
        self.procedure = procedure
        self.runbooks = runbooks
        self.told = NOTHING
        for mark in sorted(marks_of(procedure, runbooks.catalog.runbook_of(procedure))):
            if mark not in runbooks.marks:
                self.config.addinivalue_line("markers", f"{mark}: given by a runbook")
                runbooks.marks[mark] = getattr(pytest.mark, mark)
            self.add_marker(runbooks.marks[mark])

    def runtest(self) -> None:
        """Verify the procedure; whatever is not a pass is a failure of the item."""
        from runbook_checks.execute import InterruptedRun  # noqa: PLC0415 - collecting needs none of it
        from runbook_checks.proof import proves  # noqa: PLC0415
        from runbook_checks.record import Outcome, to_line  # noqa: PLC0415

        environment = self.runbooks.environment.name
        if self.procedure.id not in self.runbooks.meant:
            pytest.skip(f"it is not meant to run in environment {environment}")
        if not proves(self.procedure, environment):
            pytest.skip(f"nothing of it could fail in environment {environment}: its checks are for others")
        if self.config.getoption("runbook_mutate"):
            self._prove()
            return
        try:
            record = self.runbooks.verifier().verify(self.procedure)
        except (RunbookError, OSError) as error:  # the disk may be full: that says nothing of the procedure
            self.told = {ERROR: str(error), EXIT_CODE: getattr(error, "exit_code", RunbookError.exit_code)}
            raise
        except InterruptedRun as interrupt:
            self.config.stash.setdefault(INTERRUPTED, []).append(to_line(interrupt.record))
            raise
        self.told = {RECORD: to_line(record) if worker_of(self.config) else record}
        if record.outcome is not Outcome.PASSED:
            raise ProcedureFailedError(record)

    def _prove(self) -> None:
        """Prove the need of the procedure's blocks; one neither proven nor excepted is a failure of the item."""
        from runbook_checks.mutate import OutOfTimeError, prove  # noqa: PLC0415 - collecting needs none of it
        from runbook_checks.need import Standing, to_line  # noqa: PLC0415

        until = float(self.config.getoption("runbook_until")) or None
        try:
            need = prove(self.runbooks.verifier(), self.procedure, until)
        except OutOfTimeError as error:
            self.told = {NOT_TRIED: self.procedure.id}
            pytest.skip(str(error))
        except RunbookError as error:
            self.told = {ERROR: str(error), EXIT_CODE: error.exit_code}
            raise
        self.told = {PROOF: to_line(need.proof)} if need.proof else {}
        if need.standing is Standing.UNPROVEN:
            raise UnprovenError(need)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:  # noqa: ANN401 - pytest's own
        """Show the block, its output and the difference; never our internals."""
        from runbook_checks.failure import describe, describe_need  # noqa: PLC0415 - only failures pay for it

        if isinstance(excinfo.value, ProcedureFailedError):
            return describe(excinfo.value.record)
        if isinstance(excinfo.value, UnprovenError):
            return describe_need(excinfo.value.need)
        if isinstance(excinfo.value, RunbookError | OSError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return the heading's place."""
        return self.path, self.procedure.line - 1, self.procedure.title

    @property
    def location(self) -> tuple[str, int, str]:  # pytest keeps a path of its own for each
        """Return the same, with the page as the node id names it."""
        return self.nodeid.partition("::")[0], self.procedure.line - 1, self.procedure.title


class Workers:
    """The controller's part when xdist spreads procedures: interrupts reach the workers, and a crash is a failure."""

    def __init__(self) -> None:
        """Begin without workers."""
        self.nodes: list[Any] = []

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:  # noqa: ANN401 - xdist's own
        """Tell a worker what was asked for: its own arguments do not say where they come from."""
        node.workerinput[_NAMED_INPUT] = _named(node.config)
        node.workerinput[_KEY_INPUT] = node.config.stash[SIGNING_KEY]

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodeready(self, node: Any) -> None:  # noqa: ANN401 - xdist's own
        """Remember a worker."""
        self.nodes.append(node)

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport) -> None:
        """Keep a record of the procedure whose worker died, and let the report carry it."""
        from runbook_checks.record import to_line  # noqa: PLC0415 - only a crash pays for it
        from runbook_checks.verify import keep_crashed  # noqa: PLC0415

        config = self.nodes[0].config
        if config.getoption("runbook_mutate"):  # a part of the procedure was left out: it has not failed
            report.longrepr = f"{crashitem}: worker crashed: the process that ran the procedure died"
            return
        if any((getattr(node, "workeroutput", None) or {}).get(_INTERRUPTED_OUTPUT) for node in self.nodes):
            return  # it was interrupted, and has kept a record that says so
        page, _, anchor = crashitem.partition("::")
        path = config.rootpath / page
        runbooks = runbooks_of(config, path) if path.suffix == ".md" else None
        if runbooks is None:
            return
        for procedure in procedures_of(runbooks, path):
            if procedure.anchor == anchor:
                record = keep_crashed(
                    runbooks.config,
                    runbooks.catalog,
                    runbooks.environment,
                    procedure,
                    config.stash[SIGNING_KEY],
                    self.nodes[0].workerinput[RUN_INPUT],
                )
                tell(report, {RECORD: to_line(record)})
                report.longrepr = f"{record.procedure}: {record.outcome.value}\n\n{record.reason}"

    def pytest_keyboard_interrupt(self) -> None:
        """Interrupt the workers too, and give them the time to clean up and to take their stacks down."""
        import psutil  # noqa: PLC0415 - only an interrupt pays for it

        for child in psutil.Process().children() if self.nodes else ():  # xdist keeps its workers' ids to itself
            with contextlib.suppress(psutil.Error):
                child.terminate()
        for node in self.nodes:
            try:
                node.channel.waitclose(_CLEANING_UP_S)
            except (EOFError, node.channel.RemoteError, node.channel.TimeoutError):
                continue  # gone, or too slow: its guardian ends what it had started

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        """Take over what the workers have to say at their end; stacks that stay up, pages that are gone."""
        yield
        outputs = [getattr(node, "workeroutput", None) or {} for node in self.nodes]
        session.config.stash.setdefault(INTERRUPTED, []).extend(
            line for output in outputs for line in output.get(_INTERRUPTED_OUTPUT, ())
        )
        for key, code in ((_STACK_OUTPUT, StackError.exit_code), (_GONE_OUTPUT, UsageError.exit_code)):
            errors = dict.fromkeys(output[key] for output in outputs if key in output)
            if errors:
                pytest.exit("\n".join(errors), returncode=code)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our options."""
    group = parser.getgroup("runbook-checks")
    group.addoption(
        "--runbook-environment", default="", metavar="NAME", help="run procedures there (default: the first configured)"
    )
    group.addoption(
        "--runbook-mutate", action="store_true", help="leave out blocks in turn instead, for the proof of need"
    )
    group.addoption(
        "--runbook-until",
        default="0",
        metavar="TIME",
        help="begin no run for it after this, in seconds since the epoch",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks that roles give, and take the signing key out of the environment that blocks inherit."""
    taken = take_key(os.environ)
    config.stash[SIGNING_KEY] = str(getattr(config, "workerinput", {}).get(_KEY_INPUT, taken))
    for mark in ("step", "check", "setup", "cleanup", "rollback", "fault"):
        config.addinivalue_line("markers", f"{mark}: a procedure that has such a block")
    config.addinivalue_line("markers", "drill: a procedure that breaks the stack first")
    config.addinivalue_line("markers", "destructive: a procedure that cannot be undone")
    if not worker_of(config):
        config.pluginmanager.register(Workers())
    elif chosen := getattr(config, "workerinput", {}).get(CHOSEN_INPUT):
        config.stash[CHOSEN] = choice_of(chosen, config.rootpath)


@pytest.hookimpl(tryfirst=True)
def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what the command line has not chosen, and take what it has, whatever others say."""
    choice = config.stash.get(CHOSEN, None)
    return None if choice is None else str(collection_path) not in choice.paths


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(
    file_path: Path, parent: pytest.Collector
) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Collect a runbook page as procedures, and let nobody else take it: its blocks are ours alone to run.

    A page, or a folder of pages, must be named: a bare ``pytest`` in a repository's root runs nobody's failover.
    """
    collectors = yield
    if CHOSEN in parent.config.stash:
        return [RunbookFile.from_parent(parent, path=file_path)]
    if file_path.suffix != ".md" or not _is_runbook(file_path):
        return collectors
    return [RunbookFile.from_parent(parent, path=file_path)] if _is_named(file_path, parent.config) else []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Have the report carry the record, from a worker of xdist too; it is no property of a JUnit report."""
    report = yield
    if isinstance(item, ProcedureItem) and call.when == "call":
        tell(report, item.told)
        item.told = NOTHING  # pytest keeps all items to its end
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put prerequisites before the procedures that need them, and leave everything else as it stands.

    What the command line has chosen comes in its order, and UsageError is raised when some of it is there no more.
    """
    if CHOSEN in config.stash:
        if why := why_missing(session, config, items):
            if not worker_of(config):
                raise UsageError(why)
            config.workeroutput[_GONE_OUTPUT] = why  # type: ignore[attr-defined]  # of xdist
            items.clear()
        places = config.stash[CHOSEN].places
        items.sort(key=lambda item: places[item.nodeid])
    ours = [item for item in items if isinstance(item, ProcedureItem)]
    catalogs = {id(item.runbooks): item.runbooks.catalog for item in ours}
    for key, catalog in catalogs.items():
        of_one = [item for item in ours if id(item.runbooks) == key]
        rank = {one.id: number for number, one in enumerate(catalog.in_needs_order(item.procedure for item in of_one))}
        in_order = iter(sorted(of_one, key=lambda item: rank[item.procedure.id]))
        theirs = frozenset(map(id, of_one))
        items[:] = [next(in_order) if id(item) in theirs else item for item in items]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Remember what is going to run, and spare it the search for garbage: it stays to the end of the session."""
    for item in session.items:
        if isinstance(item, ProcedureItem):
            item.runbooks.expected.append(item.procedure)
    if CHOSEN in session.config.stash:
        del session.config.stash[CHOSEN]
        gc.freeze()


@pytest.hookimpl(wrapper=True, trylast=True)  # inside of xdist's, which sends the worker's output away
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """Take the stacks down, whatever the others do at the end."""
    try:
        yield
    finally:
        errors = _close(session.config)
    if errors and not worker_of(session.config):
        pytest.exit(errors, returncode=StackError.exit_code)


def _close(config: pytest.Config) -> str:
    """Take the stacks down and return why some could not be."""
    errors = []
    for runbooks in config.stash.get(RUNBOOKS, {}).values():
        try:
            runbooks.close()
        except StackError as error:
            errors.append(str(error))
    output = getattr(config, "workeroutput", {})
    output[_INTERRUPTED_OUTPUT] = config.stash.get(INTERRUPTED, [])
    output.update({_STACK_OUTPUT: "\n".join(errors)} if errors else {})
    return "\n".join(errors)


def _is_named(path: Path, config: pytest.Config) -> bool:
    if _NAMED not in config.stash:
        root = config.rootpath.resolve()
        named = {Path(argument).resolve() for argument in _named(config)}
        config.stash[_NAMED] = frozenset(one for one in named if not root.is_relative_to(one))
    path = path.resolve()
    return not config.stash[_NAMED].isdisjoint((path, *path.parents))


def _named(config: pytest.Config) -> list[str]:
    """Return the paths that somebody asked for; neither `testpaths` nor the current folder is that."""
    if hasattr(config, "workerinput"):
        return list(config.workerinput[_NAMED_INPUT])
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        return []
    return [str(config.invocation_params.dir / argument.partition("::")[0]) for argument in config.args]


def _is_runbook(path: Path) -> bool:
    from runbook_checks.markdown import is_runbook  # noqa: PLC0415 - sessions without pages pay for none of it

    try:
        return is_runbook(path.read_text(encoding="utf-8", errors="replace"))
    except OSError:  # gone meanwhile, or not to be read: not by the others either
        return False

"""What the items of one pytest session share: the pages of a repository, and the verifier once an item needs it."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runbook_checks.errors import UsageError
from runbook_checks.scopes import meant_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runbook_checks.catalog import Catalog
    from runbook_checks.config import Config
    from runbook_checks.model import Procedure
    from runbook_checks.verify import Verifier

RUN_INPUT = "testrunuid"  # xdist gives all workers of a run the same
SIGNING_KEY = pytest.StashKey[str]()  # what RUNBOOK_CHECKS_SIGNING_KEY held
_NAMED_GONE = 3


class Runbooks:
    """What the items of one configuration share: its catalog, and the verifier once an item needs it.

    ``meant`` are the public ids of what is meant to run in the environment, ``by_page`` the procedures of each page,
    ``marks`` those that pytest has been told of, ``expected`` what is going to run, in its order.
    """

    def __init__(self, config: Config, catalog: Catalog, pytest_config: pytest.Config) -> None:
        """Keep the pages of a repository at hand; raises UsageError for an unknown environment."""
        self.config = config
        self.catalog = catalog
        self.environment = config.environment(pytest_config.getoption("runbook_environment"))
        self.meant = meant_for(catalog, self.environment)
        self.by_page = {runbook.path: runbook.procedures for runbook in catalog.runbooks}
        self.marks: dict[str, pytest.MarkDecorator] = {}
        self.expected: list[Procedure] = []
        self._pytest_config = pytest_config
        self._verifier: Verifier | None = None

    def verifier(self) -> Verifier:
        """Return the verifier of this process, made at the first call."""
        from runbook_checks.stack import sweep  # noqa: PLC0415 - collecting needs none of it
        from runbook_checks.verify import Verifier  # noqa: PLC0415

        if self._verifier is None:
            sweep(self.config.root, self.environment, self._say)
            worker = worker_of(self._pytest_config)
            _take_signals(worker)
            self._verifier = Verifier(
                self.config,
                self.catalog,
                self.environment,
                f"run-{os.getpid()}-{worker or 'main'}",
                controller=os.getppid() if worker else None,
                signing_key=self._pytest_config.stash[SIGNING_KEY],
                run_id=str(getattr(self._pytest_config, "workerinput", {}).get(RUN_INPUT, "")),
            ).__enter__()
            self._verifier.expect(self.expected)
        return self._verifier

    def close(self) -> None:
        """Take down whatever the verifier brought up; raises StackError when something stays."""
        verifier, self._verifier = self._verifier, None
        if verifier is not None:
            verifier.__exit__()

    def _say(self, text: str) -> None:
        reporter = self._pytest_config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line(text)


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to run and nothing else: node ids, each with its place, and the files and folders to collect."""

    places: Mapping[str, int]
    paths: frozenset[str]


def choice_of(node_ids: Iterable[str], root: Path) -> Choice:
    """Return the choice of node ids, whose pages are relative to the root, in the order in which they are to run."""
    places = {node_id: place for place, node_id in enumerate(node_ids)}
    pages = {f"{root}/{node_id.partition('::')[0]}" for node_id in places}
    folders = {Path(page.rpartition("/")[0]) for page in pages}
    return Choice(places, frozenset({*pages, *(str(one) for folder in folders for one in (folder, *folder.parents))}))


CHOSEN = pytest.StashKey[Choice]()
RUNBOOKS = pytest.StashKey[dict[Path, Runbooks]]()


def runbooks_of(config: pytest.Config, path: Path) -> Runbooks | None:
    """Return what a page belongs to, read once per session; None for a page without a configuration above it.

    Raises SourceError when the pages or the configuration cannot be read as written, UsageError for an unknown
    environment.
    """
    from runbook_checks.config import find_config, load_config  # noqa: PLC0415 - sessions without runbooks pay nothing
    from runbook_checks.report import load_catalog  # noqa: PLC0415

    try:
        found = find_config(path.resolve().parent)
    except UsageError:
        return None
    known = config.stash.setdefault(RUNBOOKS, {})
    if found not in known:
        ours = load_config(found)
        known[found] = Runbooks(ours, load_catalog(ours, condensed=True), config)
    return known[found]


def procedures_of(runbooks: Runbooks, path: Path) -> tuple[Procedure, ...]:
    """Return the procedures of a page."""
    page = path.resolve().relative_to(runbooks.config.root).as_posix()
    return runbooks.by_page.get(page, ())


def gone_of(config: pytest.Config, node_ids: Iterable[str]) -> list[str]:
    """Return those node ids, sorted, whose page or procedure is not there."""
    gone = []
    for node_id in sorted(node_ids):
        page, _, anchor = node_id.partition("::")
        path = config.rootpath / page
        runbooks = runbooks_of(config, path) if path.is_file() else None
        if runbooks is None or all(one.anchor != anchor for one in procedures_of(runbooks, path)):
            gone.append(node_id)
    return gone


def why_missing(session: pytest.Session, config: pytest.Config, items: Iterable[pytest.Item]) -> str:
    """Return why some of the choice was not collected, or '' where all was, or somebody has asked for less."""
    missing = sorted(config.stash[CHOSEN].places.keys() - {item.nodeid for item in items})  # by `--lf`, or because …
    if session.testsfailed:  # … pytest says what could not be read
        return ""
    if gone := gone_of(config, missing):
        return f"no longer there: {', '.join(gone[:_NAMED_GONE])}"
    if missing and not config.getoption("lf", default=False):
        return f"a conftest.py or a plugin of pytest keeps from running: {', '.join(missing[:_NAMED_GONE])}"
    return ""


def worker_of(config: pytest.Config) -> str:
    """Return the id of this worker of xdist, empty for none."""
    return str(getattr(config, "workerinput", {}).get("workerid", ""))


def _take_signals(worker: str) -> None:
    """Take a TERM signal for an interrupt, so that cleanup blocks run and the stack goes down.

    A worker hears of an interrupt from its controller alone: a terminal would send it a second one.
    """
    if threading.current_thread() is threading.main_thread():
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:  # the command line has taken it already
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        if worker:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

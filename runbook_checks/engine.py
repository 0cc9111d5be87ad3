"""pytest is the engine: a command that runs procedures is a session of it, with our own progress."""

from __future__ import annotations

import os
import re
from itertools import chain
from typing import TYPE_CHECKING

import pytest

from runbook_checks.choosing import Chosen
from runbook_checks.errors import UsageError
from runbook_checks.progress import Progress
from runbook_checks.scheduling import ByNeeds
from runbook_checks.stack import sweep

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from runbook_checks.catalog import Catalog
    from runbook_checks.config import Config, Environment
    from runbook_checks.console import PlainConsole
    from runbook_checks.model import Procedure

_IDLE = (  # plugins that come with every pytest, or often, and look at each item for nothing
    *("terminalreporter", "logging", "warnings", "threadexception", "unraisableexception"),  # nobody is shown it
    *("unittest", "subtests", "tmpdir", "hypothesispytest", "pytest_markdown_docs"),  # for tests of other kinds
)
_WORKERS = re.compile("auto|logical|[0-9]{1,2}")  # a slip of the finger must not start ten thousand processes


def session(  # noqa: PLR0913, PLR0917 - what a session needs
    config: Config,
    catalog: Catalog,
    environment: Environment,
    procedures: Sequence[Procedure],
    options: argparse.Namespace,
    console: PlainConsole,
    groups: Mapping[str, str],
    more: Sequence[str] = (),
) -> tuple[int, Progress]:
    """Run procedures, after taking down what killed runs left; return pytest's exit code and what was seen.

    ``groups`` name procedures that must run on one worker, ``more`` are further arguments for pytest.
    """
    if not _WORKERS.fullmatch(options.workers):
        raise UsageError(f"--workers {options.workers}: write a number from 0 to 99, or `auto`")
    sweep(config.root, environment, console.print)
    progress = Progress(console, whole=options.json)
    arguments = [*_arguments(config, environment, procedures, options), *more]
    chosen = Chosen(tuple(one.node_id for one in procedures), config, catalog)
    code = pytest.main(arguments, plugins=[progress, chosen, ByNeeds(groups)])
    sweep(config.root, environment, console.print)  # what a crashed worker left
    return int(code), progress


def _arguments(
    config: Config, environment: Environment, procedures: Sequence[Procedure], options: argparse.Namespace
) -> list[str]:
    given = vars(options)
    return [
        *_places(config.root, procedures),
        *("-c", os.devnull, "--rootdir", str(config.root), "--confcutdir", str(config.root)),
        *("-p", "runbook_checks", "-p", "xdist"),
        *chain.from_iterable(("-p", f"no:{name}") for name in _IDLE),
        *("-o", f"cache_dir={config.root / '.runbook-checks' / 'cache' / environment.name}"),
        *("--runbook-environment", environment.name),
        *(("-n", options.workers) if options.workers != "0" else ()),
        *(("-k", options.keyword) if options.keyword else ()),
        *(("-m", options.mark) if options.mark else ()),
        *(("-x",) if given.get("exitfirst") else ()),
        *(("--lf",) if given.get("lf") else ()),
        *((f"--junitxml={options.junitxml}",) if given.get("junitxml") else ()),
    ]


def _places(root: Path, procedures: Iterable[Procedure]) -> Iterable[str]:
    """Return the folders at the root that hold the pages, and pages at the root: Chosen leaves out all else."""
    return dict.fromkeys(str(root / one.page.partition("/")[0]) for one in procedures)

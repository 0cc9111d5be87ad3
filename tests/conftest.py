"""Fixtures that several test modules share."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from mkdocs.commands import build
from repository import Repository, copy_sample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

collect_ignore = ["samples"]  # pages and repositories for tests to copy, not tests

# A shell that puts a command in the background may keep Ctrl-C from it, and so from all that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is no broken property, and what nobody has changed passes again; scripts/fuzz looks for what is new.
settings.register_profile(
    "the same on every machine",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile("new", settings.get_profile("the same on every machine"), derandomize=False)
settings.load_profile("the same on every machine")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return copy_sample(tmp_path)


@pytest.fixture(autouse=True)
def _mkdocs_says_everything_again() -> Iterator[None]:
    """MkDocs' command line keeps its logger from saying a thing twice, for as long as the process lives."""
    yield
    build.log.filters.clear()

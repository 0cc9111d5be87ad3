"""Fixtures that several test modules share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mkdocs.commands import build
from repository import Repository, copy_sample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

collect_ignore = ["samples"]  # pages and repositories for tests to copy, not tests


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return copy_sample(tmp_path)


@pytest.fixture(autouse=True)
def _mkdocs_says_everything_again() -> Iterator[None]:
    """MkDocs' command line keeps its logger from saying a thing twice, for as long as the process lives."""
    yield
    build.log.filters.clear()

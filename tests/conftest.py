"""Fixtures that several test modules share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from repository import Repository, copy_sample

if TYPE_CHECKING:
    from pathlib import Path

collect_ignore = ["samples"]  # pages and repositories for tests to copy, not tests


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return copy_sample(tmp_path)

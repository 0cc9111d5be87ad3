"""Fixtures that several test modules share."""

from __future__ import annotations

from pathlib import Path

import pytest
from repository import Repository, copy_sample


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return copy_sample(tmp_path)

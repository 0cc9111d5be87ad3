"""Real stacks for tests, on ports of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from stack.running_stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One running stack for the tests that leave it as they found it."""
    running = Stack(tmp_path_factory.mktemp("stack") / "shared")
    running.up()
    yield running
    running.run("down")


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Stack]:
    """A stack of the test's own, not started yet."""
    own = Stack(tmp_path / "other")
    yield own
    own.run("down")

"""Pages are checked beside the build, and one that was not checked fails it."""

from __future__ import annotations

import os
import signal

import pytest

from runbook_checks.errors import Problem, UsageError
from runbook_checks.site import aside
from runbook_checks.site.aside import Aside


def check(path: str, html: str) -> tuple[Problem, ...]:
    """Find one problem in every page that is not empty; a page of one word kills the process."""
    if html == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    return (Problem(path, 1, html),) if html else ()


@pytest.mark.parametrize("fork", [True, False])
def test_the_problems_of_all_pages_are_there_in_the_end(monkeypatch: pytest.MonkeyPatch, *, fork: bool) -> None:
    monkeypatch.setattr(aside, "can_fork", lambda: fork)
    pages = Aside(check)
    for number in range(50):
        pages.ask(f"{number}.md", "x" * 10_000 if number % 2 else "")
    assert [problem.path for found in pages.finish() for problem in found] == [
        f"{number}.md" for number in range(1, 50, 2)
    ]


def test_without_pages_nothing_is_started() -> None:
    assert Aside(check).finish() == []


def test_a_process_that_dies_fails_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aside, "can_fork", lambda: True)
    pages = Aside(check)
    pages.ask("1.md", "dies")
    for number in range(100):
        pages.ask(f"{number}.md", "x" * 10_000)
    with pytest.raises(UsageError, match="ended before it was done"):
        pages.finish()


def test_stopping_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aside, "can_fork", lambda: True)
    pages = Aside(check)
    pages.ask("1.md", "x")
    process = pages._process
    pages.stop()
    assert process is not None
    assert process.exitcode == 0

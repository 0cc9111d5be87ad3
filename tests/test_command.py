"""Commands of the configuration: shown or kept, they end at their deadline, and nothing hangs on what they leave."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from runbook_checks import marks
from runbook_checks.command import complete, complete_shown

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_what_a_shown_command_prints_is_shown_as_it_comes_and_kept(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    done = complete_shown(
        "echo out; echo err >&2; exit 3", cwd=tmp_path, environ=os.environ, timeout_s=20, mark=str(tmp_path)
    )
    assert (done.status, done.stdout.strip(), done.stderr.strip(), done.expired) == (3, "out", "err", False)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert sorted(shown.err.split()) == ["err", "out"]


def test_a_shown_command_is_ended_at_its_deadline_with_all_that_it_started(tmp_path: Path) -> None:
    begun = time.monotonic()
    done = complete_shown("sleep 60 & sleep 60", cwd=tmp_path, environ=os.environ, timeout_s=0.7, mark=str(tmp_path))
    assert done.expired
    assert time.monotonic() - begun < 15
    assert not marks.marked(str(tmp_path))


def test_a_shown_command_that_leaves_its_output_open_is_no_hang(tmp_path: Path) -> None:
    begun = time.monotonic()
    done = complete_shown(
        "setsid sleep 60 & exit 0", cwd=tmp_path, environ=os.environ, timeout_s=50, mark=str(tmp_path)
    )
    assert (done.status, done.expired) == (0, True)
    assert time.monotonic() - begun < 20
    assert not marks.marked(str(tmp_path))


def test_a_command_that_leaves_its_output_open_has_ended_all_the_same(tmp_path: Path) -> None:
    environ = {**os.environ, marks.VARIABLE: str(tmp_path)}
    done = complete("echo up; setsid sleep 60 & exit 0", cwd=tmp_path, environ=environ, timeout_s=50)
    assert (done.status, done.stdout, done.expired) == (0, "up\n", False)
    marks.end_marked(str(tmp_path))


def test_a_command_is_ended_at_its_deadline(tmp_path: Path) -> None:
    assert complete("sleep 60", cwd=tmp_path, environ=os.environ, timeout_s=0.3).expired

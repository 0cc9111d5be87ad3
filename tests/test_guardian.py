"""The guardian ends what a run started, however the run ends."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from repository import wait_for

from runbook_checks import marks
from runbook_checks.config import Environment, StackCommands
from runbook_checks.errors import StackError
from runbook_checks.guardian import guarded
from runbook_checks.processes import folder_base, folder_bases, folder_prefix
from runbook_checks.stack import owned, stack_of, sweep

RUNNER = """
import os, subprocess, sys, time
from runbook_checks import marks
from runbook_checks.guardian import guarded
from pathlib import Path
from runbook_checks.bash import find_bash
from runbook_checks.shell import Session
mark, controller = sys.argv[1], int(sys.argv[2]) or None
with guarded(mark, controller=controller), Session(Path("/"), os.environ, find_bash(os.environ), marker=mark):
    subprocess.Popen(["sleep", "60"], env={**os.environ, marks.VARIABLE: mark}, start_new_session=True)
    print("up", flush=True)
    time.sleep(60)
"""


def start(mark: str, controller: int = 0) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", RUNNER, mark, str(controller)], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    wait_for(lambda: len(marks.marked(mark)) == 2)
    assert len(session_folders(mark)) == 1
    return process


def session_folders(mark: str) -> list[Path]:
    return list(Path(folder_base()).glob(f"{folder_prefix(mark)}*"))


def test_a_runner_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    mark = str(tmp_path)
    with start(mark) as runner:
        runner.kill()
        started = time.monotonic()
        wait_for(lambda: not marks.marked(mark) and not session_folders(mark))
        assert time.monotonic() - started < 5


def test_a_worker_is_ended_when_its_controller_is_killed(tmp_path: Path) -> None:
    mark = str(tmp_path)
    with subprocess.Popen(["sleep", "60"]) as controller, start(mark, controller.pid) as runner:
        controller.kill()
        assert runner.wait(5) == -9
        wait_for(lambda: not marks.marked(mark))


def test_the_stack_of_a_killed_runner_is_taken_down_when_its_guardian_is_done(tmp_path: Path) -> None:
    environment = Environment("local", stack=StackCommands(up="true", down='sleep 2; touch "$RUNBOOK_STACK_DIR.down"'))
    folder = stack_of(tmp_path, environment, "run-1-main").folder
    with owned(folder):
        pass
    said: list[str] = []
    stubborn = [
        "bash",
        "-c",
        "trap '' TERM; echo up; sleep 60",
    ]  # keeps the guardian busy: it carries the mark, as `down` does
    with (
        start(str(folder)) as runner,
        subprocess.Popen(stubborn, env={**os.environ, marks.VARIABLE: str(folder)}, stdout=subprocess.PIPE) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        runner.kill()
        sweep(tmp_path, environment, said.append)
    assert said == [f"took down {folder.name}, which a killed run had left behind"]
    assert folder.with_name(f"{folder.name}.down").exists()


def test_leaving_the_block_ends_what_is_left(tmp_path: Path) -> None:
    with guarded(str(tmp_path)):
        process = subprocess.Popen(["sleep", "60"], env={**os.environ, marks.VARIABLE: str(tmp_path)})
    assert process.wait(30) == -15


def test_leaving_the_block_removes_the_folders_of_sessions_wherever_they_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", None)
    made = [Path(tempfile.mkdtemp(prefix=folder_prefix(str(tmp_path)), dir=base)) for base in folder_bases()]
    with guarded(str(tmp_path)):
        assert [folder.parent.as_posix() for folder in made] == ["/dev/shm", tempfile.gettempdir()]
    assert not any(folder.exists() for folder in made)


def test_a_guardian_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(StackError, match="could be ended"), guarded(str(tmp_path)):
        pass

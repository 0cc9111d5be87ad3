"""The stack's commands: what they get, what they may print, how they end, and what is swept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from runbook_checks import marks
from runbook_checks.config import Environment, StackCommands
from runbook_checks.errors import StackError
from runbook_checks.record import Service
from runbook_checks.stack import Stack, owned, stack_of, sweep

if TYPE_CHECKING:
    from pathlib import Path

    from repository import Repository


def stack(root: Path, **commands: object) -> Stack:
    return Stack(root, StackCommands(**{"up": "true", "down": "true", **commands}), root / "own")  # type: ignore[arg-type]


def test_up_returns_although_a_server_keeps_its_output_open_and_down_ends_it(tmp_path: Path) -> None:
    one = stack(tmp_path, up='sleep 60 & echo $! >"$RUNBOOK_STACK_DIR/pid"')
    started = time.monotonic()
    one.up()
    assert time.monotonic() - started < 30
    server = psutil.Process(int((one.folder / "pid").read_text()))
    assert [process.pid for process in marks.marked(one.mark)] == [server.pid]
    one.down()
    assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE
    assert not one.folder.exists()


def test_a_command_that_hangs_is_ended_with_all_it_started(tmp_path: Path) -> None:
    one = stack(tmp_path, up="echo trying; trap '' TERM; sleep 61 & sleep 62", timeout_s=1)
    with pytest.raises(StackError, match=r"took longer than 1 s and was ended\ntrying"):
        one.up()
    left = [one for one in marks.marked(one.mark) if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    assert left == []  # one may have died between the list of all and the look at it


def test_an_unhealthy_stack_is_not_up(tmp_path: Path) -> None:
    one = stack(tmp_path, health="echo no answer; false")
    with pytest.raises(StackError, match=r"stack health failed: .* exited with 1\nno answer"):
        one.up()
    assert not one.healthy()


def test_a_failure_shows_the_last_lines_and_takes_any_bytes(tmp_path: Path) -> None:
    one = stack(tmp_path, up=r"seq 100; printf '\377\000' >&2; exit 7")
    with pytest.raises(StackError) as caught:
        one.up()
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("exited with 7")
    assert (lines[1], lines[-1]) == ("62", "\ufffd\0")


def test_what_is_shown_live_is_not_repeated(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    one = Stack(tmp_path, StackCommands(up="echo once; false", down="true"), tmp_path / "own", live=True)
    with pytest.raises(StackError) as caught:
        one.up()
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "once\n")
    assert "once\n" not in str(caught.value)


@pytest.mark.parametrize(
    "line", ["a secret", "1A=secret", "A-B=secret", "A=x\nsecond line of a secret", r"A=secret\000"]
)
def test_env_takes_assignments_only_and_never_shows_what_else_came(tmp_path: Path, line: str) -> None:
    one = stack(tmp_path, env=f"printf '{line}\n'")
    with pytest.raises(StackError, match=r"line [12] of what") as caught:
        one.variables()
    assert "secret" not in str(caught.value).replace(one.commands.env, "")


def test_env_that_fails_shows_its_standard_error_only(tmp_path: Path) -> None:
    with pytest.raises(StackError) as caught:
        stack(tmp_path, env="echo T$((1+1))KEN; echo broken >&2; false").variables()
    assert "T2KEN" not in str(caught.value)
    assert str(caught.value).endswith("broken")


def test_variables_and_services_are_read(tmp_path: Path) -> None:
    one = stack(tmp_path, env="echo A=b=c; echo EMPTY=", services="echo db 18.1 beta; echo; echo cache")
    assert one.variables() == {"A": "b=c", "EMPTY": ""}
    assert one.services() == (Service("db", "18.1 beta"), Service("cache", ""))
    assert stack(tmp_path).variables() == {}


def test_down_that_fails_ends_the_processes_and_keeps_the_folder(tmp_path: Path) -> None:
    one = stack(tmp_path, up="sleep 60 &", down="false")
    one.up()
    with pytest.raises(StackError, match="stack down failed"):
        one.down()
    assert marks.marked(one.mark) == []
    assert one.folder.exists()


def test_an_environment_without_a_stack_has_none(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="has no stack"):
        stack_of(tmp_path, Environment("bare"), "manual")


def test_sweep_takes_what_nobody_owns_and_leaves_what_somebody_does(tmp_path: Path) -> None:
    environment = Environment("local", stack=StackCommands(up="true", down='touch "$RUNBOOK_STACK_DIR.down"'))
    dead, living, manual = (
        stack_of(tmp_path, environment, name).folder for name in ("run-1-main", "run-2-main", "manual")
    )
    manual.mkdir(parents=True)
    code = f"from pathlib import Path; from runbook_checks.stack import owned; owned(Path({str(dead)!r})).__enter__(); import os; os._exit(9)"  # fmt: skip # noqa: E501
    subprocess.run([sys.executable, "-c", code], check=False, env=os.environ)
    shutil.rmtree(dead)
    dead.mkdir()  # the folder is the stack's to empty
    said: list[str] = []
    with owned(living):
        sweep(tmp_path, environment, said.append)
        assert (dead.exists(), living.exists(), manual.exists()) == (False, True, True)
    assert said == ["took down local-run-1-main, which a killed run had left behind"]
    assert dead.with_name(f"{dead.name}.down").exists()
    assert [path.name for path in dead.parent.glob("*-1-*")] == [f"{dead.name}.down"]


def test_sweep_goes_on_when_something_cannot_be_taken_down(tmp_path: Path) -> None:
    environment = Environment("local", stack=StackCommands(up="true", down="false"))
    with owned(stack_of(tmp_path, environment, "run-1-main").folder):
        pass
    said: list[str] = []
    sweep(tmp_path, environment, said.append)
    assert "could not be taken down: stack down failed" in said[0]


def test_a_folder_that_cannot_be_written_is_a_stack_error(repository: Repository) -> None:
    repository.write(".runbook-checks/stack", "a file")
    with pytest.raises(StackError, match="cannot be written"), owned(repository.root / ".runbook-checks/stack/x"):
        pass

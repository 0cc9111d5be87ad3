"""Processes are found by their mark, and ended whatever they do."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time

import pytest

from runbook_checks import marks


def start(mark: str, script: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["/bin/sh", "-c", script], env={**os.environ, marks.VARIABLE: mark}, start_new_session=True)


def test_only_the_mark_itself_is_found() -> None:
    mark = f"mark-{os.getpid()}"
    with start(mark, "sleep 60") as ours, start(f"{mark}-longer", "exec sleep 60") as other:
        assert ours.pid in [process.pid for process in marks.marked(mark)]
        assert other.pid not in [process.pid for process in marks.marked(mark)]
        marks.end_marked(mark)
        assert ours.wait(30) != 0
        assert other.poll() is None
        other.kill()


def test_descendants_without_the_mark_are_found_and_those_who_ignore_the_request_are_killed() -> None:
    mark = f"mark-{os.getpid()}-stubborn"
    with start(mark, "trap '' TERM; env -i sleep 61 & wait; sleep 62") as process:
        while len(marks.marked(mark)) < 2:
            time.sleep(0.01)
        started = time.monotonic()
        marks.end_marked(mark)
        assert time.monotonic() - started < 20
        assert marks.marked(mark) == []
        assert process.wait(30) == -9


def test_who_answers_every_request_with_a_new_process_is_ended_too() -> None:
    mark = f"mark-{os.getpid()}-hydra"
    hydra = 'f() { trap "f & exit" TERM; sleep 60 & wait; }; f'
    with start(mark, f"exec bash -c {shlex.quote(hydra)}"):
        while len(marks.marked(mark)) < 2:
            time.sleep(0.01)
        marks.end_marked(mark)
        assert marks.marked(mark) == []


def test_what_does_not_end_is_named() -> None:
    mark = f"mark-{os.getpid()}-fork"
    with start(mark, "trap '' TERM; exec sleep 60") as process:
        while [one.name() for one in marks.marked(mark)] != ["sleep"]:
            time.sleep(0.01)
        with pytest.raises(TimeoutError, match=str(process.pid)):
            marks.end_marked(mark, within_s=0.1)
        process.kill()


def test_this_process_never_ends_itself() -> None:
    code = (
        "from runbook_checks import marks; import os; marks.end_marked(os.environ[marks.VARIABLE]); print('still here')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, marks.VARIABLE: "self"}, capture_output=True, check=True
    )
    assert done.stdout == b"still here\n"

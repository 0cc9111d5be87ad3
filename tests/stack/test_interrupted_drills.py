"""A drill that is stopped while its fault is on leaves no shell and no server, or the next command takes them down."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from stack.drilled import Site
from stack.running_stack import Stack

from runbook_checks import marks
from runbook_checks.processes import folder_base, folder_prefix
from runbook_checks.record import Outcome

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

STACKS = ".runbook-checks/stack"
DEADLINE_S = 120.0
GONE_S = 5.0


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """The real page and a stack of its own, with a drill that goes on for long once its alert is delivered."""
    site = Site(tmp_path)
    site.write()
    site.weaken("runbook-checks.yml", "hold: 2s", "hold: 5m")
    site.weaken("runbook-checks.yml", "notifications: ", 'notifications: touch "$STACK_DIR/asked" && ')
    yield site
    for folder in stacks(site):
        marks.end_marked(str(folder))  # what a failed test has left
        Stack(folder).run("down")


def stacks(site: Site) -> list[Path]:
    """Return the folders of the stacks that are there."""
    return [path for path in (site.folder / STACKS).glob("*-run-*") if path.is_dir()]


def wait_for(condition: Callable[[], object], within_s: float = DEADLINE_S) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def told(folder: Path) -> bool:
    """Return whether the drill of a stack has seen that its alert fires, and somebody was told."""
    notifications = folder / "notifications.jsonl"
    return (folder / "asked").exists() and notifications.exists() and "RedisDown" in notifications.read_text()


def broken(site: Site, *arguments: str) -> tuple[subprocess.Popen[str], Path]:
    """Return a drill whose fault is on and whose alert is delivered, and the folder of its stack."""
    drill = site.command("drill", *arguments)
    wait_for(lambda: any(map(told, stacks(site))) or drill.poll() is not None)
    assert drill.poll() is None, drill.communicate()
    (folder,) = filter(told, stacks(site))
    assert marks.marked(str(folder))
    return drill, folder


def is_gone(folder: Path) -> bool:
    """Return whether no server and no session of a stack is left."""
    return not marks.marked(str(folder)) and not list(Path(folder_base()).glob(f"{folder_prefix(str(folder))}*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_drill_cleans_up_keeps_its_record_and_takes_its_stack_down(
    site: Site, number: signal.Signals
) -> None:
    drill, folder = broken(site)
    drill.send_signal(number)
    _, err = drill.communicate(timeout=DEADLINE_S)
    assert (drill.returncode, "Traceback" in err) == (128 + number, False)
    assert is_gone(folder)
    assert stacks(site) == []
    (record,) = site.records()
    assert record.outcome is Outcome.INTERRUPTED
    assert [moment.name for moment in record.moments][:2] == ["fault", "fired"]
    outcomes = {role: {block.outcome for block in record.blocks if block.role == role} for role in ("fault", "cleanup")}
    assert outcomes == {"fault": {Outcome.PASSED}, "cleanup": {Outcome.PASSED}}


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_killed_drill_is_ended_at_once_and_swept_by_the_next_command_which_says_so(site: Site, workers: str) -> None:
    drill, folder = broken(site, "-n", workers)
    drill.kill()
    wait_for(lambda: is_gone(folder), GONE_S)
    drill.communicate()
    assert site.records() == ()  # nobody saw how it ended
    site.weaken("runbook-checks.yml", "hold: 5m", "hold: 2s")
    code, out, err = site.run("drill")
    assert code == 0, out + err
    assert f"took down {folder.name}, which a killed run had left behind" in err
    assert stacks(site) == []
    assert [record.outcome for record in site.records()] == [Outcome.PASSED]

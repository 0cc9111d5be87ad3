"""One run at a time where all runs share an environment."""

from __future__ import annotations

import multiprocessing
import signal
from typing import TYPE_CHECKING

import pytest
from repository import Repository, copy_sample, wait_for

from runbook_checks.config import Environment, StackCommands
from runbook_checks.errors import StackError
from runbook_checks.occupancy import FOLDER, occupied

if TYPE_CHECKING:
    from pathlib import Path

BOX = Environment("box")
WAITING = """## Wait { #wait }

```bash {.step}
echo begun >>OUTSIDE/begun
until test -e OUTSIDE/go; do sleep 0.02; done
```

```bash {.check}
test -e OUTSIDE/go
```
"""


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    copied = copy_sample(tmp_path)
    copied.only(
        WAITING.replace("OUTSIDE", str(tmp_path))
    )  # what a run writes in the repository would count as a change
    return copied


def test_a_second_run_is_refused_and_told_of_the_first_which_goes_on(repository: Repository, tmp_path: Path) -> None:
    first = repository.start("verify", "--environment", "box")
    wait_for((tmp_path / "begun").exists)
    second = repository.run("verify", "--environment", "box")
    assert second.returncode == 3
    assert f"environment box is in use by another run, process {first.pid}, since 20" in second.stderr
    assert (tmp_path / "begun").read_text() == "begun\n"
    (tmp_path / "go").touch()
    first.communicate(timeout=30)
    assert first.returncode == 0
    assert [record.outcome.value for record in repository.records("extra/wait", "box")] == ["passed"]


def test_a_killed_run_holds_nothing(repository: Repository, tmp_path: Path) -> None:
    first = repository.start("verify", "--environment", "box")
    wait_for((tmp_path / "begun").exists)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=30)
    (tmp_path / "go").touch()
    assert repository.run("verify", "--environment", "box").returncode == 0


def test_workers_of_one_run_share_it(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    text = WAITING.replace("OUTSIDE", str(tmp_path))
    repository.only(text, text.replace("wait", "wait-2"))
    assert repository.run("verify", "--environment", "box", "--workers", "2").returncode == 0


def test_a_run_with_a_stack_of_its_own_holds_nothing(tmp_path: Path) -> None:
    with occupied(tmp_path, Environment("own", stack=StackCommands("true", "true")), "one"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_another_environment_is_another_matter(tmp_path: Path) -> None:
    with occupied(tmp_path, BOX, "one"), occupied(tmp_path, Environment("other"), "two"):
        pass


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"pid": 7}', '{"run": "old"}', "\0" * 5000])
def test_what_an_ended_run_left_in_the_file_does_not_matter(tmp_path: Path, text: str) -> None:
    path = tmp_path / FOLDER / "box.lock"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with (
        occupied(tmp_path, BOX, "one"),
        occupied(tmp_path, BOX, "one"),
        pytest.raises(StackError, match="in use"),
        occupied(tmp_path, BOX, "two"),
    ):
        pass


def test_a_file_that_is_no_lock_of_ours_is_refused(tmp_path: Path) -> None:
    path = tmp_path / FOLDER / "box.lock"
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StackError, match="cannot be written"), occupied(tmp_path, BOX, "one"):
        pass
    assert not (tmp_path / "elsewhere").exists()


def _hold(root: Path, run: str) -> None:
    try:
        with occupied(root, BOX, run):
            (root / "alone").mkdir()  # raises when somebody else is here
            (root / "alone").rmdir()
    except StackError:
        pass


def test_of_many_runs_that_come_together_never_two_have_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for _ in range(10):
        processes = [context.Process(target=_hold, args=(tmp_path, f"run-{number}")) for number in range(8)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0] * 8

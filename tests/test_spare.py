"""The shell that begins early: used when it is as good as one that begins now, and else ended."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from repository import Repository, copy_sample, wait_for

from runbook_checks import shell
from runbook_checks.processes import folder_base, folder_prefix
from runbook_checks.shell import Session, find_bash
from runbook_checks.spare import Spare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BASH = find_bash(os.environ)


@pytest.fixture
def asked(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "cwd").mkdir()
    return {"cwd": tmp_path / "cwd", "environ": {**os.environ, "STACK": "one"}, "bash": BASH, "marker": str(tmp_path)}


@pytest.fixture
def spare(asked: dict[str, Any]) -> Iterator[Spare]:
    with Spare() as opened:
        opened.begin(**asked)
        yield opened


def shells(asked: dict[str, Any]) -> list[int]:
    """Return the processes of all shells that begin for such a session."""
    mark, found = f"RUNBOOK_CHECKS_RUN={asked['marker']}".encode(), []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found += [int(process.name)] if mark in (process / "environ").read_bytes() else []
        except OSError:
            continue
    return found


def folders(asked: dict[str, Any]) -> list[Path]:
    return list(Path(folder_base()).glob(f"{folder_prefix(asked['marker'])}*"))


def said(session: Session, script: str) -> str:
    return session.run(script, timeout_s=10).stdout.decode()


def test_what_was_begun_is_what_the_next_one_gets_with_the_time_set_to_zero(
    spare: Spare, asked: dict[str, Any]
) -> None:
    (begun,) = shells(asked)
    time.sleep(1.1)
    session = spare.take(**asked)
    assert session is not None
    with closing(session):
        assert said(session, 'echo "$$ $SECONDS $STACK $PWD"') == f"{begun} 0 one {asked['cwd']}\n"
        assert spare.take(**asked) is None  # it is used once
        assert said(session, "echo $$") == f"{begun}\n"
    assert (shells(asked), folders(asked)) == ([], [])


def replace_folder(asked: dict[str, Any]) -> None:
    asked["cwd"].rename(asked["cwd"].with_name("old"))
    asked["cwd"].mkdir()


def replace_fifo(asked: dict[str, Any]) -> None:
    path = folders(asked)[0] / "in"
    path.unlink()
    os.mkfifo(path)


def kill(asked: dict[str, Any]) -> None:
    (pid,) = shells(asked)
    os.kill(pid, 9)
    wait_for(lambda: not shells(asked))


def speak(asked: dict[str, Any]) -> None:
    with (folders(asked)[0] / "ctl").open("w") as reports:
        reports.write("hello\n")


def end_it_without_a_death(asked: dict[str, Any]) -> None:
    """What asks a shell to end gets a fork of it."""
    (pid,) = shells(asked)
    waiting = folders(asked)[0] / "in"  # for its first order: what a signal is worth was settled before
    wait_for(lambda: waiting in [file.resolve() for file in Path(f"/proc/{pid}/fd").iterdir()])
    os.kill(pid, 15)
    wait_for(lambda: len(shells(asked)) > 1)


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "environment": lambda asked: asked["environ"].update(STACK="two"),
    "secrets": lambda asked: asked.update(secrets=("hunter2-secret",)),
    "folder replaced": replace_folder,
    "folder gone": lambda asked: asked["cwd"].rmdir(),
    "fifo replaced": replace_fifo,
    "files gone": lambda asked: shutil.rmtree(folders(asked)[0]),
    "killed": kill,
    "forked": end_it_without_a_death,
    "spoken for": speak,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_is_not_as_if_begun_now_is_ended_and_not_used(
    spare: Spare,
    asked: dict[str, Any],
    change: Callable[[dict[str, Any]], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shell, "FAREWELL_S", 0.5)
    change(asked)
    assert spare.take(**asked) is None
    assert (shells(asked), folders(asked)) == ([], [])


def test_a_second_one_ends_the_first(spare: Spare, asked: dict[str, Any]) -> None:
    (first,) = shells(asked)
    spare.begin(**asked)
    wait_for(lambda: shells(asked))  # a process that has just begun shows no environment yet
    (second,) = shells(asked)
    assert first != second
    assert len(folders(asked)) == 1


def test_what_nobody_asks_for_ends_with_the_spare(asked: dict[str, Any]) -> None:
    with Spare() as opened:
        opened.begin(**asked)
        wait_for(lambda: len(shells(asked)) == 1)
    assert (shells(asked), folders(asked)) == ([], [])


def test_where_none_can_begin_there_is_none(asked: dict[str, Any]) -> None:
    asked["cwd"].rmdir()
    with Spare() as opened:
        opened.begin(**asked)
        assert opened.take(**asked) is None
    assert (shells(asked), folders(asked)) == ([], [])


PAGE = """## First { #first }

```bash {.step}
kept=here && touch made && echo $$ >>shells
```

```bash {.check}
test -e made
```

## Second { #second }

```bash {.step}
echo $$ >>shells
```

```bash {.check}
test -z "${kept-}" && test -e made && test "$SECONDS" -le 1
```
"""


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    copied = copy_sample(tmp_path)
    copied.only(PAGE)
    copied.write(".gitignore", "made\nshells\n")
    return copied


def test_each_procedure_has_a_shell_of_its_own_and_none_is_left(repository: Repository) -> None:
    done = repository.run("verify", "--environment", "box")
    assert done.returncode == 0, done.stderr
    shells = (repository.root / "shells").read_text().split()
    assert len(set(shells)) == len(shells) == 2
    assert repository.left() == ([], [])

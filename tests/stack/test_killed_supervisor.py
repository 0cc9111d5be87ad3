"""A real stack whose supervisor is killed -9 under a running ``verify`` is in nobody's way, and nothing of it stays."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from stack.drilled import begun
from stack.running_stack import ROOT, STACK, Stack

from runbook_checks import marks
from runbook_checks.processes import folder_base, folder_prefix
from runbook_checks.record import Outcome, Record, from_line

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

DEADLINE_S = 180.0
GONE_S = 5.0
CONFIGURATION = f"""
pages: [docs]
environments:
  staging:
    secrets: [DATABASE_URL, REDIS_URL]
    stack: {{up: {STACK} up, health: {STACK} health, env: {STACK} env, down: {STACK} down}}
"""
ASK = '```bash {.check within=10s}\npsql -XAtc "SELECT 42" "$DATABASE_URL"\n```\n```text {.expect}\n42\n```\n'
CARD = "```yaml {.procedure}\nchanges: [database]\n```\n"
WAIT = "```bash {.step timeout=3m}\ntouch begun\nwhile ! test -e go; do sleep 0.1; done\n```\n"
PAGE = f"""---
title: Wait
runbook: {{owner: platform}}
---

## Wait {{ #wait }}

{CARD}
{WAIT}
{ASK}
## Ask {{ #ask }}

{ASK}
```bash {{.check}}
RUNBOOK_STACK_DIR="$STACK_DIR" deployment/staging/stack health
```
"""


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository whose two procedures run on the real staging stack; the first waits until it may go on."""

    folder: Path

    def write(self) -> None:
        (self.folder / "deployment").symlink_to(ROOT / "deployment")
        (self.folder / ".gitignore").write_text("begun\ngo\n")
        (self.folder / "runbook-checks.yml").write_text(CONFIGURATION)
        (self.folder / "docs").mkdir()
        (self.folder / "docs/page.md").write_text(PAGE)

    def command(self, *arguments: str) -> subprocess.Popen[str]:
        return begun(self.folder, *arguments)

    def waiting(self) -> tuple[subprocess.Popen[str], Path, list[psutil.Process]]:
        """Return a run that waits in its first procedure, its stack's folder, and its supervisor with all servers."""
        run = self.command("verify", "--workers", "1")
        wait_for(lambda: (self.folder / "begun").exists() or run.poll() is not None)
        assert run.poll() is None, run.communicate()
        (folder,) = self.stacks()
        supervisor = psutil.Process(int((folder / "supervisord.pid").read_text()))
        servers = supervisor.children(recursive=True)
        assert len(servers) > 10
        return run, folder, [supervisor, *servers]

    def stacks(self) -> list[Path]:
        return [path for path in (self.folder / ".runbook-checks/stack").glob("*-run-*") if path.is_dir()]

    def records(self, name: str) -> list[Record]:
        kept = self.folder / f".runbook-checks/evidence/staging/page/{name}.jsonl"
        return list(map(from_line, kept.read_text().splitlines())) if kept.exists() else []


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    made = Repository(tmp_path)
    made.write()
    yield made
    for folder in made.stacks():
        marks.end_marked(str(folder))  # what a failed test has left
        Stack(folder).run("down")


def wait_for(condition: Callable[[], object], within_s: float = DEADLINE_S) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def alive(processes: list[psutil.Process]) -> list[str]:
    return [str(one) for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def sessions(folder: Path) -> list[Path]:
    """Return the folders of the shell sessions on a stack."""
    return list(Path(folder_base()).glob(f"{folder_prefix(str(folder))}*"))


def test_a_run_goes_on_with_a_fresh_stack_and_takes_down_what_the_supervisor_left(repository: Repository) -> None:
    run, folder, processes = repository.waiting()
    processes[0].kill()
    wait_for(lambda: not alive(processes[:1]))
    (repository.folder / "go").touch()
    _, err = run.communicate(timeout=DEADLINE_S)
    assert (run.returncode, "Traceback" in err) == (0, False), err
    assert alive(processes) == []
    assert (repository.stacks(), sessions(folder), marks.marked(str(folder))) == ([], [], [])
    assert [one.outcome for one in repository.records("wait")] == [Outcome.PASSED]  # the servers went on without it
    assert [one.outcome for one in repository.records("ask")] == [Outcome.PASSED]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_when_the_run_is_stopped_too_its_session_ends_and_nothing_is_left_by_the_next_command(
    repository: Repository, number: signal.Signals
) -> None:
    run, folder, processes = repository.waiting()
    assert sessions(folder)
    processes[0].kill()
    run.send_signal(number)
    if number is signal.SIGKILL:
        wait_for(lambda: not sessions(folder) and not marks.marked(str(folder)), GONE_S)
        run.communicate()
        assert repository.records("wait") == []  # nobody saw how it ended
        assert repository.stacks() == [folder]
        following = repository.command("verify", "ask", "--workers", "1")
        _, err = following.communicate(timeout=DEADLINE_S)
        assert following.returncode == 0, err
        assert f"took down {folder.name}, which a killed run had left behind" in err
        assert [one.outcome for one in repository.records("ask")] == [Outcome.PASSED]
    else:
        _, err = run.communicate(timeout=DEADLINE_S)
        assert (run.returncode, "Traceback" in err) == (128 + number, False), err
        assert [one.outcome for one in repository.records("wait")] == [Outcome.INTERRUPTED]
    assert alive(processes) == []
    assert (repository.stacks(), sessions(folder), marks.marked(str(folder))) == ([], [], [])

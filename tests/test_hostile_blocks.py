"""Hostile blocks, all in one real run: none hangs, none is taken for a pass, none is felt by the procedure after it.

OUTPUT_BYTES says how much one of them prints:
`OUTPUT_BYTES=10000000000 .venv/bin/pytest -s tests/test_hostile_blocks.py`.
"""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import termios
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from repository import Repository, copy_sample

if TYPE_CHECKING:
    from pathlib import Path

GIGABYTE = int(os.environ.get("OUTPUT_BYTES", "1000000000"))
LIMIT = 256 * 1024
PEAK_KIB = 150 * 1024  # of the runner and each of its children, pytest and all: it does not grow with the output


@dataclass(frozen=True)
class Hostile:
    text: str
    said: str = ""  # in the reason for the failure; empty for a pass
    more: str = ""


BLOCKS = {
    "gigabyte": Hostile(f"head -c {GIGABYTE} /dev/zero"),
    "line": Hostile("head -c 20000000 /dev/zero | tr '\\0' x"),
    "endless": Hostile("yes", "did not end within its 0.5 s", " timeout=500ms"),
    "silent": Hostile("sleep 300", "did not end within its 0.5 s", " timeout=500ms"),
    "busy": Hostile("while :; do :; done", "did not end within its 0.5 s", " timeout=500ms"),
    "deaf": Hostile("trap '' TERM; sleep 300; sleep 300", "did not end within its 0.5 s", " timeout=500ms"),
    "binary": Hostile(r"printf '\0\1\377\200\r\n'; head -c 10000 /dev/urandom"),
    "broken-utf8": Hostile(r"printf '\xc3\x28 \xed\xa0\x80 \xf8\x88 \xe2\x82'"),
    "ansi": Hostile(r"printf '\033[2J\033]0;title\007\033]8;;javascript:ran()\007x\033\\\x9b31m'; printf '\033[' >&2"),
    "exec": Hostile("exec true", "ended the shell itself"),
    "exec-bash": Hostile("exec bash -c 'exit 0'", "ended the shell itself"),
    "exit": Hostile("exit 3; true", "exited with 3"),
    "exit-in-trap": Hostile("trap 'exit 0' EXIT; false", "exited with 1"),
    "no-errexit": Hostile("set +e; echo on; false", "exited with 1"),
    "no-pipefail": Hostile("set +e; set +o pipefail; cd /none; (exit 4)", "exited with 4"),
    "closed": Hostile("exec >&- 2>&- <&-; echo lost", "exited with 1"),
    "elsewhere": Hostile("exec >/dev/full; echo lost", "exited with 1"),
    "kill": Hostile("kill $$; sleep 1; true", "exited with 143"),
    "kill-group": Hostile("kill 0; sleep 1; true", "exited with 143"),
    "kill-hard": Hostile("kill -9 $$; sleep 1; true", "ended the shell itself"),
    "hang-up": Hostile("true; kill -HUP $$; true", "exited with 129"),
    "broken-pipe": Hostile("set +e; exec > >(:); wait $!; echo a; echo b; true", "exited with 141"),
    "stty": Hostile("stty raw </dev/tty", "/dev/tty"),
    "terminal": Hostile("read -r answer </dev/tty", "/dev/tty"),
    "stdin": Hostile("read -r answer", "exited with 1"),
    "jobs": Hostile("sleep 300 & (trap '' TERM HUP; sleep 300) & echo held"),
    "daemons": Hostile(
        "setsid --fork sh -c 'sleep 300 & sleep 300'; setsid --fork sh -c 'exec setsid --fork sleep 300'"
    ),
    "fork-storm": Hostile(
        "f() { (($1 > 7)) || { f $(($1 + 1)) & f $(($1 + 1)) & }; sleep 300; }; f 0",
        "did not end within its 1 s",
        " timeout=1s",
    ),
    "deleted-folder": Hostile('d=$(mktemp -d); cd "$d"; rmdir "$d"; ls /proc/self/cwd/none', "exited with 2"),
    "no-path": Hostile("unset PATH; ls", "exited with 127"),
    "redefined": Hostile(
        "cd() { :; }; printf() { :; }; read() { :; }; exec() { :; }; trap() { :; }; exit() { :; }; false",
        "exited with 1",
    ),
    "our-names": Hostile("__rb_st=0 __rb_last=end; __rb_arm() { :; }; true", "exited with 1"),
    "no-builtins": Hostile("enable -n builtin printf read; true", "did not end", " timeout=500ms"),
    "markers": Hostile(
        "for d in /proc/$PPID/fd/* /proc/$$/fd/*; do { [[ -p $d ]] && printf 'end 0 %s \\nexit 0 %s \\nready 0 %s \\n'"
        ' $$ $$ $$ >"$d"; } 2>/dev/null & done; sleep 0.5; false',
        "exited with 1",
    ),
    "reports": Hostile('printf "end 0 $$ \\n" >"$__rb/ctl"; false', "exited with 1"),
    "emptied": Hostile('rm -rf "$__rb"', "ended the shell itself"),
    "limits": Hostile("ulimit -n 3", "ended the shell itself"),
    "bequest": Hostile("export LEAK=1; alias test=false; umask 777; cd /; set -f; shopt -s nullglob; true"),
}
AFTER = (
    'test -z "${LEAK-}"; test "$(type -t printf)" = builtin; test -e runbook-checks.yml; test "$(umask)" != 0777;'
    ' test "$(echo *)" != "*"; ls >/dev/null; test -z "$(jobs)"'
)


def section(name: str, block: Hostile) -> str:
    fence = "`" * 3
    return (
        f"## {name} {{ #{name} }}\n\n{fence}bash {{.step #{name}-block{block.more}}}\n{block.text}\n{fence}\n\n"
        f"{fence}bash {{.check}}\ntrue\n{fence}\n\n"
        f"## After {name} {{ #after-{name} }}\n\n{fence}bash {{.check}}\n{AFTER.replace('; ', chr(10))}\n{fence}\n"
    )


# From a small process: the kernel counts what the one that starts it has in memory at that moment (getrusage(2)).
MEASURED = """
import pathlib, resource, subprocess, sys
code = subprocess.call([sys.executable, "-m", "runbook_checks", *sys.argv[2:]])
pathlib.Path(sys.argv[1]).write_text(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
raise SystemExit(code)
"""


@dataclass(frozen=True)
class Ran:
    records: dict[str, dict[str, Any]]
    code: int
    took_s: float
    peak_kib: int
    repository: Repository


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("hostile")
    repository = copy_sample(folder)
    repository.only(*(section(name, block) for name, block in BLOCKS.items()))
    begun_s = time.monotonic()
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        runner = subprocess.run(
            [sys.executable, "-c", MEASURED, folder / "peak", "verify", "--environment", "box", "--json"],
            cwd=repository.root,
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            stdout=out,
            stderr=err,
            check=False,
        )
    took_s = time.monotonic() - begun_s
    assert (folder / "out").stat().st_size, (folder / "err").read_text()
    records = json.loads((folder / "out").read_text())["records"]
    by_name = {record["procedure"].removeprefix("extra/"): record for record in records}
    return Ran(by_name, runner.returncode, took_s, int((folder / "peak").read_text()), repository)


@pytest.mark.parametrize("name", BLOCKS)
def test_a_hostile_block_is_judged_as_what_it_did(ran: Ran, name: str) -> None:
    record = ran.records[name]
    if BLOCKS[name].said:
        assert record["outcome"] == "failed"
        assert BLOCKS[name].said in record["reason"]
        assert record["blocks"][1]["outcome"] == "skipped"
    else:
        assert (record["outcome"], record["reason"]) == ("passed", "")


@pytest.mark.parametrize("name", BLOCKS)
def test_the_procedure_after_it_feels_nothing(ran: Ran, name: str) -> None:
    after = ran.records[f"after-{name}"]
    assert (after["outcome"], after["reason"]) == ("passed", "")


def test_a_gigabyte_is_counted_and_takes_no_memory(ran: Ran) -> None:
    block = ran.records["gigabyte"]["blocks"][0]
    assert block["stdout_cut"] == GIGABYTE - LIMIT
    assert f"[... {GIGABYTE - LIMIT} bytes left out ...]" in block["stdout"]
    assert len(block["stdout"]) < LIMIT + 100
    print(f"{GIGABYTE} bytes in {block['duration_s']:.1f} s, at most {ran.peak_kib >> 10} MiB")  # noqa: T201 - by hand
    assert ran.peak_kib < PEAK_KIB


def test_all_of_it_ends_and_nothing_is_left(ran: Ran) -> None:
    assert ran.code == 1
    assert len(ran.records) == 2 * len(BLOCKS)
    assert ran.repository.left() == ([], [])


# What has the terminal of its standard input for a controlling one, as a shell on a terminal has.
ON_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""


def on_terminal(folder: Path, *command: str) -> tuple[int, str, bool]:
    """Run a command on a terminal where somebody types; return its status, what is shown, and if all is as before."""
    ours, its = pty.openpty()
    before = termios.tcgetattr(its)
    os.write(ours, b"typed by hand\n")
    with subprocess.Popen(
        [sys.executable, "-c", ON_TERMINAL, *command],
        cwd=folder,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
    ) as process:
        shown = bytearray()
        while process.poll() is None or select.select([ours], [], [], 0)[0]:
            if select.select([ours], [], [], 0.1)[0]:
                shown += os.read(ours, 4096)
    as_before = termios.tcgetattr(its) == before
    os.close(ours)
    os.close(its)
    return process.returncode, shown.decode(), as_before


def test_no_block_reaches_the_terminal_of_who_runs_it(tmp_path: Path) -> None:
    attempts = {
        "says": "echo written-by-a-block >/dev/tty",
        "asks": "read -r answer </dev/tty",
        "turns": "stty raw -echo </dev/tty",
        "daemon": 'setsid --fork --ctty sh -c "stty raw </dev/tty && touch turned"; sleep 0.5; test -e turned',
    }
    repository = copy_sample(tmp_path)
    repository.only(*(section(name, Hostile(text)) for name, text in attempts.items()))
    verify = (sys.executable, "-m", "runbook_checks", "verify", "--environment", "box", "--workers", "0")
    code, shown, as_before = on_terminal(repository.root, *verify)
    outcomes = {name: repository.records(f"extra/{name}", "box")[0].outcome.value for name in attempts}
    assert (code, outcomes) == (1, dict.fromkeys(attempts, "failed"))
    assert as_before
    assert "written-by-a-block" not in shown.replace(attempts["says"], "")
    assert repository.left() == ([], [])


def test_a_command_that_is_no_block_does_reach_it(tmp_path: Path) -> None:
    assert on_terminal(tmp_path, "sh", "-c", "echo written >/dev/tty; stty raw </dev/tty")[1:] == (
        "typed by hand\r\nwritten\r\n",
        False,
    )

"""The session against everything that a block can do to a shell."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from runbook_checks import processes, shell
from runbook_checks.bash import check_syntax
from runbook_checks.errors import RunbookError, UsageError
from runbook_checks.model import Stream
from runbook_checks.output import Output
from runbook_checks.shell import How, Session

if TYPE_CHECKING:
    from collections.abc import Iterator

CASES = yaml.safe_load((Path(__file__).parent / "samples/shell/cases.yml").read_text(encoding="utf-8"))
BASH = shell.find_bash(os.environ)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with Session(tmp_path, os.environ, BASH) as opened:
        yield opened


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ignores TERM is killed after 0.2 s here, so that the tests are quick."""
    monkeypatch.setattr(shell, "GRACE_S", 0.2)


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_a_block_ends_as_the_table_says(case: dict[str, Any], session: Session) -> None:
    for block in case["blocks"]:
        ended = session.run(block["run"], timeout_s=block.get("timeout", 10), subshell=block.get("sub", False))
        shown = f"{block['run']!r} gave {ended}"
        assert (ended.how, ended.status) == (How(block.get("how", "end")), block.get("status", 0)), shown
        for stream in ("stdout", "stderr"):
            if stream in block:
                assert getattr(ended, stream).decode() == block[stream], shown
        if "line" in block:
            assert ended.line == block["line"], shown
        assert block.get("alive", True) in {session.alive, None}, shown
        assert ended.duration_s < 15, shown
        if not session.alive:
            return


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except FileNotFoundError:
        return False


def ends(pid: int) -> bool:
    """Whether the process ends, or has ended."""
    until_s = time.monotonic() + 20
    while alive(pid) and time.monotonic() < until_s:
        time.sleep(0.01)
    return not alive(pid)


def until(file: str) -> str:
    """Return a command that waits for a file in the session's folder."""
    return f"until test -e {file}; do sleep 0.01; done"


def test_a_session_starts_in_the_folder_and_the_environment_it_is_given(tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "GREETING": "it's\nme", "BASH_ENV": "/no/such/file", "SHELLOPTS": "xtrace"}
    with Session(tmp_path, environ, BASH, marker="run-7") as opened:
        ended = opened.run("pwd; echo \"$GREETING\"; bash -c 'echo $RUNBOOK_CHECKS_RUN'", timeout_s=10)
    assert ended.stdout.decode() == f"{tmp_path}\nit's\nme\nrun-7\n"
    assert ended.stderr == b""


def test_the_time_after_which_a_login_shell_ends_ends_no_session(tmp_path: Path) -> None:
    with Session(tmp_path, {"PATH": os.environ["PATH"], "TMOUT": "1"}, BASH) as opened:
        time.sleep(1.5)
        assert opened.run("echo ${TMOUT-none}", timeout_s=10).stdout == b"none\n"


def test_a_lost_session_refuses_the_next_block(session: Session) -> None:
    session.run("exec true", timeout_s=10)
    with pytest.raises(RunbookError, match="fresh one"):
        session.run("true", timeout_s=10)


def test_output_comes_live_and_streams_are_apart(session: Session, tmp_path: Path) -> None:
    seen: list[tuple[Stream, bytes]] = []

    def listen(stream: Stream, data: bytes) -> None:
        seen.append((stream, data))
        (tmp_path / "heard").touch()

    ended = session.run(f"echo one; {until('heard')}; echo two >&2", timeout_s=20, on_output=listen)
    assert ended.how is How.END
    assert seen == [(Stream.STDOUT, b"one\n"), (Stream.STDERR, b"two\n")]


def test_late_output_belongs_to_the_block_that_started_it(session: Session) -> None:
    seen: list[bytes] = []
    late = f"({until('go')}; echo late) & echo now"
    first = session.run(late, timeout_s=10, on_output=lambda _, data: seen.append(data))
    second = session.run("touch go; echo second; wait", timeout_s=10)
    assert (first.stdout, second.stdout) == (b"now\n", b"second\n")
    assert [(late.number, late.stdout) for late in session.late_output()] == [(first.number, b"late\n")]
    assert seen == [b"now\n", b"late\n"]


def test_late_output_is_complete_after_closing(tmp_path: Path) -> None:
    with Session(tmp_path, os.environ, BASH) as opened:
        opened.run("trap 'echo farewell' EXIT", timeout_s=10)
        job = "trap 'echo ended; exit' TERM; touch up; while :; do sleep 0.01; done"
        opened.run(f"({job}) & {until('up')}", timeout_s=10)
        opened.run("true", timeout_s=10)
    assert [(late.number, late.stdout) for late in opened.late_output()] == [(2, b"ended\n"), (3, b"farewell\n")]


@pytest.mark.parametrize(
    ("block", "cut"),
    [("trap 'sleep 30' EXIT", True), ("trap 'echo bye' EXIT", False), ("trap 'sleep 30' EXIT; trap - EXIT", False)],
)
def test_a_trap_that_is_stopped_at_the_end_is_told(
    tmp_path: Path, block: str, monkeypatch: pytest.MonkeyPatch, *, cut: bool
) -> None:
    monkeypatch.setattr("runbook_checks.shell.FAREWELL_S", 1.0 if cut else 30.0)
    with Session(tmp_path, os.environ, BASH) as opened:
        opened.run(block, timeout_s=10)
    assert opened.cut_short == cut


def test_a_trap_that_nobody_can_ask_for_is_told(tmp_path: Path) -> None:
    with Session(tmp_path, os.environ, BASH) as opened:
        folder = opened.run('echo "$__rb"', timeout_s=10).stdout.decode().strip()
        shutil.rmtree(folder)
    assert opened.cut_short


def test_a_background_job_that_prints_without_end_keeps_no_block_from_ending(session: Session) -> None:
    session.run("yes & y=$!", timeout_s=10)
    ended = session.run("kill $y; echo b", timeout_s=10)
    assert (ended.how, ended.stdout) == (How.END, b"b\n")


def test_five_megabytes_of_here_document_pass_through(session: Session) -> None:
    line = "0123456789abcdef" * 4 + "\n"
    ended = session.run(f"wc -c <<'END'\n{line * 80_000}END\n", timeout_s=30)
    assert ended.stdout.strip() == str(len(line) * 80_000).encode()


def test_markers_on_every_descriptor_that_a_block_finds_are_only_output(tmp_path: Path) -> None:
    ours = shell._SCRIPT.read_bytes()
    with Session(tmp_path, os.environ, BASH) as opened:
        # of the shell, and of the runner, which reads the reports; each by itself, as some wait for a reader
        ends = (opened._dialogue._ctl, opened._dialogue._in)
        folders = f"/proc/$$/fd/* {' '.join(f'/proc/{os.getpid()}/fd/{fd}' for fd in ends)}"
        lines = "printf 'end 0 %s \\nexit 0 %s \\nready 0 %s \\nrun 1\\n' $$ $$ $$"
        spread = f'for d in {folders}; do {{ {lines} >"$d"; }} 2>/dev/null & done; sleep 0.3; false'
        ended = opened.run(spread, timeout_s=10)
        assert (ended.how, ended.status) == (How.EXIT, 1)
        ended = opened.run("echo next; false", timeout_s=10)
        assert (ended.how, ended.status, ended.stdout) == (How.EXIT, 1, b"next\n")
        assert opened.run("echo c", timeout_s=10).stdout == b"c\n"
    assert shell._SCRIPT.read_bytes() == ours


def test_much_output_is_cut_in_the_middle_in_flat_memory(tmp_path: Path) -> None:
    with Session(tmp_path, os.environ, BASH, limit_bytes=10_000) as opened:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        ended = opened.run("echo begin; head -c 20000000 /dev/zero; echo; echo end", timeout_s=60)
        grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert ended.stdout.startswith(b"begin\n\0")
    assert ended.stdout.endswith(b"\0\nend\n")
    assert ended.stdout_cut == 20_000_011 - 10_000
    assert f"[... {ended.stdout_cut} bytes left out ...]".encode() in ended.stdout
    assert grown_kib < 4096


def test_a_full_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    for _ in range(10):  # it is not always read at once
        with Session(tmp_path, os.environ, BASH, secrets=("s3cr3t-value",)) as opened:
            ended = opened.run("printf '%065533ds3c' 1", timeout_s=10)
        assert ended.stdout.endswith(b"01s3c")
        assert opened.late_output() == ()


def test_bytes_come_as_they_are(session: Session) -> None:
    assert session.run(r"printf '\0\377\r\n\033[1m'", timeout_s=10).stdout == b"\0\xff\r\n\x1b[1m"


def test_a_secret_is_redacted_across_chunks_and_blocks(tmp_path: Path) -> None:
    seen: list[bytes] = []
    with Session(tmp_path, {**os.environ, "TOKEN": "s3cr3t-value"}, BASH, secrets=("s3cr3t-value",)) as opened:
        ended = opened.run(
            'printf "a ${TOKEN:0:5}"; sleep 0.05; printf "${TOKEN:5} b\n"; base64 <<<"$TOKEN" >&2; printf s3c',
            timeout_s=10,
            on_output=lambda _, data: seen.append(data),
        )
        assert opened.run("printf r3t-value", timeout_s=10).stdout == b"r3t-value"
    assert ended.stdout == b"a [redacted] b\ns3c"
    assert b"czNjcjN0" not in ended.stderr
    assert b"s3cr3" not in b"".join(seen)


def test_a_deadline_ends_the_blocks_daemon_and_spares_earlier_jobs(session: Session) -> None:
    earlier = session.run("(while :; do sleep 0.05; done) & setsid sleep 60 & echo $!", timeout_s=10)
    job = session.run("jobs -p", timeout_s=10).stdout.split()
    ended = session.run("setsid --fork bash -c 'echo $$; exec sleep 60'; sleep 60 & echo $!; sleep 60", timeout_s=2)
    assert ended.how is How.TIMEOUT
    assert [ends(int(pid)) for pid in ended.stdout.split()] == [True, True]
    assert all(alive(int(pid)) for pid in [*job, earlier.stdout])
    session.run("kill " + earlier.stdout.decode(), timeout_s=10)  # a daemon: closing would leave it


def test_a_deadline_before_the_shell_has_begun_means_that_it_never_begins(session: Session, tmp_path: Path) -> None:
    session.run("true", timeout_s=10)
    os.kill(session._process.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, session._process.pid, os.WSTOPPED)
    ended = session.run("touch ran", timeout_s=0.05)
    os.kill(session._process.pid, signal.SIGCONT)
    assert (ended.how, session.alive) == (How.TIMEOUT, True)
    assert session.run("ls; echo done", timeout_s=10).stdout == b"done\n"
    assert list(tmp_path.iterdir()) == []


def test_a_deadline_at_any_moment_of_an_order_keeps_the_session(session: Session) -> None:
    for number in range(40):
        ended = session.run("sleep 0.002", timeout_s=number % 8 * 0.0005, subshell=number % 3 == 0)
        assert ended.how in {How.TIMEOUT, How.END}
        assert session.run(f"echo {number}", timeout_s=10).stdout == f"{number}\n".encode()


def test_closing_ends_background_jobs_and_leaves_daemons(tmp_path: Path) -> None:
    with Session(tmp_path, os.environ, BASH) as opened:
        daemon_up = f"setsid sh -c 'touch up; exec sleep 60' & {until('up')}"
        ended = opened.run(f"sleep 60 & echo $!; {daemon_up}; echo $!", timeout_s=10)
    job, daemon = map(int, ended.stdout.split())
    try:
        assert ends(job)
        assert alive(daemon)
    finally:
        os.kill(daemon, signal.SIGKILL)


def test_a_failed_block_does_not_make_processes_pile_up_after_closing(tmp_path: Path) -> None:
    with Session(tmp_path, os.environ, BASH) as opened:
        pids = [int(opened.run("echo $BASHPID; false", timeout_s=10).stdout) for _ in range(5)]
    assert len(set(pids)) == 5
    assert all(map(ends, pids))


def test_an_interrupt_ends_the_block_and_keeps_the_session(session: Session) -> None:
    def interrupt(_: Stream, __: bytes) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        session.run("a=1; sleep 60 & b=$!; echo go; sleep 60", timeout_s=10, on_output=interrupt)
    ended = session.run("echo $a $b", timeout_s=10)
    kept, job = ended.stdout.split()
    assert kept == b"1"
    assert ends(int(job))  # to `kill -0` it is there until somebody has buried it


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interrupt_beside_the_order_leaves_nothing_to_the_next_block(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    session.run("true", timeout_s=10)

    def interrupting(descriptor: int, data: bytes) -> int:
        if when == "after":
            os.write(descriptor, data)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("runbook_checks.dialogue.os", SimpleNamespace(write=interrupting, read=os.read))
        with pytest.raises(KeyboardInterrupt):
            session.run("sleep 60; touch ran", timeout_s=60)
    if session.alive:  # else the cleanup gets a fresh one
        assert session.run("echo once", timeout_s=5).stdout == b"once\n"
    assert session.alive or when == "before"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("act", ["register", "unregister"])
def test_an_interrupt_while_we_begin_or_cease_to_watch_spoils_no_other_block(
    session: Session, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    real = getattr(session._selector, act)

    def interrupted(file: Output, *arguments: object) -> object:
        key = real(file, *arguments)
        if isinstance(file, Output):
            monkeypatch.setattr(session._selector, act, real)
            os.kill(os.getpid(), signal.SIGINT)
        return key

    monkeypatch.setattr(session._selector, act, interrupted)
    with pytest.raises(KeyboardInterrupt):
        session.run("sleep 0.1", timeout_s=10)
    ended = session.run("sleep 0.1; printf %0100000d 1", timeout_s=10)
    assert (ended.how, len(ended.stdout)) == (How.END, 100_000)


def test_what_a_listener_did_not_take_is_not_the_next_blocks(session: Session) -> None:
    def interrupt(_: Stream, __: bytes) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        session.run("echo a; echo b >&2", timeout_s=10, on_output=interrupt)
    with pytest.raises(KeyboardInterrupt):
        session.run("echo c; echo d >&2; sleep 0.1 &", timeout_s=10, on_output=interrupt)
    ended = session.run("echo e; echo f >&2", timeout_s=10)
    assert (ended.stdout, ended.stderr) == (b"e\n", b"f\n")


def test_no_descriptor_leads_to_a_script_that_a_block_could_overwrite(session: Session) -> None:
    session.run("true", timeout_s=10)
    links = [str(fd.readlink()) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]
    assert [link for link in links if "/block." in link] == []
    ended = session.run("for fd in /proc/$$/fd/*; do readlink $fd || true; done", timeout_s=10)
    assert b"/out." in ended.stdout
    assert b"/block." not in ended.stdout


def test_its_files_lie_in_memory_unless_somebody_has_named_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    assert processes.folder_base() == "/dev/shm"
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert processes.folder_base() == str(tmp_path)
    monkeypatch.delenv("TMPDIR")
    monkeypatch.setattr("runbook_checks.processes._IN_MEMORY", str(tmp_path / "none"))
    assert processes.folder_base() == str(tmp_path)  # where there is no such folder


def test_closing_leaves_no_file(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with Session(tmp_path, os.environ, BASH, folder=tmp_path) as opened:
        opened.run("sleep 0.05 &", timeout_s=10)
        opened.run("true", timeout_s=10)
        assert list(tmp_path.iterdir())
    assert list(tmp_path.iterdir()) == []
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), Session(tmp_path / "none", os.environ, BASH):
        pass


def test_a_block_that_a_slow_start_leaves_no_time_is_taken_back_and_the_next_one_runs(tmp_path: Path) -> None:
    slow = tmp_path / "bash"
    slow.write_text(f'#!/bin/sh\nsleep 1\nexec {BASH} "$@"\n')
    slow.chmod(0o755)
    with Session(tmp_path, os.environ, slow) as session:
        assert session.run("touch begun", timeout_s=0.1).how is How.TIMEOUT
        ended = session.run("ls; echo $SECONDS", timeout_s=10)
        assert (ended.how, ended.status, ended.stdout) == (How.END, 0, b"bash\n0\n")


def test_an_old_bash_is_refused_with_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runbook_checks.bash._FOLDERS", ())
    (tmp_path / "bash").write_text("#!/bin/sh\necho 3 2\n")
    (tmp_path / "bash").chmod(0o755)
    with pytest.raises(UsageError, match=r"bash is 3\.2.*brew install bash"):
        shell.find_bash({"PATH": str(tmp_path)})
    with pytest.raises(UsageError, match="brew install bash"):
        shell.find_bash({})
    assert shell.find_bash({"PATH": f"{tmp_path}:{BASH.parent}"}) == BASH


def test_syntax_is_checked_without_running(tmp_path: Path) -> None:
    said = check_syntax(
        [f"touch {tmp_path}/ran", "a\nif x\n", "cat <<END\nx\n", "echo 'a\n", "f() { local x=$(date); }\n"], BASH
    )
    assert said[0] == said[4] == ""
    assert said[1] == "line 3: syntax error: unexpected end of file"
    assert "here-document at line 1 delimited by end-of-file" in said[2]
    assert "line 1: unexpected EOF" in said[3]
    assert list(tmp_path.iterdir()) == []

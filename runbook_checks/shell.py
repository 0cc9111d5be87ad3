"""One real bash per procedure: blocks run one after the other, and the session survives their failures."""

from __future__ import annotations

import contextlib
import os
import re
import secrets as tokens
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from runbook_checks import processes
from runbook_checks.bash import check_syntax, find_bash
from runbook_checks.errors import RunbookError
from runbook_checks.model import Stream
from runbook_checks.output import Output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["Ended", "How", "LateOutput", "Session", "check_syntax", "find_bash"]

RUN_VARIABLE = "RUNBOOK_CHECKS_RUN"
GRACE_S = 2.0  # between asking a process to end and killing it
_FAREWELL_S = 5.0  # for the EXIT trap that a block has set
_KILLED_S = 1.0  # for the kernel and the shell to notice what was killed
_START_S = 10.0  # for bash to start on a busy machine
_HIT_S = 0.2  # for a signal to an idle shell to show its effect
_ROUNDS = 10  # of killing what has forked meanwhile
_SCRIPT = Path(__file__).with_name("session.bash")
_SWITCHES = ("BASH_ENV", "BASHOPTS", "ENV", "POSIXLY_CORRECT", "SHELLOPTS")  # would change what bash itself does
_REPORT = re.compile(rb"^(\w+) (\w+) (\d+) (\d+) (\d*)$", re.MULTILINE)


class How(Enum):
    """How a block ended; only END and EXIT are ends that the session itself reported in order."""

    END = "end"  # its last command was reached
    EXIT = "exit"  # errexit, `exit N`, an unset variable, a syntax error
    TIMEOUT = "timeout"
    LOST = "lost"  # the shell is gone: `exec`, `kill -9 $$`, or what it is told and tells by, in the temporary folder
    STRAY = "stray"  # a `break` or `continue` outside of any loop


@dataclass(frozen=True, slots=True)
class Ended:
    """What one block did; output is redacted and bounded, ``line`` is where the script failed, one-based, if known."""

    number: int
    how: How
    status: int | None
    line: int | None
    stdout: bytes
    stderr: bytes
    stdout_cut: int
    stderr_cut: int
    duration_s: float


@dataclass(frozen=True, slots=True)
class LateOutput:
    """What a background job of block ``number`` printed after that block had ended."""

    number: int
    stdout: bytes
    stderr: bytes
    stdout_cut: int
    stderr_cut: int


@dataclass(slots=True)
class _Pair:
    """The script and the two FIFOs of a block; reused by the next one unless a background job holds them."""

    name: int
    script: str  # the path of the file block.N
    outputs: tuple[Output, Output]
    number: int = 0


@dataclass(slots=True)
class _Report:
    """What the session said about the block that runs."""

    how: How | None = None
    status: int | None = None
    line: int | None = None


class Session:
    """A bash in its own POSIX session that runs the blocks of one procedure; a context manager.

    ``environ`` is the whole environment of the blocks. ``marker`` becomes ``RUNBOOK_CHECKS_RUN`` in it, for a guardian
    that looks for descendants. ``limit_bytes`` bounds what is kept of each stream of each block.
    """

    def __init__(  # noqa: PLR0913, PLR0917  (each of them is the caller's to decide)
        self,
        cwd: Path,
        environ: Mapping[str, str],
        bash: Path,
        secrets: tuple[str, ...] = (),
        limit_bytes: int = 256 * 1024,
        marker: str = "",
    ) -> None:
        """Prepare; the shell starts on entering the context."""
        self._cwd, self._bash, self._secrets, self._limit_bytes = cwd, bash, secrets, limit_bytes
        self._token, self._folder_prefix = tokens.token_hex(8), processes.folder_prefix(marker)
        self._environ = {name: value for name, value in environ.items() if name not in _SWITCHES}
        self._environ[processes.TOKEN_VARIABLE] = self._token
        if marker:
            self._environ[RUN_VARIABLE] = marker
        self._selector = selectors.DefaultSelector()
        self._number = self._pairs = 0
        self._pair: _Pair | None = None
        self._held: list[_Pair] = []
        self._report = _Report()
        self._last_key = self._key = b"start"  # of the order that is carried out; its reports carry it
        self._shell = 0  # the process that waits for the next block; 0 until it says so
        self._shells: set[int] = set()
        self.alive = False

    def __enter__(self) -> Self:
        """Start bash; raise OSError when the folder or the program is not there."""
        self._dir = Path(tempfile.mkdtemp(prefix=self._folder_prefix))
        try:
            for name in ("in", "ctl"):
                os.mkfifo(self._dir / name, 0o600)
            self._process = subprocess.Popen(
                [self._bash, "--norc", "--noprofile", "-c", '. "$0"', _SCRIPT, self._dir],
                cwd=self._cwd,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            shutil.rmtree(self._dir)
            raise
        # Opened both ways: neither side waits for the other to open its end, and ctl never ends.
        self._in = os.open(self._dir / "in", os.O_RDWR | os.O_NONBLOCK)
        self._ctl = os.open(self._dir / "ctl", os.O_RDWR | os.O_NONBLOCK)
        self._death = processes.Death(self._process.pid)
        for file, act in ((self._ctl, self._listen), (self._death, self._lose)):
            self._selector.register(file, selectors.EVENT_READ, act)
        self._shells.add(self._process.pid)
        self.alive = True
        return self

    def __exit__(self, *_: object) -> None:
        """Close the session."""
        self.close()

    def run(
        self,
        script: str,
        *,
        timeout_s: float,
        subshell: bool = False,
        on_output: Callable[[Stream, bytes], None] | None = None,
    ) -> Ended:
        """Run one block to its end and return what it did; with ``subshell`` it carries nothing on.

        At the deadline everything that the block has started is ended, daemons too; what earlier blocks left running is
        spared, and ``alive`` says whether the session survived. ``on_output`` gets redacted chunks as they come, late
        ones included. Raises RunbookError when the session is lost already.
        """
        if not self.alive:
            raise RunbookError("the shell session is lost; a fresh one is needed")
        begun_s = time.monotonic()
        pair = self._begin(on_output)
        self._number += 1
        pair.number = self._number
        try:
            with open(pair.script, "xb") as file:  # noqa: PTH123  (a Path for every block would cost)
                file.write(script.encode("utf-8", "surrogateescape"))
        except OSError:  # the disk is full: what has room in it next must not find a part of this one
            with contextlib.suppress(OSError):
                os.unlink(pair.script)  # noqa: PTH108
            raise
        moment = self._command(b"sub" if subshell else b"run", pair)
        timed_out = False
        try:
            timed_out = not self._wait(begun_s + timeout_s, self._reported) and self.alive
            if timed_out:
                self._end(moment, spare_shell=subshell)
        except BaseException:  # an interrupt: the block ends, the session stays for cleanup
            for output in pair.outputs:
                output.mute()
            self._end(moment, spare_shell=subshell)
            raise
        finally:
            held = self._settle(pair)
            with contextlib.suppress(OSError):  # the block has removed it; where it cannot be, no further one begins
                os.unlink(pair.script)  # noqa: PTH108
        (stdout, stdout_cut), (stderr, stderr_cut) = (output.result() for output in pair.outputs)
        if held:
            for output in pair.outputs:
                output.renew()
        report = self._report
        return Ended(
            number=self._number,
            how=How.TIMEOUT if timed_out else report.how or How.LOST,
            status=report.status,
            line=report.line if report.status else None,
            stdout=stdout,
            stderr=stderr,
            stdout_cut=stdout_cut,
            stderr_cut=stderr_cut,
            duration_s=time.monotonic() - begun_s,
        )

    def late_output(self) -> tuple[LateOutput, ...]:
        """Return what background jobs have printed so far after their block had ended, in the order of the blocks.

        Complete once the session is closed; what an EXIT trap of the blocks prints counts for the last block.
        """
        late = []
        for pair in self._held:
            for output in pair.outputs:
                output.end()
            (stdout, stdout_cut), (stderr, stderr_cut) = (output.result() for output in pair.outputs)
            if stdout or stderr:
                late.append(LateOutput(pair.number, stdout, stderr, stdout_cut, stderr_cut))
        return tuple(late)

    def close(self) -> None:
        """Run the EXIT trap, end the background jobs, read what is left; daemons (own POSIX session) live on.

        A daemon is what a procedure leaves behind on purpose, as `pg_ctl start` does; a stack's own `down` ends it.
        """
        if not self._shells:
            return
        if self.alive:
            self._say_goodbye()
        if jobs := processes.members(self._process.pid):
            processes.send(jobs, signal.SIGTERM)
            self._wait_for_deaths(jobs, time.monotonic() + GRACE_S)
            processes.send(processes.members(self._process.pid), signal.SIGKILL)
        self._process.wait()
        for pair in [*self._held, *([self._pair] if self._pair else [])]:
            for output in pair.outputs:
                output.close()
        self._selector.close()
        self._death.close()
        os.close(self._in)
        os.close(self._ctl)
        shutil.rmtree(self._dir, ignore_errors=True)  # a block may have done that already
        self._shells.clear()
        self.alive = False

    def _begin(self, on_output: Callable[[Stream, bytes], None] | None) -> _Pair:
        if self._pair is not None and not all(output.exists() for output in self._pair.outputs):
            for output in self._pair.outputs:  # the block before has removed them
                self._selector.unregister(output)
                output.close()
            self._pair = None
        if self._pair is None:
            self._pairs += 1
            outputs = tuple(
                Output(self._dir / f"{short}.{self._pairs}", stream, self._secrets, self._limit_bytes)
                for short, stream in (("out", Stream.STDOUT), ("err", Stream.STDERR))
            )
            self._pair = _Pair(self._pairs, str(self._dir / f"block.{self._pairs}"), (outputs[0], outputs[1]))
            for output in outputs:
                self._selector.register(output, selectors.EVENT_READ, partial(self._take, output))
        for output in self._pair.outputs:
            output.begin(on_output)
        return self._pair

    def _command(self, word: bytes, pair: _Pair) -> processes.Moment:
        """Let the shell begin, and return the moment before."""
        if not self._wait(time.monotonic() + _START_S, lambda: self._shell > 0):
            self._kill_shells()
        self._report = _Report()
        moment = processes.now()
        self._last_key, self._key = self._key, tokens.token_hex(8).encode()
        self._order = b"%s %d %s %s\n" % (word, pair.name, self._key, self._last_key)
        os.write(self._in, self._order)
        return moment

    def _settle(self, pair: _Pair) -> bool:
        """Read what the block wrote; return whether a background job still holds its output."""
        for output in pair.outputs:
            output.end()
        held = not all(output.ended for output in pair.outputs)
        if held:
            self._held.append(pair)
            self._pair = None
            for output in pair.outputs:
                if output.ended:
                    self._selector.unregister(output)
                    output.close()
        return held

    def _take(self, output: Output) -> None:
        output.read()
        if output.ended:  # a background job has ended: the running block's own output cannot end before it is settled
            self._selector.unregister(output)
            output.close()

    def _wait(self, until_s: float, holds: Callable[[], bool]) -> bool:
        """Serve the pipes until the condition holds, the shell is gone or the time is up; return whether it holds."""
        while not holds() and self.alive:
            left_s = max(0.0, until_s - time.monotonic())
            for key, _ in self._selector.select(left_s):
                key.data()
            if not left_s:
                break
        return holds()

    def _reported(self) -> bool:
        return self._report.how is not None

    def _ready(self) -> bool:
        return self._reported() and self._shell > 0

    def _listen(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for key, word, number, pid, line in _REPORT.findall(os.read(self._ctl, 64 * 1024)):
                match word if key == self._key else b"":
                    case b"ready":
                        self._shell = int(pid)
                        self._shells.add(self._shell)
                    case b"at":
                        if self._pair and int(number) == self._pair.name and self._report.line is None:
                            self._report.line = int(line)
                    case b"end" | b"exit" | b"stray" | b"break":
                        if word in {b"exit", b"break"}:
                            self._shell = 0  # it is ending; its fork says when it is ready
                        self._report.how = How.STRAY if word == b"break" else How(word.decode())
                        self._report.status = int(number)
                        self._report.line = self._report.line or (int(line) if line else None)

    def _lose(self) -> None:
        self._selector.unregister(self._death)
        self._listen()  # its last words
        self.alive = False

    def _end(self, moment: processes.Moment, *, spare_shell: bool) -> None:
        """End what the block has started, and the block: TERM, a grace, KILL; without an answer the shell is lost."""
        with contextlib.suppress(BlockingIOError):
            if os.read(self._in, 64) == self._order:  # never begun, and it never will
                self._key = self._last_key
                return
        doomed = self._started_since(moment)
        asked = 0 if spare_shell or self._reported() else self._shell
        if asked:
            processes.send([asked], signal.SIGTERM)  # first: the block must not go on when its child is gone
        processes.send(doomed, signal.SIGTERM)
        self._wait_for_deaths(doomed, time.monotonic() + GRACE_S, self._ready)
        for _ in range(_ROUNDS):
            doomed = self._started_since(moment)
            if not doomed:
                break
            processes.send(doomed, signal.SIGKILL)
            self._wait_for_deaths(doomed, time.monotonic() + _KILLED_S)
        if self._wait(time.monotonic() + _KILLED_S, self._ready) and self._shell == asked:
            # The block came to its end just when we asked: the next one must not be hit by the signal.
            self._wait(time.monotonic() + _HIT_S, lambda: self._shell != asked)
            self._wait(time.monotonic() + _KILLED_S, self._ready)
        if not self._ready():
            self._kill_shells()

    def _started_since(self, moment: processes.Moment) -> tuple[int, ...]:
        while True:
            found = processes.started_since(moment, processes.belonging(self._process.pid, self._token), self._shells)
            self._wait(0, lambda: False)  # what was said before we looked
            if self._reported() and not self._shell and self._wait(time.monotonic() + _KILLED_S, self._ready):
                continue  # one of them may have been the fork that carries the session on
            return tuple(process.pid for process in found if process.pid not in self._shells)

    def _kill_shells(self) -> None:
        processes.send(self._shells, signal.SIGKILL)
        self._wait(time.monotonic() + _KILLED_S, lambda: not self.alive)

    def _say_goodbye(self) -> None:
        pair = self._begin(None)
        pair.number = self._number
        self._command(b"bye", pair)
        if not self._wait(time.monotonic() + _FAREWELL_S, lambda: not self.alive):
            self._kill_shells()
        if not self._settle(pair):
            self._held.append(pair)
            self._pair = None

    def _wait_for_deaths(self, doomed: Iterable[int], until_s: float, also: Callable[[], bool] = lambda: True) -> None:
        living: set[processes.Death] = set()

        def bury(death: processes.Death) -> None:
            self._selector.unregister(death)
            living.discard(death)
            death.close()

        for pid in doomed:
            with contextlib.suppress(ProcessLookupError):
                death = processes.Death(pid)
                living.add(death)
                self._selector.register(death, selectors.EVENT_READ, partial(bury, death))
        while (living or not also()) and (left_s := until_s - time.monotonic()) > 0:
            for key, _ in self._selector.select(left_s):
                key.data()
        for death in tuple(living):
            bury(death)

"""One real bash per procedure: blocks run one after the other, and the session survives their failures."""

from __future__ import annotations

import contextlib
import os
import secrets as tokens
import select
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from runbook_checks import processes
from runbook_checks.bash import find_bash
from runbook_checks.channel import Channel
from runbook_checks.dialogue import Dialogue, How
from runbook_checks.errors import RunbookError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from runbook_checks.model import Stream

__all__ = ["FAREWELL_S", "Ended", "How", "LateOutput", "Session", "find_bash"]

RUN_VARIABLE = "RUNBOOK_CHECKS_RUN"
GRACE_S = 2.0  # between asking a process to end and killing it
FAREWELL_S = 5.0  # for the EXIT trap that a block has set
_KILLED_S = 1.0  # for the kernel and the shell to notice what was killed
_START_S = 10.0  # for the fork that carries the session on to say so, on a busy machine
_HIT_S = 0.2  # for a signal to an idle shell to show its effect
_ROUNDS = 10  # of killing what has forked meanwhile
_BRIEF_MS = 2  # most blocks are over by then, and nobody needs to be woken for each line that they print
_SCRIPT = Path(__file__).with_name("session.bash")
_SWITCHES = ("BASH_ENV", "BASHOPTS", "ENV", "POSIXLY_CORRECT", "SHELLOPTS", "TMOUT")  # would change bash itself


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


class Session:
    """A bash in its own POSIX session that runs the blocks of one procedure; a context manager.

    ``environ`` is the whole environment of the blocks. ``marker`` becomes ``RUNBOOK_CHECKS_RUN`` in it, for a guardian
    that looks for descendants. ``limit_bytes`` bounds what is kept of each stream of each block. The files of
    the session lie in ``folder``, if not where those of all sessions do.
    """

    def __init__(  # noqa: PLR0913, PLR0917  (each of them is the caller's to decide)
        self,
        cwd: Path,
        environ: Mapping[str, str],
        bash: Path,
        secrets: tuple[str, ...] = (),
        limit_bytes: int = 256 * 1024,
        marker: str = "",
        folder: Path | None = None,
    ) -> None:
        """Prepare; the shell starts on entering the context."""
        self._cwd, self._bash, self._secrets, self._limit_bytes = cwd, bash, secrets, limit_bytes
        self._folder = folder
        self._token, self._folder_prefix = tokens.token_hex(8), processes.folder_prefix(marker)
        self._environ = {name: value for name, value in environ.items() if name not in _SWITCHES}
        self._environ[processes.TOKEN_VARIABLE] = self._token
        if marker:
            self._environ[RUN_VARIABLE] = marker
        self._number = self._channels = 0
        self._channel: Channel | None = None
        self._held: list[Channel] = []
        self._open = self.alive = False
        self.cut_short = False  # when it was closed: an EXIT trap was stopped, or could not be asked for

    def __enter__(self) -> Self:
        """Start bash; raise OSError when the folder or the program is not there."""
        with contextlib.ExitStack() as undo:
            self._dir = tempfile.mkdtemp(prefix=self._folder_prefix, dir=self._folder or processes.folder_base())
            undo.callback(shutil.rmtree, self._dir)
            self._dialogue = Dialogue(self._dir)
            undo.callback(self._dialogue.close)
            self._place = self._cwd.stat()
            self._process = subprocess.Popen(
                [self._bash, "--norc", "--noprofile", "-c", '. "$0"', _SCRIPT, self._dir],
                cwd=self._cwd,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            self._clock = processes.Clock()
            undo.pop_all()
        self._dialogue.begin(self._process.pid)
        self._death = processes.Death(self._process.pid)
        self._selector = selectors.DefaultSelector()
        self._reports = select.poll()
        for file, act in ((self._dialogue, self._dialogue.listen), (self._death, self._lose)):
            self._selector.register(file, selectors.EVENT_READ, act)
            self._reports.register(file, select.POLLIN)
        self._open = self.alive = True
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
        self._number += 1
        channel = self._begin(on_output)
        channel.write(script.encode("utf-8", "surrogateescape"))
        moment = self._moment_before()
        timed_out = False
        try:
            self._dialogue.order(b"sub" if subshell else b"run", channel.name)
            if not self._held and self._reports.poll(_BRIEF_MS):
                self._dialogue.listen()
            if not self._reported():
                channel.watch(self._selector)
                timed_out = not self._wait(begun_s + timeout_s, self._reported) and self.alive
            if timed_out:
                self._end(moment, spare_shell=subshell)
        except BaseException:  # an interrupt: the block ends, the session stays for cleanup
            channel.mute()
            self._end(moment, spare_shell=subshell)
            raise
        finally:
            held = self._settle(channel)
        (stdout, stdout_cut), (stderr, stderr_cut) = channel.results()
        if held:
            channel.renew()
        report = self._dialogue.report
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

    def is_fresh(self) -> bool:
        """Return whether a session that has run nothing is as if begun now: alive, in that folder, with its files."""
        try:
            there = os.path.samestat(self._cwd.stat(), self._place) and self._dialogue.is_whole()
        except OSError:
            return False
        return there and not self._reports.poll(0)

    def late_output(self) -> tuple[LateOutput, ...]:
        """Return what background jobs have printed so far after their block had ended, in the order of the blocks.

        Complete once the session is closed; what an EXIT trap of the blocks prints counts for the last block.
        """
        late = []
        for channel in self._held:
            channel.end()
            (stdout, stdout_cut), (stderr, stderr_cut) = channel.results()
            if stdout or stderr:
                late.append(LateOutput(channel.block, stdout, stderr, stdout_cut, stderr_cut))
        return tuple(late)

    def close(self) -> None:
        """Run the EXIT trap, end the background jobs, read what is left; daemons (own POSIX session) live on.

        A daemon is what a procedure leaves behind on purpose, as `pg_ctl start` does; a stack's own `down` ends it.
        """
        if not self._open:
            return
        if self.alive:
            self._say_goodbye()
        if jobs := processes.members(self._process.pid):
            processes.send(jobs, signal.SIGTERM)
            self._wait_for_deaths(jobs, time.monotonic() + GRACE_S)
            processes.send(processes.members(self._process.pid), signal.SIGKILL)
        self._process.wait()
        for channel in [*self._held, *([self._channel] if self._channel else [])]:
            channel.close()
        self._selector.close()
        self._death.close()
        self._clock.close()
        self._dialogue.close()
        shutil.rmtree(self._dir, ignore_errors=True)  # a block may have done that already
        self._open = self.alive = False

    def _begin(self, on_output: Callable[[Stream, bytes], None] | None) -> Channel:
        if self._channel is not None and not self._channel.is_whole():
            self._channel.close()
            self._channel = None
        if self._channel is None:
            self._channels += 1
            self._channel = Channel(self._dir, self._channels, self._secrets, self._limit_bytes)
        self._channel.begin(self._number, on_output)
        return self._channel

    def _moment_before(self) -> processes.Moment:
        """Wait until the shell can begin, and return that moment."""
        if not self._dialogue.shell and not self._wait(time.monotonic() + _START_S, lambda: self._dialogue.shell > 0):
            self._kill_shells()
        return self._clock.now()

    def _settle(self, channel: Channel) -> bool:
        """Read what the block wrote; return whether a background job still holds its output."""
        try:
            channel.end()
        except BaseException:  # the listener was interrupted, or failed: the rest is not the next block's
            channel.mute()
            channel.end()
            raise
        finally:
            held = channel.is_held()
            if held:
                channel.leave(self._selector)
                self._held.append(channel)
                self._channel = None
        return held

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
        return self._dialogue.report.how is not None

    def _ready(self) -> bool:
        return self._reported() and self._dialogue.shell > 0

    def _lose(self) -> None:
        self._selector.unregister(self._death)
        self._dialogue.listen()  # its last words
        self.alive = False

    def _end(self, moment: processes.Moment, *, spare_shell: bool) -> None:
        """End what the block has started, and the block: TERM, a grace, KILL; without an answer the shell is lost."""
        if self._dialogue.take_back():
            return
        doomed = self._started_since(moment)
        asked = 0 if spare_shell or self._reported() else self._dialogue.shell
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
        if self._wait(time.monotonic() + _KILLED_S, self._ready) and self._dialogue.shell == asked:
            # The block came to its end just when we asked: the next one must not be hit by the signal.
            self._wait(time.monotonic() + _HIT_S, lambda: self._dialogue.shell != asked)
            self._wait(time.monotonic() + _KILLED_S, self._ready)
        if not self._ready():
            self._kill_shells()

    def _started_since(self, moment: processes.Moment) -> tuple[int, ...]:
        shells = self._dialogue.shells
        while True:
            ours = processes.belonging(self._process.pid, self._token)
            found = processes.started_since(moment, ours, shells)
            self._wait(0, lambda: False)  # what was said before we looked
            if self._reported() and not self._dialogue.shell and self._wait(time.monotonic() + _KILLED_S, self._ready):
                continue  # one of them may have been the fork that carries the session on
            return tuple(process.pid for process in found if process.pid not in shells)

    def _kill_shells(self) -> None:
        processes.send(self._dialogue.shells, signal.SIGKILL)
        self._wait(time.monotonic() + _KILLED_S, lambda: not self.alive)

    def _say_goodbye(self) -> None:
        try:
            channel = self._begin(None)
        except OSError:  # something has removed the folder, or filled it up
            self.cut_short = self._number > 0
            self._kill_shells()
            return
        self._moment_before()
        self._dialogue.order(b"bye", channel.name)
        if not self._held and self._reports.poll(_BRIEF_MS):
            self._wait(0, lambda: not self.alive)
        if self.alive:
            channel.watch(self._selector)
            if not self._wait(time.monotonic() + FAREWELL_S, lambda: not self.alive):
                self.cut_short = self._dialogue.report.trap
                self._kill_shells()
        if not self._settle(channel):
            self._held.append(channel)
            self._channel = None

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

"""What the folder of a run is now, as git has it and as its files are: asked when something may have changed."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from runbook_checks.files import FileHashes
from runbook_checks.watching import Watch, tells_all

if TYPE_CHECKING:
    from collections.abc import Iterator

_GIT_TIMEOUT_S = 20.0
_STATUS = (  # whatever a user's configuration would leave out
    *("-c", "core.fsmonitor=false"),
    *("status", "--porcelain", "--untracked-files=normal", "--ignore-submodules=none"),
)
_UNWATCHED = re.compile(r"^[a-zS] ", re.MULTILINE)  # files that git was told to take for unchanged
_IGNORED = (  # a folder of which all is ignored, but not itself, may get something that is not
    *("-c", "core.fsmonitor=false"),
    *("status", "--porcelain", "-z", "--no-renames", "--ignored=matching", "--untracked-files=normal"),
)
_MOUNTS = Path("/proc/self/mountinfo")
_MOST_FOLDERS = 20_000  # to watch
_NOT_OF_A_STATE = frozenset({"objects", "logs", "hooks", "lfs"})  # of git's own folder
_LOOK_AGAIN_S = 1.0  # whatever the kernel says: a hedge against what it does not tell of
_SHARE = 20  # looking takes at most one part of so many of our time
_TRY_AGAIN_S = 10.0  # to watch what could not be watched


class Checkout:
    """The folder of a run, as a context manager: its commit, and its files.

    What it returns is what git and the disk say at that moment. They are asked each time, unless the kernel has told of
    all that has happened there, and nothing has; what is not told (see Watch) is noticed a second later, and twenty
    times as long as looking takes, at the latest.
    """

    def __init__(self, root: Path) -> None:
        """Look at nothing yet."""
        self.root = root
        self._watch = Watch()
        self._watched = False
        self._look_again_at = self._try_again_at = 0.0
        self._took_s = 0.0  # what was seen last
        self._state: tuple[str, bool] | None = None
        self._hashes: FileHashes | None = None

    def __enter__(self) -> Self:
        """Return this."""
        return self

    def __exit__(self, *_: object) -> None:
        """Watch no longer."""
        self._watched = False
        self._watch.__exit__()

    def state(self) -> tuple[str, bool]:
        """Return the commit and whether the tree differs from it: see git_state()."""
        self._forget_what_may_be_old()
        if self._state is None:
            begun = time.monotonic()
            self._state = git_state(self.root)
            self._took_s += time.monotonic() - begun
        return self._state

    def hashes(self) -> FileHashes:
        """Return the files as they are now."""
        self._forget_what_may_be_old()
        if self._hashes is None:
            begun = time.monotonic()
            self._hashes = FileHashes(self.root)
            self._took_s += time.monotonic() - begun
        return self._hashes

    def _forget_what_may_be_old(self) -> None:
        quiet = self._watched and self._watch.quiet() and time.monotonic() < self._look_again_at + _SHARE * self._took_s
        if quiet and (self._hashes is None or self._hashes.hold()):
            return
        self._state = self._hashes = None
        begun = time.monotonic()
        if self._watched or begun >= self._try_again_at:
            self._watched = _watch_all(self._watch, self.root.resolve())
            self._watch.quiet()  # what is told from now on is not in what we are going to see
            self._try_again_at = begun + _TRY_AGAIN_S
        self._took_s = time.monotonic() - begun
        self._look_again_at = begun + _LOOK_AGAIN_S


def git_state(root: Path) -> tuple[str, bool]:
    """Return the commit and whether the tree differs from it; no commit outside a git checkout."""
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return "", True
    if _git(root, *_STATUS) != "":
        return commit, True
    listed = _git(root, "ls-files", "-v", ":/")
    return commit, listed is None or _UNWATCHED.search(listed) is not None


def _watch_all(watch: Watch, root: Path) -> bool:
    """Watch all on which the state of a folder depends, and return whether that can be."""
    told = _git(root, "rev-parse", "--show-toplevel", "--absolute-git-dir", "--git-common-dir")
    if told is None:
        return _watch_below(watch, str(root), hidden=False)
    top, *git_folders = told.split("\n")
    ignored = _git(Path(top), *_IGNORED)
    if ignored is None or len(git_folders) != 2:  # noqa: PLR2004 - of this checkout, and of all that share it
        return False
    own, common = (os.path.normpath(root / folder) for folder in git_folders)
    out = {f"{folder}/{name}" for folder in (own, common) for name in _NOT_OF_A_STATE}
    out.update(f"{top}/{line[3:-1]}" for line in ignored.split("\0") if line.startswith("!! ") and line.endswith("/"))
    return all(_watch_below(watch, folder, frozenset(out)) for folder in dict.fromkeys((top, own, common)))


def _watch_below(watch: Watch, top: str, without: frozenset[str] = frozenset(), *, hidden: bool = True) -> bool:
    """Watch a folder and all below it, but for some; return whether all of it can be, and tells all that happens."""
    try:
        if not tells_all(top, _MOUNTS.read_text(encoding="utf-8", errors="replace")):
            return False
        return all(watch.begin(folder) for folder in _folders(top, without, hidden=hidden))
    except _UntoldError:
        return False
    except OSError:  # gone meanwhile, or not to be read
        return False


class _UntoldError(Exception):
    """Something may change without our being told."""


def _folders(top: str, without: frozenset[str], *, hidden: bool) -> Iterator[str]:
    """Yield a folder and those below it, each before what is in it is read: what comes into it from then on is told."""
    disk = os.lstat(top).st_dev
    waiting, count = [top], 0
    while waiting:
        folder = waiting.pop()
        count += 1
        yield folder
        with os.scandir(folder) as entries:
            for entry in entries:  # a list would keep what is asked of each
                status = entry.stat(follow_symlinks=False)
                if entry.is_symlink():
                    if not entry.is_file():
                        raise _UntoldError  # the folder that it leads to may lie anywhere, or come later
                elif not entry.is_dir(follow_symlinks=False):
                    if status.st_nlink > 1:
                        raise _UntoldError  # it may be changed by another name
                elif entry.path not in without and (hidden or entry.name[0] != "."):
                    if status.st_dev != disk or count + len(waiting) > _MOST_FOLDERS:
                        raise _UntoldError
                    waiting.append(entry.path)


def _git(root: Path, *arguments: str) -> str | None:
    """Return what git says, or None when it fails; it takes none of its locks, which are for those who work there."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=_GIT_TIMEOUT_S,
            check=False,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip("\n") if done.returncode == 0 else None

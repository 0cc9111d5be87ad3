"""Where everything lives that outlasts an instance, and the locks that keep two commands from the same work."""

from __future__ import annotations

import fcntl
import os
import pwd
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from embedded.errors import StagingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DROPPED_USER = "nobody"
DONE = ".done"


def cache_dir(environ: Mapping[str, str]) -> Path:
    """Return the folder outside the repository that holds programs, releases, templates and database files."""
    if override := environ.get("RUNBOOK_STAGING_CACHE"):
        return Path(override).absolute()
    if os.geteuid() == 0:
        return Path("/var/cache/runbook-checks-staging")
    base = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or pwd.getpwuid(os.geteuid()).pw_dir) / ".cache"
    return Path(base).absolute() / "runbook-checks-staging"


def database_user() -> str | None:
    """Return the user that PostgreSQL must be dropped to, or None when we are not root: it refuses to run as root."""
    return DROPPED_USER if os.geteuid() == 0 else None


def make_cache(path: Path) -> None:
    """Create the cache; raise StagingError when the dropped user could not reach it."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o755)
    except OSError as error:
        raise StagingError(
            f"cannot create {path}: {error.strerror}; set RUNBOOK_STAGING_CACHE to a writable folder"
        ) from error
    if not os.access(path, os.W_OK):
        raise StagingError(f"cannot write to {path}; set RUNBOOK_STAGING_CACHE to a writable folder")
    if database_user() is None:
        return
    closed = [str(folder) for folder in (path, *path.parents) if not folder.stat().st_mode & stat.S_IXOTH]
    if closed:
        raise StagingError(
            f"PostgreSQL refuses to run as root, and the user {DROPPED_USER} cannot pass {closed[-1]}; "
            "set RUNBOOK_STAGING_CACHE to a folder that every user can pass, for example under /var/cache",
        )


@contextmanager
def locked(path: Path, waiting: str) -> Iterator[None]:
    """Hold an exclusive lock on a file; say ``waiting`` once when somebody else holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(waiting, flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield

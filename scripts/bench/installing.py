"""Give each peer a throw-away environment of its own, in a cache folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peers import Peer

_TIMEOUT_S = 300.0
_READY = "installed"


class NotToBeHadError(Exception):
    """A peer cannot be installed here; it says why."""


def cache() -> Path:
    """Return the folder of what was installed."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "runbook-checks" / "bench"


def install(peer: Peer, folder: Path) -> Path:
    """Return where a peer is installed, below a folder, after installing it if need be; raises NotToBeHadError."""
    home = folder / peer.name.replace(" ", "-").replace(",", "")
    wanted = " ".join((peer.package, *peer.more))
    ready = home / _READY
    if not ready.exists() or ready.read_text() != wanted:
        ready.unlink(missing_ok=True)
        home.mkdir(parents=True, exist_ok=True)
        if peer.debian:
            _unpack(peer.package, home)
        else:
            _run((sys.executable, "-m", "venv", "--clear", home), folder)
            _run((home / "bin/python", "-m", "pip", "install", "--quiet", peer.package, *peer.more), folder)
        ready.write_text(wanted)
    return home


def _unpack(package: str, home: Path) -> None:
    """Fetch a package of Debian and unpack it: this needs no root."""
    _run(("apt-get", "download", "--quiet", package), home)
    (found,) = home.glob(f"{package}_*.deb")
    _run(("dpkg-deb", "--extract", found, home), home)


def version(peer: Peer, home: Path) -> str:
    """Return what is installed."""
    if peer.debian:
        (found,) = home.glob(f"{peer.package}_*.deb")
        return _run(("dpkg-deb", "--field", found, "Version"), home).strip()
    name, _, pinned = peer.package.partition("==")
    return pinned or f"Python {sys.version.split()[0]}" if name == "pip" else pinned


def _run(command: tuple[str | Path, ...], folder: Path) -> str:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotToBeHadError(str(error)) from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise NotToBeHadError(lines[-1])
    return done.stdout

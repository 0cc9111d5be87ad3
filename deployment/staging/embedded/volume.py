"""A small volume for backups, so that a disk can really fill up; only root can mount one."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SIZE = "512m"


def mount(folder: Path) -> None:
    """Mount a file system in memory of ``SIZE`` on ``folder`` when we may; without it, it stays a plain folder."""
    mounter = shutil.which("mount")
    if os.geteuid() != 0 or mounter is None or folder.is_mount():
        return
    options = [mounter, "-t", "tmpfs", "-o", f"size={SIZE},mode=0755", "runbook-backups", str(folder)]
    done = subprocess.run(options, capture_output=True, text=True, check=False)
    if done.returncode:
        # Root of a container may not mount.
        print(f"backups are in a plain folder: {done.stderr.strip()}", flush=True)


def unmount(folder: Path) -> None:
    """Take the volume off ``folder``, whoever still looks at it."""
    if folder.is_mount():
        subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=False)


def mount_point(folder: Path) -> Path:
    """Return where the file system that holds ``folder`` is mounted."""
    return next(path for path in (folder, *folder.parents) if path.is_mount())

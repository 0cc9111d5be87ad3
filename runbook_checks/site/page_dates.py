"""When pages were last written, as git knows it."""

from __future__ import annotations

import subprocess
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

_TIMEOUT_S = 10


def last_commits(root: Path, pages: Collection[str]) -> Mapping[str, datetime]:
    """Return when each page below a folder was last committed; nothing for one that git does not know."""
    if not pages:
        return {}
    command = ["git", "--literal-pathspecs", "-c", "core.quotePath=false", "log", "--format=%x00%cI"]
    try:
        done = subprocess.run(
            [*command, "--name-only", "--relative", "--no-renames", "--", *sorted(pages)],
            cwd=root,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    if done.returncode != 0:
        return {}
    found: dict[str, datetime] = {}
    for commit in done.stdout.split("\0")[1:]:
        moment, *names = commit.split("\n")
        for name in names:
            if name in pages:
                found.setdefault(name, datetime.fromisoformat(moment))
    return found

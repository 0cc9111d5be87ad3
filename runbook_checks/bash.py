"""The bash that a machine has: which one is new enough, and what it says about a script before anything runs."""

from __future__ import annotations

import os
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from runbook_checks.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_OLDEST = (4, 4)  # inherit_errexit, and sourcing that keeps errexit
_FOLDERS = (Path("/opt/homebrew/bin"), Path("/usr/local/bin"), Path("/bin"), Path("/usr/bin"))
_ANSWER_S = 10.0


def find_bash(environ: Mapping[str, str]) -> Path:
    """Return the first bash of at least 4.4 on ``PATH`` or where package managers put one; else raise UsageError."""
    folders = [Path(folder) for folder in environ.get("PATH", "").split(os.pathsep) if folder]
    seen = []
    for folder in dict.fromkeys([*folders, *_FOLDERS]):
        bash = folder / "bash"
        if os.access(bash, os.X_OK) and bash.is_file():
            version = _version(bash)
            if version >= _OLDEST:
                return bash
            seen.append(f"{bash} is {version[0]}.{version[1]}")
    found = f" ({', '.join(seen)})" if seen else ""
    raise UsageError(
        f"no bash of version 4.4 or newer{found}: install one, `brew install bash` or `apt-get install bash`"
    )


def check_syntax(scripts: Sequence[str], bash: Path, *, posix: bool = False) -> tuple[str, ...]:
    """Return for each script '' or what `bash -n` says about it, warnings included, each line as `line N: …`.

    With ``posix`` bash reads it as a POSIX shell does, as near as it can.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return tuple(pool.map(partial(_check_syntax, bash=bash, posix=posix), scripts))


def _check_syntax(script: str, bash: Path, *, posix: bool) -> str:
    with tempfile.TemporaryFile() as file:  # from a pipe bash would read byte by byte
        file.write(script.encode("utf-8", "surrogateescape"))
        file.seek(0)
        done = subprocess.run(
            [bash, "--norc", "--noprofile", *(["--posix"] if posix else []), "-n"],
            stdin=file,
            capture_output=True,
            env={"LC_ALL": "C"},
            timeout=_ANSWER_S,
            check=False,
        )
    said = done.stderr.decode("utf-8", "replace").replace(f"{bash}: ", "").strip()
    return said or (f"bash -n ended with status {done.returncode}" if done.returncode else "")


def _version(bash: Path) -> tuple[int, int]:
    command = [str(bash), "--norc", "--noprofile", "-c", 'echo "${BASH_VERSINFO[0]} ${BASH_VERSINFO[1]}"']
    try:
        done = subprocess.run(command, capture_output=True, env={}, timeout=_ANSWER_S, check=False)
        major, minor = done.stdout.split()
    except (OSError, ValueError, subprocess.TimeoutExpired):  # something that is named bash
        return (0, 0)
    return (int(major), int(minor))

"""The bash that a machine has: which one is new enough, and what it says about a script before anything runs."""

from __future__ import annotations

import os
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from runbook_checks.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_OLDEST = (4, 4)  # inherit_errexit, and sourcing that keeps errexit
_FOLDERS = (Path("/opt/homebrew/bin"), Path("/usr/local/bin"), Path("/bin"), Path("/usr/bin"))
_ANSWER_S = 10.0
_TOGETHER = 256  # scripts that one bash reads
_LONGEST_TOGETHER = 30_000  # characters of one of them: Linux takes 128 KiB for a variable
_LARGEST_TOGETHER = 120_000  # characters of all of them: macOS takes 1 MiB for an environment
_CLAUSE = b"() { case x in x)\n%b;; esac\n}"
_REMEMBERED = 1024  # scripts that were asked about, or soon will be


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
    fit = [number for number, script in enumerate(scripts) if not posix and _fits_a_function(script)]
    silent = {fit[place] for place in _silent([scripts[number] for number in fit], bash)}
    rest = [number for number in range(len(scripts)) if number not in silent]
    said = dict(zip(rest, _one_by_one([scripts[number] for number in rest], bash, posix=posix), strict=True))
    return tuple(said.get(number, "") for number in range(len(scripts)))


class Syntax:
    """What check_syntax() says of the blocks of a run: those that come next are read along, many by one bash."""

    def __init__(self) -> None:
        """Begin without any."""
        self._known: dict[str, str] = {}  # the newest ones
        self._expected: Iterator[str] = iter(())

    def expect(self, scripts: Iterable[str]) -> None:
        """Take the scripts, in their order, that are going to be asked about, or some of them."""
        self._expected = iter(scripts)

    def check(self, scripts: Sequence[str], bash: Path, *, posix: bool = False) -> tuple[str, ...]:
        """Return what check_syntax() does."""
        if posix:
            return check_syntax(scripts, bash, posix=True)
        if missing := [script for script in dict.fromkeys(scripts) if script not in self._known]:
            more = islice(self._expected, max(0, _TOGETHER - len(missing)))
            missing = list(dict.fromkeys((*missing, *more)))
            self._known.update(zip(missing, check_syntax(missing, bash), strict=True))
        said = tuple(self._known[script] for script in scripts)
        for script in list(islice(self._known, max(0, len(self._known) - _REMEMBERED))):
            del self._known[script]
        return said


def _fits_a_function(script: str) -> bool:
    """Tell whether a script can be given to bash as a function in the environment, and cannot end the function itself.

    What stands in a clause of `case` ends it by `esac`, `;;`, `;&` or `;;&`, and by nothing else.
    """
    joined = script.replace("\\\n", "")
    ends = any(end in joined for end in ("esac", ";;", ";&"))
    return not ends and "\0" not in script and len(script) <= _LONGEST_TOGETHER


def _silent(scripts: Sequence[str], bash: Path) -> Iterator[int]:
    """Yield the places of scripts about which `bash -n` would say nothing; those that are not yielded may be of them.

    Bash reads functions that it finds in its environment, as it reads a script, and runs nothing of them. One process
    for many is what this is for: starting one takes far longer than reading a block.
    """
    at = 0
    while at < len(scripts):
        last, size = at, 0
        while last < len(scripts) and last - at < _TOGETHER and size + len(scripts[last]) <= _LARGEST_TOGETHER:
            size += len(scripts[last])
            last += 1
        yield from (at + place for place in _silent_together(scripts[at:last], bash))
        at = last


def _silent_together(scripts: Sequence[str], bash: Path) -> tuple[int, ...]:
    functions = {
        f"BASH_FUNC_b{place}%%".encode(): _CLAUSE % _with_newline(script).encode("utf-8", "surrogateescape")
        for place, script in enumerate(scripts)
    }
    done = subprocess.run(
        [bash, "--norc", "--noprofile", "-c", "declare -F"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={b"LC_ALL": b"C", **functions},
        timeout=_ANSWER_S,
        check=False,
    )
    if done.returncode == 0 and not done.stderr:
        read = {line.rpartition(b" ")[2] for line in done.stdout.splitlines()}  # declare -fx b0
        return tuple(place for place in range(len(scripts)) if f"b{place}".encode() in read)
    if len(scripts) == 1:
        return ()
    half = len(scripts) // 2
    rest = (half + place for place in _silent_together(scripts[half:], bash))
    return (*_silent_together(scripts[:half], bash), *rest)


def _with_newline(script: str) -> str:
    """Return a script whose last line ends, and no line more: an empty one would end `<<""`."""
    return script if script.endswith("\n") else f"{script}\n"


def _one_by_one(scripts: Sequence[str], bash: Path, *, posix: bool) -> Iterable[str]:
    if len(scripts) <= 1:
        return [_check_syntax(script, bash, posix=posix) for script in scripts]
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

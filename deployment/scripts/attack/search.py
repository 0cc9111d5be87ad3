"""Secrets that must be found nowhere: not in logs, not in evidence, not in a command line of the stack's programs."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from attack.accounts import folder
from attack.wire import UnusableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from attack.findings import Findings

SHORTEST = 12  # a shorter one is found by chance


def search(folders: list[Path], found: Findings) -> None:
    """Look for all of them in the logs, in `folders` and in the command lines of all processes."""
    secrets = _secrets()
    if not secrets:
        raise UnusableError("no secret is known yet; run other commands first, such as: attack.sh accounts")
    places = [Path(os.environ["STACK_DIR"]) / "logs", *folders]
    files = [path for place in places for path in sorted(place.rglob("*")) if path.is_file()]
    size = 0
    for path in files:
        text = path.read_bytes()
        size += len(text)
        _look(str(path), text, secrets, found)
    lines = _command_lines()
    for pid, line in lines.items():
        # The process, not its command line: that would print the secret.
        _look(f"process {pid}", line, secrets, found)
    found.say(f"secrets: {len(secrets)}, files: {len(files)}, MB: {size / 1e6:.1f}, command lines: {len(lines)}")
    found.say(f"found: {len(found.broken)}")


def _command_lines() -> dict[int, bytes]:
    """Return the command lines of the stack's programs; of all processes where no supervisor runs the stack."""
    said = subprocess.run(["ps", "-eww", "-o", "pid=,ppid=,args="], capture_output=True, check=True).stdout
    lines, parents = {}, {}
    for line in said.splitlines():
        pid, parent, *_ = line.split(maxsplit=2)
        lines[int(pid)], parents[int(pid)] = line, int(parent)
    if not os.environ.get("SUPERVISOR_CONF"):
        return lines
    # Another stack on this machine may have the same database password, and psql in its procedures.
    asked = subprocess.run(["supervisorctl", "pid"], capture_output=True, text=True, check=False)
    if not asked.stdout.strip().isdecimal():
        raise UnusableError("the supervisor does not say which process it is: supervisorctl pid")
    family = {int(asked.stdout)}
    while children := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= children
    return {pid: line for pid, line in lines.items() if pid in family}


def _look(where: str, text: bytes, secrets: dict[str, str], found: Findings) -> None:
    for secret, what in secrets.items():
        if secret.encode() in text:
            found.broken.append(f"{what} is in {where}")


def _secrets() -> dict[str, str]:
    """Return each secret, as it is and as a URL has it, with what it is."""
    secrets = dict(_of_service())
    seen = folder() / "seen"
    if seen.exists():
        secrets |= dict.fromkeys(seen.read_text().splitlines(), "a password, cookie, token or key of these attacks")
    secrets |= {quote(secret, safe=""): what for secret, what in secrets.items()}
    return {secret: what for secret, what in secrets.items() if len(secret) >= SHORTEST}


def _of_service() -> Iterator[tuple[str, str]]:
    """Return the passwords in the addresses of the service's environment, and what signs its cookies."""
    path = os.environ.get("SERVICE_ENV")
    if not path:
        return
    for line in Path(path).read_text().splitlines():
        name, _, value = line.partition("=")
        for word in shlex.split(value):
            if name == "SESSION_SECRET":
                for secret in word.split(","):
                    yield secret, name
            elif "://" in word and (password := urlsplit(word).password):
                yield unquote(password), f"the password of {name}"

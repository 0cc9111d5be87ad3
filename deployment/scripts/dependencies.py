"""What dependencies.sh compares; run by the interpreter of the release that it is about."""

from __future__ import annotations

import base64
import hashlib
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# What a virtual environment brings along or not, and our own wheel, which no lock names.
NOT_PINNED = {"pip", "setuptools", "ia-modules-service"}


def main(lock: Path, left_out: set[str]) -> int:
    """Print what was compared, name what differs, and return the exit status."""
    installed: dict[str, Distribution] = {canonicalize_name(each.name): each for each in distributions()}
    wrong = differences(lock, installed)
    print(f"lock: {len(installed.keys() - NOT_PINNED)} packages, {len(wrong)} differ")
    unaltered, altered = files(installed)
    print(f"files: {unaltered} unaltered, {len(altered)} altered or missing")
    met, unmet, excused = requirements(installed, left_out)
    print(f"requirements: {met} met, {len(unmet)} not met, {excused} left out")
    for each in (*wrong, *altered, *unmet):
        print(f"dependencies.sh: {each}", file=sys.stderr)
    return 1 if wrong or altered or unmet else 0


def differences(lock: Path, installed: dict[str, Distribution]) -> list[str]:
    """Return what is pinned and not installed so, and what is installed and not pinned."""
    wrong: list[str] = []
    pinned: set[str] = set()
    for line in lock.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        requirement = Requirement(line)
        name = canonicalize_name(requirement.name)
        if [each.operator for each in requirement.specifier] != ["=="]:
            wrong.append(f"{lock} does not pin {name} to one version")
        if requirement.marker and not requirement.marker.evaluate():
            continue
        pinned.add(name)
        found = installed.get(name)
        if found is None or found.version not in requirement.specifier:
            wrong.append(
                f"{name} is {found.version if found else 'not installed'}, the lock says {requirement.specifier}"
            )
    return wrong + [f"{name} is installed, and not in the lock" for name in installed.keys() - pinned - NOT_PINNED]


def files(installed: dict[str, Distribution]) -> tuple[int, list[str]]:
    """Return how many files are what their packages recorded, and which are not."""
    unaltered, altered = 0, []
    for name, distribution in installed.items():
        for file in distribution.files or ():
            # Scripts carry the path of the environment, which has moved since.
            if file.hash is None or ".." in file.parts:
                continue
            path = Path(str(file.locate()))
            wanted = file.hash.value
            digest = hashlib.new(file.hash.mode, path.read_bytes()).digest() if path.is_file() else b""
            if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == wanted:
                unaltered += 1
            else:
                altered.append(f"{file} of {name} is not as it was installed")
    return unaltered, altered


def requirements(installed: dict[str, Distribution], left_out: set[str]) -> tuple[int, list[str], int]:
    """Return how many requirements are met, which are not, and how many are left out on purpose."""
    met, unmet, excused = 0, [], 0
    for name, distribution in installed.items():
        for text in distribution.requires or ():
            requirement = Requirement(text)
            if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
                continue
            needed = canonicalize_name(requirement.name)
            found = installed.get(needed)
            if found is not None and requirement.specifier.contains(found.version, prereleases=True):
                met += 1
            elif needed in left_out:
                excused += 1
            else:
                unmet.append(f"{name} needs {requirement}, and there is {found.version if found else 'none'}")
    return met, unmet, excused


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), set(sys.argv[2:])))

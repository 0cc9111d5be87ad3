"""What was run, as one hash: equal as long as nothing that a run depends on is written differently."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from runbook_checks.catalog import Catalog
    from runbook_checks.model import Procedure

MOST_FILES = 500  # that the blocks of one procedure name, directly or not
LARGEST_READ = 256 * 1024  # bytes of a file that is searched for names of other files
LARGEST_HASHED = 64 * 1024 * 1024  # of a larger file, size and both ends stand for the whole
_END = 1024 * 1024

_VARIABLE = re.compile(r"\$(?:\w+|\{[^}\n]*\})")
_TOKEN = re.compile(r"[\w.@%+/-]+")


class FileHashes:
    """The hashes of files below one folder, each file read once; make a new one to see what has changed since."""

    def __init__(self, root: Path) -> None:
        """Remember the folder that names are relative to; nothing outside it is ever read."""
        self.root = root.resolve()
        self._hashes: dict[str, str] = {}
        self._named: dict[str, tuple[str, ...]] = {}
        self._matches: dict[str, tuple[str, ...]] = {}
        self._files: dict[str, str | None] = {}
        self._ignored = _ignored(self.root)

    def hash(self, name: str) -> str:
        """Return the SHA-256 of a file, as hexadecimal digits; ``missing`` for one that cannot be read."""
        if name not in self._hashes:
            self._hashes[name] = _hash_file(self.root / name)
        return self._hashes[name]

    def named_in(self, text: str, folder: str = "") -> tuple[str, ...]:
        """Return the files that a text names, relative to the root or to a folder, without what git ignores."""
        found: dict[str, None] = {}
        for token in dict.fromkeys(_TOKEN.findall(_VARIABLE.sub("", text))):
            word = token.strip("/").rstrip(".")
            for base in ("", folder) if folder else ("",):
                if word and (name := self._file(os.path.normpath(f"{base}/{word}" if base else word))):
                    found[name] = None
        return tuple(found)

    def named_by_file(self, name: str) -> tuple[str, ...]:
        """Return the files that a small text file names."""
        if name not in self._named:
            self._named[name] = self._search(name)
        return self._named[name]

    def matching(self, globs: Iterable[str]) -> tuple[str, ...]:
        """Return the regular files that globs, file names or folders name, sorted."""
        return tuple(sorted({name for glob in globs for name in self._matching(glob)}))

    def _matching(self, glob: str) -> tuple[str, ...]:
        if glob in self._matches:
            return self._matches[glob]
        found = []
        if Path(glob).parts and not Path(glob).is_absolute() and ".." not in Path(glob).parts:
            paths = (self.root / glob).rglob("*") if (self.root / glob).is_dir() else self.root.glob(glob)
            for path in paths:
                name = path.relative_to(self.root).as_posix()
                if "__pycache__" not in path.parts and self._inside(name):
                    found.append(name)
        self._matches[glob] = tuple(found)
        return self._matches[glob]

    def _file(self, name: str) -> str | None:
        if name not in self._files:
            kept = not name.startswith(("../", ".git/")) and self._inside(name) and not self._ignored(name)
            self._files[name] = name if kept else None
        return self._files[name]

    def _inside(self, name: str) -> bool:
        path = self.root / name
        try:
            return path.is_file() and path.resolve().is_relative_to(self.root)
        except (OSError, ValueError):  # a name too long, or with a NUL
            return False

    def _search(self, name: str) -> tuple[str, ...]:
        try:
            with (self.root / name).open("rb") as file:
                data = file.read(LARGEST_READ + 1)
        except OSError:
            return ()
        if len(data) > LARGEST_READ or b"\0" in data:
            return ()
        return self.named_in(data.decode("utf-8", errors="replace"), os.path.dirname(name))  # noqa: PTH120  a name


def digest(procedure: Procedure, catalog: Catalog, hashes: FileHashes, stack_files: Iterable[str] = ()) -> str:
    """Return ``sha256:…`` over all that a run of a procedure depends on, and nothing else of the page.

    Covered: see parts(). Not covered: prose, places on the page, ids and titles of blocks, and the front matter, of
    which nothing reaches a run. ``stack_files`` are globs relative to the root.
    """
    listed = [[_kind(key), value] for key, value in parts(procedure, catalog, hashes, stack_files).items()]
    return f"sha256:{_hash(listed)}"


def parts(
    procedure: Procedure, catalog: Catalog, hashes: FileHashes, stack_files: Iterable[str] = ()
) -> Mapping[str, str]:
    """Return the hash of each thing that a digest covers, by a name that a reader understands.

    Names: ``card``; ``block <id>`` in page order; ``file <path>`` for what blocks name, transitively, and for the
    card's ``uses``; ``needs <public id>``; ``stack <path>`` for the stack's definition.
    """
    found = _own(procedure, hashes)
    for need in catalog.needs(procedure):
        found[f"needs {need.id}"] = _hash([[_kind(key), value] for key, value in _own(need, hashes).items()])
    found.update((f"stack {name}", hashes.hash(name)) for name in hashes.matching(stack_files))
    return found


def _own(procedure: Procedure, hashes: FileHashes) -> dict[str, str]:
    """Return the parts of a procedure without what it needs."""
    found = {"card": _hash(_values(procedure.card, "line"))}
    for block in procedure.blocks:
        found[f"block {block.id}"] = _hash(_values(block, "id", "span", "title"))
    used = {*_named_files(procedure, hashes), *hashes.matching(procedure.card.uses)}
    found.update((f"file {name}", hashes.hash(name)) for name in sorted(used))
    return found


def _named_files(procedure: Procedure, hashes: FileHashes) -> tuple[str, ...]:
    found = dict.fromkeys(name for block in procedure.blocks for name in hashes.named_in(block.text))
    waiting = list(found)
    while waiting and len(found) < MOST_FILES:
        for name in hashes.named_by_file(waiting.pop(0)):
            if name not in found:
                found[name] = None
                waiting.append(name)
    return tuple(found)[:MOST_FILES]


def _kind(key: str) -> str:
    """Return a part's name for the digest, in which blocks count by their order, not by their ids."""
    return "block" if key.startswith("block ") else key


def _values(value: object, *without: str) -> object:
    """Return a value of the model as plain lists and texts, without fields that say only where or how it is named."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [_values(item, *without) for item in value]
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value) if field.name not in without]
        return [[name, _values(getattr(value, name), *without)] for name in names]
    return value


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, ensure_ascii=True).encode()).hexdigest()


def _hash_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size <= LARGEST_HASHED:
                return hashlib.file_digest(file, "sha256").hexdigest()
            both = hashlib.sha256(f"{size}\n".encode() + file.read(_END))
            file.seek(-_END, os.SEEK_END)
            both.update(file.read(_END))
            return both.hexdigest()
    except OSError:
        return "missing"


def _ignored(root: Path) -> Callable[[str], bool]:
    """Return what tells the files that the root's ``.gitignore`` names: runs make those, people do not write them."""
    try:
        lines = (root / ".gitignore").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return lambda _: False
    import pathspec  # noqa: PLC0415  only a digest needs it

    return pathspec.GitIgnoreSpec.from_lines(lines).match_file

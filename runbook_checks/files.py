"""The files of a repository that a text names, and their hashes."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import time
from bisect import bisect_left
from collections import defaultdict
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from runbook_checks.words import words_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LARGEST_READ = 256 * 1024  # bytes of a file that is searched for names of other files
LARGEST_HASHED = 64 * 1024 * 1024  # of a larger file, size and both ends stand for the whole
_END = 1024 * 1024
_GIT_TIMEOUT_S = 60.0
_MOST_HELD = 1000  # files; it takes time to look at each of them again
_TICK_NS = 2_100_000_000  # the coarsest clock of a disk: two seconds, and some more

PROSE = frozenset({".md", ".markdown", ".rst", ".adoc"})
_NOT_SEARCHED = frozenset({*PROSE, ".toml", ".html", ".svg", ".css"})  # what they name is read or packaged, never run
_READ_BY = {  # the files that a program reads without being told
    "make": ("Makefile", "makefile", "GNUmakefile"),
    "just": ("justfile", "Justfile"),
    "npm": ("package.json",),
    "compose": ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"),
    "docker": ("Dockerfile",),
}
_GLOB = re.compile(r"(\*\*/|\*\*|\*|\?|\[[^\]/]+\])")
_PIECES = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


class FileHashes:
    """The files below one folder as they are now, each read once; make a new one to see what has changed since.

    Files are those that git tracks and those that it does not ignore; without git, all but hidden folders. Raises
    nothing for a file that cannot be read: it is ``missing``.
    """

    def __init__(self, root: Path) -> None:
        """List the files below the folder that names are relative to; nothing outside it is ever read."""
        self.root = root.resolve()
        self._listed = sorted(set(_listed(self.root)))  # what is being merged is there several times
        self._files = frozenset(self._listed)
        self._folders = {folder for name in {name.rpartition("/")[0] for name in self._listed} for folder in _up(name)}
        self._called: defaultdict[str, list[str]] = defaultdict(list)
        for name in (*self._listed, *sorted(self._folders)):
            self._called[name.rpartition("/")[2]].append(name)
        self._odd = tuple(name for name in self._listed if re.search(r"[^\w.@%+/-]", name))
        self.around: dict[object, tuple[tuple[str, str], ...]] = {}  # what digests keep, by environment
        self._seen: dict[str, tuple[int, ...]] = {}  # how a file was when it was read
        self._hashes: dict[str, str] = {}
        self._named: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
        self._matches: dict[str, tuple[str, ...]] = {}
        self._unlisted = False  # whether the answer also depends on files that are not listed

    def hash(self, name: str) -> str:
        """Return the SHA-256 of a file, as hexadecimal digits, with ``+x`` for one that can be executed."""
        if name not in self._hashes:
            self._seen.setdefault(name, _looks(self.root, name))
            self._hashes[name] = _hash_file(self.root, name)
        return self._hashes[name]

    def hold(self) -> bool:
        """Return whether every file that was read is as it was; False also when nobody can tell, or many were read."""
        if self._unlisted or len(self._seen) > _MOST_HELD:
            return False
        return all(seen and seen == _looks(self.root, name) for name, seen in self._seen.items())

    def named(self, texts: Iterable[str], *, python: bool = False) -> tuple[str, ...]:
        """Return the files that commands name, run one after the other in the root, and all that these files name."""
        by_name, by_folder = self._named_in("\n".join(texts), python=python, command=True)
        return self.with_named((*by_name, *by_folder))

    def with_named(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return files with all that they name, directly or not, sorted."""
        searched: dict[str, None] = dict.fromkeys(names)
        waiting = list(searched)
        packed: dict[str, None] = {}
        while waiting:
            by_name, by_folder = self._named_by(waiting.pop())
            packed.update(dict.fromkeys(by_folder))
            waiting += [name for name in by_name if name not in searched]
            searched.update(dict.fromkeys(by_name))
        return tuple(sorted({*searched, *packed}))

    def matching(self, globs: Iterable[str]) -> tuple[str, ...]:
        """Return the files that globs, file names or folders name, sorted; ignored ones where they match no other."""
        found: set[str] = set()
        for glob in globs:
            if Path(glob).parts and not Path(glob).is_absolute() and ".." not in Path(glob).parts:
                word = os.path.normpath(glob)
                found.update(self._without_prose(word, self._below(word)) or self._ignored(word))
        return tuple(sorted(found))

    def _named_by(self, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        if name not in self._named:
            self._seen.setdefault(name, _looks(self.root, name))
            text = _text(self.root, name) if PurePosixPath(name).suffix not in _NOT_SEARCHED else ""
            python = name.endswith(".py") or "python" in text.partition("\n")[0]
            self._named[name] = self._named_in(text, name.rpartition("/")[0], python=python)
        return self._named[name]

    def _named_in(
        self, text: str, folder: str = "", *, python: bool = False, command: bool = False
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the files that a text names, and those that lie in folders that it names."""
        words = words_of(text, folder, python=python)
        bases = self._bases(folder, words.folders)
        found: dict[str, None] = {}
        inside: dict[str, None] = {}
        for word in words.names:
            last = word.rstrip("/").rpartition("/")[2]
            glob = "*" in word or "?" in word
            if not glob and last not in self._called and word not in _READ_BY:
                continue  # nothing is called so; most words end here
            names = self._resolve(word, folder, bases, adrift=words.adrift, command=command)
            names = (*names, *(name for file in _READ_BY.get(word, ()) for name in self._at(file, bases)))
            prose = command and PurePosixPath(word).suffix in PROSE
            for name in names:
                if prose or PurePosixPath(name).suffix not in PROSE:
                    spelled = name.endswith(last) or word in _READ_BY or (glob and PurePosixPath(name).match(last))
                    (found if spelled else inside)[name] = None
        for module in words.modules:
            found.update(dict.fromkeys(self._module(module, folder, bases)))
        plain = text.replace("\\ ", " ") if self._odd else ""
        found.update(dict.fromkeys(name for name in self._odd if name.rpartition("/")[2] in plain))
        return tuple(found), tuple(inside)

    def _bases(self, folder: str, goes_to: Iterable[str]) -> tuple[str, ...]:
        """Return the folders that a name may be relative to: the text's own, the root, and where the text goes."""
        bases = dict.fromkeys((folder, ""))
        for place in goes_to:
            there = [_join(base, place.lstrip("/")) for base in bases]
            bases.update(dict.fromkeys(name for name in there if name in self._folders))
        return tuple(bases)

    def _resolve(self, word: str, folder: str, bases: Iterable[str], *, adrift: bool, command: bool) -> tuple[str, ...]:
        found = () if word.startswith("/") else self._at(word, bases)
        bare = word.strip("/").lstrip("./")
        if not command and re.match(r"[^/.]*[*?][^/.]*/*$", word):
            return ()  # `"${n}s/"` and the like: nothing in it says that it is a file
        if "/" not in word:
            if not command:  # in a script, too many plain words are also the name of a folder
                found = tuple(name for name in found if PurePosixPath(name).match(word))
            if "." not in word:
                return found
        if found and not adrift:
            return found
        if "*" in bare or "?" in bare:  # only a folder that is spelled out says enough
            literal = any(not re.search(r"[*?]", part) for part in bare.split("/"))
            return (*found, *(self._below(f"**/{bare}") if literal else ()))
        ends = _nearest(folder, self._ending(bare)) if folder else self._ending(bare)
        return (*found, *(name for end in ends for name in self._below(end)))

    def _ending(self, end: str) -> tuple[str, ...]:
        """Return the files and folders whose path ends so."""
        called = self._called.get(end.rpartition("/")[2], ())
        return tuple(name for name in called if name == end or name.endswith(f"/{end}"))

    def _at(self, word: str, bases: Iterable[str]) -> tuple[str, ...]:
        return tuple(name for base in bases for name in self._below(_join(base, word)))

    def _module(self, module: str, folder: str, bases: Iterable[str]) -> tuple[str, ...]:
        """Return the files that importing a Python module reads, its packages included."""
        path = module.lstrip(".")
        up = len(module) - len(path)
        places = (_join(folder, "../" * (up - 1)),) if up else tuple(bases)
        parts = path.split(".") if path else []
        if not up and f"{parts[0]}.py" not in self._called and parts[0] not in self._called:
            return ()  # the standard library, or installed
        found: dict[str, None] = {}
        for count in range(len(parts) + 1):
            start = "/".join(parts[:count])
            ends = (f"{start}.py", f"{start}/__init__.py", f"{start}/__main__.py") if start else ("__init__.py",)
            names = [name for end in ends for place in places if (name := _join(place, end)) in self._files]
            if not names and count > 1 and not up:  # a package that lies elsewhere, `src/` for one
                names = [name for end in ends for name in self._ending(end) if name in self._files]
            if start or up:
                found.update(dict.fromkeys(names))
        return tuple(found)

    def _below(self, word: str) -> tuple[str, ...]:
        """Return the files that a normal path or glob is, or that lie below such a folder."""
        if word in self._files:
            return (word,)
        if word not in self._matches:
            if re.search(r"[*?\[]", word):
                fits = re.compile(f"{_pattern(word)}(?:/.*)?").fullmatch
                self._matches[word] = tuple(name for name in self._listed if fits(name))
            elif word in self._folders:
                start = bisect_left(self._listed, f"{word}/")
                self._matches[word] = tuple(self._listed[start : bisect_left(self._listed, f"{word}0")])
            else:
                return ()
        return self._matches[word]

    def _without_prose(self, word: str, names: tuple[str, ...]) -> tuple[str, ...]:
        if PurePosixPath(word).suffix in PROSE:
            return names
        return tuple(name for name in names if PurePosixPath(name).suffix not in PROSE)

    def _ignored(self, glob: str) -> tuple[str, ...]:
        self._unlisted = True
        paths = [path for found in self.root.glob(glob) for path in (found.rglob("*") if found.is_dir() else (found,))]
        names = tuple(path.relative_to(self.root).as_posix() for path in paths if path.is_file())
        return self._without_prose(glob, tuple(name for name in names if "__pycache__" not in name))


def _listed(root: Path) -> Iterator[str]:
    """Yield the files that people write below a folder, also through links to folders and in submodules."""
    known = _git_files(root)
    for name, mode in known if known is not None else _walk(root):
        path = root / name
        if mode in {"120000", "160000"} and path.is_dir():
            if path.resolve().is_relative_to(root) and not root.is_relative_to(path.resolve()):
                yield from (f"{name}/{below}" for below in _listed(path))
        elif "__pycache__" not in name and path.name != ".gitignore" and os.path.isfile(path):  # noqa: PTH113  fast
            yield name


def _git_files(folder: Path) -> Iterator[tuple[str, str]] | None:
    """Return the names and modes of the files that git tracks or would track; None where it knows of none."""
    found = []
    for command in (("--stage",), ("--others", "--exclude-standard")):
        try:
            done = subprocess.run(
                ("git", "ls-files", "-z", *command),
                cwd=folder,
                capture_output=True,
                check=False,
                timeout=_GIT_TIMEOUT_S,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        if done.returncode != 0:
            return None
        found.append(done.stdout)
    if not any(found):
        return None  # a folder that the checkout around it ignores
    tracked, others = map(_texts, found)
    staged = ((entry.partition("\t")[2], entry.partition(" ")[0]) for entry in tracked)
    return chain(staged, ((name, "") for name in others if not name.endswith("/")))


def _texts(ended: bytes) -> Iterator[str]:
    """Yield texts that each end with a null: a list of all files of a large checkout would be made again and again."""
    return (os.fsdecode(match[0]) for match in re.finditer(rb"[^\0]+", ended))


def _walk(root: Path) -> Iterator[tuple[str, str]]:
    """Yield the files below a folder that is no checkout, without hidden folders and what ``.gitignore`` names."""
    import pathspec  # noqa: PLC0415  only needed here

    try:
        lines = (root / ".gitignore").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    ignored = pathspec.GitIgnoreSpec.from_lines(lines).match_file
    for folder, folders, files in os.walk(root):
        start = Path(folder).relative_to(root)
        folders[:] = [name for name in folders if name[0] != "." and not ignored(f"{(start / name).as_posix()}/")]
        for name in files:
            if not ignored((start / name).as_posix()):
                yield (start / name).as_posix(), ""


def _up(folder: str) -> Iterator[str]:
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]


def _nearest(folder: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names that share most of a folder's path, and one at the root."""
    above = [f"{one}/" for one in _up(folder)]
    shared = {name: sum(name.startswith(one) for one in above) for name in names}
    most = max(shared.values(), default=0)
    return tuple(name for name in names if shared[name] == most or "/" not in name)


def _join(base: str, word: str) -> str:
    name = f"{base}/{word}" if base else word
    if "./" not in name and "//" not in name and name[-1:] not in {".", "/"}:
        return name
    name = os.path.normpath(name)
    return "" if name == "." else name


def _pattern(glob: str) -> str:
    return "".join(_PIECES.get(piece) or _literal(piece) for piece in _GLOB.split(glob))


def _literal(piece: str) -> str:
    return piece.replace("[!", "[^") if piece.startswith("[") and piece.endswith("]") else re.escape(piece)


def _looks(root: Path, name: str) -> tuple[int, ...]:
    """Return what changes with a file; empty for one that could be changed again without it, as git's racy ones."""
    try:
        status = os.stat(f"{root}/{name}")  # noqa: PTH116  fast
    except OSError:
        return (0,)
    moments = status.st_mtime_ns, status.st_ctime_ns
    if time.time_ns() - max(moments) < _TICK_NS:
        return ()
    return (*moments, status.st_size, status.st_ino, status.st_dev, status.st_mode)


def _text(root: Path, name: str) -> str:
    """Return the text of a small file inside the root; empty for any other."""
    path = root / name
    try:
        if not path.resolve().is_relative_to(root):
            return ""
        with path.open("rb") as file:
            data = file.read(LARGEST_READ + 1)
    except OSError:
        return ""
    return "" if len(data) > LARGEST_READ or b"\0" in data else data.decode("utf-8", errors="replace")


def _hash_file(root: Path, name: str) -> str:
    path = root / name
    try:
        if not path.resolve().is_relative_to(root):
            return f"link to {path.readlink()}" if path.is_symlink() else "outside"
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            executable = "+x" if status.st_mode & 0o100 else ""
            if status.st_size <= LARGEST_HASHED:
                return hashlib.file_digest(file, "sha256").hexdigest() + executable
            both = hashlib.sha256(f"{status.st_size}\n".encode() + file.read(_END))
            file.seek(-_END, os.SEEK_END)
            both.update(file.read(_END))
            return both.hexdigest() + executable
    except OSError:
        return "missing"

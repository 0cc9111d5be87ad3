"""What ``list`` prints, kept from the last time: it is read again when every byte that it was made from is the same."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from runbook_checks import __version__, documents

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from runbook_checks.config import Config

_FORM = 1  # of what is kept
_LARGEST_BYTES = 64 * 1024 * 1024  # of what is read back
_MOST_LISTS = 64
_PAGE_BYTES = 16 * 1024 * 1024


def write(config: Config, selection: Sequence[str], file: IO[str], *, as_json: bool) -> None:
    """Write the procedures that words select, all for none, as a table or as one JSON document.

    Raises SourceError for pages that cannot be read, UsageError for a word that selects nothing.
    """
    from runbook_checks.report import load_catalog  # noqa: PLC0415 - what is kept needs none of it
    from runbook_checks.scopes import chosen  # noqa: PLC0415

    procedures = chosen(load_catalog(config), selection)
    if as_json:
        described = [documents.procedure_document(one) for one in procedures]
        document = {"schema_version": documents.SCHEMA_VERSION, "procedures": described}
        file.write(f"{json.dumps(document, indent=2)}\n")
        return
    from runbook_checks import tables  # noqa: PLC0415 - a document needs none
    from runbook_checks.console import PlainConsole  # noqa: PLC0415

    PlainConsole(file).print_table(tables.list_table(procedures))


def kept(config: Config, environ: Mapping[str, str], *, as_json: bool) -> str:
    """Return all that write() writes to a file, and spare making it when it was made of exactly this before.

    Exactly this: the configuration, the pages' names and bytes, the form, this program's bytes and what it is installed
    beside. It is kept in the user's own cache folder, which no repository can bring along; what cannot be kept, or is
    not as it was kept, is made anew. Raises what write() raises.
    """
    folder = cache_folder(environ)
    key = _key(config, as_json=as_json) if folder is not None else ""
    if folder is None or not key:
        return _made(config, as_json=as_json)
    named = f"{config.root} {as_json}".encode(errors="surrogateescape")
    path = folder / f"list-{hashlib.sha256(named).hexdigest()}"
    text = _read_back(path, key)
    if text is None:
        text = _made(config, as_json=as_json)
        if _key(config, as_json=as_json) == key:  # else a page has changed meanwhile
            _keep(path, key, text)
    return text


def _made(config: Config, *, as_json: bool) -> str:
    file = io.StringIO()
    write(config, (), file, as_json=as_json)
    return file.getvalue()


def cache_folder(environ: Mapping[str, str]) -> Path | None:
    """Return the folder for what can be made again, of this user alone; None where there is none to be had."""
    home = environ.get("XDG_CACHE_HOME") or (f"{environ['HOME']}/.cache" if environ.get("HOME") else "")
    if not home.startswith("/"):
        return None
    folder = Path(home) / "runbook-checks"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return None
    alone = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022
    return folder if alone else None


def _key(config: Config, *, as_json: bool) -> str:
    """Return a hash of all that a list is made from; empty when something of it is no plain file below the root."""
    digest = hashlib.blake2b(digest_size=32)
    try:
        for part in (*_program(), repr((config, as_json)).encode(errors="surrogateescape")):
            digest.update(b"%d:%b" % (len(part), part))
        for name, data in _pages(config.root, config.page_paths()):
            digest.update(b"%d:%b%d:%b" % (len(name), name, len(data), data))
    except (OSError, ValueError):
        return ""
    return digest.hexdigest()


def _program() -> Iterator[bytes]:
    """Yield what tells this program, and what is installed beside it, from any other."""
    import yaml  # noqa: PLC0415 - reading the configuration has loaded it

    yield f"{_FORM} {__version__} {sys.version}".encode()
    yield f"{os.stat(Path(yaml.__file__).parents[1]).st_mtime_ns}".encode()  # noqa: PTH116 - changes with each installation
    ours = Path(__file__).parent
    for name in sorted(os.listdir(ours)):  # noqa: PTH208 - fast
        if name.endswith(".py"):
            yield name.encode()
            yield (ours / name).read_bytes()


def _pages(root: Path, paths: Iterable[Path]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and the bytes of each page; raises ValueError for what is not itself a file below the root."""
    plain: set[str] = set()
    for path in paths:
        name = str(path)
        folder = os.path.dirname(name)  # noqa: PTH120 - a thousand pages in a few milliseconds
        if folder not in plain:
            if os.path.realpath(folder) != folder or not f"{folder}/".startswith(f"{root}/"):
                raise ValueError(f"{folder} is reached by a link")
            plain.add(folder)
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size > _PAGE_BYTES:
                raise ValueError(f"{name} is no plain file")
            yield os.fsencode(name), _whole(descriptor, status.st_size)
        finally:
            os.close(descriptor)


def _whole(descriptor: int, size: int) -> bytes:
    data = os.read(descriptor, size + 1)
    while more := os.read(descriptor, size + 1):
        data += more
    return data


def _read_back(path: Path, key: str) -> str | None:
    """Return the text that was kept for a key; None for another one, and for what is not as it was written."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_size > _LARGEST_BYTES:
            return None
        head, _, data = file.read().partition(b"\n")
    if head != _head(key, data):
        return None
    return data.decode("utf-8", "surrogateescape")


def _keep(path: Path, key: str, text: str) -> None:
    """Write a text for a key, whole or not at all; where that cannot be, nothing is kept."""
    data = text.encode("utf-8", "surrogateescape")
    with suppress(OSError):
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".list-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(_head(key, data) + b"\n" + data)
            Path(name).replace(path)
            _forget_old(path.parent)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise


def _forget_old(folder: Path) -> None:
    """Leave the newest lists alone: folders come and go, and nobody else cleans up behind them."""
    found = sorted(folder.glob("list-*"), key=lambda path: path.stat().st_mtime_ns)
    for path in found[:-_MOST_LISTS]:
        path.unlink(missing_ok=True)


def _head(key: str, data: bytes) -> bytes:
    return f"{key} {hashlib.blake2b(data, digest_size=32).hexdigest()}".encode()

"""The evidence on disk: an append-only file of records per environment and procedure."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import stat
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING
from urllib.parse import quote

from runbook_checks import need
from runbook_checks.errors import RunbookError
from runbook_checks.record import READABLE, OtherSchemaError, Record, from_line, kept_at, to_line
from runbook_checks.unseen import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

log = logging.getLogger(__name__)

_SIGNED = ".dsse"
_NEED = ".need"
_ENDED_AT = re.compile(rb'"ended_at":"([^"\\]{1,40})"')  # a quotation mark within a text has a backslash before it
_PUT_BACK = b'"no_earlier_than":'  # in a line that does not go by when it ended
_NO_EARLIER = re.compile(rb'"no_earlier_than":"([^"\\]{1,40})"')
_TAIL_BYTES = 64 * 1024
_NEXT = timedelta(milliseconds=1)
_LAST = datetime.max.replace(tzinfo=UTC) - _NEXT
_ENDS = tuple(b'"schema_version":%d}' % version for version in READABLE)
_ENDED = b'"ended_at":"'
_UTC = b"+00:00"
_LONGEST_STAMP = 40
_SIGNATURES = f"{_SIGNED}.jsonl"


class StoreError(RunbookError):
    """Evidence could not be written; what was there before is intact."""


@dataclass(frozen=True, slots=True)
class Line:
    """A record as it is kept: where, the exact bytes without the newline, and whether it is of another procedure."""

    path: Path
    number: int
    raw: bytes
    record: Record
    stray: bool = False


@dataclass(frozen=True, slots=True)
class ProofLine:
    """A proof of need as it is kept, by the rules of Line."""

    path: Path
    number: int
    raw: bytes
    proof: need.Proof
    stray: bool = False


@dataclass(frozen=True, slots=True)
class Store:
    """Records below a folder, as ``<environment>/<page stem>/<heading id>.jsonl``, their signatures beside them."""

    root: Path

    def path(self, environment: str, procedure: str) -> Path:
        """Return the file that keeps the records of a procedure, given its public id, in an environment."""
        *folders, name = (_file_name(part) for part in (environment, *procedure.split("/")))
        return self.root.joinpath(*folders, f"{name}.jsonl")

    def signatures_path(self, environment: str, procedure: str) -> Path:
        """Return the file that keeps the signatures of a procedure's records; no file of records has such a name."""
        return self.path(environment, procedure).with_suffix(_SIGNATURES)

    def need_path(self, environment: str, procedure: str) -> Path:
        """Return the file that keeps the proofs of need of a procedure; their signatures lie beside it."""
        return self.path(environment, procedure).with_suffix(f"{_NEED}.jsonl")

    def need_signatures_path(self, environment: str, procedure: str) -> Path:
        """Return the file that keeps the signatures of the proofs of need of a procedure."""
        return self.need_path(environment, procedure).with_suffix(_SIGNATURES)

    def prepare(self) -> None:
        """Create the folder and see that files can be written there; raises StoreError when they cannot."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise StoreError(f"{self.root}: evidence cannot be written there: {error.strerror}") from error

    def make_ready(self, environment: str, procedure: str) -> None:
        """See that a record of a procedure can be kept, before it runs; raises StoreError when it cannot."""
        with _appending(self.path(environment, procedure)):
            pass

    def append(self, record: Record) -> Record:
        """Add a record, whole or not at all, and return it as it is kept: it may follow one that is dated later.

        Raises StoreError, with the older records intact, when it cannot.
        """
        with _appending(self.path(record.environment, record.procedure)) as descriptor:
            record = _after_those_before(record, descriptor)
            _append_whole(descriptor, to_line(record).encode())
        return record

    def append_signature(self, record: Record, envelope: bytes) -> None:
        """Add the envelope of a record, one line, by the rules of append(); raises StoreError when it cannot."""
        _append(self.signatures_path(record.environment, record.procedure), envelope)

    def append_need(self, proof: need.Proof, envelope: bytes = b"") -> None:
        """Add a proof of need, and its signature if there is one, by the rules of append()."""
        _append(self.need_path(proof.environment, proof.procedure), need.to_line(proof).encode())
        if envelope:
            self.append_envelope(self.need_signatures_path(proof.environment, proof.procedure), envelope)

    def append_envelope(self, path: Path, envelope: bytes) -> None:
        """Add an envelope, one line, to a file that this store has for signatures, by the rules of append()."""
        _append(path, envelope)

    def proofs(self, environment: str, procedure: str) -> tuple[ProofLine, ...]:
        """Return the proofs of need of a procedure as they were kept, and others that lie there; the rest is skipped.

        Raises StoreError for a proof of another schema version: it may be the one that counts.
        """
        path = self.need_path(environment, procedure)
        found = []
        for number, raw in _read(path):
            try:
                proof = need.from_line(raw.decode())
            except OtherSchemaError as error:
                raise StoreError(
                    f"{path}:{number}: {error}: use the version of runbook-checks that wrote it"
                ) from error
            except ValueError as error:
                log.warning("%s:%d: skipped a line that is not a proof: %s", path, number, error)
                continue
            stray = (proof.environment, proof.procedure) != (environment, procedure)
            if stray:
                log.warning("%s:%d: skipped a proof of %s", path, number, printable(proof.procedure))
            found.append(ProofLine(path, number, raw, proof, stray))
        return tuple(found)

    def read(self, environment: str, procedure: str) -> tuple[Record, ...]:
        """Return the records of a procedure, oldest first; a line that is no record is skipped with a warning.

        Raises StoreError for a record of another schema version: it may be the failure that makes older ones void.
        """
        return tuple(line.record for line in self.lines(environment, procedure) if not line.stray)

    def newest_first(self, environment: str, procedure: str) -> Iterator[tuple[datetime, Callable[[], Record | None]]]:
        """Yield kept_at() of each record of read(), the newest first, and what reads it: None for a line that is none.

        Few are needed to judge, and reading one takes twenty times as long as finding out when it ended.
        """
        path = self.path(environment, procedure)
        data = _whole(path)
        places = () if _PUT_BACK in data else _places(data)
        stamps = _stamps(data, places)
        for place in sorted(range(len(stamps)), key=stamps.__getitem__)[::-1]:  # of equal ones the last comes first
            first, last = places[place]
            if (at := _moment(stamps[place].decode(errors="replace"))) is None:
                record = _record(path, place + 1, data[first:last])
                at = datetime.fromisoformat(record.ended_at) if record is not None else None
            if at is not None:
                yield at, partial(self._ours, path, place + 1, data[first:last], environment, procedure)
        if stamps:
            return
        found: list[tuple[datetime, int, bytes]] = []
        for number, raw in _lines(data):
            ended = _ENDED_AT.search(raw)
            whole = ended is not None and raw.endswith(_ENDS) and _PUT_BACK not in raw
            at = _moment(ended[1].decode()) if ended is not None and whole else None
            if at is None and (record := _record(path, number, raw)) is not None:
                at = kept_at(record)
            if at is not None:
                found.append((at, number, raw))
        for at, number, raw in sorted(found, key=itemgetter(0, 1), reverse=True):
            yield at, partial(self._ours, path, number, raw, environment, procedure)

    @staticmethod
    def _ours(path: Path, number: int, raw: bytes, environment: str, procedure: str) -> Record | None:
        record = _record(path, number, raw)
        if record is None or (record.environment, record.procedure) == (environment, procedure):
            return record
        log.warning("%s:%d: skipped a record of %s", path, number, _whose(record))
        return None

    def lines(self, environment: str, procedure: str) -> tuple[Line, ...]:
        """Return the lines behind read(), oldest first, and with them records of others, which have no place there."""
        path = self.path(environment, procedure)
        found = []
        for number, raw in _read(path):
            record = _record(path, number, raw)
            if record is None:
                continue
            stray = (record.environment, record.procedure) != (environment, procedure)
            if stray:
                log.warning("%s:%d: skipped a record of %s", path, number, _whose(record))
            found.append(Line(path, number, raw, record, stray))
        return tuple(sorted(found, key=lambda line: datetime.fromisoformat(line.record.ended_at)))

    def envelopes(self, path: Path) -> tuple[tuple[int, bytes], ...]:
        """Return the lines of a file that this store has for signatures, each with its number."""
        return tuple(_read(path))


def _record(path: Path, number: int, raw: bytes) -> Record | None:
    """Return the record of a line; None, with a warning, for what is none. Raises StoreError for another schema."""
    try:
        return from_line(raw.decode())
    except OtherSchemaError as error:
        raise StoreError(
            f"{path}:{number}: {error}: use the version of runbook-checks that wrote it, or a newer one"
        ) from error
    except ValueError as error:
        log.warning("%s:%d: skipped a line that is not a record: %s", path, number, error)
        return None


def _whose(record: Record) -> str:
    return printable(f"{record.procedure} in {record.environment}")


def _moment(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC) if at.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _places(data: bytes) -> list[tuple[int, int]]:
    """Return where each line begins and ends: most of what a large file holds is never copied."""
    places, first = [], 0
    while (last := data.find(b"\n", first)) >= 0:
        places.append((first, last))
        first = last + 1
    return [*places, (first, len(data))] if first < len(data) else places


def _stamps(data: bytes, lines: Sequence[tuple[int, int]]) -> list[bytes]:
    """Return when the record of each line ended, if all are whole ones of ours that write it alike; else nothing.

    Texts of one form have the order of the moments that they name.
    """
    if not lines or not all(data.endswith(_ENDS, first, last) for first, last in lines):
        return []
    begun = [data.find(_ENDED, first, last) + len(_ENDED) for first, last in lines]
    length = data.find(b'"', begun[0]) - begun[0]
    if min(begun) < len(_ENDED) or length > _LONGEST_STAMP:
        return []
    ends = length - len(_UTC)
    if {data[at + ends : at + length + 1] for at in begun} != {_UTC + b'"'}:
        return []
    return [data[at : at + length] for at in begun]


def _read(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield each line that is not blank, with its one-based number; nothing for a file that is not there."""
    return _lines(_whole(path))


def _lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    return ((number, line) for number, line in enumerate(data.split(b"\n"), 1) if line.strip())


def _whole(path: Path) -> bytes:
    """Return all that a file holds, nothing for one that is not there; raises StoreError for one not to be read."""
    try:
        descriptor = _open(path, os.O_RDONLY)
        try:
            data = os.read(descriptor, os.fstat(descriptor).st_size + 1)
            while more := os.read(descriptor, _TAIL_BYTES):
                data += more  # somebody appends meanwhile
            return data
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise StoreError(f"{path}: the evidence could not be read: {error.strerror}") from error


def _append(path: Path, line: bytes) -> None:
    with _appending(path) as descriptor:
        _append_whole(descriptor, line)


@contextmanager
def _appending(path: Path) -> Iterator[int]:
    """Have a file open and locked while this block appends to it; raises StoreError when that cannot be."""
    try:
        try:
            descriptor = _open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = _open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StoreError(f"{path}: the evidence could not be written: {error.strerror}") from error


def _open(path: Path, flags: int) -> int:
    """Return a descriptor of a regular file; a link could lead us to write elsewhere, a pipe keep us waiting."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file")
    return descriptor


def _after_those_before(record: Record, descriptor: int) -> Record:
    """Return a record that says so when the end of its file holds one that is dated later.

    A clock may be put back, and then dates alone would have a failure come before the pass that it follows.
    """
    size, length = os.fstat(descriptor).st_size, _TAIL_BYTES
    newest = None
    while size and newest is None:
        tail = os.pread(descriptor, length, max(0, size - length))
        dates = (one.decode(errors="replace") for known in (_ENDED_AT, _NO_EARLIER) for one in known.findall(tail))
        newest = max((at for at in map(_moment, dates) if at is not None), default=None)
        if length >= size:
            break
        length *= 8  # one record with much output
    if newest is None or newest <= datetime.fromisoformat(record.ended_at):
        return record
    after = (min(newest, _LAST) + _NEXT).isoformat(timespec="milliseconds")
    return replace(record, no_earlier_than=after)


def _append_whole(descriptor: int, line: bytes) -> None:
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        line = b"\n" + line  # a writer was killed in mid-line: its torn line must not swallow ours
    try:
        written = 0
        while written < len(line):
            written += os.write(descriptor, line[written:])
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def _file_name(part: str) -> str:
    name = quote(part, safe="")
    return name.replace(".", "%2E") if name.startswith(".") or name.lower().endswith((_SIGNED, _NEED)) else name

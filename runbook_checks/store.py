"""The evidence on disk: an append-only file of records per environment and procedure."""

from __future__ import annotations

import fcntl
import logging
import os
import tempfile
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from runbook_checks.errors import RunbookError
from runbook_checks.record import OtherSchemaError, Record, from_line, to_line

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)


class StoreError(RunbookError):
    """Evidence could not be written; what was there before is intact."""


@dataclass(frozen=True, slots=True)
class Store:
    """Records below a folder, as ``<environment>/<page stem>/<heading id>.jsonl``."""

    root: Path

    def path(self, environment: str, procedure: str) -> Path:
        """Return the file that keeps the records of a procedure, given its public id, in an environment."""
        *folders, name = (_file_name(part) for part in (environment, *procedure.split("/")))
        return self.root.joinpath(*folders, f"{name}.jsonl")

    def prepare(self) -> None:
        """Create the folder and see that files can be written there; raises StoreError when they cannot."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise StoreError(f"{self.root}: evidence cannot be written there: {error.strerror}") from error

    def append(self, record: Record) -> None:
        """Add a record, whole or not at all; raises StoreError, with the older records intact, when it cannot."""
        path = self.path(record.environment, record.procedure)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                _append_whole(descriptor, to_line(record).encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StoreError(f"{path}: the evidence could not be written: {error.strerror}") from error

    def read(self, environment: str, procedure: str) -> tuple[Record, ...]:
        """Return the records of a procedure, oldest first; a line that is no record is skipped with a warning.

        Raises StoreError for a record of another schema version: it may be the failure that makes older ones void.
        """
        path = self.path(environment, procedure)
        try:
            lines = path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise StoreError(f"{path}: the evidence could not be read: {error.strerror}") from error
        records = []
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                record = from_line(line.decode())
            except OtherSchemaError as error:
                raise StoreError(
                    f"{path}:{number}: {error}: use the version of runbook-checks that wrote it, or a newer one"
                ) from error
            except ValueError as error:
                log.warning("%s:%d: skipped a line that is not a record: %s", path, number, error)
                continue
            if (record.environment, record.procedure) != (environment, procedure):
                log.warning("%s:%d: skipped a record of %s in %s", path, number, record.procedure, record.environment)
                continue
            records.append(record)
        return tuple(sorted(records, key=lambda record: datetime.fromisoformat(record.ended_at)))


def _append_whole(descriptor: int, line: bytes) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_EX)
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
    return name.replace(".", "%2E") if name.startswith(".") else name

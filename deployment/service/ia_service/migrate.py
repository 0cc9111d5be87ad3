"""The schema: the library's own migrations, then the service's, by an explicit command.

The library's runner applies and records them (table ``ia_migrations``). What it lacks is added around it: one
transaction for all, so that a failed migration leaves the old schema; an advisory lock, so that two migrators take
turns; and a checksum per migration, because two releases of the library differ under one number.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import ia_modules
import psycopg2
from nexusql import DatabaseManager
from nexusql.migrations import MigrationRunner

logger = logging.getLogger(__name__)

LOCK_KEY = 0x1A_5EB1CE  # any number, as long as every release uses the same
LOCK_TIMEOUT_MS = 60_000
CONNECT_TIMEOUT_S = 10
_HERE = Path(__file__).parent


class MigrationError(Exception):
    """The schema could not be read or brought up to date; the text is one line for the operator."""


class Reader(Protocol):
    """What reading the state needs of a database."""

    def fetch_all(self, query: str) -> list[dict[str, Any]]:
        """Return all rows of a query."""
        ...


@dataclass(frozen=True, slots=True)
class SchemaState:
    """Migrations by name: recorded, still to be applied, and recorded from another text than this release carries."""

    applied: tuple[str, ...]
    pending: tuple[str, ...]
    differing: tuple[str, ...]

    @property
    def current(self) -> str:
        """Return the newest recorded migration, or ``none``."""
        return self.applied[-1] if self.applied else "none"


def migration_folders() -> tuple[Path, ...]:
    """Return where this release's migrations live, in the order in which they are applied."""
    folders = [Path(next(iter(ia_modules.__path__))) / "database" / "migrations", _HERE / "migrations"]
    if not version("ia-modules").startswith("0.1."):
        folders.append(_HERE / "migrations_0_2")
    return tuple(folders)


def migration_files() -> tuple[Path, ...]:
    """Return this release's migration files, in the order in which they are applied."""
    return tuple(file for folder in migration_folders() for file in sorted(folder.glob("V*.sql")))


def read_state(database: Reader) -> SchemaState:
    """Compare what the database has recorded with what this release carries."""
    exists = database.fetch_all("SELECT to_regclass('ia_migrations') IS NOT NULL AS known")[0]["known"]
    rows = database.fetch_all("SELECT version, checksum FROM ia_migrations ORDER BY version") if exists else []
    recorded = {str(row["version"]): row["checksum"] for row in rows}
    files = migration_files()
    return SchemaState(
        applied=tuple(recorded),
        pending=tuple(file.stem for file in files if file.stem not in recorded),
        differing=tuple(file.stem for file in files if recorded.get(file.stem) not in {None, _checksum(file)}),
    )


def migrate(url: str) -> tuple[SchemaState, SchemaState]:
    """Apply what is pending and return the states before and after; all or nothing. Raises MigrationError."""
    database = _connect(url)
    try:
        # The manager commits after every statement unless it has seen a BEGIN.
        database.execute("BEGIN")
        database.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
        database.execute(f"SELECT pg_advisory_xact_lock({LOCK_KEY})")
        before = read_state(database)
        for folder in migration_folders():
            if not asyncio.run(MigrationRunner(database, folder).run_pending_migrations()):
                raise MigrationError(f"a migration of {folder.parent.name}/{folder.name} failed; nothing was changed")
        for file in migration_files():
            database.execute(
                "UPDATE ia_migrations SET checksum = :checksum WHERE version = :version AND checksum IS NULL",
                {"checksum": _checksum(file), "version": file.stem},
            )
        after = read_state(database)
        if after.pending:
            raise MigrationError(f"still pending: {', '.join(after.pending)}; nothing was changed")
        database.execute("COMMIT")
    except psycopg2.Error as error:
        raise MigrationError(f"{_first_line(error)}; nothing was changed") from error
    finally:
        database.disconnect()
    return before, after


def check(url: str) -> SchemaState:
    """Return the state of the schema and change nothing. Raises MigrationError."""
    database = _connect(url)
    try:
        return read_state(database)
    except psycopg2.Error as error:
        raise MigrationError(_first_line(error)) from error
    finally:
        database.disconnect()


def _connect(url: str) -> Any:
    database = DatabaseManager(f"{url}{'&' if '?' in url else '?'}connect_timeout={CONNECT_TIMEOUT_S}")
    # connect() tells of a failure by its result and a log line alone.
    if not database.connect():
        raise MigrationError("the database does not answer")
    return database


def _first_line(error: psycopg2.Error) -> str:
    return f"the database says: {str(error).strip().partition(chr(10))[0]}"


def _checksum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()

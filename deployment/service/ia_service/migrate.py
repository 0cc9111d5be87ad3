"""The schema: the library's own migrations and the service's, by an explicit command.

The library's runner applies and records them (table ``ia_migrations``). What it lacks is added around it: one
transaction for all, so that a failed migration leaves the old schema; an advisory lock, so that migrators take turns;
bounded waiting; a checksum per migration, so that a changed text is noticed; and a failure that says why.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import ia_modules
import psycopg2
import psycopg2.errors
import psycopg2.extras
from nexusql import DatabaseManager
from nexusql.migrations import MigrationRunner

LOCK_KEY = 0x1A_5EB1CE  # any number, as long as every release uses the same
TURN_S = 60.0
TABLE_S = 5.0
CONNECT_TIMEOUT_S = 10
_HERE = Path(__file__).parent

# Two releases of the library carry different texts under one name; V004 brings what either leaves to the same schema.
_KNOWN_TEXTS = {
    "V002__hitl_schema": frozenset(
        {
            "dd92d4f41f060672c7f70532ad4cb3ebbfcde37c898424328ca8cd6c35539fb2",  # 0.1.3
            "ffeed9fcf3b503ce25eabc5b8de816513ef1150c2992f7bbbe3cddf51a57acc1",  # 0.2.0
        }
    )
}

# Who has the advisory lock of this database, and who has locked a table of it.
_MIGRATOR = """
    SELECT a.pid, a.application_name AS who, extract(epoch FROM clock_timestamp() - a.xact_start)::int AS seconds
    FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
    WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND (l.classid::bigint << 32 | l.objid::bigint) = :key
      AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
_LOCKERS = """
    SELECT a.pid, a.application_name AS who, extract(epoch FROM clock_timestamp() - a.xact_start)::int AS seconds
    FROM pg_stat_activity AS a
    WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND EXISTS (
        SELECT FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation
        WHERE l.pid = a.pid AND l.granted AND c.relkind = 'r' AND c.relnamespace <> 'pg_catalog'::regnamespace)
    ORDER BY a.xact_start LIMIT 3"""


class MigrationError(Exception):
    """The schema could not be read or brought up to date; the text is one line for the operator."""


class UnknownMigrationError(Exception):
    """No migration of this release is called so, or more than one."""


class _InDoubtError(Exception):
    """The server did not say whether it has committed."""


class Reader(Protocol):
    """What reading the state needs of a database."""

    def fetch_all(self, query: str) -> list[dict[str, Any]]:
        """Return all rows of a query."""
        ...


@dataclass(frozen=True, slots=True)
class SchemaState:
    """Migrations by name: recorded; still to be applied; and what is recorded from elsewhere.

    ``reworded`` were applied with another text that leads to the same schema, ``differing`` with one that this release
    knows nothing of, and ``ahead`` by a release that has migrations which this one has not.
    """

    applied: tuple[str, ...]
    pending: tuple[str, ...]
    reworded: tuple[str, ...]
    differing: tuple[str, ...]
    ahead: tuple[str, ...]

    @property
    def current(self) -> str:
        """Return the newest recorded migration, or ``none``."""
        return self.applied[-1] if self.applied else "none"


def migration_folders() -> tuple[Path, ...]:
    """Return where this release's migrations live."""
    folders = [Path(next(iter(ia_modules.__path__))) / "database" / "migrations", _HERE / "migrations"]
    if not version("ia-modules").startswith("0.1."):
        folders.append(_HERE / "migrations_0_2")
    return tuple(folders)


def migration_files() -> tuple[Path, ...]:
    """Return this release's migration files, in the order in which they are applied: by name."""
    return tuple(sorted((file for folder in migration_folders() for file in folder.glob("V*.sql")), key=_name))


def find_migration(name: str) -> str:
    """Return the whole name of the migration that is called ``name``, or begins with it, such as ``V002``."""
    names = [file.stem for file in migration_files()]
    found = [each for each in names if each == name] or [each for each in names if each.startswith(name)]
    if len(found) != 1:
        raise UnknownMigrationError(f"{name!r} is not one migration of this release; there are: {', '.join(names)}")
    return found[0]


def read_state(database: Reader) -> SchemaState:
    """Compare what the database has recorded with what this release carries."""
    exists = database.fetch_all("SELECT to_regclass('ia_migrations') IS NOT NULL AS known")[0]["known"]
    rows = database.fetch_all("SELECT version, checksum FROM ia_migrations ORDER BY version") if exists else []
    recorded = {str(row["version"]): row["checksum"] for row in rows}
    carried = {file.stem: _checksum(file) for file in migration_files()}
    other = [name for name, checksum in carried.items() if recorded.get(name) not in {None, checksum}]
    known = [name for name in other if recorded[name] in _KNOWN_TEXTS.get(name, frozenset())]
    return SchemaState(
        applied=tuple(recorded),
        pending=tuple(name for name in carried if name not in recorded),
        reworded=tuple(known),
        differing=tuple(name for name in other if name not in known),
        ahead=tuple(name for name in recorded if name not in carried),
    )


def migrate(
    url: str, *, to: str | None = None, accept: str | None = None, turn_s: float = TURN_S, table_s: float = TABLE_S
) -> tuple[SchemaState, SchemaState]:
    """Apply what is pending, as far as ``to``, and return the states before and after; all or nothing.

    ``accept`` names a migration whose recorded checksum becomes that of this release. Waits ``turn_s`` for another
    migrator and ``table_s`` for each table in use. Raises MigrationError, which says what became of it.
    """
    session = _Session(url)
    try:
        # The manager commits after every statement unless it has seen a BEGIN.
        session.execute("BEGIN")
        _take_turn(session, turn_s)
        before = _begin(session, accept, table_s)
        _apply(session, [file for file in migration_files() if to is None or file.stem <= to], before, table_s)
        _record_checksums(session, accept)
        after = read_state(session)
        session.commit()
    except _InDoubtError as error:
        raise MigrationError(f"the connection was lost at the very end: {error}; see with --check") from error
    except MigrationError as error:
        raise MigrationError(f"{error}; nothing was changed") from error
    except psycopg2.Error as error:
        raise MigrationError(f"the database says: {_first_line(error)}; nothing was changed") from error
    finally:
        session.disconnect()
    return before, after


def check(url: str) -> SchemaState:
    """Return the state of the schema and change nothing. Raises MigrationError."""
    session = _Session(url)
    try:
        return read_state(session)
    except psycopg2.Error as error:
        raise MigrationError(f"the database says: {_first_line(error)}") from error
    finally:
        session.disconnect()


class _Session(DatabaseManager):  # type: ignore[misc]  # nexusql has no types
    """The library's manager, connected; a failed read raises, and why a statement failed is kept."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._failure: psycopg2.Error | None = None
        try:
            self._connection = psycopg2.connect(
                url,
                cursor_factory=psycopg2.extras.RealDictCursor,
                connect_timeout=CONNECT_TIMEOUT_S,
                application_name=f"ia-service migrate, {version('ia-modules')}",
            )
        except psycopg2.OperationalError as error:
            raise MigrationError(f"the database does not answer: {_first_line(error)}") from error

    def fetch_all(self, query: str, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return all rows; the library's returns none when the read failed, which here would mean: nothing applied."""
        return [dict(row) for row in self._execute_raw(query, params).fetchall()]

    def execute(self, query: str, params: Mapping[str, Any] | None = None) -> Any:
        """Run one statement, and keep its error: the runner tells of it by its result alone."""
        try:
            return super().execute(query, params)
        except psycopg2.Error as error:
            self._failure = error
            raise

    def commit(self) -> None:
        """End the transaction; raises _InDoubtError when nobody knows whether it did."""
        try:
            self.execute("COMMIT")
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
            raise _InDoubtError(_first_line(error)) from error

    def why(self, table_s: float) -> str:
        """Return why the last statement failed; the library has ended its transaction."""
        if isinstance(self._failure, psycopg2.errors.LockNotAvailable):
            return f"somebody else uses a table that it changes, for more than {table_s:g} s: {self.sessions(_LOCKERS)}"
        return f"the database says: {_first_line(self._failure)}" if self._failure else "it could not be recorded"

    def sessions(self, query: str, params: Mapping[str, Any] | None = None) -> str:
        """Return the sessions that a query finds, for people."""
        rows = self.fetch_all(query, params)
        found = (f"session {row['pid']} ({row['who'] or 'without a name'}), for {row['seconds']} s" for row in rows)
        return "; ".join(found) or "it has just ended"


def _take_turn(session: _Session, wait_s: float) -> None:
    session.execute(f"SET LOCAL lock_timeout = {_ms(wait_s)}")
    try:
        session.execute(f"SELECT pg_advisory_xact_lock({LOCK_KEY})")
    except psycopg2.errors.LockNotAvailable as error:
        holder = session.sessions(_MIGRATOR, {"key": LOCK_KEY})
        raise MigrationError(f"another migrator is at work: {holder}; waited {wait_s:g} s") from error


def _begin(session: _Session, accept: str | None, table_s: float) -> SchemaState:
    session.execute(f"SET LOCAL lock_timeout = {_ms(table_s)}")
    if not asyncio.run(MigrationRunner(session).initialize_migration_table()):
        raise MigrationError(f"the table ia_migrations: {session.why(table_s)}")
    state = read_state(session)
    if refused := [name for name in state.differing if name != accept]:
        raise MigrationError(
            f"{', '.join(refused)} was applied with another text than this release carries; when the schema is "
            f"right all the same, say so with --accept {refused[0]}"
        )
    return state


def _apply(session: _Session, files: list[Path], before: SchemaState, table_s: float) -> None:
    for file in files:
        if file.stem in before.pending and not asyncio.run(MigrationRunner(session).run_migration_file(file)):
            raise MigrationError(f"{file.stem} failed: {session.why(table_s)}")


def _record_checksums(session: _Session, accept: str | None) -> None:
    for file in migration_files():
        session.execute(
            "UPDATE ia_migrations SET checksum = :text WHERE version = :name AND (checksum IS NULL OR version = :ok)",
            {"text": _checksum(file), "name": file.stem, "ok": accept},
        )


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))  # 0 would mean: without end


def _first_line(error: psycopg2.Error) -> str:
    return str(error).strip().partition("\n")[0]


def _name(file: Path) -> str:
    return file.stem


def _checksum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()

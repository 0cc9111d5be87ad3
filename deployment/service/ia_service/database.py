"""PostgreSQL for the library: its own DatabaseManager over a bounded pool with deadlines.

The library's manager holds one connection, never ends the transaction of a read, turns a failed read into "no rows",
and waits for ever for a silent server. Here every call borrows a pooled autocommit connection, fails with an error of
this service, and gives up after a deadline that is kept on the client's side: a stopped server process sends nothing.
"""

from __future__ import annotations

import logging
import re
import select
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg2
import psycopg2.errors
import psycopg2.extensions
import psycopg2.extras
from nexusql import DatabaseManager
from psycopg2.extensions import POLL_OK, POLL_READ, POLL_WRITE, make_dsn, parse_dsn

from ia_service.errors import DatabaseUnavailableError, NotMigratedError, PoolExhaustedError, StatementError

logger = logging.getLogger(__name__)

Row = dict[str, Any]

# nexusql replaces ":mode" inside ":mode_violation" too; a whole name is meant, and "::type" is a cast.
_PARAMETER = re.compile(r"(?<![:\w]):([A-Za-z_]\w*)")

_UNAVAILABLE = (psycopg2.OperationalError, psycopg2.InterfaceError, psycopg2.errors.ReadOnlySqlTransaction)

_deadline = threading.local()


def _wait(connection: Any) -> None:
    """Wait as psycopg2.extras.wait_select does, but not beyond this thread's deadline."""
    deadline: float = getattr(_deadline, "at", float("inf"))
    while True:
        state = connection.poll()
        if state == POLL_OK:
            return
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise psycopg2.OperationalError("no answer in time")
        wait_s = None if remaining == float("inf") else remaining
        if state == POLL_READ:
            select.select([connection.fileno()], [], [], wait_s)
        elif state == POLL_WRITE:
            select.select([], [connection.fileno()], [], wait_s)
        else:
            raise psycopg2.OperationalError(f"unexpected connection state {state}")


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    _deadline.at = time.monotonic() + seconds
    try:
        yield
    finally:
        del _deadline.at


def _servers(url: str) -> deque[dict[str, str]]:
    """Return host and port of every server that ``url`` names; one without either when it names none."""
    named = {name: text.split(",") for name, text in parse_dsn(url).items() if name in {"host", "hostaddr", "port"}}
    count = max(map(len, named.values()), default=1)
    # One port may stand for all hosts.
    return deque({name: (each * count)[i] for name, each in named.items()} for i in range(count))


class Pool:
    """At most ``size`` connections, opened when first needed; waiting for one is bounded."""

    def __init__(self, url: str, *, size: int, wait_s: float, query_s: float, name: str) -> None:
        """Open nothing yet."""
        self.size = size
        self.waiting = 0
        self.exhausted = 0
        self._url = url
        self._servers = _servers(url)
        self._name = name
        self._wait_s = wait_s
        self._query_s = query_s
        self._slots = threading.Semaphore(size)
        self._lock = threading.Lock()
        self._idle: list[Any] = []
        self._used = 0
        # Process-wide by psycopg2's design; without a deadline of its own a thread waits as before.
        psycopg2.extensions.set_wait_callback(_wait)

    @property
    def used(self) -> int:
        """Return how many connections are lent out."""
        return self._used

    @property
    def idle(self) -> int:
        """Return how many open connections wait for work."""
        return len(self._idle)

    @contextmanager
    def cursor(self) -> Iterator[Any]:
        """Lend a dict cursor on an autocommit connection for one statement within the deadline."""
        self._acquire_slot()
        connection: Any = None
        try:
            with _within(self._query_s):
                connection = self._take()
                with connection.cursor() as cursor:
                    yield cursor
        except _UNAVAILABLE as error:
            # What failed once will fail for the others too: let everybody connect afresh, and elsewhere first. A server
            # that answers that it is read-only is a standby, or about to become one.
            if connection is not None:
                connection.close()
            self.close()
            self._servers.rotate(-1)
            logger.warning("database unavailable: %s", str(error).strip().partition("\n")[0])
            raise DatabaseUnavailableError("the database does not answer") from error
        finally:
            with self._lock:
                self._used -= 1
                if connection is not None and not connection.closed:
                    self._idle.append(connection)
            self._slots.release()

    def close(self) -> None:
        """Close every idle connection."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _acquire_slot(self) -> None:
        with self._lock:
            self.waiting += 1
        acquired = self._slots.acquire(timeout=self._wait_s)
        with self._lock:
            self.waiting -= 1
            if acquired:
                self._used += 1
            else:
                self.exhausted += 1
        if not acquired:
            raise PoolExhaustedError(f"no database connection became free within {self._wait_s:g} s")

    def _take(self) -> Any:
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return self._connect()
            # An idle connection has nothing to say: readable means that the server hung up.
            if not select.select([connection.fileno()], [], [], 0)[0]:
                return connection
            connection.close()

    def _connect(self) -> Any:
        # libpq goes on to the next server when one refuses, but not when one is silent: the next call starts there.
        servers = list(self._servers)
        addresses = {name: ",".join(server[name] for server in servers) for name in servers[0]}
        connection = psycopg2.connect(
            make_dsn(self._url, **addresses),
            cursor_factory=psycopg2.extras.RealDictCursor,
            application_name=self._name,
            # The server gives up with us: else what waits for a lock keeps its session and may still be carried out.
            options=f"-c timezone=UTC -c statement_timeout={self._query_s * 1000:.0f}",
        )
        connection.autocommit = True
        return connection


class PooledDatabase(DatabaseManager):  # type: ignore[misc]  # nexusql has no types
    """The library's database manager, each call on a pooled connection."""

    def __init__(self, url: str, pool: Pool) -> None:
        """Use ``pool`` for every statement; ``url`` tells the library which dialect to speak."""
        super().__init__(url)
        self.pool = pool

    def connect(self) -> bool:
        """Return True: connections are opened when a statement needs one."""
        return True

    def disconnect(self) -> None:
        """Close what is idle."""
        self.pool.close()

    def execute(self, query: str, params: Mapping[str, Any] | None = None) -> list[Row]:
        """Run one statement and return its rows, if it has any."""
        return self._run(query, params)

    def fetch_one(self, query: str, params: Mapping[str, Any] | None = None) -> Row | None:
        """Return the first row, or None when there is none; unlike the library's, raises when the read failed."""
        rows = self._run(query, params)
        return rows[0] if rows else None

    def fetch_all(self, query: str, params: Mapping[str, Any] | None = None) -> list[Row]:
        """Return all rows; unlike the library's, raises when the read failed."""
        return self._run(query, params)

    def _convert_params(self, query: str, params: Mapping[str, Any] | None = None) -> tuple[str, Any]:
        if not params:
            return query, None
        return _PARAMETER.sub(lambda m: f"%({m[1]})s" if m[1] in params else m[0], query), params

    def _run(self, query: str, params: Mapping[str, Any] | None) -> list[Row]:
        statement, values = self._convert_params(self._translate_sql(query), params)
        try:
            with self.pool.cursor() as cursor:
                cursor.execute(statement, values)
                return [dict(row) for row in cursor.fetchall()] if cursor.description else []
        except psycopg2.errors.UndefinedTable as error:
            raise NotMigratedError("the database is not migrated; run: ia-service migrate") from error
        except psycopg2.Error as error:
            logger.error("statement refused: %s", str(error).strip(), extra={"sqlstate": error.pgcode})  # noqa: TRY400
            raise StatementError("the database refused the request") from error

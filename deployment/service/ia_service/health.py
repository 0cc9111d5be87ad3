"""Whether the replica's dependencies answer, found out anew on every request and bounded in time."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import redis.asyncio
import redis.exceptions

from ia_service.database import Pool, PooledDatabase
from ia_service.errors import NotMigratedError, ServiceError
from ia_service.metrics import Metrics
from ia_service.migrate import SchemaState, read_state

LIMIT_S = 2.0
_PROBE_S = 1.5

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Health:
    """What one look at the dependencies found."""

    healthy: bool
    checks: dict[str, dict[str, Any]]


class Prober:
    """Looks at the database over a connection of its own, so that a busy pool does not look like a dead server."""

    def __init__(
        self,
        database_url: str,
        redis_url: str,
        metrics: Metrics,
        *,
        name: str,
        count_stuck: Callable[[PooledDatabase], int],
    ) -> None:
        """Connect to nothing yet."""
        self._pool = Pool(database_url, size=1, wait_s=_PROBE_S, query_s=_PROBE_S, name=f"{name} probe")
        self._database = PooledDatabase(database_url, self._pool)
        self._redis = redis.asyncio.from_url(redis_url, socket_timeout=_PROBE_S, socket_connect_timeout=_PROBE_S)
        # A thread of its own: the shared ones may all be waiting for the database.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="probe")
        self._metrics = metrics
        self._count_stuck = count_stuck
        self._looking: asyncio.Task[Health] | None = None

    async def refresh(self, within_s: float) -> None:
        """Have the metrics say what a look finds; one that takes longer goes on, and the next call waits for it."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self.probe())
        found, _ = await asyncio.wait({self._looking}, timeout=within_s)
        for look in found:
            look.result()

    async def probe(self) -> Health:
        """Return the state of all dependencies within ``LIMIT_S`` or little more."""
        (database, migrations), cache = await asyncio.gather(self._probe_database(), self._probe_redis())
        checks = {"database": database, "redis": cache, "migrations": migrations}
        self._metrics.database_up.set(database["ok"])
        self._metrics.redis_up.set(cache["ok"])
        return Health(all(check["ok"] for check in checks.values()), checks)

    async def ask(self, question: Callable[[PooledDatabase], Answer]) -> Answer:
        """Ask the database something over the probe's connection; raises ServiceError."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, question, self._database)

    async def close(self) -> None:
        """Close the probe's connections."""
        if self._looking is not None:
            self._looking.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._pool.close()
        await self._redis.aclose()

    async def _probe_database(self) -> tuple[dict[str, Any], dict[str, Any]]:
        started = time.monotonic()
        try:
            async with asyncio.timeout(LIMIT_S):
                state = await self.ask(read_state)
                self._metrics.stuck.set(await self._stuck())
        except (ServiceError, TimeoutError) as error:
            self._metrics.stuck.set(math.nan)
            reason = str(error) or f"no answer within {LIMIT_S:g} s"
            return {"ok": False, "reason": reason}, {"ok": False, "reason": "unknown: the database does not answer"}
        self._metrics.pending_migrations.set(len(state.pending))
        return {"ok": True, "latency_ms": _since_ms(started)}, _migrations_check(state)

    async def _stuck(self) -> float:
        try:
            return await self.ask(self._count_stuck)
        except NotMigratedError:
            return math.nan

    async def _probe_redis(self) -> dict[str, Any]:
        started = time.monotonic()
        try:
            async with asyncio.timeout(LIMIT_S):
                await self._redis.execute_command("PING")  # type: ignore[no-untyped-call]  # ping() is typed for two worlds
        except (redis.exceptions.RedisError, OSError, TimeoutError):
            return {"ok": False, "reason": "Redis does not answer"}
        return {"ok": True, "latency_ms": _since_ms(started)}


def _migrations_check(state: SchemaState) -> dict[str, Any]:
    if state.pending:
        return {
            "ok": False,
            "current": state.current,
            "pending": list(state.pending),
            "reason": f"{len(state.pending)} pending; run: ia-service migrate",
        }
    return {"ok": True, "current": state.current, "pending": []}


def _since_ms(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 1)

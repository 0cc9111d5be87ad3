"""One running replica: its parts, and its state from start to drain."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

from ia_service.catalog import load_pipelines
from ia_service.claims import Claims
from ia_service.database import Pool, PooledDatabase
from ia_service.errors import ServiceError
from ia_service.executions import INTERRUPT_S, Executions
from ia_service.fingerprint import fingerprint
from ia_service.health import Prober
from ia_service.library import Library, open_library
from ia_service.live import LiveUpdates, cancel
from ia_service.metrics import Metrics
from ia_service.passwords import Passwords
from ia_service.ratelimits import RequestLimit, SignInLimits
from ia_service.redis_checkpoints import RedisCheckpoints
from ia_service.refreshed import OUTCOMES, Refreshed
from ia_service.release import Release
from ia_service.sessions import Seal
from ia_service.settings import Settings
from ia_service.signals import Signals

logger = logging.getLogger(__name__)

_TIDY_S = 5.0  # what is left to do when all executions have ended


class Replica:
    """The parts of a replica, wired; nothing is connected before it runs."""

    def __init__(self, settings: Settings, release: Release) -> None:
        """Wire the parts."""
        self.settings = settings
        self.release = release
        self.started = False
        self.draining = False
        self._stop_at = math.inf
        self.config = fingerprint(settings)
        self.metrics = Metrics(release, settings.name, self.config)
        self.pipelines = load_pipelines()
        self.metrics.expect(self.pipelines)
        self.metrics.expect_spans()
        self.pool = Pool(
            settings.database_url,
            size=settings.pool_size,
            wait_s=settings.pool_timeout_s,
            query_s=settings.query_timeout_s,
            name=settings.name,
        )
        self.database = PooledDatabase(settings.database_url, self.pool)
        self.signals = Signals(settings, release, self.metrics, self.database)
        self.passwords = Passwords()
        self.first_user = asyncio.Lock()
        self.seal = Seal(settings.session_secrets, settings.session_s)
        self.request_limit = RequestLimit(settings.rate_limit)
        self.sign_in_limits = SignInLimits(
            settings.redis_url, per_account=settings.sign_in_per_account, per_address=settings.sign_in_per_address
        )
        self.live = LiveUpdates(settings.redis_url, self.metrics.live_dropped.inc)
        self.claims = Claims(settings.name, release.release, settings.stuck_after_s)
        self.executions = Executions(
            self.library,
            self.metrics,
            claims=self.claims,
            replica=settings.name,
            release=release.release,
            max_running=settings.max_running,
            max_queued=settings.max_queued,
        )
        self.prober = Prober(
            settings.database_url,
            settings.redis_url,
            self.metrics,
            name=settings.name,
            count_stuck=self.executions.count_stuck,
        )
        for outcome in OUTCOMES:
            self.metrics.cache_reads.labels("reliability", outcome)
        self.reliability: Refreshed[dict[str, Any]] = Refreshed(
            settings.reliability_cache_s, lambda outcome: self.metrics.cache_reads.labels("reliability", outcome).inc()
        )
        self._library: Library | None = None
        self._library_lock = threading.Lock()
        self.metrics.watch("executions_in_flight", "Executions taken and not ended", lambda: self.executions.in_flight)
        self.metrics.watch("executions_limit", "Executions that may be in flight", lambda: self.executions.limit)
        self.metrics.watch("draining", "Whether the replica is being taken out", lambda: float(self.draining))
        self.metrics.watch("db_pool_size", "Connections the pool may open", lambda: self.pool.size)
        self.metrics.watch("db_pool_used", "Connections lent out", lambda: self.pool.used)
        self.metrics.watch("db_pool_idle", "Open connections without work", lambda: self.pool.idle)
        self.metrics.watch("db_pool_waiting", "Callers waiting for a connection", lambda: self.pool.waiting)
        self.metrics.watch("db_pool_exhausted", "Callers that waited in vain since start", lambda: self.pool.exhausted)

    def library(self) -> Library:
        """Return the library's parts, opened at the first call that finds the database there and migrated."""
        with self._library_lock:
            if self._library is None:
                library = open_library(
                    self.database, self.executions.owns, self.signals.telemetry, _checkpoints(self.settings)
                )
                library.tracker.add_websocket_connection(self.live)
                self._library = library
            return self._library

    def drain(self) -> None:
        """Say no at /ready from now on; what is asked is still answered."""
        self.draining = True
        logger.info("draining", extra={"in_flight": self.executions.in_flight})

    @property
    def end_within_s(self) -> float:
        """Return how long the end may take at most, once the drain is over."""
        last_statement_s = self.settings.pool_timeout_s + self.settings.query_timeout_s
        return self.settings.shutdown_s + INTERRUPT_S + last_statement_s + _TIDY_S

    def stop_soon(self) -> None:
        """Begin the time that executions have to end: the server waits for requests meanwhile, not before."""
        self._stop_at = time.monotonic() + self.settings.shutdown_s

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run in the background what a replica needs, and at the end let executions finish."""
        tasks = [asyncio.create_task(self.live.run()), asyncio.create_task(self._keep_claims())]
        for task in tasks:
            task.add_done_callback(_report_failure)
        self.signals.start()
        self.started = True
        logger.info("started", extra={"pipelines": len(self.pipelines)})
        try:
            yield
        finally:
            self.draining = True
            left_s = min(self.settings.shutdown_s, max(0.0, self._stop_at - time.monotonic()))
            await asyncio.to_thread(self.executions.stop, left_s)
            await asyncio.to_thread(self.signals.stop)
            await cancel(*tasks)
            await self.prober.close()
            self.pool.close()
            logger.info("stopped")

    async def _keep_claims(self) -> None:
        while True:
            await asyncio.sleep(self.claims.refresh_every_s)
            try:
                await self.prober.ask(self.executions.refresh_claims)
            except ServiceError as error:
                # A claim is good for several of these rounds, and what is overdue is checked before it is used.
                logger.warning("claims were not refreshed: %s", error)


def _checkpoints(settings: Settings) -> RedisCheckpoints | None:
    """Return where checkpoints are kept when not in the database."""
    return RedisCheckpoints(settings.redis_url, int(settings.checkpoint_s)) if settings.checkpoints_in_redis else None


def _report_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        logger.error("a background task ended", exc_info=error)

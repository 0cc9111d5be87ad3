"""Executions of this replica: taken, run in worker threads, ended or interrupted.

The library's tracker talks to the database in blocking calls inside coroutines, so an execution gets a thread and an
event loop of its own, and a slow database never holds up the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from ia_modules.pipeline.errors import PipelineError
from ia_modules.pipeline.execution_tracker import ExecutionStatus

from ia_service.catalog import Pipeline
from ia_service.claims import Claims
from ia_service.database import PooledDatabase
from ia_service.errors import (
    BusyError,
    DatabaseUnavailableError,
    NotResumableError,
    PoolExhaustedError,
    ServiceError,
)
from ia_service.job import Job
from ia_service.library import Library
from ia_service.logs import request_id
from ia_service.metrics import Metrics

logger = logging.getLogger(__name__)

_RECORD_RETRY_S = 1.0
_RECORD_TRIES = 60
INTERRUPT_S = 10.0  # a full queue is hundreds of executions to record


class Executions:
    """Runs pipelines, a bounded number at a time."""

    def __init__(  # noqa: PLR0913  # named, each of them
        self,
        library: Callable[[], Library],
        metrics: Metrics,
        *,
        claims: Claims,
        replica: str,
        release: str,
        max_running: int,
        max_queued: int,
    ) -> None:
        """Start no thread yet; ``library`` may raise while the database is away."""
        self._library = library
        self._metrics = metrics
        self._claims = claims
        self._replica = replica
        self._release = release
        self._interrupted = f"interrupted: {replica} was stopped; its checkpoints are kept"
        self.limit = max_running + max_queued
        self._threads = ThreadPoolExecutor(max_running, thread_name_prefix="execution")
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._reserved = 0
        self._stopping = threading.Event()

    @property
    def in_flight(self) -> int:
        """Return how many executions were taken and have not ended."""
        return len(self._jobs)

    def take(self, pipeline: Pipeline, data: dict[str, Any], owner: str | None = None) -> Job:
        """Record a new execution in the database and queue it; raises BusyError or what the database raises."""
        with self._slot():
            job = self._record_start(pipeline, data, owner)
            self._start(job, data)
        return job

    def resume(self, execution_id: str, find_pipeline: Callable[[str], Pipeline]) -> Job:
        """Go on with an execution that nobody works on; raises NotResumableError, and what ``take`` raises."""
        with self._slot():
            library = self._library()
            if execution_id in self._jobs:
                raise NotResumableError(f"{self._replica} works on this execution")
            found = self._claims.find_resumable(library.database, execution_id)
            pipeline = find_pipeline(found.pipeline)
            claimed_at = time.monotonic()
            self._claims.take_over(library.database, found)
            checkpoint = asyncio.run(library.newest_checkpoint(execution_id))
            marks = {"resumed_by": self._replica, "resumed_from": checkpoint, "resumed_release": self._release}
            data = asyncio.run(library.tracker.adopt(execution_id, **marks))
            job = Job(
                execution_id,
                pipeline,
                claimed_at,
                resumed=True,
                resumed_from=checkpoint,
                ended_before=found.ended_at,
            )
            self._start(job, data)
        return job

    def owns(self, execution_id: str) -> bool:
        """Tell whether nobody else can have resumed an execution; asks the database only when it may be so."""
        job = self._jobs.get(execution_id)
        if job is None:
            return True
        if not job.lost and time.monotonic() - job.claimed_at >= self._claims.stuck_after_s:
            self._refresh(self._library().database, [job])
        return not job.lost

    def refresh_claims(self, database: PooledDatabase) -> None:
        """Say that this replica still works on what it works on, and stop what another one has resumed."""
        if jobs := [job for job in self._snapshot() if not job.refused]:
            self._refresh(database, jobs)

    def count_stuck(self, database: PooledDatabase) -> int:
        """Return how many executions are running without anybody working on them."""
        return self._claims.count_stuck(database, [job.id for job in self._snapshot()])

    def stop(self, within_s: float) -> None:
        """Let running executions end; interrupt and record what has not ended in time."""
        deadline = time.monotonic() + within_s
        wait([job.done for job in self._snapshot()], timeout=within_s)
        left = self._snapshot()
        self._stopping.set()
        for job in left:
            job.interrupt()
        if left:
            logger.warning("interrupting executions", extra={"jobs": [job.id for job in left]})
            wait([job.done for job in left], timeout=max(INTERRUPT_S, deadline - time.monotonic()))
        self._threads.shutdown(wait=False, cancel_futures=True)

    @contextlib.contextmanager
    def _slot(self) -> Iterator[None]:
        with self._lock:
            if len(self._jobs) + self._reserved >= self.limit:
                raise BusyError(f"{self.limit} executions are already waiting or running")
            self._reserved += 1
        try:
            yield
        finally:
            with self._lock:
                self._reserved -= 1

    def _start(self, job: Job, data: dict[str, Any]) -> None:
        with self._lock:
            self._jobs[job.id] = job
        context = contextvars.copy_context()
        self._threads.submit(context.run, self._run, job, dict(data))

    def _refresh(self, database: PooledDatabase, jobs: list[Job]) -> None:
        now = time.monotonic()
        kept = self._claims.refresh(database, [job.id for job in jobs])
        for job in jobs:
            if job.id in kept:
                job.claimed_at = now
            elif not job.lost:
                job.lost = True
                logger.warning("another replica has resumed an execution", extra={"job_id": job.id})
                job.interrupt()

    def _snapshot(self) -> list[Job]:
        with self._lock:
            return list(self._jobs.values())

    def _record_start(self, pipeline: Pipeline, data: dict[str, Any], owner: str | None) -> Job:
        library = self._library()
        metadata = {"replica": self._replica, "release": self._release, "request_id": request_id.get()}
        if owner is not None:
            metadata["owner"] = owner
        claimed_at = time.monotonic()
        execution_id = asyncio.run(
            library.tracker.start_execution(
                pipeline_id=pipeline.id,
                pipeline_name=pipeline.graph["name"],
                input_data=data,
                total_steps=len(pipeline.graph["steps"]),
                metadata=metadata,
            )
        )
        try:
            self._claims.take(library.database, execution_id)
        except ServiceError as error:
            # The client is told no: its execution must not look as if it ran for ever.
            self._start(Job(execution_id, pipeline, math.inf, refused=f"refused: {error.code}"), data)
            raise
        return Job(execution_id, pipeline, claimed_at)

    def _run(self, job: Job, data: dict[str, Any]) -> None:
        outcome = "lost"
        try:
            status, output, error = asyncio.run(self._outcome(job, data))
            outcome = status.value
            asyncio.run(self._record_end(job, status, output, error))
        except ServiceError as unrecorded:
            outcome = "lost"
            logger.error("the end of an execution was not recorded: %s", unrecorded, extra={"job_id": job.id})  # noqa: TRY400
            with contextlib.suppress(ServiceError):
                self._library().tracker.forget(job.id)
        finally:
            with self._lock:
                del self._jobs[job.id]
            seconds = time.monotonic() - job.taken_at
            self._metrics.executions.labels(job.pipeline.id, outcome).inc()
            self._metrics.execution_time.labels(job.pipeline.id).observe(seconds)
            logger.info(
                "execution ended",
                extra={"job_id": job.id, "pipeline": job.pipeline.id, "outcome": outcome, "seconds": round(seconds, 4)},
            )
            job.done.set_result(outcome)

    async def _outcome(self, job: Job, data: dict[str, Any]) -> tuple[ExecutionStatus, Any, str | None]:
        job.loop, job.task = asyncio.get_running_loop(), asyncio.current_task()
        try:
            if job.refused or self._stopping.is_set():
                return ExecutionStatus.CANCELLED, None, job.refused or self._interrupted
            output = await self._library().run(job.pipeline.graph, data, job.id, job.pipeline.id, resume=job.resumed)
        except asyncio.CancelledError:
            return ExecutionStatus.CANCELLED, None, self._interrupted
        except PipelineError as error:
            return ExecutionStatus.FAILED, None, _reason(error)
        except Exception as error:  # a step may raise anything, and that is the execution's result
            logger.warning("execution failed", exc_info=error, extra={"job_id": job.id})
            return ExecutionStatus.FAILED, None, _reason(error)
        return ExecutionStatus.COMPLETED, output, None

    async def _record_end(self, job: Job, status: ExecutionStatus, output: Any, error: str | None) -> None:
        """Record the end, and while the database is away keep trying for a minute, or until the replica stops."""
        for tries_left in reversed(range(_RECORD_TRIES)):
            try:
                library = self._library()
                if job.id not in library.tracker.active_executions:
                    return
                await library.tracker.end(job.id, status, output=output, error=error)
                success = status is ExecutionStatus.COMPLETED
                await library.record_reliability(job.id, success=success, since=job.ended_before)
            except (DatabaseUnavailableError, PoolExhaustedError):
                if not tries_left or self._stopping.wait(_RECORD_RETRY_S):
                    raise
            else:
                return


def _reason(error: Exception) -> str:
    """Return what may be told about a failure: this service's and the steps' own words are free of SQL."""
    return f"{type(error).__name__}: {error}"[:2000]

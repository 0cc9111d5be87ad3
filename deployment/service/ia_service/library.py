"""The seams between the service and ``ia_modules``, for every release of the library that we deploy.

What differs or does not work as it stands, and is settled here and nowhere else:

- The runner of 0.1.3 never records the end of an execution; that of 0.2.0 does, but without its output, so that a
  reader could see "completed" and no result. The end is recorded once, by the service, for both.
- Only the runner of 0.2.0 records reliability; for 0.1.3 the service does.
- Neither runner passes the thread id on to the pipeline, without which no checkpoint is ever saved.
- The pipeline's ``resume`` does other things than its ``run``: ``resume.py``, which is a part of this seam, says which.
- The Redis checkpointer has no method that saves or loads a checkpoint: ``redis_checkpoints.py`` has them.
- The pipeline's telemetry keeps every span in memory: ``pipeline_telemetry.py`` says what it reports to instead.
- The SQL checkpointer awaits a database whose methods are not coroutines, and parses JSON and times that the PostgreSQL
  driver has parsed already.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any

from ia_modules.checkpoint.sql import SQLCheckpointer
from ia_modules.pipeline.core import ExecutionContext
from ia_modules.pipeline.execution_tracker import ExecutionStatus, ExecutionTracker
from ia_modules.pipeline.graph_pipeline_runner import GraphPipelineRunner, PipelineConfig
from ia_modules.pipeline.runner import create_pipeline_from_json
from ia_modules.pipeline.services import ServiceRegistry
from ia_modules.reliability.metrics import ReliabilityMetrics
from ia_modules.reliability.sql_metric_storage import SQLMetricStorage

from ia_service.claims import INTERRUPTED_STEP
from ia_service.database import PooledDatabase, Row
from ia_service.errors import ClaimLostError, ServiceError
from ia_service.pipeline_telemetry import Telemetry
from ia_service.redis_checkpoints import RedisCheckpoints
from ia_service.resume import resume_pipeline

RUNNER_RECORDS_RELIABILITY = not version("ia-modules").startswith("0.1.")

_ENDED = (ExecutionStatus.COMPLETED, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED)


class Tracker(ExecutionTracker):  # type: ignore[misc]  # the library has no types
    """The library's tracker; ``end`` alone records an end, and only who works on an execution writes about it."""

    def __init__(self, database: PooledDatabase, owns: Callable[[str], bool]) -> None:
        """Track in ``database``; ``owns`` tells whether this replica still works on an execution."""
        super().__init__(database)
        self._owns = owns

    async def adopt(self, execution_id: str, **metadata: Any) -> dict[str, Any]:
        """Track an execution that was tracked elsewhere before, and return its input."""
        self.forget(execution_id)
        record = await self.get_execution(execution_id)
        record.metadata = {**(record.metadata or {}), **metadata}
        self.active_executions[execution_id] = record
        await self._update_execution_step_counts(execution_id)
        record.completed_steps, record.failed_steps = record.completed_steps or 0, record.failed_steps or 0
        await self.update_execution_status(execution_id, ExecutionStatus.RUNNING)
        return dict(record.input_data or {})

    def forget(self, execution_id: str) -> None:
        """Track an execution no more: what the database says is true."""
        self.active_executions.pop(execution_id, None)

    async def update_execution_status(self, execution_id: str, status: Any, **fields: Any) -> None:
        """Record a change of status, but leave the end to ``end``."""
        if status not in _ENDED:
            await super().update_execution_status(execution_id, status, **fields)

    async def start_step_execution(self, execution_id: str, *arguments: Any, **fields: Any) -> Any:
        """Record the start of a step."""
        self._check(execution_id)
        return await super().start_step_execution(execution_id, *arguments, **fields)

    async def _update_execution(self, execution: Any) -> None:
        self._check(execution.execution_id)
        await super()._update_execution(execution)

    async def _broadcast_message(self, message: dict[str, Any]) -> None:
        """Tell about an execution, and whose it is, so that nobody else is told."""
        update = message["data"]
        if message["type"] == "execution_update":
            metadata = update["metadata"]
        else:
            record = self.active_executions.get(update["execution_id"])
            metadata = record.metadata if record else None
        owner = (metadata or {}).get("owner")
        await super()._broadcast_message({**message, "owner": owner} if owner else message)

    def _check(self, execution_id: str) -> None:
        if not self._owns(execution_id):
            raise ClaimLostError("another replica has resumed this execution")

    async def end(self, execution_id: str, status: Any, *, output: Any = None, error: str | None = None) -> None:
        """Record how an execution ended, with its output, and forget it."""
        record = self.active_executions[execution_id]
        try:
            await super().update_execution_status(execution_id, status, output_data=output, error_message=error)
        except ServiceError:
            # The library forgets a completed execution before it has written it.
            self.active_executions[execution_id] = record
            raise
        # And it keeps failed ones in memory for ever.
        self.forget(execution_id)


class Runner(GraphPipelineRunner):  # type: ignore[misc]  # the library has no types
    """The library's graph runner, with a checkpoint after every step, from which it can go on."""

    def __init__(self, services: ServiceRegistry, *, resume: bool) -> None:
        """Run from the beginning, or from the newest checkpoint if there is one."""
        super().__init__(services)
        self._resume = resume

    async def _run_standard_pipeline(
        self, config: PipelineConfig, input_data: dict[str, Any], execution_id: str, execution_context: Any = None
    ) -> dict[str, Any]:
        pipeline = create_pipeline_from_json(config.model_dump(by_alias=True), self.services)
        self.execution_stats["steps_executed"] = len(config.steps)
        if self._resume and (checkpoint := await pipeline.checkpointer.load_checkpoint(execution_id)):
            done = checkpoint.state["steps"]
            return await resume_pipeline(
                pipeline, execution_id, input_data, done, record_reliability=RUNNER_RECORDS_RELIABILITY
            )
        result: dict[str, Any] = await pipeline.run(input_data, execution_context, thread_id=execution_id)
        return result


class _Awaitable(list[Row]):
    """Rows that may be awaited or not: the library's checkpointers disagree."""

    def __await__(self) -> Generator[None, None, _Awaitable]:
        return self
        yield  # makes this a generator, which is what awaiting needs


class CheckpointDatabase:
    """A database as the library's SQL checkpointer expects it."""

    def __init__(self, database: PooledDatabase) -> None:
        """Wrap ``database``."""
        self._database = database

    def table_exists(self, name: str) -> bool:
        """Return whether there is a table of this name."""
        return bool(self._database.table_exists(name))

    async def execute(self, query: str, params: Mapping[str, Any]) -> None:
        """Run one statement."""
        self._database.execute(query, params)

    async def fetch_one(self, query: str, params: Mapping[str, Any] | None = None) -> Row | None:
        """Return the first row as text."""
        rows = self.fetch_all(query, params)
        return rows[0] if rows else None

    def fetch_all(self, query: str, params: Mapping[str, Any] | None = None) -> _Awaitable:
        """Return all rows as text."""
        rows = self._database.fetch_all(query, params)
        return _Awaitable({name: _as_text(value) for name, value in row.items()} for row in rows)


def _as_text(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return json.dumps(value) if isinstance(value, (dict, list)) else value


@dataclass(frozen=True, slots=True)
class Library:
    """The library's parts of one replica, sharing one database."""

    database: PooledDatabase
    tracker: Tracker
    checkpointer: Any
    reliability: Any
    telemetry: Telemetry

    async def run(
        self, graph: Mapping[str, Any], data: dict[str, Any], execution_id: str, pipeline_id: str, *, resume: bool
    ) -> Any:
        """Run a pipeline under an execution that the tracker has started or adopted, and return its output."""
        services = ServiceRegistry()
        services.register("database", self.database)
        services.register("execution_tracker", self.tracker)
        services.register("checkpointer", self.checkpointer)
        services.register("reliability_metrics", self.reliability)
        services.register("telemetry", self.telemetry.of(execution_id))
        context = ExecutionContext(execution_id=execution_id, pipeline_id=pipeline_id, thread_id=execution_id)
        result = await Runner(services, resume=resume).run_pipeline_from_json(
            dict(graph), data, execution_context=context
        )
        return result["output"]

    async def newest_checkpoint(self, execution_id: str) -> str | None:
        """Return after which step the newest checkpoint was saved."""
        checkpoint = await self.checkpointer.load_checkpoint(execution_id)
        return None if checkpoint is None else str(checkpoint.step_id)

    async def record_reliability(self, execution_id: str, *, success: bool, since: datetime | None) -> None:
        """Record the reliability of what an execution did since its last end, where the library's runner does not."""
        if RUNNER_RECORDS_RELIABILITY:
            return
        steps = await self.tracker.get_execution_steps(execution_id)
        for step in steps:
            if step.error_message == INTERRUPTED_STEP or (since and step.completed_at and step.completed_at <= since):
                continue
            await self.reliability.record_step(agent=step.step_id, success=step.status.value == "completed")
        await self.reliability.record_workflow(
            workflow_id=execution_id, steps=len(steps), retries=sum(s.retry_count for s in steps), success=success
        )


def open_library(
    database: PooledDatabase, owns: Callable[[str], bool], telemetry: Telemetry, checkpoints: RedisCheckpoints | None
) -> Library:
    """Return the library's parts on a migrated database; raises NotMigratedError or DatabaseUnavailableError."""
    # The library's constructors look for their tables and raise errors of their own; a read raises ours.
    database.fetch_all("SELECT 1 FROM pipeline_checkpoints, reliability_steps, service_jobs LIMIT 0")
    return Library(
        database=database,
        tracker=Tracker(database, owns),
        checkpointer=checkpoints or SQLCheckpointer(CheckpointDatabase(database)),
        reliability=ReliabilityMetrics(SQLMetricStorage(database)),
        telemetry=telemetry,
    )

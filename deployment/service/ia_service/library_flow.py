"""The API flow without the HTTP service: the library, and the service's seam to it, on any database that it speaks to.

Run as ``python -m ia_service.library_flow`` by the Python of a release, with the address in DATABASE_URL. Applies V001
with the library's own runner, and then does what the API does: list, execute, status, steps, checkpoints, metrics. A
line per part; exit 1 when one does not work. ``--migrate`` tries the library's way to its newest schema instead,
``--limits`` what a service needs besides.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import ia_modules
from ia_modules.checkpoint.sql import SQLCheckpointer
from ia_modules.pipeline.execution_tracker import ExecutionStatus
from ia_modules.reliability.metrics import ReliabilityMetrics
from ia_modules.reliability.sql_metric_storage import SQLMetricStorage
from nexusql import DatabaseManager
from nexusql.migrations import MigrationRunner

from ia_service.catalog import Pipeline, load_pipelines
from ia_service.library import CheckpointDatabase, Library, Tracker
from ia_service.pipeline_telemetry import Telemetry

MIGRATIONS = Path(next(iter(ia_modules.__path__))) / "database/migrations"
ENDS = {
    "transform": "completed",
    "conditional": "completed",
    "loop": "completed",
    "parallel": "completed",
    "fail": "failed",
}


class FlowError(Exception):
    """A part of the flow does not work; the text says which."""


def main(arguments: list[str]) -> int:
    """Go through the flow, or do what the one option says."""
    parts = {(): _flow, ("--migrate",): _migrate, ("--limits",): _limits}
    if tuple(arguments) not in parts:
        print(f"Usage: python -m ia_service.library_flow [--migrate | --limits]\n\n{__doc__}", file=sys.stderr)
        return 2
    logging.getLogger("nexusql").setLevel(logging.CRITICAL)
    database = DatabaseManager(os.environ["DATABASE_URL"])
    if not database.connect():
        print("library_flow: the library cannot connect", file=sys.stderr)
        return 1
    try:
        return asyncio.run(parts[tuple(arguments)](database))
    except FlowError as error:
        print(f"library_flow: {error}", file=sys.stderr)
        return 1
    finally:
        database.disconnect()


async def _migrate(database: DatabaseManager) -> int:
    runner = MigrationRunner(database, MIGRATIONS)
    _require("the table ia_migrations", await runner.initialize_migration_table())
    for file in await runner.get_pending_migrations():
        done = await database.execute_script(file.read_text())
        if not done.success:
            raise FlowError(f"{file.stem}: {done.error_message}")
        print(f"applied {file.stem}")
    return 0


async def _flow(database: DatabaseManager) -> int:
    if not database.table_exists("pipeline_executions"):
        runner = MigrationRunner(database, MIGRATIONS)
        _require("V001", await runner.run_specific_migration("V001__complete_schema"))
    library = Library(
        database=database,
        tracker=Tracker(database, lambda _execution: True),
        checkpointer=SQLCheckpointer(CheckpointDatabase(database)),
        reliability=ReliabilityMetrics(SQLMetricStorage(database)),
        telemetry=Telemetry(None),
    )
    pipelines = load_pipelines()
    print(f"list: {len(pipelines)} pipelines")
    since = datetime.now(UTC) - timedelta(minutes=1)
    before = (await library.reliability.get_report(since=since)).total_steps
    steps = checkpoints = 0
    for name, end in ENDS.items():
        ended, kept = await _execute(library, pipelines[name], end)
        steps, checkpoints = steps + ended, checkpoints + kept
    print(f"execute: {len(ENDS)} executions, status and output as they should be")
    print(f"steps: {steps}")
    print(f"checkpoints: {checkpoints}")
    recorded = (await library.reliability.get_report(since=since)).total_steps - before
    _require(f"the metrics have {recorded} steps, not {steps}; they", recorded == steps)
    print(f"metrics: {recorded} steps")
    return 0


async def _limits(database: DatabaseManager) -> int:
    other = DatabaseManager(os.environ["DATABASE_URL"])
    _require("a second connection", other.connect())
    try:
        database.execute("CREATE TABLE limits (n INTEGER, at TIMESTAMP)")
        database.fetch_all("SELECT n FROM limits")
        other.execute("INSERT INTO limits (n, at) VALUES (:n, :at)", {"n": 1, "at": "2026-01-01T10:00:00.654321"})
        seen = bool(database.fetch_all("SELECT n FROM limits"))
        print(f"what another connection has committed is {'seen' if seen else 'not seen'}")
        microsecond = other.fetch_all("SELECT at FROM limits")[0]["at"].microsecond
        print(f"times are {'whole' if microsecond else 'cut to the second'}")
        failed = await other.execute_script("CREATE TABLE half (n INTEGER); CREATE TABLE limits (n INTEGER)")
        _require("a script that must fail", not failed.success)
        print(f"half of a failed migration {'stays' if other.table_exists('half') else 'is undone'}")
    finally:
        other.disconnect()
    return 0


async def _execute(library: Library, pipeline: Pipeline, end: str) -> tuple[int, int]:
    data = dict(pipeline.summary()["example_input"])
    execution = await library.tracker.start_execution(pipeline.id, pipeline.id, data)
    output: Any = None
    status = ExecutionStatus.COMPLETED
    try:
        output = await library.run(pipeline.graph, data, execution, pipeline.id, resume=False)
    except Exception:
        if end != "failed":
            raise
        status = ExecutionStatus.FAILED
    await library.tracker.end(execution, status, output=output)
    record = await library.tracker.get_execution(execution)
    _require(f"the status of {pipeline.id}, {record.status.value},", record.status.value == end)
    _require(f"the output of {pipeline.id}", output is None or record.output_data == output)
    steps = await library.tracker.get_execution_steps(execution)
    kept = await library.checkpointer.list_checkpoints(execution, limit=100)
    _require(f"the steps and checkpoints of {pipeline.id}", bool(steps) and bool(kept))
    return len([step for step in steps if step.status.value in {"completed", "failed"}]), len(kept)


def _require(what: str, holds: bool) -> None:  # noqa: FBT001  # what must hold
    if not holds:
        raise FlowError(f"{what} is not as it should be")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

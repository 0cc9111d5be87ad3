"""The HTTP interface."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from ia_service.errors import NotFoundError, ServiceError
from ia_service.live import concerns
from ia_service.logs import request_id
from ia_service.observe import Observe
from ia_service.replica import Replica

logger = logging.getLogger(__name__)

router = APIRouter()

_CODES = {404: "not_found", 405: "method_not_allowed"}


class ExecuteRequest(BaseModel):
    """A pipeline to run, its input, and how long to wait for the result."""

    model_config = ConfigDict(extra="forbid")

    pipeline: str = Field(min_length=1, max_length=255)
    input: dict[str, Any] = Field(default_factory=dict)
    wait_s: float = Field(default=0, ge=0, le=30)


def create_app(replica: Replica) -> FastAPI:
    """Return the application of one replica."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with replica.running():
            yield

    app = FastAPI(title="IA Modules", version=replica.release.service_version, lifespan=lifespan)
    app.state.replica = replica
    app.include_router(router)
    app.add_middleware(Observe, replica=replica)
    app.add_exception_handler(ServiceError, _answer_service_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid_request)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(Exception, _answer_unexpected_error)
    return app


@router.get("/health")
async def health(request: Request) -> JSONResponse:
    """Tell whether database, Redis and schema are as this release needs them."""
    replica = _replica(request)
    found = await replica.prober.probe()
    body = {
        "status": "healthy" if found.healthy else "unhealthy",
        "checks": found.checks,
        "release": replica.release.release,
        "replica": replica.settings.name,
    }
    return JSONResponse(body, status_code=200 if found.healthy else 503)


@router.get("/ready")
async def ready(request: Request) -> JSONResponse:
    """Tell whether to send requests here; a missing dependency does not change that, a clear 503 is an answer."""
    replica = _replica(request)
    serving = replica.started and not replica.draining
    state = "draining" if replica.draining else "ready" if replica.started else "starting"
    return JSONResponse({"ready": serving, "state": state}, status_code=200 if serving else 503)


@router.get("/version")
async def version(request: Request) -> dict[str, Any]:
    """Tell which versions answer."""
    replica = _replica(request)
    return {**asdict(replica.release), "replica": replica.settings.name}


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Tell Prometheus everything, dependencies probed now."""
    replica = _replica(request)
    await replica.prober.probe()
    return Response(replica.metrics.page(), media_type=CONTENT_TYPE_LATEST)


@router.get("/api/pipelines")
async def list_pipelines(request: Request) -> dict[str, Any]:
    """List the pipelines of this release."""
    return {"pipelines": [pipeline.summary() for pipeline in _replica(request).pipelines.values()]}


@router.post("/api/execute/pipeline", status_code=202)
async def execute(request: Request, response: Response, order: ExecuteRequest) -> dict[str, Any]:
    """Start a pipeline; 200 with its result when it ended while waiting, else 202."""
    replica = _replica(request)
    pipeline = replica.pipelines.get(order.pipeline)
    if pipeline is None:
        raise NotFoundError(f"there is no pipeline {order.pipeline!r}")
    job = await run_in_threadpool(replica.executions.take, pipeline, order.input)
    if order.wait_s:
        # Waiting must not hold a thread: a few slow executions would stop every other request.
        ended, _ = await asyncio.wait({asyncio.wrap_future(job.done)}, timeout=order.wait_s)
        if ended:
            response.status_code = 200
            return await run_in_threadpool(_execution, replica, job.id)
    return {"job_id": job.id, "pipeline": pipeline.id, "status": "running"}


@router.get("/api/execute/status/{job}")
def execution_status(request: Request, job: str) -> dict[str, Any]:
    """Tell how far an execution of any replica is."""
    execution = _execution(_replica(request), job)
    return {name: value for name, value in execution.items() if name not in {"input", "output", "metadata"}}


@router.get("/api/execute/{job}")
def execution_with_steps(request: Request, job: str) -> dict[str, Any]:
    """Tell everything about an execution, steps included."""
    replica = _replica(request)
    execution = _execution(replica, job)
    steps = asyncio.run(replica.library().tracker.get_execution_steps(job))
    return {**execution, "steps": [_step(step) for step in steps]}


@router.get("/api/checkpoints/{job}")
def checkpoints(
    request: Request, job: str, limit: Annotated[int, Query(ge=1, le=100)] = 20, offset: Annotated[int, Query(ge=0)] = 0
) -> dict[str, Any]:
    """List the checkpoints of an execution, newest first."""
    replica = _replica(request)
    _execution(replica, job)
    found = asyncio.run(replica.library().checkpointer.list_checkpoints(job, limit=limit, offset=offset))
    return {
        "job_id": job,
        "checkpoints": [
            {
                "checkpoint_id": checkpoint.checkpoint_id,
                "step": checkpoint.step_id,
                "step_index": checkpoint.step_index,
                "at": checkpoint.timestamp.isoformat(),
                "state": checkpoint.state,
            }
            for checkpoint in found
        ],
    }


@router.get("/api/reliability/metrics")
def reliability(request: Request, window_s: Annotated[int, Query(ge=1, le=30 * 86_400)] = 3600) -> dict[str, Any]:
    """Report the library's reliability metrics over the last ``window_s`` seconds."""
    since = datetime.now(UTC) - timedelta(seconds=window_s)
    report = asyncio.run(_replica(request).library().reliability.get_report(since=since))
    return {
        "window_s": window_s,
        "healthy": report.is_healthy(),
        "violations": report.get_violations(),
        "total_workflows": report.total_workflows,
        "total_steps": report.total_steps,
        "step_validity_rate": report.svr,
        "compensation_rate": report.cr,
        "plan_churn": report.pc,
        "human_intervention_rate": report.hir,
        "mode_adherence": report.ma,
        "steps": {
            name: {"total": agent.total_steps, "successful": agent.successful_steps, "validity_rate": agent.svr}
            for name, agent in sorted(report.agent_metrics.items())
        },
    }


@router.websocket("/ws/executions")
async def live_executions(socket: WebSocket) -> None:
    """Send every update of every execution of all replicas."""
    await _send_updates(socket, None)


@router.websocket("/ws/executions/{job}")
async def live_execution(socket: WebSocket, job: str) -> None:
    """Send the state of one execution, then its updates."""
    await _send_updates(socket, job)


async def _send_updates(socket: WebSocket, job: str | None) -> None:
    replica: Replica = socket.app.state.replica
    with replica.live.subscribe() as updates:
        await socket.accept()
        if job is not None:
            try:
                state = await run_in_threadpool(_execution, replica, job)
            except ServiceError as error:
                await socket.send_json({"type": "error", "data": _error_body(error.code, str(error))})
                await socket.close(1011 if error.status >= 500 else 1008)  # noqa: PLR2004  # server error
                return
            await socket.send_json({"type": "snapshot", "data": state})
        # Reading is the only way to learn that the client has gone.
        leaving = asyncio.create_task(_until_gone(socket))
        try:
            while not leaving.done():
                update = asyncio.create_task(updates.get())
                await asyncio.wait((leaving, update), return_when=asyncio.FIRST_COMPLETED)
                if not update.done():
                    update.cancel()
                    break
                if job is None or concerns(update.result(), job):
                    await socket.send_text(update.result())
        except WebSocketDisconnect:
            return
        finally:
            leaving.cancel()


async def _until_gone(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


def _replica(request: Request) -> Replica:
    replica: Replica = request.app.state.replica
    return replica


def _execution(replica: Replica, job: str) -> dict[str, Any]:
    record = asyncio.run(replica.library().tracker.get_execution(job))
    if record is None:
        raise NotFoundError(f"there is no execution {job!r}")
    return {
        "job_id": record.execution_id,
        "pipeline": record.pipeline_id,
        "status": record.status.value,
        "started_at": record.started_at,
        "completed_at": record.completed_at,
        "total_steps": record.total_steps,
        "completed_steps": record.completed_steps or 0,
        "failed_steps": record.failed_steps or 0,
        "duration_ms": record.execution_time_ms,
        "error": record.error_message,
        "input": record.input_data,
        "output": record.output_data,
        "metadata": record.metadata,
    }


def _step(step: Any) -> dict[str, Any]:
    return {
        "step": step.step_id,
        "status": step.status.value,
        "started_at": step.started_at,
        "completed_at": step.completed_at,
        "duration_ms": step.execution_time_ms,
        "retries": step.retry_count,
        "input": step.input_data,
        "output": step.output_data,
        "error": step.error_message,
    }


def _error_body(code: str, message: str) -> dict[str, Any]:
    return {"error": code, "message": message, "request_id": request_id.get()}


async def _answer_service_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)  # noqa: S101  # what it is registered for
    headers = {"retry-after": "1"} if error.status == 503 else None  # noqa: PLR2004  # service unavailable
    return JSONResponse(_error_body(error.code, str(error)), error.status, headers)


async def _answer_invalid_request(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # what it is registered for
    reasons = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    return JSONResponse(_error_body("invalid_request", reasons), 422)


async def _answer_http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # what it is registered for
    return JSONResponse(_error_body(_CODES.get(error.status_code, "http_error"), error.detail), error.status_code)


async def _answer_unexpected_error(_request: Request, error: Exception) -> Response:
    logger.error("unexpected error", exc_info=error)
    return JSONResponse(_error_body("internal", "an unexpected error; the log has the details"), 500)

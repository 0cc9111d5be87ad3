"""The HTTP interface."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from ia_service import identity_api, sockets, span_api
from ia_service.answers import answer_errors, execution_body, step_body
from ia_service.caller import Caller
from ia_service.catalog import Pipeline
from ia_service.errors import NotFoundError, NotResumableError, PipelinePausedError
from ia_service.guard import Guard
from ia_service.job import Job
from ia_service.observe import Observe
from ia_service.replica import Replica

router = APIRouter()

_SCRAPE_TIMEOUT_S = 10.0  # Prometheus' own
_SCRAPE_SHARE = 0.5  # of that for a look at the dependencies


class ExecuteRequest(BaseModel):
    """A pipeline to run, its input, and how long to wait for the result."""

    model_config = ConfigDict(extra="forbid")

    pipeline: str = Field(min_length=1, max_length=255)
    input: dict[str, Any] = Field(default_factory=dict)
    wait_s: float = Field(default=0, ge=0, le=30)


class ResumeRequest(BaseModel):
    """How long to wait for the result."""

    model_config = ConfigDict(extra="forbid")

    wait_s: float = Field(default=0, ge=0, le=30)


def create_app(replica: Replica) -> FastAPI:
    """Return the application of one replica."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with replica.running():
            yield

    app = FastAPI(
        title="IA Modules", version=replica.release.service_version, lifespan=lifespan, docs_url=None, redoc_url=None
    )
    app.state.replica = replica
    app.include_router(router)
    app.include_router(sockets.router)
    app.include_router(span_api.router)
    app.include_router(identity_api.router)
    app.add_middleware(Guard, replica=replica)
    app.add_middleware(Observe, replica=replica)
    answer_errors(app)
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
    return {**asdict(replica.release), "replica": replica.settings.name, "config": replica.config}


def _scrape_timeout_s(request: Request) -> float:
    """Return how long Prometheus waits for an answer, as it says."""
    try:
        said_s = float(request.headers["X-Prometheus-Scrape-Timeout-Seconds"])
    except (KeyError, ValueError):
        return _SCRAPE_TIMEOUT_S
    return said_s if 0 < said_s < _SCRAPE_TIMEOUT_S else _SCRAPE_TIMEOUT_S


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Tell Prometheus everything, dependencies probed now, or as last known when it cannot wait for that.

    A silent database must not look like a silent replica.
    """
    replica = _replica(request)
    await replica.prober.refresh(_SCRAPE_SHARE * _scrape_timeout_s(request))
    return Response(replica.metrics.page(), media_type=CONTENT_TYPE_LATEST)


@router.get("/api/pipelines")
async def list_pipelines(request: Request) -> dict[str, Any]:
    """List the pipelines of this release."""
    replica = _replica(request)
    paused = replica.settings.paused_pipelines
    return {"pipelines": [{**each.summary(), "paused": each.id in paused} for each in replica.pipelines.values()]}


@router.post("/api/execute/pipeline", status_code=202)
async def execute(request: Request, response: Response, order: ExecuteRequest) -> dict[str, Any]:
    """Start a pipeline; 200 with its result when it ended while waiting, else 202."""
    replica, caller = _replica(request), _caller(request)
    pipeline = replica.pipelines.get(order.pipeline)
    if pipeline is None:
        raise NotFoundError(f"there is no pipeline {order.pipeline!r}")
    _refuse_paused(replica, pipeline.id)
    job = await run_in_threadpool(replica.executions.take, pipeline, order.input, caller.user_id if caller else None)
    body = {"job_id": job.id, "pipeline": pipeline.id, "status": "running"}
    return await _wait(replica, response, job, caller, order.wait_s) or body


@router.post("/api/execute/{job}/resume", status_code=202)
async def resume(request: Request, response: Response, job: str, order: ResumeRequest | None = None) -> dict[str, Any]:
    """Go on with an execution that nobody works on; 200 with its result when it ended while waiting, else 202."""
    replica, caller = _replica(request), _caller(request)

    def find_pipeline(name: str) -> Pipeline:
        if name not in replica.pipelines:
            raise NotResumableError(f"this release has no pipeline {name!r}")
        _refuse_paused(replica, name)
        return replica.pipelines[name]

    await run_in_threadpool(execution_body, replica, job, caller)
    resumed = await run_in_threadpool(replica.executions.resume, job, find_pipeline)
    state = {"status": "running", "resumed_from": resumed.resumed_from}
    body = {"job_id": job, "pipeline": resumed.pipeline.id, **state}
    return await _wait(replica, response, resumed, caller, order.wait_s if order else 0) or body


@router.get("/api/execute/status/{job}")
def execution_status(request: Request, job: str) -> dict[str, Any]:
    """Tell how far an execution of any replica is."""
    execution = execution_body(_replica(request), job, _caller(request))
    return {name: value for name, value in execution.items() if name not in {"input", "output", "metadata"}}


@router.get("/api/execute/{job}")
def execution_with_steps(request: Request, job: str) -> dict[str, Any]:
    """Tell everything about an execution, steps included."""
    replica = _replica(request)
    execution = execution_body(replica, job, _caller(request))
    steps = asyncio.run(replica.library().tracker.get_execution_steps(job))
    return {**execution, "steps": [step_body(step) for step in steps]}


@router.get("/api/checkpoints/{job}")
def checkpoints(
    request: Request, job: str, limit: Annotated[int, Query(ge=1, le=100)] = 20, offset: Annotated[int, Query(ge=0)] = 0
) -> dict[str, Any]:
    """List the checkpoints of an execution, newest first."""
    replica = _replica(request)
    execution_body(replica, job, _caller(request))
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
async def reliability(request: Request, window_s: Annotated[int, Query(ge=1, le=30 * 86_400)] = 3600) -> dict[str, Any]:
    """Report the library's reliability metrics over the last ``window_s`` seconds, as they were a moment ago."""
    replica = _replica(request)
    return await replica.reliability.get(window_s, lambda: run_in_threadpool(_reliability, replica, window_s))


def _reliability(replica: Replica, window_s: int) -> dict[str, Any]:
    now = datetime.now(UTC)
    report = asyncio.run(replica.library().reliability.get_report(since=now - timedelta(seconds=window_s)))
    return {
        "window_s": window_s,
        "at": now.isoformat(timespec="milliseconds"),
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


async def _wait(
    replica: Replica, response: Response, job: Job, caller: Caller | None, wait_s: float
) -> dict[str, Any] | None:
    # Waiting must not hold a thread: a few slow executions would stop every other request.
    if not wait_s or not (await asyncio.wait({asyncio.wrap_future(job.done)}, timeout=wait_s))[0]:
        return None
    response.status_code = 200
    return await run_in_threadpool(execution_body, replica, job.id, caller)


def _replica(request: Request) -> Replica:
    replica: Replica = request.app.state.replica
    return replica


def _caller(request: Request) -> Caller | None:
    caller: Caller | None = request.state.caller
    return caller


def _refuse_paused(replica: Replica, pipeline: str) -> None:
    if pipeline in replica.settings.paused_pipelines:
        raise PipelinePausedError(f"the pipeline {pipeline!r} is paused; executions that have started go on")

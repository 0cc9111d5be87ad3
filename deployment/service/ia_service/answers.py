"""What answers look like: executions, steps, and every error as JSON."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ia_service.errors import NotFoundError, ServiceError
from ia_service.logs import request_id
from ia_service.replica import Replica

logger = logging.getLogger(__name__)

_CODES = {404: "not_found", 405: "method_not_allowed"}


def answer_errors(app: FastAPI) -> None:
    """Let ``app`` answer every error as JSON."""
    app.add_exception_handler(ServiceError, _answer_service_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid_request)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(Exception, _answer_unexpected_error)


def execution_body(replica: Replica, job: str) -> dict[str, Any]:
    """Return an execution of any replica; raises NotFoundError."""
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


def step_body(step: Any) -> dict[str, Any]:
    """Return one step of an execution."""
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


def error_body(code: str, message: str) -> dict[str, Any]:
    """Return an error as clients see it."""
    return {"error": code, "message": message, "request_id": request_id.get()}


async def _answer_service_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)  # noqa: S101  # what it is registered for
    headers = {}
    if error.status == 503:  # noqa: PLR2004  # service unavailable
        headers["retry-after"] = str(error.retry_after_s)
    if error.status == 401:  # noqa: PLR2004  # unauthenticated
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(error_body(error.code, str(error)), error.status, headers)


async def _answer_invalid_request(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # what it is registered for
    reasons = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    return JSONResponse(error_body("invalid_request", reasons), 422)


async def _answer_http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # what it is registered for
    return JSONResponse(error_body(_CODES.get(error.status_code, "http_error"), error.detail), error.status_code)


async def _answer_unexpected_error(_request: Request, error: Exception) -> Response:
    logger.error("unexpected error", exc_info=error)
    return JSONResponse(error_body("internal", "an unexpected error; the log has the details"), 500)

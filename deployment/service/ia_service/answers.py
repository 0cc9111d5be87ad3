"""What answers look like: executions, steps, and every error as JSON."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ia_service.caller import Caller
from ia_service.errors import NotFoundError, ServiceError
from ia_service.headers import SECURITY_HEADERS
from ia_service.logs import request_id
from ia_service.replica import Replica

logger = logging.getLogger(__name__)

_CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
_WORTH_ANOTHER_TRY = frozenset({429, 503})


def answer_errors(app: FastAPI) -> None:
    """Let ``app`` answer every error as JSON."""
    app.add_exception_handler(ServiceError, _answer_service_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid_request)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(Exception, _answer_unexpected_error)


def execution_body(replica: Replica, job: str, caller: Caller | None) -> dict[str, Any]:
    """Return an execution of any replica; raises NotFoundError, also when it is somebody else's."""
    record = asyncio.run(replica.library().tracker.get_execution(job))
    if record is None or not may_see((record.metadata or {}).get("owner"), caller):
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


def may_see(owner: str | None, caller: Caller | None) -> bool:
    """Tell whether an execution may be shown: what nobody owns to everybody, else to its owner alone."""
    return owner is None or (caller is not None and caller.user_id == owner)


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


def error_answer(error: ServiceError) -> Response:
    """Return the answer that says so."""
    headers = {"retry-after": str(error.retry_after_s)} if error.status in _WORTH_ANOTHER_TRY else {}
    if error.status == 401:  # noqa: PLR2004  # unauthorized
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(error_body(error.code, str(error)), error.status, headers)


async def _answer_service_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)  # noqa: S101  # what it is registered for
    return error_answer(error)


async def _answer_invalid_request(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # what it is registered for
    reasons = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    return JSONResponse(error_body("invalid_request", reasons), 422)


async def _answer_http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # what it is registered for
    return JSONResponse(error_body(_CODES.get(error.status_code, "http_error"), error.detail), error.status_code)


async def _answer_unexpected_error(_request: Request, error: Exception) -> Response:
    logger.error("unexpected error", exc_info=error)
    # Outside of everything that else adds these.
    return JSONResponse(error_body("internal", "an unexpected error; the log has the details"), 500, SECURITY_HEADERS)

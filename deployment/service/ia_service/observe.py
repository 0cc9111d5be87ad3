"""Around every request: its id, its log line, its metrics."""

from __future__ import annotations

import logging
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ia_service.logs import accept_request_id, request_id
from ia_service.replica import Replica

if TYPE_CHECKING:
    from ia_service.tracing import TracedRequest

logger = logging.getLogger(__name__)

_QUIET = frozenset({"/health", "/ready", "/metrics"})


class Observe:
    """ASGI middleware; every answer carries X-Request-ID and the release that gave it."""

    def __init__(self, app: ASGIApp, replica: Replica) -> None:
        """Wrap ``app``."""
        self._app = app
        self._replica = replica
        self._metrics = replica.metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        identity = accept_request_id(Headers(scope=scope).get("x-request-id", ""))
        token = request_id.set(identity)
        started = time.perf_counter()
        status = 500
        tracing = self._replica.signals.tracing
        span: TracedRequest | None = None

        async def send_observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = identity
                headers["x-release"] = self._replica.release.release
                headers["x-replica"] = self._replica.settings.name
                if span:
                    headers["x-trace-id"] = span.trace_id
                if self._replica.draining:
                    # Else a load balancer may send its next request into a connection that is about to close.
                    headers["connection"] = "close"
            await send(message)

        try:
            with tracing.request(scope, identity) if tracing else nullcontext() as span:
                try:
                    await self._app(scope, receive, send_observed)
                finally:
                    if scope["type"] == "http":
                        self._account(scope, status, time.perf_counter() - started, span)
        finally:
            request_id.reset(token)

    def _account(self, scope: Scope, status: int, seconds: float, span: TracedRequest | None) -> None:
        # The template, not the path: a label must not grow with the number of jobs.
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if route != "unmatched" else "any"
        if span:
            span.describe(scope["method"], route, status)
        self._metrics.requests.labels(method, route, str(status)).inc()
        self._metrics.latency.labels(method, route).observe(seconds)
        level = logging.DEBUG if route in _QUIET and status < 500 else logging.INFO  # noqa: PLR2004  # server error
        logger.log(
            level,
            "request",
            extra={"method": scope["method"], "path": scope["path"], "status": status, "seconds": round(seconds, 4)},
        )

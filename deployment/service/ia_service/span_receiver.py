"""Spans over gRPC: OTLP's TraceService on a port of its own, beside a service that does not depend on it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ia_service.errors import ServiceError

logger = logging.getLogger(__name__)

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_RETRY_S = 2.0
_WORKERS = 8
_WAITING = 64  # requests that may wait for a worker; the others are told at once to come back
_END_S = 1.0
_CODES = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 413: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}


class SpanReceiver:
    """Serves gRPC while it can have its port, and goes on trying when it cannot."""

    def __init__(
        self, address: str, max_bytes: int, check_key: Callable[[str], None], store: Callable[[bytes], bytes]
    ) -> None:
        """Start nothing yet; ``check_key`` and ``store`` raise ServiceError."""
        self._address = address
        self._max_bytes = max_bytes
        self._check_key = check_key
        self._store = store
        self._stopping = threading.Event()
        self._server: Any = None
        self._thread = threading.Thread(target=self._run, name="otlp-grpc", daemon=True)

    @property
    def up(self) -> bool:
        """Return whether gRPC is served."""
        return self._server is not None

    def start(self) -> None:
        """Begin to serve, in the background."""
        self._thread.start()

    def stop(self) -> None:
        """Let requests end, and stop."""
        self._stopping.set()
        self._thread.join(_END_S + 0.5)

    def _run(self) -> None:
        refused = False
        while not self._stopping.is_set():
            server = self._make_server()
            try:
                server.add_insecure_port(self._address)
            except RuntimeError:
                if not refused:
                    logger.error("OTLP over gRPC is not served: %s is taken; trying again", self._address)  # noqa: TRY400
                refused = True
                self._stopping.wait(_RETRY_S)
                continue
            server.start()
            self._server = server
            logger.info("OTLP over gRPC is served", extra={"address": self._address})
            self._stopping.wait()
            server.stop(_END_S).wait(_END_S)
            self._server = None

    def _make_server(self) -> Any:
        # Imported here, and on this thread: a replica serves before gRPC is loaded, and most load it never.
        import grpc  # noqa: PLC0415

        server = grpc.server(
            ThreadPoolExecutor(_WORKERS, thread_name_prefix="otlp-grpc"),
            maximum_concurrent_rpcs=_WORKERS + _WAITING,
            options=(("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", self._max_bytes)),
        )
        # The request stays bytes: whoever reads it must be able to find one broken span among good ones.
        method: Any = grpc.unary_unary_rpc_method_handler(self._export)
        service, _, name = METHOD.strip("/").partition("/")
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {name: method}),))
        return server

    def _export(self, request: bytes, context: Any) -> bytes:
        import grpc  # noqa: PLC0415

        given = {key.lower(): value for key, value in context.invocation_metadata()}
        try:
            self._check_key(str(given.get("authorization", "")))
            return self._store(request)
        except ServiceError as error:
            code = grpc.StatusCode[_CODES.get(error.status, "INTERNAL")]
            context.abort(code, f"{error.code}: {error}")
            raise AssertionError("abort raises") from error
        except Exception:  # gRPC would tell the caller the text of whatever it is
            logger.exception("unexpected error")
            context.abort(grpc.StatusCode.INTERNAL, "internal: an unexpected error; the log has the details")
            raise

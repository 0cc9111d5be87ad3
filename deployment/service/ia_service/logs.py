"""Structured logs: one JSON object a line on standard error, with the id of the request that caused it."""

from __future__ import annotations

import json
import logging
import re
import sys
import uuid
from contextvars import ContextVar
from datetime import UTC, datetime

request_id: ContextVar[str] = ContextVar("request_id", default="")

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def accept_request_id(offered: str) -> str:
    """Return the caller's request id when it is harmless, else a new one."""
    return offered if _REQUEST_ID.fullmatch(offered) else uuid.uuid4().hex


class JsonFormatter(logging.Formatter):
    """One record, one line of JSON; what was given as ``extra`` becomes fields."""

    def __init__(self, replica: str, release: str) -> None:
        """Put the replica's name and release on every line."""
        super().__init__()
        self._origin = {"replica": replica, "release": release}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its newline."""
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._origin,
            **{name: value for name, value in vars(record).items() if name not in _STANDARD},
        }
        if current := request_id.get():
            line.setdefault("request_id", current)
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure_logging(level: str, replica: str, release: str) -> None:
    """Send every log line of this process, the library's too, to standard error as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(replica, release))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # The library tells every statement at INFO, and nexusql the database's password with it.
    quiet = max(logging.WARNING, logging.getLevelName(level))
    for name in ("ia_modules", "nexusql", "Pipeline", "Step", "SQLMetricStorage", "ReliabilityMetrics"):
        logging.getLogger(name).setLevel(quiet)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = name != "uvicorn.access"

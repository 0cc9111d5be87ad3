"""An execution as the replica sees it that works on it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ia_service.catalog import Pipeline


@dataclass(slots=True)
class Job:
    """An execution that this replica has taken."""

    id: str
    pipeline: Pipeline
    claimed_at: float
    resumed: bool = False
    resumed_from: str | None = None
    ended_before: datetime | None = None
    lost: bool = False
    refused: str | None = None
    taken_at: float = field(default_factory=time.monotonic)
    done: Future[str] = field(default_factory=Future)
    loop: asyncio.AbstractEventLoop | None = None
    task: asyncio.Task[Any] | None = None

    def interrupt(self) -> None:
        """Cancel what runs; what waits for a thread is told when it gets one."""
        if self.loop is not None and self.task is not None:
            with contextlib.suppress(RuntimeError):  # it has just ended
                self.loop.call_soon_threadsafe(self.task.cancel)

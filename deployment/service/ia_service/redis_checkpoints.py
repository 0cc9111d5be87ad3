"""Checkpoints in Redis, for a while: the library's Redis checkpointer, with what it lacks.

In both releases it lists and deletes checkpoints, and has no method that saves or loads one, so that it cannot even be
made. Both are added here, on the keys that the rest of it reads. It gets a connection for each call: executions have
event loops of their own, and a connection of redis-py belongs to the loop that opened it.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import redis.asyncio
import redis.exceptions
from ia_modules.checkpoint.core import Checkpoint, CheckpointError
from ia_modules.checkpoint.redis import RedisCheckpointer

from ia_service.errors import RedisUnavailableError

_ANSWER_S = 1.5


class CompleteCheckpointer(RedisCheckpointer):  # type: ignore[misc]  # the library has no types
    """The library's checkpointer with the two methods that it lacks."""

    async def save_checkpoint(  # noqa: PLR0913, PLR0917  # the library's signature
        self,
        thread_id: str,
        pipeline_id: str,
        step_id: str,
        step_index: int,
        state: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        step_name: str | None = None,
        parent_checkpoint_id: str | None = None,
    ) -> str:
        """Save a checkpoint and return its id; it and the list of its thread last for the time to live."""
        checkpoint = Checkpoint(
            checkpoint_id=f"ckpt-{uuid.uuid4().hex}",
            thread_id=thread_id,
            pipeline_id=pipeline_id,
            pipeline_version=None,
            step_id=step_id,
            step_index=step_index,
            step_name=step_name or step_id,
            timestamp=datetime.now(UTC),
            state=state,
            metadata=metadata or {},
            parent_checkpoint_id=parent_checkpoint_id,
        )
        async with self.redis.pipeline(transaction=True) as together:
            together.set(_key(thread_id, checkpoint.checkpoint_id), json.dumps(checkpoint.to_dict()), ex=self.ttl)
            together.zadd(f"checkpoints:{thread_id}", {checkpoint.checkpoint_id: time.time()})
            together.expire(f"checkpoints:{thread_id}", self.ttl)
            await together.execute()
        return str(checkpoint.checkpoint_id)

    async def load_checkpoint(self, thread_id: str, checkpoint_id: str | None = None) -> Any:
        """Return a checkpoint, by default the newest; None when there is none."""
        if checkpoint_id is None:
            newest = await self.list_checkpoints(thread_id, limit=1)
            return newest[0] if newest else None
        kept = await self.redis.get(_key(thread_id, checkpoint_id))
        return None if kept is None else self._dict_to_checkpoint(json.loads(kept))


class RedisCheckpoints:
    """What the library asks of a checkpointer while pipelines run; raises RedisUnavailableError."""

    def __init__(self, redis_url: str, ttl_s: int) -> None:
        """Connect to nothing yet."""
        self._url = redis_url
        self._ttl_s = ttl_s

    async def save_checkpoint(self, **checkpoint: Any) -> str:
        """Save a checkpoint and return its id."""
        async with self._checkpointer() as checkpointer:
            return await checkpointer.save_checkpoint(**checkpoint)

    async def load_checkpoint(self, thread_id: str, checkpoint_id: str | None = None) -> Any:
        """Return a checkpoint, by default the newest; None when there is none."""
        async with self._checkpointer() as checkpointer:
            return await checkpointer.load_checkpoint(thread_id, checkpoint_id)

    async def list_checkpoints(self, thread_id: str, **page: Any) -> list[Any]:
        """Return a page of a thread's checkpoints, newest first."""
        async with self._checkpointer() as checkpointer:
            found: list[Any] = await checkpointer.list_checkpoints(thread_id, **page)
            return found

    @asynccontextmanager
    async def _checkpointer(self) -> AsyncIterator[CompleteCheckpointer]:
        client = redis.asyncio.from_url(self._url, socket_timeout=_ANSWER_S, socket_connect_timeout=_ANSWER_S)
        try:
            yield CompleteCheckpointer(client, self._ttl_s)
        except (CheckpointError, redis.exceptions.RedisError, OSError) as error:
            raise RedisUnavailableError("Redis, where checkpoints are kept, does not answer") from error
        finally:
            await client.aclose()


def _key(thread_id: str, checkpoint_id: str) -> str:
    return f"checkpoint:{thread_id}:{checkpoint_id}"

"""Live updates of executions: from the library's tracker to WebSockets, of this replica and, through Redis, of all."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import redis.asyncio
import redis.exceptions

logger = logging.getLogger(__name__)

CHANNEL = "ia-service:executions"
_QUEUE = 1000
_RETRY_S = 1.0
_CANCEL_S = 0.1


class LiveUpdates:
    """Looks like a WebSocket to the library's tracker, from any thread; tells every subscriber."""

    def __init__(self, redis_url: str, dropped: Callable[[], None]) -> None:
        """Connect to nothing yet; ``dropped`` is called for each update that somebody missed."""
        self._url = redis_url
        self._dropped = dropped
        self._origin = uuid.uuid4().hex
        self._subscribers: set[asyncio.Queue[str]] = set()
        self._outgoing: asyncio.Queue[str] = asyncio.Queue(_QUEUE)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def send_text(self, message: str) -> None:
        """Take an update from the tracker; never waits and never fails."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._take, message)

    @contextmanager
    def subscribe(self) -> Iterator[asyncio.Queue[str]]:
        """Lend a queue that gets every update as JSON; one that is not read in time misses some."""
        queue: asyncio.Queue[str] = asyncio.Queue(_QUEUE)
        self._subscribers.add(queue)
        try:
            yield queue
        finally:
            self._subscribers.discard(queue)

    async def run(self) -> None:
        """Exchange updates with the other replicas until cancelled; without Redis, go on alone and keep trying."""
        self._loop = asyncio.get_running_loop()
        warned = False
        while True:
            client = redis.asyncio.from_url(self._url, decode_responses=True, socket_connect_timeout=1)
            try:
                async with client, client.pubsub() as inbox:
                    await inbox.subscribe(CHANNEL)
                    warned = False
                    await self._exchange(client, inbox)
            except (redis.exceptions.RedisError, OSError) as error:
                if not warned:
                    logger.warning("live updates stay on this replica: %s", error)
                warned = True
            await asyncio.sleep(_RETRY_S)

    async def _exchange(self, client: redis.asyncio.Redis, inbox: redis.asyncio.client.PubSub) -> None:
        receiving = asyncio.create_task(self._receive(inbox))
        sending = asyncio.create_task(self._send(client))
        try:
            done, _ = await asyncio.wait((receiving, sending), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await cancel(receiving, sending)

    async def _receive(self, inbox: redis.asyncio.client.PubSub) -> None:
        async for envelope in inbox.listen():
            if envelope["type"] == "message":
                origin, _, message = envelope["data"].partition(" ")
                if origin != self._origin:
                    self._tell(message)

    async def _send(self, client: redis.asyncio.Redis) -> None:
        while True:
            await client.publish(CHANNEL, f"{self._origin} {await self._outgoing.get()}")

    def _take(self, message: str) -> None:
        self._tell(message)
        if self._outgoing.full():
            self._outgoing.get_nowait()
            self._dropped()
        self._outgoing.put_nowait(message)

    def _tell(self, message: str) -> None:
        for queue in self._subscribers:
            if queue.full():
                queue.get_nowait()
                self._dropped()
            queue.put_nowait(message)


async def cancel(*tasks: asyncio.Task[None]) -> None:
    """End tasks that talk to Redis: its client loses a cancellation that comes while it sends, so say it again."""
    while waiting := [task for task in tasks if not task.done()]:
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting, timeout=_CANCEL_S)
    await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class About:
    """Which execution an update is about, and whose that is."""

    execution_id: str
    owner: str | None


def about(message: str) -> About:
    """Return what an update is about."""
    update = json.loads(message)
    return About(update["data"]["execution_id"], update.get("owner"))

"""Live updates: what the client for Redis does to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from ia_service.live import LiveUpdates


class Deaf:
    """A client, and its inbox, whose first cancellation is lost while it sends, as it is in redis-py."""

    def __init__(self) -> None:
        self.sending = asyncio.Event()

    async def publish(self, _channel: str, _message: str) -> None:
        self.sending.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return

    async def listen(self) -> AsyncIterator[dict[str, str]]:
        await asyncio.sleep(60)
        yield {}


def test_the_exchange_ends_although_a_cancellation_is_lost() -> None:
    async def exchange() -> None:
        updates, client = LiveUpdates("redis://127.0.0.1:1/0", lambda: None), Deaf()
        updates._outgoing.put_nowait("an update")
        running = asyncio.create_task(updates._exchange(client, client))  # type: ignore[arg-type]
        await client.sending.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(running, timeout=5)

    asyncio.run(exchange())

"""Answers that are costly to find out: kept for a while, and found out by one reader at a time."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")

HIT, WAITED, REFRESHED, FAILED = "hit", "waited", "refreshed", "failed"
OUTCOMES = (HIT, WAITED, REFRESHED, FAILED)


class Refreshed(Generic[Answer]):
    """Keeps answers for ``keep_s``; of all readers who find one too old, one refreshes it and the others wait for that.

    A failure is not kept: those who waited get it too, the next reader tries again. For one event loop.
    """

    def __init__(
        self,
        keep_s: float,
        count: Callable[[str], None],
        *,
        at_most: int = 64,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep nothing yet; ``count`` is told the outcome of every read."""
        self._keep_s = keep_s
        self._count = count
        self._at_most = at_most
        self._clock = clock
        self._kept: OrderedDict[Hashable, tuple[float, Answer]] = OrderedDict()
        self._under_way: dict[Hashable, asyncio.Task[Answer]] = {}

    async def get(self, key: Hashable, refresh: Callable[[], Awaitable[Answer]]) -> Answer:
        """Return the answer for ``key``; raises what ``refresh`` raises."""
        kept = self._kept.get(key)
        if kept is not None and self._clock() - kept[0] < self._keep_s:
            self._count(HIT)
            return kept[1]
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(self._refresh(key, refresh))
        else:
            self._count(WAITED)
        # Shielded: a reader who goes away must not take the answer away from the others.
        return await asyncio.shield(task)

    async def _refresh(self, key: Hashable, refresh: Callable[[], Awaitable[Answer]]) -> Answer:
        # As old as the question: what happens while it is answered may be missing in it.
        asked_at = self._clock()
        try:
            answer = await refresh()
        except BaseException:
            self._count(FAILED)
            raise
        finally:
            del self._under_way[key]
        self._count(REFRESHED)
        self._kept[key] = (asked_at, answer)
        self._kept.move_to_end(key)
        while len(self._kept) > self._at_most:
            self._kept.popitem(last=False)
        return answer

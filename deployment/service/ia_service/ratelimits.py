"""How often a caller may ask: in general by address, and to sign in by address and by account.

Requests are counted by each replica for itself, in memory, in a few microseconds. Sign-ins are counted in Redis for all
replicas together; while Redis does not answer, by each replica for itself, so that nobody guesses freely meanwhile.
"""

from __future__ import annotations

import logging
import math
import time

import redis.exceptions
from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter, RateLimiter

from ia_service.errors import RateLimitedError

logger = logging.getLogger(__name__)

NONE = "none"
_ANSWER_S = 0.5
_AWAY = (redis.exceptions.RedisError, OSError)


class RequestLimit:
    """The general limit of one replica."""

    def __init__(self, limit: str) -> None:
        """Count nothing yet; ``none`` means without limit."""
        self._item = None if limit == NONE else parse(limit)
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    async def count(self, address: str) -> None:
        """Count one request; raises RateLimitedError when it is one too many."""
        if self._item is not None and not await self._limiter.hit(self._item, address):
            raise await _too_many(self._limiter, self._item, address)


class SignInLimits:
    """The limits on sign-ins, for all replicas."""

    def __init__(self, redis_url: str, *, per_account: str, per_address: str) -> None:
        """Connect to nothing yet."""
        self._account = parse(per_account)
        self._address = parse(per_address)
        storage = RedisStorage(
            redis_url.replace("unix://", "redis+unix://", 1),
            implementation="redispy",
            key_prefix="ia-service:sign-in",
            socket_timeout=_ANSWER_S,
            socket_connect_timeout=_ANSWER_S,
        )
        self._shared = MovingWindowRateLimiter(storage)
        self._own = MovingWindowRateLimiter(MemoryStorage())
        self._alone = False

    async def count(self, address: str, account: str) -> None:
        """Count one try to sign in, before it is looked at; raises RateLimitedError when it is one too many."""
        await self._count(self._address, "address", address)
        await self._count(self._account, "account", account)

    async def forget(self, account: str) -> None:
        """Forget the tries of an account: its owner got in."""
        await self._own.clear(self._account, "account", account)
        try:
            await self._shared.clear(self._account, "account", account)
        except _AWAY as error:
            self._note(error)

    async def _count(self, item: RateLimitItem, *about: str) -> None:
        try:
            limiter: RateLimiter = self._shared
            accepted = await limiter.hit(item, *about)
            self._alone = False
        except _AWAY as error:
            self._note(error)
            limiter = self._own
            accepted = await limiter.hit(item, *about)
        if not accepted:
            raise await _too_many(limiter, item, *about)

    def _note(self, error: Exception) -> None:
        if not self._alone:
            logger.warning("sign-ins are counted on this replica alone: %s", error)
        self._alone = True


async def _too_many(limiter: RateLimiter, item: RateLimitItem, *about: str) -> RateLimitedError:
    try:
        seconds = (await limiter.get_window_stats(item, *about)).reset_time - time.time()
    except _AWAY:
        seconds = item.get_expiry()
    return RateLimitedError(f"more than {item}: try again later", max(1, math.ceil(seconds)))

"""Passwords: hashed with Argon2id, in two threads of their own, so that sign-ins never hold up other requests."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

_AT_ONCE = 2  # each takes 64 MiB and a tenth of a second


class Passwords:
    """Hashes and compares passwords."""

    def __init__(self) -> None:
        """Use the library's parameters, those of RFC 9106 for little memory."""
        self._hasher = PasswordHasher()
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="passwords")
        self._nobodys: str | None = None

    async def hashed(self, password: str) -> str:
        """Return what may be kept of a password."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._hasher.hash, password)

    async def matches(self, password_hash: str | None, password: str) -> bool:
        """Compare a password with what was kept of it; without any, take as long and say no."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._matches, password_hash, password)

    def _matches(self, password_hash: str | None, password: str) -> bool:
        if self._nobodys is None:
            self._nobodys = self._hasher.hash("nobody's")
        try:
            self._hasher.verify(password_hash or self._nobodys, password)
        except VerifyMismatchError:
            return False
        return password_hash is not None

"""API keys: ``iak_<prefix>_<secret>``, shown once; the prefix finds the row, whose hash the whole key must match.

The secret has 256 random bits, so that a plain SHA-256 is as good as a slow hash would be, and cheap enough for every
request.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Any

from ia_service.caller import Caller, Means, caller_of
from ia_service.database import PooledDatabase
from ia_service.errors import NotFoundError, TooManyError, UnauthenticatedError

PER_USER = 1000

_KEY = re.compile(r"iak_([0-9a-f]{16})_[A-Za-z0-9_-]{43}", re.ASCII)

_CREATE = """
INSERT INTO api_keys (user_id, name, prefix, key_hash, expires_at)
SELECT :user_id, :name, :prefix, :key_hash, now() + make_interval(secs => :lifetime_s)
WHERE (SELECT count(*) FROM api_keys WHERE user_id = :user_id) < :most
RETURNING key_id, name, prefix, created_at, expires_at
"""
_LIST = """
SELECT key_id, name, prefix, created_at, expires_at FROM api_keys WHERE user_id = :user_id ORDER BY created_at, key_id
"""
_FIND = """
SELECT k.key_hash, u.user_id, u.name, u.role FROM api_keys AS k JOIN users AS u USING (user_id)
WHERE k.prefix = :prefix AND (k.expires_at IS NULL OR k.expires_at > now())
"""


def create(database: PooledDatabase, user_id: str, name: str, lifetime_s: float | None) -> dict[str, Any]:
    """Make a key and return it with its text, which nobody can find out again; raises TooManyError."""
    prefix = secrets.token_hex(8)
    key = f"iak_{prefix}_{secrets.token_urlsafe(32)}"
    values = {"user_id": user_id, "name": name, "prefix": prefix, "key_hash": _hash(key), "lifetime_s": lifetime_s}
    rows = database.execute(_CREATE, {**values, "most": PER_USER})
    if not rows:
        raise TooManyError(f"there are {PER_USER} keys already; delete some")
    return {**_body(rows[0]), "key": key}


def listed(database: PooledDatabase, user_id: str) -> list[dict[str, Any]]:
    """Return a user's keys, oldest first, without their texts."""
    return [_body(row) for row in database.fetch_all(_LIST, {"user_id": user_id})]


def delete(database: PooledDatabase, user_id: str, key_id: str) -> None:
    """Delete one of a user's own keys; from then on nobody gets in with it. Raises NotFoundError."""
    query = "DELETE FROM api_keys WHERE key_id = :key_id AND user_id = :user_id RETURNING key_id"
    if not database.execute(query, {"key_id": key_id, "user_id": user_id}):
        raise NotFoundError(f"there is no API key {key_id}")


def authenticate(database: PooledDatabase, authorization: str) -> Caller:
    """Return whose key the value of an Authorization header holds; raises UnauthenticatedError."""
    scheme, _, key = authorization.partition(" ")
    found = _KEY.fullmatch(key.strip())
    if scheme.lower() == "bearer" and found:
        row = database.fetch_one(_FIND, {"prefix": found[1]})
        if row is not None and hmac.compare_digest(row["key_hash"], _hash(found[0])):
            return caller_of(row, Means.KEY)
    raise UnauthenticatedError("this is not a valid API key; send it as: Authorization: Bearer iak_…")


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _body(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "key_id": str(row["key_id"])}

"""The users, in the table ``users``."""

from __future__ import annotations

from typing import Any

from ia_service.caller import Role
from ia_service.database import PooledDatabase
from ia_service.errors import AlreadyExistsError, NotFoundError

_ADD_FIRST = """
INSERT INTO users (name, password_hash, role, founder)
SELECT :name, :password_hash, 'admin', TRUE WHERE NOT EXISTS (SELECT 1 FROM users)
ON CONFLICT DO NOTHING
RETURNING user_id, name, role, created_at
"""
_ADD = """
INSERT INTO users (name, password_hash, role) VALUES (:name, :password_hash, :role)
ON CONFLICT (name) DO NOTHING
RETURNING user_id, name, role, created_at
"""


def exist(database: PooledDatabase) -> bool:
    """Tell whether there is any user."""
    return database.fetch_one("SELECT 1 AS found FROM users LIMIT 1") is not None


def add_first(database: PooledDatabase, name: str, password_hash: str) -> dict[str, Any] | None:
    """Add the first user, who is an admin; None when somebody else was quicker, which the database decides."""
    rows = database.execute(_ADD_FIRST, {"name": name, "password_hash": password_hash})
    return _body(rows[0]) if rows else None


def add(database: PooledDatabase, name: str, password_hash: str, role: Role) -> dict[str, Any]:
    """Add a user; raises AlreadyExistsError."""
    rows = database.execute(_ADD, {"name": name, "password_hash": password_hash, "role": role.value})
    if not rows:
        raise AlreadyExistsError(f"there is a user {name!r} already")
    return _body(rows[0])


def find(database: PooledDatabase, name: str) -> dict[str, Any] | None:
    """Return the row of a user, hash included, or None."""
    query = "SELECT user_id, name, role, password_hash FROM users WHERE name = :name"
    return database.fetch_one(query, {"name": name})


def listed(database: PooledDatabase) -> list[dict[str, Any]]:
    """Return all users by name."""
    return [_body(row) for row in database.fetch_all("SELECT user_id, name, role, created_at FROM users ORDER BY name")]


def remove(database: PooledDatabase, name: str) -> None:
    """Remove a user, and with them their sessions and keys; raises NotFoundError."""
    if not database.execute("DELETE FROM users WHERE name = :name RETURNING user_id", {"name": name}):
        raise NotFoundError(f"there is no user {name!r}")


def _body(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "user_id": str(row["user_id"])}

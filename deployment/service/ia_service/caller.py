"""Who asks, and by what means we know."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from ia_service.errors import ForbiddenError, UnauthenticatedError


class Role(Enum):
    """What a user may do: an admin also adds and removes users."""

    ADMIN = "admin"
    MEMBER = "member"


class Means(Enum):
    """What a caller has shown."""

    SESSION = "session"
    KEY = "api_key"


@dataclass(frozen=True, slots=True)
class Caller:
    """A user who has shown a session or a key."""

    user_id: str
    name: str
    role: Role
    means: Means
    session_hash: str | None = None


def caller_of(row: dict[str, Any], means: Means, session_hash: str | None = None) -> Caller:
    """Return the caller that a row of ``users`` describes."""
    return Caller(str(row["user_id"]), row["name"], Role(row["role"]), means, session_hash)


def signed_in(caller: Caller | None) -> Caller:
    """Return the caller who came with a session; raises UnauthenticatedError or ForbiddenError."""
    if caller is None:
        raise UnauthenticatedError("sign in first")
    if caller.means is not Means.SESSION:
        raise ForbiddenError("an API key may not do this: sign in")
    return caller


def admin(caller: Caller | None) -> Caller:
    """Return the signed-in caller who is an admin; raises UnauthenticatedError or ForbiddenError."""
    found = signed_in(caller)
    if found.role is not Role.ADMIN:
        raise ForbiddenError("only an admin may do this")
    return found

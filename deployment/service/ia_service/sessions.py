"""Sessions: a signed cookie that names a row of ``user_sessions``; without the row the cookie is worth nothing.

The signature spares the database what was made up or has expired; the row is what sign-out and an admin can end. Only a
hash of the cookie's token is kept, so that who reads the table or a backup cannot sign in with what is found there.
"""

from __future__ import annotations

import secrets
from hashlib import sha256

from itsdangerous import BadData, Signer, URLSafeTimedSerializer

from ia_service.caller import Caller, Means, caller_of
from ia_service.database import PooledDatabase
from ia_service.errors import CrossSiteError, NotConfiguredError, UnauthenticatedError

PER_USER = 10

_START = """
INSERT INTO user_sessions (session_hash, user_id, expires_at)
VALUES (:session_hash, :user_id, now() + make_interval(secs => :lifetime_s))
"""
# SKIP LOCKED: what another sign-in of this user is about to end is ended by that one. The inner query locks nothing:
# what it keeps must count for the others too.
_END_OLDEST = """
DELETE FROM user_sessions WHERE session_hash IN (
    SELECT session_hash FROM user_sessions WHERE session_hash IN (
        SELECT session_hash FROM user_sessions WHERE user_id = :user_id
        ORDER BY created_at DESC, session_hash OFFSET :kept
    ) FOR UPDATE SKIP LOCKED
)
"""
_END_EXPIRED = """
DELETE FROM user_sessions WHERE session_hash IN (
    SELECT session_hash FROM user_sessions WHERE expires_at <= now() LIMIT 1000 FOR UPDATE SKIP LOCKED
)
"""
_FIND = """
SELECT u.user_id, u.name, u.role FROM user_sessions AS s JOIN users AS u USING (user_id)
WHERE s.session_hash = :session_hash AND s.expires_at > now()
"""


class Seal:
    """Makes and reads what browsers keep; with several secrets the last one signs and all are taken."""

    def __init__(self, session_secrets: tuple[str, ...], lifetime_s: float) -> None:
        """Without any secret, nothing can be made and nothing is taken."""
        self._secrets = list(session_secrets)
        self._lifetime_s = lifetime_s

    def new_cookie(self) -> tuple[str, str]:
        """Return a new session's cookie and its hash; raises NotConfiguredError."""
        token = secrets.token_urlsafe(32)
        return str(self._cookies().dumps(token)), _hash(token)

    def session_hash(self, cookie: str) -> str:
        """Return the hash of the session that a cookie names; raises UnauthenticatedError."""
        try:
            return _hash(str(self._cookies().loads(cookie, max_age=int(self._lifetime_s))))
        except (BadData, NotConfiguredError):
            raise UnauthenticatedError("this session is not valid, or has ended: sign in again") from None

    def csrf_token(self, session_hash: str) -> str:
        """Return what unsafe requests with this session must carry in a header."""
        return self._tokens().get_signature(session_hash).decode()

    def check_csrf_token(self, session_hash: str, offered: str) -> None:
        """Raise CrossSiteError unless this is the session's token."""
        if not offered.isascii() or not self._tokens().verify_signature(session_hash, offered):
            raise CrossSiteError("X-CSRF-Token is missing or not this session's; GET /api/session tells it")

    def _cookies(self) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(
            self._required(), salt="ia-session", signer_kwargs={"digest_method": sha256, "key_derivation": "hmac"}
        )

    def _tokens(self) -> Signer:
        return Signer(self._required(), salt="ia-csrf", digest_method=sha256, key_derivation="hmac")

    def _required(self) -> list[str]:
        if not self._secrets:
            raise NotConfiguredError("nobody can sign in here: SESSION_SECRET is not set")
        return self._secrets


def start(database: PooledDatabase, session_hash: str, user_id: str, lifetime_s: float) -> None:
    """Keep a new session; of the user's others the newest ``PER_USER`` - 1 stay, and what has expired goes."""
    database.execute(_START, {"session_hash": session_hash, "user_id": user_id, "lifetime_s": lifetime_s})
    database.execute(_END_OLDEST, {"user_id": user_id, "kept": PER_USER})
    database.execute(_END_EXPIRED)


def find(database: PooledDatabase, session_hash: str) -> Caller:
    """Return whose session this is; raises UnauthenticatedError when it has ended."""
    row = database.fetch_one(_FIND, {"session_hash": session_hash})
    if row is None:
        raise UnauthenticatedError("this session is not valid, or has ended: sign in again")
    return caller_of(row, Means.SESSION, session_hash)


def end(database: PooledDatabase, session_hash: str) -> None:
    """End a session; of several who do so at once, one does and the others get UnauthenticatedError."""
    query = "DELETE FROM user_sessions WHERE session_hash = :session_hash RETURNING user_id"
    if not database.execute(query, {"session_hash": session_hash}):
        raise UnauthenticatedError("this session has ended already")


def _hash(token: str) -> str:
    return sha256(token.encode()).hexdigest()

"""Users, sessions and API keys over HTTP; the log keeps who did what, and never a secret."""

from __future__ import annotations

import logging
import re
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr
from starlette.concurrency import run_in_threadpool

from ia_service import caller as callers
from ia_service import keys, sessions, users
from ia_service.caller import Caller, Role
from ia_service.errors import ForbiddenError, RateLimitedError, UnauthenticatedError
from ia_service.guard import client_address
from ia_service.replica import Replica

router = APIRouter(prefix="/api")
audit = logging.getLogger("ia_service.audit")

_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{1,63}", re.ASCII)


def _name(text: str) -> str:
    folded = text.lower()
    if not _NAME.fullmatch(folded):
        raise ValueError("2 to 64 letters, digits or any of . _ @ + -, the first a letter or digit")
    return folded


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("printable characters only")
    return text


UserName = Annotated[str, AfterValidator(_name)]


class NewUser(BaseModel):
    """A user to add."""

    model_config = ConfigDict(extra="forbid")

    name: UserName
    password: SecretStr = Field(min_length=12, max_length=128)
    role: Role = Role.MEMBER


class Credentials(BaseModel):
    """Who wants to sign in."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=255)
    password: SecretStr = Field(max_length=1024)


class NewKey(BaseModel):
    """An API key to make."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_printable)]
    lifetime_s: float | None = Field(default=None, ge=1, le=366 * 86_400)


@router.post("/users", status_code=201)
async def add_user(request: Request, order: NewUser) -> dict[str, Any]:
    """Add a user: the first one, whoever asks, who becomes admin; after that only an admin can."""
    replica, caller = _replica(request), _caller(request)
    if caller is None:
        return await _add_first_user(replica, order, client_address(request, replica.settings))
    by = callers.admin(caller)
    password_hash = await replica.passwords.hashed(order.password.get_secret_value())
    body = await run_in_threadpool(users.add, replica.database, order.name, password_hash, order.role)
    audit.info("user added", extra={"user": order.name, "role": order.role.value, "by": by.name})
    return body


async def _add_first_user(replica: Replica, order: NewUser, address: str) -> dict[str, Any]:
    # One at a time: whoever comes second is refused before a password is hashed, which anybody could ask for.
    async with replica.first_user:
        added = None
        if not await run_in_threadpool(users.exist, replica.database):
            password_hash = await replica.passwords.hashed(order.password.get_secret_value())
            added = await run_in_threadpool(users.add_first, replica.database, order.name, password_hash)
    if added is None:
        raise UnauthenticatedError("there is a first user already; an admin adds the others")
    audit.warning("first user added", extra={"user": order.name, "address": address})
    return added


@router.get("/users")
def list_users(request: Request) -> dict[str, Any]:
    """List the users, for an admin."""
    callers.admin(_caller(request))
    return {"users": users.listed(_replica(request).database)}


@router.delete("/users/{name}", status_code=204)
def remove_user(request: Request, name: str) -> None:
    """Remove a user with their sessions and keys; an admin does it, and not to themselves."""
    caller = callers.admin(_caller(request))
    if caller.name == name:
        raise ForbiddenError("nobody removes themselves: the last admin might")
    users.remove(_replica(request).database, name)
    audit.info("user removed", extra={"user": name, "by": caller.name})


@router.post("/session")
async def sign_in(request: Request, response: Response, order: Credentials) -> dict[str, Any]:
    """Start a session; its cookie is for browsers, its CSRF token for the header of what changes anything."""
    replica = _replica(request)
    account = order.name.lower()
    cookie, session_hash = replica.seal.new_cookie()
    address = client_address(request, replica.settings)
    try:
        await replica.sign_in_limits.count(address, account)
    except RateLimitedError:
        audit.warning("sign-in refused", extra={"reason": "too many tries", "address": address})
        raise
    # A name that no user can have needs no look: the time it takes is the password's all the same.
    found = await run_in_threadpool(users.find, replica.database, account) if _NAME.fullmatch(account) else None
    kept = found["password_hash"] if found else None
    if not await replica.passwords.matches(kept, order.password.get_secret_value()) or found is None:
        # A name that nobody has may be a password that was typed into the wrong field.
        audit.warning(
            "sign-in refused",
            extra={"reason": "wrong", "user": found["name"] if found else "unknown", "address": address},
        )
        raise UnauthenticatedError("this name and password do not belong together")
    lifetime_s = replica.settings.session_s
    await run_in_threadpool(sessions.start, replica.database, session_hash, str(found["user_id"]), lifetime_s)
    await replica.sign_in_limits.forget(account)
    audit.info("signed in", extra={"user": found["name"], "address": address})
    response.set_cookie(
        replica.settings.cookie_name,
        cookie,
        max_age=int(lifetime_s),
        path="/",
        secure=replica.settings.cookie_secure,
        httponly=True,
        samesite="strict",
    )
    return _session_body(replica, found["name"], found["role"], session_hash)


@router.get("/session")
def show_session(request: Request) -> dict[str, Any]:
    """Tell whose session this is."""
    caller = callers.signed_in(_caller(request))
    return _session_body(_replica(request), caller.name, caller.role.value, caller.session_hash or "")


@router.delete("/session", status_code=204)
def sign_out(request: Request, response: Response) -> None:
    """End this session, and no other."""
    caller, settings = callers.signed_in(_caller(request)), _replica(request).settings
    sessions.end(_replica(request).database, caller.session_hash or "")
    audit.info("signed out", extra={"user": caller.name})
    response.delete_cookie(
        settings.cookie_name, path="/", secure=settings.cookie_secure, httponly=True, samesite="strict"
    )


@router.post("/keys", status_code=201)
def create_key(request: Request, order: NewKey) -> dict[str, Any]:
    """Make an API key of the signed-in user; this answer alone shows it."""
    caller = callers.signed_in(_caller(request))
    made = keys.create(_replica(request).database, caller.user_id, order.name, order.lifetime_s)
    audit.info("key made", extra={"user": caller.name, "key_id": made["key_id"], "prefix": made["prefix"]})
    return made


@router.get("/keys")
def list_keys(request: Request) -> dict[str, Any]:
    """List the signed-in user's API keys by their prefixes."""
    return {"keys": keys.listed(_replica(request).database, callers.signed_in(_caller(request)).user_id)}


@router.delete("/keys/{key_id}", status_code=204)
def delete_key(request: Request, key_id: UUID) -> None:
    """Delete one of the signed-in user's API keys."""
    caller = callers.signed_in(_caller(request))
    keys.delete(_replica(request).database, caller.user_id, str(key_id))
    audit.info("key deleted", extra={"user": caller.name, "key_id": str(key_id)})


def _session_body(replica: Replica, name: str, role: str, session_hash: str) -> dict[str, Any]:
    return {"name": name, "role": role, "csrf_token": replica.seal.csrf_token(session_hash)}


def _replica(request: Request) -> Replica:
    replica: Replica = request.app.state.replica
    return replica


def _caller(request: Request) -> Caller | None:
    caller: Caller | None = request.state.caller
    return caller

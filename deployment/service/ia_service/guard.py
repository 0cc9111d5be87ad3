"""In front of every request: how often, how large, of what kind, by whom, and from which site.

Everything is guarded but what ``_OPEN`` names: probes and scrapes need no caller and are never too many.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ia_service import keys, sessions
from ia_service.answers import error_answer
from ia_service.caller import Caller, Means
from ia_service.errors import (
    CrossSiteError,
    MediaTypeError,
    NotFoundError,
    ServiceError,
    TooLargeError,
    UnauthenticatedError,
)
from ia_service.headers import SECURITY_HEADERS
from ia_service.replica import Replica
from ia_service.settings import Settings

_OPEN = frozenset({"/health", "/ready", "/version", "/metrics"})
# Without these nobody could ever sign in; they check for themselves whom they serve.
_DOORS = frozenset({("POST", "/api/session"), ("POST", "/api/users")})
_SIGN_IN = ("POST", "/api/session")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# Paths that take bodies of other kinds, and check them themselves.
_OTHER_MEDIA = ("/v1/",)
_HEADERS = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]


class Guard:
    """ASGI middleware; a request that it lets pass has ``state.caller``, who may be None."""

    def __init__(self, app: ASGIApp, replica: Replica) -> None:
        """Wrap ``app``."""
        self._app = app
        self._replica = replica

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, or refuse it."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        scope.setdefault("state", {})["caller"] = None
        if scope["path"] in _OPEN:
            await self._app(scope, receive, send_guarded)
            return
        headers = Headers(scope=scope)
        most = self._replica.settings.max_body_bytes
        try:
            await self._replica.request_limit.count(client_address(scope, self._replica.settings))
            if "\0" in scope["path"]:
                raise NotFoundError("there is nothing of that name")  # and no database takes such a text
            if scope["type"] == "http":
                _check_body(scope, headers, most)
            scope["state"]["caller"] = await self._admit(scope, headers)
        except ServiceError as error:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008, "reason": error.code})
            else:
                await error_answer(error)(scope, receive, send_guarded)
            return
        await self._app(scope, _bounded(receive, most), send_guarded)

    async def _admit(self, scope: Scope, headers: Headers) -> Caller | None:
        settings = self._replica.settings
        request = (scope.get("method", "GET"), scope["path"])
        unsafe = scope["type"] == "websocket" or request[0] not in _SAFE
        if request == _SIGN_IN:
            # Whatever the browser still has, it is about to be replaced.
            _check_origin(headers, settings)
            return None
        # Most show nothing, and a thread would cost them a tenth of a millisecond.
        shown = "authorization" in headers or settings.cookie_name in headers.get("cookie", "")
        caller = await run_in_threadpool(self._identify, headers) if shown else None
        if caller is None:
            if settings.anonymous_refused and request not in _DOORS:
                raise UnauthenticatedError("this service answers nobody whom it does not know")
        elif caller.means is Means.SESSION and unsafe:
            _check_origin(headers, settings)
            if scope["type"] == "http":
                self._replica.seal.check_csrf_token(caller.session_hash or "", headers.get("x-csrf-token", ""))
        return caller

    def _identify(self, headers: Headers) -> Caller | None:
        """Return who asks; what is shown must be valid, and a key counts more than a cookie."""
        if (authorization := headers.get("authorization")) is not None:
            return keys.authenticate(self._replica.database, authorization)
        cookie = cookie_parser(headers.get("cookie", "")).get(self._replica.settings.cookie_name)
        if cookie is None:
            return None
        return sessions.find(self._replica.database, self._replica.seal.session_hash(cookie))


def client_address(connection: Scope | HTTPConnection, settings: Settings) -> str:
    """Return who is at the other end; behind proxies that add to X-Forwarded-For, who was before the outermost one."""
    scope = connection.scope if isinstance(connection, HTTPConnection) else connection
    peer = str((scope.get("client") or ("unknown", 0))[0])
    if not settings.proxy_hops:
        return peer
    # Only what our own proxies have added is true: the client may have sent anything before.
    told = [each.strip() for each in ",".join(Headers(scope=scope).getlist("x-forwarded-for")).split(",")]
    return (told[-settings.proxy_hops] if len(told) >= settings.proxy_hops else "") or peer


def _check_origin(headers: Headers, settings: Settings) -> None:
    """Refuse what a browser says comes from another site; what is no browser says nothing."""
    origin = headers.get("origin")
    if origin is not None and origin not in settings.allowed_origins:
        own = headers.get("host", "")
        if not own or urlsplit(origin).netloc != own:
            raise CrossSiteError("this request comes from another site")
    if headers.get("sec-fetch-site") == "cross-site" and origin not in settings.allowed_origins:
        raise CrossSiteError("this request comes from another site")


def _check_body(scope: Scope, headers: Headers, most: int) -> None:
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > most:
        raise TooLargeError(f"a body may have {most} bytes")
    has_body = length != "0" or "transfer-encoding" in headers
    if has_body and not scope["path"].startswith(_OTHER_MEDIA):
        media = headers.get("content-type", "").partition(";")[0].strip().lower()
        if media != "application/json":
            raise MediaTypeError("send JSON, as: Content-Type: application/json")


def _bounded(receive: Receive, most: int) -> Receive:
    """Return a ``receive`` that ends a body which is longer than it was said to be, or did not say."""
    seen = 0

    async def receive_bounded() -> Message:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            if seen > most:
                # What the framework lets through while it reads a body.
                raise HTTPException(TooLargeError.status, f"a body may have {most} bytes")
        return message

    return receive_bounded

"""Requests to the one address that may be attacked, sent as they are: no library tidies them up first."""

from __future__ import annotations

import ipaddress
import json
import time
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT_S = 30


class UnusableError(Exception):
    """The command cannot be carried out as it was given; the text is one line for the operator."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; status 0 when the connection ended without an answer."""

    status: int
    headers: Mapping[str, str]
    text: str
    seconds: float

    def json(self) -> Any:  # noqa: ANN401 - JSON
        """Return the body, or nothing when it is no JSON."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None

    @property
    def error(self) -> str:
        """The code of the error, or the empty text."""
        body = self.json()
        return str(body.get("error", "")) if isinstance(body, dict) else ""


@dataclass(frozen=True, slots=True)
class Target:
    """An address of this machine."""

    host: str
    port: int

    def ask(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Send one request; a body that is no text is sent as JSON."""
        data = body if isinstance(body, str) or body is None else json.dumps(body)
        sent = {"Content-Type": "application/json"} if data is not None else {}
        began = time.monotonic()
        connection = HTTPConnection(self.host, self.port, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, None if data is None else data.encode(), {**sent, **(headers or {})})
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, text, time.monotonic() - began)
        except (OSError, HTTPException):
            return Answer(0, {}, "", time.monotonic() - began)
        finally:
            connection.close()


def target_of(url: str) -> Target:
    """Return what `url` names; raises UnusableError unless it is this machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        here = host == "localhost" or ipaddress.ip_address(host).is_loopback
        port = parts.port or 80
    except ValueError:
        here, port = False, 0
    if parts.scheme != "http" or not here or not port:
        raise UnusableError(f"API_URL is {url!r}; only http:// addresses of this machine are attacked")
    return Target(host, port)

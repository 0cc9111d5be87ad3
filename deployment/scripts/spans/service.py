"""The service as a client of it sees it: requests over HTTP, each on a connection that is kept."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

TIMEOUT_S = 30


class RefusedError(Exception):
    """The service did not do what was asked; the text is one line that says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers and body."""

    status: int
    retry_after_s: float
    body: bytes

    def error(self) -> str:
        """Return what the service says about why not."""
        try:
            said = json.loads(self.body)
            return f"{self.status} {said['error']}: {said['message']}"
        except (ValueError, KeyError, TypeError):
            return f"{self.status} {self.body[:200].decode(errors='replace')}"


class Service:
    """One address and one API key."""

    def __init__(self) -> None:
        self._address = urlsplit(os.environ["API_URL"])
        self.authorization = f"Bearer {Path(os.environ['API_KEY_FILE']).read_text(encoding='utf-8').strip()}"
        self._own = threading.local()

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> Answer:
        """Return the answer to one request; raises RefusedError when there is none."""
        if not hasattr(self._own, "connection"):
            open_connection = HTTPSConnection if self._address.scheme == "https" else HTTPConnection
            self._own.connection = open_connection(self._address.netloc, timeout=TIMEOUT_S)
        connection: HTTPConnection = self._own.connection
        headers = {"authorization": self.authorization} | ({"content-type": kind} if kind else {})
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return Answer(answer.status, float(answer.headers.get("retry-after", "1")), answer.read())
        except (OSError, HTTPException) as error:
            connection.close()
            raise RefusedError(f"no answer from {self._address.netloc}: {error}") from error

    def get(self, path: str, **parameters: str | int) -> dict[str, Any]:
        """Return the JSON of an answer; raises RefusedError."""
        answer = self.ask("GET", f"{path}?{urlencode(parameters)}")
        if answer.status != 200:  # noqa: PLR2004 - what HTTP calls fine
            raise RefusedError(answer.error())
        found: dict[str, Any] = json.loads(answer.body)
        return found

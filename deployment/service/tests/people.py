"""People who use the service in the tests."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

SECRET = "a secret of the tests that is long enough"
PASSWORD = "correct horse battery staple"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a client of their own, and what a page of ours would send with it."""

    http: httpx.Client
    csrf: dict[str, str]

    def post(self, path: str, body: object = None) -> httpx.Response:
        return self.http.post(path, json=body, headers=self.csrf)

    def get(self, path: str) -> httpx.Response:
        return self.http.get(path)

    def delete(self, path: str) -> httpx.Response:
        return self.http.delete(path, headers=self.csrf)

    def new_key(self, name: str = "a key", **fields: Any) -> dict[str, Any]:
        answer = self.post("/api/keys", {"name": name, **fields})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.http.close()


def cookies_of(client: httpx.Client) -> dict[str, str]:
    return {cookie.name: cookie.value or "" for cookie in client.cookies.jar}


def sign_in(url: str, name: str, password: str = PASSWORD) -> Person:
    """Sign in over plain HTTP, so that the replica must say COOKIE_SECURE=no."""
    http = httpx.Client(base_url=url, timeout=30)
    answer = http.post("/api/session", json={"name": name, "password": password})
    assert answer.status_code == 200, answer.text
    return Person(http, {"x-csrf-token": answer.json()["csrf_token"]})


def found(url: str, admin: str = "ada") -> Person:
    """Add the first user and sign in as them."""
    added = httpx.post(f"{url}/api/users", json={"name": admin, "password": PASSWORD}, timeout=30)
    assert added.status_code == 201, added.text
    return sign_in(url, admin)


def add(admin: Person, name: str) -> None:
    assert admin.post("/api/users", {"name": name, "password": PASSWORD}).status_code == 201


def with_key(url: str, key: str) -> httpx.Client:
    return httpx.Client(base_url=url, timeout=30, headers={"authorization": f"Bearer {key}"})

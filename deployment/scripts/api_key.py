"""What api-key.sh runs: sign in, make a key, sign out. Standard library only."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from http.client import HTTPException
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

TIMEOUT_S = 30


class RefusedError(Exception):
    """The service did not do what was asked; the text is one line that says why."""


def main(user: str, name: str, file: str, lifetime: str) -> int:
    """Make the key, write it and return the exit status."""
    password = sys.stdin.readline().rstrip("\n")
    try:
        session, cookies = _ask("POST", "/api/session", {"name": user, "password": password}, {})
        headers = {"cookie": cookies, "x-csrf-token": str(session["csrf_token"])}
        order = {"name": name} | ({"lifetime_s": int(lifetime)} if lifetime else {})
        made, _ = _ask("POST", "/api/keys", order, headers)
        _write(Path(file), str(made["key"]))
        _ask("DELETE", "/api/session", None, headers)
    except (RefusedError, OSError) as error:
        print(f"api-key.sh: {error}", file=sys.stderr)
        return 1
    print(f"{made['prefix']} of {user} is in {file}")
    return 0


def _ask(method: str, path: str, body: dict[str, Any] | None, headers: dict[str, str]) -> tuple[dict[str, Any], str]:
    """Return the JSON of an answer, and its cookies as they are sent back."""
    content = None if body is None else json.dumps(body).encode()
    request = Request(f"{os.environ['API_URL']}{path}", content, headers, method=method)  # noqa: S310 - the operator's
    if content is not None:
        request.add_header("content-type", "application/json")
    try:
        with urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - as above
            text = answer.read()
            cookies = SimpleCookie(answer.headers.get("set-cookie", ""))
    except HTTPError as error:
        raise RefusedError(f"{method} {path} was refused: {_reason(error)}") from error
    except (URLError, HTTPException) as error:
        raise RefusedError(f"no answer to {method} {path}: {error}") from error
    return json.loads(text or b"{}"), "; ".join(f"{each}={cookie.value}" for each, cookie in cookies.items())


def _reason(error: HTTPError) -> str:
    try:
        said = json.loads(error.read())
        return f"{error.code} {said['error']}: {said['message']}"
    except (ValueError, KeyError, TypeError):
        return str(error)


def _write(file: Path, key: str) -> None:
    with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=f".{file.name}.", delete=False) as new:
        new.write(f"{key}\n")
    Path(new.name).replace(file)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

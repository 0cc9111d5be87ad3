"""The file of payloads, which anybody may extend."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from attack.wire import UnusableError

if TYPE_CHECKING:
    from pathlib import Path

KEYS = {"class", "text", "json", "never"}


class Form(Enum):
    """As what a payload is sent."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Payload:
    """A text or a JSON value to send, and what no answer may hold if it was not executed."""

    kind: str
    form: Form
    text: str
    value: Any
    never: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Payloads:
    """All payloads, and the words that tell about our insides."""

    leaks: tuple[str, ...]
    all: tuple[Payload, ...]


def read_payloads(path: Path, canary: str) -> Payloads:
    """Return what a file says, `{canary}` replaced; raises UnusableError with path:line."""
    try:
        source = path.read_text(encoding="utf-8")
        found = tomllib.loads(source)
    except FileNotFoundError:
        raise UnusableError(f"{path} is not there") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UnusableError(f"{path}: this is no TOML: {error}") from None
    if unknown := sorted(found.keys() - {"leaks", "payload"}):
        raise UnusableError(f"{path}: unknown key {unknown[0]!r}; there are: leaks, payload")
    starts = [number for number, line in enumerate(source.splitlines(), 1) if line.strip() == "[[payload]]"]
    leaks = found.get("leaks")
    if not isinstance(leaks, list) or not leaks or not all(isinstance(each, str) and each for each in leaks):
        raise UnusableError(f"{path}: `leaks` must be a list of words, such as `psycopg`")
    entries = found.get("payload", [])
    if not entries:
        raise UnusableError(f"{path}: there is no [[payload]]")
    return Payloads(
        tuple(leaks),
        tuple(_payload(f"{path}:{start}", entry, canary) for start, entry in zip(starts, entries, strict=True)),
    )


def _payload(where: str, entry: dict[str, Any], canary: str) -> Payload:
    if unknown := sorted(entry.keys() - KEYS):
        raise UnusableError(f"{where}: unknown key {unknown[0]!r}; there are: {', '.join(sorted(KEYS))}")
    kind, never = entry.get("class"), entry.get("never", [])
    if not isinstance(kind, str) or not kind:
        raise UnusableError(f'{where}: a payload needs a `class`, such as "sql"')
    if not isinstance(never, list) or not all(isinstance(each, str) and each for each in never):
        raise UnusableError(f"{where}: `never` must be a list of texts")
    if ("text" in entry) == ("json" in entry) or not isinstance(entry.get("text", entry.get("json")), str):
        raise UnusableError(f"{where}: a payload needs either `text` or `json`, as a text")
    source = entry.get("text", entry.get("json", "")).replace("{canary}", canary)
    if any(each in source for each in never):
        raise UnusableError(f"{where}: the payload itself holds what `never` names; name what only executing it makes")
    try:
        value = json.loads(source) if "json" in entry else source
    except ValueError as error:
        raise UnusableError(f"{where}: `json` is no JSON: {error}") from None
    return Payload(kind, Form.JSON if "json" in entry else Form.TEXT, source, value, tuple(never))

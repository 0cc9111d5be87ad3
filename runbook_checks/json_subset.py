"""The ``json`` expectation: everything that the page wants is in the document that came."""

from __future__ import annotations

import json
import math
import re
from collections import ChainMap
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

_CAPTURE = re.compile(r"<([a-z_][a-z0-9_]*)>")
_SHOWN_CHARACTERS = 80  # one line of a terminal


class NotSubsetError(Exception):
    """The first place where a document lacks what the page wants, and what is there instead."""


def load(text: str) -> object:
    """Return the document of a JSON text, which says one thing only; raises ValueError, also as JSONDecodeError.

    A key twice in an object, NaN, and what is beyond the largest float are refused: readers of JSON differ on those
    (https://www.rfc-editor.org/rfc/rfc8259#section-4), and two numbers beyond it would be equal.
    """
    try:
        return json.loads(text, object_pairs_hook=_object, parse_float=_finite, parse_constant=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {json.dumps(key)} is there twice in one object")
        found[key] = value
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a number that can be compared")
    return number


def subset(wanted: object, came: object, known: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
    """Return the new captures when ``came`` holds all of ``wanted``; raises NotSubsetError at the first difference.

    Objects may hold more keys than wanted, arrays must have as many elements. The string ``"..."`` stands for any
    value, ``"<name>"`` captures a string, number or boolean, or is the same text as what is ``known`` by that name.
    """
    captures: dict[str, str] = {}
    _hold(wanted, came, "$", ChainMap(captures, dict(known)))
    return captures


def _hold(wanted: object, came: object, place: str, captures: MutableMapping[str, str]) -> None:  # noqa: C901 - a case a type
    match wanted:
        case "...":
            pass
        case str() if name := _CAPTURE.fullmatch(wanted):
            _capture(name[1], came, place, captures)
        case dict():
            if not isinstance(came, dict):
                raise NotSubsetError(f"{place}: expected an object, and {_shown(came)} came")
            for key, value in wanted.items():
                if key not in came:
                    raise NotSubsetError(f"{place}.{key}: expected {_shown(value)}, and there is no such key")
                _hold(value, came[key], f"{place}.{key}", captures)
        case list():
            if not isinstance(came, list) or len(came) != len(wanted):
                raise NotSubsetError(f"{place}: expected {len(wanted)} elements, and {_shown(came)} came")
            for number, (one, other) in enumerate(zip(wanted, came, strict=True)):
                _hold(one, other, f"{place}[{number}]", captures)
        case _:
            # True == 1 in Python, and not in JSON
            if isinstance(wanted, bool) != isinstance(came, bool) or wanted != came:
                raise NotSubsetError(f"{place}: expected {_shown(wanted)}, and {_shown(came)} came")


def _capture(name: str, came: object, place: str, captures: MutableMapping[str, str]) -> None:
    if isinstance(came, dict | list) or came is None:
        raise NotSubsetError(f"{place}: <{name}> needs a single value, and {_shown(came)} came")
    value = came if isinstance(came, str) else json.dumps(came)
    if captures.setdefault(name, value) != value:
        raise NotSubsetError(f"{place}: <{name}> was {captures[name]!r} above, and {value!r} came")


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."

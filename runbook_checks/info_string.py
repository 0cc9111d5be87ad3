"""What stands behind the backticks or tildes that open a fence, as ``pymdownx.superfences`` reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from runbook_checks.attributes import parse

_LANGUAGE = re.compile(r"[ ]*\.?([\w#.+-]+)(?=[ ]|$)")
_BRACED = re.compile(r"[ ]*\{(.*)\}[ ]*$")
_OPTION = re.compile(r"""[ ]*([a-zA-Z][a-zA-Z0-9_]*)(?:=(["'])(.*?)\2)?(?=[ ]|$)""")
_VALID = {
    "hl_lines": re.compile(r"\d+(?:-\d+)?(?: +\d+(?:-\d+)?)*$"),
    "linenums": re.compile(r"\d"),
    "title": re.compile(""),
    "title_mode": re.compile(""),
}


@dataclass(frozen=True, slots=True)
class Info:
    """An info string; ``rest`` is what no attribute could be, ``known`` tells whether superfences sees a fence."""

    text: str
    language: str
    attributes: tuple[tuple[str, str], ...] = ()
    rest: str = ""
    known: bool = True


@lru_cache(maxsize=4096)  # most fences of a repository begin like another
def read_info(text: str) -> Info:
    """Return what an info string says; no attributes for one that superfences does not know."""
    shown = text.strip(" ")
    match = _LANGUAGE.match(text)
    language, rest = (match[1], text[match.end() :]) if match else ("", text)
    if not rest.strip(" "):
        return Info(shown, language)
    if braced := _BRACED.match(rest):
        attributes, unread = parse(braced[1])
        if any(value == "" and key in {"hl_lines", "linenums"} for key, value in attributes):
            return Info(shown, language, known=False)
        return Info(shown, language, attributes, unread)
    options = _options(rest)
    if options is None and match:  # superfences may take the first word as an option
        options = _options(text)
        language = "" if options is not None else language
    return Info(shown, language, options or (), known=options is not None)


def _options(text: str) -> tuple[tuple[str, str], ...] | None:
    pairs: list[tuple[str, str]] = []
    at, end = 0, len(text.rstrip(" "))
    while at < end:
        match = _OPTION.match(text, at)
        if match is None:
            return None
        key, value = match[1], match[3] if match[2] else match[1]
        if key not in _VALID or not _VALID[key].match(value):
            return None
        pairs.append((key, value))
        at = match.end()
    return tuple(pairs)

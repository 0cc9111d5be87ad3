"""What stands behind the backticks or tildes that open a fence, as ``pymdownx.superfences`` reads it."""

from __future__ import annotations

import re

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


def read_info(text: str) -> tuple[str, tuple[tuple[str, str], ...], str, bool]:
    """Return language, attributes, what is no attribute, and whether superfences takes this info string."""
    match = _LANGUAGE.match(text)
    language, rest = (match[1], text[match.end() :]) if match else ("", text)
    if not rest.strip(" "):
        return language, (), "", True
    if braced := _BRACED.match(rest):
        attributes, unread = parse(braced[1])
        known = not any(value == "" and key in {"hl_lines", "linenums"} for key, value in attributes)
        return language, attributes, unread, known
    options = _options(rest)
    if options is None and match:  # superfences may take the first word as an option
        options = _options(text)
        language = "" if options is not None else language
    return language, options or (), "", options is not None


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

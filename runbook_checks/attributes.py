"""Braced attribute lists, ``{.step #restore timeout=5m}``, as Python-Markdown's ``attr_list`` reads them."""

from __future__ import annotations

import re

CLASS = "."

# The tokens of markdown.extensions.attr_list, in their order.
_TOKEN = re.compile(
    r"""(?P<double>[^ =}]+=".*?")|(?P<single>[^ =}]+='.*?')|(?P<pair>[^ =}]+=[^ =}]+)|(?P<word>[^ =}]+)|[ ]+"""
)


def parse(text: str) -> tuple[tuple[tuple[str, str], ...], str]:
    """Return the pairs of a list without its braces, and what could not be read.

    A class has the key ``.``, an id the key ``id``; a word without a value has the value ``""``.
    """
    pairs: list[tuple[str, str]] = []
    at = 0
    while at < len(text) and (match := _TOKEN.match(text, at)):
        at = match.end()
        token = match[0]
        match match.lastgroup:
            case "double" | "single":
                key, _, value = token.partition("=")
                pairs.append((key, value.strip(value[0])))
            case "pair":
                key, _, value = token.partition("=")
                pairs.append((key, value))
            case "word" if token.startswith("."):
                pairs.append((CLASS, token[1:]))
            case "word" if token.startswith("#"):
                pairs.append(("id", token[1:]))
            case "word":
                pairs.append((token, ""))
    return tuple(pairs), text[at:]

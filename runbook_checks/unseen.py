"""Characters that nobody sees as what they are, or that a terminal obeys: what is shown is not what is there."""

from __future__ import annotations

import unicodedata

import regex

# Categories and properties of Unicode; U+FE0F only asks for the coloured form of the sign before it.
_UNSEEN = regex.compile(
    r"[[\p{Cc}\p{Cf}\p{Z}\p{Default_Ignorable_Code_Point}\u2800]--[ \n\uFE0F]]|(?<!\p{Extended_Pictographic})\uFE0F",
    regex.V1,
)
_OBEYED = regex.compile(r"[[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]--[\n\t]]", regex.V1)


def printable(text: str) -> str:
    """Return a text for a terminal: what it would obey, or not show, is written as in the source of a program."""
    return _OBEYED.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def first_unseen(text: str) -> tuple[int, str] | None:
    """Return the place and the name of the first character that looks like a space or like nothing, if any."""
    found = _UNSEEN.search(text)
    if found is None:
        return None
    if found[0] == "\t":
        return found.start(), "a tab, which the site shows as spaces"
    name = unicodedata.name(found[0], "a control character").lower()
    return found.start(), f"U+{ord(found[0]):04X} ({name}), which no reader sees as what it is"

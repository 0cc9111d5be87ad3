"""Characters that a reader cannot see as what they are, so that what is shown is not what is run."""

from __future__ import annotations

import unicodedata

import regex

# Categories and properties of Unicode; U+FE0F only asks for the coloured form of the sign before it.
_UNSEEN = regex.compile(
    r"[[\p{Cc}\p{Cf}\p{Z}\p{Default_Ignorable_Code_Point}\u2800]--[ \n\uFE0F]]|(?<!\p{Extended_Pictographic})\uFE0F",
    regex.V1,
)


def first_unseen(text: str) -> tuple[int, str] | None:
    """Return the place and the name of the first character that looks like a space or like nothing, if any."""
    found = _UNSEEN.search(text)
    if found is None:
        return None
    if found[0] == "\t":
        return found.start(), "a tab, which the site shows as spaces"
    name = unicodedata.name(found[0], "a control character").lower()
    return found.start(), f"U+{ord(found[0]):04X} ({name}), which no reader sees as what it is"

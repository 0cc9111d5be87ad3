"""Text that XML can hold."""

from __future__ import annotations

from runbook_checks.site.ansi import named

_NO_CHARACTERS = str.maketrans("\ufffe\uffff", "\ufffd\ufffd")  # https://www.w3.org/TR/xml/#charsets


def legal(text: str) -> str:
    """Return text without what XML cannot hold or a reader cannot see: it is shown by name, such as ``[ESC]``."""
    return named(text).translate(_NO_CHARACTERS)

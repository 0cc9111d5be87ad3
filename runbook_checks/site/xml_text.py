"""Text that XML can hold."""

from __future__ import annotations

import re

# https://www.w3.org/TR/xml/#charsets
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_PICTURES = 0x2400
_DELETE = 0x7F


def legal(text: str) -> str:
    """Return text without what XML cannot hold: control characters are shown as symbols, such as ``␛``."""
    return _ILLEGAL.sub(lambda found: _symbol(ord(found[0])), text)


def _symbol(code: int) -> str:
    if code == _DELETE:
        return "\u2421"
    return chr(_PICTURES + code) if code < ord(" ") else "\ufffd"

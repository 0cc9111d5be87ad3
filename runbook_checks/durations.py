"""Durations as people write them: ``500ms``, ``60s``, ``5m``, ``2h``, ``7d``, ``2w``."""

from __future__ import annotations

import re

FORM = "a number and a unit, such as 500ms, 60s, 5m, 2h, 7d or 2w"
LONGEST_S = 10 * 366 * 86_400.0

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
_DURATION = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)(ms|s|m|h|d|w)")


def seconds(text: str) -> float:
    """Return a duration in seconds; ValueError, saying what to write, for anything that is not one above zero."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"`{text}` is not a duration: write {FORM}")
    value = float(match[1]) * _UNITS_S[match[2]]
    if not 0 < value <= LONGEST_S:
        raise ValueError(f"`{text}` is not a usable duration: it must be more than zero and at most ten years")
    return value
